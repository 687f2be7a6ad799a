"""What a preview says beside the changes: nothing here changes anything."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import pulumi
from pulumi_aws.ssm.get_parameter import get_parameter

from components.models import Settings

# Debian publishes its newest image's id here: https://wiki.debian.org/Cloud/AmazonEC2Image/Trixie
NEWEST_IMAGE = "/aws/service/debian/release/13/latest/arm64"


def advise(settings: Settings, caller_arn: str) -> None:
    """Speaks in a preview only: an update does what the preview showed."""
    if not pulumi.runtime.is_dry_run():
        return
    principal = principal_of(caller_arn)
    if not spared(principal, settings.storage.break_glass):
        pulumi.log.warn(
            f"{principal}, who deploys, is not in twinlock:storage.break_glass: the buckets will refuse to be looked "
            "up by it (a listing), and a refresh will fail; add it, or deploy through the storage endpoint"
        )
    if settings.gateway.stock_image:
        _compare(settings.gateway.image)


def _compare(pinned: str) -> None:
    """A preview never fails because it can't tell: the pin counts, whatever is newer."""
    try:
        newest = get_parameter(name=NEWEST_IMAGE).value
    except Exception as error:  # noqa: BLE001  the SDK's invoke raises nothing narrower
        said = " ".join(str(error).split())[:200]
        pulumi.log.info(f"Whether Debian has a newer image than {pinned} is not known: {said}")
        return
    if newest != pinned:
        pulumi.log.info(
            f"Debian's newest image is {newest}, twinlock:gateway.image is {pinned}: "
            "`twinlock environment image --update` moves it"
        )


def principal_of(caller_arn: str) -> str:
    """The ARN that aws:PrincipalArn holds for a caller: a session's role. A role's path is not in a session's ARN."""
    parts = caller_arn.split(":", 5)
    kind, _, rest = parts[5].partition("/")
    if kind != "assumed-role":
        return caller_arn
    return f"arn:{parts[1]}:iam::{parts[4]}:role/{rest.partition('/')[0]}"


def spared(principal: str, patterns: Sequence[str]) -> bool:
    """Whether one of `patterns` (with * and ?) names the principal, with whatever path its role may have."""
    account, _, name = principal.partition(":role/")
    return any(
        fnmatchcase(principal, pattern)
        or (bool(name) and pattern.startswith(f"{account}:role/") and fnmatchcase(name, pattern.rsplit("/", 1)[-1]))
        for pattern in patterns
    )
