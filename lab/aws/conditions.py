"""IAM's conditions: operators, quantifiers, missing keys and policy variables. Pure.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from lab.aws.context_keys import SEVERAL, Context, PolicyError, known
from lab.aws.patterns import arn_like, substituted


@dataclass(frozen=True, kw_only=True)
class Condition:
    """OPERATOR on KEY with the policy's values."""

    operator: str  # without quantifier and IfExists
    quantifier: str  # "", "ForAllValues" or "ForAnyValue"
    if_exists: bool
    key: str  # lower case
    values: tuple[str, ...]


def condition(operator: str, key: str, values: tuple[str, ...], label: str) -> Condition:
    """A parsed condition. Raises PolicyError at an operator or key that the lab does not know."""
    quantifier, _, rest = operator.rpartition(":")
    if_exists = rest.endswith("IfExists")
    plain = rest.removesuffix("IfExists")
    lower = key.lower()
    if quantifier not in ("", "ForAllValues", "ForAnyValue"):
        raise PolicyError(f"{label}: no quantifier {quantifier!r} (ForAllValues, ForAnyValue)")
    if plain not in (*_TESTS, *_NEGATED, "Null"):
        raise PolicyError(f"{label}: the lab knows no operator {operator!r}")
    if not known(lower):
        raise PolicyError(f"{label}: the lab knows no condition key {key!r}")
    if lower in SEVERAL and not quantifier and plain != "Null":
        raise PolicyError(f"{label}: {key} may have several values: say ForAllValues or ForAnyValue")
    _check_values(plain, values, label)
    return Condition(operator=plain, quantifier=quantifier, if_exists=if_exists, key=lower, values=values)


def _check_values(operator: str, values: tuple[str, ...], label: str) -> None:
    """That every value is what its operator compares: by comparing it."""
    sample = "192.0.2.1" if operator.endswith("IpAddress") else "0"
    if not operator.endswith("IpAddress") and not operator.startswith(("Numeric", "Date")):
        return
    for value in values:
        try:
            _TESTS[_NEGATED.get(operator, operator)](value, sample, {})
        except ValueError as error:
            raise PolicyError(f"{label}: {operator} can't compare with {value!r}: {error}") from error


def holds(one: Condition, context: Context) -> bool:
    """Whether the request meets the condition."""
    found = context.get(one.key)
    if one.operator == "Null":
        return (found is None) == (one.values[0].lower() == "true")
    negated = one.operator in _NEGATED
    if not found:
        return one.if_exists or (one.quantifier == "ForAllValues") or (negated and one.quantifier == "")
    test = _TESTS[_NEGATED.get(one.operator, one.operator)]

    def passes(value: str) -> bool:
        return any(test(wanted, value, context) for wanted in one.values) != negated

    if one.quantifier == "ForAllValues":
        return all(passes(value) for value in found)
    return any(passes(value) for value in found)


Test = Callable[[str, str, Context], bool]


def _equals(wanted: str, value: str, context: Context) -> bool:
    regex = substituted(wanted, context, wildcards=False)
    return regex is not None and re.fullmatch(regex, value, re.DOTALL) is not None


def _equals_ignoring_case(wanted: str, value: str, context: Context) -> bool:
    regex = substituted(wanted, context, wildcards=False)
    return regex is not None and re.fullmatch(regex, value, re.DOTALL | re.IGNORECASE) is not None


def _like(wanted: str, value: str, context: Context) -> bool:
    regex = substituted(wanted, context)
    return regex is not None and re.fullmatch(regex, value, re.DOTALL) is not None


def _arn_like(wanted: str, value: str, context: Context) -> bool:
    return arn_like(wanted, value, context)


def _address(wanted: str, value: str, _: Context) -> bool:
    return ipaddress.ip_address(value) in ipaddress.ip_network(wanted, strict=False)


def _same_flag(wanted: str, value: str, _: Context) -> bool:
    return wanted.lower() == value.lower()


def _number(compare: Callable[[float, float], bool]) -> Test:
    return lambda wanted, value, _: compare(float(value), float(wanted))


def _time(text: str) -> float:
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    parsed = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def _date(compare: Callable[[float, float], bool]) -> Test:
    return lambda wanted, value, _: compare(_time(value), _time(wanted))


_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "Equals": lambda value, wanted: value == wanted,
    "LessThan": lambda value, wanted: value < wanted,
    "LessThanEquals": lambda value, wanted: value <= wanted,
    "GreaterThan": lambda value, wanted: value > wanted,
    "GreaterThanEquals": lambda value, wanted: value >= wanted,
}
_TESTS: dict[str, Test] = {
    "StringEquals": _equals,
    "StringEqualsIgnoreCase": _equals_ignoring_case,
    "StringLike": _like,
    "ArnEquals": _arn_like,  # AWS: ArnEquals and ArnLike behave identically
    "ArnLike": _arn_like,
    "Bool": _same_flag,
    "IpAddress": _address,
    **{f"Numeric{name}": _number(compare) for name, compare in _COMPARISONS.items()},
    **{f"Date{name}": _date(compare) for name, compare in _COMPARISONS.items()},
}
# Negated operator -> the one that it negates.
_NEGATED = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NotIpAddress": "IpAddress",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
}
