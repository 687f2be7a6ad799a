"""The tags that everything carries: whose it is, and what part of it."""

from __future__ import annotations


def tags(environment: str, component: str, name: str) -> dict[str, str]:
    return {"Name": name, "twinlock:environment": environment, "twinlock:component": component}
