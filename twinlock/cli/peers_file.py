"""peers.yaml: who is to be enrolled, by tenant. Text in, values out, and back.

tenants:
  red:
    laptop: {public_key: "base64 of 32 bytes"}
    visitor: {public_key: "…", expires: 2027-01-31T12:00:00Z, reach: [storage]}
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import typer
import yaml

from twinlock.registry.errors import Refused
from twinlock.registry.ground import check_wanted
from twinlock.registry.model import Peer, Wanted
from twinlock.registry.reach import chosen
from twinlock.registry.roster import Roster

LARGEST = 32 << 20  # bytes: some hundred thousand peers
_FIELDS = {"public_key", "expires", "reach"}


class _Loader(yaml.CSafeLoader):
    """YAML without what makes one text mean another: a key twice, and references."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _wrong(key, "a key is text")
            if key.tag != "tag:yaml.org,2002:str":
                raise _wrong(key, f"{key.value!r} is no text to YAML: put it in quotes")
            if key.value in seen:
                raise _wrong(key, f"{key.value} is there twice")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_roster(path: Path) -> Roster:
    """Raises typer.BadParameter that says where and what, before anything was asked of the registry."""
    try:
        if path.stat().st_size > LARGEST:
            raise typer.BadParameter(f"{path} is larger than {LARGEST >> 20} MiB: split it by tenant")
        text = path.read_text("utf-8")
    except OSError as exc:
        raise typer.BadParameter(f"can't read {path}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise typer.BadParameter(f"{path} is not UTF-8 text") from exc
    return roster_from(text, str(path))


def roster_from(text: str, where: str) -> Roster:
    """Raises typer.BadParameter."""
    try:
        events = cast(Iterable[yaml.Event], yaml.parse(text, _Loader))  # pyright: ignore[reportUnknownMemberType]
        if any(isinstance(event, yaml.AliasEvent) for event in events):
            raise typer.BadParameter(f"{where}: references (*name) are not read here: write each peer out")
        document: object = yaml.load(text, _Loader)  # noqa: S506  (a safe loader)
    except yaml.YAMLError as exc:
        raise typer.BadParameter(f"{where}: {_said(exc)}") from exc
    except (RecursionError, ValueError) as exc:
        raise typer.BadParameter(f"{where}: it is no list of peers ({type(exc).__name__})") from exc
    top = _mapping(document, where)
    if set(top) != {"tenants"}:
        raise typer.BadParameter(f"{where}: there should be `tenants` at the top and nothing else")
    tenants = _mapping(top["tenants"], f"{where}: tenants")
    roster = {name: _tenant(found, f"{where}: tenants.{name}") for name, found in tenants.items()}
    _check_keys(roster, where)
    return roster


def roster_text(peers: Iterable[Peer]) -> str:
    """The pending and approved ones, in the form that `read_roster` reads."""
    tenants: dict[str, dict[str, dict[str, str | datetime | list[str]]]] = {}
    for peer in peers:
        fields: dict[str, str | datetime | list[str]] = {"public_key": peer.public_key}
        if peer.expires_at is not None:
            fields["expires"] = datetime.fromtimestamp(peer.expires_at, UTC)
        if peer.reach is not None:
            fields["reach"] = list(peer.reach)
        tenants.setdefault(peer.tenant, {})[peer.name] = fields
    return yaml.dump({"tenants": tenants}, Dumper=yaml.CSafeDumper, sort_keys=True, width=200)


def _tenant(value: object, where: str) -> tuple[Wanted, ...]:
    peers = _mapping({} if value is None else value, where)
    return tuple(_wanted(name, _mapping(found, f"{where}.{name}"), f"{where}.{name}") for name, found in peers.items())


def _wanted(name: str, fields: Mapping[str, object], where: str) -> Wanted:
    key = fields.get("public_key")
    if not isinstance(key, str) or fields.keys() - _FIELDS:
        odd = ", ".join(sorted(fields.keys() - _FIELDS)) or "public_key"
        raise typer.BadParameter(
            f"{where}: {odd}: a peer has a public_key in quotes, expires if it is to end, and reach"
        )
    ends, reach = _moment(fields.get("expires"), where), _reach(fields.get("reach"), where)
    one = Wanted(name=name, public_key=key, expires_at=ends, reach=reach)
    try:
        check_wanted(one)
    except Refused as exc:
        raise typer.BadParameter(f"{where}: {exc}") from exc
    return one


def _reach(value: object, where: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    found = cast(list[object], value) if isinstance(value, list) else []
    if not found or not all(isinstance(name, str) for name in found):
        raise typer.BadParameter(f"{where}: reach is a list of what the tenant reaches, as in [storage, nfs]")
    return chosen(cast(list[str], found))


def _moment(value: object, where: str) -> int | None:
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise typer.BadParameter(f"{where}: expires is a time with its zone, as in 2027-01-31T12:00:00Z")
    # YAML's times without a zone are UTC by its own rules.
    return int((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp())


def _check_keys(roster: Roster, where: str) -> None:
    owners: dict[str, str] = {}
    for tenant, listed in roster.items():
        for one in listed:
            other = owners.setdefault(one.public_key, f"{tenant}.{one.name}")
            if other != f"{tenant}.{one.name}":
                raise typer.BadParameter(f"{where}: {other} and {tenant}.{one.name} have the same public key")


def _mapping(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise typer.BadParameter(f"{where}: there should be names, each with a colon")
    return cast(dict[str, object], value)


def _wrong(node: yaml.Node, what: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=what, problem_mark=node.start_mark)


def _said(exc: yaml.YAMLError) -> str:
    if not isinstance(exc, yaml.MarkedYAMLError) or exc.problem_mark is None:
        return " ".join(str(exc).split())
    return f"line {exc.problem_mark.line + 1}: {exc.problem}"
