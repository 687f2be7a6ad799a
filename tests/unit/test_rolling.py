"""Gateways that replace themselves one after the other: the rules, against a plain model of an environment."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.registry_samples import definition, gateway_record
from twinlock.registry.definition import Slot
from twinlock.registry.errors import Refused
from twinlock.registry.health import GatewayHealth, health
from twinlock.registry.model import GatewayRecord
from twinlock.registry.rolling import (
    STOPPED_SECONDS,
    Drain,
    Go,
    Launch,
    Rest,
    Roll,
    Rolling,
    Take,
    check_may_go,
    is_open,
    next_step,
    progress,
    unsettled,
)  # fmt: skip

NOW, SLOTS = 1_700_000_000, "ab"
NEW, OLD = "new", "old"


def seen(**changes) -> tuple[GatewayHealth, ...]:
    well = {"heartbeat_at": NOW, "applied": {}, "template": OLD, "ways": 5}
    records = [gateway_record(slot, **(well | changes.get(slot, {}))) for slot in SLOTS]
    return health(definition(), records, {}, NOW)


def launches(template: str = NEW, rolling: str = "automatic") -> dict[str, Launch]:
    return {slot: Launch(slot=slot, template=template, rolling=rolling) for slot in SLOTS}


def step(found, slot="a", roll=None, heard="ab", served="elsewhere", rolling="automatic", template=NEW):
    me = next(one.record for one in found if one.slot == slot)
    held = Rolling(launches=launches(template, rolling), roll=roll)
    return next_step(me, found, held, frozenset(heard) - {slot}, served, NOW)


def held_by(slot: str, instance: str = "", tried: str = NEW) -> Roll:
    return Roll(slot=slot, instance_id=instance or gateway_record(slot).instance_id, at=NOW, tried={slot: tried})


def test_an_outdated_gateway_takes_the_lease_then_hands_over_then_goes():
    took = step(seen())
    assert isinstance(took, Take)
    assert took.roll == held_by("a")
    assert step(seen(), roll=took.roll, served="here") == Drain()
    assert isinstance(step(seen(), roll=took.roll, served="nowhere"), Rest)
    assert step(seen(), roll=took.roll, served="elsewhere") == Go()


def test_who_serves_waits_for_a_standby_that_may_go_so_that_clients_move_once():
    serves = {"serving": True}
    assert "b goes first" in step(seen(a=serves), served="here").why
    assert isinstance(step(seen(a=serves), slot="b"), Take)
    assert isinstance(step(seen(a=serves), served="here", roll=held_by("b", "i-before")), Take), "b was tried"
    assert isinstance(step(seen(a=serves, b={"template": ""}), served="here"), Take), "b can't do it by itself"
    assert isinstance(step(seen(a=serves, b={"ways": 6}), served="here"), Take), "b may not go"


def test_one_that_is_of_the_template_of_its_group_stays():
    assert step(seen(), template=OLD) == Rest()


@pytest.mark.parametrize(
    ("twin", "why"),
    [
        ({"heartbeat_at": NOW - 60}, "silent"),
        ({"failing": ("transfer",)}, "fails transfer"),
        ({"ways": 4}, "clients with a way to gateway b: 4, to gateway a: 5"),
    ],
)
def test_a_gateway_stays_while_its_twin_is_not_well_or_lacks_ways(twin, why):
    for roll in (None, held_by("a")):
        found = step(seen(b=twin), roll=roll)
        assert isinstance(found, Rest)
        assert why in found.why


def test_a_gateway_stays_while_its_twin_is_not_heard():
    assert "not heard" in step(seen(), heard="a").why
    assert "not heard" in step(seen(), heard="a", roll=held_by("a")).why


def test_the_lease_is_nobody_elses_until_the_first_is_back_well_however_long_it_takes():
    gone = held_by("b")
    assert "is being replaced" in step(seen(), roll=gone).why
    assert "is being replaced" in step(seen(), roll=replace(gone, at=0)).why
    back = replace(gone, instance_id="i-before")
    assert isinstance(step(seen(), roll=back), Take)
    sick = seen(b={"failing": ("transfer",)})
    assert "not well" in step(sick, roll=back).why


def test_a_template_that_was_tried_in_a_slot_is_not_tried_there_again():
    found = step(seen(), roll=held_by("a", "i-before"))
    assert "already" in found.why
    assert isinstance(step(seen(), roll=held_by("a", "i-before", tried="older")), Take)


def test_a_lease_is_given_back_if_the_deployment_was_taken_back_before_the_machine_went():
    back = step(seen(), roll=held_by("a"), template=OLD)
    assert isinstance(back, Take)
    assert unsettled(seen(), Rolling(roll=back.roll)) is None
    assert step(seen(), roll=held_by("a", tried=OLD), template=OLD) == Rest(), "somebody replaces it by hand"


@pytest.mark.parametrize(
    ("rolling", "hour", "opened"),
    [
        ("automatic", "12:00", True), ("manual", "12:00", False), ("11:00-12:00", "11:59", True),
        ("11:00-12:00", "12:00", False), ("22:00-04:00", "23:30", True), ("22:00-04:00", "03:59", True),
        ("22:00-04:00", "04:00", False), ("some day", "12:00", False),
    ],
)  # fmt: skip
def test_the_setting_says_when(rolling, hour, opened):
    at = 86_400 * 20_000 + int(hour[:2]) * 3600 + int(hour[3:]) * 60
    assert is_open(rolling, at) == opened


def test_a_machine_that_holds_the_lease_goes_on_when_the_window_closes():
    assert "manual" in step(seen(), rolling="manual").why
    assert step(seen(), rolling="manual", roll=held_by("a")) == Go()


def test_progress_tells_who_is_outdated_and_that_it_stopped():
    held = Rolling(launches=launches(), roll=held_by("b"))
    early = progress(seen(), held, NOW + 10)
    assert (early.outdated, early.slot, early.seconds, early.stopped) == (("a", "b"), "b", 10, False)
    late = progress(seen(b={"heartbeat_at": NOW - STOPPED_SECONDS}), held, NOW + STOPPED_SECONDS)
    assert late.stopped
    assert "has not registered" in late.why
    done = progress(seen(a={"template": NEW}, b={"template": NEW}), Rolling(launches=launches()), NOW)
    assert (done.outdated, done.why, done.stopped) == ((), None, False)


def test_by_hand_nobody_goes_while_another_one_is_being_replaced():
    with pytest.raises(Refused, match="b is being replaced"):
        check_may_go(seen(), "a", Rolling(roll=held_by("b")))
    assert check_may_go(seen(), "b", Rolling(roll=held_by("b"))), "the one that does not come back may be tried again"


# An environment of up to four gateways, in which each looks whenever it likes and acts on what it saw then.


@dataclass
class World:
    slots: str
    boots: bool  # whether the template that is deployed boots
    well: dict[str, bool] = field(default_factory=dict)
    machine: dict[str, int] = field(default_factory=dict)
    template: dict[str, str] = field(default_factory=dict)
    ways: dict[str, int] = field(default_factory=dict)
    launch: str = NEW
    serving: str = "a"
    roll: Roll | None = None
    faults: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for slot in self.slots:
            self.well[slot], self.machine[slot], self.template[slot], self.ways[slot] = True, 0, OLD, 3

    def look(self) -> tuple[tuple[GatewayHealth, ...], Rolling]:
        records = [self._record(slot) for slot in self.slots]
        what = replace(
            definition(),
            slots=tuple(Slot(name=slot, zone="z", public_address="", private_address="") for slot in self.slots),
        )
        held = {slot: Launch(slot=slot, template=self.launch, rolling="automatic") for slot in self.slots}
        return health(what, records, {}, NOW), Rolling(launches=held, roll=self.roll)

    def _record(self, slot: str) -> GatewayRecord:
        sick = ("transfer",) if slot in self.faults else ()
        return replace(
            gateway_record("a"), slot=slot, instance_id=f"i-{slot}{self.machine[slot]}", applied={}, failing=sick,
            serving=self.serving == slot,
            heartbeat_at=NOW if self.well[slot] else 0, template=self.template[slot], ways=self.ways[slot],
        )  # fmt: skip

    def decide(self, slot: str):
        found, rolling = self.look()
        me = next(one.record for one in found if one.slot == slot)
        assert me is not None
        heard = frozenset(other for other in self.slots if self.well[other])
        served = "here" if self.serving == slot else "elsewhere"
        return me.instance_id, rolling.roll, next_step(me, found, rolling, heard, served, NOW)

    def act(self, slot: str, decided) -> None:
        instance, before, what = decided
        if not self.well[slot] or instance != f"i-{slot}{self.machine[slot]}":
            return  # that machine is no more
        match what:
            case Take(roll=roll):
                # As the registry's conditional write has it.
                if (self.roll.instance_id if self.roll else None) == (before.instance_id if before else None):
                    self.roll = roll
            case Drain():
                self.serving = next(other for other in self.slots if other != slot and self.well[other])
            case Go():
                assert self.serving != slot, "it serves, and goes"
                assert all(self.well[other] for other in self.slots if other != slot), "two are gone at once"
                assert not self.faults - {slot}, "the one that stays is not well"
                self.well[slot] = False
            case Rest():
                pass

    def boot(self, slot: str) -> None:
        """The group's new machine, if its template boots. It has no ways yet."""
        if not self.well[slot] and self.boots:
            self.well[slot], self.template[slot], self.ways[slot] = True, self.launch, 0
            self.machine[slot] += 1


deeds = st.lists(
    st.tuples(
        st.sampled_from("abcd"), st.sampled_from(["look", "look", "act", "act", "boot", "ways", "fault", "mend"])
    ),
    max_size=80,
)


def run(world: World, steps) -> None:
    decided = {}
    for slot, what in steps:
        if slot not in world.slots:
            continue
        match what:
            case "look" if world.well[slot]:
                decided[slot] = world.decide(slot)
            # A decision is acted on at once but for what the registry's condition catches; Go is looked at anew.
            case "act" if slot in decided and world.well[slot]:
                before = decided.pop(slot)
                world.act(slot, before if isinstance(before[2], Take) else world.decide(slot))
            case "boot":
                world.boot(slot)
            case "ways" if world.well[slot]:
                world.ways[slot] = 3
            case "fault" if world.serving != slot:
                world.faults.add(slot)
            case "mend":
                world.faults.discard(slot)
            case _:
                pass


def settle(world: World) -> None:
    world.faults.clear()
    for _ in range(8):
        for slot in world.slots:
            for what in ("ways", "look", "act", "look", "act", "look", "act", "boot", "ways"):
                run(world, [(slot, what)])
                if what == "look" and world.well[slot]:
                    world.act(slot, world.decide(slot))


@given(st.sampled_from(["ab", "abc", "abcd"]), deeds)
def test_all_are_replaced_one_after_the_other_and_never_two_at_once(slots, steps):
    world = World(slots=slots, boots=True)
    run(world, steps)
    settle(world)
    assert set(world.template.values()) == {NEW}
    assert all(world.machine[slot] == 1 for slot in slots), "each once"
    assert world.well[world.serving]


@given(st.sampled_from(["ab", "abc"]), deeds)
def test_a_template_that_does_not_boot_takes_one_gateway_and_the_others_go_on_serving(slots, steps):
    world = World(slots=slots, boots=False)
    run(world, steps)
    settle(world)
    assert sum(not well for well in world.well.values()) == 1
    assert world.well[world.serving]


@given(deeds, deeds)
def test_a_template_that_was_mended_is_rolled_out_once_the_broken_machine_was_ended(before, after):
    world = World(slots="ab", boots=False)
    run(world, before)
    settle(world)
    [broken] = [slot for slot in "ab" if not world.well[slot]]
    world.launch, world.boots = "mended", True
    settle_without_boot = [(slot, what) for slot, what in after if what != "boot"]
    run(world, settle_without_boot)
    assert sum(world.well.values()) == 1
    world.boot(broken)  # `twinlock gateway roll --slot` ended it
    settle(world)
    assert set(world.template.values()) == {"mended"}
