"""The comment on a pull request, whole, for each kind of change to an environment that stands: the real engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.boot.test_preview_command import preview
from tests.cloud import Cloud, cloud, config, project, pulumi

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]
EXPECTED = Path(__file__).with_name("preview_comments")
BUCKETS: dict[str, object] = {"buckets": ["data", "logs"], "existing": {"old": "an-older-bucket"}, "adopt": ["old"]}
OLDER: dict[str, object] = {"existing": {"old": "an-older-bucket", "older": "a-still-older-bucket"}}
KINDS: dict[str, dict[str, dict[str, object]]] = {
    "nothing": {},
    "create": {"storage": {**BUCKETS, "buckets": ["data", "logs", "more"]}},
    "update": {"gateway": {"instance_type": "t4g.medium"}},
    "replace": {"network": {"zones": ["eu-west-1a", "eu-west-1c"]}},
    "delete": {"storage": {**BUCKETS, "buckets": ["data"]}},
    "import": {"storage": {**BUCKETS, **OLDER, "adopt": ["old", "older"]}},
    "forget": {"storage": {"buckets": ["data", "logs"]}},
    "another": {"storage": {**BUCKETS, "existing": {"old": "a-still-older-bucket"}}},
}


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cloud, Path]]:
    with cloud(tmp_path_factory.mktemp("cloud")) as made:
        for name in ("an-older-bucket", "a-still-older-bucket"):
            where = {"LocationConstraint": made.control.region}
            made.control.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration=where)
        folder = project(made.folder / "project", "dev", config(storage=BUCKETS))
        pulumi(made, folder, "stack", "init", "dev")
        pulumi(made, folder, "up", "--yes", "--skip-preview", "--stack", "dev")
        yield made, folder


def comment(standing: tuple[Cloud, Path], region: str = "eu-west-1", **changes: dict[str, object]) -> str:
    made, folder = standing
    file = folder / "Pulumi.dev.yaml"
    kept = yaml.safe_load(file.read_text())  # with the salt of its secrets
    wanted = {**config(**{"storage": BUCKETS, **changes}), "aws:region": region}
    try:
        file.write_text(yaml.safe_dump({**kept, "config": wanted}))
        done = preview(made, folder, "--markdown")
    finally:
        file.write_text(yaml.safe_dump(kept))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_the_comment_on_a_change_is_as_expected(standing: tuple[Cloud, Path], kind: str):
    assert comment(standing, **KINDS[kind]) == (EXPECTED / f"{kind}.md").read_text()


def test_a_replacement_of_what_holds_data_is_shouted(standing: tuple[Cloud, Path]):
    """Another region is another table, another key, other buckets: the deletion of all that there is."""
    there = {"network": {"zones": ["us-east-1a", "us-east-1b"]}, "storage": KINDS["forget"]["storage"]}
    text = comment(standing, region="us-east-1", **there)
    shouted = text.split("> **This deletes data.**\n")[1].split("\n\n")[0]
    for what in ("`twinlock-dev-data`, a Bucket", "`twinlock-dev-registry`, a Table", "`twinlock-dev-key`, a Key"):
        assert f"> - {what}, is replaced." in shouted
