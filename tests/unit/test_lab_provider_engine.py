"""What the engine was asked to do, as its words say it."""

from __future__ import annotations

import pytest

from lab.provider.engine import command


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("pulumi import aws:s3/bucket:Bucket older an-older-bucket", "import"),
        ("/tools/pulumi --non-interactive import --file listed.json", "import"),
        ("pulumi -C elsewhere --color never -e import --yes", "import"),
        ("pulumi --cwd=elsewhere --stack dev -v=3 import", "import"),
        ("pulumi -C import up", "up"),
        ("pulumi up --stack import", "up"),
        ("pulumi preview --color never", "preview"),
        ("pulumi", ""),
        ("", ""),
    ],
)
def test_the_command_is_the_first_word_that_is_no_flags_value(said: str, asked: str):
    assert command(said.split()) == asked
