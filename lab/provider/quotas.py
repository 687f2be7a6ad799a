"""Functions that tell what there is room for: quotas, addresses in use, sizes that a zone offers."""

from __future__ import annotations

from .api import Api
from .json_path import at, flag, rows, text
from .resource import Function, words
from .values import Json, Value


def _filters(arguments: Json) -> list[dict[str, Value]]:
    return [{"Name": each["name"], "Values": each["values"]} for each in rows(arguments, "filters")]


def _named(arguments: Json) -> list[dict[str, Value]]:
    """By filters and tags."""
    tags = arguments.get("tags")
    return _filters(arguments) + [
        {"Name": f"tag:{name}", "Values": [value]} for name, value in (tags if isinstance(tags, dict) else {}).items()
    ]


def _quota(api: Api, arguments: Json) -> Json:
    wanted = {"ServiceCode": arguments["serviceCode"], "QuotaCode": arguments["quotaCode"]}
    quota = api.call("service-quotas", "get_service_quota", **wanted).get("Quota")
    return {
        "id": text(quota, "QuotaArn"),
        "arn": text(quota, "QuotaArn"),
        "serviceCode": text(quota, "ServiceCode"),
        "serviceName": text(quota, "ServiceName"),
        "quotaCode": text(quota, "QuotaCode"),
        "quotaName": text(quota, "QuotaName"),
        "value": at(quota, "Value"),
        "adjustable": flag(quota, "Adjustable"),
        "globalQuota": flag(quota, "GlobalQuota"),
    }


def _networks(api: Api, arguments: Json) -> Json:
    found = api.every("ec2", "describe_vpcs", "Vpcs", Filters=_named(arguments))
    return {"id": api.region, "ids": [text(each, "VpcId") for each in found]}


def _addresses(api: Api, arguments: Json) -> Json:
    found = rows(api.call("ec2", "describe_addresses", Filters=_named(arguments)), "Addresses")
    return {
        "id": api.region,
        "allocationIds": [text(each, "AllocationId") for each in found],
        "publicIps": [text(each, "PublicIp") for each in found],
    }


def _offerings(api: Api, arguments: Json) -> Json:
    found = api.every(
        "ec2", "describe_instance_type_offerings", "InstanceTypeOfferings",
        LocationType=arguments.get("locationType", "region"), Filters=_filters(arguments),
    )  # fmt: skip
    return {
        "id": api.region,
        "instanceTypes": [text(each, "InstanceType") for each in found],
        "locations": [text(each, "Location") for each in found],
        "locationTypes": [text(each, "LocationType") for each in found],
    }


FUNCTIONS = (
    Function(
        token="aws:servicequotas/getServiceQuota:getServiceQuota",  # noqa: S106
        known=words("serviceCode quotaCode region"),
        call=_quota,
    ),
    Function(token="aws:ec2/getVpcs:getVpcs", known=words("filters tags region"), call=_networks),  # noqa: S106
    Function(token="aws:ec2/getEips:getEips", known=words("filters tags region"), call=_addresses),  # noqa: S106
    Function(
        token="aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings",  # noqa: S106
        known=words("filters locationType region"),
        call=_offerings,
    ),
)
