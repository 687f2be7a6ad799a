"""peers.yaml: whatever is in it, it is read exactly or refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from tests.registry_samples import public_key
from twinlock.cli.peers_file import read_roster, roster_from, roster_text
from twinlock.registry.errors import Refused
from twinlock.registry.model import Peer, Wanted
from twinlock.registry.roster import batches, check_unowned, steps

K1, K2, K3 = public_key(1), public_key(2), public_key(3)


def peer(name: str, key: str, tenant: str = "red", expires_at: int | None = None, state="approved", reach=None) -> Peer:
    return Peer(
        tenant=tenant, name=name, public_key=key, address="10.64.1.1", state=state, enrolled_by="A:a", enrolled_at=1,
        approved_by=("B:b",), expires_at=expires_at, reach=reach,
    )  # fmt: skip


def test_the_example_is_read():
    roster = read_roster(Path(__file__).resolve().parents[2] / "examples" / "peers.yaml")
    assert [one.name for one in roster["engineering"]] == ["ada-laptop", "visitor"]
    assert roster["engineering"][1].expires_at == 1_801_396_800


@given(
    st.dictionaries(
        st.from_regex(r"\A[a-z0-9]([a-z0-9._-]{0,20}[a-z0-9])?\Z"),
        st.tuples(
            st.integers(0, 10**6),
            st.none() | st.integers(1, 4 * 10**9),
            st.sampled_from([None, ("storage",), ("10.80.64.0/20", "nfs")]),
        ),
        max_size=8,
    )
)
def test_what_is_exported_is_read_back_as_it_was(found):
    peers = [
        peer(name, public_key(f"{name} {seed}"), "red" if seed % 2 else "blue", ends, reach=reach)
        for name, (seed, ends, reach) in found.items()
    ]
    roster = roster_from(roster_text(peers), "x") if peers else {}
    told = {(t, one.name, one.public_key, one.expires_at, one.reach) for t, listed in roster.items() for one in listed}
    assert told == {(one.tenant, one.name, one.public_key, one.expires_at, one.reach) for one in peers}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "each with a colon"),
        ("[]", "each with a colon"),
        ("tenants: [", "line 2: did not find"),
        ("tennants: {}", "`tenants` at the top"),
        ("tenants: {red: [a]}", "x: tenants.red"),
        ("tenants: {red: {a: {}}}", "tenants.red.a: public_key"),
        (f"tenants: {{red: {{a: {{public_key: {K1}, ttl: 5}}}}}}", "tenants.red.a: ttl"),
        (f"tenants: {{red: {{a: {{public_key: {K1}, reach: nfs}}}}}}", "tenants.red.a: reach is a list"),
        (f"tenants: {{red: {{a: {{public_key: {K1}, reach: []}}}}}}", "tenants.red.a: reach is a list"),
        (f"tenants: {{red: {{a: {{public_key: {K1}, reach: [1]}}}}}}", "tenants.red.a: reach is a list"),
        ("tenants: {red: {a: {public_key: AAAA}}}", "3 bytes where 32 are needed"),
        (f"tenants: {{red: {{A: {{public_key: {K1}}}}}}}", "can't be a peer's name"),
        (f"tenants: {{red: {{7: {{public_key: {K1}}}}}}}", "line 1: '7' is no text to YAML"),
        (f"tenants: {{red: {{on: {{public_key: {K1}}}}}}}", "'on' is no text to YAML"),
        (f"tenants: {{red: {{a: {{public_key: {K1}}}, a: {{public_key: {K2}}}}}}}", "a is there twice"),
        (f"tenants: {{red: {{a: &k {{public_key: {K1}}}, b: *k}}}}", "references"),
        (f"tenants: {{red: {{a: {{public_key: {K1}}}}}, blue: {{b: {{public_key: {K1}}}}}}}", "the same public key"),
        (f"tenants: {{red: {{a: {{public_key: {K1}, expires: soon}}}}}}", "expires is a time"),
        (f"tenants: {{red: {{a: {{public_key: {K1}, expires: 2027-13-41}}}}}}", "ValueError"),
        ("[" * 5000 + "]" * 5000, "x: "),
        ("tenants: {red: !!python/object/apply:os.system [true]}", "could not determine a constructor"),
        ("a: \x07", "x"),
    ],
)
def test_a_list_that_is_not_exact_is_refused_with_the_place(text, says):
    with pytest.raises(typer.BadParameter) as refused:
        roster_from(text, "x")
    assert says in refused.value.message
    assert len(refused.value.message.splitlines()) == 1


@given(st.text(max_size=80) | st.text("[]{}:,-#&*!|>'\" \n\ttenansrd0", max_size=60).map(lambda t: "tenants: " + t))
def test_no_text_makes_the_reader_do_anything_but_refuse_or_read(text):
    try:
        roster_from(text, "x")
    except typer.BadParameter as refused:
        assert len(refused.message.splitlines()) == 1


def test_a_file_that_is_not_there_or_not_text_is_bad_usage(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name in ("none", "binary", "."):
        with pytest.raises(typer.BadParameter):
            read_roster(tmp_path / name)


def test_the_difference_enrols_what_is_new_and_revokes_only_when_asked():
    wanted = {"red": (Wanted(name="a", public_key=K1), Wanted(name="b", public_key=K2))}
    live = {"red": [peer("b", K2), peer("c", K3)]}
    assert [(s.act, s.name) for s in steps(wanted, live, prune=False)] == [("enrol", "a"), ("kept", "c")]
    assert [(s.act, s.name) for s in steps(wanted, live, prune=True)] == [("enrol", "a"), ("revoke", "c")]
    assert steps(wanted, {"red": [peer("a", K1), peer("b", K2, state="pending")]}, prune=True) == ()


def test_a_tenant_that_the_list_does_not_name_is_left_alone():
    assert steps({"red": ()}, {"red": [], "blue": [peer("b", K2, "blue")]}, prune=True) == ()


@pytest.mark.parametrize("live", [peer("a", K2), peer("a", K1, expires_at=5)])
def test_a_live_peer_that_differs_is_refused(live):
    with pytest.raises(Refused, match="revoke it first"):
        steps({"red": (Wanted(name="a", public_key=K1),)}, {"red": [live]}, prune=True)


def test_a_key_that_somebody_else_has_or_had_is_refused():
    found = steps({"red": (Wanted(name="a", public_key=K1),)}, {}, prune=False)
    check_unowned(found, {})
    with pytest.raises(Refused, match="peer b of tenant blue"):
        check_unowned(found, {K1: ("blue", "b")})


def test_batches_hold_one_act_of_one_tenant_and_lose_nothing():
    wanted = {t: tuple(Wanted(name=f"{t}{n}", public_key=public_key(f"{t}{n}")) for n in range(5)) for t in ("r", "b")}
    found = steps(wanted, {"b": [peer("old", K1, "b")]}, prune=True)
    some = list(batches(found, "enrol", 2))
    assert [(tenant, len(part)) for tenant, part in some] == [(t, n) for t in ("r", "b") for n in (2, 2, 1)]
    assert [step.name for _, part in batches(found, "revoke", 2) for step in part] == ["old"]
