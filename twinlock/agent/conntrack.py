"""The only file that runs `conntrack`: ends what a revoked peer still has open, and lists what clients have."""

from __future__ import annotations

from collections.abc import Iterable

from twinlock.agent.command import Run, run


class Conntrack:
    def __init__(self, runner: Run = run) -> None:
        self._run = runner

    def established(self) -> str:
        """TCP connections that are established, in conntrack's own words."""
        return self._run(("conntrack", "-L", "-p", "tcp", "--state", "ESTABLISHED"), "")

    def cut(self, addresses: Iterable[str]) -> None:
        """Deletes every connection that one of these began, in one process however many they are."""
        if lines := "".join(f"-D -s {address}\n" for address in addresses):
            self._run(("conntrack", "-R", "-"), lines)
