"""What the API describes becomes the topology: routes, filters, translations, over real moto in this process."""

from __future__ import annotations

import time

import pytest
from moto import mock_aws

from lab.aws.adapter import UnrealisableError
from lab.aws.launcher_values import Refused
from lab.topology import Interface, Network, Route, Rule, Subnet
from tests.unit.lab_account import Account


@pytest.fixture
def account():
    with mock_aws():
        yield Account()


def network(account) -> Network:
    return next(item for item in account.topology().networks if item.id == account.network)


def subnet(account) -> Subnet:
    return next(item for item in network(account).subnets if item.id == account.subnet)


def interface(account, name: str) -> Interface:
    return next(item for item in network(account).interfaces if item.id == name)


def main_table(account) -> str:
    own = [{"Name": "vpc-id", "Values": [account.network]}]
    return account.ask("ec2", "DescribeRouteTables", Filters=own)["RouteTables"][0]["RouteTableId"]


def gateway(account) -> str:
    made = account.ask("ec2", "CreateInternetGateway")["InternetGateway"]["InternetGatewayId"]
    account.ask("ec2", "AttachInternetGateway", InternetGatewayId=made, VpcId=account.network)
    return made


def test_ipv6_of_interfaces_and_groups_is_read_and_a_route_out_by_it_is_named(account):
    account.ask("ec2", "AssociateVpcCidrBlock", VpcId=account.network, AmazonProvidedIpv6CidrBlock=True)
    shown = account.ask("ec2", "DescribeVpcs", VpcIds=[account.network])["Vpcs"][0]
    six = shown["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"].replace("::/56", "::/64")
    account.ask("ec2", "AssociateSubnetCidrBlock", SubnetId=account.subnet, Ipv6CidrBlock=six)
    closed, address = group(account), six.replace("/64", "a")
    permission = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432}
    for side in ({"Ipv6Ranges": [{"CidrIpv6": "2001:db8::/64"}]}, {"UserIdGroupPairs": [{"GroupId": closed}]}):
        account.ask("ec2", "AuthorizeSecurityGroupIngress", GroupId=closed, IpPermissions=[{**permission, **side}])
    made = account.interface(Groups=[closed], Ipv6Addresses=[{"Ipv6Address": address}])
    found = interface(account, made)
    assert found.addresses6 == (address,)
    inward = {cidr for rule in found.rules if rule.direction == "in" for cidr in rule.cidrs}
    assert inward == {"2001:db8::/64", f"{address}/128", "10.0.1.10/32"}
    table, out = main_table(account), gateway(account)
    account.ask("ec2", "CreateRoute", RouteTableId=table, DestinationIpv6CidrBlock="::/0", GatewayId=out)
    with pytest.raises(UnrealisableError, match="leads out by IPv6"):
        account.topology()


def group(account, name: str = "g") -> str:
    made = account.ask("ec2", "CreateSecurityGroup", GroupName=name, Description="d", VpcId=account.network)["GroupId"]
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    account.ask("ec2", "RevokeSecurityGroupEgress", GroupId=made, IpPermissions=everything)
    return made


LOCAL = Route(destination="10.0.0.0/16", kind="local", target="")


def test_a_subnet_without_a_gateway_has_its_networks_route_alone(account):
    assert subnet(account).routes == (LOCAL,)
    assert (subnet(account).zone, subnet(account).cidr) == ("eu-west-1a", "10.0.1.0/24")


def test_a_route_to_the_internet_needs_a_gateway_that_is_attached(account):
    door = gateway(account)
    account.ask(
        "ec2", "CreateRoute", RouteTableId=main_table(account), DestinationCidrBlock="0.0.0.0/0", GatewayId=door
    )
    assert Route(destination="0.0.0.0/0", kind="internet", target="") in subnet(account).routes
    account.ask("ec2", "DetachInternetGateway", InternetGatewayId=door, VpcId=account.network)
    assert Route(destination="0.0.0.0/0", kind="blackhole", target="") in subnet(account).routes


def test_a_subnets_own_route_table_goes_before_the_main_one(account):
    door = gateway(account)
    table = account.ask("ec2", "CreateRouteTable", VpcId=account.network)["RouteTable"]["RouteTableId"]
    account.ask("ec2", "CreateRoute", RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=door)
    assert subnet(account).routes == (LOCAL,)
    account.ask("ec2", "AssociateRouteTable", RouteTableId=table, SubnetId=account.subnet)
    assert Route(destination="0.0.0.0/0", kind="internet", target="") in subnet(account).routes


def test_a_route_to_an_interface_that_is_gone_is_a_blackhole(account):
    target = account.interface()
    account.ask(
        "ec2",
        "CreateRoute",
        RouteTableId=main_table(account),
        DestinationCidrBlock="10.90.0.0/16",
        NetworkInterfaceId=target,
    )
    assert Route(destination="10.90.0.0/16", kind="interface", target=target) in subnet(account).routes
    account.ask("ec2", "DeleteNetworkInterface", NetworkInterfaceId=target)
    assert Route(destination="10.90.0.0/16", kind="blackhole", target="") in subnet(account).routes


def endpoint(account, **more) -> str:
    made = account.ask(
        "ec2",
        "CreateVpcEndpoint",
        VpcId=account.network,
        ServiceName="com.amazonaws.eu-west-1.s3",
        VpcEndpointType="Gateway",
        **more,
    )
    return made["VpcEndpoint"]["VpcEndpointId"]


def test_a_gateway_endpoint_is_routed_by_its_prefix_list_from_the_tables_that_it_names(account):
    door = endpoint(account)
    (shown,) = network(account).endpoints
    assert (shown.id, shown.service) == (door, "s3")
    assert shown.prefixes
    assert subnet(account).routes == (LOCAL,)
    account.ask("ec2", "ModifyVpcEndpoint", VpcEndpointId=door, AddRouteTableIds=[main_table(account)])
    routed = {
        route.destination for route in subnet(account).routes if route.kind == "endpoint" and route.target == door
    }
    assert routed == set(shown.prefixes)


def test_a_deleted_endpoint_leaves_no_route(account):
    door = endpoint(account, RouteTableIds=[main_table(account)])
    account.ask("ec2", "DeleteVpcEndpoints", VpcEndpointIds=[door])
    assert network(account).endpoints == ()
    assert subnet(account).routes == (LOCAL,)


def test_the_rules_of_a_group_are_those_of_its_interfaces(account):
    guard = group(account)
    name = account.interface(Groups=[guard])
    assert interface(account, name).rules == ()
    opened = {"IpProtocol": "udp", "FromPort": 51820, "ToPort": 51820, "IpRanges": [{"CidrIp": "203.0.113.0/24"}]}
    account.ask("ec2", "AuthorizeSecurityGroupIngress", GroupId=guard, IpPermissions=[opened])
    assert interface(account, name).rules == (
        Rule(direction="in", protocol="udp", ports=(51820, 51820), cidrs=("203.0.113.0/24",)),
    )
    account.ask("ec2", "RevokeSecurityGroupIngress", GroupId=guard, IpPermissions=[opened])
    assert interface(account, name).rules == ()


def test_a_group_that_names_a_group_lets_its_members_addresses_through_and_nobody_elses(account):
    guard = group(account)
    pair = [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": guard}]}]
    account.ask("ec2", "AuthorizeSecurityGroupIngress", GroupId=guard, IpPermissions=pair)
    first = account.interface("10.0.1.10", Groups=[guard])
    account.interface("10.0.1.11", Groups=[guard])
    account.interface("10.0.1.12")
    assert interface(account, first).rules == (
        Rule(direction="in", protocol="any", ports=None, cidrs=("10.0.1.10/32", "10.0.1.11/32")),
    )


def test_a_prefix_list_in_a_rule_stands_for_its_cidrs(account):
    lists = account.ask("ec2", "DescribeManagedPrefixLists")["PrefixLists"]
    storage = next(item["PrefixListId"] for item in lists if item["PrefixListName"] == "com.amazonaws.eu-west-1.s3")
    guard = group(account)
    out = [{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "PrefixListIds": [{"PrefixListId": storage}]}]
    account.ask("ec2", "AuthorizeSecurityGroupEgress", GroupId=guard, IpPermissions=out)
    (rule,) = interface(account, account.interface(Groups=[guard])).rules
    entries = account.ask("ec2", "GetManagedPrefixListEntries", PrefixListId=storage)["Entries"]
    assert rule.cidrs == tuple(sorted(item["Cidr"] for item in entries))
    assert (rule.direction, rule.protocol, rule.ports) == ("out", "tcp", (443, 443))


def test_a_protocol_that_the_fabric_can_not_filter_is_said_and_not_passed_over(account):
    guard = group(account)
    esp = [{"IpProtocol": "50", "FromPort": -1, "ToPort": -1, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    account.ask("ec2", "AuthorizeSecurityGroupIngress", GroupId=guard, IpPermissions=esp)
    account.interface(Groups=[guard])
    with pytest.raises(UnrealisableError, match="'50'"):
        account.topology()


def test_the_default_access_list_filters_nothing_and_an_own_one_is_kept_in_order(account):
    assert subnet(account).acl == ()
    made = account.ask("ec2", "CreateNetworkAcl", VpcId=account.network)["NetworkAcl"]["NetworkAclId"]
    for number, action, cidr in ((200, "allow", "0.0.0.0/0"), (100, "deny", "192.0.2.0/24")):
        account.ask(
            "ec2",
            "CreateNetworkAclEntry",
            NetworkAclId=made,
            RuleNumber=number,
            Protocol="17",
            RuleAction=action,
            Egress=False,
            CidrBlock=cidr,
            PortRange={"From": 1, "To": 2},
        )
    acls = account.ask("ec2", "DescribeNetworkAcls")["NetworkAcls"]
    held = next(item for acl in acls for item in acl["Associations"] if item["SubnetId"] == account.subnet)
    account.ask(
        "ec2",
        "ReplaceNetworkAclAssociation",
        AssociationId=held["NetworkAclAssociationId"],
        NetworkAclId=made,
    )
    inbound = [rule for rule in subnet(account).acl if rule.direction == "in"]
    assert [(rule.action, rule.cidrs, rule.ports) for rule in inbound][:2] == [
        ("deny", ("192.0.2.0/24",), (1, 2)),
        ("allow", ("0.0.0.0/0",), (1, 2)),
    ]


def test_the_address_check_addresses_and_prefixes_of_an_interface_are_its_own(account):
    name = account.interface(
        PrivateIpAddresses=[{"PrivateIpAddress": "10.0.1.20", "Primary": False}], Ipv4PrefixCount=1
    )
    account.ask("ec2", "ModifyNetworkInterfaceAttribute", NetworkInterfaceId=name, SourceDestCheck={"Value": False})
    shown = interface(account, name)
    assert shown.addresses == ("10.0.1.10", "10.0.1.20")
    assert shown.prefixes == ("10.0.1.32/28",)
    assert not shown.address_check


def test_an_empty_default_network_is_left_out(account):
    assert [item.id for item in account.topology().networks] == [account.network]


def test_the_same_account_gives_the_same_topology(account):
    account.group(account.gateway_template(account.interface()))
    account.settle()
    assert account.topology() == account.topology()


def test_reading_the_topology_is_quick(account):
    endpoint(account, RouteTableIds=[main_table(account)])
    account.topology()
    began = time.perf_counter()
    account.topology()
    assert time.perf_counter() - began < 1.0  # 0.1 s on an idle machine


def private(account, **more) -> str:
    for name in ("EnableDnsSupport", "EnableDnsHostnames"):
        account.ask("ec2", "ModifyVpcAttribute", VpcId=account.network, **{name: {"Value": True}})
    asked = {"VpcId": account.network, "VpcEndpointType": "Interface", "SubnetIds": [account.subnet], **more}
    made = account.launcher.call("ec2", "CreateVpcEndpoint", asked)
    return made["VpcEndpoint"]["VpcEndpointId"]


def test_an_interface_endpoint_stands_in_its_subnet_and_groups_and_takes_its_names(account):
    rules = group(account)
    name = private(account, ServiceName="com.amazonaws.eu-west-1.ec2", SecurityGroupIds=[rules], PrivateDnsEnabled=True)
    (endpoint,) = network(account).private_endpoints
    assert (endpoint.id, endpoint.names) == (name, ("ec2.eu-west-1.amazonaws.com",))
    door = interface(account, endpoint.interfaces[0])
    assert door.subnet == account.subnet and door.addresses[0].startswith("10.0.1.")
    assert door.rules == ()  # the group lets nothing in or out
    account.launcher.call("ec2", "DeleteVpcEndpoints", {"VpcEndpointIds": [name]})
    assert network(account).private_endpoints == ()
    assert door.id not in {item.id for item in network(account).interfaces}


def test_storages_names_stay_with_its_gateway_endpoint_unless_told(account):
    service = "com.amazonaws.eu-west-1.s3"
    inside = {"PrivateDnsOnlyForInboundResolverEndpoint": False}
    with pytest.raises(Refused, match="must have a Gateway"):
        private(account, ServiceName=service)
    private(account, ServiceName=service, DnsOptions=inside)
    assert network(account).private_endpoints[0].names == ("s3.eu-west-1.amazonaws.com",)
    with pytest.raises(Refused, match="conflicting DNS domain"):
        private(account, ServiceName=service, DnsOptions=inside)


def test_beside_a_gateway_endpoint_storages_interface_takes_no_names_unless_told(account):
    service = "com.amazonaws.eu-west-1.s3"
    account.ask("ec2", "CreateVpcEndpoint", VpcId=account.network, ServiceName=service, VpcEndpointType="Gateway")
    private(account, ServiceName=service)
    assert network(account).private_endpoints[0].names == ()
