"""One Twinlock environment: settings, plan, resources."""

from __future__ import annotations

import gc

# Before the imports: a program lives for seconds, and looking for cycles among the SDK's classes is a tenth of them.
gc.disable()

import pulumi  # noqa: E402

from components import settings  # noqa: E402
from components.aws.environment import Environment  # noqa: E402
from components.errors import ProgramError  # noqa: E402
from components.plan import plan  # noqa: E402


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
