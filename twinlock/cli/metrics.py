"""`twinlock metrics`: how an environment stands, as Prometheus reads it.

Gateways let nobody in who would ask them. What they say of themselves is in the registry, so whoever may read that
(policy `reader`) runs this where metrics are collected: a textfile collector, a push gateway, a scheduled job.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import typer

from twinlock.cli import screen
from twinlock.cli.options import AsJson, EnvironmentName, chosen
from twinlock.cli.standing import Standing, TenantStanding, standing

Labels = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """`name` without the leading "twinlock_". One that ends in _total is a counter, any other a gauge."""

    name: str
    help: str
    samples: tuple[tuple[Labels, float], ...]


def metrics(ctx: typer.Context, environment: EnvironmentName = None, as_json: AsJson = False) -> None:
    """Print gateways, peers, addresses and keys in Prometheus's text format."""
    scope = chosen(ctx, environment, as_json)
    found = gauges(standing(scope.open(), int(time.time())))
    if scope.json:
        facts = {one.name: [{**labels, "value": value} for labels, value in one.samples] for one in found}
        screen.show_json(facts)
    else:
        screen.show_text(prometheus_text(found).rstrip("\n"))


def gauges(found: Standing) -> tuple[Metric, ...]:
    """Pure. A gateway that never registered has `gateway_well` 0 and nothing else."""
    own = {"environment": found.environment}
    known = [(own | {"slot": one.slot}, one, one.record) for one in found.gateways if one.record is not None]
    tenants = [(own | {"tenant": name}, one) for name, one in found.tenants.items()]
    behind = [
        (labels | {"tenant": name}, one.behind.get(name, 0)) for labels, one, _ in known for name in found.tenants
    ]
    failing = [(labels | {"check": name}, 1) for labels, _, record in known for name in record.failing]
    peers = [(labels | {"state": state}, count) for labels, one in tenants for state, count in one.peers.items()]
    return (
        _metric("gateway_well", "1 if nothing is wrong with the slot's gateway.",
                ((own | {"slot": one.slot}, one.problem is None) for one in found.gateways)),
        _metric("gateway_serving", "1 for the gateway that serves.",
                ((labels, record.serving) for labels, _, record in known)),
        _metric("gateway_heartbeat_age_seconds", "Since the gateway last wrote to the registry.",
                ((labels, one.age or 0) for labels, one, _ in known)),
        _metric("gateway_booted_timestamp_seconds", "When the gateway's machine was bootstrapped.",
                ((labels, record.booted_at) for labels, _, record in known)),
        _metric("gateway_behind_changes", "Changes of the tenant that the gateway has not made true yet.", behind),
        _metric("gateway_failing", "1 for each of its own checks that the gateway fails.", failing),
        _metric("gateway_change_seconds", "Each phase of the last change of who serves, as the gateway saw it.",
                ((labels | {"phase": name.removesuffix("_ms")}, value / 1000)
                 for labels, _, record in known for name, value in record.phases.items() if name.endswith("_ms"))),
        _metric("gateway_taken_timestamp_seconds", "When the gateway last began to serve.",
                ((labels, record.phases["taken_at"]) for labels, _, record in known if "taken_at" in record.phases)),
        _metric("gateway_ways", "Clients that hold a fresh way to the gateway.",
                ((labels, record.ways) for labels, _, record in known if record.ways is not None)),
        _metric("gateway_peers", "Peers that the gateway serves; it holds 65,536.",
                ((labels, record.peers) for labels, _, record in known if record.peers is not None)),
        _metric("gateway_left_out", "Peers of the registry that the gateway does not serve.",
                ((labels, record.left_out or 0) for labels, _, record in known)),
        _metric("gateway_strays", "Things that were changed on the gateway by hand in the last day.",
                ((labels, len(record.strays)) for labels, _, record in known)),
        *(
            _metric(f"gateway_{unit}_total", f"{unit.capitalize()} of all peers since the gateway's agent began.",
                    ((labels | {"way": way}, record.traffic.get(f"{way}_{unit}", 0))
                     for labels, _, record in known if record.traffic is not None
                     for way in ("sent", "received", "refused")))
            for unit in ("packets", "bytes")
        ),
        _metric("gateway_outdated", "1 if the gateway is not of the template that its group launches now.",
                ((labels, record.slot in found.rolling.outdated) for labels, _, record in known)),
        _metric("rolling_seconds", "Since a gateway's machine is being replaced; 0: none is.",
                [(own, found.rolling.seconds)]),
        _metric("rolling_stopped", "1 if the last one that was replaced does not come back well.",
                [(own, found.rolling.stopped)]),
        _metric("shut_out_packets", "Packets of the last hour from where a peer was that is shut out.",
                ((labels | dict(zip(("tenant", "peer"), name.split("/"), strict=True)), packets)
                 for labels, _, record in known for name, packets in record.shut_out.items())),
        _metric("tenant_peers", "Peers by state.", peers),
        *_tenant_metrics(tenants),
    )  # fmt: skip


def _tenant_metrics(tenants: Sequence[tuple[Labels, TenantStanding]]) -> Iterable[Metric]:
    yield _metric(
        "tenant_addresses_held", "Tunnel addresses that are leased or in quarantine; full at tenant_addresses.",
        ((labels, one.room.held) for labels, one in tenants),
    )  # fmt: skip
    yield _metric("tenant_addresses", "Tunnel addresses.", ((labels, one.room.total) for labels, one in tenants))
    yield _metric(
        "tenant_keys_due", "Keys of peers past their age.", ((labels, one.keys_due) for labels, one in tenants)
    )
    yield _metric("tenant_keys_soon", "Keys of peers soon due.", ((labels, one.keys_soon) for labels, one in tenants))


def _metric(name: str, what: str, samples: Iterable[tuple[Labels, float]]) -> Metric:
    return Metric(name=name, help=what, samples=tuple(samples))


def prometheus_text(found: Iterable[Metric]) -> str:
    """https://prometheus.io/docs/instrumenting/exposition_formats/; a metric without samples is left out."""
    lines: list[str] = []
    for one in found:
        if one.samples:
            lines += [f"# HELP twinlock_{one.name} {one.help}", f"# TYPE twinlock_{one.name} {_kind(one)}"]
            lines += [f"twinlock_{one.name}{{{_labels(labels)}}} {_number(value)}" for labels, value in one.samples]
    return "\n".join(lines) + "\n"


def _kind(one: Metric) -> str:
    return "counter" if one.name.endswith("_total") else "gauge"


def _labels(labels: Labels) -> str:
    escaped = {
        name: value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for name, value in labels.items()
    }
    return ",".join(f'{name}="{value}"' for name, value in sorted(escaped.items()))


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
