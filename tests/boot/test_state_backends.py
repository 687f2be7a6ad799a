"""Where the state may lie, as docs/delivery.md says it, and what may get into it: the real engine, the lab's cloud."""

from __future__ import annotations

import json
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from lab.paths import TOOLS
from tests.cloud import Cloud, config, project

pytestmark = pytest.mark.timeout(200)
BUCKET, ALIAS = "states-of-a-team", "alias/states"


def pulumi(made: Cloud, folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in {**made.environment(), **environment}.items() if value}
    command = [str(TOOLS / "bin" / "pulumi"), *words, "--non-interactive", "--color", "never"]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=100)


def test_a_state_lies_in_a_bucket_and_its_secrets_under_a_key_of_kms(made: Cloud):
    s3, kms = made.control.client("s3"), made.control.client("kms")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName=ALIAS, TargetKeyId=key)
    # A bucket and a key alone: no passphrase, and the lab's authority for the engine itself.
    backend = {
        "PULUMI_BACKEND_URL": f"s3://{BUCKET}?region=eu-west-1&awssdk=v2",
        "PULUMI_CONFIG_PASSPHRASE": "",
        "SSL_CERT_FILE": made.aws()["AWS_CA_BUNDLE"],
    }
    folder = project(made.folder / "bucket", "prod", config())
    secrets = f"awskms://{ALIAS}?region=eu-west-1&awssdk=v2"
    for words in (
        ("stack", "init", "prod", "--secrets-provider", secrets),
        ("config", "set", "--secret", "x:y", "geheim", "--stack", "prod"),
        ("preview", "--stack", "prod"),
    ):
        done = pulumi(made, folder, *words, **backend)
        assert done.returncode == 0, done.stdout + done.stderr
    written = (folder / "Pulumi.prod.yaml").read_text()
    assert "encryptedkey:" in written and "geheim" not in written and "encryptionsalt" not in written
    shown = pulumi(made, folder, "config", "get", "x:y", "--stack", "prod", **backend)
    assert shown.stdout.strip() == "geheim"
    keys = {one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET)["Contents"]}
    assert ".pulumi/stacks/twinlock/prod.json" in keys
    reader = backend | _with_the_bucket_alone(made)
    assert pulumi(made, folder, "stack", "ls", **reader).returncode == 0
    refused = pulumi(made, folder, "config", "get", "x:y", "--stack", "prod", **reader)
    assert refused.returncode != 0 and "kms:Decrypt" in refused.stderr


def _with_the_bucket_alone(made: Cloud) -> dict[str, str]:
    iam = made.control.client("iam")
    arns = [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"]
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": arns}]}
    iam.create_user(UserName="reader")
    iam.put_user_policy(UserName="reader", PolicyName="states", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


ONE_BUCKET = "from pulumi_aws.s3 import Bucket; Bucket('made')"


def test_pulumi_import_is_refused_before_it_writes(made: Cloud):
    """It would write the state, and protect what it wrote, before it asks for a schema that the lab has not."""
    made.control.client("s3").create_bucket(
        Bucket="an-older-bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    folder = project(made.folder / "other", "other", {"aws:region": "eu-west-1"}, main=Path())
    (folder / "__main__.py").write_text(ONE_BUCKET)
    listed = {"type": "aws:s3/bucket:Bucket", "name": "older", "id": "an-older-bucket"}
    with_version = {**listed, "version": version("pulumi-aws")}
    (folder / "listed.json").write_text(json.dumps({"resources": [with_version]}))

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return pulumi(made, folder, *words, "--stack", "other")

    def resources() -> list[dict[str, object]]:
        state = made.folder / "state" / ".pulumi" / "stacks" / "twinlock" / "other.json"
        return json.loads(state.read_text())["checkpoint"]["latest"].get("resources", [])

    def refused(*words: str) -> None:
        before = resources()
        done = run("import", *words, "--yes")
        told = [line for line in (done.stdout + done.stderr).splitlines() if "can't do `pulumi import`" in line]
        assert done.returncode == 1 and told, done.stdout + done.stderr
        assert all("storage.existing, storage.adopt" in line and "import_ option" in line for line in told)
        assert resources() == before

    named = tuple(listed.values())
    assert run("stack", "init").returncode == 0
    refused(*named)
    assert run("up", "--yes", "--skip-preview").returncode == 0
    [provider] = [str(one["urn"]) for one in resources() if str(one["type"]).startswith("pulumi:providers:")]
    refused(*named, "--skip-preview")
    refused(*named, "--skip-preview", "--provider", f"aws={provider}")
    refused("--file", "listed.json", "--skip-preview")
