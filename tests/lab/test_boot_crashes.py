"""A gateway that dies while it boots, at any step; and two that boot at the same moment."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from lab import clients, deploy
from lab.clients import Client
from lab.machines import Machines
from lab.paths import CONTROL, IMAGE, MACHINES, PEERS
from tests.lab.conftest import RunningLab
from tests.lab.fresh_gateways import INTERFACES, Fresh, containers, restart_tunnels
from tests.within import within

pytestmark = [pytest.mark.timeout(900), pytest.mark.long]
START = "systemctl start --no-block twinlock-bootstrap"


@pytest.fixture(scope="module")
def fresh(lab: RunningLab, ada: Client, bob: Client) -> Iterator[Fresh]:
    outputs = json.loads(deploy.pulumi(lab.deployer, "stack", "output", "--json", "--stack", "lab"))
    made = Fresh(lab, str(outputs["table"]))
    yield made
    made.give_back()
    restart_tunnels([(client.namespace, PEERS / f"{client.interface}.conf") for client in (ada, bob)])
    for client in (ada, bob):
        clients.wait_for_service(client, 30)


@pytest.fixture(scope="module")
def steps(fresh: Fresh) -> list[str]:
    """What a very first boot does outwardly, in order."""
    fresh.arm("a")
    fresh.empty_disk("a")
    fresh.forget_identities("a")
    fresh.run("a", "systemctl start twinlock-bootstrap")
    return fresh.run("a", "cat /run/crash-events").splitlines()


def is_active(fresh: Fresh, slot: str) -> bool:
    return fresh.run(slot, "systemctl is-active twinlock-bootstrap; true").strip() == "active"


def crashed(fresh: Fresh, slot: str) -> bool:
    return bool(fresh.run(slot, "cat /run/crashed 2>/dev/null; true"))


def identity_is_whole(fresh: Fresh, slot: str) -> None:
    """One claim an identity; its version is there, labelled, and what the box runs with and the record names."""
    record = fresh.record(slot)
    assert record is not None
    for (name, container), interface in zip(containers(slot).items(), INTERFACES, strict=False):
        claimed = fresh.identity(name)
        assert claimed is not None
        version = claimed["secret_version"]["S"]
        assert version in fresh.labelled(container), f"{name}: AWS may delete the version that is claimed"
        assert len(fresh.attempts(container)) <= 2, f"{name}: more than the dead attempt's label and the winner's"
        public = fresh.run(slot, f"wg show {interface} public-key").strip()
        assert public == claimed["public_key"]["S"] == record[f"{name.split('#')[0]}_public_key"]["S"]


def chosen(steps: list[str], every: int) -> list[int]:
    """Numbers of steps to die before: every so many, the last one included."""
    return sorted({*range(1, len(steps) + 1, every), len(steps)})


def test_a_first_boot_stores_then_claims_then_loads_and_registers_last(steps: list[str]) -> None:
    """Both identities side by side: the second of each kind is never before the second of the kind before."""
    calls = [step.rsplit(".", 1)[-1] for step in steps if "x-amz-target" in step.lower()]
    verbs = [call.replace("TransactWriteItems", "PutItem") for call in calls]
    at = {
        kind: [n for n, verb in enumerate(verbs) if verb == kind]
        for kind in ("PutSecretValue", "PutItem", "GetSecretValue")
    }
    stored, claimed, loaded = at["PutSecretValue"], at["PutItem"], at["GetSecretValue"]
    assert (len(stored), len(claimed), len(loaded)) == (2, 3, 2), calls
    assert all(store < claim < load for store, claim, load in zip(stored, claimed, loaded, strict=False)), calls
    assert claimed[-1] == len(verbs) - 1, "registering is the last call"
    assert "POST" in steps[-1], "and the last outward act"


@pytest.mark.parametrize("every", [6, pytest.param(1, marks=pytest.mark.long)])
def test_a_bootstrap_that_is_killed_at_any_step_ends_well_when_it_starts_again(
    fresh: Fresh, steps: list[str], every: int
) -> None:
    for number in chosen(steps, every):
        fresh.empty_disk("a")
        fresh.forget_identities("a")
        fresh.run("a", f"echo {number} kill > /run/crash-at; {START}")
        within(30, lambda: crashed(fresh, "a"), f"it dies before step {number}, {steps[number - 1]}")
        readable = fresh.run("a", "find /etc/wireguard /var/lib/twinlock -type f ! -perm 600")
        assert readable == "", f"before step {number} others may read {readable}"
        assert fresh.record("a") is None, f"registered before step {number}, {steps[number - 1]}"
        within(30, lambda: is_active(fresh, "a"), f"it is up after it died before step {number}, {steps[number - 1]}")
        identity_is_whole(fresh, "a")


@pytest.mark.parametrize(
    "acts",
    [["PutItem"], pytest.param(["PutItem", "PutSecretValue", "GetSecretValue", "wg-quick"], marks=pytest.mark.long)],
)
def test_a_machine_that_loses_power_in_its_bootstrap_is_replaced_by_one_that_ends_well(
    fresh: Fresh, steps: list[str], acts: list[str]
) -> None:
    """The dead one's disk is gone: all that is left of it is what it had told the cloud."""
    power = Machines(lambda _: IMAGE, MACHINES, CONTROL / "ca.pem", lambda _: "")
    points = [at for at, step in enumerate(steps, 1) if any(act in step for act in acts)]
    if len(acts) == 1:
        points = points[:1]
    for number in points:
        fresh.arm("a")
        fresh.empty_disk("a")
        fresh.forget_identities("a")
        fresh.run("a", f"echo {number} hold > /run/crash-at; {START}")
        within(30, lambda: crashed(fresh, "a"), f"it stands still before step {number}, {steps[number - 1]}")
        dead = fresh.ids["a"]
        power.stop(dead)

        within(
            60,
            lambda dead=dead: fresh.registered("a") not in ("", dead),
            f"a replacement after the power went before step {number}, {steps[number - 1]}",
        )
        fresh.ids["a"] = fresh.lab.machine("a")
        within(10, lambda: is_active(fresh, "a"), "the replacement's bootstrap has ended")
        identity_is_whole(fresh, "a")


@pytest.mark.parametrize("times", [3, pytest.param(20, marks=pytest.mark.long)])
def test_two_gateways_that_boot_at_the_same_moment_agree_on_one_identity(
    fresh: Fresh, steps: list[str], times: int
) -> None:
    for turn in range(times):
        for slot in ("a", "b"):
            fresh.empty_disk(slot)
        fresh.forget_identities("a", "b")
        fresh.both("systemctl start twinlock-bootstrap")
        keys = fresh.both("wg show wg-service public-key")
        assert keys[0] == keys[1], f"turn {turn}"
        for slot in ("a", "b"):
            identity_is_whole(fresh, slot)
        assert len(fresh.attempts("twinlock/lab/service")) == 1, "who lost dropped what it had stored"


def test_a_tunnel_that_was_left_half_made_is_made_anew(fresh: Fresh, steps: list[str]) -> None:
    """wg-quick killed between its steps: the interface is there, without key or address, and not up."""
    fresh.run(
        "a", "systemctl start twinlock-bootstrap && systemctl stop twinlock-bootstrap && wg-quick down wg-service"
    )
    fresh.run("a", "ip link add wg-service type wireguard 2>/dev/null || wireguard-go wg-service 2>/dev/null")
    fresh.run("a", "systemctl start twinlock-bootstrap")
    identity_is_whole(fresh, "a")
    assert "inet 10." in fresh.run("a", "ip -o address show wg-service")
