"""`twinlock peer`: who may use an environment."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from twinlock.cli import peer_bulk, screen
from twinlock.cli.client_file import client_file
from twinlock.cli.client_output import Form, read_file, render, used, write_all
from twinlock.cli.cloud import Environment
from twinlock.cli.options import AsJson, EnvironmentName, PeerName, Reach, TenantName, chosen, duration
from twinlock.cli.peer_bulk import approve_listed
from twinlock.cli.places import check_gateways
from twinlock.cli.preshared_file import made_for, read_preshared_key
from twinlock.cli.private_key import make_private_key, read_private_key, write_private
from twinlock.cli.wireguard_file import ClientFile, aged, is_single, routes_all
from twinlock.registry import reach as narrow
from twinlock.registry.ground import tenant_of
from twinlock.registry.ipv6 import addresses
from twinlock.registry.key_age import Aged
from twinlock.registry.key_age import aged as aged_keys
from twinlock.registry.model import Peer
from twinlock.registry.traffic import Traffic, still_sending

app = typer.Typer(no_args_is_help=True, help="Enrol, approve, list and revoke peers, and write their files.")

app.command(epilog="Example: twinlock -e prod peer apply peers.yaml")(peer_bulk.apply)
app.command(epilog="Example: twinlock -e prod peer export --tenant red > peers.yaml")(peer_bulk.export)

NewPresharedKey = Annotated[
    Path | None, typer.Option(help="Where the tenant has pre-shared keys: the file for the new one, 0600.")
]
_FULL = (
    "all of this device's traffic will go by the gateways: their bandwidth is its own, and what they send is paid for; "
    "private networks that its tenant does not reach (but the one that it is in), and all IPv6, are out of reach, and "
    "websites see the gateway's address"
)
_PHONE = "phones ask one server for all names, and gateways answer for private ones alone: these do not resolve there"
_STYLE = {"pending": "yellow", "approved": "green", "revoked": "red", "expired": "dim"}


@app.command(epilog="Example: twinlock peer keygen --out laptop.key")
def keygen(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option(help="Where the private half goes, 0600.")] = Path("twinlock.key"),
    as_json: AsJson = False,
) -> None:
    """Make a key pair on this machine; print the public half."""
    key = make_private_key()
    write_private(out, key.reveal() + "\n", replace=False)
    if chosen(ctx, None, as_json).json:
        screen.show_json({"public_key": key.public(), "file": str(out)})
    else:
        screen.show_text(key.public())


@app.command(epilog='Example: twinlock -e prod peer enrol laptop --tenant red --public-key "$(wg pubkey < laptop.key)"')
def enrol(
    ctx: typer.Context,
    name: PeerName,
    tenant: TenantName,
    public_key: Annotated[str, typer.Option("--public-key", "-k", help="Base64, of `peer keygen` or `wg pubkey`.")],
    ttl: Annotated[str | None, typer.Option(help="Expires after this: 30m, 24h, 7d. Default: never.")] = None,
    reach: Reach = None,
    preshared_key_file: NewPresharedKey = None,
    environment: EnvironmentName = None,
    as_json: AsJson = False,
) -> None:
    """Ask for a peer to be let in; somebody else approves it."""
    scope, seconds = chosen(ctx, environment, as_json), None if ttl is None else duration(ttl)
    opened = scope.open()
    check_gateways(opened.registry, 1)
    with made_for(opened, tenant, public_key, preshared_key_file) as preshared:
        wanted = narrow.chosen(reach or ())
        peer = opened.registry.enrol(opened.actor(), tenant, name, public_key, seconds, preshared, wanted)
    left = opened.registry.scarce_room(tenant)
    if left is not None:
        screen.show_warning(f"tenant {tenant} has {left.held} of its {left.total} addresses in use: widen its range")
    if scope.json:
        screen.show_json(_facts(peer))
    elif peer.state == "pending":
        screen.show_line(
            f"{peer.name} is enrolled with {peer.address}, and waits for somebody else's "
            f"[bold]twinlock peer approve {peer.name} --tenant {peer.tenant}[/]"
        )
    else:
        screen.show_line(f"{peer.name} is let in with {peer.address}")


@app.command(epilog="Example: twinlock -e prod peer approve laptop --tenant red")
def approve(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="The peer's name.", metavar="NAME", show_default=False)] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", "-t", help="Its tenant.", metavar="TENANT")] = None,
    file: Annotated[Path | None, typer.Option(help="Approve what this peers.yaml lists, key by key.")] = None,
    environment: EnvironmentName = None,
    as_json: AsJson = False,
) -> None:
    """Let in a peer that somebody else enrolled, or all that a file lists."""
    scope = chosen(ctx, environment, as_json)
    if file is not None and name is None and tenant is None:
        peers = approve_listed(scope.open(), file)
    elif file is None and name is not None and tenant is not None:
        opened = scope.open()
        check_gateways(opened.registry, 1)
        peers = [opened.registry.approve(opened.actor(), tenant, name)]
    else:
        raise typer.BadParameter("pass NAME and --tenant, or --file alone")
    if scope.json:
        screen.show_json({"peers": [_facts(peer) for peer in peers]} if file else _facts(peers[0]))
        return
    for peer in peers:
        if peer.state == "pending":
            screen.show_line(f"{peer.name} has {len(peer.approved_by)} approval, and needs another person's")
        else:
            screen.show_line(f"{peer.name} is let in with {peer.address}")


@app.command(
    epilog='Example: twinlock -e prod peer rotate laptop --tenant red --public-key "$(wg pubkey < new.key)" --grace 24h'
)
def rotate(
    ctx: typer.Context,
    name: PeerName,
    tenant: TenantName,
    public_key: Annotated[str, typer.Option("--public-key", "-k", help="The new key's public half.")],
    grace: Annotated[str, typer.Option(help="How long the old key is accepted after the approval.")] = "24h",
    preshared_key_file: NewPresharedKey = None,
    environment: EnvironmentName = None,
    as_json: AsJson = False,
) -> None:
    """Give a peer a new key; the old one works until the new one is used."""
    scope, seconds = chosen(ctx, environment, as_json), duration(grace)
    opened = scope.open()
    with made_for(opened, tenant, public_key, preshared_key_file) as preshared:
        peer = opened.registry.rotate(opened.actor(), tenant, name, public_key, seconds, preshared)
    if scope.json:
        screen.show_json(_facts(peer))
    elif peer.state == "pending":
        screen.show_line(
            f"{peer.name}'s new key waits for somebody else's "
            f"[bold]twinlock peer approve {peer.name} --tenant {peer.tenant}[/]; the old one works on"
        )
    else:
        screen.show_line(f"{peer.name} may use its new key; the old one is accepted for {grace} more")


@app.command(epilog="Example: twinlock -e prod peer revoke laptop --tenant red")
def revoke(
    ctx: typer.Context, name: PeerName, tenant: TenantName, environment: EnvironmentName = None, as_json: AsJson = False
) -> None:
    """Shut out a peer, for ever: its key can't be enrolled again."""
    scope = chosen(ctx, environment, as_json)
    opened = scope.open()
    peer = opened.registry.revoke(opened.actor(), tenant, name)
    if scope.json:
        screen.show_json(_facts(peer))
    else:
        screen.show_line(f"{peer.name} is revoked; the gateways drop it within seconds")


@app.command("list", epilog="Example: twinlock -e prod peer list --tenant red --json")
def list_(
    ctx: typer.Context,
    tenant: Annotated[str | None, typer.Option("--tenant", "-t", help="Of this tenant alone.")] = None,
    environment: EnvironmentName = None,
    as_json: AsJson = False,
) -> None:
    """Show the peers of every state."""
    scope = chosen(ctx, environment, as_json)
    registry, now = scope.open().registry, int(time.time())
    definition = registry.definition()
    tenants = definition.tenants if tenant is None else [tenant_of(definition, tenant)]
    found = {one: registry.peers(one.name) for one in tenants}
    peers = [peer for some in found.values() for peer in some]
    old = {each.peer.public_key: each for one, some in found.items() for each in aged_keys(one, some, now)}
    if scope.json:
        screen.show_json({"peers": [_facts(peer) | _key_facts(old.get(peer.public_key)) for peer in peers]})
        return
    notes = {key: f"[yellow]{each.words(now)}[/]" for key, each in old.items()}
    rows = [
        (p.tenant, p.name, _state(p), p.address, screen.moment(p.ends_at), screen.short(p.public_key),
         "all" if p.reach is None else screen.plain(", ".join(p.reach)), notes.get(p.public_key, ""))
        for p in peers
    ]  # fmt: skip
    screen.show_table("", ("TENANT", "NAME", "STATE", "ADDRESS", "EXPIRES", "PUBLIC KEY", "REACHES", ""), rows)


@app.command(epilog="Example: twinlock -e prod peer show laptop --tenant red")
def show(
    ctx: typer.Context,
    name: PeerName,
    tenant: TenantName,
    file: Annotated[Path | None, typer.Option(help="Its wg-quick file: say whether that is still right.")] = None,
    environment: EnvironmentName = None,
    as_json: AsJson = False,
) -> None:
    """Show all that is known of a peer, and whether its file has aged."""
    scope = chosen(ctx, environment, as_json)
    opened = scope.open()
    peer = opened.registry.peer(tenant, name)
    slots = [slot.name for slot in opened.registry.definition().slots]
    counted = opened.registry.traffic(slots, peer.address, peer.name)
    still = still_sending(one.shut_out for one in opened.registry.gateways(slots)).get(f"{peer.tenant}/{peer.name}", 0)
    own = addresses(opened.registry.definition().prefix6, peer.address)
    old = None if file is None else _aged(opened, peer, read_file(file))
    if scope.json:
        screen.show_json(
            _facts(peer)
            | {"addresses": own, "traffic": None if counted is None else asdict(counted), "shut_out_packets": still}
            | ({} if old is None else {"aged": old})
        )
        return
    rows = (
        ("name", peer.name),
        ("tenant", peer.tenant),
        ("state", _state(peer)),
        ("address", ", ".join(own)),
        ("public key", peer.public_key),
        ("enrolled", f"{screen.moment(peer.enrolled_at)} by {screen.plain(peer.enrolled_by)}"),
        ("approved by", screen.plain(", ".join(peer.approved_by)) or "nobody"),
        ("expires", screen.moment(peer.expires_at)),
        ("reaches", "all that its tenant does" if peer.reach is None else screen.plain(", ".join(peer.reach))),
        ("traffic", "nothing was counted" if counted is None else _traffic(counted)),
        *([("since it was shut out", f"{still:,} packets still came in the last hour")] if still else []),
        *([] if old is None else [("file", "; ".join(map(screen.plain, old)) or "[green]as it should be[/]")]),
    )
    screen.show_table("", ("", ""), rows)


@app.command(
    epilog="Example: twinlock -e prod peer config laptop --tenant red --private-key-file laptop.key --out tl.conf"
)
def config(
    ctx: typer.Context,
    name: PeerName,
    tenant: TenantName,
    private_key_file: Annotated[
        Path | None, typer.Option(help="Filled in here, on this machine alone; it is sent nowhere.")
    ] = None,
    preshared_key_file: Annotated[
        Path | None, typer.Option(help="What the enrolment wrote, where the tenant has pre-shared keys.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The file to write, 0600. Default: print it.")] = None,
    form: Annotated[Form, typer.Option("--format", help="For which program.")] = Form.WG_QUICK,
    full: Annotated[
        bool, typer.Option("--full", help="For all of the device's traffic, where the tenant reaches the internet.")
    ] = False,
    single: Annotated[bool, typer.Option("--single", help="For clients that hold but one peer.")] = False,
    no_dns: Annotated[
        bool, typer.Option("--no-dns", help="Without private names, whose commands WireGuard's apps do not take.")
    ] = False,
    environment: EnvironmentName = None,
    as_json: AsJson = False,
) -> None:
    """Write the file for `wg-quick` and the WireGuard apps, for NetworkManager or systemd-networkd, or as a QR code."""
    scope = chosen(ctx, environment, as_json)
    key = None if private_key_file is None else read_private_key(private_key_file)
    if form is not Form.WG_QUICK and key is None:
        raise typer.BadParameter(f"--format {form.value} needs --private-key-file: it can't be filled in later")
    if form is Form.PNG and out is None:
        raise typer.BadParameter("--format png needs --out: a picture is not for a terminal")
    preshared = None if preshared_key_file is None else read_preshared_key(preshared_key_file)
    opened = scope.open()
    file = client_file(opened, tenant, name, key, preshared, full=full, single=single, names=not no_dns)
    rendered = render(file, key, form)
    written = [] if out is None else write_all(rendered, out)
    if full:
        screen.show_warning(_FULL)
    if file.names is not None and form in (Form.QR, Form.PNG):
        screen.show_warning(f"{_PHONE} ({', '.join(file.names.zones)})")
    for each in aged_keys(tenant_of(opened.registry.definition(), tenant), [file.peer], int(time.time())):
        screen.show_warning(f"{name}'s key is {each.words(int(time.time()))}: twinlock peer rotate gives it a new one")
    if scope.json:
        screen.show_json(_file_facts(file, rendered, written))
    elif out is None:
        screen.show_text("\n".join(content.decode().rstrip("\n") for content in rendered.values()))
    else:
        screen.show_line(
            f"{screen.plain(', '.join(map(str, written)))} is written: {screen.plain(used(form, written))}"
        )


def _aged(opened: Environment, peer: Peer, text: str) -> tuple[str, ...]:
    """A file for all traffic is as it should be as long as the peer may have one."""
    own = narrow.narrowed(tenant_of(opened.registry.definition(), peer.tenant), peer.reach)
    full = own.internet and routes_all(text)
    today = client_file(opened, peer.tenant, peer.name, None, full=full, single=is_single(text), names=True)
    return aged(text, today)


def _file_facts(file: ClientFile, rendered: Mapping[str, bytes], written: Sequence[Path]) -> dict[str, screen.Json]:
    ways = [{"slot": way.slot, "public_key": way.public_key, "endpoint": way.endpoint} for way in file.ways]
    own = addresses(file.prefix6, file.peer.address)
    facts: dict[str, screen.Json] = {
        "addresses": own,
        "allowed": file.allowed,
        "mtu": file.mtu,
        "service_public_key": file.service_public_key,
        "ways": ways,
    }
    if file.single is not None:
        facts["endpoint"] = file.single
    if file.names is not None:
        facts["names"] = {"server": file.names.server, "zones": file.names.zones}
    if not written:
        return {**_facts(file.peer), **facts, "text": "".join(content.decode() for content in rendered.values())}
    return {**_facts(file.peer), **facts, "file": str(written[0]), "files": [str(path) for path in written]}


def _traffic(counted: Traffic) -> str:
    facts = asdict(counted)
    return ", ".join(
        f"{way} {screen.size(facts[f'{way}_bytes'])} in {facts[f'{way}_packets']:,} packets"
        for way in ("sent", "received", "refused")
    )


def _state(peer: Peer) -> str:
    word = "retiring" if peer.retires_at is not None else peer.state
    return f"[{_STYLE[peer.state]}]{word}[/]"


def _key_facts(old: Aged | None) -> dict[str, screen.Json]:
    return {} if old is None else {"key_due_at": old.due_at}


def _facts(peer: Peer) -> dict[str, screen.Json]:
    return {
        "tenant": peer.tenant,
        "name": peer.name,
        "state": peer.state,
        "address": peer.address,
        "public_key": peer.public_key,
        "enrolled_by": peer.enrolled_by,
        "enrolled_at": peer.enrolled_at,
        "approved_by": peer.approved_by,
        "expires_at": peer.expires_at,
        "reach": peer.reach,
        "replaces": peer.replaces,
        "retires_at": peer.retires_at,
    }
