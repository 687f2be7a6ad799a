"""A stage for the agent alone: two gateways, one client behind a symmetric NAT, a cloud of moto and DynamoDB Local.

Each place is a process that holds network, mount and process namespaces of its own; what runs in it dies with it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import boto3
from botocore.config import Config

from lab.aws import dynamodb_local
from twinlock.registry import keys
from twinlock.registry.definition import Definition, Service, Slot, Tenant, definition_to_json
from twinlock.registry.dynamodb import DynamoTable
from twinlock.registry.ipv6 import address6, host_networks
from twinlock.registry.model import Actor, SwitchWish
from twinlock.registry.store import Registry
from userdata.agent_archive import build_agent_archive
from userdata.boot_args import GatewayBoot, Twin
from userdata.render import boot_json, render_firewall

ROOT = Path(__file__).parents[2]
PORT = 51820
GATEWAYS = {"a": "203.0.113.10", "b": "203.0.113.20"}
MOTO, TABLE_SERVICE = "192.0.2.1", "192.0.2.2"
PRIVATE_SERVICE = "10.50.0.5"
PREFIX6 = "fd12:3456:789a::/96"
PRIVATE_SERVICE6 = "2001:db8:50::5"
GATEWAYS6 = {"a": "2001:db8:1::10", "b": "2001:db8:2::10"}
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "stage",
    "AWS_SECRET_ACCESS_KEY": "stage",
    "AWS_DEFAULT_REGION": "eu-west-1",
}
IMDS = """
import http.server, sys
class H(http.server.BaseHTTPRequestHandler):
    def log_message(self, *a): pass
    def say(self, b):
        self.send_response(200); self.send_header("Content-Length", str(len(b))); self.end_headers()
        self.wfile.write(b)
    def do_PUT(self): self.say(b"token")
    def do_GET(self): self.say(sys.argv[1].encode())
http.server.ThreadingHTTPServer(("169.254.169.254", 80), H).serve_forever()
"""
ANSWERING = """
import socket, sys, threading
def serve(address, port):
    s = socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
    while True:
        c, peer = s.accept(); c.sendall(peer[0].encode()); c.close()
ends = [a.rpartition(":") for a in sys.argv[1:]]
threads = [threading.Thread(target=serve, args=(address, int(port))) for address, _, port in ends]
[t.start() for t in threads]
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
_PRIVATE = ("/run/wireguard", "/run/twinlock-bootstrap", "/etc/wireguard", "/etc/twinlock", "/var/lib/twinlock")


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
        for private in (
            "/run/wireguard",
            "/run/twinlock-bootstrap",
            "/etc/wireguard",
            "/etc/twinlock",
            "/var/lib/twinlock",
        ):
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
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            os.kill(int(child), how)
        process.wait(30)

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


class Stage:
    """`gateways`, `client`, `registry`; everything is gone after `close`."""

    def __init__(self, folder: Path) -> None:
        self._open = ExitStack()
        self.folder = folder
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _build(self) -> None:
        folder = self.folder
        self.archive = build_agent_archive(folder / "twinlock-agent.pyz")
        self.net, self.nat, self.client = self._place("net"), self._place("nat"), self._place("client")
        self.gateways = {slot: self._place(f"gw-{slot}") for slot in GATEWAYS}
        self._cables()
        self._cloud()
        self.registry = Registry(DynamoTable("registry", self._client("dynamodb")))
        for slot in GATEWAYS:
            self._prepare(slot)

    def close(self) -> None:
        self._open.close()

    def _place(self, name: str) -> Place:
        place = Place(name, self.folder / name)
        self._open.callback(place.close)
        return place

    def _cables(self) -> None:
        net = self.net
        link(self.client, self.nat)
        link(self.nat, net)
        self.client.run("ip", "addr", "add", "192.168.1.2/24", "dev", "to-nat")
        self.client.run("ip", "route", "add", "default", "via", "192.168.1.1")
        self.nat.run("ip", "addr", "add", "192.168.1.1/24", "dev", "to-client")
        self.nat.run("ip", "addr", "add", "198.51.100.2/30", "dev", "to-net")
        self.nat.run("ip", "route", "add", "default", "via", "198.51.100.1")
        net.run("ip", "addr", "add", "198.51.100.1/30", "dev", "to-nat")
        for number, (slot, public) in enumerate(GATEWAYS.items(), 1):
            place = self.gateways[slot]
            link(place, net)
            net.run("ip", "addr", "add", f"10.0.{number}.1/24", "dev", f"to-gw-{slot}")
            place.run("ip", "addr", "add", f"10.0.{number}.10/24", "dev", "to-net")
            place.run("ip", "addr", "add", f"{public}/32", "dev", "to-net")
            # As if translated one to one by the cloud: what leaves has the public address.
            place.run("ip", "route", "add", "default", "via", f"10.0.{number}.1", "src", public)
            place.run("ip", "route", "add", "10.0.0.0/16", "via", f"10.0.{number}.1")
            place.run("ip", "addr", "add", "169.254.169.254/32", "dev", "lo")
            net.run("ip", "route", "add", f"{public}/32", "via", f"10.0.{number}.10")
            net.run("ip", "addr", "add", f"2001:db8:{number}::1/64", "dev", f"to-gw-{slot}", "nodad")
            place.run("ip", "addr", "add", f"{GATEWAYS6[slot]}/64", "dev", "to-net", "nodad")
            place.run("ip", "-6", "route", "add", "default", "via", f"2001:db8:{number}::1")
        for place in (net, self.nat, *self.gateways.values()):
            place.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.nat.run("nft", "-f", "-", stdin=_NAT)

    def _cloud(self) -> None:
        net = self.net
        for address in (MOTO, TABLE_SERVICE, PRIVATE_SERVICE):
            net.run("ip", "addr", "add", f"{address}/32", "dev", "lo")
        net.run("ip", "addr", "add", f"{PRIVATE_SERVICE6}/128", "dev", "lo", "nodad")
        net.run("nft", "-f", "-", stdin=_PORTS)
        net.start("moto", *moto_words(5000), env={**os.environ, **CREDENTIALS})
        net.start("dynamodb", *dynamodb_local.command(8000))
        # The test itself looks in through a cable of its own.
        self._peephole()
        until("moto", lambda: listens(self.peephole, 5000))
        until("DynamoDB Local", lambda: listens(self.peephole, 8000))
        ec2 = self._client("ec2")
        lists = ec2.describe_managed_prefix_lists()["PrefixLists"]
        self.prefix_list = next(e["PrefixListId"] for e in lists if e["PrefixListName"].endswith(".s3"))
        entries = ec2.get_managed_prefix_list_entries(PrefixListId=self.prefix_list)["Entries"]
        self.storage = entries[0]["Cidr"].split("/")[0].rsplit(".", 1)[0] + ".7"
        net.run("ip", "addr", "add", f"{self.storage}/32", "dev", "lo")
        listening = [f"{self.storage}:443", f"{self.storage}:80", f"{PRIVATE_SERVICE}:5432", f"{PRIVATE_SERVICE}:22"]
        listening += [f"{PRIVATE_SERVICE6}:5432", f"{PRIVATE_SERVICE6}:22"]
        net.start("services", sys.executable, "-c", ANSWERING, *listening)
        self._tables()

    def _peephole(self) -> None:
        name = f"ag{os.getpid()}t"
        subprocess.run(["ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}n"], check=True)
        subprocess.run(["ip", "link", "set", f"{name}n", "netns", str(self.net.pid)], check=True)
        self.net.run("ip", "link", "set", f"{name}n", "up")
        subprocess.run(["ip", "link", "set", name, "up"], check=True)
        number = os.getpid() % 16384
        network = f"10.251.{number // 64}.{number % 64 * 4}"  # of its own: several stages may stand at once
        base, last = network.rsplit(".", 1)
        self.peephole = f"{base}.{int(last) + 1}"
        self.net.run("ip", "addr", "add", f"{self.peephole}/30", "dev", f"{name}n")
        subprocess.run(["ip", "addr", "add", f"{base}.{int(last) + 2}/30", "dev", name], check=True)
        self._open.callback(subprocess.run, ["ip", "link", "del", name], capture_output=True)

    def _client(self, service: str):
        return client_of(service, f"http://{self.peephole}:{8000 if service == 'dynamodb' else 5000}")

    def _tables(self) -> None:
        make_table(self._client("dynamodb"))
        self.define(definition())
        make_secrets(self._client("secretsmanager"), "stage/service", "stage/way-a", "stage/way-b")

    def define(self, what: Definition) -> None:
        put_definition(self._client("dynamodb"), what)

    def boot(self, slot: str) -> GatewayBoot:
        number = {"a": 1, "b": 2}
        other = "b" if slot == "a" else "a"
        return GatewayBoot(
            environment="stage",
            cloud="aws",
            region="eu-west-1",
            slot=slot,
            zone=f"eu-west-1{slot}",
            private_address=f"10.0.{number[slot]}.10",
            public_address=GATEWAYS[slot],
            twins=(Twin(slot=other, private_address=f"10.0.{number[other]}.10", private_address6=GATEWAYS6[other]),),
            tunnel_range="10.100.0.0/16",
            gateway_address="10.100.0.1",
            prefix6=PREFIX6,
            port=PORT,
            mtu=1420,
            registry_table="registry",
            service_secret="stage/service",
            way_secret=f"stage/way-{slot}",
            storage_prefix_list=self.prefix_list,
            agent_bucket="agents",
            agent_key="agent/x/twinlock-agent.pyz",
            agent_sha256=self.archive.sha256,
            stock_image=False,
            private_address6=GATEWAYS6[slot],
        )

    def _prepare(self, slot: str) -> None:
        place, boot = self.gateways[slot], self.boot(slot)
        place.write("/etc/twinlock/boot.json", boot_json(boot))
        place.run("nft", "-f", "-", stdin=render_firewall(boot))
        place.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
        place.start("imds", sys.executable, "-c", IMDS, f"i-{slot}")

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        table, rest = f"http://{TABLE_SERVICE}:443", f"http://{MOTO}:443"
        return {
            **kept,
            **CREDENTIALS,
            "AWS_ENDPOINT_URL_DYNAMODB": table,
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": rest,
            "AWS_ENDPOINT_URL_EC2": rest,
            "AWS_ENDPOINT_URL_KMS": rest,
        }

    def agent(self, slot: str, command: str) -> subprocess.Popen:
        return self.gateways[slot].start(
            command, sys.executable, str(self.archive.path), command, env=self.environment()
        )

    def enrol(self, name: str, tenant: str, public_key: str):
        self.registry.enrol(_actor("enroller"), tenant, name, public_key)
        return self.registry.approve(_actor("approver"), tenant, name)

    def revoke(self, name: str, tenant: str) -> None:
        self.registry.revoke(_actor("revoker"), tenant, name)

    def open_service(self, port: int) -> None:
        """The first tenant gets one port more of the private service."""
        self._give(replace(definition().tenants[0].services[0], name=f"port-{port}", port=port))

    def open_udp(self, port: int) -> None:
        self._give(replace(definition().tenants[0].services[0], name=f"udp-{port}", port=port, protocol="udp"))

    def switch(self, to: str) -> None:
        self.registry.ask_switch(SwitchWish(to=to, asked_ms=int(time.time() * 1000)))

    def _give(self, more: Service) -> None:
        before = definition()
        tenant = before.tenants[0]
        tenants = (replace(tenant, services=(*tenant.services, more)), *before.tenants[1:])
        self.define(replace(before, tenants=tenants))

    def logs(self) -> str:
        found = sorted(self.folder.glob("gw-*/*.log"))
        return "\n".join(f"{path.parent.name}/{path.stem}: {path.read_text()[-2000:]}" for path in found)

    def client_up(self, address: str, private_key: str, preshared: str = "", preshared_of_ways: str = "") -> None:
        """What a stock client does with its file: the service has no endpoint, each slot has a way."""
        service, way = (f"PresharedKey = {key}\n" if key else "" for key in (preshared, preshared_of_ways))
        records = self.registry.gateways(tuple(GATEWAYS))
        ways = "".join(
            f"[Peer]\nPublicKey = {record.way_public_key}\nEndpoint = {GATEWAYS[record.slot]}:{PORT}\n"
            f"PersistentKeepalive = 25\n{way}"
            for record in records
        )
        reach = f"{self.storage}/32, {PRIVATE_SERVICE}/32, 10.100.0.0/16, 169.254.169.254/32, {PREFIX6}"
        reach += f", {PRIVATE_SERVICE6}/128, {', '.join(f'{address}/128' for address in GATEWAYS6.values())}"
        own = ", ".join(host_networks(PREFIX6, address))
        self.client.write(
            "/etc/wireguard/wg-c.conf",
            f"[Interface]\nPrivateKey = {private_key}\nAddress = {own}\nMTU = 1420\n"
            f"[Peer]\nPublicKey = {records[0].service_public_key}\nAllowedIPs = {reach}\n{service}{ways}",
        )
        self.client.run("wg-quick", "up", "wg-c")

    def ask(self, address: str, port: int, seconds: float = 1.0) -> str:
        """What a connection from the client says: the address that it is seen with; empty if it fails."""
        code = f"import socket; s=socket.create_connection(('{address}',{port}),{seconds}); print(s.recv(99).decode())"
        return self.client.run(sys.executable, "-c", code, check=False).strip()

    def pings6(self, address: str) -> bool:
        """Whether the host whose IPv4 address this is answers the client by IPv6, inside the tunnel."""
        return " 0% packet loss" in self.client.run("ping", "-6nc1", "-W1", address6(PREFIX6, address), check=False)


def client_of(service: str, url: str):
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="eu-west-1",
        aws_access_key_id="stage",
        aws_secret_access_key="stage",
        config=Config(retries={"max_attempts": 2}, proxies={}),
    )


def make_table(client) -> None:
    client.create_table(
        TableName="registry",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[
            {"AttributeName": keys.PARTITION, "KeyType": "HASH"},
            {"AttributeName": keys.SORT, "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": keys.PARTITION, "AttributeType": "S"},
            {"AttributeName": keys.SORT, "AttributeType": "S"},
        ],
    )


def put_definition(client, what: Definition) -> None:
    item = {
        keys.PARTITION: {"S": keys.DEFINITION},
        keys.SORT: {"S": keys.DEFINITION_SORT},
        keys.DEFINITION_JSON: {"S": definition_to_json(what)},
    }
    client.put_item(TableName="registry", Item=item)


def make_secrets(client, *names: str) -> None:
    for name in names:
        client.create_secret(Name=name)


def moto_words(port: int) -> list[str]:
    server = Path(sys.executable).parent / "moto_server"
    return [str(server), "-H", "0.0.0.0", "-p", str(port)]  # noqa: S104  (in a namespace of its own)


def _actor(name: str) -> Actor:
    return Actor(user_id=f"AIDA{name.upper()}", arn=f"arn:aws:iam::123456789012:user/{name}", host="stage")


def definition() -> Definition:
    database = Service(name="database", cidr=f"{PRIVATE_SERVICE}/32", port=5432, protocol="tcp")
    tenant = Tenant(
        name="ml",
        range="10.100.1.0/24",
        approval="manual",
        approvers=1,
        storage=True,
        services=(database,),
        cidrs=(),
        sources=(),
        services6=(replace(database, name="database6", cidr=f"{PRIVATE_SERVICE6}/128"),),
    )
    other = replace(tenant, name="ci", range="10.100.2.0/24", storage=False, services=(), services6=())
    return Definition(
        environment="stage",
        region="eu-west-1",
        tunnel_range="10.100.0.0/16",
        gateway_address="10.100.0.1",
        prefix6=PREFIX6,
        port=PORT,
        mtu=1420,
        buckets=("bucket",),
        tenants=(tenant, other),
        slots=tuple(
            Slot(name=slot, zone=f"eu-west-1{slot}", public_address=public, private_address=f"10.0.{number}.10")
            for number, (slot, public) in enumerate(GATEWAYS.items(), 1)
        ),
    )


def listens(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True


_NAT = """
table ip nat {
  chain post { type nat hook postrouting priority 100; oifname "to-net" masquerade fully-random; }
  chain filt { type filter hook forward priority 0; policy drop; ct state established,related accept
    iifname "to-client" accept; }
}
"""
_PORTS = f"""
table ip ports {{
  chain pre {{ type nat hook prerouting priority -100
    ip daddr {MOTO} tcp dport 443 redirect to :5000
    ip daddr {TABLE_SERVICE} tcp dport 443 redirect to :8000
  }}
}}
"""
