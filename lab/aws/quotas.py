"""Service Quotas, as far as something in the lab has a limit."""

from __future__ import annotations

from collections.abc import Callable

from lab.aws.launcher_values import Document, Handler, Refused, Result, text

# https://docs.aws.amazon.com/general/latest/gr/ec2-service.html#limits_ec2
ADDRESSES = ("ec2", "L-0263D0A3", "EC2-VPC Elastic IPs")


class QuotaApi:
    """`addresses` tells how many elastic addresses the account may have now."""

    def __init__(self, addresses: Callable[[], int], region: str, account: str) -> None:
        self._addresses, self._place = addresses, f"{region}:{account}"

    def handlers(self) -> dict[str, Handler]:
        return {"GetServiceQuota": self.get}

    def get(self, asked: Document) -> Result:
        service, code, name = ADDRESSES
        if (text(asked, "ServiceCode"), text(asked, "QuotaCode")) != (service, code):
            raise Refused("NoSuchResourceException", f"the lab has no quota {asked.get('QuotaCode')}")
        return {
            "Quota": {
                "ServiceCode": service,
                "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)",
                "QuotaCode": code,
                "QuotaName": name,
                "QuotaArn": f"arn:aws:servicequotas:{self._place}:{service}/{code}",
                "Value": float(self._addresses()),
                "Unit": "None",
                "Adjustable": True,
                "GlobalQuota": False,
            }
        }
