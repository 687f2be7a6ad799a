"""EC2 and Auto Scaling: the resources are the ids that a call's parameters hold, with their tags."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lab.aws.call import Call, Parameters, Value, parameters
from lab.aws.names import ACCOUNT, REGION
from lab.aws.needs import Group, Need, Resources, tag_context

_KINDS = {
    "acl": "network-acl",
    "ami": "image",
    "eipalloc": "elastic-ip",
    "eni": "network-interface",
    "i": "instance",
    "igw": "internet-gateway",
    "lt": "launch-template",
    "nat": "natgateway",
    "pl": "prefix-list",
    "rtb": "route-table",
    "scr": "subnet-cidr-reservation",
    "sg": "security-group",
    "sgr": "security-group-rule",
    "subnet": "subnet",
    "vol": "volume",
    "vpc": "vpc",
    "vpce": "vpc-endpoint",
}
_ID = re.compile(r"^([a-z]+)-[0-9a-f]{8,17}$")
_CREATED = {"AllocateAddress": "elastic-ip", "RunInstances": "instance", "ImportKeyPair": "key-pair"}
# What the others among a call's ids are for is not checked when it is made.
_ALONE = {
    "CreateLaunchTemplate": "launch-template",
    "CreateLaunchTemplateVersion": "launch-template",
    "CreateRoute": "route-table",
}
_NO_UUID = "00000000-0000-0000-0000-000000000000"  # of a group that is not there yet
# Images have no account in their ARN, and the prefix lists that AWS keeps have "aws" (the lab makes no others).
_OWNERS = {"image": "", "prefix-list": "aws"}
_WITHOUT_RESOURCES = ("Describe", "Get", "Search", "List")
# Reads that the Service Authorization Reference of EC2 gives a resource nevertheless.
_READS_WITH_RESOURCES = ("GetManagedPrefixListEntries", "GetManagedPrefixListAssociations")


def ec2(call: Call, resources: Resources) -> tuple[Need, ...]:
    """Describing needs the action on *; everything else the action on each id, and on the kind that is made."""
    action = f"ec2:{call.action}"
    if call.action.startswith(_WITHOUT_RESOURCES) and call.action not in _READS_WITH_RESOURCES:
        return (Need(action=action),)
    asked = parameters(call)
    only = _ALONE.get(call.action)
    association = str(asked.get("AssociationId") or "")
    ids = [tied] if association and (tied := resources.tied(association)) else []
    ids += sorted({one for one in _ids(asked) if only in (None, _KINDS[one.split("-")[0]])})
    made = _created(call.action)
    request = _request_tags(asked)
    found = [
        Need(
            action=action,
            resources=(_arn(call.region, one),),
            context=request | tag_context(("aws:ResourceTag", "ec2:ResourceTag"), resources.ec2_tags(one)),
        )
        for one in ids
    ]
    if made or not found:
        arn = f"arn:aws:ec2:{call.region}:{ACCOUNT}:{made}/*" if made else "*"
        found.append(Need(action=action, resources=(arn,), context=request))
        if made and request:
            # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/supported-iam-actions-tagging.html
            tagged = {**request, "ec2:createaction": (call.action,)}
            found.append(Need(action="ec2:CreateTags", resources=(arn,), context=tagged))
    return tuple(found)


def autoscaling(call: Call, resources: Resources) -> tuple[Need, ...]:
    """On the group that is named, or that the named instance is in."""
    action = f"autoscaling:{call.action}"
    if call.action.startswith("Describe"):
        return (Need(action=action),)
    asked = parameters(call)
    name, instance = asked.get("AutoScalingGroupName"), asked.get("InstanceId")
    group = _group(str(name) if name else None, str(instance) if instance else None, resources)
    context = tag_context(("aws:ResourceTag", "autoscaling:ResourceTag"), group.tags) | _request_tags(asked)
    return (Need(action=action, resources=(group.arn,), context=context), *_launch(call, asked))


def _launch(call: Call, asked: Parameters) -> Iterator[Need]:
    """Whoever gives a group a template must be allowed to launch by it:
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-launch-template-permissions.html"""
    template = asked.get("LaunchTemplate")
    if isinstance(template, dict) and "LaunchTemplateId" in template:
        named = _arn(call.region, str(template["LaunchTemplateId"]))
        context = {"ec2:launchtemplate": (named,), "ec2:islaunchtemplateresource": ("true",)}
        yield Need(action="ec2:RunInstances", context=context)


def _group(name: str | None, instance: str | None, resources: Resources) -> Group:
    found = resources.group(name) if name else resources.group_of_instance(instance) if instance else None
    if found:
        return found
    place = f"arn:aws:autoscaling:{REGION}:{ACCOUNT}"
    return Group(arn=f"{place}:autoScalingGroup:{_NO_UUID}:autoScalingGroupName/{name}", tags={})


def _ids(value: Value) -> Iterator[str]:
    if isinstance(value, str) and (match := _ID.match(value)) and match[1] in _KINDS:
        yield value
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        yield from _ids(child)


def _arn(region: str, one: str) -> str:
    kind = _KINDS[one.split("-")[0]]
    return f"arn:aws:ec2:{region}:{_OWNERS.get(kind, ACCOUNT)}:{kind}/{one}"


def _created(action: str) -> str | None:
    """CreateRouteTable -> route-table. Routes and tags belong to what they are put on."""
    if action in ("CreateRoute", "CreateTags", "CreateLaunchTemplateVersion"):
        return None
    if action.startswith("Create"):
        return re.sub(r"(?<!^)(?=[A-Z])", "-", action.removeprefix("Create")).lower()
    return _CREATED.get(action)


def _request_tags(asked: Parameters) -> dict[str, tuple[str, ...]]:
    """Tags in the request: of TagSpecifications or of Tags."""
    rows: list[Value] = []
    specifications = asked.get("TagSpecifications")
    for one in specifications if isinstance(specifications, list) else []:
        inner = one.get("Tags") if isinstance(one, dict) else None
        rows += inner if isinstance(inner, list) else []
    plain = asked.get("Tags")
    rows += plain if isinstance(plain, list) else []
    tags = {str(row.get("Key")): str(row.get("Value", "")) for row in rows if isinstance(row, dict)}
    context = tag_context(("aws:RequestTag",), tags)
    return context | {"aws:tagkeys": tuple(tags)} if tags else context
