"""A client's tunnel that lives as long as a `with` block: the only file of the command that runs `ip` and `wg`.

The private key goes in by standard input and is in no file. Where the machine's kernel has no WireGuard, wireguard-go.
With a namespace of its own the interface is made outside and moved in: its packets travel outside, what is inside
uses the tunnel and nothing else, so the gateway is its only name server.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from twinlock.cli import resolved, screen
from twinlock.cli.client_names import PrivateNames
from twinlock.cli.private_key import PrivateKey
from twinlock.cli.wireguard_file import ClientFile, wg_text
from twinlock.registry.errors import Refused, RegistryError

_SECONDS = 20  # for one command
_RESOLVERS = Path("/etc/netns")  # `ip netns exec` shows the files under a namespace's name as those of /etc


class TunnelFailed(RegistryError):  # noqa: N818
    """A command that makes the tunnel failed; says which and why."""


@dataclass(frozen=True)
class Tunnel:
    interface: str
    namespace: str | None

    def inside(self, argv: Sequence[str]) -> list[str]:
        """The words that run a command where the tunnel is."""
        return [*argv] if self.namespace is None else ["ip", "netns", "exec", self.namespace, *argv]

    def handshake(self, public_key: str) -> int:
        """Epoch seconds of the last one with this peer, 0 if there was none."""
        said = _run(self.inside(["wg", "show", self.interface, "latest-handshakes"]))
        return next((int(at) for key, at in (line.split("\t") for line in said.splitlines()) if key == public_key), 0)


def dump(interface: str) -> tuple[tuple[str, ...], ...]:
    """The peers of an interface, as `wg show INTERFACE dump` has them. Raises TunnelFailed. No key of ours is kept."""
    lines = _run(["wg", "show", interface, "dump"]).splitlines()[1:]
    return tuple(tuple(line.split("\t")) for line in lines)


def check_tools() -> None:
    """Raises Refused if this machine can't make a tunnel."""
    missing = [tool for tool in ("ip", "wg") if shutil.which(tool) is None]
    if missing:
        raise Refused(f"no {' and no '.join(missing)} on this machine: install iproute2 and wireguard-tools")
    if os.geteuid() != 0:
        raise Refused("making a tunnel needs root: run this with sudo -E")


@contextmanager
def tunnel(name: str, file: ClientFile, key: PrivateKey, *, namespace: bool) -> Generator[Tunnel]:
    """`name` is the interface's, and the namespace's where one is asked for; both are gone afterwards."""
    made = Tunnel(name, name if namespace else None)
    try:
        _make(made, file, key)
        yield made
    finally:
        _unmake(made)


def wait_for_handshake(made: Tunnel, public_key: str, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not made.handshake(public_key):
        if time.monotonic() > until:
            raise TunnelFailed(
                f"no gateway called this client within {seconds:.0f} s: can it send UDP to the gateways' ways, "
                "and is its clock right?"
            )
        time.sleep(0.05)


def _make(made: Tunnel, file: ClientFile, key: PrivateKey) -> None:
    name = made.interface
    if not _works(["ip", "link", "add", name, "type", "wireguard"]):
        if shutil.which("wireguard-go") is None:
            raise TunnelFailed("this kernel has no WireGuard: install wireguard-go")
        _run(["wireguard-go", name])
    # Before the move: a wireguard-go that has not answered yet does not survive it.
    _run(["wg", "setconf", name, "/dev/stdin"], wg_text(file, key))
    if made.namespace is not None:
        _run(["ip", "netns", "add", made.namespace])
        _run(["ip", "link", "set", name, "netns", made.namespace])
        _run(made.inside(["ip", "link", "set", "lo", "up"]))
    carried = _carried(made)
    for address in filter(carried, file.addresses):
        _run(made.inside(["ip", "address", "add", address, "dev", name]))
    _run(made.inside(["ip", "link", "set", name, "mtu", str(file.mtu), "up"]))
    for network in filter(carried, file.allowed):
        _run(made.inside(["ip", "route", "add", network, "dev", name]))
    if file.names is not None:
        _resolve(made, file.names)


def _resolve(made: Tunnel, names: PrivateNames) -> None:
    if made.namespace is not None:
        _resolver(made.namespace).parent.mkdir(parents=True, exist_ok=True)
        _resolver(made.namespace).write_text(f"nameserver {names.server}\n")
    elif not resolved.tell(made.interface, names):
        screen.show_note("private names need systemd-resolved, and do not resolve here (--netns does without it)")


def _resolver(namespace: str) -> Path:
    return _RESOLVERS / namespace / "resolv.conf"


def _carried(made: Tunnel) -> Callable[[str], bool]:
    """Whether this machine can have an address in its tunnel: in many containers IPv6 is switched off."""
    off = f"/proc/sys/net/ipv6/conf/{made.interface}/disable_ipv6"
    has_ipv6 = _works(made.inside(["grep", "-qx", "0", off]))
    return lambda cidr: has_ipv6 or ":" not in cidr


def _unmake(made: Tunnel) -> None:
    """As much as there is; nothing is left whatever failed before."""
    for argv in (made.inside(["ip", "link", "del", made.interface]), ["ip", "link", "del", made.interface]):
        _works(argv)
    if made.namespace is not None:
        _works(["ip", "netns", "del", made.namespace])
        shutil.rmtree(_resolver(made.namespace).parent, ignore_errors=True)


def _run(argv: Sequence[str], stdin: str = "") -> str:
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode:
        raise TunnelFailed(f"{' '.join(argv[:6])} failed: {' '.join(done.stderr.split()) or done.returncode}")
    return done.stdout


def _works(argv: Sequence[str]) -> bool:
    return subprocess.run(argv, capture_output=True, timeout=_SECONDS, check=False).returncode == 0
