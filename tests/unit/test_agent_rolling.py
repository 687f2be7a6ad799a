"""What a running gateway does when its group launches another template. No process, no socket."""

from __future__ import annotations

import logging
from dataclasses import replace

import botocore.session
import pytest
from botocore.config import Config
from botocore.stub import Stubber

from tests.gateway_stage import BOOT, Stage, record, turn
from twinlock.agent.aws_groups import replace_own
from twinlock.agent.channel import Word
from twinlock.agent.errors import CloudUnavailable
from twinlock.agent.rolling import REST_SECONDS
from twinlock.registry.rolling import Launch, Roll

NEW, OLD = "e" * 64, "d" * 64


@pytest.fixture
def stage(tmp_path) -> Stage:
    stage = Stage(tmp_path, replace(BOOT, template=OLD))
    [one] = stage.table.what.slots
    stage.table.what = replace(stage.table.what, slots=(one, replace(one, name="b")))
    return stage


class Pair:
    """This gateway, a; and what its twin says."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.gateway, self.term = stage, stage.gateway(), 1
        self.twin_serves, self.twin_well, self.machine = False, True, "i-b"
        for slot in "ab":
            stage.table.launches[slot] = Launch(slot=slot, template=OLD, rolling="automatic")

    def turns(self, count: int) -> None:
        for _ in range(count):
            for word in self.stage.said:
                if isinstance(word, Word) and word.gives == "b" and not word.serving:
                    self.twin_serves, self.term = True, 9
                    self.stage.table.owned_by("b")
            self.stage.said.clear()
            now, table = int(self.stage.time.now()), self.stage.table
            failing = () if self.twin_well else ("transfer",)
            table.twins = (
                record("a", heartbeat_at=now, applied=table.numbers, template=OLD, ways=0),
                record("b", heartbeat_at=now, applied=table.numbers, template=NEW, ways=0, failing=failing,
                       instance_id=self.machine),
            )  # fmt: skip
            self.gateway.own.events.put(Word(slot="b", serving=self.twin_serves, term=self.term, gives=""))
            turn(self.stage, self.gateway)
            self.gateway.server.beat()

    def deploy(self, rolling: str = "automatic") -> None:
        self.stage.table.launches["a"] = Launch(slot="a", template=NEW, rolling=rolling)


@pytest.fixture
def pair(stage) -> Pair:
    pair = Pair(stage)
    pair.turns(3)
    assert pair.gateway.own.serving
    return pair


def test_it_takes_the_lease_hands_over_what_it_serves_and_asks_for_its_own_replacement_once(pair, caplog):
    caplog.set_level(logging.INFO)
    pair.turns(40)
    assert pair.stage.replaced == [], "nothing was deployed"
    pair.deploy()
    pair.turns(40)
    assert pair.stage.table.roll is not None
    assert (pair.stage.table.roll.slot, pair.stage.table.roll.instance_id) == ("a", "i-a")
    assert pair.stage.replaced == ["i-a"]
    assert pair.twin_serves
    assert not pair.gateway.own.serving
    told = [line.getMessage() for line in caplog.records if "outdated" in line.getMessage()]
    assert [word in line for word, line in zip(("handing over what it serves", "in place of i-a"), told, strict=True)]


def test_it_stays_and_serves_while_its_twin_is_not_well(pair, caplog):
    caplog.set_level(logging.INFO)
    pair.twin_well = False
    pair.deploy()
    pair.turns(40)
    assert (pair.stage.table.roll, pair.stage.replaced, pair.gateway.own.serving) == (None, [], {0})
    assert caplog.text.count("its twin b is not well (fails transfer)") == 1, "said once"
    pair.twin_well = True
    pair.turns(40)
    assert pair.stage.replaced == ["i-a"]


def test_it_stays_and_serves_while_its_twin_is_being_replaced(pair):
    pair.stage.table.roll = Roll(slot="b", instance_id="i-b", at=0, tried={"b": NEW})
    pair.deploy()
    pair.turns(40)
    assert (pair.stage.replaced, pair.gateway.own.serving) == ([], {0})
    pair.machine = "i-successor"
    pair.turns(40)
    assert pair.stage.replaced == ["i-a"]


def test_it_stays_where_people_roll_by_hand(pair):
    pair.deploy("manual")
    pair.turns(40)
    assert (pair.stage.table.roll, pair.stage.replaced, pair.gateway.own.serving) == (None, [], {0})


def test_a_lease_that_another_one_took_meanwhile_is_not_its(pair, monkeypatch):
    pair.deploy()
    monkeypatch.setattr(pair.stage.table, "take_roll", lambda roll, over: False)
    pair.turns(40)
    assert (pair.stage.replaced, pair.gateway.own.serving) == ([], {0})


def test_an_agent_that_starts_again_with_the_lease_goes_on(stage):
    stage.table.roll = Roll(slot="a", instance_id="i-a", at=0, tried={"a": NEW})
    pair = Pair(stage)
    pair.deploy()
    pair.turns(40)
    assert stage.replaced == ["i-a"]


def test_nothing_to_do_costs_the_registry_one_read_now_and_then(pair):
    pair.stage.table.reads.clear()
    pair.turns(60)
    assert pair.stage.table.reads.count("rolling") <= 60 / REST_SECONDS + 1


def test_the_own_group_is_asked_and_a_refusal_is_one_line():
    config = Config(signature_version="unsigned")
    client = botocore.session.Session().create_client(
        "autoscaling", "eu-west-1", config=config, aws_access_key_id="x", aws_secret_access_key="x"
    )
    with Stubber(client) as cloud:
        asked = {"InstanceId": "i-a", "ShouldDecrementDesiredCapacity": False}
        cloud.add_response("terminate_instance_in_auto_scaling_group", {}, asked)
        replace_own(client, "i-a")
        cloud.add_client_error("terminate_instance_in_auto_scaling_group", "AccessDenied", "not\nyours")
        with pytest.raises(CloudUnavailable, match=r"replacing i-a: .*not yours"):
            replace_own(client, "i-a")
