"""`twinlock doctor`: looks at a client's own tunnel and says why it passes nothing. It needs no cloud credentials."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Annotated

import typer

from twinlock.cli import screen
from twinlock.cli.diagnosis import Seen, WaySeen, diagnose
from twinlock.cli.dns_question import ask
from twinlock.cli.options import AsJson, chosen
from twinlock.cli.resolved import told
from twinlock.cli.tunnel import TunnelFailed, dump
from twinlock.registry.errors import Refused

_SECONDS = 5.0
_REGION = re.compile(r"[a-z]{2}-[a-z]+-[0-9]")
_NAME = re.compile(r"[A-Za-z0-9_=+.-]{1,15}")


def doctor(
    ctx: typer.Context,
    interface: Annotated[str, typer.Argument(help="The tunnel's interface.", metavar="INTERFACE", show_default=False)],
    region: Annotated[str, typer.Option(help="The environment's region, as in eu-west-1.", envvar="AWS_REGION")],
    as_json: AsJson = False,
) -> None:
    """Say why this machine's tunnel passes nothing: clock, port, way, handshake, DNS, prefix, firewall, MTU."""
    if not _REGION.fullmatch(region):
        raise typer.BadParameter(f"{region!r} is no region such as eu-west-1")
    if not _NAME.fullmatch(interface):
        raise typer.BadParameter(f"{interface!r} is no interface's name")
    found = diagnose(look(interface, region))
    if chosen(ctx, None, as_json).json:
        screen.show_json({"well": not found, "findings": [{"cause": one.cause, "text": one.text} for one in found]})
    elif not found:
        screen.show_line(f"[green]{screen.plain(interface)} is well[/]: the storage answers through it")
    for one in found if not as_json else ():
        screen.show_line(f"[bold red]{one.cause}[/] {screen.plain(one.text)}")
    if found:
        raise typer.Exit(1)


def look(interface: str, region: str) -> Seen:
    """Raises Refused if this machine can't be looked at."""
    if interface not in {name for _, name in socket.if_nameindex()}:
        return Seen(interface=interface, is_up=False)
    try:
        rows = dump(interface)
    except TunnelFailed as exc:
        raise Refused(f"can't look at {interface}: {exc}; this needs root and wireguard-tools") from exc
    now, host = time.time(), f"s3.{region}.amazonaws.com"
    addresses = _addresses(host)
    service = next((row for row in rows if row[3] != "(none)"), None)
    connects, answers = _reach(host, addresses)
    names = told(interface)
    return Seen(
        interface=interface,
        is_up=True,
        ways=tuple(WaySeen(endpoint=row[2], handshake_age=_age(row, now)) for row in rows if row[3] == "(none)"),
        service_age=None if service is None else _age(service, now),
        allowed=() if service is None else tuple(service[3].split(",")),
        names_server="" if names is None else names.server,
        names_said={} if names is None else {zone: ask(names.server, zone).code for zone in names.zones},
        # STS is not behind the tunnel: the time comes from outside.
        skew=_skew(f"sts.{region}.amazonaws.com"),
        host=host,
        addresses=addresses,
        connects=connects,
        answers=answers,
        has_ipv6=_has_ipv6(interface),
    )


def _has_ipv6(interface: str, listed: Path = Path("/proc/net")) -> bool | None:
    """Whether it has an address that is more than its link's own. None: this machine does not say."""
    if not listed.is_dir():
        return None
    lines = (listed / "if_inet6").read_text().splitlines() if (listed / "if_inet6").exists() else []
    rows = (line.split() for line in lines)  # address, number, length, scope (0: global), flags, name
    return any(row[-1] == interface and row[3] == "00" for row in rows)


def _age(row: Sequence[str], now: float) -> float | None:
    return max(0.0, now - int(row[4])) if int(row[4]) else None


def _addresses(host: str) -> tuple[str, ...]:
    with contextlib.suppress(socket.gaierror):
        return tuple(sorted({str(each[4][0]) for each in socket.getaddrinfo(host, 443, socket.AF_INET)}))
    return ()


def _reach(host: str, addresses: Sequence[str]) -> tuple[bool, bool]:
    """(a connection came about, TLS was spoken). Whose certificate it is makes no difference here."""
    if not addresses:
        return False, False
    try:
        plain = socket.create_connection((addresses[0], 443), _SECONDS)
    except OSError:
        return False, False
    with plain:
        try:
            _unverified().wrap_socket(plain, server_hostname=host).close()
        except OSError:
            return True, False
    return True, True


def _skew(host: str) -> float | None:
    """Seconds that this clock is ahead of a server's; None if nobody says. A wrong clock would fail certificates."""
    connection = http.client.HTTPSConnection(host, timeout=_SECONDS, context=_unverified())
    try:
        connection.request("HEAD", "/")
        date = connection.getresponse().getheader("Date")
        return None if date is None else time.time() - parsedate_to_datetime(date).timestamp()
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
