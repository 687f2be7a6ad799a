"""Functions that look at what exists: networks, subnets, internet gateways, buckets."""

from __future__ import annotations

from .api import Api
from .errors import ApiError
from .json_path import flag, rows, text
from .resource import Function, words
from .values import Json, Value


def _filters(arguments: Json) -> list[dict[str, Value]]:
    return [{"Name": each["name"], "Values": each["values"]} for each in rows(arguments, "filters")]


def _single(entries: list[Json], what: str) -> Json:
    """The real provider's words for none and for several."""
    if len(entries) != 1:
        raise ApiError(
            "NotFound" if not entries else "Ambiguous", f"{'no' if not entries else 'multiple'} matching {what} found"
        )
    return entries[0]


def _vpc(api: Api, arguments: Json) -> Json:
    vpc = _single(rows(api.call("ec2", "describe_vpcs", VpcIds=[arguments["id"]]), "Vpcs"), "EC2 VPC")
    identifier = text(vpc, "VpcId")

    def attribute(name: str) -> bool:
        answer = api.call("ec2", "describe_vpc_attribute", VpcId=identifier, Attribute=name)
        return flag(answer, name[0].upper() + name[1:], "Value")

    return {
        "id": identifier,
        "arn": api.arn("ec2", f"vpc/{identifier}"),
        "cidrBlock": text(vpc, "CidrBlock"),
        "cidrBlockAssociations": [
            {
                "associationId": text(each, "AssociationId"),
                "cidrBlock": text(each, "CidrBlock"),
                "state": text(each, "CidrBlockState", "State"),
            }
            for each in rows(vpc, "CidrBlockAssociationSet")
        ],
        "ipv6CidrBlockAssociations": [
            {"associationId": text(each, "AssociationId"), "ipv6CidrBlock": text(each, "Ipv6CidrBlock")}
            for each in rows(vpc, "Ipv6CidrBlockAssociationSet")
        ],
        "default": flag(vpc, "IsDefault"),
        "enableDnsSupport": attribute("enableDnsSupport"),
        "enableDnsHostnames": attribute("enableDnsHostnames"),
        "state": text(vpc, "State"),
        "tags": {text(tag, "Key"): text(tag, "Value") for tag in rows(vpc, "Tags")},
    }


def _subnets(api: Api, arguments: Json) -> Json:
    found = api.every("ec2", "describe_subnets", "Subnets", Filters=_filters(arguments))
    return {"id": api.region, "ids": sorted(text(subnet, "SubnetId") for subnet in found)}


def _subnet(api: Api, arguments: Json) -> Json:
    found = rows(api.call("ec2", "describe_subnets", SubnetIds=[arguments["id"]]), "Subnets")
    subnet = _single(found, "EC2 Subnet")
    return {
        "id": text(subnet, "SubnetId"),
        "vpcId": text(subnet, "VpcId"),
        "cidrBlock": text(subnet, "CidrBlock"),
        "ipv6CidrBlock": text(rows(subnet, "Ipv6CidrBlockAssociationSet"), 0, "Ipv6CidrBlock"),
        "availabilityZone": text(subnet, "AvailabilityZone"),
        "tags": {text(tag, "Key"): text(tag, "Value") for tag in rows(subnet, "Tags")},
    }


def _network_interface(api: Api, arguments: Json) -> Json:
    found = rows(
        api.call("ec2", "describe_network_interfaces", NetworkInterfaceIds=[arguments["id"]]), "NetworkInterfaces"
    )
    interface = _single(found, "EC2 Network Interface")
    return {
        "id": text(interface, "NetworkInterfaceId"),
        "vpcId": text(interface, "VpcId"),
        "subnetId": text(interface, "SubnetId"),
        "availabilityZone": text(interface, "AvailabilityZone"),
        "interfaceType": text(interface, "InterfaceType"),
        "privateIp": text(interface, "PrivateIpAddress"),
        "privateIps": [text(each, "PrivateIpAddress") for each in rows(interface, "PrivateIpAddresses")],
    }


def _internet_gateway(api: Api, arguments: Json) -> Json:
    found = rows(api.call("ec2", "describe_internet_gateways", Filters=_filters(arguments)), "InternetGateways")
    gateway = _single(found, "EC2 Internet Gateway")
    identifier = text(gateway, "InternetGatewayId")
    return {"id": identifier, "internetGatewayId": identifier, "ownerId": text(gateway, "OwnerId") or api.account}


def _bucket(api: Api, arguments: Json) -> Json:
    name = text(arguments, "bucket")
    api.call("s3", "head_bucket", Bucket=name)
    # The API leaves the place of us-east-1's buckets out.
    region = text(api.call("s3", "get_bucket_location", Bucket=name), "LocationConstraint") or "us-east-1"
    return {"id": name, "bucket": name, "arn": f"arn:{api.partition}:s3:::{name}", "bucketRegion": region}


def _bucket_policy(api: Api, arguments: Json) -> Json:
    name = text(arguments, "bucket")
    return {"id": name, "bucket": name, "policy": text(api.call("s3", "get_bucket_policy", Bucket=name), "Policy")}


FUNCTIONS = (
    Function(token="aws:ec2/getVpc:getVpc", known=words("id region"), call=_vpc),  # noqa: S106
    Function(token="aws:ec2/getSubnets:getSubnets", known=words("filters region"), call=_subnets),  # noqa: S106
    Function(token="aws:ec2/getSubnet:getSubnet", known=words("id region"), call=_subnet),  # noqa: S106
    Function(
        token="aws:ec2/getNetworkInterface:getNetworkInterface",  # noqa: S106
        known=words("id region"),
        call=_network_interface,
    ),
    Function(
        token="aws:ec2/getInternetGateway:getInternetGateway",  # noqa: S106
        known=words("filters region"),
        call=_internet_gateway,
    ),
    Function(token="aws:s3/getBucket:getBucket", known=words("bucket region"), call=_bucket),  # noqa: S106
    Function(
        token="aws:s3/getBucketPolicy:getBucketPolicy",  # noqa: S106
        known=words("bucket region"),
        call=_bucket_policy,
    ),
)
