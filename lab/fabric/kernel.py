"""The one file that changes the kernel: runs `ip`, `nft` and `conntrack`, writes sysctls, enters namespaces."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from lab.fabric.difference import Steps
from lab.fabric.wiring import Cable, Key, Setting

T = TypeVar("T")
SPACES = Path("/run/netns")
RESOLVERS = Path("/etc/netns")  # `ip netns exec` and the machines take a namespace's resolv.conf from here
CLONE_NEWNET = 0x40000000

# A router's own kernel settings. UDP timeouts in seconds: AWS, "Security group connection tracking" (30 s of a flow
# seen in one direction alone, 180 s of a stream).
ROUTER = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
    "net/ipv4/conf/default/proxy_arp": "1",
    # A cable that carries IPv6 has it switched on by itself.
    "net/ipv6/conf/all/disable_ipv6": "1",
    "net/ipv6/conf/default/disable_ipv6": "1",
    "net/ipv6/conf/all/forwarding": "1",
    "net/netfilter/nf_conntrack_udp_timeout": "30",
    "net/netfilter/nf_conntrack_udp_timeout_stream": "180",
}
# A strict home router's or a carrier's: UDP mappings of 30 s, whatever passed through them.
NAT = {**ROUTER, "net/ipv4/conf/default/proxy_arp": "0", "net/netfilter/nf_conntrack_udp_timeout_stream": "30"}
# A host's: filters on a machine are its own business, and a source that a route does not lead back to is too.
HOST = {"net/ipv4/conf/all/rp_filter": "0", "net/ipv4/conf/default/rp_filter": "0"}


class FabricError(RuntimeError):
    """The kernel refused something; the message holds the command and its own words."""


def carry_out(steps: Steps, *, again: bool = False) -> None:
    """Does all of it, in batches of one process a namespace; `again` finishes what failed half-way before."""
    make(steps.routers, ROUTER)
    make(steps.nats, NAT)
    make(steps.hosts, HOST)
    _batches(((c.near, f"link del {c.near_device}") for c in steps.unplug), force=again)
    _batches(((key[0], _drop(key, setting)) for key, setting in steps.drop), force=again)
    if again:
        _batches(_undone(steps), force=True)
    _batch([], [_plug(cable) for cable in steps.plug])
    for cable in steps.plug:
        if cable.ipv6:
            _speak_ipv6(cable)
    # The rules first: a device that is up must never be without its filter.
    for namespace, text in steps.rulesets:
        inside_run(namespace, ["nft", "-f", "-"], text)
    up = (line for c in steps.plug for line in _up(c))
    _batches([*up, *((key[0], _put(key, setting)) for key, setting in steps.put)])
    for namespace, resolver in steps.resolvers:
        write_resolver(namespace, resolver)
    for namespace in steps.remove:
        remove(namespace)


def make(namespaces: Iterable[str], sysctls: dict[str, str]) -> None:
    """Namespaces with their loopback up; those that are there already are left as they are."""
    there = set(existing())
    missing = [namespace for namespace in namespaces if namespace not in there]
    _batch([], [f"netns add {namespace}" for namespace in missing])
    for namespace in missing:
        inside(namespace, lambda: _write_sysctls(sysctls))
    _batches((namespace, "link set lo up") for namespace in missing)


def remove(namespace: str) -> None:
    """Kills what runs in a namespace, and takes it away with its resolv.conf."""
    if not (SPACES / namespace).exists():
        return
    for pid in pids(namespace):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _run(["ip", "netns", "del", namespace])
    (RESOLVERS / namespace / "resolv.conf").unlink(missing_ok=True)
    if (RESOLVERS / namespace).is_dir():
        (RESOLVERS / namespace).rmdir()


def existing() -> list[str]:
    """All named namespaces of this machine."""
    return sorted(p.name for p in SPACES.iterdir()) if SPACES.is_dir() else []


def pids(namespace: str) -> list[int]:
    """Processes whose main thread is in a namespace."""
    return [int(pid) for pid in _run(["ip", "netns", "pids", namespace]).split()]


def write_resolver(namespace: str, resolver: str) -> None:
    folder = RESOLVERS / namespace
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "resolv.conf").write_text(f"nameserver {resolver}\noptions timeout:1 attempts:3\n")


def inside(namespace: str, act: Callable[[], T]) -> T:
    """Calls `act` in a thread of this process that has entered the namespace. What it raises is raised here."""
    answers: list[T] = []
    failures: list[BaseException] = []

    def enter() -> None:
        try:
            _enter(namespace)
            answers.append(act())
        except BaseException as failure:  # noqa: BLE001  raised below, in the caller's thread
            failures.append(failure)

    thread = threading.Thread(target=enter, name=f"inside {namespace}")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return answers[0]


def _enter(namespace: str) -> None:
    with (SPACES / namespace).open() as handle:
        if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter the namespace {namespace}")


def inside_run(namespace: str, argv: list[str], text: str = "") -> str:
    """Runs a command in a namespace and returns what it printed."""
    return _run(["nsenter", f"--net={SPACES / namespace}", *argv], text)


def forget_flows(namespace: str, addresses: Iterable[str]) -> None:
    """Drops connection tracking entries that start or end at these addresses."""
    for address in addresses:
        for side in ("--orig-src", "--orig-dst"):
            # Exit 1 is "none there".
            _run(["nsenter", f"--net={SPACES / namespace}", "conntrack", "-D", side, address], allowed=(0, 1))


def _plug(cable: Cable) -> str:
    mac = f"address {cable.far_mac} " if cable.far_mac else ""
    far = f"peer name {cable.far_device} {mac}mtu {cable.mtu} netns {cable.far}"
    return f"link add {cable.near_device} mtu {cable.mtu} netns {cable.near} type veth {far}"


def _speak_ipv6(cable: Cable) -> None:
    name = f"net/ipv6/conf/{cable.near_device}/disable_ipv6"
    inside(cable.near, lambda: _write_sysctls({name: "0"}))


def _undone(steps: Steps) -> Iterator[tuple[str, str]]:
    """Takes back what may or may not have been done, where doing it twice is an error."""
    for cable in steps.plug:
        yield cable.near, f"link del {cable.near_device}"
    for key, setting in steps.put:
        if key[1] == "rule":
            yield key[0], _drop(key, setting)


def _up(cable: Cable) -> Iterator[tuple[str, str]]:
    # Otherwise a router's answer for a neighbour waits up to 0.8 s.
    yield cable.near, f"ntable change name arp_cache dev {cable.near_device} proxy_delay 0"
    yield cable.near, f"link set {cable.near_device} up"
    yield cable.far, f"link set {cable.far_device} up"


def _put(key: Key, setting: Setting) -> str:
    verb = "add" if key[1] == "rule" else "replace"
    return f"{key[1]} {verb} {key[2]} {setting.rest}"


def _drop(key: Key, setting: Setting) -> str:
    return f"{key[1]} del {key[2]} {setting.rest if key[1] == 'address' else ''}"


def _batches(lines: Iterable[tuple[str, str]], *, force: bool = False) -> None:
    by_namespace: defaultdict[str, list[str]] = defaultdict(list)
    for namespace, line in lines:
        by_namespace[namespace].append(line)
    for namespace, commands in by_namespace.items():
        _batch(["-n", namespace], commands, force=force)


def _batch(options: list[str], lines: list[str], *, force: bool = False) -> None:
    """`force` goes on after a line that failed, and is for lines that may have nothing to do."""
    if not lines:
        return
    forced, allowed = (["-force"], (0, 1)) if force else ([], (0,))
    try:
        _run(["ip", *options, *forced, "-batch", "-"], "\n".join(lines) + "\n", allowed=allowed)
    except FabricError as exc:
        numbered = "\n".join(f"  {n}: {line}" for n, line in enumerate(lines, 1))
        raise FabricError(f"{exc}\n{numbered}") from exc


def _write_sysctls(sysctls: dict[str, str]) -> None:
    for name, value in sysctls.items():
        Path("/proc/sys", name).write_text(value)


def _run(argv: list[str], text: str = "", *, allowed: tuple[int, ...] = (0,)) -> str:
    try:
        done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    except FileNotFoundError as exc:
        raise FabricError(
            f"{argv[0]} is not installed: apt-get install iproute2 nftables conntrack dnsmasq-base"
        ) from exc
    if done.returncode not in allowed:
        raise FabricError(f"{' '.join(argv)} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
