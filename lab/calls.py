"""What the lab's daemon can be asked, each call with the type of its answer, which is checked as it arrives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar

from pydantic import TypeAdapter, ValidationError

from lab import remote
from lab.remote import LabError
from lab.watched import Boot

T = TypeVar("T")
Nat = Literal["none", "port-restricted", "symmetric"]
Mode = Literal["ways", "floating-ip"]  # how a client is reached
PowerAct = Literal["cut", "pause", "resume"]


class Ran(NamedTuple):
    """What became of a command in a machine."""

    code: int
    printed: str


class PathCut(NamedTuple):
    """Nothing passes between a machine and the others (CIDRs or machines) or, with `all_but`, all but these."""

    machine: str
    others: Sequence[str]
    all_but: bool = False


@dataclass(frozen=True, kw_only=True)
class Status:
    endpoint: str
    logs: str
    machines: tuple[Boot, ...]


_NUMBER, _TEXT, _WORDS = TypeAdapter(int), TypeAdapter(str), TypeAdapter(list[str])
_SETTINGS, _RAN = TypeAdapter(dict[str, str]), TypeAdapter(Ran)
_BOOTS, _STATUS = TypeAdapter(tuple[Boot, ...]), TypeAdapter(Status)


def ping() -> int:
    """The daemon's process id."""
    return _ask(_NUMBER, "ping")


def start(*, rootless: bool = False, tables: bool = True, move_seconds: float = 6.0, conflicts: float = 0.02) -> None:
    """Starts the cloud; `move_seconds` is how long an elastic IP takes to move. A preview needs no `tables`."""
    _tell("start", rootless=rootless, tables=tables, move_seconds=move_seconds, conflicts=conflicts)


def stop() -> None:
    _tell("stop")


def environment() -> dict[str, str]:
    """The deployer's settings, for tools on the host."""
    return _ask(_SETTINGS, "environment")


def credentials(role: str, *, local: bool = False) -> dict[str, str]:
    """A role's settings: for tools on the host (`local`) or for a client that finds the real names."""
    return _ask(_SETTINGS, "credentials", role=role, local=local)


def people(policies: Mapping[str, str]) -> None:
    """Gives the lab's people the policies that the stack has put out."""
    _tell("people", policies=dict(policies))


def client(name: str, nat: Nat) -> str:
    """The namespace of a client behind its NAT, made when it is not there yet."""
    return _ask(_TEXT, "client", name=name, nat=nat)


def listen(address: str, port: int) -> None:
    """Has something that accepts connections and says nothing at a public address."""
    _tell("listen", address=address, port=port)


def address_of(name: str) -> str:
    """What the lab's DNS answers for a name of the cloud."""
    return _ask(_TEXT, "address_of", name=name)


def wait_ready(count: int, timeout: float) -> tuple[Boot, ...]:
    return _ask(_BOOTS, "wait_ready", count=count, timeout=timeout)


def status() -> Status:
    return _ask(_STATUS, "status")


def shell(name: str, command: Sequence[str] = ()) -> list[str]:
    """The words that run a command, or without one a shell, in a gateway (slot or instance id) or a client."""
    return _ask(_WORDS, "shell", name=name, command=list(command))


def run(machine: str, *argv: str) -> Ran:
    """Runs a command inside a machine."""
    return _ask(_RAN, "run", machine=machine, argv=list(argv))


def console(machine: str) -> str:
    return _ask(_TEXT, "console", machine=machine)


def namespace(of: str) -> str:
    """The network namespace of a machine, a network or an endpoint, by the cloud's id."""
    return _ask(_TEXT, "namespace", of=of)


def power(machine: str, act: PowerAct) -> None:
    """Cuts a machine's power, or has it stand still and go on."""
    _tell("power", machine=machine, act=act)


def cut(name: str, paths: Sequence[PathCut]) -> None:
    """Cuts paths until `mend`."""
    _tell("cut", name=name, paths=paths)


def mend(name: str) -> None:
    _tell("mend", name=name)


def lie(machine: str, seconds: float) -> None:
    """The time source is so far ahead for a machine; 0: tells the truth again."""
    _tell("lie", machine=machine, seconds=seconds)


def kernel(machine: str, name: str, value: str) -> None:
    """Sets a network setting of a machine's kernel (`net/ipv4/ip_forward`)."""
    _tell("kernel", machine=machine, name=name, value=value)


def fill_disk(machine: str, full: bool) -> None:
    _tell("fill_disk", machine=machine, full=full)


def slow_down(seconds: float) -> None:
    """Each call of a gateway to an API, storage excepted, takes so much longer."""
    _tell("slow_down", seconds=seconds)


def darken(zone: str, dark: bool) -> None:
    """A dark zone has no capacity for instances."""
    _tell("darken", zone=zone, dark=dark)


def _ask(reader: TypeAdapter[T], method: str, **arguments: object) -> T:
    answer = remote.call(method, **arguments)
    try:
        return reader.validate_python(answer, strict=True)
    except ValidationError as error:
        raise LabError(f"the lab's daemon answered {method} in another form, as an older one would: {error}") from error


def _tell(method: str, **arguments: object) -> None:
    remote.call(method, **arguments)
