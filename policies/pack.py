"""The rules as a pack of Pulumi's: the only file here that knows the engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyPack,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError

from policies.judge import RULES, STACK_RULES, judge, judge_stack
from policies.resource import UNKNOWN, Resource, Value
from policies.rule import Rule, StackRule


def make() -> PolicyPack:
    """Every rule is mandatory unless `--policy-pack-config` says otherwise (dev.json)."""
    policies = [*map(_of_resource, RULES), *map(_of_stack, STACK_RULES)]
    return PolicyPack(
        name="twinlock", enforcement_level=EnforcementLevel.MANDATORY, policies=cast(list[Policy], policies)
    )


def _of_resource(rule: Rule) -> ResourceValidationPolicy:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        resource = Resource(
            type=args.resource_type,
            name=args.name,
            urn=args.urn,
            inputs=_known(args.props),
            protected=bool(args.opts.protect),
        )
        for text in judge(rule, resource):
            report(_told(resource, text, rule.controls), None)

    return ResourceValidationPolicy(name=rule.name, description=rule.description, validate=validate)


def _of_stack(rule: StackRule) -> StackValidationPolicy:
    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        for resource, text in judge_stack(rule, [_resource(one) for one in args.resources]):
            report(_told(resource, text, rule.controls), resource.urn)

    return StackValidationPolicy(name=rule.name, description=rule.description, validate=validate)


def _resource(one: PolicyResource) -> Resource:
    return Resource(
        type=one.resource_type,
        name=one.name,
        urn=one.urn,
        inputs=_known(one.props),
        protected=bool(one.opts.protect),
        refers={key: frozenset(found.urn for found in others) for key, others in one.property_dependencies.items()},
    )


def _told(resource: Resource, text: str, controls: Sequence[str]) -> str:
    restates = f" ({', '.join(controls)})" if controls else ""
    return f"{resource.name} {text}{restates}"


def _known(props: Mapping[str, object]) -> dict[str, Value]:
    """The engine's values as plain ones. A proxy of the SDK's raises for what only the deployment will tell."""
    return {key: _at(props, key) for key in props}


def _at(holder: Mapping[str, object] | Sequence[object], key: str | int) -> Value:
    try:
        value = holder[key]  # type: ignore[index]
    except UnknownValueError:
        return UNKNOWN
    return _plain(cast(object, value))


def _plain(value: object) -> Value:
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    if isinstance(value, Mapping):
        return _known(cast(Mapping[str, object], value))
    if isinstance(value, Iterable):
        listed = cast(Sequence[object], value)
        return [_at(listed, index) for index in range(len(listed))]
    return None  # an asset: a file, whose content is not an input
