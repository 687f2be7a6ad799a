"""The JSON schema of a stack file, for editors: `python -m components.schema > docs/stack.schema.json`."""

from __future__ import annotations

import json

from pydantic import TypeAdapter

from components.models import Gateway, Label, Network, RegionText, Registry, Storage, Tenant, Tunnel

OBJECTS: dict[str, TypeAdapter[object]] = {
    "network": TypeAdapter(Network),
    "tunnel": TypeAdapter(Tunnel),
    "gateway": TypeAdapter(Gateway),
    "storage": TypeAdapter(Storage),
    "tenants": TypeAdapter(dict[Label, Tenant]),
    "registry": TypeAdapter(Registry),
}


def schema() -> dict[str, object]:
    """Of the whole file. Keys of other programs and of the engine are let be."""
    inputs = [
        (name, "validation", adapter) for name, adapter in (*OBJECTS.items(), ("region", TypeAdapter(RegionText)))
    ]
    found, shared = TypeAdapter.json_schemas(inputs)  # type: ignore[arg-type]
    keys = {f"twinlock:{name}": found[name, "validation"] for name in OBJECTS}
    keys["aws:region"] = found["region", "validation"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A stack of Twinlock",
        "type": "object",
        "required": ["config"],
        "properties": {
            "config": {
                "type": "object",
                "required": ["aws:region", *(f"twinlock:{name}" for name in OBJECTS if name != "registry")],
                "properties": keys,
            }
        },
        **shared,
    }


if __name__ == "__main__":
    print(json.dumps(schema(), indent=2))
