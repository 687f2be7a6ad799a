"""`twinlock doctor` in a client whose tunnel is well, and with prefixes that have aged."""

from __future__ import annotations

import json

import pytest

from lab import clients
from lab.clients import TWINLOCK, Client


def _causes(client: Client) -> list[str]:
    argv = (TWINLOCK, "doctor", client.interface, "--region", "eu-west-1", "--json")
    done = clients.in_namespace(client.namespace, argv, {}, 60)
    assert done.returncode in (0, 1), done.stderr
    return [found["cause"] for found in json.loads(done.stdout)["findings"]]


def test_a_tunnel_that_works_is_well(lab, ada: Client) -> None:
    assert _causes(ada) == []


@pytest.mark.long
def test_a_file_whose_prefixes_have_aged_is_told(lab, ada: Client) -> None:
    key = clients.service_key(ada)
    before = clients.allowed_ips(ada)[key]
    ada.run("wg", "set", ada.interface, "peer", key, "allowed-ips", before[0])
    try:
        assert _causes(ada) == ["prefix"]
    finally:
        ada.run("wg", "set", ada.interface, "peer", key, "allowed-ips", ",".join(before))
