"""Service Quotas, as far as something in the lab has a limit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lab.aws.launcher_values import Document, Handler, Refused, Result, text


@dataclass(frozen=True)
class Quota:
    service: str
    code: str
    name: str


# https://docs.aws.amazon.com/general/latest/gr/ec2-service.html#limits_ec2
ADDRESSES = Quota("ec2", "L-0263D0A3", "EC2-VPC Elastic IPs")
# https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html; internet gateways follow it
NETWORKS = Quota("vpc", "L-F678F1CE", "VPCs per Region")
_SERVICES = {"ec2": "Amazon Elastic Compute Cloud (Amazon EC2)", "vpc": "Amazon Virtual Private Cloud (Amazon VPC)"}


class QuotaApi:
    """`quotas` tells how many of each the account may have now."""

    def __init__(self, quotas: Callable[[], Mapping[Quota, int]], region: str, account: str) -> None:
        self._quotas, self._place = quotas, f"{region}:{account}"

    def handlers(self) -> dict[str, Handler]:
        return {"GetServiceQuota": self.get}

    def get(self, asked: Document) -> Result:
        wanted = text(asked, "ServiceCode"), text(asked, "QuotaCode")
        for quota, value in self._quotas().items():
            if wanted == (quota.service, quota.code):
                return {"Quota": self._shown(quota, value)}
        raise Refused("NoSuchResourceException", f"the lab has no quota {asked.get('QuotaCode')}")

    def _shown(self, quota: Quota, value: int) -> Result:
        return {
            "ServiceCode": quota.service,
            "ServiceName": _SERVICES[quota.service],
            "QuotaCode": quota.code,
            "QuotaName": quota.name,
            "QuotaArn": f"arn:aws:servicequotas:{self._place}:{quota.service}/{quota.code}",
            "Value": float(value),
            "Unit": "None",
            "Adjustable": True,
            "GlobalQuota": False,
        }
