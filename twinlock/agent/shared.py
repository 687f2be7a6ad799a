"""What the threads of a running gateway share.

`lock` is for whoever changes the box, or what it should be. Everything else has one writer and is replaced as a whole,
so that whoever reads it sees the old or the new one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from twinlock.agent.desired import Desired
from twinlock.agent.ownership import Ownership
from twinlock.agent.state import LastState
from twinlock.registry.traffic import Traffic


class Shared:
    def __init__(self, own: Ownership, state: LastState | None) -> None:
        self.lock = threading.Lock()
        self.own = own  # its events come from every thread; the main one alone takes them
        self.want: Desired | None = None  # under the lock
        self.want_of: LastState | None = None  # under the lock: what `want` was made from
        self.state = state  # the follower's
        self.served: frozenset[int] = frozenset()  # the main thread's: shards
        self.failing: Mapping[str, str] = {}  # the main thread's: check -> why
        self.checked_at: float | None = None  # the main thread's: when it last learned that, on the clock
        self.answered_at: float | None = None  # the follower's: when the registry last answered it, on the clock
        self.phases: Mapping[str, int] = {}  # the main thread's: of the last change of who serves, here
        self.floating: Callable[[], bool | None] = lambda: None  # whether this gateway holds the floating address
        self.fresh = 0  # the main thread's: how many clients hold a way open
        # The counting thread's: of all peers together, and a line for each, in pieces (traffic.py).
        self.traffic: tuple[Traffic, Mapping[str, tuple[str, ...]]] | None = None
        # The counting thread's: packets by TENANT/NAME of peers that were shut out and still send (shut_out.py).
        self.shut_out: Mapping[str, int] = {}
        self.ends: Mapping[str, str] | None = None  # the main thread's: where ways are open, by public key

    @property
    def serving(self) -> bool:
        """Whether it serves any shard."""
        return bool(self.served)
