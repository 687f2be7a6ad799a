"""`peer apply`, `peer export`, `peer approve --file`: as people type them, against DynamoDB Local."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.command_cloud import facts, run
from tests.registry_samples import definition, public_key, tenant, write_definition


def listing(**tenants: dict[str, str]) -> str:
    lines = ["tenants:"]
    for name, peers in tenants.items():
        lines += [f"  {name}:", *(f'    {peer}: {{public_key: "{key}"}}' for peer, key in peers.items())]
    Path("peers.yaml").write_text("\n".join(lines) + "\n")
    return "peers.yaml"


def test_a_file_is_shown_then_applied_then_approved_by_somebody_else(cloud):
    cloud.become("enroller")
    file = listing(red={"ada": public_key(1), "bob": public_key(2)}, auto={"job": public_key(3)})
    shown = run("peer", "apply", file)
    assert "+ red/ada" in shown.stdout
    assert "nothing was changed" in shown.stdout
    assert cloud.registry.peers("red") == ()
    assert facts("peer", "apply", file, "--yes")["applied"] == 3
    assert facts("peer", "apply", file, "--yes") == {"steps": [], "applied": 0}
    assert run("peer", "approve", "--file", file).exit_code == 3, "nobody approves his own"
    cloud.become("approver")
    approved = facts("peer", "approve", "--file", file)["peers"]
    assert [(peer["name"], peer["state"]) for peer in approved] == [("ada", "approved"), ("bob", "approved")]
    assert len(cloud.registry.served_peers("red")) == 2
    Path("again.yaml").write_text(run("peer", "export").stdout)
    assert facts("peer", "apply", "again.yaml")["steps"] == []


def test_a_file_narrows_what_a_peer_reaches_and_nothing_that_is_there(cloud):
    line = f'tenants: {{red: {{ada: {{public_key: "{public_key(1)}", reach: %s}}}}}}\n'
    Path("peers.yaml").write_text(line % "[storage, db]")
    refused = run("peer", "apply", "peers.yaml", "--yes")
    assert refused.exit_code == 3 and "tenant red does not reach db" in " ".join(refused.stderr.split())
    Path("peers.yaml").write_text(line % "[nfs, 10.80.64.0/20]")
    cloud.become("enroller")
    assert "to 10.80.64.0/20, nfs alone" in run("peer", "apply", "peers.yaml", "--yes").stdout
    assert facts("peer", "show", "ada", "-t", "red")["reach"] == ["10.80.64.0/20", "nfs"]
    assert "10.80.64.0/20, nfs" in run("peer", "list").stdout
    Path("again.yaml").write_text(run("peer", "export").stdout)
    assert facts("peer", "apply", "again.yaml")["steps"] == []
    Path("peers.yaml").write_text(line % "[nfs]")
    refused = run("peer", "apply", "peers.yaml", "--yes")
    assert refused.exit_code == 3 and "another reach than the list says" in " ".join(refused.stderr.split())


def test_what_the_file_does_not_list_goes_only_with_prune(cloud):
    facts("peer", "apply", listing(auto={"one": public_key(1), "two": public_key(2)}), "--yes")
    file = listing(auto={"one": public_key(1)})
    assert [step["act"] for step in facts("peer", "apply", file, "--yes")["steps"]] == ["kept"]
    assert len(cloud.registry.served_peers("auto")) == 2
    assert facts("peer", "apply", file, "--yes", "--prune")["applied"] == 1
    assert [peer.name for peer in cloud.registry.served_peers("auto")] == ["one"]


@pytest.mark.parametrize(
    ("tenants", "code", "says"),
    [
        ({"blue": {"a": public_key(1)}}, 3, "no tenant blue"),
        ({"tiny": {f"p{n}": public_key(n + 10) for n in range(6)}}, 3, "5 free addresses and the file adds 6"),
        ({"red": {"a": public_key("old")}}, 3, "is or was that of peer gone of tenant auto"),
        ({"red": {"a": "AAAA"}}, 2, "tenants.red.a"),
        ({"auto": {"there": public_key(9)}}, 3, "another key than the list"),
    ],
)
def test_a_file_that_can_not_be_applied_whole_changes_nothing(cloud, tenants, code, says):
    facts("peer", "enrol", "gone", "-t", "auto", "-k", public_key("old"))
    facts("peer", "revoke", "gone", "-t", "auto")
    facts("peer", "enrol", "there", "-t", "auto", "-k", public_key("there"))
    before = [peer for name in ("red", "auto", "tiny") for peer in cloud.registry.peers(name)]
    refused = run("peer", "apply", listing(**({"strict": {"fine": public_key(77)}} | tenants)), "--yes", "--prune")
    assert (refused.exit_code, says in " ".join(refused.stderr.replace("│", " ").split())) == (code, True), (
        refused.stderr
    )
    assert "Traceback" not in refused.stderr
    assert [peer for name in ("red", "auto", "tiny") for peer in cloud.registry.peers(name)] == before
    assert cloud.registry.peers("strict") == ()


@pytest.mark.long
def test_ten_thousand_peers_are_applied_in_under_a_minute(cloud, dynamodb, registry_table):
    wide = replace(definition(), tenants=(tenant("red", "10.64.64.0/18"),))
    write_definition(dynamodb, registry_table, wide)
    file = listing(red={f"peer-{n}": public_key(n) for n in range(10_000)})
    started = time.monotonic()
    assert facts("peer", "apply", file, "--yes")["applied"] == 10_000
    took = time.monotonic() - started
    print(f"10,000 peers applied in {took:.1f} s")
    peers = cloud.registry.peers("red")
    assert len({peer.address for peer in peers}) == 10_000
    assert took < 60
