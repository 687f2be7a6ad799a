"""Room in the account is asked for before the first resource, with the real engine."""

from __future__ import annotations

from pathlib import Path

from tests.cloud import cloud, config, project, pulumi

LINE = "needs 2 more elastic IPs, and 0 of the region's 1 are in use; release some, or raise the quota L-0263D0A3"


def test_a_deployment_that_has_no_room_makes_nothing(tmp_path: Path):
    with cloud(tmp_path, addresses=1, networks=1) as made:
        folder = project(tmp_path / "project", "full", config(network={"zones": ["eu-west-1a", "eu-west-1d"]}))
        pulumi(made, folder, "stack", "init", "full")
        said = pulumi(made, folder, "up", "--yes", "--skip-preview", code=1)
        assert LINE in said and "Traceback" not in said
        assert "needs a VPC, and all of the region's 1 are in use; name one in twinlock:network.vpc_id" in said
        assert "t4g.small: is not offered in eu-west-1d; choose another size, or zones of eu-west-1a" in said
        assert not made.control.client("ec2").describe_addresses()["Addresses"]
        assert len(made.control.client("ec2").describe_vpcs()["Vpcs"]) == 1  # the default one
