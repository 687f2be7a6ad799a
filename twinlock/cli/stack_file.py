"""A stack file as plain values. Where a value stands is kept, so that a mistake can be told with its line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import typer
import yaml

_OBJECTS = ("twinlock:", "aws:region")


@dataclass(frozen=True, kw_only=True)
class StackFile:
    """`values`: "environment", "region" and the objects; `lines`: the way to a value -> its line, from 1."""

    path: Path
    values: Mapping[str, object]
    lines: Mapping[tuple[str, ...], int]

    def line(self, key: str) -> int:
        """Of a problem's key such as `twinlock:network.zones[0]`, or of the nearest thing around it."""
        way = tuple(key.replace("[", ".").replace("]", "").split("."))
        while way and way not in self.lines:
            way = way[:-1]
        return self.lines.get(way, 1)


def read(path: Path, environment: str) -> StackFile:
    """Raises typer.BadParameter (exit code 2) for what is no stack file."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise typer.BadParameter(f"can't read the stack file {path}: pass it with --file") from exc
    return parse(text, path, environment)


def parse(text: str, path: Path, environment: str) -> StackFile:
    """Raises typer.BadParameter."""
    try:
        node = cast(object, yaml.SafeLoader(text).get_single_node())
        content = cast(object, yaml.safe_load(text))
    except yaml.YAMLError as exc:
        raise typer.BadParameter(f"{path} is not YAML: {' '.join(str(exc).split())}") from exc
    config = cast(Mapping[str, object], content).get("config") if isinstance(content, Mapping) else None
    if not isinstance(config, Mapping):
        raise typer.BadParameter(f"{path} has no `config:`: `twinlock environment new` writes one")
    values = {
        str(key).removeprefix("twinlock:").removeprefix("aws:"): value
        for key, value in cast(Mapping[object, object], config).items()
        if str(key).startswith(_OBJECTS)
    }
    return StackFile(path=path, values={"environment": environment, **values}, lines=_lines(node))


def _lines(node: object) -> dict[tuple[str, ...], int]:
    found: dict[tuple[str, ...], int] = {}
    waiting: list[tuple[tuple[str, ...], object]] = [((), node)]
    while waiting:
        way, at = waiting.pop()
        if isinstance(at, yaml.MappingNode):
            pairs = cast(list[tuple[yaml.ScalarNode, yaml.Node]], at.value)
            steps = [(key.value, key, value) for key, value in pairs]
        elif isinstance(at, yaml.SequenceNode):
            steps = [(str(index), item, item) for index, item in enumerate(cast(list[yaml.Node], at.value))]
        else:
            continue
        for name, place, value in steps:
            # What stands above `config:` is not part of a value's name.
            below = (*way, str(name)) if way or name != "config" else ()
            found[below] = place.start_mark.line + 1
            waiting.append((below, value))
    return found
