"""One Twinlock environment: settings, plan, resources."""

from __future__ import annotations

import pulumi

from components import settings
from components.aws.environment import Environment
from components.errors import ProgramError
from components.plan import plan


def main() -> None:
    try:
        wanted = settings.read()
        environment = Environment(wanted, plan(wanted))
    except ProgramError as error:
        # Pulumi prints the message alone and stops before any resource.
        raise pulumi.RunError(str(error)) from None
    for name, value in environment.outputs.items():
        pulumi.export(name, value)


main()
