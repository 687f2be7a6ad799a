"""The settings that `twinlock storage profile` prints, used by the program that they are for."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from lab import clients
from lab.clients import Client

MIB = 1 << 20


@pytest.mark.long
def test_rclone_moves_a_file_of_several_parts_there_and_back_with_the_printed_settings(
    lab, ada: Client, tmp_path: Path
) -> None:
    settings, sent, got = tmp_path / "rclone.conf", tmp_path / "sent", tmp_path / "got"
    settings.write_text(str(lab.twinlock("storage", "profile", "--for", "rclone")["text"]) + "\n")
    sent.write_bytes(hashlib.shake_256(b"rclone").digest(80 * MIB))
    there = f"twinlock-lab:{lab.report_bucket()}/rclone/sent"
    # The lab's own authority stands in for those that every machine knows.
    authority = ada.credentials["AWS_CA_BUNDLE"]
    common = ("rclone", "--config", str(settings), "--ca-cert", authority, "--retries", "1")
    before = len(lab.log("calls"))
    for words in (("copyto", str(sent), there), ("copyto", there, str(got))):
        done = clients.in_namespace(ada.namespace, (*common, *words), ada.credentials, 240)
        assert done.returncode == 0, done.stderr
    assert hashlib.sha256(got.read_bytes()).digest() == hashlib.sha256(sent.read_bytes()).digest()
    calls = [row for row in lab.log("calls")[before:] if row["service"] == "s3" and row["endpoint"]]
    assert sum(row["action"] == "UploadPart" for row in calls) == 3, "80 MiB in parts of 32"
    assert not any(row["action"] == "CreateBucket" for row in calls)
