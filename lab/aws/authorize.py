"""Whether a call is allowed: identity, resource, endpoint, boundary and session policies together.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from lab.aws.call import Call
from lab.aws.context_keys import PolicyError
from lab.aws.identities import Identities
from lab.aws.needs import Need, Resources, UnknownNeedError, tag_context
from lab.aws.needs_rest import needs as needs_of
from lab.aws.policy import Ask, Match, matches, parse
from lab.aws.principals import Signer


@dataclass(frozen=True)
class Verdict:
    """`reason` says which statement decided, or that none allowed it."""

    allowed: bool
    reason: str
    needs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Policies:
    """What speaks of one need: (name, document) each."""

    identity: tuple[tuple[str, str], ...]
    limits: tuple[tuple[str, str], ...]  # each must allow as well: boundary, session policy
    endpoint: tuple[str, str] | None
    resource: tuple[str, str] | None
    resource_decides: bool  # keys and roles: without their own policy's word nothing is allowed


def authorize(call: Call, who: Signer, resources: Resources) -> Verdict:
    """Everything that the call needs must be allowed. What the lab can't judge is refused, and the reason says why."""
    asked: list[tuple[str, str]] = []
    try:
        for need in needs_of(call, resources):
            asked += [(need.action, resource) for resource in need.resources]
            for resource in need.resources:
                verdict = _one(need, resource, call, who, resources)
                if not verdict.allowed:
                    return Verdict(False, verdict.reason, tuple(asked))
    except (PolicyError, UnknownNeedError, ValueError) as error:
        return Verdict(False, f"the lab can't judge this: {error}", tuple(asked))
    return Verdict(True, "", tuple(asked))


def _one(need: Need, resource: str, call: Call, who: Signer, resources: Resources) -> Verdict:
    known = resources.identities()
    ask = Ask(
        action=need.action,
        resource=resource,
        principals=(who.caller.arn, who.principal.arn),
        account=who.caller.account,
        context=_context(call, who, known, need),
    )
    return decide(ask, _policies(need, resource, call, who, resources))


def decide(ask: Ask, policies: Policies) -> Verdict:
    """An explicit denial anywhere; then every limit must allow; then identity or resource. Raises PolicyError."""
    what = f"{ask.action} on {ask.resource}"
    identity = list(_all(policies.identity, ask))
    resource = list(_all((policies.resource,) if policies.resource else (), ask))
    endpoint = (policies.endpoint,) if policies.endpoint else ()
    limits = [(name, list(_all(((name, document),), ask))) for name, document in (*policies.limits, *endpoint)]
    for name, match in (*identity, *resource, *(pair for _, found in limits for pair in found)):
        if match.effect == "Deny":
            return Verdict(False, f"{what}: denied by {name}, {match.label}")
    for name, found in limits:
        if not found:
            return Verdict(False, f"{what}: {name} does not allow it")
    granted = any(match.direct for _, match in resource)
    if granted or (identity and (resource or not policies.resource_decides)):
        return Verdict(True, "")
    if policies.resource and policies.resource_decides and not resource:
        return Verdict(False, f"{what}: {policies.resource[0]} does not allow it")
    return Verdict(False, f"{what}: no policy of {ask.principals[-1]} allows it")


def _all(policies: tuple[tuple[str, str], ...], ask: Ask) -> Iterator[tuple[str, Match]]:
    for name, document in policies:
        try:
            for match in matches(parse(document), ask):
                yield name, match
        except PolicyError as error:
            raise PolicyError(f"{name}: {error}") from error


def _policies(need: Need, resource: str, call: Call, who: Signer, resources: Resources) -> Policies:
    known = resources.identities()
    limits: list[tuple[str, str]] = []
    if who.principal.boundary:
        limits.append(("the permissions boundary", who.principal.boundary))
    if who.key.session_policy:
        limits.append(("the session's policy", who.key.session_policy))
    through = call.source.endpoint if need.via is None else None
    endpoint = (f"endpoint {through}", known.endpoint_policies.get(through, "")) if through else None
    hung_on = _resource_policy(need.action, resource, known, resources)
    return Policies(
        identity=tuple((f"policy {name}", document) for name, document in who.principal.policies),
        limits=tuple(limits),
        endpoint=endpoint,
        resource=hung_on,
        resource_decides=need.action == "sts:AssumeRole" or (need.action.startswith("kms:") and ":key/" in resource),
    )


def _resource_policy(action: str, resource: str, known: Identities, resources: Resources) -> tuple[str, str] | None:
    """The policy that hangs on the resource itself."""
    document: str | None = None
    name = ""
    if resource.startswith("arn:aws:s3:::") and action != "s3:CreateBucket":
        bucket = resource.removeprefix("arn:aws:s3:::").partition("/")[0]
        name, document = f"the policy of bucket {bucket}", resources.bucket_policy(bucket)
    elif action.startswith("kms:"):
        name, document = f"the policy of {resource}", known.kms_policies.get(resource)
    elif action.startswith("secretsmanager:"):
        found = next((one.policy for one in known.secrets if one.arn == resource), None)
        name, document = f"the policy of {resource}", found
    elif action == "sts:AssumeRole":
        role = next((one.trust for one in known.principals if one.arn == resource), None)
        name, document = f"the trust policy of {resource}", role
    return (name, document) if document else None


def _context(call: Call, who: Signer, known: Identities, need: Need) -> Mapping[str, tuple[str, ...]]:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html"""
    now = datetime.now(UTC)
    made: dict[str, tuple[str, ...]] = {
        "aws:currenttime": (now.strftime("%Y-%m-%dT%H:%M:%SZ"),),
        "aws:epochtime": (str(int(now.timestamp())),),
        "aws:principalaccount": (who.caller.account,),
        "aws:principalarn": (who.principal.arn,),
        "aws:principalisawsservice": ("false",),
        "aws:principaltype": ("User" if who.principal.kind == "user" else "AssumedRole",),
        "aws:requestedregion": (call.region,),
        "aws:securetransport": ("true",),
        "aws:userid": (who.caller.user_id,),
        "aws:viaawsservice": ("false" if need.via is None else "true",),
    }
    if who.principal.kind == "user":
        made["aws:username"] = (who.principal.name,)
    if need.via:
        made |= {"kms:viaservice": (need.via,)}
    else:
        made |= _network(call, known)
    if need.action.startswith("kms:"):
        made["kms:calleraccount"] = (who.caller.account,)
    return made | tag_context(("aws:PrincipalTag",), who.principal.tags) | dict(need.context)


def _network(call: Call, known: Identities) -> dict[str, tuple[str, ...]]:
    """Through an endpoint the private address counts, and aws:SourceIp is absent."""
    through = call.source.endpoint
    if through is None:
        return {"aws:sourceip": (call.source.address,)}
    made = {"aws:sourcevpce": (through,), "aws:vpcsourceip": (call.source.address,)}
    network = known.endpoint_networks.get(through)
    return made | {"aws:sourcevpc": (network,)} if network else made
