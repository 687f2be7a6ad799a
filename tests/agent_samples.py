"""Real text of `wg` and `nft`, and a runner that answers with it: below the agent's parsers."""

from __future__ import annotations

import json
from collections.abc import Sequence

from twinlock.agent.errors import CommandFailed
from twinlock.agent.interfaces import NAMES
from twinlock.agent.state import LastState
from twinlock.registry.definition import Definition, Service, Slot, Tenant
from twinlock.registry.model import Peer

NOW = 1_795_213_292
# Base64 of 32 bytes each, as `wg pubkey` wrote them.
ANN = "rqjIoG+2uJjQAGiVOgZAV2+79XSf9iIIwJ914LnXMGc="
BOB = "TT45onlOzvQNcmcai0BEZXDELGpwhnZXQIqQdngqsgU="
EVE = "xojdYEzYI0Kwjz/3u4FXJLVSRWpdqU7Ro4OTN/+IchQ="
OWN = "GJ0qT9NZ4n3sXeV1hWm5yEo1Oe8Q0nM3b1y2U0oWlnk=\t6GUjkk0DtzeGD8jgNqRauhWU4AVo92pKGulvSSeuxwc=\t51821\toff"


def dump_line(
    key: str, endpoint="(none)", allowed="(none)", handshake=0, received=0, sent=0, keepalive: object = "off"
) -> str:
    return f"{key}\t(none)\t{endpoint}\t{allowed}\t{handshake}\t{received}\t{sent}\t{keepalive}"


class Machine:
    """Runs nothing: remembers what was asked, keeps what `wg set` and nft said, and answers in their own text."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.transactions: list[list[dict]] = []
        self.peers: dict[str, dict[str, dict[str, str]]] = {name: {} for name in NAMES}
        self.keyed = {"wg-service", "wg-way", "wg-pair"}  # who has a private key
        self.told: list[str] = []  # by standard input, to wg addconf
        self.preshared: dict[str, str] = {}
        self.served: set[str] = set()
        self.conntrack: set[str] = set()
        self.counted: dict[str, dict[str, tuple[int, int]]] = {}  # by the name of the set
        self.shut_out: dict[str, dict[tuple[str, int], dict]] = {"shut_out": {}, "shut_out6": {}}  # elements by end
        self.flows = ""  # of conntrack, in its own words
        self.fails = ""

    def __call__(self, arguments: Sequence[str], stdin: str) -> str:
        words = tuple(arguments)
        self.asked.append(words)
        if self.fails and " ".join(words).startswith(self.fails):
            raise CommandFailed(f"{self.fails} ended with 1: told to")
        match words:
            case ("wg", "show", "interfaces"):
                return " ".join(self.peers) + "\n"
            case ("ip", "-j", "link", "show", "up"):
                return json.dumps([*({"ifindex": 1, "ifname": name} for name in ("lo", *self.peers)), {}])
            case ("wg", "show", interface, "public-key"):
                return f"{ANN}\n" if interface in self.keyed else "(none)\n"
            case ("wg", "set", interface, "private-key", file):
                assert (file == "/dev/stdin") == bool(stdin)
                (self.keyed.add if stdin else self.keyed.discard)(interface)
            case ("wg", "show", interface, "dump"):
                lines = [dump_line(key, **fields) for key, fields in self.peers[interface].items()]
                return "\n".join([OWN, *lines]) + "\n"
            case ("wg", "show", interface, "preshared-keys"):
                held = {key: self.preshared.get(key, "(none)") for key in self.peers[interface]}
                return "".join(f"{key}\t{text}\n" for key, text in held.items())
            case ("wg", "addconf", interface, "/dev/stdin"):
                self._addconf(self.peers[interface], stdin)
            case ("wg", "set", interface, *rest):
                self._set(self.peers[interface], rest)
            case ("nft", "-j", "-f", "-"):
                self._nft(json.loads(stdin)["nftables"])
            case ("nft", "-j", "list", "set", "inet", "twinlock", name):
                held = {"set": {"family": "inet", "name": name, "table": "twinlock", "type": "ipv4_addr", "handle": 7}}
                found = sorted(one for one in self.served if (":" in one) == name.endswith("6"))
                if name in ("served", "served6") and found:
                    held["set"]["elem"] = found
                if name in self.counted:
                    held["set"]["elem"] = [
                        {"elem": {"val": address, "counter": {"packets": packets, "bytes": size}}}
                        for address, (packets, size) in self.counted[name].items()
                    ]
                if found := self.shut_out.get(name):
                    held["set"]["elem"] = [{"elem": element} for element in found.values()]
                return json.dumps({"nftables": [{"metainfo": {"version": "1.1.3"}}, held]})
            case ("conntrack", "-L", "-p", "tcp", "--state", "ESTABLISHED"):
                return self.flows
            case ("conntrack", "-R", "-"):
                for line in stdin.splitlines():
                    self.conntrack.discard(line.removeprefix("-D -s "))
            case _:
                raise AssertionError(f"nobody expected {words}")
        return ""

    def _addconf(self, peers: dict[str, dict[str, str]], text: str) -> None:
        self.told.append(text)
        fields = {"AllowedIPs": "allowed", "Endpoint": "endpoint", "PersistentKeepalive": "keepalive"}
        for section in text.split("[Peer]\n")[1:]:
            said = dict(line.split(" = ", 1) for line in section.splitlines())
            key = said.pop("PublicKey")
            if "PresharedKey" in said:
                self.preshared[key] = said.pop("PresharedKey")
            peers.setdefault(key, {"allowed": "(none)"}).update({fields[name]: value for name, value in said.items()})

    def _set(self, peers: dict[str, dict[str, str]], rest: Sequence[str]) -> None:
        words, current = iter(rest), ""
        for word in words:
            match word:
                case "peer":
                    current = next(words)
                    peers.setdefault(current, {})
                case "remove":
                    peers.pop(current, None)  # as wg does
                case "allowed-ips":
                    peers[current]["allowed"] = next(words) or "(none)"
                case "endpoint":
                    peers[current]["endpoint"] = next(words)
                case "persistent-keepalive":
                    peers[current]["keepalive"] = next(words)
                case _:
                    raise AssertionError(f"not a word of wg set: {word}")

    def _nft(self, commands: list[dict]) -> None:
        self.transactions.append(commands)
        for command in commands:
            (verb, (what,)), *_ = ((verb, body.values()) for verb, body in command.items())
            if what.get("name") in ("served", "served6"):
                change = self.served.update if verb == "add" else self.served.difference_update
                change(what["elem"])
            if (found := self.shut_out.get(what.get("name", ""))) is not None and verb == "add":
                for element in (one["elem"] for one in what["elem"]):  # one that is there stays as it is
                    fresh = {**element, "expires": 3600, "counter": {"packets": 0, "bytes": 0}}
                    found.setdefault(tuple(element["val"]["concat"]), fresh)
            elif found is not None:
                for element in what["elem"]:
                    del found[tuple(element["concat"])]


def peer(name="ann", key=ANN, address="10.100.1.1", tenant="ml", expires_at=None, state="approved", reach=None) -> Peer:
    return Peer(
        tenant=tenant,
        name=name,
        public_key=key,
        address=address,
        state=state,
        enrolled_by="AIDAE",
        enrolled_at=NOW - 60,
        approved_by=("AIDAA",),
        expires_at=expires_at,
        reach=reach,
    )


def definition(**changes: object) -> Definition:
    database = Service(name="database", cidr="10.50.0.5/32", port=5432, protocol="tcp")
    fields: dict = {
        "environment": "lab",
        "region": "eu-west-1",
        "tunnel_range": "10.100.0.0/16",
        "gateway_address": "10.100.0.1",
        "port": 51820,
        "mtu": 1420,
        "buckets": ("bucket",),
        "tenants": (
            Tenant(
                name="ml",
                range="10.100.1.0/24",
                approval="manual",
                approvers=1,
                storage=True,
                services=(database,),
                cidrs=(),
                sources=(),
            ),
            Tenant(
                name="ci",
                range="10.100.2.0/24",
                approval="auto",
                approvers=0,
                storage=False,
                services=(),
                cidrs=("10.60.0.0/24", "10.60.1.0/24"),
                sources=(),
            ),
        ),
        "slots": (Slot(name="a", zone="eu-west-1a", public_address="203.0.113.10", private_address="10.0.1.10"),),
    }
    return Definition(**{**fields, **changes})


def state(*peers: Peer, **changes: object) -> LastState:
    by_tenant: dict[str, dict[str, Peer]] = {"ml": {}, "ci": {}}
    for one in peers:
        by_tenant[one.tenant][one.public_key] = one
    fields: dict = {
        "definition": definition(),
        "generations": {"ml": 2, "ci": 0},
        "peers": by_tenant,
        "storage_prefixes": ("3.5.64.0/21", "52.218.0.0/17"),
    }
    return LastState(**{**fields, **changes})
