"""A tenant's own part of a bucket, with real packets: keys alone open nothing, the tunnel counts."""

from __future__ import annotations

import json

from lab import clients
from lab.clients import PYTHON, Client

PART = "blue/of-its-own"


def _attempt(client: Client, keys_of: Client, verb: str, bucket: str, key: str) -> dict[str, object]:
    argv = (PYTHON, "-m", "lab.transfer", verb, bucket, key, "1000")
    done = clients.in_namespace(client.namespace, argv, keys_of.credentials, 60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_tenants_own_part_opens_to_its_own_tunnel_and_to_no_other_with_the_same_keys(lab, ada, bob) -> None:
    bucket = lab.report_bucket()
    assert _attempt(bob, bob, "put", bucket, PART)["ok"] is True
    assert _attempt(bob, bob, "get", bucket, PART)["ok"] is True
    for verb in ("get", "put"):
        stolen = _attempt(ada, bob, verb, bucket, PART)
        assert (stolen["ok"], stolen["error"]) == (False, "AccessDenied"), "tenant red with tenant blue's keys"
        own = _attempt(ada, ada, verb, bucket, PART)
        assert (own["ok"], own["error"]) == (False, "AccessDenied"), "tenant red with its own keys"
    assert _attempt(ada, ada, "put", bucket, "red-keeps-the-rest")["ok"] is True


def test_the_storages_log_says_by_which_tenants_tunnel_a_call_came(lab, ada, bob) -> None:
    """The lab's log of calls holds what the storage saw, as S3's own access log would."""
    facts = json.loads(lab.definition())
    own = {tenant["name"]: {source["first"] for source in tenant["sources"]} for tenant in facts["tenants"]}
    assert not own["red"] & own["blue"]
    for client in (ada, bob):
        _attempt(client, bob, "get", lab.report_bucket(), PART)
        last = [row for row in lab.log("calls") if row["service"] == "s3" and "lab-tenant-blue" in row["caller"]][-1]
        assert last["source"] in own[client.tenant], last
