"""What can go wrong on a gateway. Each is one line: what, where, mend.

AgentError
├── BadBoot          /etc/twinlock/boot.json is not what this agent can read
├── BadState         what the agent kept on disk can't be read: it stops, rather than serve nobody
├── BadIdentity      a secret and the registry disagree about an identity
├── CommandFailed    wg, wg-quick, nft or conntrack said no
└── CloudUnavailable secrets, metadata or prefix lists do not answer: trying again may help
"""

from __future__ import annotations


class AgentError(Exception):
    """One line that an operator can act on."""


class BadBoot(AgentError):  # noqa: N818
    pass


class BadState(AgentError):  # noqa: N818
    pass


class BadIdentity(AgentError):  # noqa: N818
    pass


class CommandFailed(AgentError):  # noqa: N818
    pass


class CloudUnavailable(AgentError):  # noqa: N818
    pass
