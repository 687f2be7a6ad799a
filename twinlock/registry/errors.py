"""What can go wrong with the registry.

RegistryError
├── Refused       the registry's rules say no (not allowed, not found, conflict): asking again changes nothing
├── Unavailable   the registry can't be reached or does not answer: asking again later may help
│   └── NotSignedIn   credentials are missing, expired or unknown: a machine's come back, a person has to mend theirs
└── Corrupt       an item is not what this version writes: never read as empty
"""

from __future__ import annotations


class RegistryError(Exception):
    """One line: what, where, mend."""


class Refused(RegistryError):  # noqa: N818  (a decision, not a fault)
    pass


class Unavailable(RegistryError):  # noqa: N818
    pass


class NotSignedIn(Unavailable):
    pass


class Corrupt(RegistryError):  # noqa: N818
    pass
