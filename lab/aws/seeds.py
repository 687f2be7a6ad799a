"""What the lab's cloud holds before anyone calls it, as AWS does: the images of Debian 13 and where to look them up."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

# Debian publishes its images' ids under this name: https://wiki.debian.org/Cloud/AmazonEC2Image/Trixie
IMAGE_PARAMETER = "/aws/service/debian/release/13/latest/{architecture}"


@dataclass(frozen=True, kw_only=True)
class Image:
    """A machine image, named as moto's own list of images names its fields."""

    ami_id: str
    name: str
    architecture: str
    description: str = "Debian 13"
    owner_id: str = "136693071363"  # Debian's account
    creation_date: str = "2026-11-02T00:00:00.000Z"
    state: str = "available"
    public: bool = True
    image_location: str = "amazon/debian-13"
    image_type: str = "machine"
    root_device_type: str = "ebs"
    root_device_name: str = "/dev/xvda"
    virtualization_type: str = "hvm"
    hypervisor: str = "xen"
    sriov: str = "simple"


# As Debian publishes them: nothing of ours is in it.
STOCK_IMAGE = Image(ami_id="ami-0d13a640000000000", name="debian-13-arm64-20261019-2269", architecture="arm64")
# In the order of their publication. The lab stands for those who bake the packages into the newest.
IMAGES = (
    STOCK_IMAGE,
    Image(ami_id="ami-0d13a640000000001", name="debian-13-arm64-20261102-2283", architecture="arm64"),
    Image(ami_id="ami-0d13a6d0000000001", name="debian-13-amd64-20261102-2283", architecture="x86_64"),
)


def images_document() -> str:
    """IMAGES in the form that moto reads (MOTO_AMIS_PATH)."""
    return json.dumps([asdict(image) for image in IMAGES], indent=1)
