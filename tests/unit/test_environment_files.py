"""Stack files: written, checked with line numbers, and known to editors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from components.models import Gateway, Network, Registry, Storage, Tenant, Tunnel
from components.schema import schema
from twinlock.cli import environment_file
from twinlock.cli.main import app

ROOT = Path(__file__).parents[2]
NEW = ("environment", "new", "dev", "--region", "eu-west-1", "--image", "ami-0123456789abcdef0")


def run(*words: str | Path):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_new_stack_file_is_sound_and_names_every_setting(tmp_path: Path):
    file = tmp_path / "Pulumi.dev.yaml"
    done = run(*NEW, "--file", file, "--tenant", "red", "--tenant", "blue", "--bucket", "logs", "--no-protect")
    assert done.exit_code == 0, done.output
    assert run("environment", "check", "--file", file).exit_code == 0
    text = file.read_text()
    for model in (Network, Tunnel, Gateway, Storage, Tenant, Registry):
        for name in model.model_fields:
            assert f" {name}:" in text, f"{model.__name__}.{name} is not in the file"


def test_at_a_terminal_it_asks_and_asks_again_for_what_can_not_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(environment_file, "_at_a_terminal", lambda: True)
    file = tmp_path / "Pulumi.dev.yaml"
    role = "arn:aws:iam::111122223333:role/deployer"
    answers = ["mars", "eu-west-1", "a", "abc", "debian", "ami-0123456789abcdef0", "data, logs", "red,Blue!",
               "red,blue", role, "perhaps", "no"]  # fmt: skip
    done = CliRunner().invoke(app, ["environment", "new", "dev", "--file", str(file)], input="\n".join(answers) + "\n")
    assert done.exit_code == 0, done.output
    for wrong in ("mars", "debian", "Blue!", "'perhaps' is neither"):
        assert wrong in done.output
    values = yaml.safe_load(file.read_text())["config"]
    assert values["twinlock:network"]["zones"] == ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
    assert values["twinlock:storage"]["buckets"] == ["data", "logs"] and values["twinlock:storage"]["protect"] is False
    assert list(values["twinlock:tenants"]) == ["red", "blue"]
    assert run("environment", "check", "--file", file).exit_code == 0


def test_without_a_terminal_it_asks_nobody(tmp_path: Path):
    done = run("environment", "new", "dev", "--region", "eu-west-1", "--file", tmp_path / "Pulumi.dev.yaml")
    assert done.exit_code == 2 and "--image" in done.output and list(tmp_path.iterdir()) == []


def test_a_stack_file_is_never_overwritten(tmp_path: Path):
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text("mine")
    assert run(*NEW, "--file", file).exit_code == 3
    assert file.read_text() == "mine"


def test_nothing_is_written_for_a_wrong_wish(tmp_path: Path):
    file = tmp_path / "Pulumi.dev.yaml"
    assert run(*NEW[:-1], "debian", "--file", file).exit_code == 2
    assert not file.exists()


def test_a_mistake_is_told_with_its_line_and_exit_code_2(tmp_path: Path):
    file = tmp_path / "Pulumi.dev.yaml"
    run(*NEW, "--file", file)
    lines = file.read_text().splitlines()
    at = next(number for number, line in enumerate(lines, 1) if "zones:" in line)
    lines[at - 1] = "    zones: [eu-west-1a, mars]"
    file.write_text("\n".join([*lines, "  twinlock:regsitry: {}"]))
    done = run("environment", "check", "--file", file)
    assert done.exit_code == 2
    assert f"{file}:{at}: twinlock:network.zones[1] = mars" in done.output
    assert f"{file}:{len(lines) + 1}: twinlock:regsitry is not a known key" in done.output
    told = json.loads(run("environment", "check", "--json", "--file", file).output)
    assert [mistake["line"] for mistake in told["mistakes"]] == [at, len(lines) + 1]


@pytest.mark.parametrize("text", ["[", "a: b", "config: 3", "\0"])
def test_what_is_no_stack_file_is_told_in_one_line(tmp_path: Path, text: str):
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(text)
    done = run("environment", "check", "--file", file)
    assert done.exit_code == 2 and "Traceback" not in done.output


def test_the_production_example_is_sound():
    assert run("environment", "check", "--file", ROOT / "Pulumi.prod.yaml").exit_code == 0


def test_the_published_schema_is_that_of_the_models():
    """`python -m components.schema > docs/stack.schema.json` writes it anew."""
    assert json.loads((ROOT / "docs" / "stack.schema.json").read_text()) == schema()
    network = schema()["$defs"]["Network"]
    assert set(network["properties"]) == set(Network.model_fields)
    assert network["additionalProperties"] is False


def test_the_labs_stack_file_is_sound():
    done = run("environment", "check", "--file", ROOT / "lab" / "stack" / "Pulumi.lab.yaml")
    assert done.exit_code == 0, done.output


def test_a_deployers_policies_are_written_from_the_file_alone_where_nothing_can_deploy(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    words = ("-e", "prod", "environment", "policy", "--account", "123456789012", "--out", tmp_path / "written")
    done = run(*words, "--file", ROOT / "Pulumi.prod.yaml")
    assert done.exit_code == 0, done.output
    assert {file.name for file in (tmp_path / "written").iterdir()} == {
        f"twinlock-prod-{part}.json" for part in ("network", "data", "roles", "boundary")
    }


@pytest.mark.parametrize("verb", ["destroy", "recover"])
def test_where_nobody_can_be_asked_the_flag_that_says_so_is_named(tmp_path: Path, monkeypatch, verb: str):
    (tmp_path / "pulumi").write_text("#!/bin/sh\n")
    (tmp_path / "pulumi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    done = run("-e", "prod", "environment", verb, "--file", ROOT / "Pulumi.prod.yaml")
    assert (done.exit_code, "--yes" in done.stderr, done.stdout) == (2, True, "")
