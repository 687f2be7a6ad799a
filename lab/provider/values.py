"""Property values as plain data, and their wire form (protobuf structs with the engine's signatures)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from google.protobuf import struct_pb2


class Unknown:
    """A value that is known only after the deployment has run; there is one, `UNKNOWN`."""

    def __repr__(self) -> str:
        return "UNKNOWN"


@dataclass(frozen=True)
class Asset:
    """A file or a text, as `pulumi.FileAsset` and `pulumi.StringAsset` send it. One of `path` and `text` is set."""

    hash: str  # SHA-256 of the content, by the engine: two assets are equal if their contents are
    path: str = field(default="", compare=False)
    text: str = field(default="", compare=False)

    def content(self) -> bytes:
        """The bytes. Raises OSError if the file can't be read."""
        from pathlib import Path

        return Path(self.path).read_bytes() if self.path else self.text.encode()


# Lists and dicts always; the wider types let a list of texts stand where a list of values may.
Value: TypeAlias = "bool | int | float | str | Unknown | Asset | Sequence[Value] | Mapping[str, Value] | None"
Json: TypeAlias = dict[str, Value]

UNKNOWN: Final = Unknown()
# The engine's markers, from pulumi's sdk/go/common/resource (properties.go, sig.go).
_UNKNOWN_MARK = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - a marker, not a secret
_ASSET = "c44067f5952c0a294b673a41bacd8c17"


def decode(struct: struct_pb2.Struct) -> tuple[Json, frozenset[str]]:
    """The struct's plain values, and the names of its properties that hold a secret somewhere inside."""
    secret = frozenset(name for name, value in struct.fields.items() if _holds_secret(value))
    return {name: _plain(value) for name, value in struct.fields.items()}, secret


def encode(values: Mapping[str, Value], secret: Iterable[str] = ()) -> struct_pb2.Struct:
    """The wire form; each property named in `secret` is wrapped as one."""
    secrets = frozenset(secret)
    return struct_pb2.Struct(
        fields={name: _wrap(value) if name in secrets else _wire(value) for name, value in values.items()}
    )


def holds_unknown(value: Value) -> bool:
    """Whether the value or a part of it is unknown."""
    if isinstance(value, dict):
        return any(holds_unknown(part) for part in value.values())
    if isinstance(value, list):
        return any(holds_unknown(part) for part in value)
    return value is UNKNOWN


def _holds_secret(value: struct_pb2.Value) -> bool:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        fields = value.struct_value.fields
        return _signature(value.struct_value) == _SECRET or any(_holds_secret(part) for part in fields.values())
    return kind == "list_value" and any(_holds_secret(part) for part in value.list_value.values)


def _signature(struct: struct_pb2.Struct) -> str:
    return struct.fields[_SIGNATURE].string_value if _SIGNATURE in struct.fields else ""


def _plain(value: struct_pb2.Value) -> Value:
    match value.WhichOneof("kind"):
        case "bool_value":
            return value.bool_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "string_value":
            return UNKNOWN if value.string_value == _UNKNOWN_MARK else value.string_value
        case "list_value":
            return [_plain(part) for part in value.list_value.values]
        case "struct_value":
            return _plain_struct(value.struct_value)
        case _:
            return None


def _plain_struct(struct: struct_pb2.Struct) -> Value:
    match _signature(struct):
        case "":
            return {name: _plain(part) for name, part in struct.fields.items()}
        case signature if signature == _SECRET:
            return _plain(struct.fields["value"])
        case signature if signature == _ASSET:
            parts = {name: part.string_value for name, part in struct.fields.items()}
            return Asset(hash=parts.get("hash", ""), path=parts.get("path", ""), text=parts.get("text", ""))
        case signature:
            raise ValueError(f"a value with the signature {signature} (archive, resource reference) is not supported")


def _wrap(value: Value) -> struct_pb2.Value:
    fields = {_SIGNATURE: struct_pb2.Value(string_value=_SECRET), "value": _wire(value)}
    return struct_pb2.Value(struct_value=struct_pb2.Struct(fields=fields))


def _wire(value: Value) -> struct_pb2.Value:
    match value:
        case None:
            return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
        case bool():
            return struct_pb2.Value(bool_value=value)
        case int() | float():
            return struct_pb2.Value(number_value=value)
        case str():
            return struct_pb2.Value(string_value=value)
        case Unknown():
            return struct_pb2.Value(string_value=_UNKNOWN_MARK)
        case Asset():
            parts = {_SIGNATURE: _ASSET, "hash": value.hash, "path": value.path, "text": value.text}
            fields = {name: struct_pb2.Value(string_value=part) for name, part in parts.items() if part}
            return struct_pb2.Value(struct_value=struct_pb2.Struct(fields=fields))
        case list():
            return struct_pb2.Value(list_value=struct_pb2.ListValue(values=[_wire(part) for part in value]))
        case dict():
            fields = {name: _wire(part) for name, part in value.items()}
            return struct_pb2.Value(struct_value=struct_pb2.Struct(fields=fields))
        case _:
            raise TypeError(f"a {type(value).__name__} is no property value")
