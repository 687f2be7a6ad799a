"""Which cause is told for what is seen on a client."""

from __future__ import annotations

from dataclasses import replace

import pytest

from twinlock.cli import doctor
from twinlock.cli.diagnosis import Seen, WaySeen, diagnose

UP, DOWN = (
    WaySeen(endpoint="198.51.100.1:51820", handshake_age=20),
    WaySeen(endpoint="198.51.100.2:51820", handshake_age=None),
)
WELL = Seen(
    interface="tl-prod", is_up=True, ways=(UP, replace(UP, endpoint="198.51.100.2:51820")), service_age=30,
    allowed=("10.90.0.1/32", "52.218.0.0/17"), skew=0.4, host="s3.eu-west-1.amazonaws.com",
    addresses=("52.218.1.1",), connects=True, answers=True,
)  # fmt: skip

TOLD = {"names_server": "10.90.0.1"}


def causes(**changes: object) -> list[str]:
    return [found.cause for found in diagnose(replace(WELL, **changes))]


def test_a_tunnel_that_works_has_no_findings():
    assert causes() == []


@pytest.mark.parametrize(
    ("cause", "changes"),
    [
        ("interface", {"is_up": False}),
        ("clock", {"skew": -61.0}),
        ("clock", {"skew": 90.0}),
        ("ipv6", {"allowed": (*WELL.allowed, "fd12::1/128", "2001:db8::/64"), "has_ipv6": False}),
        ("port", {"ways": (DOWN,), "service_age": None, "connects": False, "answers": False}),
        ("port", {"ways": (replace(UP, handshake_age=181), DOWN), "service_age": None}),
        ("way", {"ways": (UP, DOWN)}),
        ("handshake", {"service_age": None, "connects": False, "answers": False}),
        ("handshake", {"service_age": 181, "connects": False, "answers": False}),
        ("dns", {"addresses": (), "connects": False, "answers": False}),
        ("dns", {**TOLD, "names_said": {"corp.internal": "no answer"}, "addresses": (), "connects": False}),
        ("dns", {**TOLD, "names_said": {"corp.internal": "ok", "old.internal": "refused"}}),
        ("prefix", {"addresses": ("52.219.1.1",), "connects": False, "answers": False}),
        ("firewall", {"connects": False, "answers": False}),
        ("mtu", {"answers": False}),
    ],
)
def test_each_cause_is_told_alone(cause: str, changes: dict[str, object]):
    assert causes(**changes) == [cause]


def test_private_names_that_are_answered_or_that_nobody_told_of_are_no_cause():
    for said in ({}, {"corp.internal": "ok"}, {"corp.internal": "no such name", "db.internal": "failed"}):
        assert causes(**TOLD, names_said=said) == []
    silent = {"corp.internal": "no answer"}
    assert causes(**TOLD, names_said=silent, service_age=None) == ["handshake"], "which explains it"
    (found,) = diagnose(replace(WELL, **TOLD, names_said={**silent, "z.internal": "ok"}))
    assert "10.90.0.1 for names of corp.internal:" in found.text


def test_a_machine_without_ipv6_whose_file_routes_none_is_well():
    assert causes(has_ipv6=False) == []
    assert causes(allowed=(*WELL.allowed, "2001:db8::/64"), has_ipv6=None) == [], "and one that does not say"


def test_an_interface_has_ipv6_with_an_address_that_is_more_than_its_links(tmp_path):
    (tmp_path / "if_inet6").write_text(
        "fe80000000000000fc5bfffffe4ec6c7 02 40 20 80     tl-prod\n"
        "fd123456789a00000000000000a40101 03 80 00 80     tl-test\n"
    )
    assert [doctor._has_ipv6(name, tmp_path) for name in ("tl-prod", "tl-test", "tl")] == [False, True, False]
    assert doctor._has_ipv6("tl-prod", tmp_path / "nothing") is None


def test_a_clock_that_nobody_could_compare_is_no_cause():
    assert causes(skew=None) == []


def test_every_finding_is_one_line_that_says_what_to_do():
    for changes in (
        {"skew": 99.0},
        {"ways": (DOWN,)},
        {"service_age": None},
        {"addresses": ()},
        {"answers": False},
        {"names_said": {"a": "refused"}},
        {"names_said": {"a": "no answer"}},
    ):
        for found in diagnose(replace(WELL, **changes)):
            assert "\n" not in found.text and any(sign in found.text for sign in (":", ";"))
