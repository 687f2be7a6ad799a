"""Who may serve a shard, and when: pure. Times are this gateway's own monotonic seconds; no two clocks are compared.

The registry holds one lease a shard, and every change of it is a conditional write. Whoever serves renews it. Who
stands by takes it

- when there is none, or it is its own;
- on the word that its owner fell silent, once: a word counts if this gateway had heard that twin, stood by when it fell
  silent, and has not lost the shard since (two live gateways would else steal from each other for ever);
- when it is stale: unchanged for 3 s while the registry answered, and its owner silent;
- when its owner hands it over.

Who took without the registry finds the old owner's lease there when it is back. The old owner, where it hears a twin
serve under a higher term, does not take what is its own. The new one goes on as long as it hears that the old one
stands by, or sees that it does not renew; after 3 s of that it has the lease.

A word counts without the registry too, if that does not answer in time. Each taking has a higher term; a gateway that
hears a twin serve under a higher one lets go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from twinlock.registry.model import ShardLease

LEASE_SECONDS = 3.0
ANSWER_SECONDS = 0.25  # so long a word waits for the registry, if that answered last time
RENEWED_SECONDS = 1.0  # without a twin, an owner is sure for so long after a renewal
# Who took without the registry: the other may have it, and stays sure that much after this one is back in it.
ALONE_SECONDS = LEASE_SECONDS - RENEWED_SECONDS
SILENT_SECONDS = 0.4  # and, once no twin is heard any more, for so long without one
HANDED_SECONDS = 2.0  # who handed over waits so long for the other to take it
WORD_SECONDS = 3.0  # then the lease is stale anyway
Gate = Literal["open", "doubt", "shut"]
_NEVER = float("-inf")


@dataclass(frozen=True, kw_only=True)
class Twin:
    """What is known of another gateway."""

    heard: bool = False
    serving: bool = False
    term: int = 0


@dataclass(frozen=True, kw_only=True)
class View:
    """All that one gateway knows of one shard."""

    me: str
    twins: Mapping[str, Twin] = field(default_factory=dict[str, Twin])
    serving: bool = False
    term: int = 0
    lease: ShardLease | None = None  # as the registry last gave it
    changed_at: float = _NEVER  # when it was first seen so
    sure_until: float = _NEVER  # as an owner, without hearing a twin
    answered: bool = False  # whether the registry answered last time
    word: str = ""  # the twin that fell silent
    word_at: float = _NEVER
    handed_at: float = _NEVER


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One conditional write: it holds if there is no lease, if it is one's own, if it is `over`'s, or as `seen`."""

    over: str | None = None  # whose lease, whatever its end
    seen: int | None = None  # until_ms of the very lease


def fell_silent(view: View, slot: str, clock: float) -> View:
    was = view.twins.get(slot, Twin())
    view = replace(view, twins={**view.twins, slot: replace(was, heard=False)})
    owner = view.lease.owner if view.lease else ""
    if was.heard and not view.serving and (was.serving or owner == slot):
        return replace(view, word=slot, word_at=clock)
    # An owner without any twin has to hear from the registry at once, or it is in doubt.
    return view if _hears_any(view) else replace(view, sure_until=min(view.sure_until, clock + SILENT_SECONDS))


def heard(view: View, slot: str, serving: bool, term: int) -> View:
    """A twin said how it is. If it serves under a higher term than this gateway, this one lets go."""
    view = replace(view, twins={**view.twins, slot: Twin(heard=True, serving=serving, term=term)})
    # Its silence is over, or another twin has taken what it had.
    if view.word == slot or (view.word and serving and term > view.twins.get(view.word, Twin()).term):
        view = replace(view, word="")
    if view.serving and serving and (term, slot) > (view.term, view.me):
        return replace(view, serving=False)
    return view


def claim(view: View, clock: float) -> Claim | None:
    """What to write now; None: nothing, this gateway just handed over."""
    lease = view.lease
    if not view.serving and clock - view.handed_at < HANDED_SECONDS:
        return None
    if lease is None or lease.owner == view.me:
        return Claim()
    if (view.serving or view.word == lease.owner) and clock - view.word_at < WORD_SECONDS:
        return Claim(over=lease.owner)
    if view.serving and _stands_by(view, lease.owner):
        return Claim(over=lease.owner)
    stale = not _hears(view, lease.owner) and view.answered and clock - view.changed_at >= LEASE_SECONDS
    # What it took without the registry it claims at once, unless the owner renewed meanwhile: then that may live.
    taken = view.serving and not view.answered
    return Claim(seen=lease.until_ms) if stale or taken else Claim()


def answered(view: View, lease: ShardLease, began: float, clock: float) -> View:
    """The registry's word: the lease that is in force. `began` is when the question was sent."""
    changed = view.changed_at if view.lease == lease and view.answered else clock
    kept = view.lease is not None and view.lease.owner == lease.owner and not _renews(view, lease)
    view = replace(view, lease=lease, changed_at=changed, answered=True)
    if lease.owner != view.me:
        # A question from before a taking, or a word, says nothing about it; nor does a lease that its owner no longer
        # goes by say anything about a taking.
        early = began <= view.word_at
        word = view.word if early or lease.owner == view.word else ""
        return replace(view, serving=view.serving and (early or kept), word=word)
    if _yields(view) or (not view.serving and began < view.handed_at + HANDED_SECONDS):
        return view
    view = replace(view, sure_until=max(view.sure_until, began + RENEWED_SECONDS), word="")
    return view if view.serving else take(view, clock)


def unanswered(view: View, served: bool) -> View:
    """No answer. A gateway that just started goes on with what it did before (`served`), and is in doubt until a twin
    or the registry is heard: another one may have taken its clients meanwhile."""
    first = view.lease is None and not view.serving and served
    if first and not any(twin.serving for twin in view.twins.values()):
        view = replace(view, serving=True)
    return replace(view, answered=False)


def due(view: View, clock: float) -> bool:
    """Whether to take the shard without the registry, on a word alone."""
    waited = clock - view.word_at
    return bool(view.word) and not view.serving and (not view.answered or ANSWER_SECONDS <= waited < WORD_SECONDS)


def take(view: View, clock: float, sure: float = LEASE_SECONDS) -> View:
    """Serves from now on, and is `sure` of it for so many seconds."""
    term = 1 + max([view.term, *(twin.term for twin in view.twins.values())])
    return replace(view, serving=True, term=term, word="", sure_until=max(view.sure_until, clock + sure))


def given(view: View, clock: float) -> View:
    """The owner let go, and said that this gateway is next."""
    return view if view.serving else take(replace(view, word_at=clock, handed_at=_NEVER), clock)


def hand_over(view: View, clock: float) -> View:
    return replace(view, serving=False, handed_at=clock, word="")


def is_calm(view: View) -> bool:
    """Whether the registry need not be asked more often than usual."""
    return _hears_any(view) and not view.word


def gate(view: View, clock: float) -> Gate:
    """In doubt: without a twin that says it stands by, and without a renewed lease."""
    if not view.serving:
        return "shut"
    if not view.twins or clock < view.sure_until:
        return "open"
    return "open" if any(twin.heard and not twin.serving for twin in view.twins.values()) else "doubt"


def _yields(view: View) -> bool:
    """A twin is heard to serve, and this gateway has let go to it."""
    return not view.serving and any(
        twin.heard and twin.serving and (twin.term, slot) > (view.term, view.me) for slot, twin in view.twins.items()
    )


def _renews(view: View, lease: ShardLease) -> bool:
    """Whether the owner of this lease still goes by it: it serves, or is silent and renews."""
    twin = view.twins.get(lease.owner, Twin())
    return twin.serving if twin.heard else view.answered and view.lease != lease


def _stands_by(view: View, slot: str) -> bool:
    return _hears(view, slot) and not view.twins[slot].serving


def _hears(view: View, slot: str) -> bool:
    return view.twins.get(slot, Twin()).heard


def _hears_any(view: View) -> bool:
    return not view.twins or any(twin.heard for twin in view.twins.values())
