"""Interface endpoints: network interfaces of their own, in the subnets and groups that were asked for.

moto makes such interfaces at addresses outside of their subnets and without groups; here they are ordinary ones.
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateVpcEndpoint.html
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from lab.aws.instances_network import InterfaceApi
from lab.aws.launcher_values import Backend, Document, Handler, Refused, Result, flag, record, records, text, texts


class EndpointApi:
    """Keeps which interface stands in which subnet; all else is moto's."""

    def __init__(self, backend: Backend, interfaces: InterfaceApi) -> None:
        self._backend, self._interfaces = backend, interfaces
        self._places: dict[str, dict[str, str]] = {}  # endpoint -> subnet -> interface
        self._outside: set[str] = set()  # those whose names are for on-premises resolvers alone
        self._lock = threading.RLock()

    def handlers(self) -> dict[str, Handler]:
        return {
            "CreateVpcEndpoint": self.create,
            "DescribeVpcEndpoints": self.describe,
            "ModifyVpcEndpoint": self.modify,
            "DeleteVpcEndpoints": self.delete,
        }

    def create(self, asked: Document) -> Result:
        if text(asked, "VpcEndpointType", "Gateway") != "Interface":
            return dict(self._backend("ec2", "CreateVpcEndpoint", asked))
        subnets = texts(asked, "SubnetIds")
        with self._lock:
            self._check_zones(subnets)
            self._check_names(asked)
            outside = self._outside_only(asked)
            made = record(self._backend("ec2", "CreateVpcEndpoint", {**asked, "SubnetIds": []}), "VpcEndpoint")
            name = text(made, "VpcEndpointId")
            self._places[name] = {}
            self._outside |= {name} if outside else set()
            self._stand(name, subnets, texts(asked, "SecurityGroupIds"))
            return {"VpcEndpoint": self._complete(made)}

    def describe(self, asked: Document) -> Result:
        found = records(self._backend("ec2", "DescribeVpcEndpoints", asked), "VpcEndpoints")
        with self._lock:
            return {"VpcEndpoints": [self._complete(item) for item in found]}

    def modify(self, asked: Document) -> Result:
        name = text(asked, "VpcEndpointId")
        with self._lock:
            if name not in self._places:
                return dict(self._backend("ec2", "ModifyVpcEndpoint", asked))
            if asked.get("PrivateDnsEnabled") is not None or asked.get("DnsOptions") is not None:
                raise Refused("UnsupportedOperation", "the lab can't switch an endpoint's private DNS: make another")
            added, removed = texts(asked, "AddSubnetIds"), texts(asked, "RemoveSubnetIds")
            self._check_zones({*self._places[name], *added} - set(removed))
            passed = {key: value for key, value in asked.items() if not key.endswith("SubnetIds")}
            self._backend("ec2", "ModifyVpcEndpoint", passed)
            groups = self._groups(name)
            for subnet in removed:
                self._leave(self._places[name].pop(subnet, ""))
            self._stand(name, [subnet for subnet in added if subnet not in self._places[name]], groups)
            for interface in self._places[name].values():
                change = {"NetworkInterfaceId": interface, "Groups": list(groups)}
                self._backend("ec2", "ModifyNetworkInterfaceAttribute", change)
            return {"Return": True}

    def delete(self, asked: Document) -> Result:
        answer = dict(self._backend("ec2", "DeleteVpcEndpoints", asked))
        with self._lock:
            for name in texts(asked, "VpcEndpointIds"):
                for interface in self._places.pop(name, {}).values():
                    self._leave(interface)
        return answer

    def _stand(self, name: str, subnets: Iterable[str], groups: tuple[str, ...]) -> None:
        for subnet in subnets:
            wanted: Result = {"SubnetId": subnet, "Description": f"VPC Endpoint Interface {name}"}
            made = record(
                self._interfaces.create(wanted | ({"Groups": list(groups)} if groups else {})), "NetworkInterface"
            )
            self._places[name][subnet] = text(made, "NetworkInterfaceId")

    def _leave(self, interface: str) -> None:
        if interface:
            self._backend("ec2", "DeleteNetworkInterface", {"NetworkInterfaceId": interface})

    def _complete(self, shown: Document) -> Result:
        places = self._places.get(text(shown, "VpcEndpointId"))
        if places is None:
            return dict(shown)
        options = {"PrivateDnsOnlyForInboundResolverEndpoint": text(shown, "VpcEndpointId") in self._outside}
        places_of = {"SubnetIds": list(places), "NetworkInterfaceIds": list(places.values())}
        return {**shown, **places_of, "DnsOptions": options}

    def _groups(self, name: str) -> tuple[str, ...]:
        (shown,) = records(self._backend("ec2", "DescribeVpcEndpoints", {"VpcEndpointIds": [name]}), "VpcEndpoints")
        return tuple(text(group, "GroupId") for group in records(shown, "Groups"))

    def _check_zones(self, subnets: Iterable[str]) -> None:
        """One subnet a zone ("Access an AWS service using an interface VPC endpoint")."""
        names = list(subnets)
        found = records(self._backend("ec2", "DescribeSubnets", {"SubnetIds": names}), "Subnets") if names else ()
        zones = [text(subnet, "AvailabilityZone") for subnet in found]
        if len(set(zones)) < len(zones):
            raise Refused("DuplicateSubnetsInSameZone", "Found another VPC endpoint subnet in the availability zone")

    def _check_names(self, asked: Document) -> None:
        """Private DNS needs the network's own, and a name leads to one endpoint ("Manage DNS names")."""
        if not flag(asked, "PrivateDnsEnabled", True):
            return
        network, service = text(asked, "VpcId"), text(asked, "ServiceName")
        for attribute in ("enableDnsSupport", "enableDnsHostnames"):
            said = self._backend("ec2", "DescribeVpcAttribute", {"VpcId": network, "Attribute": attribute})
            if not flag(record(said, attribute[0].upper() + attribute[1:]), "Value"):
                message = f"Enabling private DNS requires enableDnsSupport and enableDnsHostnames of {network}."
                raise Refused("InvalidParameter", message)
        if any(text(item, "ServiceName") == service for item in self._with_names(network)):
            message = (
                f"private-dns-enabled cannot be set because there is already a conflicting DNS domain for {service}"
            )
            raise Refused("InvalidParameter", message)

    def _outside_only(self, asked: Document) -> bool:
        """S3's names are for inbound resolvers alone unless told, and then its gateway endpoint must be there
        (https://docs.aws.amazon.com/AmazonS3/latest/userguide/privatelink-interface-endpoints.html)."""
        network, service = text(asked, "VpcId"), text(asked, "ServiceName")
        if not service.endswith(".s3") or not flag(asked, "PrivateDnsEnabled", True):
            return False
        if not flag(record(asked, "DnsOptions"), "PrivateDnsOnlyForInboundResolverEndpoint", True):
            return False
        others = records(self._backend("ec2", "DescribeVpcEndpoints", {}), "VpcEndpoints")
        if not any(text(item, "VpcId") == network and text(item, "ServiceName") == service for item in others):
            message = (
                f"To set PrivateDnsOnlyForInboundResolverEndpoint to true, the VPC {network} must have a Gateway "
                "endpoint for the service."
            )
            raise Refused("InvalidParameter", message)
        return True

    def _with_names(self, network: str) -> Iterator[Document]:
        for item in records(self._backend("ec2", "DescribeVpcEndpoints", {}), "VpcEndpoints"):
            private = text(item, "VpcEndpointType") == "Interface" and flag(item, "PrivateDnsEnabled")
            if text(item, "VpcId") == network and private:
                yield item
