"""Imports of single resource classes that cost what they need: `from pulumi_aws.ec2.vpc import Vpc`.

The SDK's `pulumi_aws.ec2` imports its 150 modules as soon as one of them is asked for: over a second of every command.
Until somebody asks it for a class, its place is held by a package that has a path and nothing else.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pulumi_aws

# The services whose classes the program uses.
SERVICES = ("autoscaling", "dynamodb", "ec2", "iam", "kms", "s3", "secretsmanager", "servicequotas", "ssm", "vpc")


class _Service(ModuleType):
    """A service's package before its index has run; asking for anything that is no module of it runs the index."""

    def __init__(self, spec: ModuleSpec) -> None:
        super().__init__(spec.name)
        self.__spec__, self.__path__ = spec, list(spec.submodule_search_locations or ())
        self.__file__, self.__package__ = spec.origin, spec.name
        self.complete = False

    def __getattr__(self, name: str) -> object:
        if self.complete or name.startswith("__"):
            raise AttributeError(f"module {self.__name__} has no attribute {name}")
        if any((Path(folder) / f"{name}.py").exists() for folder in self.__path__):
            return importlib.import_module(f"{self.__name__}.{name}")
        self.complete = True
        if self.__spec__ is not None and self.__spec__.loader is not None:
            self.__spec__.loader.exec_module(self)
        return getattr(self, name)


def import_light() -> None:
    """Call before the first import of a resource class. Services that are already loaded stay as they are."""
    for service in SERVICES:
        name = f"{pulumi_aws.__name__}.{service}"
        place = Path(pulumi_aws.__path__[0]) / service
        spec = importlib.util.spec_from_file_location(
            name, place / "__init__.py", submodule_search_locations=[str(place)]
        )
        if spec is not None and not _loaded(name):
            sys.modules[name] = _Service(spec)


def _loaded(name: str) -> bool:
    """Whether the index has run: the SDK itself leaves a lazy module that has not (of another class)."""
    return type(sys.modules.get(name)) in (ModuleType, _Service)
