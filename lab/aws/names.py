"""The host names of AWS's services and the public address that each has in the lab.

The addresses of S3 and DynamoDB lie in the managed prefix lists that the lab's EC2 publishes, because that is what
clients and security groups route by; a test holds the two together.
"""

from __future__ import annotations

import re
from typing import Literal

REGION = "eu-west-1"
ACCOUNT = "123456789012"

# com.amazonaws.REGION.s3: 52.216.0.0/15, 3.5.0.0/19, 54.231.0.0/16; .dynamodb: 52.94.0.0/22, …
SERVICE_ADDRESSES: dict[Literal["s3", "dynamodb", "other"], str] = {
    "s3": "52.216.10.10",
    "dynamodb": "52.94.0.10",
    "other": "52.95.100.10",
}

# Suffix of a host name -> its address; the first match decides, and a suffix covers the name itself.
NAMES: tuple[tuple[str, str], ...] = (
    (f"s3.{REGION}.amazonaws.com", SERVICE_ADDRESSES["s3"]),
    (f"s3.dualstack.{REGION}.amazonaws.com", SERVICE_ADDRESSES["s3"]),
    ("s3.amazonaws.com", SERVICE_ADDRESSES["s3"]),
    (f"dynamodb.{REGION}.amazonaws.com", SERVICE_ADDRESSES["dynamodb"]),
    ("amazonaws.com", SERVICE_ADDRESSES["other"]),
)

# First label of a host name, or the service of a signature's scope -> botocore's name of the service.
SERVICES = {
    "autoscaling": "autoscaling",
    "cloudwatch": "cloudwatch",
    "dynamodb": "dynamodb",
    "ec2": "ec2",
    "elasticloadbalancing": "elbv2",
    "iam": "iam",
    "kms": "kms",
    "logs": "logs",
    "monitoring": "cloudwatch",
    "s3": "s3",
    "secretsmanager": "secretsmanager",
    "servicequotas": "service-quotas",
    "ssm": "ssm",
    "sts": "sts",
}

_OF_REGION = r"(?P<region>[a-z]{2}-[a-z]+-\d)"
_S3_HOST = re.compile(rf"^(?:(?P<bucket>.+)\.)?s3(?:[.-](?:dualstack\.)?{_OF_REGION})?\.amazonaws\.com$")
_HOST = re.compile(rf"^(?P<service>[a-z0-9-]+)(?:\.{_OF_REGION})?\.amazonaws\.com$")


def certificate_names() -> tuple[str, ...]:
    """DNS names that the front's own certificate covers; names beside these get one of their own."""
    hosts = [f"{label}.{REGION}.amazonaws.com" for label in SERVICES]
    wild = [f"*.s3.{REGION}.amazonaws.com", "*.s3.amazonaws.com", f"*.{REGION}.amazonaws.com", "*.amazonaws.com"]
    return (*hosts, *wild, "localhost")


def of_host(host: str) -> tuple[str, str | None] | None:
    """The service that a Host header names and, for S3's virtual hosts, the bucket. None: no name of AWS's."""
    name = host.rsplit(":", 1)[0].lower()
    if s3 := _S3_HOST.match(name):
        return "s3", s3["bucket"]
    match = _HOST.match(name)
    service = SERVICES.get(match["service"]) if match else None
    return (service, None) if service else None


def region_of_host(host: str) -> str | None:
    """The region that a Host header names; us-east-1 for a global name. None: no name of AWS's, or S3's global one,
    which answers for every region."""
    name = host.rsplit(":", 1)[0].lower()
    if s3 := _S3_HOST.match(name):
        return s3["region"]
    match = _HOST.match(name)
    return (match["region"] or "us-east-1") if match else None
