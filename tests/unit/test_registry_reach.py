"""What a peer may reach of its tenant's destinations: never more than the tenant."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.registry_samples import definition
from twinlock.registry.errors import Refused
from twinlock.registry.reach import check_reach, chosen, names, narrowed

RED = definition().tenants[0]


def test_a_peer_for_which_nothing_is_named_reaches_what_its_tenant_does():
    assert narrowed(RED, None) == RED and chosen([]) is None


def test_one_for_which_something_is_named_reaches_that_alone():
    seen = narrowed(RED, ("nfs",))
    assert (seen.storage, [one.name for one in seen.services], seen.cidrs) == (False, ["nfs"], ())
    assert narrowed(RED, ("storage",)).storage and narrowed(RED, ("10.80.64.0/20",)).cidrs == ("10.80.64.0/20",)


def test_the_internet_is_reached_where_the_tenant_does_and_the_peer_is_not_kept_from_it():
    wide = replace(RED, internet=True)
    assert narrowed(wide, None).internet and narrowed(wide, ("internet",)).internet
    assert not narrowed(wide, ("storage",)).internet and not narrowed(RED, ("internet",)).internet
    check_reach(wide, ("internet",))
    with pytest.raises(Refused, match="does not reach internet"):
        check_reach(RED, ("internet",))


@given(st.lists(st.sampled_from([*names(RED), "db", "0.0.0.0/0", "STORAGE", ""])))
def test_whatever_is_named_it_is_never_more_than_the_tenant_reaches(named):
    seen = narrowed(RED, tuple(named))
    assert set(names(seen)) <= set(names(RED)) & set(named)
    assert seen.range == RED.range


@pytest.mark.parametrize("named", [("db",), ("nfs", "0.0.0.0/0"), ("storage ",)])
def test_what_the_tenant_does_not_reach_is_refused_with_what_it_does(named):
    with pytest.raises(Refused, match=r"it reaches storage, nfs, 10\.80\.64\.0/20"):
        check_reach(RED, named)
