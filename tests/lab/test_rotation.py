"""A peer's key is rotated under a running download."""

from __future__ import annotations

import json
import subprocess

import pytest

from lab import calls, clients
from lab import up as job
from tests.lab.test_peers_live import STEADY, join
from tests.within import within

# The device takes its new key in place, as `wg syncconf` does, and knocks at its ways at once.
SWITCH = """
wg set "$1" private-key "$2"
for way in $(wg show "$1" endpoints | cut -f1); do
  [ "$way" = "$3" ] || wg set "$1" peer "$way" persistent-keepalive 0
  [ "$way" = "$3" ] || wg set "$1" peer "$way" persistent-keepalive 25
done
"""


@pytest.mark.long
def test_a_download_goes_on_while_the_peers_key_is_rotated(lab) -> None:
    enroller = calls.credentials("lab-enroller-red", local=True)
    approver = calls.credentials("lab-approver", local=True)
    client = join(lab, "mallory", "red")
    clients.wait_for_service(client, 30)
    file = clients.PEERS / "mallory-new.key"
    new = str(clients.twinlock(enroller, "peer", "keygen", "--out", str(file))["public_key"])
    words = ("mallory", "--tenant", "red")
    clients.twinlock(enroller, "peer", "rotate", *words, "--public-key", new, "--grace", "60s")
    clients.twinlock(approver, "peer", "approve", *words)
    within(15, lambda: all(new in lab.on_gateway(s, "wg", "show", "wg-way", "peers") for s in "ab"), "the new key")
    for slot in "ab":
        assert client.public_key in lab.on_gateway(slot, "wg", "show", "wg-way", "peers")
    download = subprocess.Popen(
        ["ip", "netns", "exec", client.namespace, clients.PYTHON, "-c", STEADY, lab.report_bucket(), job.OBJECT_KEY],
        env={"PATH": "/usr/bin:/bin", **client.credentials}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    before = int(
        client.run("sh", "-c", f"wg show {client.interface} transfer | awk '{{s+=$2}} END {{print s}}'").stdout
    )

    def received() -> int:
        said = client.run("sh", "-c", f"wg show {client.interface} transfer | awk '{{s+=$2}} END {{print s}}'").stdout
        return int(said)

    within(20, lambda: received() > before + (1 << 20), "the download runs")
    client.run("sh", "-c", SWITCH, "-", client.interface, str(file), clients.service_key(client))
    printed, _ = download.communicate(timeout=60)
    seen = json.loads(printed)
    print(f"longest time without a byte: {seen['longest_gap']:.2f} s")
    assert seen["longest_gap"] < 1.0, seen
    serving = next(row["slot"] for row in lab.twinlock("gateway", "list")["gateways"] if row["serving"])
    carried = lab.on_gateway(serving, "wg", "show", "wg-service", "allowed-ips")
    assert f"{new}\t{client.address}/32" in carried
    within(90, lambda: client.public_key not in lab.on_gateway(serving, "wg", "show", "wg-way", "peers"), "the end")
    assert new in lab.on_gateway(serving, "wg", "show", "wg-way", "peers")
    lab.twinlock("peer", "revoke", *words)
