"""Open ways from end to end with the WireGuard that this machine has: `python -m tests.ways.scenes FOLDER`.

Two gateways that run the agent, one stock client behind a symmetric NAT. FOLDER holds each slot's boot arguments and
firewall, as the user data renders them. Each scene prints a line of JSON: its name, and milliseconds.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

from tests.places import GATEWAYS, PORT, Place, client_file, lay_cables, lead_out, until
from tests.ways.cloud import PREFIX6, SERVICE, serve
from twinlock.agent.interfaces import NAMES
from twinlock.agent.wg import TunnelPeer, Wg
from twinlock.registry.ipv6 import host_networks
from twinlock.registry.model import Actor, Peer, SwitchWish

DETECTION_SECONDS = 0.35  # pretended: keepalived's word
_PATIENCE = 120.0  # an emulated machine is some twenty times slower
# Of the service's socket, before the firewall gives them the public port; a keepalive alone is 40 bytes long.
_KEEPALIVES = f"""
table inet look {{
  chain out {{ type filter hook output priority -400; udp sport {PORT + 1} udp length 40 counter; }}
}}
"""
_ROOT = str(Path(__file__).parents[2])


class Stage:
    def __init__(self, folder: Path) -> None:
        self._open, self._folder = ExitStack(), folder
        self.registry = serve(folder / "cloud")
        self.net, self.nat, self.client = self._place("net"), self._place("nat"), self._place("client")
        self.gateways = {slot: self._place(f"gw-{slot}") for slot in GATEWAYS}
        self.agents: dict[str, subprocess.Popen] = {}
        lay_cables(self.net, self.nat, self.client, self.gateways)
        self.net.run("ip", "addr", "add", f"{SERVICE}/32", "dev", "lo")
        self._start(self.net, "echo", "tests.ways.traffic", "echo")
        for slot, place in self.gateways.items():
            place.write("/etc/twinlock/boot.json", (folder / f"{slot}.json").read_text())
            place.run("nft", "-f", "-", stdin=(folder / f"{slot}.nft").read_text())
            place.run("mkfifo", "/run/twinlock/vrrp")
            self.start(slot)
        self.private = self.client.run("wg", "genkey").strip()
        self.key = self.client.run("wg", "pubkey", stdin=self.private).strip()
        self.peer: Peer | None = None

    def close(self) -> None:
        self._open.close()

    def _place(self, name: str) -> Place:
        place = Place(name, self._folder / name)
        self._open.callback(place.close)
        return place

    def _start(self, place: Place, log: str, *module: str) -> subprocess.Popen:
        environment = {**os.environ, "PYTHONPATH": _ROOT}
        return place.start(log, sys.executable, "-m", *module, env=environment)

    def start(self, slot: str) -> None:
        self.agents[slot] = self._start(
            self.gateways[slot], "agent", "tests.ways.gateway", slot, str(self._folder / "cloud")
        )

    def records(self):
        return self.registry.gateways(tuple(GATEWAYS))

    def serving(self) -> str:
        return until("one gateway serves", lambda: self._serving() if len(self._serving()) == 1 else "", _PATIENCE)[0]

    def _serving(self) -> list[str]:
        alive = [slot for slot, agent in self.agents.items() if agent.poll() is None]
        return [slot for slot in alive if self.gateways[slot].run("wg", "show", "wg-service", "peers", check=False)]

    def wg(self, slot: str) -> Wg:
        return Wg(lambda words, stdin: self.gateways[slot].run(*words, stdin=stdin))

    def enrol(self) -> None:
        until("both are registered", lambda: len(self.records()) == len(GATEWAYS), _PATIENCE)
        self.registry.enrol(_actor("enroller"), "ml", "ann", self.key)
        self.peer = self.registry.approve(_actor("approver"), "ml", "ann")
        until("both know the peer", lambda: all(map(self.knows, GATEWAYS)), _PATIENCE)

    def knows(self, slot: str) -> bool:
        return self.key in self.wg(slot).peers("wg-way")

    def client_up(self) -> float:
        """When its tunnel was up."""
        assert self.peer is not None
        own = ", ".join(host_networks(PREFIX6, self.peer.address))
        text = client_file(self.private, own, f"{SERVICE}/32", self.records(), listen="ListenPort = 40404\n")
        self.client.write("/etc/wireguard/wg-c.conf", text)
        self.client.run("wg-quick", "up", "wg-c")
        return time.time()

    def traffic(self, what: str) -> None:
        assert self.peer is not None
        self._start(self.client, what, "tests.ways.traffic", what, self.peer.address)

    def answers(self, what: str = "ask") -> list[float]:
        return [float(line) for line in self.client.log(what).splitlines() if line.startswith("1")]

    def answered(self, since: float, what: str = "ask") -> float:
        """When the first packet came after `since`."""
        return until("an answer", lambda: [at for at in self.answers(what) if at > since], _PATIENCE)[0]

    def gap(self, at: float, seconds: float, what: str = "ask") -> int:
        """The longest time without a packet that ended after `at`, until so many seconds after it; in milliseconds."""
        time.sleep(max(0.0, at + seconds - time.time()))
        self.answered(time.time(), what)
        return round(1000 * max(later - earlier for earlier, later in pairwise(self.answers(what)) if later > at))

    def open_ways(self, slot: str) -> bool:
        peer = self.wg(slot).peers("wg-way").get(self.key)
        return peer is not None and peer.handshake > 0

    def kill(self, slot: str) -> float:
        """As if its power were cut; its twin hears so a moment later."""
        place, twin = self.gateways[slot], self.gateways[_twin(slot)]
        at = time.time()
        place.run("ip", "link", "set", "to-net", "down")
        place.stop(self.agents[slot], signal.SIGKILL)
        time.sleep(max(0.0, at + DETECTION_SECONDS - time.time()))
        twin.run("sh", "-c", f"echo 'INSTANCE \"{slot}\" MASTER 255' > /run/twinlock/vrrp")
        return at

    def come_back(self, slot: str) -> None:
        place = self.gateways[slot]
        boots = place.log("agent").count("bootstrapped")
        for interface in NAMES:
            place.run("wg-quick", "down", interface)
        place.run("ip", "link", "set", "to-net", "up")
        lead_out(place, slot)
        self.start(slot)
        until(f"{slot} is up", lambda: place.log("agent").count("bootstrapped") > boots, _PATIENCE)
        until(f"{slot} has the client's way", lambda: self.open_ways(slot), _PATIENCE)
        until(f"{slot} is heard", lambda: f"gateway {slot}: heard" in self._last(_twin(slot)), _PATIENCE)

    def _last(self, slot: str) -> str:
        """What an agent said since it last lost its twin."""
        return self.gateways[slot].log("agent").rpartition("silent")[2]

    def signal(self, how: int) -> float:
        """To both agents."""
        at = time.time()
        for slot, agent in self.agents.items():
            self.gateways[slot].signal(agent, how)
        return at


def _actor(name: str) -> Actor:
    return Actor(user_id=f"AIDA{name.upper()}", arn=f"arn:aws:iam::123456789012:user/{name}", host="ways")


def _twin(slot: str) -> str:
    return next(other for other in GATEWAYS if other != slot)


def fresh(stage: Stage) -> int:
    stage.enrol()
    stage.traffic("ask")
    up = stage.client_up()
    return round(1000 * (stage.answered(0.0) - up))


def crash(stage: Stage) -> int:
    """Until the other one is ready to lose its own power."""
    until("both have its way", lambda: all(stage.open_ways(slot) for slot in GATEWAYS), _PATIENCE)
    dead = stage.serving()
    lost = stage.gap(stage.kill(dead), 6)
    assert stage.serving() == _twin(dead)
    stage.come_back(dead)
    assert stage.serving() == _twin(dead), "no preemption"
    return lost


def switch(stage: Stage) -> int:
    """Under a download."""
    was, at = stage.serving(), time.time()
    stage.registry.ask_switch(SwitchWish(to=_twin(was), asked_ms=int(at * 1000)))
    until("the other one serves", lambda: stage.serving() == _twin(was), _PATIENCE)
    return stage.gap(at, 4, "pull")


def roam(stage: Stage) -> int:
    at = time.time()
    stage.nat.run("conntrack", "-F")
    return stage.gap(at, 3)


def restart(stage: Stage) -> int:
    stage.client.run("wg-quick", "down", "wg-c")
    time.sleep(1.1)  # the way's handshakes are told in whole seconds
    up = stage.client_up()
    return round(1000 * (stage.answered(up) - up))


def fence(stage: Stage) -> int:
    """Both agents stand still: how long the one that served went on sending."""
    stopped = stage.signal(signal.SIGSTOP)
    try:
        time.sleep(3)
        until("silence", lambda: time.time() - stage.answers()[-1] > 2)
        return round(1000 * (stage.answers()[-1] - stopped))
    finally:
        stage.signal(signal.SIGCONT)
        stage.answered(time.time())


def nudge(stage: Stage) -> int:
    """Keepalives that a nudge sends at once, to a client that needs none: it is talking."""
    slot = stage.serving()
    place = stage.gateways[slot]
    place.run("nft", "-f", "-", stdin=_KEEPALIVES)
    stage.wg(slot).nudge_peers("wg-service", [stage.key], 25)
    (counter,) = re.findall(r"packets (\d+)", place.run("nft", "list", "table", "inet", "look"))
    place.run("nft", "delete", "table", "inet", "look")
    return int(counter)


def dump(stage: Stage) -> dict[str, object]:
    """What the agent reads of the client that it serves."""
    assert stage.peer is not None
    slot, own = stage.serving(), host_networks(PREFIX6, stage.peer.address)
    found: dict[str, object] = {}
    for interface in ("wg-service", "wg-way"):
        peer: TunnelPeer = stage.wg(slot).peers(interface)[stage.key]
        found[interface] = {
            "endpoint": (peer.endpoint or "").rpartition(":")[0],
            "allowed_ips": [own.index(one) for one in peer.allowed_ips],  # in which order
            "handshake": 0 <= time.time() - peer.handshake < 180,
            "received": peer.received > 0,
            "sent": peer.sent > 0,
            "keepalive": peer.keepalive,
        }
    return found


def revoked(stage: Stage) -> int:
    """How long packets still came back."""
    at = time.time()
    stage.registry.revoke(_actor("revoker"), "ml", "ann")
    time.sleep(5)
    until("silence", lambda: time.time() - stage.answers()[-1] > 3)
    return round(1000 * (stage.answers()[-1] - at))


def main(folder: Path) -> None:
    stage = Stage(folder)

    def tell(name: str, scene: Callable[[Stage], object]) -> None:
        began = time.time()
        print(json.dumps({"scene": name, "at": round(began, 3), "found": scene(stage)}), flush=True)

    try:
        tell("a fresh client", fresh)
        tell("what wg tells", dump)
        tell("a crash", crash)
        tell("a second crash", crash)
        stage.traffic("pull")
        stage.answered(0.0, "pull")
        tell("a switch under a download", switch)
        tell("a switch back under a download", switch)
        tell("the client roams", roam)
        tell("the client restarts", restart)
        tell("a nudge", nudge)
        tell("both agents stand still", fence)
        tell("a revoked peer", revoked)
    finally:
        for slot, place in stage.gateways.items():
            print(f"--- gateway {slot}\n{place.log('agent')[-6000:]}", flush=True)
        stage.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
