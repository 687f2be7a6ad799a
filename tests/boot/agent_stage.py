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
from tests.places import GATEWAYS, GATEWAYS6, PORT, Place, client_file, lay_cables, until
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
MOTO, TABLE_SERVICE = "192.0.2.1", "192.0.2.2"
PRIVATE_SERVICE = "10.50.0.5"
PREFIX6 = "fd12:3456:789a::/96"
PRIVATE_SERVICE6 = "2001:db8:50::5"
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
        lay_cables(self.net, self.nat, self.client, self.gateways)
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
        reach = f"{self.storage}/32, {PRIVATE_SERVICE}/32, 10.100.0.0/16, 169.254.169.254/32, {PREFIX6}"
        reach += f", {PRIVATE_SERVICE6}/128, {', '.join(f'{address}/128' for address in GATEWAYS6.values())}"
        own = ", ".join(host_networks(PREFIX6, address))
        file = client_file(private_key, own, reach, records, service=service, way=way)
        self.client.write("/etc/wireguard/wg-c.conf", file)
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


_PORTS = f"""
table ip ports {{
  chain pre {{ type nat hook prerouting priority -100
    ip daddr {MOTO} tcp dport 443 redirect to :5000
    ip daddr {TABLE_SERVICE} tcp dport 443 redirect to :8000
  }}
}}
"""
