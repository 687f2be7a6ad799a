"""`python -m lab.provider aws|random` serves a plugin to the engine."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType


def protocol_alone() -> None:
    """Lets `pulumi.runtime.proto` be imported without the SDK around it, which is half of a plugin's start.

    The packages that it lies in are held by modules that have a path and nothing else; for this process alone.
    """
    spec = importlib.util.find_spec("pulumi")
    for name, below in (("pulumi", ""), ("pulumi.runtime", "/runtime")):
        place = ModuleType(name)
        place.__path__ = [folder + below for folder in (spec and spec.submodule_search_locations) or ()]
        sys.modules[name] = place


if __name__ == "__main__":
    protocol_alone()
    from .serve import serve

    serve(sys.argv[1])
