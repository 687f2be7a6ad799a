"""An environment whose gateways reach the cloud through endpoints alone, from their first boot on."""

from __future__ import annotations

import pytest
import yaml

from lab.aws.names import SERVICE_ADDRESSES
from tests.checkouts import Checkout

pytestmark = [pytest.mark.timeout(400), pytest.mark.long]

PORT_OPENS = "timeout 3 bash -c '</dev/tcp/{}/443' && echo opens || echo shut"


@pytest.fixture
def alone(checkout: Checkout) -> Checkout:
    """A whole `lab up`, which ends with an object that travelled through the tunnel."""
    file = checkout.path / "lab" / "stack" / "Pulumi.lab.yaml"
    stack = yaml.safe_load(file.read_text())
    stack["config"]["twinlock:network"]["interface_endpoints"] = True
    file.write_text(yaml.safe_dump(stack))
    checkout.done("up")
    return checkout


def test_a_first_boot_with_endpoints_alone_needs_no_second_attempt(alone: Checkout) -> None:
    calls = [call for call in alone.log("calls") if "-gateway-" in call["caller"]]
    assert {call["service"] for call in calls} == {"dynamodb", "ec2", "s3", "secretsmanager"}
    assert all(call["endpoint"] for call in calls), [call for call in calls if not call["endpoint"]]
    assert not [call for call in calls if not call["allowed"]]
    for slot in ("a", "b"):
        journal = alone.done("shell", slot, "journalctl", "--no-pager", "--unit=twinlock-bootstrap")
        assert "ready service=" in journal
        assert "attempt" not in journal and "fetch-agent:" not in journal, journal
        outside = SERVICE_ADDRESSES["other"]
        assert "shut" in alone.done("shell", slot, "sh", "-c", PORT_OPENS.format(outside)), "the control"
