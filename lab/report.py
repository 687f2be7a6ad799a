"""What `make lab` found, for programs (`.lab/report.json`) and for people (a table)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, kw_only=True)
class GatewayFacts:
    name: str
    zone: str
    instance_id: str
    address: str
    role: str  # "serving" or "standby"
    boot_seconds: float  # from the machine's start to its line on the console
    handshake_seconds: float  # from a client's tunnel being up to its way's first handshake


@dataclass(frozen=True, kw_only=True)
class PeerFacts:
    name: str
    tenant: str
    address: str
    public_key: str


@dataclass(frozen=True, kw_only=True)
class ObjectFacts:
    bytes: int
    sha256: str
    put_seconds: float
    get_seconds: float
    retries: int  # by the SDK, both ways together
    via: str  # the tunnel's interface and the storage's address


@dataclass(frozen=True, kw_only=True)
class Refusal:
    tried: str
    answer: str
    # The same attempt where it may: shows that it is the protection that refuses, not a thing that isn't there.
    control: str


@dataclass(frozen=True, kw_only=True)
class PulumiFacts:
    version: str
    resources: int
    provider: str


@dataclass(frozen=True, kw_only=True)
class Report:
    commit: str
    agent_sha256: str
    gateways: tuple[GatewayFacts, ...]
    peers: tuple[PeerFacts, ...]
    object: ObjectFacts
    refused: dict[str, Refusal]
    timings: dict[str, float]
    pulumi: PulumiFacts

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")


def show(report: Report, console: Console) -> None:
    """Prints the report as a table that one reads without knowing the program."""
    table = Table(title="What happened", show_header=False, title_justify="left", pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    for gateway in report.gateways:
        table.add_row(
            f"Gateway {gateway.name}",
            f"{gateway.role} in {gateway.zone} at {gateway.address} ({gateway.instance_id}); "
            f"ready after {gateway.boot_seconds:.1f} s, way open after {gateway.handshake_seconds:.2f} s",
        )
    for peer in report.peers:
        table.add_row(f"Peer {peer.name}", f"tenant {peer.tenant}, {peer.address}, key {peer.public_key[:8]}…")
    moved = report.object
    table.add_row(
        "Object",
        f"{moved.bytes >> 20} MiB up in {moved.put_seconds:.1f} s, down in {moved.get_seconds:.1f} s, "
        f"same SHA-256 {moved.sha256[:16]}…, through {moved.via}"
        + (f", after {moved.retries} retries" if moved.retries else ""),
    )
    for name, refusal in report.refused.items():
        table.add_row(
            f"Refused: {name.replace('_', ' ')}", f"{refusal.tried} → {refusal.answer}\n[dim]{refusal.control}[/]"
        )
    table.add_row("Pulumi", f"{report.pulumi.version}, {report.pulumi.resources} resources, {report.pulumi.provider}")
    console.print(table)
