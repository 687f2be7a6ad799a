"""What a preview says beside the changes."""

from __future__ import annotations

import pytest

from components.aws import advice
from components.settings import parse
from tests.unit.program_build import changed

DEPLOYER = "arn:aws:iam::123456789012:role/deployer"
SESSION = "arn:aws:sts::123456789012:assumed-role/deployer/me"


def test_a_session_is_its_role():
    assert advice.principal_of(SESSION) == DEPLOYER
    assert advice.principal_of("arn:aws:iam::123456789012:user/ada") == "arn:aws:iam::123456789012:user/ada"


@pytest.mark.parametrize(
    ("pattern", "named"),
    [
        (DEPLOYER, True),
        ("arn:aws:iam::123456789012:role/*", True),
        # A session's ARN does not hold its role's path.
        ("arn:aws:iam::123456789012:role/teams/platform/deployer", True),
        ("arn:aws:iam::210987654321:role/deployer", False),
        ("arn:aws:iam::123456789012:role/other", False),
        ("arn:aws:iam::123456789012:user/deployer", False),
    ],
)
def test_break_glass_names_the_deployer_by_arn_or_pattern(pattern: str, named: bool):
    assert advice.spared(DEPLOYER, [pattern]) is named


@pytest.fixture
def said(monkeypatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(advice.pulumi.log, "warn", lines.append)
    monkeypatch.setattr(advice.pulumi.log, "info", lines.append)
    monkeypatch.setattr(advice.pulumi.runtime, "is_dry_run", lambda: True)
    return lines


def test_a_preview_warns_a_deployer_who_would_lock_himself_out(said: list[str]):
    settings = parse(changed(storage={"break_glass": []}, gateway={"stock_image": False}))
    advice.advise(settings, SESSION)
    assert len(said) == 1 and DEPLOYER in said[0] and "twinlock:storage.break_glass" in said[0]


def test_a_preview_names_a_newer_image_and_keeps_the_pinned_one(said: list[str], monkeypatch):
    class Newest:
        value = "ami-0fedcba9876543210"

    monkeypatch.setattr(advice, "get_parameter", lambda name: Newest())
    advice.advise(parse(changed()), SESSION)
    assert said == [
        "Debian's newest image is ami-0fedcba9876543210, twinlock:gateway.image is ami-0123456789abcdef0: "
        "`twinlock environment image --update` moves it"
    ]


def test_a_preview_that_can_not_see_debians_images_says_so_and_goes_on(said: list[str], monkeypatch):
    def refuse(name):
        raise Exception(f"invoke of aws:ssm/getParameter:getParameter failed:\n no {name}")  # noqa: TRY002

    monkeypatch.setattr(advice, "get_parameter", refuse)
    advice.advise(parse(changed()), SESSION)
    assert len(said) == 1 and "is not known" in said[0] and "\n" not in said[0]


def test_an_update_says_nothing_that_its_preview_has_said(said: list[str], monkeypatch):
    monkeypatch.setattr(advice.pulumi.runtime, "is_dry_run", lambda: False)
    advice.advise(parse(changed(storage={"break_glass": []})), SESSION)
    assert said == []
