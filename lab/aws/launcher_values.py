"""What the launcher's handlers take and give: documents shaped as boto3's, read field by field.

botocore's models are not typed; whatever comes from them is narrowed here, once, and a wrong shape is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, cast

Document = Mapping[str, object]
Result = dict[str, object]
# An action of the API: parameters in, result out, both named as in boto3. Raises Refused.
Handler = Callable[[Document], Result]


class Backend(Protocol):
    """Asks the services behind the front, as nobody in particular: no IAM. Raises Refused with the API's own code."""

    def __call__(self, service: str, action: str, parameters: Document) -> Document: ...


class Refused(Exception):  # noqa: N818
    """What the API answers instead of a result: `code` is AWS's, `message` its text."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


def text(document: Document, name: str, default: str = "") -> str:
    value = document.get(name)
    if value is None:
        return default
    if isinstance(value, str):
        return value
    raise TypeError(f"{name} should be text, got {type(value).__name__}")


def number(document: Document, name: str, default: int) -> int:
    value = document.get(name)
    if value is None:
        return default
    if isinstance(value, int | float):
        return int(value)
    raise TypeError(f"{name} should be a number, got {type(value).__name__}")


def optional_number(document: Document, name: str) -> int | None:
    return None if document.get(name) is None else number(document, name, 0)


def flag(document: Document, name: str, default: bool = False) -> bool:
    value = document.get(name)
    if value is None:
        return default
    if isinstance(value, bool):
        return value
    raise TypeError(f"{name} should be true or false, got {type(value).__name__}")


def record(document: Document, name: str) -> Document:
    """The document under `name`; an empty one when it is absent."""
    value = document.get(name)
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return cast(Document, value)
    raise TypeError(f"{name} should be a structure, got {type(value).__name__}")


def records(document: Document, name: str) -> tuple[Document, ...]:
    value = document.get(name)
    if value is None:
        return ()
    if isinstance(value, list | tuple):
        return tuple(cast(Document, item) for item in cast(Sequence[object], value) if isinstance(item, Mapping))
    raise TypeError(f"{name} should be a list, got {type(value).__name__}")


def texts(document: Document, name: str) -> tuple[str, ...]:
    value = document.get(name)
    if value is None:
        return ()
    if isinstance(value, list | tuple):
        return tuple(str(item) for item in cast(Sequence[object], value))
    raise TypeError(f"{name} should be a list, got {type(value).__name__}")


def filters(document: Document) -> dict[str, tuple[str, ...]]:
    """EC2's `Filters` parameter by name."""
    return {text(item, "Name"): texts(item, "Values") for item in records(document, "Filters")}


def tags(document: Document, name: str = "Tags") -> dict[str, str]:
    return {text(tag, "Key"): text(tag, "Value") for tag in records(document, name)}


def tag_list(pairs: Mapping[str, str]) -> list[Result]:
    return [{"Key": key, "Value": value} for key, value in sorted(pairs.items())]


def tags_for(document: Document, resource_type: str, name: str = "TagSpecifications") -> dict[str, str]:
    """The tags that a call's `TagSpecifications` give to one type of resource ("instance", "network-interface")."""
    found: dict[str, str] = {}
    for item in records(document, name):
        if text(item, "ResourceType") == resource_type:
            found |= tags(item)
    return found
