"""The only file that sends packets of its own making (CAP_NET_RAW): what goes out is still up to the firewall."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable

_log = logging.getLogger(__name__)


def send_raw(packets: Iterable[tuple[str, bytes]]) -> None:
    """Each a whole IPv4 packet, and where it goes to. One that can't be sent is as good as lost."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        for address, packet in packets:
            try:
                raw.sendto(packet, (address, 0))
            except OSError as exc:
                _log.debug("to %s: %s", address, exc)
