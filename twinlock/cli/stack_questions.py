"""What `twinlock environment new` asks at a terminal. An answer that makes no sound file is asked for again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from twinlock.cli.stack_template import MOST_TENANTS, Wanted

Ask = Callable[[str, str], str]  # question, answer if nothing is typed -> answer
Mistakes = Callable[[Wanted], Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Question:
    """`name` is the flag that answers it as well."""

    name: str
    text: str
    default: str
    put: Callable[[Wanted, str], Wanted]


# Sound in every place, so that one wrong answer is the only mistake there is.
BLANK = Wanted(
    region="eu-west-1",
    zones=["eu-west-1a", "eu-west-1b"],
    image="ami-0123456789abcdef0",
    buckets=["data"],
    tenants=["engineering"],
    break_glass=[],
    protect=True,
)


def zones_of(region: str, letters: str) -> list[str]:
    return [f"{region}{letter}" for letter in letters]


def _listed(answer: str) -> list[str]:
    return [part.strip() for part in answer.split(",") if part.strip()]


QUESTIONS = (
    Question(
        name="region",
        text="Region, such as eu-west-1",
        default="",
        put=lambda wanted, answer: replace(wanted, region=answer, zones=zones_of(answer, "ab")),
    ),
    Question(
        name="zones",
        text="Letters of its zones; a gateway stands in each",
        default="ab",
        put=lambda wanted, answer: replace(wanted, zones=zones_of(wanted.region, answer)),
    ),
    Question(
        name="image",
        text="A Debian 13 arm64 image of the region (ami-…)",
        default="",
        put=lambda wanted, answer: replace(wanted, image=answer),
    ),
    Question(
        name="bucket",
        text="Short names of the buckets, with commas",
        default="data",
        put=lambda wanted, answer: replace(wanted, buckets=_listed(answer)),
    ),
    Question(
        name="tenant",
        text="Names of the tenants, with commas",
        default="engineering",
        put=lambda wanted, answer: replace(wanted, tenants=_listed(answer)),
    ),
    Question(
        name="break_glass",
        text="ARNs that need no tunnel to the buckets, such as the deployer's; empty for none",
        default="",
        put=lambda wanted, answer: replace(wanted, break_glass=_listed(answer)),
    ),
    Question(
        name="protect",
        text="Guard what holds data against deletion: yes or no",
        default="yes",
        put=lambda wanted, answer: replace(wanted, protect={"yes": True, "y": True, "no": False, "n": False}[answer]),
    ),
)


def answered(given: Mapping[str, str], ask: Ask, say: Callable[[str], None], mistakes: Mistakes) -> Wanted:
    """`given`: answers that flags gave already; a wrong one of these is the caller's to tell."""
    wanted = BLANK
    for question in QUESTIONS:
        if question.name in given:
            wanted = question.put(wanted, given[question.name])
            continue
        while True:
            answer = ask(question.text, question.default).strip()
            told = tuple(_wrong(question, wanted, answer, mistakes))
            if not told:
                wanted = question.put(wanted, answer)
                break
            for line in told:
                say(line)
    return wanted


def _wrong(question: Question, wanted: Wanted, answer: str, mistakes: Mistakes) -> Iterator[str]:
    try:
        found = question.put(wanted, answer)
    except KeyError:
        yield f"{answer!r} is neither yes nor no"
        return
    if not found.tenants or len(found.tenants) > MOST_TENANTS:
        yield f"1 to {MOST_TENANTS} tenants: add others by hand, with smaller ranges"
        return
    before = set(mistakes(wanted))
    yield from (line for line in mistakes(found) if line not in before)
