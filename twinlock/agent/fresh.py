"""How many clients hold a way open to this gateway: what a switch to it waits for.

A way's handshake tells for minutes of a client that has left; its keepalive, every 25 s, tells sooner.
"""

from __future__ import annotations

from collections.abc import Mapping

from twinlock.agent.calls import ALIVE_SECONDS
from twinlock.agent.wg import TunnelPeer

FRESH_SECONDS = 60.0  # without a byte: two keepalives were missed


class FreshWays:
    def __init__(self) -> None:
        self._heard: dict[str, tuple[int, float]] = {}  # bytes received, and the clock when they were first seen

    def count(self, way: Mapping[str, TunnelPeer], clock: float, now: float) -> int:
        """`clock` is monotonic seconds, `now` epoch seconds."""
        heard: dict[str, tuple[int, float]] = {}
        for key, peer in way.items():
            last = self._heard.get(key)
            heard[key] = last if last is not None and last[0] == peer.received else (peer.received, clock)
        self._heard = heard
        return sum(
            now - peer.handshake < ALIVE_SECONDS and clock - heard[key][1] < FRESH_SECONDS for key, peer in way.items()
        )
