"""Serves Twinlock's components to a Pulumi engine, which starts this folder with its own address."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pulumi.provider import main

from components.package import Package

main(Package(), sys.argv[1:])
