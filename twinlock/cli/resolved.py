"""What systemd-resolved is told of a tunnel's interface: the only file of the command that runs `resolvectl`."""

from __future__ import annotations

import shutil
import subprocess

from twinlock.cli.client_names import PrivateNames

_SECONDS = 5


def told(interface: str) -> PrivateNames | None:
    """None where nothing was, or there is no systemd-resolved to ask."""
    if shutil.which("resolvectl") is None:
        return None
    servers, domains = (_said(verb, interface) for verb in ("dns", "domain"))
    zones = tuple(domain.removeprefix("~") for domain in domains)
    return PrivateNames(server=servers[0], zones=zones) if servers else None


def tell(interface: str, names: PrivateNames) -> bool:
    """Has it ask for these names there until the interface goes; whether it was there to be told."""
    if shutil.which("resolvectl") is None:
        return False
    words = (["dns", interface, names.server], ["domain", interface, *names.routed])
    return all(
        subprocess.run(["resolvectl", *each], capture_output=True, timeout=_SECONDS, check=False).returncode == 0
        for each in words
    )


def _said(verb: str, interface: str) -> tuple[str, ...]:
    """Its line is `Link 7 (tl-lab): 10.64.0.1`, with nothing after the colon where nothing was told."""
    done = subprocess.run(
        ["resolvectl", verb, interface], capture_output=True, text=True, timeout=_SECONDS, check=False
    )
    return tuple(done.stdout.partition("): ")[2].split()) if done.returncode == 0 else ()
