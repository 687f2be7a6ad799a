"""Name service inside a namespace: dnsmasq, which knows the fabric's names and nothing else (NXDOMAIN)."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterable
from pathlib import Path

from lab.fabric.kernel import inside_run, pids
from lab.topology import Network

Answers = tuple[tuple[str, str], ...]  # (name, address); a name may have several


def answers_of(network: Network, public: Answers) -> Answers:
    """What a network's own resolver says: a private endpoint's names lead to its interfaces, all others outside."""
    addresses = {interface.id: interface.addresses[0] for interface in network.interfaces}
    private = [
        (name, addresses[interface])
        for endpoint in network.private_endpoints
        for name in endpoint.names
        for interface in endpoint.interfaces
    ]
    names = {name for name, _ in private}
    return (*private, *((name, address) for name, address in public if name not in names))


def end_names(namespace: str) -> None:
    """Ends the resolver of a namespace; it has let go of its port when this returns."""
    for pid in pids(namespace):
        if Path(f"/proc/{pid}/comm").read_text().strip() == "dnsmasq":
            gone = os.pidfd_open(pid)
            os.kill(pid, signal.SIGTERM)
            select.select([gone], [], [], 5)
            os.close(gone)


def serve_names(namespace: str, addresses: Iterable[str], names: Iterable[tuple[str, str]], hosts: str = "") -> None:
    """Starts dnsmasq on port 53 of `addresses`; it has bound them when this returns, and ends with the namespace.

    A name stands for all the names under it too, as a bucket's virtual-host names are under S3's. `hosts` is what
    dnsmasq's synth-domain takes: zone, range of addresses and what a host's name begins with.
    """
    answers = [f"--address=/{name}/{address}" for name, address in names]
    # No pid file: a namespace's processes are found by the namespace.
    inside_run(
        namespace,
        [
            "dnsmasq",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
            "--user=root",
            "--pid-file",
            "--bind-interfaces",
            f"--listen-address={','.join(addresses)}",
            "--address=/#/",
            *answers,
            *([f"--synth-domain={hosts}"] if hosts else []),
        ],
    )
