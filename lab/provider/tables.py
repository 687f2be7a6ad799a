"""All types and functions of the plugins."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from .resource import Function, ResourceType

_FILES = {
    "aws": (
        "network endpoint security_group interface launch_template autoscaling iam iam_policy kms secretsmanager "
        "dynamodb dynamodb_item s3 ssm account lookups quotas"
    ),
    "random": "random_values",
}


def resources(package: str) -> Mapping[str, ResourceType]:
    """Token -> type."""
    found: list[ResourceType] = []
    for name in _FILES[package].split():
        found += getattr(import_module(f".{name}", __package__), "TYPES", ())
    return {kind.token: kind for kind in found}


def functions(package: str) -> Mapping[str, Function]:
    """Token -> function."""
    found: list[Function] = []
    for name in _FILES[package].split():
        found += getattr(import_module(f".{name}", __package__), "FUNCTIONS", ())
    return {function.token: function for function in found}


def all_resources() -> Mapping[str, ResourceType]:
    """Of every package."""
    return {token: kind for package in _FILES for token, kind in resources(package).items()}


def all_functions() -> Mapping[str, Function]:
    """Of every package."""
    return {token: function for package in _FILES for token, function in functions(package).items()}
