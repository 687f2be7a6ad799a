"""VPC, subnets, internet gateway, route tables."""

from __future__ import annotations

from .api import Api
from .ec2_tags import mapped, retag, specification
from .json_path import flag, given, rows, text
from .network_rules import RULES_FOR
from .patience import found, while_refused
from .resource import Change, ResourceType, words
from .values import Json, Value

# What holds a thing may take a while to go (an interface whose instance is shutting down).
_IN_USE, _IN_USE_SECONDS = frozenset({"DependencyViolation", "InvalidParameterValue"}), 300


def _first(api: Api, operation: str, key: str, **parameters: object) -> Json | None:
    entries = found(lambda: rows(api.call("ec2", operation, **parameters), key))
    return entries[0] if entries else None


def _arn(api: Api, kind: str, identifier: str) -> str:
    return api.arn("ec2", f"{kind}/{identifier}")


def _create_vpc(api: Api, inputs: Json) -> str:
    tenancy = given(InstanceTenancy=inputs.get("instanceTenancy"))
    six = given(AmazonProvidedIpv6CidrBlock=inputs.get("assignGeneratedIpv6CidrBlock"))
    cidr = inputs["cidrBlock"]
    made = api.call("ec2", "create_vpc", CidrBlock=cidr, **tenancy, **six, **specification("vpc", inputs))
    return text(made, "Vpc", "VpcId")


def _finish_vpc(api: Api, identifier: str, inputs: Json) -> None:
    """One attribute a call is what the API takes; support goes before host names, which need it."""
    for name, attribute in (("enableDnsSupport", "EnableDnsSupport"), ("enableDnsHostnames", "EnableDnsHostnames")):
        if name in inputs:
            value = {attribute: {"Value": inputs[name]}}
            api.call("ec2", "modify_vpc_attribute", VpcId=identifier, **value)


def _update_vpc(api: Api, change: Change) -> None:
    wanted: Json = {"enableDnsSupport": True, "enableDnsHostnames": False, **change.new}
    _finish_vpc(api, change.id, {name: wanted[name] for name in ("enableDnsSupport", "enableDnsHostnames")})
    if "assignGeneratedIpv6CidrBlock" in change.names:
        if change.new.get("assignGeneratedIpv6CidrBlock"):
            api.call("ec2", "associate_vpc_cidr_block", VpcId=change.id, AmazonProvidedIpv6CidrBlock=True)
        elif association := text(change.state, "ipv6AssociationId"):
            api.call("ec2", "disassociate_vpc_cidr_block", AssociationId=association)
    retag(api, change)


def _read_vpc(api: Api, identifier: str, _inputs: Json) -> Json | None:
    vpc = _first(api, "describe_vpcs", "Vpcs", VpcIds=[identifier])
    if vpc is None:
        return None
    inside = [{"Name": "vpc-id", "Values": [identifier]}]
    main = [*inside, {"Name": "association.main", "Values": ["true"]}]
    default = [*inside, {"Name": "group-name", "Values": ["default"]}]
    tables = rows(api.call("ec2", "describe_route_tables", Filters=main), "RouteTables")
    groups = rows(api.call("ec2", "describe_security_groups", Filters=default), "SecurityGroups")
    acls = [*inside, {"Name": "default", "Values": ["true"]}]
    six = _associated(vpc)
    return {
        "arn": _arn(api, "vpc", identifier),
        "cidrBlock": text(vpc, "CidrBlock"),
        "instanceTenancy": text(vpc, "InstanceTenancy") or "default",
        "enableDnsSupport": _vpc_attribute(api, identifier, "enableDnsSupport", "EnableDnsSupport"),
        "enableDnsHostnames": _vpc_attribute(api, identifier, "enableDnsHostnames", "EnableDnsHostnames"),
        "defaultRouteTableId": text(tables, 0, "RouteTableId"),
        "mainRouteTableId": text(tables, 0, "RouteTableId"),
        "defaultSecurityGroupId": text(groups, 0, "GroupId"),
        "defaultNetworkAclId": text(
            api.call("ec2", "describe_network_acls", Filters=acls), "NetworkAcls", 0, "NetworkAclId"
        ),
        "dhcpOptionsId": text(vpc, "DhcpOptionsId"),
        "enableNetworkAddressUsageMetrics": False,
        "assignGeneratedIpv6CidrBlock": bool(six),
        "ipv6AssociationId": text(six, "AssociationId"),
        "ipv6CidrBlock": text(six, "Ipv6CidrBlock"),
        "ipv6CidrBlockNetworkBorderGroup": api.region if six else "",
        "ownerId": text(vpc, "OwnerId") or api.account,
        "tags": mapped(vpc.get("Tags")),
    }


def _associated(entry: Json) -> Json:
    """A network's or subnet's IPv6 block with its association; empty where it has none."""
    found = rows(entry, "Ipv6CidrBlockAssociationSet")
    # moto writes a subnet's state as Python would.
    present = [each for each in found if "disassociat" not in text(each, "Ipv6CidrBlockState", "State")]
    return present[0] if present else dict[str, Value]()


def _vpc_attribute(api: Api, identifier: str, attribute: str, key: str) -> bool:
    answer = api.call("ec2", "describe_vpc_attribute", VpcId=identifier, Attribute=attribute)
    return flag(answer, key, "Value")


def _delete(operation: str, parameter: str):
    def delete(api: Api, identifier: str, _state: Json) -> None:
        while_refused(lambda: api.call("ec2", operation, **{parameter: identifier}), _IN_USE, _IN_USE_SECONDS)

    return delete


VPC = ResourceType(
    token="aws:ec2/vpc:Vpc",  # noqa: S106 - a type's name
    create=_create_vpc,
    finish=_finish_vpc,
    read=_read_vpc,
    update=_update_vpc,
    delete=_delete("delete_vpc", "VpcId"),
    forces_new=words("cidrBlock"),
    in_place=words("assignGeneratedIpv6CidrBlock enableDnsSupport enableDnsHostnames tags"),
    rules=RULES_FOR["vpc"],
    restated=words("ipv6CidrBlock ipv6AssociationId"),
)


def _create_subnet(api: Api, inputs: Json) -> str:
    zone = given(AvailabilityZone=inputs.get("availabilityZone"))
    place = {"VpcId": inputs["vpcId"], "CidrBlock": inputs["cidrBlock"]}
    place |= given(Ipv6CidrBlock=inputs.get("ipv6CidrBlock"))
    return text(
        api.call("ec2", "create_subnet", **place, **zone, **specification("subnet", inputs)), "Subnet", "SubnetId"
    )


def _finish_subnet(api: Api, identifier: str, inputs: Json) -> None:
    if "mapPublicIpOnLaunch" in inputs:
        mapped_on_launch = {"Value": inputs["mapPublicIpOnLaunch"]}
        api.call("ec2", "modify_subnet_attribute", SubnetId=identifier, MapPublicIpOnLaunch=mapped_on_launch)


def _update_subnet(api: Api, change: Change) -> None:
    _finish_subnet(api, change.id, {"mapPublicIpOnLaunch": False, **change.new})
    if "ipv6CidrBlock" in change.names:
        if association := text(change.state, "ipv6CidrBlockAssociationId"):
            api.call("ec2", "disassociate_subnet_cidr_block", AssociationId=association)
        if block := change.new.get("ipv6CidrBlock"):
            api.call("ec2", "associate_subnet_cidr_block", SubnetId=change.id, Ipv6CidrBlock=block)
    retag(api, change)


def _read_subnet(api: Api, identifier: str, _inputs: Json) -> Json | None:
    subnet = _first(api, "describe_subnets", "Subnets", SubnetIds=[identifier])
    if subnet is None:
        return None
    return {
        "arn": _arn(api, "subnet", identifier),
        "vpcId": text(subnet, "VpcId"),
        "cidrBlock": text(subnet, "CidrBlock"),
        "availabilityZone": text(subnet, "AvailabilityZone"),
        "availabilityZoneId": text(subnet, "AvailabilityZoneId"),
        "mapPublicIpOnLaunch": flag(subnet, "MapPublicIpOnLaunch"),
        "assignIpv6AddressOnCreation": False,
        "ipv6CidrBlock": text(_associated(subnet), "Ipv6CidrBlock"),
        "ipv6CidrBlockAssociationId": text(_associated(subnet), "AssociationId"),
        "ownerId": text(subnet, "OwnerId") or api.account,
        "privateDnsHostnameTypeOnLaunch": "ip-name",
        "tags": mapped(subnet.get("Tags")),
    }


SUBNET = ResourceType(
    token="aws:ec2/subnet:Subnet",  # noqa: S106
    create=_create_subnet,
    finish=_finish_subnet,
    read=_read_subnet,
    update=_update_subnet,
    delete=_delete("delete_subnet", "SubnetId"),
    forces_new=words("vpcId cidrBlock availabilityZone"),
    in_place=words("ipv6CidrBlock mapPublicIpOnLaunch tags"),
    rules=RULES_FOR["subnet"],
)


def _create_gateway(api: Api, inputs: Json) -> str:
    made = api.call("ec2", "create_internet_gateway", **specification("internet-gateway", inputs))
    return text(made, "InternetGateway", "InternetGatewayId")


def _attach(api: Api, identifier: str, inputs: Json) -> None:
    if inputs.get("vpcId"):
        api.call("ec2", "attach_internet_gateway", InternetGatewayId=identifier, VpcId=inputs["vpcId"])


def _attach_again(api: Api, identifier: str, inputs: Json) -> None:
    now = _read_gateway(api, identifier, inputs)
    if now is not None and not now["vpcId"]:
        _attach(api, identifier, inputs)


def _update_gateway(api: Api, change: Change) -> None:
    if "vpcId" in change.names:
        _detach(api, change.id, change.old)
        _attach(api, change.id, change.new)
    retag(api, change)


def _detach(api: Api, identifier: str, state: Json) -> None:
    if vpc := state.get("vpcId"):
        detach = {"InternetGatewayId": identifier, "VpcId": vpc}
        while_refused(lambda: api.call("ec2", "detach_internet_gateway", **detach), _IN_USE, _IN_USE_SECONDS)


def _delete_gateway(api: Api, identifier: str, state: Json) -> None:
    found(lambda: _detach(api, identifier, state))
    api.call("ec2", "delete_internet_gateway", InternetGatewayId=identifier)


def _read_gateway(api: Api, identifier: str, _inputs: Json) -> Json | None:
    gateway = _first(api, "describe_internet_gateways", "InternetGateways", InternetGatewayIds=[identifier])
    if gateway is None:
        return None
    return {
        "arn": _arn(api, "internet-gateway", identifier),
        "ownerId": text(gateway, "OwnerId") or api.account,
        "vpcId": text(gateway, "Attachments", 0, "VpcId"),
        "tags": mapped(gateway.get("Tags")),
    }


INTERNET_GATEWAY = ResourceType(
    token="aws:ec2/internetGateway:InternetGateway",  # noqa: S106
    create=_create_gateway,
    finish=_attach,
    resume=_attach_again,
    read=_read_gateway,
    update=_update_gateway,
    delete=_delete_gateway,
    in_place=words("vpcId tags"),
)


def _create_table(api: Api, inputs: Json) -> str:
    made = api.call("ec2", "create_route_table", VpcId=inputs["vpcId"], **specification("route-table", inputs))
    return text(made, "RouteTable", "RouteTableId")


def _read_table(api: Api, identifier: str, _inputs: Json) -> Json | None:
    table = _first(api, "describe_route_tables", "RouteTables", RouteTableIds=[identifier])
    if table is None:
        return None
    return {
        "arn": _arn(api, "route-table", identifier),
        "vpcId": text(table, "VpcId"),
        "ownerId": text(table, "OwnerId") or api.account,
        "propagatingVgws": [],
        "routes": [_shown(route) for route in rows(table, "Routes") if text(route, "GatewayId") != "local"],
        "tags": mapped(table.get("Tags")),
    }


def _shown(route: Json) -> Json:
    """As the real provider shows a route of a table: an empty text for each way that it does not take."""
    return {
        "cidrBlock": text(route, "DestinationCidrBlock"),
        "destinationPrefixListId": text(route, "DestinationPrefixListId"),
        "gatewayId": text(route, "GatewayId"),
        "networkInterfaceId": text(route, "NetworkInterfaceId"),
    }


ROUTE_TABLE = ResourceType(
    token="aws:ec2/routeTable:RouteTable",  # noqa: S106
    create=_create_table,
    read=_read_table,
    update=retag,
    delete=_delete("delete_route_table", "RouteTableId"),
    forces_new=words("vpcId"),
    in_place=words("tags"),
)

_TARGETS = {"gatewayId": "GatewayId", "networkInterfaceId": "NetworkInterfaceId"}


def _route(inputs: Json) -> Json:
    target = {key: inputs[name] for name, key in _TARGETS.items() if inputs.get(name)}
    place: Json = {"RouteTableId": inputs["routeTableId"], "DestinationCidrBlock": inputs["destinationCidrBlock"]}
    return place | target


def _create_route(api: Api, inputs: Json) -> str:
    api.call("ec2", "create_route", **_route(inputs))
    # The real provider's id: r-TABLE and a checksum of the destination.
    import zlib

    return f"r-{inputs['routeTableId']}{zlib.crc32(str(inputs['destinationCidrBlock']).encode())}"


def _update_route(api: Api, change: Change) -> None:
    api.call("ec2", "replace_route", **_route(change.new))


def _delete_route(api: Api, _identifier: str, state: Json) -> None:
    place = {"RouteTableId": state["routeTableId"], "DestinationCidrBlock": state["destinationCidrBlock"]}
    found(lambda: api.call("ec2", "delete_route", **place))


def _read_route(api: Api, _identifier: str, inputs: Json) -> Json | None:
    table = _first(api, "describe_route_tables", "RouteTables", RouteTableIds=[inputs.get("routeTableId")])
    for route in rows(table, "Routes"):
        if text(route, "DestinationCidrBlock") == inputs.get("destinationCidrBlock"):
            return {
                "routeTableId": inputs.get("routeTableId"),
                "destinationCidrBlock": inputs.get("destinationCidrBlock"),
                "gatewayId": text(route, "GatewayId"),
                "networkInterfaceId": text(route, "NetworkInterfaceId"),
                "instanceId": text(route, "InstanceId"),
                "instanceOwnerId": text(route, "InstanceOwnerId"),
                "origin": text(route, "Origin") or "CreateRoute",
                "state": text(route, "State") or "active",
            }
    return None


ROUTE = ResourceType(
    token="aws:ec2/route:Route",  # noqa: S106
    create=_create_route,
    read=_read_route,
    update=_update_route,
    delete=_delete_route,
    forces_new=words("routeTableId destinationCidrBlock"),
    in_place=words("gatewayId networkInterfaceId"),
    rules=RULES_FOR["route"],
    delete_before_replace=True,  # a table has one route to a destination
)


def _associate(api: Api, inputs: Json) -> str:
    ends = {"SubnetId": inputs["subnetId"], "RouteTableId": inputs["routeTableId"]}
    return text(api.call("ec2", "associate_route_table", **ends), "AssociationId")


def _read_association(api: Api, identifier: str, _inputs: Json) -> Json | None:
    by_id = [{"Name": "association.route-table-association-id", "Values": [identifier]}]
    table = _first(api, "describe_route_tables", "RouteTables", Filters=by_id)
    for association in rows(table, "Associations"):
        if text(association, "RouteTableAssociationId") == identifier:
            return {"routeTableId": text(table, "RouteTableId"), "subnetId": text(association, "SubnetId")}
    return None


TABLE_ASSOCIATION = ResourceType(
    token="aws:ec2/routeTableAssociation:RouteTableAssociation",  # noqa: S106
    create=_associate,
    read=_read_association,
    delete=_delete("disassociate_route_table", "AssociationId"),
    # The real provider moves a subnet to another table in place, under a new id, which the engine can't be told.
    forces_new=words("subnetId routeTableId"),
    delete_before_replace=True,
)

TYPES = (VPC, SUBNET, INTERNET_GATEWAY, ROUTE_TABLE, ROUTE, TABLE_ASSOCIATION)
