"""The endpoint mode floating-ip in the program: what is made for it, what gateways may do, what is refused."""

from __future__ import annotations

import base64
import gzip
import json

import pytest

from components.aws.deployer import boundary
from components.errors import SettingsError
from components.settings import parse
from lab.aws.authorize import Policies, decide
from lab.aws.policy import Ask
from policies.exceptions import EXCEPTIONS
from tests.unit.program_build import ACCOUNT, Recording, Room, build, changed, document
from tests.unit.test_policies import broken, findings, resources

FLOATING = changed(gateway={"endpoints": ["ways", "floating-ip"]})


@pytest.fixture(scope="module")
def made() -> Recording:
    return build(FLOATING)


def test_one_more_address_and_a_second_private_one_on_each_slots_interface(made):
    assert len(made.of("Eip")) == 3 and len(made.of("EipAssociation")) == 2, "gateways associate it themselves"
    found = {one.name[-11]: one.inputs["privateIps"] for one in made.of("NetworkInterface")}
    assert found == {"a": ["10.20.0.10", "10.20.0.11"], "b": ["10.20.16.10", "10.20.16.11"]}
    plain = build()
    assert len(plain.of("Eip")) == 2
    assert all(len(one.inputs["privateIps"]) == 1 for one in plain.of("NetworkInterface"))


def test_the_address_goes_only_when_no_interface_can_hold_it():
    made = build(FLOATING)
    for one in made.of("NetworkInterface"):
        assert ("Eip", "twinlock-test-floating") in made.waits[one.name]


def test_a_gateway_may_take_that_address_to_its_own_interface_and_no_other(made):
    for slot in "ab":
        statements = document(made.one("RolePolicy", f"-{slot}-policy"))["Statement"]
        found = {one["Sid"]: one for one in statements if any("Address" in action for action in one["Action"])}
        place = f"arn:aws:ec2:eu-west-1:{ACCOUNT}"
        assert found["TakeFloatingAddress"]["Action"] == ["ec2:AssociateAddress"]
        assert found["TakeFloatingAddress"]["Resource"] == [
            f"{place}:elastic-ip/eipalloc-twinlock-test-floating",
            f"{place}:network-interface/twinlock-test-gateway-{slot}-interface-id",
        ]
        assert found["FindFloatingAddress"]["Action"] == ["ec2:DescribeAddresses"]
        assert found["FindFloatingAddress"]["Condition"] == {"StringEquals": {"aws:RequestedRegion": "eu-west-1"}}
        assert len(found) == 2
    assert "Address" not in json.dumps(document(build().one("RolePolicy", "-a-policy")))
    bounds = [json.dumps(boundary(parse(config), ACCOUNT)) for config in (FLOATING, changed())]
    assert ["ec2:AssociateAddress" in text for text in bounds] == [True, False]


@pytest.mark.parametrize(
    ("action", "resource", "may"),
    [
        ("AssociateAddress", "elastic-ip/eipalloc-twinlock-test-floating", True),
        ("AssociateAddress", "network-interface/twinlock-test-gateway-a-interface-id", True),
        ("AssociateAddress", "elastic-ip/eipalloc-twinlock-test-gateway-a", False),  # its own fixed one
        ("AssociateAddress", "elastic-ip/eipalloc-twinlock-test-gateway-b", False),
        ("AssociateAddress", "network-interface/twinlock-test-gateway-b-interface-id", False),
        ("AssociateAddress", "network-interface/somebody-elses", False),
        ("AssociateAddress", "instance/i-0123456789abcdef0", False),
        ("DisassociateAddress", "elastic-ip/eipalloc-twinlock-test-floating", False),
        ("ReleaseAddress", "elastic-ip/eipalloc-twinlock-test-floating", False),
        ("AllocateAddress", "elastic-ip/*", False),
    ],
)
def test_the_labs_judge_lets_a_gateway_move_that_address_alone(made, action, resource, may):
    written = json.dumps(document(made.one("RolePolicy", "-a-policy")))
    role = Policies(
        identity=(("gateway", written),), limits=(), endpoint=None, resource=None, resource_decides=False
    )  # fmt: skip
    asked = Ask(
        action=f"ec2:{action}",
        resource=f"arn:aws:ec2:eu-west-1:{ACCOUNT}:{resource}",
        principals=(f"arn:aws:iam::{ACCOUNT}:role/gateway",),
        account=ACCOUNT,
        context={"aws:requestedregion": ("eu-west-1",)},
    )
    assert decide(asked, role).allowed is may


def test_the_outputs_the_registry_and_the_user_data_name_it(made):
    assert made.outputs["floatingEndpoint"] == "192.0.2.1:51820"
    assert "floatingEndpoint" not in build().outputs
    (definition,) = [one.inputs["item"] for one in made.of("TableItem") if "floating_address" in one.inputs["item"]]
    assert r"\"floating_address\":\"192.0.2.1\"" in definition
    data = base64.b64decode(made.one("LaunchTemplate", "-b-template").inputs["userData"])
    text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode()
    assert '"allocation": "eipalloc-twinlock-test-floating"' in text
    assert "ip daddr != 10.20.16.11 accept" in text


def test_the_policy_pack_finds_nothing_but_what_this_mode_needs(made):
    stack = resources(made)
    assert findings(stack) == set()
    (mine,) = [one for one in EXCEPTIONS if "twinlock:aws:FloatingIp" in one.components]
    assert any(one.name == "twinlock-test-floating" for rule, one in broken(stack) if rule in mine.rules)


@pytest.mark.parametrize(
    ("endpoints", "says"),
    [
        (["floating-ip"], "lacks ways"),
        (["ways", "ways"], "names a mode twice"),
        (["ways", "carrier-pigeon"], r"gateway.endpoints\[1\].*write \[ways\], or \[ways, floating-ip\]"),
    ],
)
def test_modes_that_can_not_be_are_told_with_their_mend(endpoints, says):
    with pytest.raises(SettingsError, match=says):
        parse(changed(gateway={"endpoints": endpoints}))


def test_where_interface_or_region_has_no_room_for_it_is_told_before_anything_is_made():
    small = changed(gateway={"endpoints": ["ways", "floating-ip"], "instance_type": "t4g.nano"})
    with pytest.raises(SettingsError, match="holds 0 blocks of 16 source addresses on its interface beside the float"):
        parse(small)
    held = ("1.1.1.1", "1.1.1.2", "1.1.1.3")
    assert build(room=Room(held=held)).of("Eip")
    with pytest.raises(SettingsError, match="needs 3 more elastic IPs"):
        build(FLOATING, room=Room(held=held))
