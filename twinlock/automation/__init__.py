"""Deploys environments from a program: `Automation(program, workspace).deploy(spec)`. Prints nothing.

The program is a folder with Pulumi.yaml: a checkout of Twinlock, or the lab's `lab/stack`. An EnvironmentSpec is the
model that the program reads its configuration into, so there is no second schema. This package alone imports
`pulumi.automation`, and it alone of `twinlock` knows `components`.

    errors.py      what can end an operation        operation.py  one of them, under way
    engine.py      the engine's command             events.py     what the engine says, as plain values
    workspace.py   a folder for each environment    settling.py   after an engine was killed
    platform.py    Automation                       outputs.py    what an environment says of itself
"""

from __future__ import annotations

import sys
from pathlib import Path

# The program's packages lie beside this one in a checkout; the command is installed without them.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from components.models import Settings as EnvironmentSpec
from twinlock.automation.errors import AutomationError, Busy, Cancelled, Invalid, Refused, TimedOut
from twinlock.automation.operation import Operation, Wishes
from twinlock.automation.outputs import Outputs
from twinlock.automation.platform import Automation
from twinlock.automation.workspace import configuration, spec

__all__ = ["Automation", "AutomationError", "Busy", "Cancelled", "EnvironmentSpec", "Invalid", "Operation", "Outputs",
           "Refused", "TimedOut", "Wishes", "configuration", "spec"]  # fmt: skip
