"""The plugins' own configuration."""

from __future__ import annotations

import os
from importlib import metadata

from .errors import ProviderError
from .resource import Problem
from .values import Json

# Set by the engine or the SDK, or without a meaning where the endpoint is the lab's.
_AWS = frozenset(
    {"region", "version", "skipCredentialsValidation", "skipMetadataApiCheck", "skipRegionValidation"}
    | {"skipRequestingAccountId", "s3UsePathStyle", "pluginDownloadURL", "__internal"}
)


def version(package: str) -> str:
    """The version of the SDK that is installed: the plugin speaks for that one."""
    return metadata.version(f"pulumi-{package}")


def problems(package: str, values: Json) -> list[Problem]:
    """Settings that the plugin does not carry out."""
    known = _AWS if package == "aws" else frozenset({"version", "pluginDownloadURL", "__internal"})
    return [
        Problem(name, "the lab's provider does not carry out this setting; the environment gives endpoint and account")
        for name in sorted(values.keys() - known)
    ]


def region(values: Json) -> str:
    """Of the configuration, else of the environment. Raises ProviderError where neither names one."""
    given = values.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not isinstance(given, str) or not given:
        raise ProviderError("no region: set aws:region in the stack's configuration, or AWS_REGION")
    return given
