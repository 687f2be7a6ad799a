"""A client's file in the form that was asked for, as bytes, and onto the disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import assert_never

from twinlock.cli.client_formats import network_manager, networkd, qr_png, qr_terminal
from twinlock.cli.private_key import PrivateKey, write_private
from twinlock.cli.wireguard_file import ClientFile, wg_quick
from twinlock.registry.errors import Refused


class Form(Enum):
    WG_QUICK = "wg-quick"
    QR = "qr"
    PNG = "png"
    NETWORK_MANAGER = "networkmanager"
    NETWORKD = "networkd"


def render(file: ClientFile, key: PrivateKey | None, form: Form) -> Mapping[str, bytes]:
    """File name -> content; the name matters to networkd alone, which takes two. Only wg-quick's goes without a key."""
    if form is Form.WG_QUICK or key is None:
        return {"": wg_quick(file, key).encode()}
    match form:
        case Form.QR:
            return {"": qr_terminal(_for_an_app(file, key)).encode()}
        case Form.PNG:
            return {"": qr_png(_for_an_app(file, key))}
        case Form.NETWORK_MANAGER:
            return {"": network_manager(file, key).encode()}
        case Form.NETWORKD:
            return {name: text.encode() for name, text in networkd(file, key).items()}
        case _:
            assert_never(form)


def _for_an_app(file: ClientFile, key: PrivateKey) -> str:
    return wg_quick(replace(file, names=None), key)


def write_all(rendered: Mapping[str, bytes], out: Path) -> list[Path]:
    """0600 from birth. `out` is the file, or for several the folder, which has to be there."""
    paths = {out / name if name else out: content for name, content in rendered.items()}
    for path, content in paths.items():
        write_private(path, content, replace=True)
    return list(paths)


def used(form: Form, written: Sequence[Path]) -> str:
    """What its user does next."""
    match form:
        case Form.WG_QUICK:
            return f"wg-quick up {written[0].resolve()}"
        case Form.QR | Form.PNG:
            return "show it to the phone alone, it holds the private key, and delete it"
        case Form.NETWORK_MANAGER:
            return "move it to /etc/NetworkManager/system-connections, root's and 0600, then nmcli connection reload"
        case Form.NETWORKD:
            return "move both to /etc/systemd/network, root:systemd-network and 0640, then networkctl reload"
        case _:
            assert_never(form)


def read_file(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise Refused(f"can't read {path} as a client's file: pass what `peer config` wrote") from exc
