"""The pinned machine image in a stack file: pure. Only its line changes, comments and order stay."""

from __future__ import annotations

import re

from twinlock.registry.errors import Refused

_PIN = re.compile(r"""^(?P<before>\s+image:\s*["']?)(?P<image>ami-[0-9a-f]{8,17})(?P<after>["']?\s*(#.*)?)$""")


def pinned(text: str, where: str) -> str:
    """The image's id. Raises Refused unless there is exactly one pin."""
    found = [match["image"] for line in text.splitlines() if (match := _PIN.match(line))]
    if len(found) != 1:
        raise Refused(f"{where} should pin one image, as `image: ami-…` under `twinlock:gateway`; it has {len(found)}")
    return found[0]


def moved(text: str, image: str) -> str:
    """The same text with another image's id in the pin's place."""
    lines = [_PIN.sub(lambda match: match["before"] + image + match["after"], line) for line in text.split("\n")]
    return "\n".join(lines)
