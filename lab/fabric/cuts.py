"""Paths that are cut: a table beside a network's own rules, asked first of all; it names interfaces, not machines.

So a machine that is put into the same interface later is cut off as well, and nothing inside of a machine changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.fabric import names

# Always there, as on a real host: the machine's own metadata and what it needs to find its neighbours.
_OWN = "169.254.0.0/16"


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Nothing passes between an interface and these addresses or, with `spare`, all but these."""

    interface: str
    cidrs: tuple[str, ...]
    spare: bool = False


def nothing(name: str) -> str:
    """For `nft -f`: no table of that name, whether there was one or not."""
    return f"table ip {table(name)}\ndelete table ip {table(name)}\n"


def text(name: str, cuts: Sequence[Cut]) -> str:
    """For `nft -f`: a table of its own, in one transaction."""
    there = [_rule("iifname", "daddr", cut) for cut in cuts]
    back = [_rule("oifname", "saddr", cut) for cut in cuts]
    return nothing(name) + "\n".join(
        [
            f"table ip {table(name)} {{",
            "  chain there {",
            "    type filter hook prerouting priority -450;",
            *there,
            "  }",
            "  chain back {",
            "    type filter hook postrouting priority 450;",
            *back,
            "  }",
            "}",
            "",
        ]
    )


def table(name: str) -> str:
    return f"cut_{name.replace('-', '_')}"


def _rule(side: str, end: str, cut: Cut) -> str:
    cidrs = (*cut.cidrs, _OWN) if cut.spare else cut.cidrs
    sign = "!= " if cut.spare else ""
    return f'    {side} "{names.interface_device(cut.interface)}" ip {end} {sign}{{ {", ".join(cidrs)} }} drop'
