"""The lab's control plane with machines that are records, and projects to deploy to it: no root, no packets."""

from __future__ import annotations

import copy
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from lab import deploy
from lab.aws.control import ControlPlane
from lab.aws.launcher_front import launcher_for
from lab.aws.launcher_machines import NullMachines
from lab.paths import STACK, TOOLS
from lab.project import write

project = write
LAB_CONFIG = yaml.safe_load((STACK / "Pulumi.lab.yaml").read_text())["config"]


@dataclass(frozen=True)
class Cloud:
    control: ControlPlane
    folder: Path  # of this cloud alone

    def aws(self) -> dict[str, str]:
        admin = self.control.admin
        return {
            "AWS_ENDPOINT_URL": self.control.endpoint,
            "AWS_CA_BUNDLE": str(self.control.ca_file),
            "AWS_REGION": self.control.region,
            "AWS_DEFAULT_REGION": self.control.region,
            "AWS_ACCESS_KEY_ID": admin.access_key,
            "AWS_SECRET_ACCESS_KEY": admin.secret,
        }

    def environment(self) -> dict[str, str]:
        """Of the engine, with a state and a home of this cloud's own: this checkout's lab may go down meanwhile."""
        state = self.folder / "state"
        state.mkdir(exist_ok=True)
        own = {"PULUMI_BACKEND_URL": f"file://{state}", "PULUMI_HOME": str(self.folder / "pulumi")}
        return {**deploy.environment(self.aws()), **own}


@contextmanager
def cloud(folder: Path, *, addresses: int = 5, networks: int = 5) -> Generator[Cloud]:
    """The account's quotas of elastic addresses and of VPCs, of which the default one is one."""
    control = ControlPlane(folder / "control", conflicts=0.0)
    control.start()
    launcher = launcher_for(control, NullMachines(), apply=lambda: None, address_delay=0.0)
    launcher.start()
    try:
        launcher.addresses.quota, launcher.room.networks = addresses, networks
        yield Cloud(control, folder)
    finally:
        launcher.stop()
        control.stop()


def config(**objects: dict[str, object]) -> dict[str, object]:
    """The lab's configuration with the named objects' keys set anew."""
    found = copy.deepcopy(LAB_CONFIG)
    for name, change in objects.items():
        found[f"twinlock:{name}"] = {**found.get(f"twinlock:{name}", {}), **change}
    return found


def pulumi(cloud: Cloud, folder: Path, *words: str, code: int = 0) -> str:
    command = [str(TOOLS / "bin" / "pulumi"), *words, "--non-interactive", "--color", "never"]
    done = subprocess.run(
        command, cwd=folder, env=cloud.environment(), capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout
