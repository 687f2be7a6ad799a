"""A commented stack file for a new environment: pure. Every setting is in it; those with a default as a comment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What can't be guessed."""

    region: str
    zones: Sequence[str]
    image: str
    buckets: Sequence[str]
    tenants: Sequence[str]
    break_glass: Sequence[str]
    protect: bool


_HEAD = """\
# yaml-language-server: $schema=docs/stack.schema.json
config:
  aws:region: {region}
  twinlock:network:
    zones: [{zones}]  # a gateway in each
    cidr: 10.20.0.0/16  # may not overlap the tunnel's range
    # vpc_id: vpc-0123456789abcdef0  # to live in a VPC that there is, with `cidr` a free part of it
    # adopt: false  # true: that VPC comes into the stack, by import
    # ipv6: false  # true: tenants may reach services by IPv6; needs tunnel.ipv6 for them
    # cidr6: 2001:db8:1234:5600::/60  # in a VPC that there is: a free IPv6 part of it
    # interface_endpoints: false  # true: the cloud's APIs by private addresses alone
  twinlock:tunnel:
    range: 10.90.0.0/16  # of all clients' addresses
    # ipv6: false  # true: every peer has an IPv6 address as well
    # range6: fd12:3456:789a::/96  # of these; leave out for private ones
    # port: 51820
    # mtu: 1420
    # client_ranges: [0.0.0.0/0]  # where clients may call from
    # dns: {{zones: [corp.internal]}}  # private zones whose names the gateways answer for inside the tunnel
  twinlock:gateway:
    image: {image}  # Debian 13 arm64; `twinlock environment image --update` moves it
    # instance_type: t4g.small
    # disk_gib: 8
    # endpoints: [ways]  # [ways, floating-ip]: an address besides for clients that can hold but one peer, and iPhones
    # permissions_boundary: arn:aws:iam::111122223333:policy/twinlock-prod-boundary  # `environment policy` writes it
    # rolling: automatic  # manual, or hours of the day (UTC) such as 22:00-04:00: when gateways replace themselves
    # stock_image: true  # false where the packages are baked in
  twinlock:storage:
    buckets: [{buckets}]
    # existing: {{archive: my-archive}}  # buckets that there are, by short names
    # adopt: []  # which of them to import into the stack
    # who deploys, and reaches the buckets without a tunnel, such as arn:aws:iam::111122223333:role/deployer
    break_glass: [{break_glass}]
    # other_buckets: refuse  # allow: clients reach anybody's buckets through the endpoint
    protect: {protect}
  twinlock:registry:
    protect: {protect}
  twinlock:tenants:
"""
_TENANT = """\
    {name}:
      range: 10.90.{block}.0/20
      approval: manual  # auto: nobody has to approve
      # approvers: 1  # people beside the one who enrols
      # preshared_keys: false  # true: each key of a peer has a pre-shared key beside it
      # max_key_age: 90d  # who has an older key is due for rotation; leave out for none
      # principals: []  # ARNs that the buckets' policies admit
      # buckets: [data]  # leave out for all
      # prefix: {name}/  # the part of these buckets that is this tenant's alone
      # source_address: tenant  # whose address the storage sees: tenant, peer, gateway
      # source_addresses: 16  # for source_address: peer
      # storage: true
      # services: [{{name: db, cidr: 10.20.128.5/32, port: 5432, protocol: tcp}}]
      # internet: false  # true: peers may send all of their traffic this way; needs tunnel.ipv6
      # cidrs: []  # networks reachable at any port
"""
# A /20 of the tunnel's /16 each; the first is the gateways'.
MOST_TENANTS = 15


def render(wanted: Wanted) -> str:
    head = _HEAD.format(
        region=wanted.region,
        zones=", ".join(wanted.zones),
        image=wanted.image,
        buckets=", ".join(wanted.buckets),
        break_glass=", ".join(f'"{arn}"' for arn in wanted.break_glass),
        protect=str(wanted.protect).lower(),
    )
    return head + "".join(
        _TENANT.format(name=name, block=16 * index) for index, name in enumerate(wanted.tenants, start=1)
    )
