"""Parameters."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .api import Api
from .ec2_tags import listed, mapped, removed
from .json_path import at, fields, given, rows, text
from .patience import found
from .resource import Change, Function, Problem, ResourceType, words
from .values import Json


def _put(api: Api, inputs: Json, *, overwrite: bool) -> None:
    api.call(
        "ssm",
        "put_parameter",
        Name=inputs["name"],
        Type=inputs["type"],
        Value=inputs.get("value") if inputs.get("value") is not None else inputs.get("insecureValue"),
        Overwrite=overwrite,
        **given(Description=inputs.get("description"), KeyId=inputs.get("keyId")),
        **({} if overwrite or not inputs.get("tags") else {"Tags": listed(inputs["tags"])}),
    )


def _create(api: Api, inputs: Json) -> str:
    _put(api, inputs, overwrite=False)
    return str(inputs["name"])


def _read(api: Api, identifier: str, _inputs: Json) -> Json | None:
    answer = found(lambda: api.call("ssm", "get_parameter", Name=identifier, WithDecryption=True))
    if answer is None:
        return None
    parameter = fields(answer, "Parameter")
    by_name = [{"Key": "Name", "Option": "Equals", "Values": [identifier]}]
    described = rows(api.call("ssm", "describe_parameters", ParameterFilters=by_name), "Parameters")
    tags = api.call("ssm", "list_tags_for_resource", ResourceType="Parameter", ResourceId=identifier)
    return {
        "arn": text(parameter, "ARN"),
        "name": identifier,
        "type": text(parameter, "Type"),
        "value": text(parameter, "Value"),
        "version": at(parameter, "Version"),
        "dataType": text(parameter, "DataType") or "text",
        "tier": text(described, 0, "Tier") or "Standard",
        "keyId": text(described, 0, "KeyId"),
        "description": text(described, 0, "Description"),
        "hasValueWo": False,
        "tags": mapped(tags.get("TagList")),
    }


def _update(api: Api, change: Change) -> None:
    if change.names - {"tags"}:
        _put(api, change.new, overwrite=True)
    which = {"ResourceType": "Parameter", "ResourceId": change.id}
    if gone := removed(change):
        api.call("ssm", "remove_tags_from_resource", **which, TagKeys=gone)
    if "tags" in change.names and (tags := listed(change.new.get("tags"))):
        api.call("ssm", "add_tags_to_resource", **which, Tags=tags)


def _delete(api: Api, identifier: str, _state: Json) -> None:
    api.call("ssm", "delete_parameter", Name=identifier)


def _name(inputs: Json) -> Iterator[Problem]:
    """PutParameter: a-zA-Z0-9_.- in at most 15 levels by /, 1011 characters with the ARN; not aws or ssm first."""
    name = inputs.get("name")
    if not isinstance(name, str):
        return
    if not re.fullmatch(r"[a-zA-Z0-9_.\-/]{1,1011}", name) or name.count("/") > 15 or ("/" in name and name[0] != "/"):
        yield Problem("name", f"levels of a-z, A-Z, 0-9 and _.- that each begin with /, at most 15, got {name}")
    if re.match(r"/?(aws|ssm)", name, re.IGNORECASE):
        yield Problem("name", f"can't begin with aws or ssm, got {name}")


def _value(inputs: Json) -> Iterator[Problem]:
    """PutParameter: types; one value of 1 to 4096 bytes in the standard tier."""
    kind, value = inputs.get("type"), inputs.get("value", inputs.get("insecureValue"))
    if isinstance(kind, str) and kind not in ("String", "StringList", "SecureString"):
        yield Problem("type", f"must be String, StringList or SecureString, got {kind}")
    if ("value" in inputs) == ("insecureValue" in inputs):
        yield Problem("value", "one of value and insecureValue")
    if isinstance(value, str) and not 1 <= len(value.encode()) <= 4096:
        yield Problem("value", f"1 to 4096 bytes, got {len(value.encode())}")


PARAMETER = ResourceType(
    token="aws:ssm/parameter:Parameter",  # noqa: S106
    create=_create,
    read=_read,
    update=_update,
    delete=_delete,
    forces_new=words("name"),
    in_place=words("type value insecureValue description keyId tags"),
    named="name",
    rules=(_name, _value),
    secret=words("value"),
    restated=words("version"),
)


def _get_parameter(api: Api, arguments: Json) -> Json:
    decrypted = arguments.get("withDecryption", True)
    name = arguments["name"]
    parameter = fields(api.call("ssm", "get_parameter", Name=name, WithDecryption=decrypted), "Parameter")
    value, kind = text(parameter, "Value"), text(parameter, "Type")
    return {
        "arn": text(parameter, "ARN"),
        "id": name,
        "name": text(parameter, "Name"),
        "type": kind,
        "value": value,
        "insecureValue": "" if kind == "SecureString" else value,
        "version": at(parameter, "Version"),
        "withDecryption": decrypted,
        "region": api.region,
    }


GET_PARAMETER = Function(
    token="aws:ssm/getParameter:getParameter",  # noqa: S106
    known=words("name withDecryption region"),
    call=_get_parameter,
)

TYPES = (PARAMETER,)
FUNCTIONS = (GET_PARAMETER,)
