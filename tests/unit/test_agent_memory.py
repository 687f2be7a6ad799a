"""Where ways are, kept in the registry for when no gateway is left."""

from __future__ import annotations

from tests.agent_samples import ANN, BOB
from twinlock.agent.calls import ALIVE_SECONDS
from twinlock.agent.memory import KEEP_SECONDS, WayMemory

HOME, CAFE = "198.51.100.2:29112", "[2001:db8::7]:40404"


class Store:
    def __init__(self) -> None:
        self.kept: dict[str, tuple[str, ...]] = {}
        self.writes = 0

    def ways(self, slot: str) -> dict[str, tuple[str, ...]]:
        assert slot == "a"
        return dict(self.kept)

    def keep_ways(self, slot: str, piece: str, ends: tuple[str, ...]) -> None:
        self.writes += 1
        self.kept[piece] = ends


class Time:
    at = 1000.0

    def __call__(self) -> float:
        return self.at


def _fresh(store: Store, clock: Time) -> WayMemory:
    memory = WayMemory("a", store, clock)
    memory.recall({ANN: None, BOB: None})
    return memory


def test_what_one_gateway_kept_the_next_one_of_its_slot_recalls():
    store, clock = Store(), Time()
    _fresh(store, clock).keep({ANN: HOME, BOB: CAFE})
    assert WayMemory("a", store, clock).recall({ANN: None, BOB: None}) == {ANN: HOME, BOB: CAFE}
    assert WayMemory("a", store, clock).recall({BOB: None}) == {BOB: CAFE}, "nobody else's"


def test_nothing_is_written_where_nothing_changed_and_a_client_that_moves_often_costs_two_writes_a_minute():
    store, clock = Store(), Time()
    memory = _fresh(store, clock)
    for second in range(600):
        clock.at = 1000.0 + second
        memory.keep({ANN: HOME, BOB: f"198.51.100.9:{second + 1}"})
    assert store.writes == 1 + 600 / KEEP_SECONDS


def test_a_gateway_that_starts_does_not_wipe_out_what_it_has_not_reached_yet():
    store, clock = Store(), Time()
    _fresh(store, clock).keep({ANN: HOME, BOB: CAFE})
    memory = _fresh(store, clock)
    clock.at += KEEP_SECONDS
    memory.keep({ANN: HOME})
    assert _fresh(store, clock).recall({BOB: None}) == {BOB: CAFE}
    clock.at += ALIVE_SECONDS
    memory.keep({ANN: HOME})
    assert _fresh(store, clock).recall({BOB: None}) == {}, "but it is gone when the client is"


def test_nothing_is_written_before_what_was_kept_is_known():
    store = Store()
    WayMemory("a", store, Time()).keep({ANN: HOME})
    assert store.writes == 0


def test_ten_thousand_ways_lie_in_small_pieces():
    store, clock = Store(), Time()
    memory = _fresh(store, clock)
    ends = {f"{chr(65 + number % 26)}{number:042}=": f"198.51.100.2:{number + 1}" for number in range(10_000)}
    for _ in range(10):
        memory.keep(ends)
    assert sum(len(lines) for lines in store.kept.values()) == 10_000
    assert max(len("".join(lines)) for lines in store.kept.values()) < 40_000
