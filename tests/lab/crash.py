"""Runs inside a gateway, before a zipapp: `crash.py PROGRAM ARG…` runs it, and dies before its Nth outward act.

Outward acts are requests, processes, new private files and renames, as Python's own audit hooks tell them, so the
program that dies is the very one that ships. /run/crash-at holds "N kill" (SIGKILL) or "N hold" (stands still until
the power goes), once; /run/crash-events lists what was done, /run/crashed what was about to be.
"""

import os
import runpy
import signal
import sys
from pathlib import Path

ORDER, CRASHED, EVENTS = Path("/run/crash-at"), Path("/run/crashed"), Path("/run/crash-events")


def described(event: str, args: tuple[object, ...]) -> str:
    """Empty for what is no outward act of its own."""
    match event, args:
        case "http.client.send", (_, bytes() as sent) if sent.startswith((b"GET ", b"PUT ", b"POST ")):
            target = [line for line in sent.decode().split("\r\n") if line.lower().startswith("x-amz-target")]
            return " ".join((sent.decode().split(" HTTP/")[0], *target))
        case "subprocess.Popen", (_, [*words], *_) if words[:2] != ["wg", "show"]:
            return " ".join(map(str, words))
        case "os.rename", (old, new, *_):
            return f"rename {old} {new}"
        case "open", (path, _, int(flags)) if flags & os.O_EXCL:
            return f"create {path}"
        case _:
            return ""


def main() -> None:
    number, how = ORDER.read_text().split() if ORDER.exists() else ("0", "kill")
    ORDER.unlink(missing_ok=True)
    acts: list[str] = []

    def watch(event: str, args: tuple[object, ...]) -> None:
        act = described(event, args)
        if not act or (acts and acts[-1] == "dying"):
            return
        acts.append(act)
        if len(acts) == int(number):
            acts.append("dying")
            CRASHED.write_text(act)
            os.kill(os.getpid(), signal.SIGKILL if how == "kill" else signal.SIGSTOP)

    sys.argv = sys.argv[1:]
    sys.addaudithook(watch)
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    finally:
        EVENTS.write_text("\n".join(acts))


main()
