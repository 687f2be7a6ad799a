"""moto's process takes one call at a time, because moto itself bears no more."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from moto.ec2.models import ec2_backends

from lab.aws.moto_process import one_at_a_time
from lab.aws.names import ACCOUNT, REGION


def test_calls_of_several_threads_reach_moto_one_after_the_other():
    inside, most = 0, 0
    meeting = threading.Barrier(8)

    def application(environ: dict[str, object], start: object) -> Iterator[bytes]:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        threading.Event().wait(0.01)
        yield b"answer"
        inside -= 1

    serve = one_at_a_time(application)
    answers: list[list[bytes]] = []

    def call() -> None:
        meeting.wait()
        answers.append(list(serve({}, lambda status, headers: None)))

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, answers) == (1, [[b"answer"]] * 8)


def test_moto_still_breaks_when_a_network_is_added_while_another_caller_looks():
    """The day this fails, moto has caught up, and `one_at_a_time` can go."""
    groups = ec2_backends[ACCOUNT][REGION].groups

    class Looked(dict[str, object]):
        """A network's groups, during whose reading a second caller makes another network."""

        def values(self):
            groups["vpc-late"] = {}
            return super().values()

    groups["vpc-looked"] = Looked()
    try:
        with pytest.raises(RuntimeError, match="dictionary changed size during iteration"):
            ec2_backends[ACCOUNT][REGION].describe_security_group_rules([], {})
    finally:
        del groups["vpc-looked"], groups["vpc-late"]
