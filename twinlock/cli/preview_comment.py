"""A preview as the comment on a pull request: pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from twinlock.change import Action, Finding, Report, ResourceChange

_ORDER: tuple[Action, ...] = ("delete", "replace", "update", "create", "import", "forget")
# More rows than this are folded, the dangerous ones first.
_ROWS = 20


def comment(environment: str, found: Report, *, policy: bool, failure: str = "") -> str:
    """Markdown. `policy`: whether a pack was asked; `failure`: why the preview did not go through."""
    title = "the preview failed" if failure else summary(found)
    parts = [f"<!-- twinlock preview {environment} -->\n### Twinlock `{environment}`: {title}"]
    changed = sorted(found.changed, key=lambda one: (_ORDER.index(one.action), one.name, one.type))
    lost = [one for one in changed if one.loses_data]
    if lost:
        parts.append("\n".join(["> [!CAUTION]", "> **This deletes data.**", *map(_shout, lost)]))
    if failure:
        parts.append(f"```\n{failure.replace('```', '')}\n```")
    if changed:
        parts.append(_table(changed))
    if policy:
        parts.append(_policy(found.findings))
    return "\n\n".join(parts) + "\n"


def summary(found: Report) -> str:
    counts = found.counts()
    return ", ".join(f"{counts[action]} to {action}" for action in _ORDER if action in counts) or "no changes"


def _shout(one: ResourceChange) -> str:
    because = f" (because of {_properties(one)})" if one.properties else ""
    return f"> - {_code(one.name)}, a {_kind(one)}, is {'replaced' if one.action == 'replace' else 'deleted'}{because}."


def _table(changes: Sequence[ResourceChange]) -> str:
    rows = [f"| {one.action} | {_code(one.name)} | {_kind(one)} | {_properties(one)} |" for one in changes]
    head = "| | Resource | Kind | What |\n|---|---|---|---|\n"
    if len(rows) <= _ROWS:
        return head + "\n".join(rows)
    shown = head + "\n".join(rows[:_ROWS])
    folded = f"<details><summary>{len(rows) - _ROWS} more</summary>\n\n{head}" + "\n".join(rows[_ROWS:])
    return f"{shown}\n\n{folded}\n\n</details>"


def _policy(findings: Sequence[Finding]) -> str:
    if not findings:
        return "**Policy**: no finding."
    return "\n".join(["**Policy**:", *_findings(findings)])


def _findings(findings: Sequence[Finding]) -> Iterator[str]:
    for one in sorted(findings, key=lambda found: (found.level != "mandatory", found.rule, found.text)):
        yield f"- {one.level} {_code(one.rule)}: {_cell(one.last_line)}"


def _properties(one: ResourceChange) -> str:
    return "" if one.action in ("create", "import", "delete", "forget") else ", ".join(map(_code, one.properties))


def _kind(one: ResourceChange) -> str:
    return one.type.rsplit(":", 1)[-1]


def _code(text: str) -> str:
    return f"`{_cell(text).replace('`', '')}`"


def _cell(text: str) -> str:
    """A name can't end a table's cell or a line."""
    return " ".join(text.replace("|", "¦").split())
