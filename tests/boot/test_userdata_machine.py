"""The rendered document in a real machine, by the real cloud-init and systemd."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import yaml

from lab.aws import dynamodb_local
from lab.machines.machines import Machines
from tests.asking import SCRIPT
from tests.boot.agent_stage import moto_words, until
from tests.userdata_samples import gateway_boot
from userdata.agent_archive import build_agent_archive
from userdata.boot_args import Dns, Twin
from userdata.render import LIMIT_BYTES, STOCK_PACKAGES, pack, render, render_firewall

ROOT = Path(__file__).parents[2]
IMAGE = ROOT / ".tools" / "image"
FILL = """
from tests.boot.agent_stage import *
until("DynamoDB Local", lambda: listens("127.0.0.1", 8000))
until("moto", lambda: listens("127.0.0.1", 5000))
table = client_of("dynamodb", "http://127.0.0.1:8000")
make_table(table)
put_definition(table, definition())
make_secrets(client_of("secretsmanager", "http://127.0.0.1:5000"), "twinlock/lab/service", "twinlock/lab/way-a")
"""
RESOLVER = "169.254.169.253"
# The cloud's resolver, which knows every name.
KNOWS_ALL = [
    "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root",
    "--pid-file", "--bind-interfaces", f"--listen-address={RESOLVER}", "--address=/#/10.20.0.9",
]  # fmt: skip
pytestmark = pytest.mark.timeout(120)
METADATA = """
import http.server, sys
DATA = open(sys.argv[1], "rb").read()
MAC = "02:00:00:00:00:01"
META = {"": b"ami-id\\ninstance-id\\nlocal-hostname\\nlocal-ipv4\\nmac\\nnetwork/\\nplacement/", "ami-id": b"ami-0",
        "instance-id": b"i-0userdata", "local-hostname": b"gw-a", "local-ipv4": b"10.0.1.10", "mac": MAC.encode(),
        "placement/": b"availability-zone", "placement/availability-zone": b"eu-west-1a",
        "network/": b"interfaces/", "network/interfaces/": b"macs/", "network/interfaces/macs/": MAC.encode() + b"/",
        f"network/interfaces/macs/{MAC}/": b"device-number\\nlocal-ipv4s",
        f"network/interfaces/macs/{MAC}/device-number": b"0",
        f"network/interfaces/macs/{MAC}/local-ipv4s": b"10.0.1.10"}
DYNAMIC = {"instance-identity/": b"document", "instance-identity": b"document",
           "instance-identity/document": b'{"region": "eu-west-1", "instanceId": "i-0userdata"}'}
class H(http.server.BaseHTTPRequestHandler):
    def log_message(self, *a): pass
    def say(self, status, body=b""):
        self.send_response(status); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def do_PUT(self): self.say(200, b"token")
    def do_GET(self):
        kind, _, key = self.path.lstrip("/").partition("/")[2].partition("/")
        if kind == "user-data": self.say(200, DATA)
        elif kind == "meta-data" and key in META: self.say(200, META[key])
        elif kind == "dynamic" and key in DYNAMIC: self.say(200, DYNAMIC[key])
        else: self.say(404)
http.server.ThreadingHTTPServer(("169.254.169.254", 80), H).serve_forever()
"""


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    """Boot arguments that name the archive which is built now, and its bytes."""
    archive = build_agent_archive(tmp_path_factory.mktemp("archive") / "agent.pyz")
    names = Dns(zones=("corp.internal",), resolver=RESOLVER)
    boot = gateway_boot(registry_table="registry", agent_sha256=archive.sha256, dns=names)
    return boot, archive.path.read_bytes()


@contextmanager
def switched_on(folder: Path, user_data: bytes, *beside: list[str]) -> Iterator[Callable[..., CompletedProcess[str]]]:
    """A machine that boots the user data, with processes `beside` it in its network; gives what runs commands in it."""
    namespace = f"userdata-{folder.name}-{os.getpid()}"
    (folder / "user-data").write_bytes(user_data)
    (folder / "ca.pem").write_text("")
    subprocess.run(["ip", "netns", "add", namespace], check=True)
    machines = Machines(lambda _: IMAGE, folder / "machines", folder / "ca.pem", lambda _: namespace)
    running: list[subprocess.Popen[bytes]] = []
    try:
        # A machine without an interface is none.
        wire = ["link", "add", "eth0", "address", "02:00:00:00:00:01", "type", "veth", "peer", "name", "far"]
        own = (["addr", "add", f"{address}/32", "dev", "lo"] for address in ("169.254.169.254", RESOLVER))
        for words in (["link", "set", "lo", "up"], wire, *own):
            subprocess.run(["ip", "-n", namespace, *words], check=True)
        with (folder / "log").open("ab") as log:
            for words in ([sys.executable, "-c", METADATA, str(folder / "user-data")], *beside):
                argv = ["ip", "netns", "exec", namespace, *words]
                running.append(subprocess.Popen(argv, stdout=log, stderr=log))
        here = ["ip", "netns", "exec", namespace, "ss", "-Htln", "sport = 80"]
        until("the metadata service", lambda: subprocess.run(here, capture_output=True, check=True).stdout)
        machines.start("i-0userdata")
        machines.wait_console("i-0userdata", "finished at", 60)
        yield lambda *words, stdin="": machines.run("i-0userdata", words, stdin=stdin)
    finally:
        machines.sweep()
        for process in running:
            process.kill()
            process.wait()
        subprocess.run(["ip", "netns", "del", namespace], check=True)


@pytest.fixture(scope="module")
def machine(tmp_path_factory, cloud):
    folder = tmp_path_factory.mktemp("userdata")
    beside = (moto_words(5000), dynamodb_local.command(8000), KNOWS_ALL)
    with switched_on(folder, pack(render(cloud[0])), *beside) as run:
        namespace = f"userdata-{folder.name}-{os.getpid()}"
        fill = ["ip", "netns", "exec", namespace, sys.executable, "-c", FILL]
        subprocess.run(fill, check=True, cwd=ROOT)
        yield run


def test_a_document_over_the_limit_boots_compressed_just_as_a_small_one(tmp_path):
    twins = tuple(Twin(slot=f"s{number}", private_address=f"10.0.3.{number}") for number in range(1, 60))
    document = render(gateway_boot(twins=twins))
    assert len(document.encode()) > LIMIT_BYTES
    with switched_on(tmp_path, pack(document)) as run:
        assert json.loads(run("cloud-init", "status", "--wait", "--format", "json").stdout)["errors"] == []
        assert "10.0.3.59" in run("nft", "list", "set", "inet", "twinlock", "twins").stdout
        assert len(json.loads(run("cat", "/etc/twinlock/boot.json").stdout)["twins"]) == 59
        assert run("systemctl", "is-enabled", "twinlock-agent.service").stdout.strip() == "enabled"


@pytest.mark.long
def test_a_stock_images_document_passes_cloud_inits_own_schema_too(machine):
    stock = render(gateway_boot(stock_image=True))
    machine("sh", "-c", "cat > /run/stock.yaml", stdin=stock)
    said = machine("cloud-init", "schema", "--config-file", "/run/stock.yaml")
    assert (said.returncode, "Valid schema" in said.stdout) == (0, True), said.stdout + said.stderr
    machine("sh", "-c", "cat > /run/stock.yaml", stdin=re.sub("^runcmd:$", "runcmds:", stock, flags=re.M))
    assert machine("cloud-init", "schema", "--config-file", "/run/stock.yaml").returncode != 0, "the control"


@pytest.mark.long
def test_a_stock_image_whose_mirror_does_not_answer_becomes_a_gateway_once_it_does(tmp_path):
    nowhere = 'bootcmd:\n  - echo "deb http://127.0.0.1:9/debian trixie main" > /etc/apt/sources.list\n'
    with switched_on(tmp_path, pack(render(gateway_boot(stock_image=True)) + nowhere)) as run:

        def told() -> str:
            return run("journalctl", "--no-pager", "-u", "twinlock-packages").stdout

        def shown(what: str) -> str:
            return run("systemctl", "show", "-p", what, "--value", "twinlock-packages.service").stdout.strip()

        until("a failed attempt", lambda: "can't be installed" in told())
        assert "127.0.0.1:9" in told(), "apt's own words"
        assert shown("ActiveState") == "activating"
        assert run("systemctl", "is-active", "twinlock-firewall").stdout.strip() == "inactive"
        assert json.loads(run("cloud-init", "status", "--wait", "--format", "json").stdout)["errors"] == []
        run("rm", "/etc/apt/sources.list")
        until("a gateway", lambda: run("systemctl", "is-active", "twinlock-firewall").stdout.strip() == "active", 60)
        until("the end", lambda: shown("ActiveState") == "inactive")
        assert shown("Result") == "success"
        assert run("systemctl", "is-enabled", "twinlock-packages").stdout.strip() == "disabled"
        assert run("systemctl", "is-enabled", "twinlock-agent").stdout.strip() == "enabled"


def test_cloud_init_ends_without_an_error(machine):
    status = json.loads(machine("cloud-init", "status", "--wait", "--format", "json").stdout)
    assert status["errors"] == []
    assert status["status"] == "done"
    log = machine("cat", "/var/log/cloud-init.log").stdout
    assert "Traceback" not in log
    # The stand-in for the metadata service knows no network; the real one does.
    faults = {level: [m for m in lines if "network" not in m] for level, lines in status["recoverable_errors"].items()}
    assert [m for lines in faults.values() for m in lines] == []


def test_the_firewall_stands_and_forwarding_is_on(machine):
    assert "chain from_tunnel" in machine("nft", "list", "table", "inet", "twinlock").stdout
    assert machine("sysctl", "-n", "net.ipv4.ip_forward", "net.ipv4.conf.all.rp_filter").stdout.split() == ["1", "1"]


def test_a_gateway_without_its_agent_says_so_and_goes_on_trying(machine):
    # Nothing but the metadata service answers in this machine's network.
    state = machine("systemctl", "show", "-p", "ActiveState", "--value", "twinlock-bootstrap.service").stdout.strip()
    assert state == "activating"
    journal = until("a line of the journal", lambda: machine("journalctl", "-u", "twinlock-bootstrap").stdout)
    assert "s3://agents/" in until(
        "the reason", lambda: "s3://" in (text := machine("journalctl", "-u", "twinlock-bootstrap").stdout) and text
    ), journal
    assert machine("test", "-e", "/usr/local/bin/twinlock-agent").returncode != 0


def test_the_units_are_what_systemd_understands(machine):
    units = [f"/etc/systemd/system/twinlock-{name}.service" for name in ("firewall", "bootstrap", "agent", "dns")]
    said = machine("systemd-analyze", "verify", "--recursive-errors=no", *units)
    # The agent is not there: that is all that may be missing.
    lines = [line for line in said.stderr.splitlines() if "twinlock" in line and "is not executable" not in line]
    assert lines == []


def test_what_a_stock_image_installs_is_what_the_baked_one_holds(machine):
    """Names that Debian has; a name that it hasn't would stop a stock gateway's first boot."""
    assert machine("dpkg-query", "--show", *STOCK_PACKAGES).returncode == 0
    assert machine("dpkg-query", "--show", *STOCK_PACKAGES, "no-such-package").returncode != 0


@pytest.mark.parametrize(("unit", "exposure"), [("agent", 2.9), ("bootstrap", 3.5), ("dns", 1.5)])
def test_the_units_are_hardened_by_systemds_own_measure(machine, unit, exposure):
    """0 is nothing left to take away, 9.6 an ordinary unit."""
    said = machine("systemd-analyze", "security", "--no-pager", f"twinlock-{unit}.service").stdout
    found = float(re.search(r"Overall exposure level for .*: ([0-9.]+)", said)[1])
    assert found <= exposure, said


def test_every_source_of_packages_is_asked_by_tls_after_the_first_boot(machine):
    """The lab's image has none: as a stock one would have had."""
    machine("sh", "-c", "cat > /etc/apt/sources.list.d/stock.sources", stdin="URIs: http://mirror.example/debian\n")
    machine("sh", "-c", "echo http://mirror.example/security > /etc/apt/stock.list")
    assert machine("/usr/local/lib/twinlock/first-boot").returncode == 0
    asked = machine("cat", "/etc/apt/sources.list.d/stock.sources", "/etc/apt/stock.list").stdout
    assert asked == "URIs: https://mirror.example/debian\nhttps://mirror.example/security\n"


@pytest.fixture(scope="module")
def agent(machine, cloud):
    """The agent as its own units run it, against a cloud that it finds by address instead of by name."""
    _, archive = cloud
    machine("sh", "-c", "base64 -d > /usr/local/bin/twinlock-agent", stdin=base64.b64encode(archive).decode())
    machine("chmod", "755", "/usr/local/bin/twinlock-agent")
    for unit in ("bootstrap", "agent"):
        folder = f"/etc/systemd/system/twinlock-{unit}.service.d"
        machine("mkdir", "-p", folder)
        machine("sh", "-c", f"cat > {folder}/cloud.conf", stdin=_ENDPOINTS)
    machine("systemctl", "daemon-reload")
    machine("systemctl", "restart", "--no-block", "twinlock-bootstrap.service", "twinlock-agent.service")

    def is_active() -> bool:
        return machine("systemctl", "is-active", "twinlock-agent.service").stdout.strip() == "active"

    try:
        until("the agent runs", is_active, 60)
    except AssertionError as exc:
        log = machine("journalctl", "--no-pager", "-u", "twinlock-bootstrap", "-u", "twinlock-agent").stdout
        raise AssertionError(log[-6000:]) from exc
    return machine


def test_the_hardened_units_bootstrap_and_run_the_agent(agent):
    assert agent("wg", "show", "interfaces").stdout.split() != []
    journal = agent("journalctl", "--no-pager", "-u", "twinlock-bootstrap", "-o", "cat").stdout
    assert "twinlock: gateway a ready service=" in journal
    served = until("serving", lambda: "serving shard 0" in _journal(agent))
    assert served


def asked(agent, name: str, how: str = "udp") -> str:
    return agent("python3", "-c", SCRIPT, "10.100.0.1", name, how, "5").stdout.strip()


def test_the_forwarder_answers_for_its_zones_and_refuses_all_else(agent):
    until("an answer", lambda: asked(agent, "db.corp.internal") == "ok 10.20.0.9")
    for how in ("udp", "tcp"):
        assert asked(agent, "corp.internal", how) == "ok 10.20.0.9"
        for name in ("example.com", "internal", "notcorp.internal", "localhost"):
            assert asked(agent, name, how) == "refused"
    told = "echo server=169.254.169.253 >> /etc/twinlock/dns.conf && systemctl restart twinlock-dns"
    assert agent("sh", "-c", told).returncode == 0
    until("the control", lambda: asked(agent, "example.com") == "ok 10.20.0.9")
    agent("sh", "-c", "sed -i '$d' /etc/twinlock/dns.conf && systemctl restart twinlock-dns")


def test_the_forwarder_can_bind_its_port_and_nothing_else(agent):
    # Until it answers, the unit's process may be systemd's own, which has not given its rights up yet.
    until("an answer", lambda: asked(agent, "corp.internal") == "ok 10.20.0.9")
    pid = agent("systemctl", "show", "-p", "MainPID", "--value", "twinlock-dns.service").stdout.strip()
    status = agent("cat", f"/proc/{pid}/status").stdout
    lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {int(lines[name], 16) for name in ("CapBnd", "CapEff", "CapPrm")} == {1 << 10}, "CAP_NET_BIND_SERVICE"
    assert (lines["NoNewPrivs"], lines["Seccomp"]) == ("1", "2")
    assert lines["Uid"].split()[0] != "0"
    listening = agent("sh", "-c", "ss -Htuln 'sport = 53' | awk '{print $5}' | sort -u").stdout.split()
    assert listening == ["10.100.0.1:53", "169.254.169.253:53"], "the second is the cloud's"


def test_a_killed_forwarder_is_back_within_seconds(agent):
    agent("systemctl", "kill", "--signal=KILL", "twinlock-dns.service")
    until("an answer", lambda: asked(agent, "corp.internal") == "ok 10.20.0.9")


def test_neither_the_agent_nor_a_tunnel_goes_before_or_behind_the_other(agent):
    """What a first boot does to be quick ends with it: a tunnel that went before the agent would starve it."""
    running = agent("pidof", "wireguard-go").stdout.split()
    agents = agent("systemctl", "show", "-p", "MainPID", "--value", "twinlock-agent.service").stdout.split()
    assert len(running) == 5
    for pid in running + agents:
        assert agent("ps", "-o", "ni=", "-p", pid).stdout.strip() == "0"
        assert agent("cat", f"/proc/{pid}/autogroup").stdout.endswith(" nice 0\n")


def test_the_running_agent_has_two_capabilities_and_no_way_to_more(agent):
    pid = agent("systemctl", "show", "-p", "MainPID", "--value", "twinlock-agent.service").stdout.strip()
    status = dict(
        line.split(":\t", 1) for line in agent("cat", f"/proc/{pid}/status").stdout.splitlines() if ":\t" in line
    )
    assert int(status["CapBnd"], 16) == (1 << 12) + (1 << 13), "CAP_NET_ADMIN, CAP_NET_RAW"
    assert status["CapEff"] == status["CapBnd"]
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def test_the_agent_applies_through_its_sandbox(agent):
    def reached() -> bool:
        return "10.50.0.5" in agent("nft", "list", "set", "inet", "twinlock", "services").stdout

    until("the registry's sets", reached)
    assert "rror" not in _journal(agent)


def test_a_killed_agent_is_back_within_seconds(agent):
    before = agent("systemctl", "show", "-p", "MainPID", "--value", "twinlock-agent.service").stdout.strip()
    tunnels = sorted(agent("wg", "show", "interfaces").stdout.split())
    agent("systemctl", "kill", "--signal=KILL", "twinlock-agent.service")

    def again() -> bool:
        shown = agent("systemctl", "show", "-p", "MainPID,ActiveState", "twinlock-agent.service").stdout.split()
        return "ActiveState=active" in shown and f"MainPID={before}" not in shown

    until("another process", again, 20)
    assert sorted(agent("wg", "show", "interfaces").stdout.split()) == tunnels, "the tunnels stayed"


def _journal(agent) -> str:
    return agent("journalctl", "--no-pager", "-u", "twinlock-agent", "-o", "cat").stdout


_ENDPOINTS = """[Service]
Environment=AWS_ACCESS_KEY_ID=stage AWS_SECRET_ACCESS_KEY=stage
Environment=AWS_ENDPOINT_URL_DYNAMODB=http://127.0.0.1:8000
Environment=AWS_ENDPOINT_URL_SECRETS_MANAGER=http://127.0.0.1:5000 AWS_ENDPOINT_URL_EC2=http://127.0.0.1:5000
"""


def test_the_document_passes_cloud_inits_own_schema(machine):
    said = machine("cloud-init", "schema", "--system")
    assert "Valid schema user-data" in said.stdout, said.stdout + said.stderr


@pytest.mark.parametrize("stock", [True, False])
def test_the_firewall_is_one_that_nft_takes(stock, tmp_path):
    (tmp_path / "gateway.nft").write_text(render_firewall(gateway_boot(stock_image=stock)))
    subprocess.run(["unshare", "-n", "nft", "-c", "-f", str(tmp_path / "gateway.nft")], check=True)


@pytest.mark.parametrize("stock", [True, False])
def test_the_scripts_pass_shellcheck(stock):
    files = yaml.safe_load(render(gateway_boot(stock_image=stock)))["write_files"]
    scripts = [file["content"] for file in files if file["content"].startswith("#!/bin/sh")]
    assert scripts
    for script in scripts:
        subprocess.run(["shellcheck", "-"], input=script, text=True, check=True)
