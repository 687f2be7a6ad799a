"""All rules over resources: the same for the engine and for a test."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from policies import access, lasting, leaks, machines, network, storage
from policies.exceptions import exempt
from policies.resource import Resource
from policies.rule import Rule, StackRule

RULES: tuple[Rule, ...] = (
    *network.RULES,
    *machines.RULES,
    *storage.RULES,
    *access.RULES,
    *leaks.RULES,
    *lasting.RULES,
)
STACK_RULES: tuple[StackRule, ...] = (*machines.STACK_RULES, *storage.STACK_RULES)


def judge(rule: Rule, resource: Resource) -> Iterator[str]:
    """What is wrong with a resource by `rule`, and not knowingly so."""
    if exempt(rule.name, resource) is None:
        yield from rule.check(resource)


def judge_stack(rule: StackRule, resources: Iterable[Resource]) -> Iterator[tuple[Resource, str]]:
    for resource, text in rule.check(resources):
        if exempt(rule.name, resource) is None:
            yield resource, text
