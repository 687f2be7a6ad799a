"""What a deployment asks of AWS, and what it must never ask."""

from __future__ import annotations

import base64
import gzip
import inspect
import json
import re
from fnmatch import fnmatchcase

import pytest
from pulumi_aws.ec2.vpc import VpcArgs

from components.aws.adopted import OWNERS
from tests.unit.program_build import ACCOUNT, CROSSING, PUBLIC, RED, VPC, Made, Recording, build, changed, document
from twinlock.registry import keys
from twinlock.registry.definition import Definition, definition_from_json

# A WireGuard or PEM private key, wherever it may hide.
PRIVATE = re.compile(r"PRIVATE KEY|PrivateKey\s*=|PresharedKey\s*=\s*[A-Za-z0-9+/]{42}")


@pytest.fixture(scope="module")
def made() -> Recording:
    return build()


def statements(made: Made, key: str = "policy") -> dict[str, dict]:
    return {statement["Sid"]: statement for statement in document(made, key)["Statement"]}


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def user_data(made: Recording, slot: str) -> str:
    packed = base64.b64decode(made.one("LaunchTemplate", f"gateway-{slot}-template").inputs["userData"])
    return gzip.decompress(packed).decode()


def test_everything_that_takes_tags_says_whose_it_is_and_what_part(made: Recording):
    untagged = {
        "Alias", "BucketPolicy", "BucketPublicAccessBlock", "BucketServerSideEncryptionConfiguration",
        "BucketVersioning", "EipAssociation", "RandomId", "Route", "RouteTableAssociation", "RolePolicy", "TableItem",
    }  # fmt: skip
    for resource in made.made:
        if not resource.custom or resource.type.rsplit(":", 1)[-1] in untagged:
            continue
        tags = resource.inputs["tags"]
        if isinstance(tags, list):
            tags = {tag["key"]: tag["value"] for tag in tags}
        assert tags["twinlock:environment"] == "test", resource.name
        assert tags["twinlock:component"], resource.name


def test_every_name_shows_the_stack(made: Recording):
    assert all(resource.name.startswith("twinlock-test") for resource in made.made if resource.custom)


def test_no_private_key_stands_in_any_input(made: Recording):
    for resource in made.made:
        assert not PRIVATE.search(json.dumps(resource.inputs, default=str)), resource.name
    for slot in ("a", "b"):
        assert not PRIVATE.search(user_data(made, slot))


def test_no_secret_gets_a_value_from_the_program(made: Recording):
    assert not made.of("SecretVersion")
    assert {secret.inputs["name"] for secret in made.of("Secret")} == {
        "twinlock/test/service",
        "twinlock/test/way-a",
        "twinlock/test/way-b",
    }
    assert all(secret.inputs["kmsKeyId"].endswith("twinlock-test-key") for secret in made.of("Secret"))


def test_there_is_no_user_no_access_key_and_no_ssh(made: Recording):
    kinds = {resource.type.rsplit(":", 1)[-1] for resource in made.made}
    assert not kinds & {"User", "AccessKey", "KeyPair", "Instance", "NatGateway", "LaunchConfiguration"}
    assert not any("keyName" in template.inputs for template in made.of("LaunchTemplate"))
    for rule in made.of("SecurityGroupIngressRule"):
        assert not rule.inputs["fromPort"] <= 22 <= rule.inputs["toPort"]


def test_only_the_tunnels_port_is_open_and_only_to_the_clients(made: Recording):
    incoming = [rule.inputs for rule in made.of("SecurityGroupIngressRule")]
    assert all(rule["ipProtocol"] == "udp" for rule in incoming)
    tunnel = {rule["cidrIpv4"] for rule in incoming if rule["fromPort"] == rule["toPort"] == 51820}
    assert tunnel == {"198.51.100.0/24", "203.0.113.0/24"}
    (pair,) = [rule for rule in incoming if rule["fromPort"] != 51820]
    assert pair["referencedSecurityGroupId"] == pair["securityGroupId"]
    assert (pair["fromPort"], pair["toPort"]) == (51823, 51823)


def test_nothing_leaves_to_everywhere_but_https_and_the_mirror(made: Recording):
    everywhere = [r.inputs for r in made.of("SecurityGroupEgressRule") if r.inputs.get("cidrIpv4") == "0.0.0.0/0"]
    assert sorted((rule["ipProtocol"], rule["fromPort"], rule["toPort"]) for rule in everywhere) == [
        ("tcp", 80, 80),
        ("tcp", 443, 443),
    ]
    baked = build(changed(gateway={"stock_image": False}))
    ports = {rule.inputs["fromPort"] for rule in baked.of("SecurityGroupEgressRule")}
    assert 80 not in ports


def test_security_groups_hold_no_rules_of_their_own_beside_those(made: Recording):
    (group,) = made.of("SecurityGroup")
    assert not {"ingress", "egress"} & set(group.inputs)


def test_a_machine_gives_its_credentials_to_nobody_behind_it(made: Recording):
    for template in made.of("LaunchTemplate"):
        options = template.inputs["metadataOptions"]
        assert (options["httpTokens"], options["httpPutResponseHopLimit"]) == ("required", 1)


def test_disks_are_encrypted_and_go_with_the_machine(made: Recording):
    for template in made.of("LaunchTemplate"):
        (disk,) = template.inputs["blockDeviceMappings"]
        assert disk["ebs"] == {
            "encrypted": "true", "volumeType": "gp3", "volumeSize": 8, "deleteOnTermination": "true",
        }  # fmt: skip


def test_a_group_has_the_one_form_that_aws_takes_with_an_existing_interface(made: Recording):
    for slot, zone in (("a", "eu-west-1a"), ("b", "eu-west-1b")):
        template = made.one("LaunchTemplate", f"gateway-{slot}-template").inputs
        interface = made.one("NetworkInterface", f"gateway-{slot}-interface")
        assert template["networkInterfaces"] == [
            {"deviceIndex": 0, "networkInterfaceId": f"{interface.name}-id", "deleteOnTermination": "false"}
        ]
        assert "vpcSecurityGroupIds" not in template
        group = made.one("Group", f"gateway-{slot}-group").inputs
        assert group["availabilityZones"] == [zone] and "vpcZoneIdentifiers" not in group
        assert (group["minSize"], group["maxSize"], group["desiredCapacity"]) == (1, 1, 1)
        assert group["instanceMaintenancePolicy"] == {"minHealthyPercentage": 0, "maxHealthyPercentage": 100}
        assert group["launchTemplate"]["version"] == "1"
        assert "instanceRefresh" not in group


@pytest.mark.parametrize("endpoints", [False, True])
def test_no_machine_boots_before_its_ways_to_the_cloud_stand(endpoints: bool):
    """A first boot that comes too early waits in back-off for what was there a second later."""
    made = build(changed(network={"interface_endpoints": endpoints}))
    kinds = (
        "Route", "RouteTableAssociation", "VpcEndpoint", "EipAssociation", "RolePolicy", "TableItem", "BucketObjectv2",
        "SecurityGroupIngressRule", "SecurityGroupEgressRule",
    )  # fmt: skip
    for slot in ("a", "b"):
        other = f"gateway-{'b' if slot == 'a' else 'a'}"
        made_of = [(kind, each.name) for kind in kinds for each in made.of(kind)]
        stands = {(kind, name) for kind, name in made_of if other not in name and "-launch-" not in name}
        assert made.waits[f"twinlock-test-gateway-{slot}-group"] == stands
    assert len(made.of("VpcEndpoint")) == (6 if endpoints else 2)


def test_a_gateway_hears_what_its_group_launches_after_the_group_knows_it_and_all_of_it_counts(made: Recording):
    def told(made: Recording, slot: str = "a") -> dict[str, str]:
        return {
            name: value["S"]
            for name, value in json.loads(made.one("TableItem", f"launch-{slot}").inputs["item"]).items()
        }

    def booted(made: Recording) -> str:
        document = base64.b64decode(made.one("LaunchTemplate", "gateway-a-template").inputs["userData"])
        text = gzip.decompress(document).decode() if document[:2] == b"\x1f\x8b" else document.decode()
        found = re.search(r'"template": "([0-9a-f]*)"', text)
        assert found is not None
        return found[1]

    assert made.waits["twinlock-test-launch-a"] == {("Group", "twinlock-test-gateway-a-group")}
    assert told(made) == {"pk": "launch", "sk": "a", "rolling": "automatic", "template": booted(made)}
    assert told(made, "b")["template"] != told(made)["template"]
    changes = (
        {"instance_type": "t4g.medium"},
        {"image": "ami-0123456789abcdef1"},
        {"disk_gib": 9},
        {"stock_image": False},
    )
    others = [told(build(changed(gateway=change)))["template"] for change in changes]
    assert len({told(made)["template"], *others}) == 1 + len(changes)
    by_hand = told(build(changed(gateway={"rolling": "manual"})))
    assert by_hand == {**told(made), "rolling": "manual"}, "the setting replaces nobody"


def test_a_slots_interface_keeps_its_address_and_lets_packets_of_others_through(made: Recording):
    interface = made.one("NetworkInterface", "gateway-b-interface").inputs
    assert interface["privateIps"] == ["10.20.16.10"]
    assert interface["sourceDestCheck"] is False
    assert len(made.of("EipAssociation")) == 2


def test_buckets_are_private_versioned_and_encrypted_with_the_environments_key(made: Recording):
    for bucket in ("data", "logs", "agent"):
        block = made.one("BucketPublicAccessBlock", f"{bucket}-private").inputs
        closed = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
        assert all(block[name] is True for name in closed)
    for bucket in ("data", "logs"):
        versioning = made.one("BucketVersioning", f"{bucket}-versioning").inputs
        assert versioning["versioningConfiguration"]["status"] == "Enabled"
        (rule,) = made.one("BucketServerSideEncryptionConfiguration", f"{bucket}-encryption").inputs["rules"]
        default = rule["applyServerSideEncryptionByDefault"]
        assert default["sseAlgorithm"] == "aws:kms"
        assert default["kmsMasterKeyId"].endswith("twinlock-test-key")


def test_the_environments_key_rotates(made: Recording):
    (key,) = made.of("Key")
    assert key.inputs["enableKeyRotation"] is True


def test_tenants_use_the_key_through_storage_alone(made: Recording):
    (key,) = made.of("Key")
    tenants = statements(key)["TenantsThroughStorage"]
    assert tenants["Principal"] == {"AWS": [RED]}
    assert tenants["Condition"] == {"StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}}


def test_buckets_refuse_data_and_listings_away_from_the_endpoint_but_not_their_management(made: Recording):
    policy = statements(made.one("BucketPolicy", "data-policy"))
    refusal = policy["ThroughEndpointOnly"]
    assert refusal["Effect"] == "Deny" and refusal["Principal"] == "*"
    assert refusal["Condition"] == {
        "StringNotEquals": {"aws:SourceVpce": ["twinlock-test-s3-id"]},
        "BoolIfExists": {"aws:PrincipalIsAWSService": "false"},
        "ArnNotLike": {"aws:PrincipalArn": [f"arn:aws:iam::{ACCOUNT}:role/deployer"]},
    }

    def refused(action: str) -> bool:
        return any(fnmatchcase(action, pattern) for pattern in refusal["Action"])

    data = ["GetObject", "GetObjectVersion", "PutObject", "PutObjectAcl", "DeleteObject", "DeleteObjectVersion",
            "AbortMultipartUpload", "ListBucket", "ListBucketVersions"]  # fmt: skip
    managing = ["PutBucketPolicy", "GetBucketPolicy", "DeleteBucketPolicy", "PutEncryptionConfiguration",
                "GetBucketVersioning", "PutBucketPublicAccessBlock", "DeleteBucket", "GetBucketTagging"]  # fmt: skip
    assert all(refused(f"s3:{action}") for action in data)
    assert not any(refused(f"s3:{action}") for action in managing)


def test_without_break_glass_principals_the_refusal_spares_only_the_clouds_services():
    made = build(changed(storage={"break_glass": []}))
    refusal = statements(made.one("BucketPolicy", "data-policy"))["ThroughEndpointOnly"]
    assert set(refusal["Condition"]) == {"StringNotEquals", "BoolIfExists"}


def test_every_bucket_refuses_whatever_is_not_tls(made: Recording):
    policies = made.of("BucketPolicy")
    assert len(policies) == 3
    for policy in policies:
        tls = statements(policy)["TlsOnly"]
        assert (tls["Effect"], tls["Action"]) == ("Deny", ["s3:*"])
        assert tls["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_a_bucket_admits_its_own_tenants_principals_and_no_other(made: Recording):
    data, logs = (statements(made.one("BucketPolicy", f"{name}-policy")) for name in ("data", "logs"))
    assert data["TenantsObjects"]["Principal"] == {"AWS": [RED]}
    assert not any(statement["Effect"] == "Allow" for statement in logs.values())
    for statement in data.values():
        assert statement["Effect"] == "Deny" or statement["Principal"] != "*"


def test_the_storage_endpoint_lets_only_the_environments_buckets_through(made: Recording):
    policy = statements(made.one("VpcEndpoint", "test-s3"))
    buckets = [resource for statement in policy.values() for resource in listed(statement["Resource"])]
    assert buckets and all(resource.startswith("arn:aws:s3:::twinlock-test-") for resource in buckets)
    assert policy["Agent"]["Action"] == ["s3:GetObject"]
    open_one = build(changed(storage={"other_buckets": "allow"}))
    assert statements(open_one.one("VpcEndpoint", "test-s3"))["OtherBuckets"]["Resource"] == ["*"]


def test_the_registrys_endpoint_lets_only_its_table_through(made: Recording):
    (statement,) = statements(made.one("VpcEndpoint", "test-dynamodb")).values()
    assert statement["Resource"] == [f"arn:aws:dynamodb:eu-west-1:{ACCOUNT}:table/twinlock-test"]
    assert not any("Scan" in action or "*" in action for action in statement["Action"])


def test_the_table_can_be_restored_and_is_not_deleted_by_mistake(made: Recording):
    (table,) = made.of("Table")
    assert table.inputs["pointInTimeRecovery"] == {"enabled": True}
    assert table.inputs["deletionProtectionEnabled"] is True
    assert table.inputs["ttl"] == {"attributeName": "ttl", "enabled": True}
    assert (table.inputs["hashKey"], table.inputs["rangeKey"]) == ("pk", "sk")


def written(made: Recording) -> Definition:
    """What the registry says of the environment."""
    item = made.one("TableItem", "definition")
    attributes = json.loads(item.inputs["item"])
    assert (attributes["pk"], attributes["sk"]) == ({"S": "environment"}, {"S": "definition"})
    return definition_from_json(attributes[keys.DEFINITION_JSON]["S"])


def test_the_definition_in_the_registry_reads_back_as_the_environment(made: Recording):
    definition = written(made)
    assert definition.gateway_address == "10.90.0.1"
    assert definition.buckets == ("data", "logs")
    assert [(slot.name, slot.public_address, slot.private_address) for slot in definition.slots] == [
        ("a", "192.0.2.1", "10.20.0.10"),
        ("b", "192.0.2.2", "10.20.16.10"),
    ]
    assert [tenant.name for tenant in definition.tenants] == ["blue", "red"]


def test_the_discovery_record_names_the_table_and_nothing_secret(made: Recording):
    (record,) = made.of("Parameter")
    assert record.inputs["name"] == "/twinlock/test/discovery"
    assert json.loads(record.inputs["value"]) == {
        "version": 1, "environment": "test", "region": "eu-west-1", "table": "twinlock-test",
    }  # fmt: skip


def test_the_agent_lies_under_its_own_digest_and_user_data_carries_that_digest(made: Recording):
    (agent,) = made.of("BucketObjectv2")
    digest = re.fullmatch(r"agent/([0-9a-f]{64})/twinlock-agent\.pyz", agent.inputs["key"])
    assert digest
    assert digest[1] in user_data(made, "a")
    assert "twinlock-test-agent-" in agent.inputs["bucket"]


def test_the_two_gateways_know_each_other(made: Recording):
    assert "10.20.16.10" in user_data(made, "a") and "10.20.0.10" in user_data(made, "b")


def test_gateways_boot_only_when_all_they_need_stands(made: Recording):
    order = [resource.name for resource in made.made]
    for slot in ("a", "b"):
        group = order.index(f"twinlock-test-gateway-{slot}-group")
        for needed in ("definition", "agent-object", "internet-route", f"gateway-{slot}-policy", "s3", "dynamodb",
                       f"gateway-{slot}-association", "api-out"):  # fmt: skip
            assert order.index(f"twinlock-test-{needed}") < group


def test_outputs_say_where_everything_is(made: Recording):
    assert made.outputs == {
        "endpoints": ["192.0.2.1:51820", "192.0.2.2:51820"],
        "gateways": {"a": "192.0.2.1", "b": "192.0.2.2"},
        "table": "twinlock-test",
        "buckets": ["twinlock-test-data-0a1b2c3d", "twinlock-test-logs-0a1b2c3d"],
        "agentBucket": "twinlock-test-agent-0a1b2c3d",
        "discovery": "/twinlock/test/discovery",
        "policies": {
            kind: f"arn:aws:any:eu-west-1:{ACCOUNT}:twinlock-test-{kind}" for kind in ("reader", "enroller", "approver")
        },
    }


def test_what_people_may_do_is_published_under_names_that_stay(made: Recording):
    table, record = (
        f"arn:aws:dynamodb:eu-west-1:{ACCOUNT}:table/twinlock-test",
        (f"arn:aws:ssm:eu-west-1:{ACCOUNT}:parameter/twinlock/test/discovery"),
    )
    assert {each.inputs["name"] for each in made.of("Policy")} == {
        "twinlock-test-reader", "twinlock-test-enroller", "twinlock-test-approver",
    }  # fmt: skip
    for each in made.of("Policy"):
        assert {statement["Resource"][0] for statement in document(each)["Statement"]} == {table, record}


def test_who_enrols_for_a_tenant_without_approval_lets_in_there_and_nowhere_else(made: Recording):
    assert "LetPeersIn" not in statements(made.one("Policy", "enroller"))
    one = build(changed(tenants={"jobs": {"range": "10.90.64.0/20", "approval": "auto"}}))
    lets_in = statements(one.one("Policy", "enroller"))["LetPeersIn"]
    assert lets_in["Condition"]["StringEquals"] == {"aws:PrincipalTag/twinlock-tenant": ["jobs"]}


def test_more_tenants_are_not_more_resources(made: Recording):
    tenants = {f"t{number}": {"range": f"10.90.{64 + number}.0/24"} for number in range(20)}
    assert len(build(changed(tenants=tenants)).made) == len(made.made)


def test_a_development_environment_can_be_deleted_whole():
    made = build(changed(storage={"protect": False}, registry={"protect": False}))
    (table,) = made.of("Table")
    assert table.inputs["deletionProtectionEnabled"] is False
    assert all(secret.inputs["recoveryWindowInDays"] == 0 for secret in made.of("Secret"))
    assert made.one("Bucket", "test-data").inputs["forceDestroy"] is True


def test_the_users_buckets_are_never_emptied_outside_of_development(made: Recording):
    assert made.one("Bucket", "test-data").inputs["forceDestroy"] is False


def test_with_interface_endpoints_no_api_is_reached_over_the_internet():
    made = build(changed(network={"interface_endpoints": True}, gateway={"stock_image": False}))
    outgoing = [rule.inputs for rule in made.of("SecurityGroupEgressRule")]
    assert not any(rule.get("cidrIpv4") == "0.0.0.0/0" for rule in outgoing)
    https = [rule for rule in outgoing if rule["fromPort"] == 443]
    assert {rule["prefixListId"] for rule in https if "prefixListId" in rule} == {
        made.one("SecurityGroupEgressRule", f"test-{name}-out").inputs["prefixListId"]
        for name in ("storage", "registry")
    }
    assert [rule["referencedSecurityGroupId"] for rule in https if "prefixListId" not in rule] == [
        "twinlock-test-endpoints-id"
    ]
    interfaces = [each for each in made.of("VpcEndpoint") if each.inputs["vpcEndpointType"] == "Interface"]
    assert {each.inputs["serviceName"].rsplit(".", 1)[-1] for each in interfaces} == {
        "autoscaling", "ec2", "s3", "secretsmanager",
    }  # fmt: skip
    assert all(each.inputs["privateDnsEnabled"] is True for each in interfaces)
    storage = made.one("VpcEndpoint", "private-s3")
    assert storage.inputs["dnsOptions"] == {"privateDnsOnlyForInboundResolverEndpoint": False}
    assert statements(storage) == statements(made.one("VpcEndpoint", "test-s3"))
    refusal = statements(made.one("BucketPolicy", "data-policy"))["ThroughEndpointOnly"]
    assert refusal["Condition"]["StringNotEquals"] == {
        "aws:SourceVpce": ["twinlock-test-s3-id", "twinlock-test-private-s3-id"]
    }
    for each in interfaces:
        if each == storage:
            continue
        (statement,) = statements(each).values()
        assert statement["Condition"] == {"StringEquals": {"aws:PrincipalAccount": ACCOUNT}}


def test_interface_endpoints_answer_gateways_alone():
    made = build(changed(network={"interface_endpoints": True}))
    entrance = made.one("SecurityGroupIngressRule", "endpoints-in").inputs
    assert entrance["referencedSecurityGroupId"] == "twinlock-test-gateway-id"
    assert (entrance["fromPort"], entrance["toPort"]) == (443, 443)


def test_clients_are_told_where_the_storages_private_name_leads_where_gateways_answer_for_it():
    endpoints = {"interface_endpoints": True}
    told = written(build(changed(network=endpoints, tunnel={"dns": {"zones": ["corp.internal"]}})))
    assert told.zones == ("corp.internal",)
    assert told.storage_zone == "s3.eu-west-1.amazonaws.com"
    assert told.storage_addresses == ("10.20.128.7", "10.20.144.7")
    for config in (changed(network=endpoints), changed(tunnel={"dns": {"zones": ["corp.internal"]}})):
        told = written(build(config))
        assert (told.storage_zone, told.storage_addresses) == ("", ())


def test_without_interface_endpoints_there_are_none(made: Recording):
    assert len(made.of("VpcEndpoint")) == 2 and len(made.of("SecurityGroup")) == 1


def test_what_holds_data_is_protected_outside_of_development(made: Recording):
    assert made.protected == {
        "twinlock-test-data", "twinlock-test-logs", "twinlock-test-registry", "twinlock-test-key",
        "twinlock-test-service", "twinlock-test-way-a", "twinlock-test-way-b",
        # A bucket that outlives its environment stays closed, encrypted and versioned.
        *(f"twinlock-test-{part}-private" for part in ("data", "logs")),
        *(f"twinlock-test-{part}-encryption" for part in ("data", "logs")),
        *(f"twinlock-test-{part}-versioning" for part in ("data", "logs")),
    }  # fmt: skip
    assert not build(changed(storage={"protect": False}, registry={"protect": False})).protected


def test_everything_hangs_under_the_environment(made: Recording):
    assert made.orphans == {"twinlock-test"}


def test_in_an_existing_network_only_subnets_and_routes_are_made():
    made = build(changed(network={"vpc_id": VPC, "cidr": "10.20.0.0/20"}))
    assert not made.of("Vpc") and not made.of("InternetGateway")
    assert {each.inputs["vpcId"] for each in made.of("Subnet")} == {VPC}
    assert made.one("Route", "internet-route").inputs["gatewayId"] == "igw-existing"
    assert made.one("Subnet", "public-a").inputs["cidrBlock"] == "10.20.0.0/24"


def test_an_adopted_network_is_imported_by_its_id_and_nothing_is_said_of_its_properties_but_its_range():
    made = build(changed(network={"vpc_id": VPC, "cidr": "10.20.0.0/20", "adopt": True}))
    assert made.one("Vpc", "test-vpc").inputs == {"cidrBlock": "10.20.0.0/16"}
    assert made.one("Subnet", "public-a").inputs["vpcId"] == "twinlock-test-vpc-id"
    assert set(inspect.signature(VpcArgs).parameters) - {"cidr_block", "region"} == set(OWNERS)  # all that there is


@pytest.mark.parametrize(
    ("network", "tunnel", "told"),
    [
        ({"cidr": "10.30.0.0/20"}, {}, "twinlock:network.cidr = 10.30.0.0/20: is no part of"),
        ({"cidr": "10.20.64.0/20"}, {}, "twinlock:network.cidr = 10.20.64.0/20: holds subnet-taken (10.20.64.0/24)"),
        ({"cidr": "10.20.0.0/20", "vpc_id": CROSSING}, {}, "twinlock:tunnel.range = 10.90.0.0/16: overlaps"),
        ({"vpc_id": PUBLIC}, {}, f"twinlock:network.vpc_id = {PUBLIC}: has 15.200.0.0/16, which a tenant that reaches"),
        ({"vpc_id": "vpc-00000000"}, {}, "twinlock:network.vpc_id = vpc-00000000: can't be looked up"),
    ],
)
def test_what_does_not_fit_an_existing_network_is_told_before_the_first_resource(network, tunnel, told):
    from components.errors import SettingsError

    with pytest.raises(SettingsError) as error:
        red = {"range": "10.90.16.0/20", "internet": True}
        build(changed(network={"vpc_id": VPC, **network}, tunnel={"ipv6": True, **tunnel}, tenants={"red": red}))
    assert told in str(error.value)
    assert len(str(error.value).splitlines()) == 2


def test_a_network_with_public_ranges_will_do_where_nobody_reaches_the_internet():
    assert build(changed(network={"vpc_id": PUBLIC, "cidr": "10.20.0.0/20"})).made


def test_an_existing_bucket_gets_the_refusals_beside_its_own_statements_and_keeps_the_rest():
    made = build(changed(storage={"buckets": [], "existing": {"data": "our-data"}}))
    policy = made.one("BucketPolicy", "data-policy")
    assert policy.inputs["bucket"] == "our-data"
    assert set(statements(policy)) == {
        "Auditors", "TlsOnly", "ThroughEndpointOnly", "TenantsObjects", "TenantsListings",
    }  # fmt: skip
    assert made.one("BucketPublicAccessBlock", "data-private").inputs["bucket"] == "our-data"
    assert [each.name for each in made.of("Bucket")] == ["twinlock-test-agent"]
    assert "twinlock-test-data-policy" in made.protected
    assert made.outputs["buckets"] == ["our-data"]
    assert "arn:aws:s3:::our-data/*" in statements(made.one("VpcEndpoint", "test-s3"))["OwnBuckets"]["Resource"]


def test_an_adopted_bucket_is_imported_by_its_name_and_nothing_is_said_of_its_properties():
    made = build(changed(storage={"existing": {"archive": "our-data"}, "adopt": ["archive"]}))
    bucket = made.one("Bucket", "test-archive")
    assert bucket.inputs == {"bucket": "our-data"}
    assert "twinlock-test-archive" in made.protected
    assert "Auditors" in statements(made.one("BucketPolicy", "archive-policy"))
    assert not [each for each in made.of("BucketVersioning") if "archive" in each.name]


@pytest.mark.parametrize(("bucket", "told"), [("far-away", "is in us-east-1"), ("nobodys", "can't be looked up")])
def test_an_existing_bucket_that_can_not_be_served_is_told(bucket: str, told: str):
    from components.errors import SettingsError

    with pytest.raises(SettingsError, match=rf"twinlock:storage\.existing\.archive = {bucket}: {told}"):
        build(changed(storage={"existing": {"archive": bucket}}))


def test_user_data_over_the_limit_is_told_before_the_first_resource(monkeypatch):
    import userdata.render
    from components.errors import SettingsError

    monkeypatch.setattr(userdata.render, "LIMIT_BYTES", 1000)
    with pytest.raises(
        SettingsError, match=r"twinlock:network\.zones = eu-west-1a, eu-west-1b: user data is \d+ bytes"
    ):
        build()
