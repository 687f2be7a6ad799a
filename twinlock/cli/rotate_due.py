"""`twinlock ci rotate-due`: new keys for the peers whose private keys a pipeline holds; who else is due is listed.

A folder holds NAME.key of each, and NAME.psk where the tenant has pre-shared keys. A new key lies beside the old one as
NAME.key.next until the registry serves it, and takes its place then: whatever breaks off in between, the next run goes
on with the same key.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from twinlock.cli import screen
from twinlock.cli.cloud import Environment
from twinlock.cli.options import AsJson, EnvironmentName, TenantName, chosen, duration
from twinlock.cli.preshared_file import current_data_key, read_preshared_key
from twinlock.cli.private_key import PrivateKey, make_private_key, read_private_key, write_private
from twinlock.registry.errors import Refused
from twinlock.registry.ground import tenant_of
from twinlock.registry.key_age import aged
from twinlock.registry.model import Peer
from twinlock.registry.preshared import make_preshared_key

_WORDS = {
    "rotated": "has a new key: make its file anew with `peer config`",
    "waiting": "has a new key that waits for somebody else's `peer approve`",
    "due": "is due, and its private key is not here: rotate it where it is",
    "soon": "will be due soon, and its private key is not here",
}
Outcome = Literal["rotated", "waiting", "due", "soon"]


@dataclass(frozen=True)
class Files:
    """One peer's in the pipeline's folder."""

    folder: Path
    name: str

    @property
    def key(self) -> Path:
        return self.folder / f"{self.name}.key"

    @property
    def psk(self) -> Path:
        return self.folder / f"{self.name}.psk"

    def held(self) -> PrivateKey | None:
        return read_private_key(self.key) if self.key.exists() else None

    def following(self) -> PrivateKey:
        """The key that is to come: the one of a run that broke off, or a fresh one."""
        path = _next(self.key)
        if not path.exists():
            write_private(path, make_private_key().reveal() + "\n", replace=False)
        return read_private_key(path)

    def settle(self) -> None:
        """The new key is served: it takes the old one's place."""
        for path in (self.psk, self.key):  # the key last: it is what the next run goes by
            if _next(path).exists():
                _next(path).replace(path)


def rotate_due(
    ctx: typer.Context,
    tenant: TenantName,
    keys: Annotated[Path, typer.Option(help="The folder of NAME.key files that this pipeline holds.")],
    grace: Annotated[str, typer.Option(help="How long an old key is accepted beside the new one.")] = "24h",
    environment: EnvironmentName = None,
    as_json: AsJson = False,
) -> None:
    """Rotate the keys that are due soon and lie here; exit code 1 if a key is due that could not be rotated."""
    scope, seconds = chosen(ctx, environment, as_json), duration(grace)
    if not keys.is_dir():
        raise Refused(f"{keys} is no folder: pass the one of NAME.key files")
    found = dict(_rotated(scope.open(), tenant, keys, seconds))
    if scope.json:
        screen.show_json({"peers": [{"name": name, "outcome": outcome} for name, outcome in found.items()]})
    else:
        for name, outcome in found.items():
            screen.show_line(f"{name} {_WORDS[outcome]}")
        if not found:
            screen.show_line(f"no key of tenant {tenant} is due")
    if "due" in found.values():
        raise typer.Exit(1)


def _rotated(opened: Environment, tenant: str, folder: Path, grace: int) -> Iterator[tuple[str, Outcome]]:
    registry, now = opened.registry, int(time.time())
    rules = tenant_of(registry.definition(), tenant)
    peers = registry.peers(tenant)
    live = {peer.public_key: peer for peer in peers if peer.state in ("pending", "approved")}
    for path in sorted(folder.glob("*.key.next")):
        files = Files(folder, path.name.removesuffix(".key.next"))
        peer = live.get(files.following().public())
        if peer is not None:
            yield files.name, _settled(files, peer)
    for one in aged(rules, peers, now):
        files = Files(folder, one.peer.name)
        held = files.held()
        if held is None or held.public() != one.peer.public_key:
            yield files.name, "due" if one.due else "soon"
        else:
            yield files.name, _settled(files, _asked(opened, one.peer, files, grace, preshared=rules.preshared_keys))


def _asked(opened: Environment, peer: Peer, files: Files, grace: int, *, preshared: bool) -> Peer:
    public = files.following().public()
    wrapped = _wrapped(opened, peer.tenant, public, _next(files.psk)) if preshared else None
    return opened.registry.rotate(opened.actor(), peer.tenant, peer.name, public, grace, wrapped)


def _wrapped(opened: Environment, tenant: str, public: str, path: Path) -> str:
    if not path.exists():
        write_private(path, make_preshared_key().reveal() + "\n", replace=False)
    return current_data_key(opened, tenant).wrap(read_preshared_key(path), public)


def _settled(files: Files, peer: Peer) -> Outcome:
    if peer.state != "approved":
        return "waiting"
    files.settle()
    return "rotated"


def _next(path: Path) -> Path:
    return path.with_name(f"{path.name}.next")
