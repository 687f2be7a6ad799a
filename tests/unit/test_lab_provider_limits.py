"""What AWS's models of its API refuse is refused before the call, by the parameter's path."""

from __future__ import annotations

from collections.abc import Iterator

import botocore.session
import pytest
from moto import mock_aws

from lab.provider.api import Api
from lab.provider.errors import ProviderError
from lab.provider.limits import beyond, fits

SERVICES = ("ec2", "iam", "kms", "s3", "ssm", "sts", "secretsmanager", "dynamodb", "autoscaling")
SESSION = botocore.session.get_session()
TRUST = {"AssumeRolePolicyDocument": "{}"}
REFUSED = [
    ("iam", "CreateRole", {"RoleName": "r" * 65, **TRUST}, "RoleName must be at most 64"),
    ("iam", "CreateRole", {"RoleName": "a b", **TRUST}, "RoleName must match"),
    ("iam", "CreateRole", {"RoleName": "r", **TRUST, "Tags": [{"Key": "a;b", "Value": ""}]}, "Tags[0].Key must match"),
    ("iam", "CreateRole", {"RoleName": "r", **TRUST, "MaxSessionDuration": 43201}, "MaxSessionDuration must be at"),
    ("ec2", "CreateVpc", {"CidrBlock": "10.0.0.0/16", "InstanceTenancy": "shared"}, "InstanceTenancy must be one of"),
    ("ec2", "CreateLaunchTemplate", {"VersionDescription": "d" * 256}, "VersionDescription must be at most 255"),
    ("ssm", "PutParameter", {"Name": "p", "Value": "v", "Type": "Text"}, "Type must be one of String, StringList"),
    ("kms", "CreateAlias", {"AliasName": "mine", "TargetKeyId": "k" * 3000}, "TargetKeyId must be at most 2048"),
    ("autoscaling", "CreateAutoScalingGroup", {"AutoScalingGroupName": "g" * 256}, "AutoScalingGroupName must be at"),
    ("dynamodb", "CreateTable", {"TableName": "t", "BillingMode": "FREE"}, "BillingMode must be one of"),
]


def refusals(service: str, operation: str, parameters: dict[str, object]) -> list[str]:
    shape = SESSION.get_service_model(service).operation_model(operation).input_shape
    return list(beyond(shape, parameters))


@pytest.mark.parametrize(("service", "operation", "parameters", "words"), REFUSED, ids=[case[3] for case in REFUSED])
def test_what_the_model_of_the_api_does_not_take_is_named_by_its_path(service, operation, parameters, words):
    assert words in "\n".join(refusals(service, operation, parameters))


def test_what_the_model_takes_is_let_through():
    tags = [{"Key": "twinlock:environment", "Value": "Größe 1"}]
    assert refusals("iam", "CreateRole", {"RoleName": "twinlock-test", **TRUST, "Tags": tags}) == []
    assert refusals("autoscaling", "CreateOrUpdateTags", {"Tags": [{"Key": "\U0001f512", "Value": "x"}]}) == []


def test_such_a_call_is_never_made(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        api = Api("eu-west-1")
        with pytest.raises(ProviderError, match=r"RoleName must be at most 64.*iam create_role"):
            api.call("iam", "create_role", RoleName="r" * 65, AssumeRolePolicyDocument="{}")
        assert api.call("iam", "list_roles")["Roles"] == []


def _patterns(service: str) -> Iterator[str]:
    model = SESSION.get_service_model(service)
    for name in model.shape_names:
        pattern = model.shape_for(name).metadata.get("pattern")
        if pattern and name not in ("CloudConnectorIamRoleArn", "AutoScalingPolicyName"):  # of calls that nobody makes
            yield pattern


@pytest.mark.parametrize("service", SERVICES)
def test_each_pattern_of_the_services_in_use_can_be_told_to_python(service: str):
    for pattern in _patterns(service):
        fits(pattern.replace(r"\p{P}", "").replace(r"\p{M}", ""), "text")
