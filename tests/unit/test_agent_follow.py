"""The registry followed by names: the same as if it were read in full after each change, and what stays is not new."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.agent_lives import KEYS
from tests.agent_samples import ANN, BOB, definition, peer
from twinlock.agent import overlay
from twinlock.agent.follow import Names, follow, read_in_full
from twinlock.registry.model import Peer

_steps = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob", "eve"]),
        st.sets(st.tuples(st.sampled_from(KEYS), st.integers(1, 3)), max_size=2),
        st.sampled_from([True, True, False, None]),
    ),
    max_size=12,
)


class Register:
    """Peers of one tenant, of which a name may have two: one that rotates."""

    def __init__(self, *peers: Peer) -> None:
        self.peers = {one.public_key: one for one in peers}
        self.changes: list[str] = []

    def definition(self):
        return definition()

    def generations(self) -> dict[str, int]:
        return {"ml": len(self.changes)}

    def changed_names(self, tenant: str, since: int, upto: int) -> frozenset[str]:
        return frozenset(self.changes[since:upto])

    def served_peers(self, tenant: str, names: Iterable[str] | None = None) -> tuple[Peer, ...]:
        found = [one for one in self.peers.values() if names is None or one.name in names]
        return tuple(peer(one.name, one.public_key, one.address) for one in found if tenant == "ml")  # as read anew

    def change(self, name: str, held: Iterable[tuple[str, int]]) -> None:
        kept = {key: one for key, one in self.peers.items() if one.name != name}
        come = {key: peer(name, key, f"10.100.1.{last}") for key, last in held if key not in kept}
        self.peers = kept | come
        self.changes.append(name)


@pytest.mark.parametrize("most", [0, 500])
@given(steps=_steps)
def test_whatever_names_change_the_peers_are_those_of_a_full_read(most, steps):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlay, "_MOST", most)
        registry, names = Register(), Names()
        last = read_in_full(registry, None)
        for name, held, looked in steps:
            registry.change(name, held)
            if looked is None:
                last = read_in_full(registry, last)
                names.learn(last)
            elif looked:
                last = follow(registry, last, names)
                assert last == read_in_full(registry, None)
        assert follow(registry, last, names) == read_in_full(registry, last) == read_in_full(registry, None)


def test_whoever_stays_as_they_are_is_the_same_object_after_a_full_read():
    registry = Register(peer(), peer("bob", BOB, "10.100.1.2"))
    last = read_in_full(registry, None)
    again = read_in_full(registry, last)
    assert again.peers["ml"] is last.peers["ml"] and again.definition is last.definition
    registry.change("bob", [(BOB, 3)])
    again = read_in_full(registry, last)
    assert again.peers["ml"][ANN] is last.peers["ml"][ANN]
    assert again.peers["ml"][BOB].address == "10.100.1.3"
