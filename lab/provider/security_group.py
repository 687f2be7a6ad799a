"""Security groups and their rules, one resource a rule."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from .api import Api
from .ec2_tags import mapped, retag, specification
from .errors import ApiError
from .json_path import at, given, rows, text
from .network_rules import network
from .patience import found, while_refused
from .resource import Change, Problem, ResourceType, words
from .values import Json

_IN_USE, _IN_USE_SECONDS = frozenset({"DependencyViolation"}), 900  # the real provider's 15 minutes
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSecurityGroup.html, for groups of a VPC
_GROUP_TEXT = re.compile(r"^[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]*$")
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_IpRange.html, the description of a rule
_RULE_TEXT = re.compile(r"^[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]*$")


def _create(api: Api, inputs: Json) -> str:
    made = api.call(
        "ec2",
        "create_security_group",
        GroupName=inputs["name"],
        Description=inputs["description"],
        **given(VpcId=inputs.get("vpcId")),
        **specification("security-group", inputs),
    )
    return text(made, "GroupId")


def _close(api: Api, identifier: str, _inputs: Json) -> None:
    """The real provider takes back the rules by which AWS lets everything out of a new group: the one by IPv6 is there
    in a network that has IPv6."""
    for everywhere in ({"IpRanges": [{"CidrIp": "0.0.0.0/0"}]}, {"Ipv6Ranges": [{"CidrIpv6": "::/0"}]}):
        everything = [{"IpProtocol": "-1", **everywhere}]
        try:
            api.call("ec2", "revoke_security_group_egress", GroupId=identifier, IpPermissions=everything)
        except ApiError as refused:
            if refused.code != "InvalidPermission.NotFound":
                raise


def _read(api: Api, identifier: str, _inputs: Json) -> Json | None:
    groups = found(lambda: rows(api.call("ec2", "describe_security_groups", GroupIds=[identifier]), "SecurityGroups"))
    if not groups:
        return None
    return {
        "arn": api.arn("ec2", f"security-group/{identifier}"),
        "name": text(groups, 0, "GroupName"),
        "namePrefix": "",
        "description": text(groups, 0, "Description"),
        "vpcId": text(groups, 0, "VpcId"),
        "ownerId": text(groups, 0, "OwnerId"),
        "egress": [_shown(rule) for rule in rows(groups, 0, "IpPermissionsEgress")],
        "ingress": [_shown(rule) for rule in rows(groups, 0, "IpPermissions")],
        "tags": mapped(groups[0].get("Tags")),
    }


def _shown(permission: Json) -> Json:
    return {
        "protocol": text(permission, "IpProtocol"),
        "fromPort": at(permission, "FromPort") or 0,
        "toPort": at(permission, "ToPort") or 0,
        "cidrBlocks": [text(entry, "CidrIp") for entry in rows(permission, "IpRanges")],
        "securityGroups": [text(entry, "GroupId") for entry in rows(permission, "UserIdGroupPairs")],
        "prefixListIds": [text(entry, "PrefixListId") for entry in rows(permission, "PrefixListIds")],
    }


def _delete(api: Api, identifier: str, _state: Json) -> None:
    while_refused(lambda: api.call("ec2", "delete_security_group", GroupId=identifier), _IN_USE, _IN_USE_SECONDS)


def _group_words(inputs: Json) -> Iterator[Problem]:
    """CreateSecurityGroup: up to 255 of a set of characters; a name can't begin with `sg-`."""
    for name in ("name", "description"):
        given_text = inputs.get(name)
        if isinstance(given_text, str) and (len(given_text) > 255 or not _GROUP_TEXT.match(given_text)):
            yield Problem(name, "at most 255 of a-z, A-Z, 0-9, spaces and ._-:/()#,@[]+=&;{}!$*")
    if text(inputs, "name").startswith("sg-"):
        yield Problem("name", "can't begin with sg-")
    if inputs.get("description") == "":
        yield Problem("description", "can't be empty")


GROUP = ResourceType(
    token="aws:ec2/securityGroup:SecurityGroup",  # noqa: S106
    create=_create,
    finish=_close,
    read=_read,
    update=retag,
    delete=_delete,
    forces_new=words("name description vpcId"),
    in_place=words("tags revokeRulesOnDelete"),
    named="name",
    defaults={"description": "Managed by Pulumi", "revokeRulesOnDelete": False},
    rules=(_group_words,),
)


def _permission(inputs: Json) -> list[Json]:
    described = given(Description=inputs.get("description"))
    sides: Json = {}
    if inputs.get("cidrIpv4"):
        sides["IpRanges"] = [{"CidrIp": inputs["cidrIpv4"], **described}]
    if inputs.get("cidrIpv6"):
        sides["Ipv6Ranges"] = [{"CidrIpv6": inputs["cidrIpv6"], **described}]
    if inputs.get("prefixListId"):
        sides["PrefixListIds"] = [{"PrefixListId": inputs["prefixListId"], **described}]
    if inputs.get("referencedSecurityGroupId"):
        sides["UserIdGroupPairs"] = [{"GroupId": inputs["referencedSecurityGroupId"], **described}]
    ports = given(FromPort=inputs.get("fromPort"), ToPort=inputs.get("toPort"))
    return [{"IpProtocol": inputs["ipProtocol"], **ports, **sides}]


def _allow(direction: str, api: Api, inputs: Json) -> str:
    made = api.call(
        "ec2",
        f"authorize_security_group_{direction}",
        GroupId=inputs["securityGroupId"],
        IpPermissions=_permission(inputs),
        **specification("security-group-rule", inputs),
    )
    return text(made, "SecurityGroupRules", 0, "SecurityGroupRuleId")


def _revoke(direction: str, api: Api, identifier: str, state: Json) -> None:
    operation, group = f"revoke_security_group_{direction}", state["securityGroupId"]
    found(lambda: api.call("ec2", operation, GroupId=group, SecurityGroupRuleIds=[identifier]))


def _read_rule(api: Api, identifier: str, _inputs: Json) -> Json | None:
    by_id = {"SecurityGroupRuleIds": [identifier]}
    entries = found(lambda: rows(api.call("ec2", "describe_security_group_rules", **by_id), "SecurityGroupRules"))
    rule = next((entry for entry in entries or [] if text(entry, "SecurityGroupRuleId") == identifier), None)
    if rule is None:
        return None
    ports = {"fromPort": at(rule, "FromPort"), "toPort": at(rule, "ToPort")}
    return {
        "arn": api.arn("ec2", f"security-group-rule/{identifier}"),
        "securityGroupId": text(rule, "GroupId"),
        "securityGroupRuleId": identifier,
        "ipProtocol": text(rule, "IpProtocol"),
        **(ports if text(rule, "IpProtocol") != "-1" else {}),
        "cidrIpv4": text(rule, "CidrIpv4") or None,
        "cidrIpv6": text(rule, "CidrIpv6") or None,
        "prefixListId": text(rule, "PrefixListId") or None,
        "referencedSecurityGroupId": text(rule, "ReferencedGroupInfo", "GroupId") or None,
        # Left out where it is not told, so that it stays as it was given: moto keeps none on rules for groups.
        **given(description=text(rule, "Description") or None),
        "tags": mapped(rule.get("Tags")),
    }


def _update_rule(api: Api, change: Change) -> None:
    """ModifySecurityGroupRules changes everything but the group and the direction."""
    if change.names - {"tags"}:
        sides = {"CidrIpv4": "cidrIpv4", "CidrIpv6": "cidrIpv6", "PrefixListId": "prefixListId"}
        sides |= {"ReferencedGroupId": "referencedSecurityGroupId", "Description": "description"}
        sides |= {"FromPort": "fromPort", "ToPort": "toPort", "IpProtocol": "ipProtocol"}
        rule = {key: change.new[name] for key, name in sides.items() if name in change.new}
        updates = [{"SecurityGroupRuleId": change.id, "SecurityGroupRule": rule}]
        group = change.new["securityGroupId"]
        api.call("ec2", "modify_security_group_rules", GroupId=group, SecurityGroupRules=updates)
    retag(api, change)


def _side(inputs: Json) -> Iterator[Problem]:
    """AuthorizeSecurityGroupIngress: EC2 rewrites a range with host bits, and each diff shows it."""
    side = inputs.get("cidrIpv4")
    if isinstance(side, str) and network(side) is None:
        yield Problem("cidrIpv4", f"{side} must be an IPv4 network without host bits")


def _ports(inputs: Json) -> Iterator[Problem]:
    """API_IpPermission: TCP and UDP have both ports, from 0 to 65535 in order; all protocols (-1) have none."""
    first, last = inputs.get("fromPort"), inputs.get("toPort")
    protocol = inputs.get("ipProtocol")
    if protocol == "-1" and not (first is None and last is None):
        yield Problem("fromPort", "no ports go with ipProtocol -1")
    if protocol in ("tcp", "udp", "6", "17"):
        if first is None or last is None:
            yield Problem("fromPort", f"{protocol} needs fromPort and toPort")
        elif isinstance(first, int) and isinstance(last, int) and not 0 <= first <= last <= 65535:
            yield Problem("fromPort", f"ports are 0 to 65535 and in order, got {first} to {last}")


def _described(inputs: Json) -> Iterator[Problem]:
    """API_IpRange: the description of a rule has up to 255 of a set of characters."""
    described = inputs.get("description")
    if isinstance(described, str) and (len(described) > 255 or not _RULE_TEXT.match(described)):
        yield Problem("description", "at most 255 of a-z, A-Z, 0-9, spaces and ._-:/()#,@[]+=&;{}!$*")


def _rule_type(direction: str, name: str) -> ResourceType:
    return ResourceType(
        token=f"aws:vpc/securityGroup{name}Rule:SecurityGroup{name}Rule",
        create=partial(_allow, direction),
        read=_read_rule,
        update=_update_rule,
        delete=partial(_revoke, direction),
        forces_new=words("securityGroupId"),
        in_place=words(
            "ipProtocol fromPort toPort cidrIpv4 cidrIpv6 prefixListId referencedSecurityGroupId description tags"
        ),
        rules=(_side, _ports, _described),
    )


INGRESS_RULE, EGRESS_RULE = _rule_type("ingress", "Ingress"), _rule_type("egress", "Egress")

TYPES = (GROUP, INGRESS_RULE, EGRESS_RULE)
