"""What a destroyed environment leaves behind, and what that goes on costing: pure, from the engine's states.

Prices are AWS's list prices in eu-west-1. Neither KMS nor Secrets Manager charges for what waits for its deletion:
https://aws.amazon.com/kms/pricing/ and https://aws.amazon.com/secrets-manager/pricing/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from twinlock.change import Left

Json = Mapping[str, object]

_COSTS = {
    "aws:s3/bucket:Bucket": "about $0.023 a month for each GB in it",
    "aws:dynamodb/table:Table": "about $0.25 a month for each GB in it, and $0.20 for its recovery",
    "aws:kms/key:Key": "$1 a month",
    "aws:secretsmanager/secret:Secret": "$0.40 a month",
}
# Type -> the input that says for how many days a deletion can be taken back.
_WINDOWS = {
    "aws:kms/key:Key": "deletionWindowInDays",
    "aws:secretsmanager/secret:Secret": "recoveryWindowInDays",
}


def left(before: Json, after: Json) -> Iterator[Left]:
    """`before` and `after` are exported states, of before and after the destruction."""
    stays = {str(each["urn"]): each for each in _resources(after)}
    for urn, each in stays.items():
        if each.get("protect"):
            yield Left(urn=urn, why="protected", days=None, cost=_cost(each))
    for each in _resources(before):
        urn, days = str(each["urn"]), _days(each)
        if urn not in stays and each.get("retainOnDelete"):
            yield Left(urn=urn, why="adopted", days=None, cost=_cost(each))
        elif urn not in stays and days:
            yield Left(urn=urn, why="recovery", days=days, cost="nothing")


def _cost(resource: Json) -> str:
    return _COSTS.get(str(resource["type"]), "nothing")


def _days(resource: Json) -> int:
    window = _WINDOWS.get(str(resource["type"]))
    inputs = cast(Json, resource.get("inputs") or {})
    return int(cast(float, inputs.get(window) or 0)) if window else 0


def _resources(state: Json) -> list[Json]:
    deployment = cast(Json, state.get("deployment") or {})
    return cast(list[Json], deployment.get("resources") or [])
