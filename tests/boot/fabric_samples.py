"""A small cloud for the tests of the fabric and the machines, and probes that send real packets through it."""

from __future__ import annotations

import socket
from dataclasses import replace

from lab.fabric.kernel import inside, inside_run
from lab.topology import Endpoint, Interface, Machine, Network, Route, Rule, Subnet, Topology

ANYWHERE = "0.0.0.0/0"
ALL = "0.0.0.0"  # noqa: S104  every address of a namespace that has no way out
LOCAL = Route(destination="10.0.0.0/16", kind="local", target="")
INTERNET = Route(destination=ANYWHERE, kind="internet", target="")
STORAGE = Route(destination="52.218.0.0/17", kind="endpoint", target="vpce-1")
ALL_OUT = Rule(direction="out", protocol="any", ports=None, cidrs=(ANYWHERE,))
NAMES = (("s3.eu-west-1.amazonaws.com", "52.218.0.10"), ("ec2.eu-west-1.amazonaws.com", "52.94.0.10"))
PUBLIC_A, PUBLIC_B = "203.0.113.10", "203.0.113.20"
A, B, C = "10.0.1.11", "10.0.1.12", "10.0.2.13"  # two in subnet-1, one in subnet-2
ARRIVES, NOTHING = 10.0, 0.25  # seconds: until a packet must have come, and after which none will


def allow_in(protocol: str, port: int, cidr: str = ANYWHERE) -> Rule:
    return Rule(direction="in", protocol=protocol, ports=(port, port), cidrs=(cidr,))  # type: ignore[arg-type]


def interface(number: int, address: str, *rules: Rule, public: str = "", subnet: str = "subnet-1") -> Interface:
    return Interface(
        id=f"eni-{number}",
        subnet=subnet,
        mac=f"02:00:00:00:00:{number:02x}",
        addresses=(address,),
        prefixes=(),
        public=((address, public),) if public else (),
        address_check=True,
        rules=rules,
    )


def subnet(number: int, *routes: Route, acl: tuple[Rule, ...] = ()) -> Subnet:
    return Subnet(
        id=f"subnet-{number}", zone="ab"[number - 1], cidr=f"10.0.{number}.0/24", routes=(LOCAL, *routes), acl=acl
    )


def cloud(*interfaces: Interface, subnets: tuple[Subnet, ...] = ()) -> Topology:
    """One network; machine i-N holds interface eni-N."""
    network = Network(
        id="vpc-1",
        cidrs=("10.0.0.0/16",),
        subnets=subnets or (subnet(1, INTERNET, STORAGE), subnet(2)),
        endpoints=(Endpoint(id="vpce-1", service="s3", prefixes=("52.218.0.0/17",)),),
        interfaces=interfaces,
    )
    machines = tuple(Machine(id=i.id.replace("eni", "i"), interfaces=(i.id,)) for i in interfaces)
    return Topology(networks=(network,), machines=machines)


def with_interface(topology: Topology, changed: Interface) -> Topology:
    (network,) = topology.networks
    interfaces = tuple(changed if i.id == changed.id else i for i in network.interfaces)
    return replace(topology, networks=(replace(network, interfaces=interfaces),))


def udp(namespace: str, address: str, port: int = 0) -> socket.socket:
    def make() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((address, port))
        return made

    return inside(namespace, make)


def arrives(sender: socket.socket, receiver: socket.socket, to: tuple[str, int]) -> tuple[str, int] | None:
    """Sends one datagram; where it came from if the receiver got it, None if it did not."""
    receiver.settimeout(0)
    while True:  # what earlier probes left
        try:
            receiver.recv(64)
        except BlockingIOError:
            break
    sender.sendto(b"probe", to)
    receiver.settimeout(ARRIVES)
    try:
        return receiver.recvfrom(64)[1]
    except TimeoutError:
        return None


def never_arrives(sender: socket.socket, receiver: socket.socket, to: tuple[str, int]) -> bool:
    """The same, for what must not come: waits less. A control that arrives should stand beside it."""
    receiver.settimeout(NOTHING)
    try:
        sender.sendto(b"probe", to)
    except OSError:  # the sender's own namespace has no way there
        return True
    try:
        receiver.recvfrom(64)
    except TimeoutError:
        return True
    return False


def connects(namespace: str, to: tuple[str, int], *, seconds: float = ARRIVES) -> socket.socket | None:
    """A TCP connection from inside a namespace, or None."""

    def connect() -> socket.socket | None:
        try:
            return socket.create_connection(to, timeout=seconds)
        except OSError:
            return None

    return inside(namespace, connect)


def inside_ip(namespace: str, command: str) -> None:
    """One `ip` command in a namespace, as the machine there would give it."""
    inside_run(namespace, ["ip", *command.split()])


def tie(client: str, machine: str) -> None:
    """Makes a machine the router of a client, which it masquerades, as a tunnel does."""
    inside_run(client, ["ip", "link", "add", "tie", "type", "veth", "peer", "name", "tie", "netns", machine])
    for namespace, address in ((client, "10.100.0.2/24"), (machine, "10.100.0.1/24")):
        inside_ip(namespace, f"address add {address} dev tie")
        inside_ip(namespace, "link set tie up")
    inside_ip(client, "route replace default via 10.100.0.1 dev tie")
    inside_run(machine, ["sysctl", "-qw", "net.ipv4.ip_forward=1"])
    masquerade = 'table ip tie { chain out { type nat hook postrouting priority 100; oifname "ens5" masquerade; }; }'
    inside_run(machine, ["nft", "-f", "-"], masquerade)
