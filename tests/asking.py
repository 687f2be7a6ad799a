"""A name server's answer as a program prints it, wherever there is a Python."""

from __future__ import annotations

from pathlib import Path

from twinlock.cli import dns_question

# Arguments: server, name, udp or tcp, seconds to wait. Prints the answer's code and addresses.
SCRIPT = f"""{Path(dns_question.__file__).read_text()}
import sys
server, name, how, seconds = sys.argv[1:]
said = ask(server, name, tcp=how == "tcp", seconds=float(seconds))
print(said.code, *said.addresses)
"""
