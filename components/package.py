"""Twinlock as a Pulumi package: `new twinlock.Environment(…)` in programs of any language."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pulumi import ComponentResource, InputPropertiesError, Inputs, Output, ResourceOptions
from pulumi.provider import ConstructResult
from pulumi.provider.experimental.component import ComponentProvider
from pulumi.provider.server import ComponentInitError

from components import settings
from components.aws import environment
from components.errors import Problem, ProgramError, SettingsError
from components.models import Settings
from components.package_inputs import arguments, camel, describe, raw, told
from components.plan import plan
from twinlock import __version__

NAME = "twinlock"
COMPONENT = f"{NAME}:index:Environment"

if TYPE_CHECKING:
    EnvironmentArgs = Mapping[str, object]
else:
    EnvironmentArgs = arguments(Settings)


# No `from __future__ import annotations` here: the SDK reads these annotations, and the docstrings below each.
class Environment(ComponentResource):
    """A highly available pair of WireGuard gateways in front of private cloud storage: network, storage, registry and
    a gateway in each zone. In the region of the stack's own provider for AWS (`aws:region`)."""

    endpoints: Output[list[str]]
    """Where clients call, as ADDRESS:PORT."""
    gateways: Output[dict[str, str]]
    """The public address of each slot."""
    table: Output[str]
    """The registry's table in DynamoDB."""
    buckets: Output[list[str]]
    """The names of the buckets behind the gateways."""
    agent_bucket: Output[str]
    """The name of the bucket that the gateways load their program from."""
    discovery: Output[str]
    """The parameter in Systems Manager that the `twinlock` command finds the environment by."""
    policies: Output[dict[str, str]]
    """The ARNs of the managed policies for readers, enrollers and approvers, and of each tenant's enrollers."""

    def __init__(self, name: str, args: EnvironmentArgs, opts: ResourceOptions | None = None) -> None:
        wanted = settings.parse({**raw(Settings, args), **settings.region()})
        planned = plan(wanted)
        if opts is not None and opts.providers:
            rule, mend = "is not the stack's own provider", "leave it out, and set aws:region"
            raise SettingsError([Problem(key="the option providers", value="(given)", rule=rule, mend=mend)])
        super().__init__(COMPONENT, name, None, opts)
        outputs = environment.Environment(wanted, planned, ResourceOptions(parent=self)).outputs
        for attribute in Environment.__annotations__:
            setattr(self, attribute, Output.from_input(outputs[camel(attribute)]))
        self.register_outputs(outputs)


class Package(ComponentProvider):
    """What the SDK's component host serves, with the models' descriptions and the models' own words on mistakes."""

    def __init__(self) -> None:
        super().__init__([Environment], NAME, version=__version__)
        schema = json.loads(self.schema or "")
        describe(schema, COMPONENT, Settings)
        self.schema = json.dumps(schema)

    def map_inputs(self, inputs: Inputs, component_def: object) -> Inputs:
        """As they are: the SDK's own mapping drops what it does not know, and the models name it."""
        return inputs

    def construct(
        self, name: str, resource_type: str, inputs: Inputs, options: ResourceOptions | None = None
    ) -> ConstructResult:
        try:
            return super().construct(name, resource_type, inputs, options)
        except ComponentInitError as error:
            # Any other error the SDK tells with the lines of code that it came by.
            match error.inner:
                case SettingsError():
                    raise told(error.inner) from None
                case ProgramError():
                    raise InputPropertiesError(str(error.inner), []) from None
                case _:
                    raise
