"""Gateways on an image as Debian publishes it: their first boot installs what they need from Debian's archive."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from lab import mirror
from lab.aws.seeds import STOCK_IMAGE
from lab.paths import STOCK
from tests.checkouts import Checkout, copied
from tests.clean_boot import assert_clean_boot
from userdata.render import STOCK_PACKAGES

pytestmark = [pytest.mark.timeout(900), pytest.mark.long]
OPENS = "timeout 3 bash -c '</dev/tcp/{}/80' && echo opens || echo shut"


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A whole `lab up`, which ends with an object that travelled through the tunnel."""
    assert STOCK.is_dir(), "python3 tools/setup.py everything"
    checkout = copied(tmp_path_factory.mktemp("stock"))
    file = checkout.path / "lab" / "stack" / "Pulumi.lab.yaml"
    stack = yaml.safe_load(file.read_text())
    stack["config"]["twinlock:gateway"] |= {"stock_image": True, "image": STOCK_IMAGE.ami_id}
    file.write_text(yaml.safe_dump(stack))
    try:
        checkout.done("up")
        yield checkout
    finally:
        checkout.done("down")


@pytest.mark.parametrize("slot", ["a", "b"])
def test_a_first_boot_installs_what_the_image_lacks_and_ends_clean(stock: Checkout, slot: str) -> None:
    def run(*words: str) -> str:
        return stock.done("shell", slot, *words)

    assert_clean_boot(run)
    assert run("dpkg-query", "--show", "--showformat=${Package}\n", *STOCK_PACKAGES).split() == sorted(STOCK_PACKAGES)
    installed = run("cat", "/var/log/apt/history.log")
    before = (STOCK / "root/var/lib/dpkg/status").read_text()
    lacking = [name for name in STOCK_PACKAGES if f"Package: {name}\n" not in before]
    assert {"nftables", "keepalived", "python3-boto3", "wireguard-tools"} <= set(lacking)
    assert all(f" {name}:" in installed for name in lacking), installed
    assert run("sh", "-c", "grep -riE 'trusted=|Unauthenticated|AllowInsecure' /etc/apt; true") == "", (
        "signatures count"
    )
    units = (
        "twinlock-firewall",
        "twinlock-bootstrap",
        "twinlock-agent",
        "twinlock-vrrp",
        "chrony",
        "unattended-upgrades",
    )
    assert set(run("systemctl", "is-active", *units).split()) == {"active"}


def test_the_way_to_the_archive_is_shut_once_the_gateway_is_one(stock: Checkout) -> None:
    archive = mirror.archive_of(STOCK)
    assert archive is not None
    assert archive.host in stock.done("shell", "a", "getent", "hosts", archive.host)
    assert "shut" in stock.done("shell", "a", "sh", "-c", OPENS.format(mirror.ADDRESS))
    assert "mirror {\n\t}" in stock.done("shell", "a", "nft", "list", "chain", "inet", "twinlock", "mirror")
    opened = "nft add rule inet twinlock mirror tcp dport 80 accept; "
    assert "opens" in stock.done("shell", "b", "sh", "-c", opened + OPENS.format(mirror.ADDRESS)), "the control"
