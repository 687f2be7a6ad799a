"""The rendered document three ways: its whole text, its meaning, its size."""

from __future__ import annotations

import ast
import base64
import gzip
import json
import random
import sys
import zipfile
from dataclasses import asdict, fields
from pathlib import Path

import pytest
import yaml
from jinja2 import UndefinedError

from tests.userdata_samples import gateway_boot
from twinlock.agent import interfaces
from twinlock.agent.boot import Boot, boot_from
from userdata import render as rendering
from userdata.agent_archive import build_agent_archive
from userdata.boot_args import Dns, GatewayBoot, Twin
from userdata.render import LIMIT_BYTES, UserDataTooLarge, pack, render, render_base64, render_firewall, render_sysctl

HERE = Path(__file__).parent
USERDATA = HERE.parents[1] / "userdata"


def _files(document: str) -> dict[str, str]:
    return {file["path"]: file["content"] for file in yaml.safe_load(document)["write_files"]}


def test_the_document_is_exactly_the_expected_one():
    """After a wanted change: `python -m tests.userdata_samples` writes the expected text anew; read its diff."""
    assert render(gateway_boot()) == (HERE / "test_userdata_expected.yaml").read_text()


def test_each_file_arrives_as_it_stands_here():
    files = _files(render(gateway_boot()))
    for path, source in {
        "/usr/local/lib/twinlock/fetch-agent": "fetch-agent.py",
        "/usr/local/lib/twinlock/first-boot": "first-boot.sh",
        "/var/lib/cloud/scripts/per-once/start-gateway": "start-gateway.sh",
        "/etc/systemd/system/twinlock-agent.service": "agent.service",
        "/etc/systemd/system/twinlock-bootstrap.service": "bootstrap.service",
        "/etc/systemd/system/twinlock-firewall.service": "firewall.service",
        "/etc/systemd/journald.conf.d/twinlock.conf": "journald.conf",
        "/etc/chrony/chrony.conf": "chrony.conf",
        "/etc/apt/apt.conf.d/90twinlock": "updates.conf",
    }.items():
        assert files[path] == (USERDATA / "files" / source).read_text()
    assert files["/etc/twinlock/gateway.nft"].strip() == render_firewall(gateway_boot()).strip()
    assert files["/etc/sysctl.d/90-twinlock.conf"].strip() == render_sysctl(gateway_boot()).strip()


NAMES = Dns(zones=("corp.internal", "db.example.com"), resolver="169.254.169.253")
FORWARDER = {
    "/etc/twinlock/dns.conf",
    "/etc/systemd/system/twinlock-dns.service",
    "/etc/systemd/system/twinlock-bootstrap.service.d/dns.conf",
}


@pytest.mark.parametrize("stock", [True, False])
def test_a_forwarder_for_its_zones_alone_is_there_where_an_environment_has_names(stock):
    with_names, without = gateway_boot(stock_image=stock, dns=NAMES), gateway_boot(stock_image=stock)
    files = _files(render(with_names))
    assert files.keys() - _files(render(without)).keys() == FORWARDER
    lines = files["/etc/twinlock/dns.conf"].splitlines()
    assert [line for line in lines if line.startswith("server")] == [
        "server=/corp.internal/169.254.169.253", "server=/db.example.com/169.254.169.253",
    ]  # fmt: skip
    assert {"no-resolv", "no-hosts", "bind-interfaces", "listen-address=10.100.0.1"} <= set(lines)
    assert files["/etc/systemd/system/twinlock-dns.service"] == (USERDATA / "files/dns.service").read_text()
    assert "twinlock-dns" in files["/etc/systemd/system/twinlock-bootstrap.service.d/dns.conf"]
    assert "dport 53 accept\n" in files["/etc/twinlock/gateway.nft"]
    assert '"dnsmasq"' not in render_firewall(without), "a user that an image without the package does not have"
    assert render_firewall(without).count("dport 53") == 1, "the gateway's own questions"


def test_the_boot_arguments_arrive_whole_and_the_agent_reads_them():
    for boot in (gateway_boot(), gateway_boot(dns=NAMES)):
        document = json.loads(_files(render(boot))["/etc/twinlock/boot.json"])
        assert asdict(boot_from(document, "boot.json")) == asdict(boot)
    assert {field.name for field in fields(Boot)} == {field.name for field in fields(GatewayBoot)}


def test_the_pair_channel_has_one_range():
    assert str(interfaces.PAIR_RANGE) == rendering.PAIR_RANGE


def test_only_a_gateway_whose_packages_are_in_the_image_starts_before_they_could_be_installed():
    stock, baked = yaml.safe_load(render(gateway_boot(stock_image=True))), yaml.safe_load(render(gateway_boot()))
    early = baked["cloud_init_modules"]
    assert early.index("write_files") < early.index("scripts_per_once")
    assert "cloud_init_modules" not in stock
    files = _files(render(gateway_boot(stock_image=True)))
    assert not [path for path in files if path.startswith("/var/lib/cloud/scripts")]
    assert "install-packages" in files["/etc/systemd/system/twinlock-packages.service"]


def test_only_a_stock_image_fetches_packages_and_opens_the_mirror():
    stock, baked = gateway_boot(stock_image=True), gateway_boot()
    assert " nftables " in _files(render(stock))["/usr/local/lib/twinlock/install-packages"]
    assert "/usr/local/lib/twinlock/install-packages" not in _files(render(baked))
    for boot in (stock, baked):
        document = yaml.safe_load(render(boot))
        assert (document["package_update"], "packages" in document) == (False, False)
    assert '"_apt" } tcp dport 80 accept' in render_firewall(stock)
    assert '"_apt" } tcp dport 80 accept' not in render_firewall(baked)


def test_what_no_tenant_may_reach_is_in_the_firewall_from_the_start():
    text = render_firewall(gateway_boot())
    never = next(line for line in text.splitlines() if "set never4" in line)
    for cidr in ("169.254.0.0/16", "168.63.129.16/32", "10.100.0.0/16", "10.0.1.10/32", "10.0.2.10/32"):
        assert cidr in never
    assert "fd00:ec2::/32, fe80::/10" in text


def test_the_document_fits_the_launch_template():
    names = Dns(zones=tuple(random.Random(zone).randbytes(126).hex() for zone in range(10)), resolver="169.254.169.253")
    for boot in (gateway_boot(), gateway_boot(stock_image=True), gateway_boot(stock_image=True, dns=names)):
        sent = base64.b64decode(render_base64(boot))
        assert len(sent) <= LIMIT_BYTES
        assert sent == pack(render(boot))


def test_a_document_over_the_limit_is_compressed_the_same_way_each_time():
    document = "#cloud-config\n" + "x" * LIMIT_BYTES
    assert gzip.decompress(pack(document)).decode() == document
    assert pack(document) == pack(document)


def test_a_document_that_fits_in_no_form_names_its_size():
    noise = "".join(random.Random(1).choices("abcdefghijklmnop", k=20 * LIMIT_BYTES))
    with pytest.raises(UserDataTooLarge, match=rf"{len(noise)} bytes.*{LIMIT_BYTES}"):
        pack(noise)


def test_many_twins_make_one_document_still():
    twins = tuple(Twin(slot=f"s{number}", private_address=f"10.0.2.{number}") for number in range(1, 16))
    assert "10.0.2.15" in render_firewall(gateway_boot(twins=twins))


def test_templates_hold_no_logic_and_forgive_no_missing_value():
    for template in USERDATA.rglob("*.j2"):
        assert "{%" not in template.read_text()
    with pytest.raises(UndefinedError):
        rendering._templates().get_template("gateway.yaml.j2").render()


def test_the_document_names_secrets_and_holds_none():
    text = render(gateway_boot())
    assert "PrivateKey" not in text
    assert '"service_secret": "twinlock/lab/service"' in text


def test_the_agents_archive_is_the_same_file_each_time(tmp_path):
    first, second = build_agent_archive(tmp_path / "one" / "agent.pyz"), build_agent_archive(tmp_path / "two.pyz")
    assert first.sha256 == second.sha256
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.path.stat().st_mode & 0o777 == 0o755


def test_the_archive_holds_the_agent_and_the_registry_alone(tmp_path):
    names = zipfile.ZipFile(build_agent_archive(tmp_path / "agent.pyz").path).namelist()
    assert "twinlock/agent/main.py" in names
    assert "twinlock/registry/store.py" in names
    assert all(
        name in ("__main__.py", "twinlock/__init__.py") or name.startswith(("twinlock/agent/", "twinlock/registry/"))
        for name in names
    )


def test_the_archive_needs_nothing_that_a_stock_gateway_lacks(tmp_path):
    allowed = {*sys.stdlib_module_names, "boto3", "botocore", "cryptography", "twinlock"}
    with zipfile.ZipFile(build_agent_archive(tmp_path / "agent.pyz").path) as archive:
        for name in archive.namelist():
            for node in ast.walk(ast.parse(archive.read(name))):
                modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom):
                    modules = [node.module or ""]
                assert {module.split(".")[0] for module in modules} <= allowed, name
                assert not any(module.startswith(("twinlock.cli", "twinlock.automation")) for module in modules), name
