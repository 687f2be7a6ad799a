"""Where the lab keeps what it makes: all of it under `.lab`, gone after `make lab-down`."""

from __future__ import annotations

import hashlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
LAB = ROOT / ".lab"
CONTROL = LAB / "control"  # keys of the lab's CA, logs of calls and refusals
STATE = f"file://{LAB / 'state'}"  # of the Pulumi engine
MACHINES = LAB / "machines"
PEERS = LAB / "peers"  # private keys and configuration files of the lab's clients
REPORT = LAB / "report.json"
DAEMON_LOG = LAB / "daemon.log"
ENVIRONMENT = LAB / "environment.json"  # what `twinlock lab env` prints
# Relative: a socket's name is at most 107 bytes, a checkout's path may be longer. Both ends work in ROOT.
SOCKET = ".lab/socket"
LOCK = ROOT / ".lab.lock"
# Namespaces and devices are the whole machine's: each checkout's have its own mark, so that two labs don't meet.
MARK = hashlib.sha256(str(ROOT).encode()).hexdigest()[:4]
PREFIX = f"twl{MARK}"
STACK = ROOT / "lab" / "stack"
IMAGE = TOOLS / "image"
STOCK = TOOLS / "stock"  # tools/image/stock: root and mirror, where it was made
