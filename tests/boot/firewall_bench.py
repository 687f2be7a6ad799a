"""A gateway's firewall and sysctls alone, between cables that stand in for its tunnels and for its network.

    peer, other -- wg-service \\                / 10.50.0.5 a private service, 52.218.0.7 the storage,
    wayfarer    -- wg-way      > gateway  ens5 -- 169.254.169.254, 10.0.2.10 the twin, 10.9.9.9 a stranger
    pairmate    -- wg-pair    /                \\
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import subprocess
from dataclasses import replace

from lab.fabric.kernel import inside, inside_run
from tests.userdata_samples import gateway_boot
from twinlock.registry.ipv6 import address6, network6
from userdata.boot_args import Dns, Twin
from userdata.render import render_firewall, render_sysctl

PORT = 51820
PEER, OTHER, UNSERVED, INSIDE = "10.100.1.2", "10.100.2.2", "10.100.1.99", "10.100.0.1"
GATEWAY, TWIN, STRANGER, SERVICE, STORAGE = "10.0.1.10", "10.0.2.10", "10.9.9.9", "10.50.0.5", "52.218.0.7"
OUTSIDE, CGNAT, LAN = "151.101.1.9", "100.64.9.9", "192.168.9.9"
WAYFARER, METADATA = "10.77.0.2", "169.254.169.254"
GATEWAY6, OUT6, FAR6 = "2001:db8:1::10", "2001:db8:1::1", "2001:db8:5::5"
PREFIX6 = "fd12:3456:789a::/96"
PEER6, OTHER6, UNSERVED6, INSIDE6 = (address6(PREFIX6, address) for address in (PEER, OTHER, UNSERVED, INSIDE))
RESOLVER = "169.254.169.253"
RANGE6 = network6(PREFIX6, "10.100.1.0/24")  # of the peer's tenant
METADATA6, SERVICE6, TWIN6 = "fd00:ec2::254", "2001:db8:50::5", "2001:db8:2::10"
PAIRED, PAIRMATE = "fd74:776c:6b00::1", "fd74:776c:6b00::2"
TUNNEL_MTU = 1280
# What the registry gave: the tenant's storage, one port of a service, and, on purpose, far too much else.
GIVEN = f"""
add element inet twinlock open {{ 0 timeout 10m }}
add element inet twinlock served {{ {PEER}, {OTHER} }}
add element inet twinlock served6 {{ {PEER6}, {OTHER6} }}
add element inet twinlock storage_tenants {{ 10.100.1.0/24 }}
add element inet twinlock storage {{ 52.218.0.0/17 }}
add element inet twinlock services {{ 10.100.1.0/24 . {SERVICE} . tcp . 5432 }}
add element inet twinlock services {{ 10.100.1.0/24 . {SERVICE} . udp . {PORT} }}
add element inet twinlock services6 {{ {RANGE6} . {SERVICE6} . tcp . 5432-5433 }}
"""
ENOUGH = f"add element inet twinlock given6 {{ {SERVICE6} }}\n"
INTERNET = "add element inet twinlock internet_tenants { 10.100.1.0/24 }\n"
TOO_MUCH = f"""
add element inet twinlock networks {{ 10.100.0.0/16 . 0.0.0.0/0 }}
add element inet twinlock networks6 {{ {PREFIX6} . ::/0 }}
add element inet twinlock given6 {{ ::/0 }}
"""
COUNTED = (
    """table inet counted { chain in { type filter hook input priority -400; udp dport 9999 counter accept; }; }"""
)


BOOT = gateway_boot(
    port=PORT,
    prefix6=PREFIX6,
    private_address6=GATEWAY6,
    twins=(Twin(slot="b", private_address=TWIN, private_address6=TWIN6),),
)


class Bench:
    def __init__(self) -> None:
        self._prefix = f"fw{os.getpid()}"
        self.gateway, self.peer, self.other, self.wayfarer, self.pairmate, self.out = (
            self.space(name) for name in ("gw", "peer", "other", "way", "pair", "out")
        )
        self._listening: list[socket.socket] = []
        self._tunnels()
        self._network()
        inside_run(self.gateway, ["sysctl", "-q", "--load=-"], render_sysctl(BOOT))
        for port in (22, 53, 80, 443, 5432):
            self.listen(self.out, port)
        self.listen(self.gateway, 22)
        self.listen(self.other, 443)

    def close(self) -> None:
        for held in self._listening:
            held.close()
        for name in (self.gateway, self.peer, self.other, self.wayfarer, self.pairmate, self.out):
            subprocess.run(["ip", "netns", "del", name], check=True)

    def load(
        self,
        *out: tuple[str, str],
        too_much: bool = True,
        more: str = "",
        prefix6: str = PREFIX6,
        dns: Dns | None = None,
    ) -> None:
        """The firewall that ships, with some of its text (old, new) changed; each old text has to be there once."""
        text = render_firewall(replace(BOOT, prefix6=prefix6, dns=dns))
        for old, new in out:
            assert text.count(old) == 1, f"{old!r} is in the firewall {text.count(old)} times"
            text = text.replace(old, new)
        inside_run(self.gateway, ["nft", "-f", "-"], text + GIVEN + (TOO_MUCH if too_much else ENOUGH) + more)
        inside_run(self.gateway, ["conntrack", "-F"])

    def opens(self, where: str, address: str, port: int, *, source: str = "", user: int = 0) -> bool:
        """Whether a TCP connection comes about."""
        code = "import socket,sys; a,p,s=sys.argv[1:]; socket.create_connection((a,int(p)),0.4,(s,0) if s else None)"
        run = [
            "setpriv",
            f"--reuid={user}",
            "--clear-groups",
            "/usr/bin/python3",
            "-c",
            code,
            address,
            str(port),
            source,
        ]
        done = subprocess.run(
            ["nsenter", f"--net=/run/netns/{where}", *run], capture_output=True, text=True, check=False
        )
        if done.returncode:  # only what a network says counts as an answer
            assert "timed out" in done.stderr or "OSError" in done.stderr or "ConnectionRefused" in done.stderr, (
                done.stderr
            )
        return done.returncode == 0

    def seen_from(self, where: str, source: str, to: tuple[str, int]) -> str:
        """The address that a listener at `to`, out there, sees a connection from `source` come from."""

        def listener() -> socket.socket:
            made = socket.socket(socket.AF_INET6)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(to)
            made.listen()
            made.settimeout(2)
            return made

        with (
            inside(self.out, listener) as listening,
            inside(where, lambda: socket.create_connection(to, 2, (source, 0))),
        ):
            accepted, address = listening.accept()
            accepted.close()
        return address[0]

    def pings(self, where: str, address: str, source: str) -> bool:
        words = ["nsenter", f"--net=/run/netns/{where}", "ping", "-6", "-n", "-c1", "-W1", "-I", source, address]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert "1 packets transmitted" in done.stdout, done.stderr
        return done.returncode == 0

    def hears(self, where: str, address: str, kind: socket.SocketKind, source: str) -> str:
        """What a peer that sends there is told at once: an error's name, or "nothing"."""

        def ask() -> str:
            with socket.socket(socket.AF_INET6, kind) as made:
                made.settimeout(0.4)
                made.bind((source, 0))
                try:
                    made.connect((address, 443))
                    made.send(b"hello")
                    made.recv(1)
                except TimeoutError:
                    return "nothing"
                except OSError as exc:
                    return errno.errorcode[exc.errno or 0]
            return "an answer"

        return inside(where, ask)

    def listen(self, where: str, port: int) -> None:
        def make() -> socket.socket:
            made = socket.socket(socket.AF_INET6)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(("::", port))
            made.listen(64)
            return made

        self._listening.append(inside(where, make))

    def ip(self, where: str, *commands: str) -> None:
        for command in commands:
            inside_run(where, ["ip", *command.split()])

    def counted(self, send: tuple[socket.socket, tuple[str, int]]) -> bool:
        """Whether a datagram to port 9999 got past the gateway's routing to its input."""
        inside_run(self.gateway, ["nft", "-f", "-"], f"table inet counted\ndelete table inet counted\n{COUNTED}")
        sender, to = send
        sender.sendto(b"probe", to)
        shown = inside_run(self.gateway, ["nft", "list", "table", "inet", "counted"])
        inside_run(self.gateway, ["nft", "delete", "table", "inet", "counted"])
        return "packets 1 " in shown

    def space(self, name: str) -> str:
        subprocess.run(["ip", "netns", "add", f"{self._prefix}-{name}"], check=True)
        self.ip(f"{self._prefix}-{name}", "link set lo up")
        return f"{self._prefix}-{name}"

    def cable(self, near: str, device: str, far: str, far_device: str, mtu: int = 1500) -> None:
        """`mtu` is of the near end alone: what the far end takes is usual."""
        self.ip(near, f"link add {device} mtu {mtu} type veth peer name {far_device} mtu 1500 netns {far}")
        self.ip(near, f"link set {device} up")
        self.ip(far, f"link set {far_device} up")

    def _tunnels(self) -> None:
        gateway = self.gateway
        # One interface for all peers, as WireGuard's is.
        self.ip(gateway, "link add wg-service type bridge", "link set wg-service up")
        for name, where, address in (("p1", self.peer, PEER), ("p2", self.other, OTHER)):
            self.cable(gateway, name, where, "tun")
            self.ip(gateway, f"link set {name} master wg-service")
            self.ip(where, f"addr add {address}/32 dev tun", f"route add {INSIDE} dev tun")
            self.ip(where, f"route add default via {INSIDE} dev tun")
        self.ip(self.peer, f"addr add {UNSERVED}/32 dev tun")
        self.ip(gateway, f"link set wg-service mtu {TUNNEL_MTU}", f"addr add {INSIDE}/16 dev wg-service")
        self.ip(gateway, f"-6 addr add {INSIDE6}/112 dev wg-service nodad")
        for where, address in ((self.peer, PEER6), (self.peer, UNSERVED6), (self.other, OTHER6)):
            self.ip(where, f"-6 addr add {address}/128 dev tun nodad", f"-6 route replace {INSIDE6} dev tun")
            self.ip(where, f"-6 route replace default via {INSIDE6} dev tun")
        self.cable(gateway, "wg-way", self.wayfarer, "tun")
        self.ip(self.wayfarer, f"addr add {WAYFARER}/32 dev tun", f"route add {INSIDE} dev tun")
        self.ip(self.wayfarer, f"route add default via {INSIDE} dev tun")
        self.ip(gateway, f"route add {WAYFARER} dev wg-way")
        self.cable(gateway, "wg-pair", self.pairmate, "tun")
        self.ip(gateway, f"-6 addr add {PAIRED}/64 dev wg-pair nodad")
        self.ip(self.pairmate, f"-6 addr add {PAIRMATE}/64 dev tun nodad")
        # The real ones are no Ethernet: nobody asks for neighbours there.
        here = self._mac(gateway, "wg-service")
        for where, address in ((self.peer, PEER6), (self.peer, UNSERVED6), (self.other, OTHER6)):
            self.ip(where, f"neigh replace {INSIDE6} lladdr {here} dev tun")
            self.ip(gateway, f"neigh replace {address} lladdr {self._mac(where, 'tun')} dev wg-service")
        self.ip(self.pairmate, f"neigh replace {PAIRED} lladdr {self._mac(gateway, 'wg-pair')} dev tun")
        self.ip(gateway, f"neigh replace {PAIRMATE} lladdr {self._mac(self.pairmate, 'tun')} dev wg-pair")

    def _network(self) -> None:
        gateway, out = self.gateway, self.out
        self.cable(gateway, "ens5", out, "net")
        self.ip(gateway, f"addr add {GATEWAY}/24 dev ens5", f"-6 addr add {GATEWAY6}/64 dev ens5 nodad")
        self.ip(out, "addr add 10.0.1.1/24 dev net", f"-6 addr add {OUT6}/64 dev net nodad")
        for address in (SERVICE, STORAGE, METADATA, RESOLVER, TWIN, STRANGER, PEER, OUTSIDE, CGNAT, LAN):
            self.ip(out, f"addr add {address}/32 dev lo")
        for address in (METADATA6, FAR6, SERVICE6, TWIN6):
            self.ip(out, f"-6 addr add {address}/128 dev lo nodad")
        self.ip(out, f"-6 route add {PREFIX6} via {GATEWAY6}")
        self.ip(out, f"route add {WAYFARER} via {GATEWAY}", f"route add {INSIDE} via {GATEWAY}")
        self.ip(gateway, "route add default via 10.0.1.1", f"-6 route add default via {OUT6}")

    def _mac(self, where: str, device: str) -> str:
        return inside_run(where, ["ip", "-o", "link", "show", device]).split("link/ether ")[1].split()[0]


def udp(where: str, address: str, port: int = 0) -> socket.socket:
    def make() -> socket.socket:
        made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_IP, 15, 1)  # IP_FREEBIND: an address that is somebody else's
        made.bind((address, port))
        made.settimeout(0.3)
        return made

    return inside(where, make)


def first_message(sender_index: int) -> bytes:
    """WireGuard's handshake initiation, as far as the firewall reads it."""
    return struct.pack("<II", 1, sender_index) + bytes(140)


def response(sender_index: int, receiver_index: int) -> bytes:
    return struct.pack("<III", 2, sender_index, receiver_index) + bytes(80)


def data(receiver_index: int, kind: int = 4) -> bytes:
    return struct.pack("<II", kind, receiver_index) + bytes(24)
