"""`twinlock doctor` in a client whose tunnel is well, and with prefixes that have aged."""

from __future__ import annotations

import json

import pytest

from lab import clients
from lab.clients import TWINLOCK, Client


def _causes(client: Client, *before: str) -> list[str]:
    argv = (*before, TWINLOCK, "doctor", client.interface, "--region", "eu-west-1", "--json")
    done = clients.in_namespace(client.namespace, argv, {}, 60)
    assert done.returncode in (0, 1), done.stderr
    return [found["cause"] for found in json.loads(done.stdout)["findings"]]


def test_a_tunnel_that_works_is_well(lab, ada: Client) -> None:
    assert _causes(ada) == []


@pytest.mark.parametrize(
    ("server", "zone", "causes"),
    [
        ("10.90.0.1", "eu-west-1.compute.internal", []),
        ("10.90.0.1", "corp.internal", ["dns"]),
        ("10.90.0.2", "eu-west-1.compute.internal", ["dns"]),
    ],
)
def test_the_gateways_are_asked_for_the_names_that_this_machine_was_told_of(lab, ada, tmp_path, server, zone, causes):
    """A program in the place of systemd-resolved's says what it was told; who answers is the lab's gateway."""
    says = tmp_path / "resolvectl"
    says.write_text(f'#!/bin/sh\n[ $1 = dns ] && echo "Link 7 ($2): {server}" || echo "Link 7 ($2): ~{zone}"\n')
    says.chmod(0o755)
    assert _causes(ada, "env", f"PATH={tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin") == causes


@pytest.mark.long
def test_a_file_whose_prefixes_have_aged_is_told(lab, ada: Client) -> None:
    key = clients.service_key(ada)
    before = clients.allowed_ips(ada)[key]
    ada.run("wg", "set", ada.interface, "peer", key, "allowed-ips", before[0])
    try:
        assert _causes(ada) == ["prefix"]
    finally:
        ada.run("wg", "set", ada.interface, "peer", key, "allowed-ips", ",".join(before))
