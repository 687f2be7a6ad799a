"""IAM, STS, KMS, Secrets Manager, Systems Manager, CloudWatch and its logs, load balancers."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator

from lab.aws.call import Call, Parameters, Value, json_body, parameters
from lab.aws.identities import Identities, Secret
from lab.aws.names import ACCOUNT
from lab.aws.needs import Need, Resources, UnknownNeedError, key_arn, tag_context
from lab.aws.needs_dynamodb import needs as dynamodb
from lab.aws.needs_ec2 import autoscaling, ec2
from lab.aws.needs_s3 import needs as s3

_AWSS_OWN = re.compile(r"^/?aws/")
_BOUNDED = frozenset(
    {
        "CreateRole",
        "PutRolePolicy",
        "DeleteRolePolicy",
        "AttachRolePolicy",
        "DetachRolePolicy",
        "PutRolePermissionsBoundary",
        "DeleteRolePermissionsBoundary",
    }
)
# Bytes of a ciphertext at which moto writes the key's id.
_KEY_ID_BYTES = 36


def needs(call: Call, resources: Resources) -> tuple[Need, ...]:
    """All that CALL needs; nothing for GetCallerIdentity. Raises UnknownNeedError, and ValueError at a broken body."""
    answer = _SERVICES.get(call.service)
    if answer is None:
        raise UnknownNeedError(f"the lab does not know what {call.service} needs")
    return answer(call, resources)


def _iam(call: Call, resources: Resources) -> tuple[Need, ...]:
    asked = parameters(call)
    arn = _iam_arn(asked, resources.identities())
    need = Need(action=f"iam:{call.action}", resources=(arn,), context=_boundary(call, asked, arn, resources))
    if call.action != "AddRoleToInstanceProfile":
        return (need,)
    role = _principal_arn("role", str(asked.get("RoleName")), resources.identities())
    passed = Need(action="iam:PassRole", resources=(role,), context={"iam:passedtoservice": ("ec2.amazonaws.com",)})
    return (need, passed)


def _boundary(call: Call, asked: Parameters, arn: str, resources: Resources) -> dict[str, tuple[str, ...]]:
    """The boundary that the request sets, or else the one that the role has: of what changes what a role may do.

    https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
    """
    if call.action not in _BOUNDED:
        return {}
    had = (one.boundary_arn for one in resources.identities().principals if one.arn == arn)
    named = asked.get("PermissionsBoundary") or next(had, None)
    return {"iam:permissionsboundary": (str(named),)} if named else {}


def _iam_arn(asked: Parameters, known: Identities) -> str:
    if profile := asked.get("InstanceProfileName"):
        return f"arn:aws:iam::{ACCOUNT}:instance-profile/{profile}"
    for kind in ("Role", "User"):
        if name := asked.get(f"{kind}Name"):
            return _principal_arn(kind.lower(), str(name), known)
    if group := asked.get("GroupName"):
        return f"arn:aws:iam::{ACCOUNT}:group/{group}"
    if policy := asked.get("PolicyArn"):
        return str(policy)
    name = asked.get("PolicyName")
    return f"arn:aws:iam::{ACCOUNT}:policy/{name}" if name else "*"


def _principal_arn(kind: str, name: str, known: Identities) -> str:
    found = (one.arn for one in known.principals if (one.kind, one.name) == (kind, name))
    return next(found, f"arn:aws:iam::{ACCOUNT}:{kind}/{name}")


def _sts(call: Call, _: Resources) -> tuple[Need, ...]:
    """Anyone may ask who they are."""
    if call.action == "GetCallerIdentity":
        return ()
    asked = parameters(call)
    if call.action != "AssumeRole":
        return (Need(action=f"sts:{call.action}"),)
    context = {"sts:rolesessionname": (str(asked.get("RoleSessionName")),)}
    if "ExternalId" in asked:
        context["sts:externalid"] = (str(asked["ExternalId"]),)
    return (Need(action="sts:AssumeRole", resources=(str(asked.get("RoleArn")),), context=context),)


def _kms(call: Call, resources: Resources) -> tuple[Need, ...]:
    asked, action = json_body(call), f"kms:{call.action}"
    known = resources.identities()
    key = asked.get("KeyId") or asked.get("TargetKeyId") or _key_of_ciphertext(asked.get("CiphertextBlob"))
    if call.action in ("ListKeys", "ListAliases", "CreateKey", "GenerateRandom"):
        return (Need(action=action, context=_kms_request_tags(asked)),)
    named = str(key or asked.get("AliasName") or "")
    encryption = asked.get("EncryptionContext")
    pairs = {str(k): str(v) for k, v in encryption.items()} if isinstance(encryption, dict) else {}
    context = {f"kms:encryptioncontext:{name.lower()}": (value,) for name, value in pairs.items()}
    context |= {"kms:encryptioncontextkeys": tuple(pairs)} if pairs else {}
    arn = key_arn(known, named)
    context |= tag_context(("aws:ResourceTag",), known.kms_tags.get(arn, {})) | _kms_request_tags(asked)
    need = Need(action=action, resources=(arn,), context=context)
    if "Alias" in call.action:
        alias = f"arn:aws:kms:{call.region}:{ACCOUNT}:{asked.get('AliasName')}"
        return (need, Need(action=action, resources=(alias,)))
    return (need,)


def _kms_request_tags(asked: Parameters) -> dict[str, tuple[str, ...]]:
    rows = [row for row in _list(asked.get("Tags")) if isinstance(row, dict)]
    return tag_context(("aws:RequestTag",), {str(row.get("TagKey")): str(row.get("TagValue")) for row in rows})


def _key_of_ciphertext(blob: Value) -> str | None:
    """Decrypt may leave the key out: the ciphertext says."""
    return base64.b64decode(blob)[:_KEY_ID_BYTES].decode(errors="replace") if isinstance(blob, str) else None


def _secretsmanager(call: Call, resources: Resources) -> tuple[Need, ...]:
    asked, action, known = json_body(call), f"secretsmanager:{call.action}", resources.identities()
    if call.action in ("ListSecrets", "GetRandomPassword", "BatchGetSecretValue"):
        return (Need(action=action),)
    named = str(asked.get("SecretId") or asked.get("Name") or "")
    secret = _secret(named, known)
    fresh = f"arn:aws:secretsmanager:{call.region}:{ACCOUNT}:secret:{named}-AAAAAA"
    context = {"secretsmanager:name": (named,)} if "Name" in asked else {"secretsmanager:secretid": (named,)}
    if call.action in ("GetSecretValue", "UpdateSecretVersionStage"):
        for parameter in ("VersionStage", "VersionId"):
            if parameter in asked:
                context[f"secretsmanager:{parameter.lower()}"] = (str(asked[parameter]),)
    if secret:
        context |= tag_context(("aws:ResourceTag", "secretsmanager:ResourceTag"), secret.tags)
    arn = secret.arn if secret else named if named.startswith("arn:") else fresh
    return (Need(action=action, resources=(arn,), context=context), *_secret_key(call, asked, arn, secret, known))


def _secret(named: str, known: Identities) -> Secret | None:
    """By name, ARN, or an ARN without its random end."""
    name = re.sub(r"-[A-Za-z0-9]{6}$", "", named.rpartition(":secret:")[2])
    return next((one for one in known.secrets if named in (one.name, one.arn) or one.name == name), None)


def _secret_key(call: Call, asked: Parameters, arn: str, secret: Secret | None, known: Identities) -> Iterator[Need]:
    """https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html#security-encryption-authz"""
    key = str(asked.get("KmsKeyId") or "") or (secret.kms_key if secret else None)
    writes = "SecretString" in asked or "SecretBinary" in asked
    if not key or not (call.action == "GetSecretValue" or writes):
        return
    context = {"kms:encryptioncontext:secretarn": (arn,)}
    via = f"secretsmanager.{call.region}.amazonaws.com"
    for action in ("kms:GenerateDataKey", "kms:Decrypt") if writes else ("kms:Decrypt",):
        yield Need(action=action, resources=(key_arn(known, key),), context=context, via=via)


def _ssm(call: Call, _: Resources) -> tuple[Need, ...]:
    asked, action = json_body(call), f"ssm:{call.action}"
    names = [asked.get("Name"), asked.get("Path"), *_list(asked.get("Names"))]
    if "ResourceId" in asked:
        names.append(asked["ResourceId"])
    given = [str(name) for name in names if name]
    if not given or call.action == "DescribeParameters":
        return (Need(action=action),)
    arns = tuple(_parameter_arn(name.split(":")[0] if "arn:" not in name else name, call.region) for name in given)
    return (Need(action=action, resources=arns),)


def _parameter_arn(name: str, region: str) -> str:
    """AWS's own parameters belong to no account."""
    if name.startswith("arn:"):
        return name
    owner = "" if _AWSS_OWN.match(name) else ACCOUNT
    return f"arn:aws:ssm:{region}:{owner}:parameter/{name.lstrip('/')}"


def _logs(call: Call, _: Resources) -> tuple[Need, ...]:
    """A group's ARN ends in `:*`, a stream's in its name: .../reference/list_amazoncloudwatchlogs.html"""
    asked = json_body(call)
    group, stream = asked.get("logGroupName"), asked.get("logStreamName")
    named = str(asked.get("resourceArn") or asked.get("logGroupIdentifier") or "")
    arn = named or "*"
    if group:
        arn = f"arn:aws:logs:{call.region}:{ACCOUNT}:log-group:{group}:"
        arn += f"log-stream:{stream}" if stream and call.action != "CreateLogStream" else "*"
    return (Need(action=f"logs:{call.action}", resources=(arn,)),)


def _cloudwatch(call: Call, _: Resources) -> tuple[Need, ...]:
    asked, action = parameters(call), f"cloudwatch:{call.action}"
    names = [asked.get("AlarmName"), *_list(asked.get("AlarmNames"))]
    given = [str(name) for name in names if name]
    if given and not call.action.startswith("Describe"):
        arns = tuple(f"arn:aws:cloudwatch:{call.region}:{ACCOUNT}:alarm:{name}" for name in given)
        return (Need(action=action, resources=arns),)
    context = {"cloudwatch:namespace": (str(asked["Namespace"]),)} if "Namespace" in asked else {}
    return (Need(action=action, context=context),)


def _quotas(call: Call, _: Resources) -> tuple[Need, ...]:
    asked, action = json_body(call), f"servicequotas:{call.action}"
    if call.action != "GetServiceQuota":
        return (Need(action=action),)
    arn = f"arn:aws:servicequotas:{call.region}:{ACCOUNT}:{asked.get('ServiceCode')}/{asked.get('QuotaCode')}"
    return (Need(action=action, resources=(arn,)),)


def _elbv2(call: Call, _: Resources) -> tuple[Need, ...]:
    """The ARNs that the call names."""
    named = sorted({one for value in parameters(call).values() for one in _strings(value) if one.startswith("arn:")})
    reads = call.action.startswith("Describe")
    return (Need(action=f"elasticloadbalancing:{call.action}", resources=("*",) if reads or not named else (*named,)),)


def _strings(value: Value) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        yield from _strings(child)


def _list(value: Value) -> list[Value]:
    return value if isinstance(value, list) else []


_SERVICES: dict[str, Callable[[Call, Resources], tuple[Need, ...]]] = {
    "autoscaling": autoscaling,
    "cloudwatch": _cloudwatch,
    "dynamodb": dynamodb,
    "ec2": ec2,
    "elbv2": _elbv2,
    "iam": _iam,
    "kms": _kms,
    "logs": _logs,
    "s3": s3,
    "secretsmanager": _secretsmanager,
    "service-quotas": _quotas,
    "ssm": _ssm,
    "sts": _sts,
}
