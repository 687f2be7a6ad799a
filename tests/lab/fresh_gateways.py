"""Gateways of the running lab put back to their first boot, again and again, and the lab given back as it was."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from lab import calls
from tests.lab.conftest import RunningLab
from twinlock.agent.aws_secrets import LABEL, label_of
from twinlock.registry import keys

CRASH = (Path(__file__).parent / "crash.py").read_text()
UNIT = """[Service]
ExecStart=
ExecStart=/usr/bin/python3 -I /run/crash.py /usr/local/lib/twinlock/fetch-agent bootstrap
RestartSec=700ms
"""
DROP_IN = "/run/systemd/system/twinlock-bootstrap.service.d"
INTERFACES = ("wg-service", "wg-way", "wg-pair", "wg-service2", "wg-way2")


def aws(lab: RunningLab, service: str):
    env = lab.deployer
    return boto3.client(
        service, region_name=env["AWS_REGION"], endpoint_url=env["AWS_ENDPOINT_URL"], verify=env["AWS_CA_BUNDLE"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"], aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=env.get("AWS_SESSION_TOKEN"), config=Config(retries={"total_max_attempts": 5}),
    )  # fmt: skip


def containers(slot: str) -> dict[str, str]:
    """Identity -> the name of its secret."""
    return {"service": "twinlock/lab/service", f"way#{slot}": f"twinlock/lab/way-{slot}"}


@dataclass
class Fresh:
    """What the tests do to gateways. Commands go by machine id: a fresh gateway is in no list yet."""

    lab: RunningLab
    table: str

    def __post_init__(self) -> None:
        self.dynamodb, self.secrets = aws(self.lab, "dynamodb"), aws(self.lab, "secretsmanager")
        self.ids = {slot: self.lab.machine(slot) for slot in ("a", "b")}
        self.kept = {name: self.identity(name) for name in ("service", "way#a", "way#b")}

    def run(self, slot: str, script: str) -> str:
        code, printed = calls.run(self.ids[slot], "sh", "-c", script)
        assert code == 0, f"{script} on {slot}: {printed}"
        return printed

    def both(self, script: str) -> list[str]:
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda slot: self.run(slot, script), ("a", "b")))

    def arm(self, slot: str) -> None:
        """The bootstrap unit runs the agent so that it can be told to die."""
        self.run(slot, f"cat > /run/crash.py <<'END'\n{CRASH}END\n")
        self.run(slot, f"mkdir -p {DROP_IN}; cat > {DROP_IN}/crash.conf <<'END'\n{UNIT}END\nsystemctl daemon-reload")

    def empty_disk(self, slot: str) -> None:
        downs = "; ".join(f"wg-quick down {name} 2>/dev/null" for name in INTERFACES)
        self.run(
            slot,
            f"systemctl stop twinlock-agent twinlock-bootstrap; {downs}; cd /etc/wireguard && rm -rf ./* ./.??*; "
            "cd /var/lib/twinlock && rm -rf ./* ./.??*; rm -f /usr/local/bin/twinlock-agent /run/crashed "
            "/run/crash-events; systemctl reset-failed twinlock-bootstrap 2>/dev/null; true",
        )
        self._delete(keys.gateway(slot), "record")

    def forget_identities(self, *slots: str) -> None:
        """As before the very first boot: nobody claimed, nothing labelled but what the lab gets back at the end."""
        for slot in slots:
            for name, container in containers(slot).items():
                self._delete(keys.IDENTITY, name)
                for version in self.labelled(container) - self._kept_versions():
                    self.secrets.update_secret_version_stage(
                        SecretId=container, VersionStage=label_of(version), RemoveFromVersionId=version
                    )

    def identity(self, name: str) -> dict[str, Any] | None:
        key = {keys.PARTITION: {"S": keys.IDENTITY}, keys.SORT: {"S": name}}
        return self.dynamodb.get_item(TableName=self.table, Key=key, ConsistentRead=True).get("Item")

    def record(self, slot: str) -> dict[str, Any] | None:
        key = {keys.PARTITION: {"S": keys.gateway(slot)}, keys.SORT: {"S": "record"}}
        return self.dynamodb.get_item(TableName=self.table, Key=key, ConsistentRead=True).get("Item")

    def registered(self, slot: str) -> str:
        """The instance that is registered for a slot, or nothing."""
        record = self.record(slot)
        return record["instance_id"]["S"] if record else ""

    def labelled(self, container: str) -> set[str]:
        """Versions that a gateway stored and that AWS therefore keeps."""
        versions = self.secrets.list_secret_version_ids(SecretId=container, IncludeDeprecated=True)["Versions"]
        return {
            version["VersionId"] for version in versions
            if LABEL + version["VersionId"] in version.get("VersionStages", [])
        }  # fmt: skip

    def attempts(self, container: str) -> set[str]:
        return self.labelled(container) - self._kept_versions()

    def give_back(self) -> None:
        """The lab's own identities again on both gateways, and nothing of the tests."""
        for slot in ("a", "b"):
            self.ids[slot] = self.lab.machine(slot)
            self.run(slot, f"rm -rf {DROP_IN} /run/crash*; systemctl daemon-reload")
            self.empty_disk(slot)
        self.forget_identities("a", "b")
        for item in self.kept.values():
            self.dynamodb.put_item(TableName=self.table, Item=item)
        self.both("systemctl start twinlock-bootstrap && systemctl start twinlock-agent twinlock-vrrp")

    def _kept_versions(self) -> set[str]:
        return {item["secret_version"]["S"] for item in self.kept.values() if item}

    def _delete(self, partition: str, sort: str) -> None:
        self.dynamodb.delete_item(TableName=self.table, Key={keys.PARTITION: {"S": partition}, keys.SORT: {"S": sort}})


def restart_tunnels(namespaces_and_files: list[tuple[str, Path]]) -> None:
    for namespace, file in namespaces_and_files:
        for verb in ("down", "up"):
            subprocess.run(
                ["ip", "netns", "exec", namespace, "wg-quick", verb, str(file)], capture_output=True, check=True
            )
