"""What policies write in place of text: wildcards, variables, ARNs. Pure.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
"""

from __future__ import annotations

import functools
import re

from lab.aws.context_keys import Context, PolicyError, known


def arn_like(pattern: str, arn: str, context: Context) -> bool:
    """Each of an ARN's six parts by itself; variables are put in, and one that the request lacks matches nothing."""
    if pattern == "*":
        return True
    if arn == "*":
        return False
    wanted, found = _parts(pattern), arn.split(":", 5)
    if len(found) != 6 or len(wanted) != 6:
        return False
    filled = [substituted(part, context) for part in wanted]
    return all(
        part is not None and re.fullmatch(part, value, re.DOTALL) for part, value in zip(filled, found, strict=True)
    )


@functools.lru_cache(maxsize=4096)
def _parts(pattern: str) -> list[str]:
    """An ARN's six parts; the colon inside of a variable such as ${aws:userid} separates nothing."""
    parts, depth = [""], 0
    for place, char in enumerate(pattern):
        depth += pattern.startswith("${", place) - (char == "}" and depth > 0)
        if char == ":" and depth == 0 and len(parts) < 6:
            parts.append("")
        else:
            parts[-1] += char
    return parts


def glob(pattern: str, text: str) -> bool:
    """IAM's wildcards: * for any run, ? for any one character."""
    return re.fullmatch(_regex(pattern), text) is not None


@functools.lru_cache(maxsize=4096)
def _regex(pattern: str) -> str:
    return "".join(".*" if char == "*" else "." if char == "?" else re.escape(char) for char in pattern)


def substituted(pattern: str, context: Context, *, wildcards: bool = True) -> str | None:
    """A regular expression for PATTERN with its variables put in; None when the request lacks one of them."""
    made = ""
    for piece in re.split(r"(\$\{[^}]*\})", pattern):
        if piece.startswith("${") and piece.endswith("}"):
            value = _variable(piece[2:-1], context)
            if value is None:
                return None
            made += re.escape(value)
        else:
            made += "".join(_character(char, wildcards=wildcards) for char in piece)
    return made


def _character(char: str, *, wildcards: bool) -> str:
    if wildcards and char in "*?":
        return ".*" if char == "*" else "."
    return re.escape(char)


def _variable(name: str, context: Context) -> str | None:
    """Also ${*}, ${?}, ${$} for the characters themselves, and ${key, 'default'}."""
    if name in ("*", "?", "$"):
        return name
    key, _, default = (part.strip() for part in name.partition(","))
    lower = key.lower()
    if not known(lower):
        raise PolicyError(f"the lab knows no policy variable ${{{name}}}")
    values = context.get(lower)
    if values and len(values) == 1:
        return values[0]
    return default.strip("'") if default else None
