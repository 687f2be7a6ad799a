"""How much of each kind a fresh account may have: what moto makes without end is refused as AWS refuses it.

https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html, the defaults: 5 VPCs a region, as many internet
gateways as VPCs, 60 inbound and 60 outbound rules of a security group. In a rule a prefix list counts for its weight:
https://docs.aws.amazon.com/vpc/latest/userguide/working-with-aws-managed-prefix-lists.html#aws-managed-prefix-list-weights
and one of a customer's own for its `MaxEntries`.
"""

from __future__ import annotations

import contextlib
import threading
from functools import partial

from lab.aws.launcher_values import Backend, Document, Handler, Refused, Result, number, records, text

NETWORKS, RULES = 5, 60
_MANAGED = "com.amazonaws."
_WEIGHTS = {"s3": 1, "dynamodb": 1, "ec2-instance-connect": 2, "s3express": 6, "vpc-lattice": 10}


class RoomApi:
    """`networks` is the quota of VPCs and of internet gateways; a test sets its own."""

    def __init__(self, backend: Backend) -> None:
        self._backend, self.networks, self._lock = backend, NETWORKS, threading.Lock()

    def handlers(self) -> dict[str, Handler]:
        return {
            "CreateVpc": partial(self._few, "CreateVpc", "DescribeVpcs", "Vpcs", "VpcLimitExceeded"),
            "CreateInternetGateway": partial(
                self._few, "CreateInternetGateway", "DescribeInternetGateways", "InternetGateways",
                "InternetGatewayLimitExceeded",
            ),
            "AuthorizeSecurityGroupIngress": partial(self._allow, "AuthorizeSecurityGroupIngress", False),
            "AuthorizeSecurityGroupEgress": partial(self._allow, "AuthorizeSecurityGroupEgress", True),
        }  # fmt: skip

    def secret_handlers(self) -> dict[str, Handler]:
        return {"CreateSecret": self._secret}

    def _secret(self, asked: Document) -> Result:
        """https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DeleteSecret.html: the name is taken until
        the recovery window ends. moto says that the secret is there."""
        held: Document = {}
        with contextlib.suppress(Refused):
            held = self._backend("secretsmanager", "DescribeSecret", {"SecretId": text(asked, "Name")})
        if held.get("DeletedDate"):
            told = "a secret with this name is already scheduled for deletion"
            raise Refused("InvalidRequestException", f"You can't create this secret because {told}.")
        return dict(self._backend("secretsmanager", "CreateSecret", asked))

    def _few(self, action: str, listing: str, what: str, code: str, asked: Document) -> Result:
        with self._lock:
            if len(records(self._backend("ec2", listing, {}), what)) >= self.networks:
                raise Refused(code, f"The maximum number of {what} has been reached: {self.networks}.")
            return dict(self._backend("ec2", action, asked))

    def _allow(self, action: str, egress: bool, asked: Document) -> Result:
        with self._lock:
            if text(asked, "GroupId"):
                there = self._entries(text(asked, "GroupId"), egress)
                more = sum(self._size(one) for one in records(asked, "IpPermissions"))
                if there + more > RULES:
                    told = "The maximum number of rules per security group has been reached."
                    raise Refused("RulesPerSecurityGroupLimitExceeded", told)
            return dict(self._backend("ec2", action, asked))

    def _entries(self, group: str, egress: bool) -> int:
        by_group = {"Filters": [{"Name": "group-id", "Values": [group]}]}
        rules = records(self._backend("ec2", "DescribeSecurityGroupRules", by_group), "SecurityGroupRules")
        return sum(
            self._weight(text(rule, "PrefixListId")) if rule.get("PrefixListId") else 1
            for rule in rules
            if bool(rule.get("IsEgress")) == egress
        )

    def _size(self, permission: Document) -> int:
        plain = sum(len(records(permission, side)) for side in ("IpRanges", "Ipv6Ranges", "UserIdGroupPairs"))
        return plain + sum(self._weight(text(one, "PrefixListId")) for one in records(permission, "PrefixListIds"))

    def _weight(self, prefix_list: str) -> int:
        by_id = {"PrefixListIds": [prefix_list]}
        found = records(self._backend("ec2", "DescribeManagedPrefixLists", by_id), "PrefixLists")
        name = text(found[0], "PrefixListName") if found else ""
        if name.startswith(_MANAGED):
            return _WEIGHTS.get(name.rpartition(".")[2], 55)  # the heaviest that AWS has
        return number(found[0], "MaxEntries", 1) if found else 1
