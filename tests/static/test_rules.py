"""Rules between the parts, held by reading the source."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
AUTOMATION = ("errors", "models", "settings", "aws.deployer")  # of components, all that twinlock/automation may know
PARTS = ("components", "userdata", "twinlock", "lab", "policies", "bench", "tests")


def sources(folder: str) -> list[Path]:
    return sorted(path for path in (ROOT / folder).rglob("*.py") if ".venv" not in path.parts)


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(name: str) -> bool:
    return name.split(".")[0] in PARTS


def allowed(folder: str, *prefixes: str) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(folder)
        for name in imports(path)
        if ours(name) and not name.startswith((folder.replace("/", "."), *prefixes))
    ]


@pytest.mark.parametrize(
    ("folder", "prefixes"),
    [
        (
            "components",
            (
                "userdata.",
                "twinlock.__version__",
                "twinlock.registry.keys",
                "twinlock.registry.definition",
                "twinlock.registry.policies",
                "twinlock.registry.ipv6",
            ),
        ),
        ("userdata", ("twinlock.__version__",)),
        ("twinlock/registry", ()),
        ("twinlock/agent", ("twinlock.registry", "twinlock.__version__")),
        (
            "twinlock/cli",
            ("twinlock.registry", "twinlock.errors", "twinlock.__version__", "twinlock.change", "twinlock.automation"),
        ),
    ],
)
def test_imports_point_one_way(folder: str, prefixes: tuple[str, ...]) -> None:
    assert allowed(folder, *prefixes) == []


def test_only_the_automation_api_knows_the_program() -> None:
    """It deploys the program, and takes the program's own settings: a second schema would drift from the first."""
    odd = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources("twinlock")
        for name in imports(path)
        if name.startswith(("components", "userdata", "policies", "lab"))
        and not (
            path.parent.name == "automation" and name.startswith(tuple(f"components.{part}" for part in AUTOMATION))
        )
    ]
    assert odd == []


def test_the_agent_and_the_registry_need_only_what_debian_has() -> None:
    import sys

    known = {*sys.stdlib_module_names, "boto3", "botocore", "cryptography", "twinlock", "__future__"}
    odd = [
        f"{path.relative_to(ROOT)} imports {name}"
        for folder in ("twinlock/agent", "twinlock/registry")
        for path in sources(folder)
        for name in imports(path)
        if name.split(".")[0] not in known and not name.startswith("mypy_boto3")
    ]
    assert odd == []


def test_the_command_needs_no_pulumi() -> None:
    odd = [
        str(path) for path in sources("twinlock") for name in imports(path)
        if name.startswith("pulumi") and path.parent.name != "automation"
    ]  # fmt: skip
    assert odd == []


def test_every_test_is_collected_and_none_is_skipped() -> None:
    for path in sources("tests"):
        text = path.read_text()
        holds_tests = any(
            isinstance(node, ast.FunctionDef) and node.name.startswith("test_") for node in ast.walk(ast.parse(text))
        )
        assert not holds_tests or path.name.startswith("test_"), f"{path} holds tests that pytest does not collect"
        words = ("mark." + "skip", "mark." + "xfail", "pytest." + "skip(", "importor" + "skip")
        assert not any(word in text for word in words), f"{path} skips"


def test_no_file_names_this_checkout() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    named = [
        name for name in listed
        if name and (ROOT / name).is_file() and str(ROOT).encode() + b"/" in (ROOT / name).read_bytes()
    ]  # fmt: skip
    assert named == []
