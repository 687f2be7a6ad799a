"""The lab's own command line: bad usage is one line and exit code 2, and nothing is started."""

from __future__ import annotations

import sys

import pytest

from lab import life
from lab.__main__ import main
from lab.remote import LabError

BAD = [
    [],
    ["nothing"],
    ["up", "--move-seconds=-1"],
    ["up", "--move-seconds=nan"],
    ["up", "--move-seconds=soon"],
    ["up", "--move-seconds=1e99"],
    ["up", "--conflicts=2"],
    ["fail", "nonsense"],
    ["fail", "kill", "--during=sleep"],
    ["fail", "kill", "--nat="],
    ["fail"],
    ["shell"],
    ["status", "--jsn"],
]


@pytest.mark.parametrize("words", BAD, ids=" ".join)
def test_bad_usage_is_one_line_and_starts_nothing(words, monkeypatch, capsys):
    def started(*args: object) -> None:
        raise AssertionError("it went to work")

    monkeypatch.setattr(life, "down", started)
    monkeypatch.setattr(sys, "argv", ["lab", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert (ended.value.code, said.out, len(said.err.splitlines())) == (2, "", 1)
    assert said.err.startswith("lab: ")


@pytest.mark.parametrize("words", [["status"], ["env"], ["shell", "a"], ["shell", "nobody"], ["shell", ""]])
def test_without_a_lab_each_command_says_how_to_start_one(words, monkeypatch, capsys, tmp_path):
    def nobody(method: str, **arguments: object) -> object:
        raise LabError("the lab is not up: `make lab` starts it")

    monkeypatch.setattr("lab.remote.call", nobody)
    monkeypatch.setattr(sys, "argv", ["lab", *words])
    assert main() == 1
    assert capsys.readouterr().err == "lab: the lab is not up: `make lab` starts it\n"
