"""What the account and the zones have room for, asked before the first resource: one clear line instead of half a
deployment. Where it can't be asked, the deployment goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import pulumi
from pulumi_aws.ec2._inputs import GetInstanceTypeOfferingsFilterArgs
from pulumi_aws.ec2.get_eips import get_eips
from pulumi_aws.ec2.get_instance_type_offerings import get_instance_type_offerings
from pulumi_aws.ec2.get_vpcs import get_vpcs
from pulumi_aws.servicequotas.get_service_quota import get_service_quota

from components.errors import Problem, SettingsError
from components.models import Settings

Found = TypeVar("Found")
# https://docs.aws.amazon.com/general/latest/gr/ec2-service.html#limits_ec2: "EC2-VPC Elastic IPs"
ADDRESSES_QUOTA = "L-0263D0A3"
# https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html: "VPCs per Region", internet gateways alike
NETWORKS_QUOTA = "L-F678F1CE"


def check_room(settings: Settings) -> None:
    """Raises SettingsError with all that there is no room for."""
    problems = [*_network(settings), *_addresses(settings), *_sizes(settings)]
    if problems:
        raise SettingsError(problems)


def _addresses(settings: Settings) -> Iterator[Problem]:
    """One for each slot, and the floating one; those that the environment has already count for it."""
    held = _asked("elastic IPs", lambda: set(get_eips().public_ips))
    own = _asked("elastic IPs", lambda: set(get_eips(tags={"twinlock:environment": settings.environment}).public_ips))
    if held is None or own is None:
        return
    more = len(settings.network.zones) + settings.gateway.floating - len(own)
    if more <= 0:
        return
    quota = _asked("quota of elastic IPs", lambda: get_service_quota(quota_code=ADDRESSES_QUOTA, service_code="ec2"))
    if quota is None or len(held) + more <= quota.value:
        return
    rule = f"needs {more} more elastic IPs, and {len(held)} of the region's {quota.value:.0f} are in use"
    mend = f"release some, or raise the quota {ADDRESSES_QUOTA} (Service Quotas, EC2)"
    yield Problem(key="twinlock:network.zones", value=", ".join(settings.network.zones), rule=rule, mend=mend)


def _network(settings: Settings) -> Iterator[Problem]:
    """One VPC, and its internet gateway, unless the environment has it already or lives in another one."""
    if settings.network.vpc_id is not None:
        return
    held = _asked("VPCs", lambda: set(get_vpcs().ids))
    own = _asked("VPCs", lambda: set(get_vpcs(tags={"twinlock:environment": settings.environment}).ids))
    if held is None or own is None or own:
        return
    quota = _asked("quota of VPCs", lambda: get_service_quota(quota_code=NETWORKS_QUOTA, service_code="vpc"))
    if quota is None or len(held) < quota.value:
        return
    rule = f"needs a VPC, and all of the region's {quota.value:.0f} are in use"
    mend = f"name one in twinlock:network.vpc_id, or raise the quota {NETWORKS_QUOTA} (Service Quotas, VPC)"
    yield Problem(key="twinlock:network.cidr", value=str(settings.network.cidr), rule=rule, mend=mend)


def _sizes(settings: Settings) -> Iterator[Problem]:
    size = settings.gateway.instance_type
    named = GetInstanceTypeOfferingsFilterArgs(name="instance-type", values=[size])
    offered = _asked(
        "sizes of instances",
        lambda: set(get_instance_type_offerings(filters=[named], location_type="availability-zone").locations),
    )
    lacking = sorted(set(settings.network.zones) - (offered or set()))
    if offered is None or not lacking:
        return
    rule = f"is not offered in {', '.join(lacking)}"
    mend = f"choose another size, or zones of {', '.join(sorted(offered)) or 'another region'}"
    yield Problem(key="twinlock:gateway.instance_type", value=size, rule=rule, mend=mend)


def _asked(what: str, ask: Callable[[], Found]) -> Found | None:
    """None where the caller may not ask, or the service does not answer."""
    try:
        return ask()
    except Exception as error:  # noqa: BLE001  the SDK's invoke raises nothing narrower
        said = " ".join(str(error).split())[:200]
        pulumi.log.info(f"The {what} could not be looked up, so whether there is room is not known: {said}")
        return None
