"""VPC endpoints: gateway endpoints by route, interface endpoints by address."""

from __future__ import annotations

import json
from collections.abc import Iterator

from .api import Api
from .ec2_tags import mapped, retag, specification
from .errors import ApiError
from .json_path import flag, given, rows, text, texts
from .patience import found, until
from .resource import Change, Problem, ResourceType, words
from .values import Json

_LONGEST_POLICY = 20_480
_WAIT = 600  # the real provider's default timeout, 10 minutes


def _create(api: Api, inputs: Json) -> str:
    made = api.call(
        "ec2",
        "create_vpc_endpoint",
        VpcId=inputs["vpcId"],
        ServiceName=inputs["serviceName"],
        VpcEndpointType=inputs.get("vpcEndpointType", "Gateway"),
        **given(
            RouteTableIds=inputs.get("routeTableIds"),
            SubnetIds=inputs.get("subnetIds"),
            SecurityGroupIds=inputs.get("securityGroupIds"),
            PrivateDnsEnabled=inputs.get("privateDnsEnabled"),
            PolicyDocument=inputs.get("policy"),
            DnsOptions=_dns_options(inputs),
        ),
        **specification("vpc-endpoint", inputs),
    )
    return text(made, "VpcEndpoint", "VpcEndpointId")


def _dns_options(inputs: Json) -> Json | None:
    options = inputs.get("dnsOptions")
    if not isinstance(options, dict) or not options:
        return None
    only = flag(options, "privateDnsOnlyForInboundResolverEndpoint")
    return {"PrivateDnsOnlyForInboundResolverEndpoint": only}


def _finish(api: Api, identifier: str, _inputs: Json) -> None:
    until(lambda: text(_one(api, identifier), "State") == "available", _WAIT, f"{identifier} is not available")


def _one(api: Api, identifier: str) -> Json | None:
    entries = found(
        lambda: rows(api.call("ec2", "describe_vpc_endpoints", VpcEndpointIds=[identifier]), "VpcEndpoints")
    )
    return entries[0] if entries and text(entries, 0, "State") not in ("deleting", "deleted") else None


def _read(api: Api, identifier: str, _inputs: Json) -> Json | None:
    endpoint = _one(api, identifier)
    if endpoint is None:
        return None
    prefixes = _prefix_list(api, text(endpoint, "ServiceName"))
    return {
        "arn": api.arn("ec2", f"vpc-endpoint/{identifier}"),
        "vpcId": text(endpoint, "VpcId"),
        "serviceName": text(endpoint, "ServiceName"),
        "serviceRegion": api.region,
        "vpcEndpointType": text(endpoint, "VpcEndpointType"),
        "state": text(endpoint, "State"),
        "policy": text(endpoint, "PolicyDocument") or None,
        "routeTableIds": sorted(texts(endpoint, "RouteTableIds")),
        "subnetIds": sorted(texts(endpoint, "SubnetIds")),
        "securityGroupIds": sorted(text(group, "GroupId") for group in rows(endpoint, "Groups")),
        "networkInterfaceIds": sorted(texts(endpoint, "NetworkInterfaceIds")),
        "privateDnsEnabled": flag(endpoint, "PrivateDnsEnabled"),
        "prefixListId": text(prefixes, "PrefixListId"),
        "cidrBlocks": texts(prefixes, "Cidrs"),
        "requesterManaged": False,
        "ipAddressType": text(endpoint, "IpAddressType") or "ipv4",
        "dnsEntries": [
            {"dnsName": text(entry, "DnsName"), "hostedZoneId": text(entry, "HostedZoneId")}
            for entry in rows(endpoint, "DnsEntries")
        ],
        "ownerId": text(endpoint, "OwnerId") or api.account,
        "tags": mapped(endpoint.get("Tags")),
    }


def _prefix_list(api: Api, service: str) -> Json:
    by_name = [{"Name": "prefix-list-name", "Values": [service]}]
    entries = rows(api.call("ec2", "describe_prefix_lists", Filters=by_name), "PrefixLists")
    return entries[0] if entries else {}


def _update(api: Api, change: Change) -> None:
    wanted: Json = {}
    for name, key in _LISTS.items():
        old, new = set(texts(change.old, name)), set(texts(change.new, name))
        wanted |= {f"Add{key}": sorted(new - old)} if new - old else {}
        wanted |= {f"Remove{key}": sorted(old - new)} if old - new else {}
    if "policy" in change.names:
        policy = change.new.get("policy")
        wanted |= {"PolicyDocument": policy} if policy is not None else {"ResetPolicy": True}
    if "dnsOptions" in change.names and (options := _dns_options(change.new)):
        wanted["DnsOptions"] = options
    if "privateDnsEnabled" in change.names:
        wanted["PrivateDnsEnabled"] = change.new.get("privateDnsEnabled", False)
    if wanted:
        api.call("ec2", "modify_vpc_endpoint", VpcEndpointId=change.id, **wanted)
    retag(api, change)


_LISTS = {"routeTableIds": "RouteTableIds", "subnetIds": "SubnetIds", "securityGroupIds": "SecurityGroupIds"}


def _delete(api: Api, identifier: str, _state: Json) -> None:
    refused = rows(api.call("ec2", "delete_vpc_endpoints", VpcEndpointIds=[identifier]), "Unsuccessful")
    if refused and "NotFound" not in text(refused, 0, "Error", "Code"):
        raise ApiError(text(refused, 0, "Error", "Code"), text(refused, 0, "Error", "Message"))
    until(lambda: _one(api, identifier) is None, _WAIT, f"{identifier} is not deleted")


def _kind_and_places(inputs: Json) -> Iterator[Problem]:
    """CreateVpcEndpoint: route tables go with gateway endpoints; subnets, groups, private DNS with interface ones."""
    kind = inputs.get("vpcEndpointType", "Gateway")
    wrong = {
        "Gateway": ("subnetIds", "securityGroupIds", "privateDnsEnabled", "dnsOptions"),
        "Interface": ("routeTableIds",),
    }
    if isinstance(kind, str) and kind not in wrong:
        yield Problem("vpcEndpointType", f"must be Gateway or Interface here, got {kind}")
    for name in wrong.get(kind, ()) if isinstance(kind, str) else ():
        if inputs.get(name):
            yield Problem(name, f"does not go with an endpoint of type {kind}")
    if inputs.get("serviceName") is None:
        yield Problem("serviceName", "missing: an endpoint needs a service")


def _gateway_services(inputs: Json) -> Iterator[Problem]:
    """https://docs.aws.amazon.com/vpc/latest/privatelink/gateway-endpoints.html: S3 and DynamoDB alone."""
    service = inputs.get("serviceName")
    gateway = inputs.get("vpcEndpointType", "Gateway") == "Gateway"
    if gateway and isinstance(service, str) and service.rpartition(".")[2] not in ("s3", "dynamodb"):
        yield Problem("serviceName", f"gateway endpoints exist for s3 and dynamodb alone, got {service}")


def _policy_is_json(inputs: Json) -> Iterator[Problem]:
    """A policy document is a JSON object of 20,480 characters at most, white space counted
    (https://docs.aws.amazon.com/vpc/latest/privatelink/vpc-limits-endpoints.html)."""
    policy = inputs.get("policy")
    if isinstance(policy, str):
        if len(policy) > _LONGEST_POLICY:
            yield Problem("policy", f"{len(policy)} characters, and AWS takes at most {_LONGEST_POLICY}")
        try:
            json.loads(policy)
        except ValueError as broken:
            yield Problem("policy", f"is not JSON: {broken}")


ENDPOINT = ResourceType(
    token="aws:ec2/vpcEndpoint:VpcEndpoint",  # noqa: S106
    create=_create,
    finish=_finish,
    read=_read,
    update=_update,
    delete=_delete,
    forces_new=words("vpcId serviceName vpcEndpointType"),
    in_place=words(
        "routeTableIds subnetIds securityGroupIds privateDnsEnabled policy tags "
        "dnsOptions.privateDnsOnlyForInboundResolverEndpoint"
    ),
    rules=(_kind_and_places, _gateway_services, _policy_is_json),
)

TYPES = (ENDPOINT,)
