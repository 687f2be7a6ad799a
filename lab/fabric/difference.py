"""What has to be done to get from one wiring to another: pure, and empty when nothing changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lab.fabric.wiring import Cable, Key, Setting, Wiring


@dataclass(frozen=True, kw_only=True)
class Steps:
    """In the order in which they are carried out."""

    routers: tuple[str, ...]  # namespaces to make that forward and filter
    nats: tuple[str, ...]  # the same, for clients
    hosts: tuple[str, ...]  # namespaces to make that do not
    unplug: tuple[Cable, ...]
    drop: tuple[tuple[Key, Setting], ...]
    plug: tuple[Cable, ...]
    put: tuple[tuple[Key, Setting], ...]
    rulesets: tuple[tuple[str, str], ...]
    resolvers: tuple[tuple[str, str], ...]
    remove: tuple[str, ...]  # namespaces, with all that runs in them

    @property
    def nothing(self) -> bool:
        return self == Steps(
            routers=(), nats=(), hosts=(), unplug=(), drop=(), plug=(), put=(), rulesets=(), resolvers=(), remove=()
        )


def difference(old: Wiring, new: Wiring) -> Steps:
    """Settings that went with a device or a namespace are not dropped again; a new cable gets all of its own."""
    removed, unplugged = old.namespaces - new.namespaces, old.cables - new.cables
    gone = {end for c in unplugged for end in ((c.near, c.near_device), (c.far, c.far_device))}
    kept = {
        key: setting
        for key, setting in old.settings.items()
        if key[0] not in removed and (key[0], setting.device) not in gone
    }
    drop = {key: setting for key, setting in kept.items() if _is_dropped(key, setting, new.settings)}
    left = {key: setting for key, setting in kept.items() if key not in drop}
    return Steps(
        routers=tuple(sorted(new.routers - old.routers)),
        nats=tuple(sorted(new.nats - old.nats)),
        hosts=tuple(sorted(new.hosts - old.hosts)),
        unplug=tuple(sorted(unplugged, key=_order)),
        drop=tuple(drop.items()),
        plug=tuple(sorted(new.cables - old.cables, key=_order)),
        put=_in_order((key, setting) for key, setting in new.settings.items() if left.get(key) != setting),
        rulesets=_changed(old.rulesets, new.rulesets),
        resolvers=_changed(old.resolvers, new.resolvers),
        remove=tuple(sorted(removed)),
    )


def _is_dropped(key: Key, setting: Setting, new: Mapping[Key, Setting]) -> bool:
    # A route is replaced in one step; an address or a rule has to go before it can come again.
    return key not in new or (key[1] != "route" and new[key] != setting)


def _in_order(settings: Iterable[tuple[Key, Setting]]) -> tuple[tuple[Key, Setting], ...]:
    """Addresses, then routes (a gateway must be reachable first), then the rules that point at them."""
    rank = {"address": 0, "route": 1, "rule": 2}
    # `default` last among the routes: it goes through what the others reach.
    return tuple(sorted(settings, key=lambda pair: (rank[pair[0][1]], pair[0][2] == "default")))


def _changed(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, text) for name, text in new.items() if old.get(name) != text)


def _order(cable: Cable) -> tuple[str, str]:
    return cable.near, cable.near_device
