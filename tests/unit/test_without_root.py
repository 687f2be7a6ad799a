"""Without root, or not on Linux: one sentence says what is missing and what works anyway, and nothing is started."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

import pytest

from lab.__main__ import main
from lab.remote import LabError

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["nobody on Linux", "root on a Mac"])
def elsewhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "nobody on Linux":
        monkeypatch.setattr(os, "geteuid", lambda: 65534)
    else:
        monkeypatch.setattr(sys, "platform", "darwin")


def test_setting_up_the_lab_says_so_and_ends(elsewhere, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["setup.py", "lab"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "tools" / "setup.py"), run_name="__main__")
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert len(said.splitlines()) == 1
    assert "root on Linux" in said
    assert "make preview" in said


def test_starting_the_lab_says_so_and_ends(elsewhere, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["lab", "up"])
    assert main() == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "root on Linux" in said
    assert "make preview" in said


def test_a_word_that_is_no_goal_is_refused(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["setup.py", "moon"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "tools" / "setup.py"), run_name="__main__")
    assert ended.value.code == 2
    assert "preview, lab or everything" in capsys.readouterr().err


def test_an_error_that_holds_brackets_is_printed_as_it_is(monkeypatch, capsys) -> None:
    def broken(words: object) -> None:
        raise LabError("it said [/usr/bin/thing] and [bold] went")

    monkeypatch.setattr(sys, "argv", ["lab", "status"])
    monkeypatch.setattr("lab.__main__.status", broken)
    assert main() == 1
    assert capsys.readouterr().err == "lab: it said [/usr/bin/thing] and [bold] went\n"
