"""A bucket that was there before, in the stack from then on: the import changes nothing, and it outlives the stack."""

from __future__ import annotations

from pulumi import ComponentResource, ResourceOptions
from pulumi_aws.s3.bucket import Bucket


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
