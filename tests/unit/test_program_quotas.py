"""What there is no room for is told before the first resource."""

from __future__ import annotations

import re

import pytest

from components.errors import SettingsError
from tests.unit.program_build import Room, build


def told(room: Room) -> str:
    with pytest.raises(SettingsError) as caught:
        build(room=room)
    return str(caught.value)


def test_too_few_elastic_addresses_are_one_line_with_quota_and_mend():
    said = told(Room(held=("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")))
    assert re.search(r"needs 2 more elastic IPs, and 4 of the region's 5 are in use; release some", said)
    assert "L-0263D0A3" in said and said.count("\n") == 1


def test_addresses_that_the_environment_has_count_for_it():
    held = tuple(f"192.0.2.{host}" for host in range(5))
    assert build(room=Room(held=held, own=held[:2])).of("Eip")
    assert "needs 1 more" in told(Room(held=held, own=held[:1]))


def test_a_size_that_a_zone_does_not_offer_is_told_with_the_zones_that_do():
    said = told(Room(offered=("eu-west-1a", "eu-west-1c")))
    assert "gateway.instance_type = t4g.small: is not offered in eu-west-1b" in said
    assert "zones of eu-west-1a, eu-west-1c" in said


def test_all_that_there_is_no_room_for_is_told_at_once():
    assert "3 mistakes" in told(Room(quota=1.0, offered=()))


FIVE = tuple(f"vpc-{number}" for number in range(5))


def test_a_region_without_room_for_another_network_is_one_line_with_quota_and_mend():
    said = told(Room(networks=FIVE))
    assert "twinlock:network.cidr" in said and "needs a VPC, and all of the region's 5 are in use" in said
    assert "name one in twinlock:network.vpc_id, or raise the quota L-F678F1CE" in said and said.count("\n") == 1
    assert build(room=Room(networks=FIVE[:4])).of("Vpc")


def test_the_environments_own_network_counts_for_it():
    assert build(room=Room(networks=FIVE, own_network=True)).of("Vpc")
