"""The programs that move users' data, with the settings that `twinlock storage profile` prints and no others: a file
goes up in parts and comes back the same through the tunnel, and is refused without it."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from lab import calls, clients
from lab.clients import Client
from lab.transfer import content
from tests.lab.test_peers_live import api
from twinlock.cli.storage_tools import PART_MIB, THRESHOLD_MIB

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

SIZE = (THRESHOLD_MIB + 8) << 20  # above the threshold, so that it goes in parts
PARTS = -(-SIZE // (PART_MIB << 20))


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("sent") / "file"
    file.write_bytes(content(SIZE))
    return file


@pytest.fixture
def eve(lab) -> str:
    """The namespace of somebody without a tunnel."""
    return calls.client("eve", "none")


def printed(lab, tool: str) -> str:
    return str(lab.twinlock("storage", "profile", "--for", tool)["text"])


def surroundings(ada: Client) -> dict[str, str]:
    """The tenant's own credentials, and a machine that trusts who signed the storage's certificate, as for Amazon's own
    it does anyway."""
    trusted = ada.credentials["AWS_CA_BUNDLE"]
    keys = {name: value for name, value in ada.credentials.items() if name != "AWS_CA_BUNDLE"}
    return {**keys, "SSL_CERT_FILE": trusted, "CURL_CA_BUNDLE": trusted}


def run(namespace: str, extra: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return clients.in_namespace(namespace, words, extra, 120)


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def assert_whole_and_in_parts(lab, key: str, sent: Path, back: Path) -> None:
    assert digest(back) == digest(sent)
    there = api(lab, "s3").head_object(Bucket=lab.report_bucket(), Key=key)
    assert there["ContentLength"] == SIZE
    assert int(there["ETag"].strip('"').partition("-")[2]) in (PARTS - 1, PARTS)  # s3fs appends a short one to its last


def test_rclone_with_the_printed_profile(lab, ada: Client, eve: str, sent: Path, tmp_path: Path) -> None:
    config = tmp_path / "rclone.conf"
    config.write_text(printed(lab, "rclone") + "\n")
    user, back, key = {**surroundings(ada), "RCLONE_CONFIG": str(config)}, tmp_path / "back", "lab/rclone"
    remote = f"twinlock-lab:{lab.report_bucket()}/{key}"
    for words in (("copyto", str(sent), remote), ("copyto", remote, str(back))):
        done = run(ada.namespace, user, "rclone", *words)
        assert done.returncode == 0, done.stderr
    assert_whole_and_in_parts(lab, key, sent, back)
    for words in (("copyto", remote, str(tmp_path / "outside")), ("copyto", str(sent), f"{remote}-outside")):
        refused = run(eve, user, "rclone", "--retries=1", *words)
        assert refused.returncode != 0
        assert "AccessDenied" in refused.stderr or "403" in refused.stderr, refused.stderr
    assert not (tmp_path / "outside").exists()


def test_the_aws_command_with_the_printed_profile(lab, ada: Client, eve: str, sent: Path, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(printed(lab, "aws") + "\n")
    user = {**ada.credentials, "AWS_CONFIG_FILE": str(config), "AWS_PROFILE": "twinlock-lab"}
    back, key = tmp_path / "back", "lab/aws"
    remote, copy = f"s3://{lab.report_bucket()}/{key}", ("aws", "s3", "cp")
    for words in ((str(sent), remote), (remote, str(back))):
        done = run(ada.namespace, user, *copy, *words)
        assert done.returncode == 0, done.stderr
    assert_whole_and_in_parts(lab, key, sent, back)
    for words in ((remote, str(tmp_path / "outside")), (str(sent), f"{remote}-outside")):
        refused = run(eve, user, *copy, *words)
        assert refused.returncode != 0
        assert "AccessDenied" in refused.stderr or "403" in refused.stderr, refused.stderr
    assert not (tmp_path / "outside").exists()


# The folder is mounted anew before the file is read back: nothing comes from what s3fs still holds.
MOUNTED = """
set -e
bucket=$1 options=$2 sent=$3 key=$4 back=$5
mkdir -p mnt
mounted() { s3fs "$bucket" mnt -o "$options"; "$@" || { umount mnt; exit 1; }; umount mnt; }
mounted cp "$sent" "mnt/$key"
mounted cp "mnt/$key" "$back"
"""


def test_s3fs_with_the_printed_options(lab, ada: Client, eve: str, sent: Path, tmp_path: Path) -> None:
    # The tenant's credentials are those of a role.
    options = f"{printed(lab, 's3fs')},use_session_token"
    user, back, key = surroundings(ada), tmp_path / "back", "s3fs"
    words = ("sh", "-c", f"cd '{tmp_path}'; {MOUNTED}", "sh", lab.report_bucket(), options, str(sent), key)
    done = run(ada.namespace, user, *words, str(back))
    assert done.returncode == 0, done.stderr
    assert_whole_and_in_parts(lab, key, sent, back)
    refused = run(eve, user, *words, str(tmp_path / "outside"))
    assert refused.returncode != 0
    assert not (tmp_path / "outside").exists()
