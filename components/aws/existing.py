"""What the environment is to live with and did not make: looked at before the first resource, told in one line each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from ipaddress import IPv4Network, IPv6Network
from typing import TypeVar, cast

from pulumi_aws.ec2._inputs import GetInternetGatewayFilterArgs, GetSubnetsFilterArgs
from pulumi_aws.ec2.get_internet_gateway import get_internet_gateway
from pulumi_aws.ec2.get_subnet import get_subnet
from pulumi_aws.ec2.get_subnets import get_subnets
from pulumi_aws.ec2.get_vpc import GetVpcResult, get_vpc
from pulumi_aws.s3.get_bucket import get_bucket
from pulumi_aws.s3.get_bucket_policy import get_bucket_policy

from components.aws.permissions import OWN_SIDS
from components.errors import Problem, SettingsError
from components.models import Settings
from userdata.render import PRIVATE

Foreign = Mapping[str, object]  # a statement that somebody else wrote
Found = TypeVar("Found")


@dataclass(frozen=True, kw_only=True)
class ExistingNetwork:
    vpc_id: str
    cidr: str  # its first one, which never changes
    internet_gateway: str


@dataclass(frozen=True, kw_only=True)
class Existing:
    """`network` is None where the environment makes its own; `policies` holds other people's statements by bucket."""

    network: ExistingNetwork | None = None
    policies: Mapping[str, Sequence[Foreign]] = field(default_factory=dict[str, Sequence[Foreign]])


def look_up(settings: Settings) -> Existing:
    """Raises SettingsError with all that does not fit. Asks for nothing where nothing exists."""
    problems: list[Problem] = []
    network = _network(settings, problems)
    policies = {
        short: statements
        for short, name in settings.storage.existing.items()
        if (statements := _policy(settings, short, name, problems)) is not None
    }
    if problems:
        raise SettingsError(problems)
    return Existing(network=network, policies=policies)


def _network(settings: Settings, problems: list[Problem]) -> ExistingNetwork | None:
    vpc_id, key = settings.network.vpc_id, "twinlock:network.vpc_id"
    if vpc_id is None:
        return None
    vpc = _asked(problems, key, vpc_id, lambda: get_vpc(id=vpc_id))
    if vpc is None:
        return None
    problems += [*_fits(settings, vpc), *_free(settings, vpc_id)]
    gateway = _asked(problems, key, vpc_id, lambda: _internet_gateway(vpc_id))
    if gateway is None:
        return None
    return ExistingNetwork(vpc_id=vpc_id, cidr=vpc.cidr_block, internet_gateway=gateway)


def _internet_gateway(vpc_id: str) -> str:
    attached = GetInternetGatewayFilterArgs(name="attachment.vpc-id", values=[vpc_id])
    return get_internet_gateway(filters=[attached]).internet_gateway_id


def _fits(settings: Settings, vpc: GetVpcResult) -> Iterator[Problem]:
    cidr, tunnel, key = settings.network.cidr, settings.tunnel.range, "twinlock:network.vpc_id"
    blocks = [IPv4Network(each.cidr_block) for each in vpc.cidr_block_associations]
    public = [block for block in blocks if not any(block.subnet_of(IPv4Network(one)) for one in PRIVATE)]
    if public and any(tenant.internet for tenant in settings.tenants.values()):
        rule = f"has {', '.join(map(str, public))}, which a tenant that reaches the internet would reach with it"
        yield Problem(
            key=key, value=str(settings.network.vpc_id), rule=rule, mend="choose a network of private addresses alone"
        )
    if not any(cidr.subnet_of(block) for block in blocks):
        rule = f"is no part of {vpc.id} ({', '.join(map(str, blocks))})"
        yield Problem(
            key="twinlock:network.cidr", value=str(cidr), rule=rule, mend="name a free part of it, /16 to /24"
        )
    if settings.network.cidr6 is not None:
        yield from _fits6(settings.network.cidr6, vpc)
    for block in blocks:
        if block.overlaps(tunnel):
            rule = f"overlaps {vpc.id} ({block})"
            yield Problem(key="twinlock:tunnel.range", value=str(tunnel), rule=rule, mend="choose another network")
    if not (vpc.enable_dns_support and vpc.enable_dns_hostnames):
        mend = "switch DNS support and DNS host names on: private names need both"
        yield Problem(key=key, value=vpc.id, rule="has its DNS switched off", mend=mend)


def _fits6(cidr6: IPv6Network, vpc: GetVpcResult) -> Iterator[Problem]:
    blocks = [IPv6Network(each.ipv6_cidr_block) for each in vpc.ipv6_cidr_block_associations]
    if not any(cidr6.subnet_of(block) for block in blocks):
        rule = f"is no part of {vpc.id} ({', '.join(map(str, blocks)) or 'which has no IPv6'})"
        yield Problem(key="twinlock:network.cidr6", value=str(cidr6), rule=rule, mend="name a free part, /56 to /60")


def _free(settings: Settings, vpc_id: str) -> Iterator[Problem]:
    """The range is the environment's alone: a new zone's subnet must find its place free, too."""
    cidr, own = settings.network.cidr, settings.environment
    for name in get_subnets(filters=[GetSubnetsFilterArgs(name="vpc-id", values=[vpc_id])]).ids:
        subnet = get_subnet(id=name)
        if subnet.tags.get("twinlock:environment") == own:
            continue
        cidr6, taken6 = settings.network.cidr6, subnet.ipv6_cidr_block
        if cidr6 is not None and taken6 and IPv6Network(taken6).overlaps(cidr6):
            rule, mend = f"holds {name} ({taken6}) already", "name a part that is free"
            yield Problem(key="twinlock:network.cidr6", value=str(cidr6), rule=rule, mend=mend)
        if subnet.cidr_block and IPv4Network(subnet.cidr_block).overlaps(cidr):
            rule, mend = f"holds {name} ({subnet.cidr_block}) already", "name a part that is free"
            yield Problem(key="twinlock:network.cidr", value=str(cidr), rule=rule, mend=mend)


def _policy(settings: Settings, short: str, name: str, problems: list[Problem]) -> tuple[Foreign, ...] | None:
    key = f"twinlock:storage.existing.{short}"
    bucket = _asked(problems, key, name, lambda: get_bucket(bucket=name))
    if bucket is None:
        return None
    if bucket.bucket_region != settings.region:
        rule = f"is in {bucket.bucket_region}, and the storage endpoint serves {settings.region} alone"
        problems.append(Problem(key=key, value=name, rule=rule, mend="name a bucket of the environment's region"))
    text = _asked(problems, key, name, lambda: _present_policy(name))
    return None if text is None else _foreign(text)


def _present_policy(name: str) -> str:
    """The bucket's policy, "" where it has none: the provider says that as an error."""
    try:
        return get_bucket_policy(bucket=name).policy
    except Exception as error:
        if "NoSuchBucketPolicy" in str(error) or "couldn't find resource" in str(error):
            return ""
        raise


def _foreign(text: str) -> tuple[Foreign, ...]:
    """The statements that others wrote, which stay."""
    if not text:
        return ()
    statements = cast("list[Foreign] | Foreign", json.loads(text)["Statement"])
    listed = [statements] if isinstance(statements, Mapping) else statements
    return tuple(each for each in listed if not any(fnmatchcase(str(each.get("Sid")), own) for own in OWN_SIDS))


def _asked(problems: list[Problem], key: str, value: str, ask: Callable[[], Found]) -> Found | None:
    try:
        return ask()
    except Exception as error:  # noqa: BLE001  the SDK's invoke raises nothing narrower
        said = " ".join(str(error).split())[:300]
        problems.append(Problem(key=key, value=value, rule=f"can't be looked up: {said}", mend="check its name"))
        return None
