"""How the program is put together."""

from __future__ import annotations

import ast
from pathlib import Path

import pulumi_aws
import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = [ROOT / "__main__.py", *sorted((ROOT / "components").rglob("*.py"))]


def imported(path: Path) -> set[str]:
    """Every module that a file imports from, and every name that it imports whole."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("path", PROGRAM, ids=lambda path: str(path.relative_to(ROOT)))
def test_resource_classes_come_from_their_own_modules(path: Path):
    """`import pulumi_aws`, or a whole service of it, costs a second at each command."""
    for module in imported(path):
        parts = module.split(".")
        # components/aws/sdk.py needs the SDK's own place, and loads no service.
        if parts[0] in ("pulumi_aws", "pulumi_random") and (path.name, module) != ("sdk.py", "pulumi_aws"):
            source = Path(pulumi_aws.__path__[0]).parent / Path(*parts)
            assert len(parts) > 1 and not source.is_dir(), f"{path.name}: import from a module of {module}"


@pytest.mark.parametrize("path", PROGRAM, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_settings_reads_configuration(path: Path):
    if path.name != "settings.py":
        assert "Config(" not in path.read_text().replace("ConfigDict(", "")


@pytest.mark.parametrize("name", ["plan.py", "models.py", "checks.py", "errors.py"])
def test_the_plan_knows_no_cloud(name: str):
    for module in imported(ROOT / "components" / name):
        assert not module.startswith(("pulumi", "boto"))
