"""The comment on a pull request, whole, for five kinds of change."""

from __future__ import annotations

from pathlib import Path

import pytest

from twinlock.change import Finding, Report, ResourceChange
from twinlock.cli.preview_comment import comment

EXPECTED = Path(__file__).with_name("preview_comments")
URN = "urn:pulumi:prod::twinlock::twinlock:aws:Environment$"


def change(action: str, kind: str, name: str, *properties: str) -> ResourceChange:
    return ResourceChange(action=action, urn=f"{URN}{kind}::{name}", properties=properties)  # type: ignore[arg-type]


BUCKET, TEMPLATE = "aws:s3/bucket:Bucket", "aws:ec2/launchTemplate:LaunchTemplate"
RULE = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
KINDS: dict[str, Report] = {
    "nothing": Report(changes=(change("same", BUCKET, "data"),)),
    "create": Report(changes=tuple(change("create", RULE, f"tunnel-in-{n:02}") for n in range(22))),
    "update": Report(changes=(change("update", TEMPLATE, "gateway-a", "imageId", "userData"),)),
    "replace": Report(
        changes=(change("replace", BUCKET, "data", "bucket"), change("update", TEMPLATE, "a|b`c", "imageId"))
    ),
    "delete": Report(
        changes=(change("delete", "aws:dynamodb/table:Table", "registry"), change("delete", RULE, "tunnel-in")),
        findings=(
            Finding(rule="tags", level="advisory", text="What holds data.\nx has no tag", urn=""),
            Finding(rule="no-secrets", level="mandatory", text="y has a key in userData", urn=""),
        ),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_comment_is_as_expected(kind: str):
    assert comment("prod", KINDS[kind], policy=True) == (EXPECTED / f"{kind}.md").read_text()


def test_a_failed_preview_says_why():
    text = comment("prod", Report(changes=()), policy=False, failure="aws: no credentials")
    assert "the preview failed" in text and "aws: no credentials" in text and "Policy" not in text
