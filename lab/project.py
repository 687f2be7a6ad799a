"""Project folders like the lab's own, for other stack files: the same program, the lab's provider plugins."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import yaml

from lab.paths import ROOT, STACK
from lab.remote import LabError


def write(folder: Path, stack: str, config: Mapping[str, object], main: Path = ROOT) -> Path:
    """`main`: the folder of the program."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = yaml.safe_load((STACK / "Pulumi.yaml").read_text())
    settings["main"] = str(main)
    settings["runtime"]["options"]["virtualenv"] = str(ROOT / ".venv")
    for plugin in settings["plugins"]["providers"]:
        plugin["path"] = str((STACK / plugin["path"]).resolve())
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump(settings))
    (folder / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump({"config": dict(config)}))
    return folder


def stack_file(path: Path) -> tuple[str, Mapping[str, object]]:
    """The stack's name and its configuration; what its secrets are encrypted with stays behind. Raises LabError."""
    named = re.fullmatch(r"Pulumi\.(.+)\.ya?ml", path.name)
    if named is None:
        raise LabError(f"{path} is not named Pulumi.NAME.yaml: pass a stack file", 2)
    try:
        content = cast(object, yaml.safe_load(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise LabError(
            f"can't read the stack file {path}: pass one that `twinlock environment check` takes", 2
        ) from error
    config = cast(Mapping[str, object], content).get("config") if isinstance(content, Mapping) else None
    if not isinstance(config, Mapping):
        raise LabError(f"{path} has no `config:`: `twinlock environment new` writes one", 2)
    return named[1], cast(Mapping[str, object], config)
