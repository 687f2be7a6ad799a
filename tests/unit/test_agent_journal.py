"""What the agent's numbers look like in the journal, and that no line is lost. No process, no socket."""

from __future__ import annotations

import logging

import pytest

from twinlock.agent.journal import JournalHandler, numbers


@pytest.fixture
def sent(monkeypatch) -> list[list[str]]:
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    return []


def log_to(send) -> logging.Logger:
    logger = logging.Logger("of this test")
    logger.addHandler(JournalHandler(send))
    return logger


def test_numbers_are_the_journals_own_fields(sent):
    log = log_to(lambda datagram: sent.append(datagram.decode().splitlines()))
    log.warning("serving %d", 0, extra=numbers("takeover", {"detection_ms": 300}))
    assert sent == [[
        "MESSAGE=serving 0", "PRIORITY=4", "SYSLOG_IDENTIFIER=twinlock", "TWINLOCK_EVENT=takeover",
        "TWINLOCK_DETECTION_MS=300",
    ]]  # fmt: skip


def test_a_line_with_a_line_break_forges_no_field(sent):
    log = log_to(lambda datagram: sent.append(datagram.decode().splitlines()))
    log.info("so\nTWINLOCK_EVENT=lie", extra=numbers("start", {}))
    assert sent[0][0] == "MESSAGE=so TWINLOCK_EVENT=lie"


@pytest.mark.parametrize("is_systemd", [True, False])
def test_without_a_journal_the_line_is_on_standard_error(monkeypatch, capsys, is_systemd):
    def gone(_: bytes) -> None:
        raise ConnectionRefusedError

    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    if is_systemd:
        monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    log = log_to(gone)
    log.info("serving", extra=numbers("takeover", {"detection_ms": 300}))
    log.info("plain")
    assert capsys.readouterr().err.splitlines() == ["serving", "plain"]
