"""The lab's provider against moto in this process, called as the engine calls it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from moto import mock_aws

from lab.provider import introspect
from lab.provider.answers import UnfinishedError
from lab.provider.errors import ApiError, NotSupportedError, ProviderError
from lab.provider.shape import FILE, Property, shapes
from lab.provider.tables import all_functions, all_resources
from lab.provider.values import UNKNOWN
from tests.unit.provider_engine import Engine, RefusedError
from tests.unit.provider_samples import ADMITS, POLICY, TAGS, World, changed, group, network, table, template


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        yield Engine()


@pytest.fixture
def world(engine: Engine) -> World:
    return World(engine)


def test_the_shapes_are_those_of_the_installed_sdk():
    assert introspect.file_text() == FILE.read_text(), "run python -m lab.provider.introspect"


def _exists(path: str, properties: tuple[Property, ...]) -> bool:
    name, _, rest = path.partition(".")
    found = next((each for each in properties if each.name == name), None)
    inner = (found.type.item or found.type).properties if found else ()
    return found is not None and (not rest or _exists(rest, inner))


@pytest.mark.parametrize("token", all_resources())
def test_every_property_of_the_tables_is_one_of_the_sdk(token: str):
    kind, shape = all_resources()[token], shapes()[token]
    named = kind.known | kind.defaults.keys() | set(kind.forces_new_when) | ({kind.named} if kind.named else set())
    assert [path for path in named if not _exists(path, shape.inputs)] == []
    assert kind.restated | kind.secret <= set(shape.outputs)
    assert {each.name for each in shape.inputs if each.required} <= {path.partition(".")[0] for path in kind.known}


@pytest.mark.parametrize("token", all_functions())
def test_every_argument_of_a_function_is_one_of_the_sdk(token: str):
    assert all_functions()[token].known <= {each.name for each in shapes()[token].inputs}


def test_everything_that_was_made_is_unchanged_afterwards(world: World):
    for made in world.every():
        again = world.engine.diff(made, made.inputs)
        assert (made.token, list(again.diffs)) == (made.token, [])


def test_a_refresh_finds_no_drift_where_nothing_drifted(world: World):
    for made in world.every():
        now = world.engine.refresh(made)
        assert now is not None
        assert (made.token, now.inputs) == (made.token, made.inputs)


def test_outputs_are_those_of_the_sdk_and_nothing_computed_is_unknown(world: World):
    for made in world.every():
        assert (made.token, made.outputs.keys() - set(shapes()[made.token].outputs)) == (made.token, set())
        assert UNKNOWN not in made.outputs.values()


def test_a_resource_can_be_adopted_by_its_id(world: World):
    for short in ("vpc", "subnet", "firewall", "interface", "address", "key", "secret", "table", "bucket", "role"):
        made = world.made[short]
        adopted = world.engine.get(made.token, made.id)
        assert adopted is not None
        kept = {name: value for name, value in adopted.inputs.items() if name in made.inputs}
        told = {name: made.inputs[name] for name in kept}
        assert (short, kept.get("tags")) == (short, told.get("tags"))


def test_everything_can_be_removed_in_reverse_and_is_gone(world: World):
    for made in reversed(world.every()):
        world.engine.delete(made)
    for short in ("vpc", "interface", "address", "table", "bucket", "role", "template", "group", "key", "secret"):
        assert world.engine.refresh(world.made[short]) is None


def test_removing_what_is_gone_already_is_no_error(world: World):
    for short in ("group", "template", "address_association", "object", "parameter", "item"):
        world.engine.delete(world.made[short])
        world.engine.delete(world.made[short])


REPLACED = [
    ("vpc", {"cidrBlock": "10.1.0.0/16"}, ["cidrBlock"]),
    ("subnet", {"availabilityZone": "eu-west-1b"}, ["availabilityZone"]),
    ("firewall", {"description": "other"}, ["description"]),
    ("route", {"destinationCidrBlock": "10.9.0.0/16"}, ["destinationCidrBlock"]),
    ("interface", {"privateIps": ["10.0.0.11"]}, ["privateIps"]),
    ("template", {"name": "another"}, ["name"]),
    ("group", {"name": "another"}, ["name"]),
    ("role", {"name": "another"}, ["name"]),
    ("role_policy", {"role": "another"}, ["role"]),
    ("managed_policy", {"description": "other"}, ["description"]),
    ("table", {"rangeKey": "other", "attributes": [{"name": "pk", "type": "S"}, {"name": "other", "type": "S"}]}, None),
    ("bucket", {"bucket": "twinlock-test-2"}, ["bucket"]),
    ("object", {"key": "agent/other.pyz"}, ["key"]),
    ("secret", {"name": "twinlock/test/other"}, ["name"]),
    ("parameter", {"name": "/twinlock/other"}, ["name"]),
    ("address_association", {"networkInterfaceId": "eni-0"}, ["networkInterfaceId"]),
]


@pytest.mark.parametrize(("short", "change", "replaced"), REPLACED, ids=[case[0] for case in REPLACED])
def test_what_the_cloud_fixes_at_creation_takes_a_replacement(world: World, short, change, replaced):
    answer = world.engine.diff(world.made[short], changed(world.made[short], change))
    assert list(answer.replaces) == (replaced or ["rangeKey"])


IN_PLACE = [
    ("vpc", {"enableDnsHostnames": False}),
    ("subnet", {"mapPublicIpOnLaunch": True}),
    ("endpoint", {"routeTableIds": []}),
    ("in", {"fromPort": 51821, "toPort": 51821}),
    ("interface", {"privateIps": ["10.0.0.10", "10.0.0.20"]}),
    ("interface", {"sourceDestCheck": True}),
    ("key", {"enableKeyRotation": False}),
    ("key", {"description": "other"}),
    ("secret", {"description": "other"}),
    ("table", {"deletionProtectionEnabled": True}),
    ("table", {"pointInTimeRecovery": {"enabled": False}}),
    ("versioning", {"versioningConfiguration": {"status": "Suspended"}}),
    ("block", {"blockPublicAcls": False}),
    ("role", {"description": "other"}),
    ("managed_policy", {"policy": POLICY.replace("GetItem", "Query")}),
    ("parameter", {"value": "other"}),
    ("group", {"healthCheckGracePeriod": 90}),
]


@pytest.mark.parametrize(("short", "change"), IN_PLACE, ids=[f"{case[0]}-{next(iter(case[1]))}" for case in IN_PLACE])
def test_what_the_cloud_can_change_is_changed_in_place(world: World, short, change):
    made = world.made[short]
    wanted = changed(made, change)
    assert list(world.engine.diff(made, wanted).replaces) == []
    after = world.engine.refresh(world.engine.update(made, wanted))
    assert after is not None
    assert {name: after.inputs[name] for name in change} == change


def test_ipv6_comes_to_a_network_that_stands_and_goes_from_it_again(world: World):
    engine, kinds = world.engine, ("vpc", "subnet", "interface")
    plain = {short: world.made[short] for short in kinds}
    vpc = engine.update(plain["vpc"], changed(plain["vpc"], {"assignGeneratedIpv6CidrBlock": True}))
    found = engine.refresh(vpc)
    assert found is not None
    block = found.outputs["ipv6CidrBlock"]
    assert block.endswith("00::/56")
    six = block.replace("::/56", "::/64")
    subnet = engine.update(plain["subnet"], changed(plain["subnet"], {"ipv6CidrBlock": six}))
    address = six.replace("/64", "a")
    interface = engine.update(plain["interface"], changed(plain["interface"], {"ipv6Addresses": [address]}))
    for made, name, value in ((subnet, "ipv6CidrBlock", six), (interface, "ipv6Addresses", [address])):
        now = engine.refresh(made)
        assert now is not None and (now.outputs[name], now.inputs[name]) == (value, value)
    gone = {"interface": interface, "subnet": subnet, "vpc": found}
    for short, name, nothing in (
        ("interface", "ipv6Addresses", []),
        ("subnet", "ipv6CidrBlock", ""),
        ("vpc", "ipv6CidrBlock", ""),
    ):
        now = engine.refresh(engine.update(gone[short], plain[short].inputs))
        assert now is not None and now.outputs[name] == nothing


@pytest.mark.parametrize(
    "short", ["vpc", "firewall", "key", "table", "bucket", "role", "profile", "managed_policy", "secret", "parameter"]
)
def test_tags_are_changed_and_removed_in_place(world: World, short: str):
    made = world.made[short]
    other = world.engine.update(made, {**made.inputs, "tags": {"another": "tag"}})
    assert other.outputs["tagsAll"] == {"another": "tag"}
    now = world.engine.refresh(other)
    assert now is not None
    assert now.inputs["tags"] == {"another": "tag"}


def test_a_drift_shows_up_as_a_difference(world: World):
    made = world.made["vpc"]
    world.engine.update(made, {**made.inputs, "enableDnsHostnames": False})
    drifted = world.engine.refresh(made)
    assert drifted is not None
    assert list(world.engine.diff(drifted, made.inputs).diffs) == ["enableDnsHostnames"]


def test_what_the_program_ignores_is_no_difference(world: World):
    made = world.made["vpc"]
    wanted = {**made.inputs, "enableDnsHostnames": False, "tags": {"another": "tag"}}
    assert list(world.engine.diff(made, wanted, ignored=("tags",)).diffs) == ["enableDnsHostnames"]
    assert list(world.engine.diff(made, wanted, ignored=("tags", "enableDnsHostnames")).diffs) == []


@pytest.mark.parametrize("ipv6", [False, True])
def test_a_new_security_group_lets_nothing_out(world: World, ipv6: bool):
    vpc = world.made["vpc"]
    world.engine.update(vpc, changed(vpc, {"assignGeneratedIpv6CidrBlock": ipv6}))
    assert world.made["firewall"].outputs["egress"] == []


def test_a_change_of_user_data_makes_a_version_and_nothing_else(world: World):
    made = world.made["template"]
    wanted = {**made.inputs, "userData": "Y2hhbmdlZA=="}
    assert world.engine.update(made, wanted, preview=True).outputs["latestVersion"] is UNKNOWN
    after = world.engine.update(made, wanted)
    assert (after.outputs["latestVersion"], after.outputs["defaultVersion"]) == (2, 1)


def test_a_managed_policy_is_changed_more_often_than_it_may_have_versions(world: World):
    made = world.made["managed_policy"]
    for number in range(7):
        made = world.engine.update(made, {**made.inputs, "policy": POLICY.replace("GetItem", f"GetItem{number}")})
    after = world.engine.refresh(made)
    assert after is not None and "GetItem6" in str(after.inputs["policy"])


def test_a_change_of_a_templates_tags_makes_no_version(world: World):
    made = world.made["template"]
    wanted = {**made.inputs, "tags": {}}
    assert world.engine.update(made, wanted, preview=True).outputs["latestVersion"] == 1
    assert world.engine.update(made, wanted).outputs["latestVersion"] == 1


def test_an_asset_with_the_same_content_at_another_path_is_no_change(world: World):
    from lab.provider.values import Asset

    made = world.made["object"]
    assert list(world.engine.diff(made, {**made.inputs, "source": Asset(hash="ab", path="/elsewhere")}).diffs) == []
    assert list(world.engine.diff(made, {**made.inputs, "source": Asset(hash="cd", text="new")}).diffs) == ["source"]


def test_a_policy_that_is_only_written_differently_is_no_change(world: World):
    made = world.made["policy"]
    spaced = json.dumps(json.loads(str(made.inputs["policy"])), indent=4)
    assert list(world.engine.diff(made, {**made.inputs, "policy": spaced}).diffs) == []


def test_a_preview_knows_the_inputs_and_leaves_the_rest_unknown(engine: Engine):
    seen = engine.preview("aws:ec2/vpc:Vpc", network())
    assert (seen["cidrBlock"], seen["tagsAll"]) == ("10.0.0.0/16", TAGS)
    assert seen["arn"] is UNKNOWN
    assert seen["defaultRouteTableId"] is UNKNOWN


def test_a_preview_takes_inputs_that_are_not_known_yet(engine: Engine):
    subnet = {"vpcId": UNKNOWN, "cidrBlock": UNKNOWN, "availabilityZone": "eu-west-1a"}
    assert engine.preview("aws:ec2/subnet:Subnet", subnet)["vpcId"] is UNKNOWN
    assert engine.problems("aws:ec2/launchTemplate:LaunchTemplate", template("eni-1", userData=UNKNOWN)) == {}


def test_a_value_that_is_not_known_yet_counts_as_changed(world: World):
    answer = world.engine.diff(world.made["subnet"], {**world.made["subnet"].inputs, "vpcId": UNKNOWN})
    assert list(answer.replaces) == ["vpcId"]
    assert "vpcId" in answer.detailedDiff


def test_a_secret_stays_one_from_input_to_output(engine: Engine):
    made = engine.create("aws:dynamodb/table:Table", table(tags={"who": "a secret"}), secret=("tags",))
    assert made.secret == {"tags"}


def test_a_parameters_value_is_a_secret_even_if_it_came_as_none(world: World):
    assert "value" in world.made["parameter"].secret


def test_a_name_that_was_not_given_is_made_and_kept(engine: Engine):
    inputs = {"assumeRolePolicy": ADMITS}
    made = engine.create("aws:iam/role:Role", inputs, name="gateway")
    assert str(made.inputs["name"]).startswith("gateway-")
    assert list(engine.diff(made, inputs).diffs) == []


@pytest.mark.parametrize(
    ("change", "path", "words"),
    [
        ({"cidr": "10.0.0.0/16"}, "cidr", "no such property"),
        ({"ipv6CidrBlock": "::/56"}, "ipv6CidrBlock", "does not carry out"),
        ({"enableDnsSupport": "yes"}, "enableDnsSupport", "of type boolean"),
        ({"tags": {"a": 1}}, "tags.a", "of type string"),
    ],
)
def test_a_property_that_the_sdk_or_the_lab_does_not_know_is_refused_by_its_path(engine: Engine, change, path, words):
    assert words in engine.problems("aws:ec2/vpc:Vpc", {**network(), **change})[path]


def test_a_property_that_is_missing_is_named_however_deep_it_lies(engine: Engine):
    assert engine.problems("aws:iam/role:Role", {"name": "r"}).keys() == {"assumeRolePolicy"}
    assert engine.problems("aws:dynamodb/table:Table", table(attributes=[{"name": "pk"}])).keys() == {
        "attributes[0].type"
    }


def test_an_unknown_type_or_function_is_refused_with_what_there_is(engine: Engine):
    with pytest.raises(NotSupportedError, match="aws:ec2/vpc:Vpc"):
        engine.check("aws:ec2/instance:Instance", {})
    with pytest.raises(NotSupportedError, match="getCallerIdentity"):
        engine.invoke("aws:ec2/getAmi:getAmi", {})


def test_what_the_cloud_refuses_keeps_the_clouds_own_words(engine: Engine):
    with pytest.raises(ApiError, match=r"^InvalidVpcID\.NotFound: .*create_subnet") as refused:
        engine.create("aws:ec2/subnet:Subnet", {"vpcId": "vpc-0", "cidrBlock": "10.0.0.0/24"})
    assert refused.value.not_found


def test_what_fails_after_the_creation_is_kept_in_the_state(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lab.provider.autoscaling._in_service", lambda *_: 0)
    with pytest.raises(UnfinishedError, match="not 1 in service") as failed:
        world.engine.create(
            "aws:autoscaling/group:Group", group(world.made["template"].id, waitForCapacityTimeout="1s")
        )
    assert failed.value.detail.id == "twinlock-test-gateway-a"


EXISTING = [
    ({"maxSize": 2}, "maxSize must be 1"),
    ({"availabilityZones": ["eu-west-1b"]}, "availabilityZones must be"),
    ({"instanceMaintenancePolicy": {"minHealthyPercentage": 100, "maxHealthyPercentage": 200}}, "must be 0 and 100"),
    ({"launchTemplate": None}, "exact number"),
]


@pytest.mark.parametrize(("change", "words"), EXISTING, ids=[words for _, words in EXISTING])
def test_a_group_launches_into_an_existing_interface_in_one_form_only(world: World, change, words):
    launched = world.made["template"].id
    if "launchTemplate" in change:
        change = {"launchTemplate": {"id": launched, "version": "$Latest"}}
    with pytest.raises(ProviderError, match=words):
        world.engine.create("aws:autoscaling/group:Group", group(launched, **change))


def test_functions_answer_what_the_cloud_says(world: World):
    who = world.engine.invoke("aws:index/getCallerIdentity:getCallerIdentity", {})
    assert who["accountId"] == "123456789012"
    parameter = world.engine.invoke("aws:ssm/getParameter:getParameter", {"name": world.made["parameter"].id})
    assert parameter["value"] == "{}"
    with pytest.raises(RefusedError, match="there is no such property"):
        world.engine.invoke("aws:ssm/getParameter:getParameter", {"nam": "x"})


def test_a_random_id_says_the_same_bytes_in_each_form_and_keeps_them():
    engine = Engine("random")
    made = engine.create("random:index/randomId:RandomId", {"byteLength": 4})
    assert len(str(made.outputs["hex"])) == 8
    assert int(str(made.outputs["hex"]), 16) == int(str(made.outputs["dec"]))
    now = engine.refresh(made)
    assert now is not None
    assert now.outputs == made.outputs
    assert list(engine.diff(made, {"byteLength": 5}).replaces) == ["byteLength"]
