"""A client whose key changes from peer to peer, and those who let peers in."""

from __future__ import annotations

import subprocess

from lab import calls
from lab.clients import Client
from lab.paths import MARK


def prober(tenant: str) -> Client:
    namespace, interface = calls.client("prober", "none"), f"probe-{MARK}"
    inside = ["ip", "netns", "exec", namespace]
    subprocess.run([*inside, "wireguard-go", interface], capture_output=True, check=True)
    subprocess.run([*inside, "ip", "link", "set", interface, "up"], check=True)
    return Client(
        name="prober", tenant=tenant, namespace=namespace, interface=interface, address="", public_key="",
        credentials={},
    )  # fmt: skip


def take_key(client: Client, secret: str) -> None:
    argv = ["ip", "netns", "exec", client.namespace, "wg", "set", client.interface, "private-key", "/dev/stdin"]
    subprocess.run(argv, input=secret, text=True, check=True)


def person(role: str) -> dict[str, str]:
    return calls.credentials(role, local=True)
