"""What was there before, in the stack from then on: the import changes nothing, and it outlives the stack."""

from __future__ import annotations

from pulumi import ComponentResource, ResourceOptions
from pulumi_aws.ec2.vpc import Vpc
from pulumi_aws.s3.bucket import Bucket

# Of a network, each of which would be set anew or taken away where the program says nothing of it.
OWNERS = [
    "assign_generated_ipv6_cidr_block", "enable_dns_hostnames", "enable_dns_support",
    "enable_network_address_usage_metrics", "instance_tenancy", "ipv4_ipam_pool_id", "ipv4_netmask_length",
    "ipv6_cidr_block", "ipv6_cidr_block_network_border_group", "ipv6_ipam_pool_id", "ipv6_netmask_length", "tags",
]  # fmt: skip


class AdoptedBucket(ComponentResource):
    """`protect` guards it in the state; the bucket itself is deleted in no case."""

    def __init__(self, name: str, full_name: str, *, protect: bool, opts: ResourceOptions) -> None:
        super().__init__("twinlock:aws:AdoptedBucket", name, None, opts)
        self.bucket = Bucket(
            name,
            bucket=full_name,
            opts=ResourceOptions(
                parent=self,
                import_=full_name,
                # The engine imports, and then updates what differs: its owner's tags would go. The other one stands in
                # no bucket, is false where nothing is said, and would be shown as a change.
                ignore_changes=["tags", "force_destroy"],
                protect=protect,
                retain_on_delete=True,
            ),
        )
        self.register_outputs({})


class AdoptedNetwork(ComponentResource):
    """In the stack for a refresh to see: all that it has beside its range stays as its owner wants it."""

    def __init__(self, name: str, vpc_id: str, cidr: str, *, opts: ResourceOptions) -> None:
        super().__init__("twinlock:aws:AdoptedNetwork", name, None, opts)
        self.vpc = Vpc(
            name,
            cidr_block=cidr,
            opts=ResourceOptions(parent=self, import_=vpc_id, ignore_changes=OWNERS, retain_on_delete=True),
        )
        self.register_outputs({})
