"""One gateway's cloud-init document, from plain values: the same function for the program, the tests and the lab."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import asdict
from functools import cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from types import MappingProxyType

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from userdata.boot_args import PAIR_RANGE, Dns, Floating, GatewayBoot

# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html: 16 KB before base64.
LIMIT_BYTES = 16 * 1024
# Of a packet that belongs on the second service interface (twinlock/agent/interfaces.py).
SIDE_MARK = 7462
_COPY_MARK = 7463
_NO_SHARD = 7464  # of a packet that no shard's gate may let pass
# Metadata services, and what is no host's address; the environment's own ranges are added.
NEVER = ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "168.63.129.16/32", "224.0.0.0/3")
# What is no part of the internet: whoever may reach that reaches none of these by it. It holds every range that a
# network of the environment may have (components/checks.py).
PRIVATE = (
    "10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15",
    "198.51.100.0/24", "203.0.113.0/24",
)  # fmt: skip
STOCK_PACKAGES = tuple((Path(__file__).parent / "stock-packages").read_text().split())
_STOCK = "package_update: false"  # cloud-init tries once; twinlock-packages.service until it goes through
# Debian's list of what runs before a machine counts as being on the network, and in it the scripts that otherwise run
# at the very end: what a gateway needs is in the image, so it starts beside the rest of cloud-init.
_EARLY = (
    "seed_random", "bootcmd", "write_files", "scripts_per_once", "growpart", "resizefs", "disk_setup", "mounts",
    "set_hostname", "update_hostname", "update_etc_hosts", "ca_certs", "rsyslog", "users_groups", "ssh",
)  # fmt: skip
_BAKED = f"package_update: false\ncloud_init_modules: {json.dumps(_EARLY)}"
_FIRST_BOOT = "runcmd:\n  - [/usr/local/lib/twinlock/first-boot]"
# A kernel that forwards hears routers no more, unless it is told to.
_FORWARDING6 = "net.ipv6.conf.all.forwarding = 1\n-net.ipv6.conf.*.accept_ra = 2"
_MIRROR = 'meta skuid { 0, "_apt" } tcp dport 80 accept'
_PLAIN = MappingProxyType(
    {
        "fetch_agent": "fetch-agent.py",
        "start_gateway": "start-gateway.sh",
        "first_boot": "first-boot.sh",
        "firewall_unit": "firewall.service",
        "bootstrap_unit": "bootstrap.service",
        "agent_unit": "agent.service",
        "vrrp_unit": "vrrp.service",
        "probe_unit": "probe.service",
        "journald": "journald.conf",
        "chrony": "chrony.conf",
        "updates": "updates.conf",
    }
)


class UserDataTooLarge(ValueError):  # noqa: N818
    """The document is over what the cloud takes, even compressed; says both sizes."""


@cache
def _templates() -> Environment:
    return Environment(  # noqa: S701  (YAML and nftables, not HTML)
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, keep_trailing_newline=False
    )


def boot_json(boot: GatewayBoot) -> str:
    """What /etc/twinlock/boot.json holds: GatewayBoot's fields, names sorted."""
    return json.dumps(asdict(boot), indent=1, sort_keys=True)


def probe_address(boot: GatewayBoot) -> str:
    """A gateway's own address beside the service's, which no tenant may have: its proofs of transfer come from it as
    a peer's packets would (twinlock/agent/interfaces.py)."""
    return str(ip_address(boot.gateway_address) + 1)


def render_firewall(boot: GatewayBoot) -> str:
    """The nftables file of a gateway: complete, with the agent's sets empty."""
    twins = tuple(twin.private_address for twin in boot.twins)
    floating = boot.floating
    never = {*NEVER, boot.tunnel_range, boot.private_address, boot.public_address, *twins}
    never |= {floating.public_address, floating.private_address} if floating else set[str]()
    own6 = {boot.private_address6, *(twin.private_address6 for twin in boot.twins)} - {""}
    service, way = boot.port + 1, boot.port + 2
    text = (
        _templates()
        .get_template("files/gateway.nft.j2")
        .render(
            port=boot.port,
            service_ports=f"{service}, {service + 4}",
            way_ports=f"{way}, {way + 4}",
            way_port=way,
            way2_port=way + 4,
            copied_ports=f"{{ {service}, {way} }}" if floating else way,
            side_mark=SIDE_MARK,
            copy_mark=_COPY_MARK,
            pair_port=boot.port + 3,
            agent_port=boot.port + 4,
            probe_address=probe_address(boot),
            twins=", ".join(twins or (boot.private_address,)),
            never4=", ".join(str(network) for network in sorted(ip_network(cidr) for cidr in never)),
            private4=", ".join(PRIVATE),
            never6=", ".join((*filter(None, (PAIR_RANGE, boot.prefix6)), *sorted(own6))),
            echo6=_echo6(boot),
            names=_names(boot),
            mirror=_MIRROR if boot.stock_image else "# closed: the packages are in the image",
        )
    )
    text += _render_floating(boot, floating) if floating else ""
    text += _render_shards(boot) if boot.shards > 1 else ""
    return text + _templates().get_template("files/dns.nft.j2").render(resolver=boot.dns.resolver) if boot.dns else text


def _render_floating(boot: GatewayBoot, floating: Floating) -> str:
    return (
        _templates()
        .get_template("files/floating.nft.j2")
        .render(
            floating_address=floating.private_address,
            port=boot.port,
            service_ports=f"{boot.port + 1}, {boot.port + 5}",
            service_port=boot.port + 1,
            service2_port=boot.port + 5,
            copy_mark=_COPY_MARK,
        )
    )


def _render_shards(boot: GatewayBoot) -> str:
    return (
        _templates()
        .get_template("files/shards.nft.j2")
        .render(port=boot.port, service_ports=f"{boot.port + 1}, {boot.port + 5}", no_shard=_NO_SHARD)
    )


def _echo6(boot: GatewayBoot) -> str:
    """All that a peer reaches of the gateway itself by IPv6."""
    if not boot.prefix6:
        return "# no IPv6 inside the tunnel"
    own = ip_network(boot.prefix6)[int(ip_address(boot.gateway_address))]
    return f'iifname "wg-service*" ip6 daddr {own} ip6 saddr @served6 icmpv6 type echo-request accept'


def _names(boot: GatewayBoot) -> str:
    """Peers alone, in the tunnel alone."""
    if boot.dns is None:
        return "# no names for peers"
    to = f"ip daddr {boot.gateway_address} meta l4proto {{ tcp, udp }} th dport 53"
    return f'iifname "wg-service*" ip saddr @served {to} accept'


def render_dns(boot: GatewayBoot, dns: Dns) -> str:
    """dnsmasq's file: what it answers, and that there is nobody whom it asks for anything else."""
    servers = "\n".join(f"server=/{zone}/{dns.resolver}" for zone in dns.zones)
    return _templates().get_template("files/dns.conf.j2").render(gateway_address=boot.gateway_address, servers=servers)


def render_sysctl(boot: GatewayBoot) -> str:
    """The kernel's settings. It forwards IPv6 where there is something to forward to, and nowhere else."""
    forwarding6 = _FORWARDING6 if boot.private_address6 else "# It forwards no IPv6: its network has none."
    return _templates().get_template("files/sysctl.conf.j2").render(forwarding6=forwarding6)


def render_vrrp(boot: GatewayBoot) -> str:
    """keepalived's file: who is master of what, at the addresses that twinlock/agent/interfaces.py gives."""
    slots = sorted((boot.slot, *(twin.slot for twin in boot.twins)))
    addresses = {slot: str(ip_network(PAIR_RANGE)[1 + number]) for number, slot in enumerate(slots)}
    others = [address for slot, address in addresses.items() if slot != boot.slot]
    one = _templates().get_template("files/vrrp-instance.conf.j2")
    instances = [
        one.render(
            slot=slot,
            number=1 + number,
            state="MASTER" if slot == boot.slot else "BACKUP",
            priority=255 if slot == boot.slot else 254,
            address=addresses[boot.slot],
            # A standby answers a slot's own gateway alone: two standbys must not take each other's word for it.
            peers="\n    ".join(others if slot == boot.slot else [addresses[slot]]),
        )
        for number, slot in enumerate(slots)
    ]
    template = _templates().get_template("files/vrrp.conf.j2")
    return template.render(slot=boot.slot, instances="\n".join(instances))


def render_probe_net(boot: GatewayBoot) -> str:
    """The unit that makes the network namespace that proofs of transfer leave from."""
    template = _templates().get_template("files/probe-net.service.j2")
    return template.render(probe_address=probe_address(boot), mtu=boot.mtu)


def render_install_packages() -> str:
    """The script of a stock image's first boot."""
    return _templates().get_template("files/install-packages.sh.j2").render(packages=" ".join(STOCK_PACKAGES))


def _names_files(boot: GatewayBoot) -> str:
    """The forwarder's part of the document, where there is one."""
    if boot.dns is None:
        return ""
    files = {"dns_unit": "dns.service", "dns_start": "dns-start.conf"}
    text = (Path(__file__).parent / "files").joinpath
    return (
        _templates()
        .get_template("dns.yaml.j2")
        .render(
            dns=render_dns(boot, boot.dns).rstrip("\n"),
            **{name: text(file).read_text().rstrip("\n") for name, file in files.items()},
        )
        + "\n"
    )


def _first_start(boot: GatewayBoot) -> str:
    """The end of the document: what the first boot runs last, and on a stock image what it needs for that."""
    if not boot.stock_image:
        return _names_files(boot) + _FIRST_BOOT
    unit = (Path(__file__).parent / "files/packages.service").read_text().rstrip("\n")
    template = _templates().get_template("stock-image.yaml.j2")
    return _names_files(boot) + template.render(install_packages=render_install_packages(), packages_unit=unit)


def render(boot: GatewayBoot) -> str:
    """The `#cloud-config` document, plain text. Raises UserDataTooLarge if it fits in no form (see `pack`)."""
    text = (Path(__file__).parent / "files").joinpath
    document = (
        _templates()
        .get_template("gateway.yaml.j2")
        .render(
            environment=boot.environment,
            slot=boot.slot,
            packages=_STOCK if boot.stock_image else _BAKED,
            start_folder="/usr/local/lib/twinlock" if boot.stock_image else "/var/lib/cloud/scripts/per-once",
            first_start=_first_start(boot),
            boot_json=boot_json(boot),
            firewall=render_firewall(boot),
            sysctl=render_sysctl(boot).rstrip("\n"),
            vrrp=render_vrrp(boot).rstrip("\n"),
            probe_net_unit=render_probe_net(boot).rstrip("\n"),
            **{name: text(file).read_text().rstrip("\n") for name, file in _PLAIN.items()},
        )
    )
    document += "\n"
    pack(document)
    return document


def pack(document: str) -> bytes:
    """What goes to the cloud: the text itself, or gzip (which cloud-init unpacks) if that is over the limit."""
    plain = document.encode()
    if len(plain) <= LIMIT_BYTES:
        return plain
    packed = gzip.compress(plain, mtime=0)
    if len(packed) > LIMIT_BYTES:
        raise UserDataTooLarge(
            f"user data is {len(plain)} bytes, {len(packed)} compressed; the cloud takes {LIMIT_BYTES}: shorten it"
        )
    return packed


def render_base64(boot: GatewayBoot) -> str:
    """`render`, packed and base64-encoded, as a launch template takes it."""
    return base64.b64encode(pack(render(boot))).decode()
