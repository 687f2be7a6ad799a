"""Places: processes that hold network, mount and process namespaces of their own; what runs in one dies with it.

Standard library alone: the emulated machine (tests/ways) has nothing else.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

PORT = 51820
GATEWAYS = {"a": "203.0.113.10", "b": "203.0.113.20"}
GATEWAYS6 = {"a": "2001:db8:1::10", "b": "2001:db8:2::10"}
# What is behind it gets a random port for each destination, and nothing that it did not ask for.
NAT = """
table ip nat {
  chain post { type nat hook postrouting priority 100; oifname "to-net" masquerade fully-random; }
  chain filt { type filter hook forward priority 0; policy drop; ct state established,related accept
    iifname "to-client" accept; }
}
"""


def until(what, condition, seconds=30.0):
    """The first true answer of `condition`; never a blind sleep."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := condition():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")


# Where the agent keeps what is its own.
_PRIVATE = (
    "/run/wireguard", "/run/twinlock-bootstrap", "/run/twinlock", "/etc/wireguard", "/etc/twinlock",
    "/var/lib/twinlock",
)  # fmt: skip


class Place:
    """Namespaces with a name, for as long as they are needed."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        folder.mkdir(parents=True, exist_ok=True)
        self._holder = subprocess.Popen(
            ["unshare", "-n", "-m", "-p", "--fork", "--kill-child", "--propagation", "private", "sleep", "infinity"]
        )
        children = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children")
        self.pid = int(until(f"the place {name}", children.read_text).split()[0])
        for private in _PRIVATE:
            Path(private).mkdir(parents=True, exist_ok=True)
            self.run("mount", "-t", "tmpfs", "-o", "mode=0700", "tmpfs", private)
        self.console = folder / "console"
        self.console.touch()
        self.run("mount", "--bind", str(self.console), "/dev/console")
        self.run("ip", "link", "set", "lo", "up")

    def words(self, *words: str) -> list[str]:
        return ["nsenter", "-t", str(self.pid), "-n", "-m", "-p", *words]

    def run(self, *words: str, stdin: str = "", check: bool = True, env: dict[str, str] | None = None) -> str:
        done = subprocess.run(self.words(*words), input=stdin, capture_output=True, text=True, env=env, check=False)
        assert not check or done.returncode == 0, f"{self.name}: {words}: {done.stderr}{done.stdout}"
        return done.stdout

    def start(self, log: str, *words: str, env: dict[str, str] | None = None) -> subprocess.Popen:
        with (self.folder / f"{log}.log").open("ab") as file:
            return subprocess.Popen(self.words(*words), stdout=file, stderr=file, stdin=subprocess.DEVNULL, env=env)

    def write(self, path: str, text: str) -> None:
        self.run("sh", "-c", f"umask 077; cat > {path}", stdin=text)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def stop(self, process: subprocess.Popen, how: int) -> None:
        """Signals what runs inside: `process` is only nsenter, which waits for it."""
        self.signal(process, how)
        process.wait(30)

    def signal(self, process: subprocess.Popen, how: int) -> None:
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            os.kill(int(child), how)
        if how == signal.SIGCONT:  # nsenter stops itself beside what it waits for
            process.send_signal(how)

    def close(self) -> None:
        self._holder.kill()
        self._holder.wait()


def link(left: Place, right: Place) -> None:
    """A cable; its ends have the name of the other place."""
    one, two = f"ag{os.getpid()}l", f"ag{os.getpid()}r"
    subprocess.run(["ip", "link", "add", one, "type", "veth", "peer", "name", two], check=True)
    for end, place, other in ((one, left, right), (two, right, left)):
        subprocess.run(["ip", "link", "set", end, "netns", str(place.pid)], check=True)
        place.run("ip", "link", "set", end, "name", f"to-{other.name}", "up")


def lay_cables(net: Place, nat: Place, client: Place, gateways: Mapping[str, Place]) -> None:
    """A client behind its NAT, the internet, and a network for each gateway."""
    link(client, nat)
    link(nat, net)
    client.run("ip", "addr", "add", "192.168.1.2/24", "dev", "to-nat")
    client.run("ip", "route", "add", "default", "via", "192.168.1.1")
    nat.run("ip", "addr", "add", "192.168.1.1/24", "dev", "to-client")
    nat.run("ip", "addr", "add", "198.51.100.2/30", "dev", "to-net")
    nat.run("ip", "route", "add", "default", "via", "198.51.100.1")
    net.run("ip", "addr", "add", "198.51.100.1/30", "dev", "to-nat")
    for number, (slot, public) in enumerate(GATEWAYS.items(), 1):
        place = gateways[slot]
        link(place, net)
        net.run("ip", "addr", "add", f"10.0.{number}.1/24", "dev", f"to-gw-{slot}")
        place.run("ip", "addr", "add", f"10.0.{number}.10/24", "dev", "to-net")
        place.run("ip", "addr", "add", f"{public}/32", "dev", "to-net")
        lead_out(place, slot)
        place.run("ip", "addr", "add", "169.254.169.254/32", "dev", "lo")
        net.run("ip", "route", "add", f"{public}/32", "via", f"10.0.{number}.10")
        net.run("ip", "addr", "add", f"2001:db8:{number}::1/64", "dev", f"to-gw-{slot}", "nodad")
        place.run("ip", "addr", "add", f"{GATEWAYS6[slot]}/64", "dev", "to-net", "nodad")
        place.run("ip", "-6", "route", "add", "default", "via", f"2001:db8:{number}::1")
    for place in (net, nat, *gateways.values()):
        place.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    nat.run("nft", "-f", "-", stdin=NAT)


def lead_out(gateway: Place, slot: str) -> None:
    """As if translated one to one by the cloud: what leaves has the public address. Gone with its interface's link."""
    number = 1 + list(GATEWAYS).index(slot)
    gateway.run("ip", "route", "add", "default", "via", f"10.0.{number}.1", "src", GATEWAYS[slot])
    gateway.run("ip", "route", "add", "10.0.0.0/16", "via", f"10.0.{number}.1")


def client_file(
    private_key: str, own: str, reach: str, records, *, service: str = "", way: str = "", listen: str = ""
) -> str:
    """What a client is given: the service has no endpoint, each slot has a way. `service`, `way` and `listen` are lines
    more of those sections and of its own."""
    ways = "".join(
        f"[Peer]\nPublicKey = {record.way_public_key}\nEndpoint = {GATEWAYS[record.slot]}:{PORT}\n"
        f"PersistentKeepalive = 25\n{way}"
        for record in records
    )
    return (
        f"[Interface]\nPrivateKey = {private_key}\nAddress = {own}\nMTU = 1420\n{listen}"
        f"[Peer]\nPublicKey = {records[0].service_public_key}\nAllowedIPs = {reach}\n{service}{ways}"
    )
