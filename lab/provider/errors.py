"""What goes wrong between the engine and the cloud.

ProviderError
├── ApiError         the cloud refused a call
├── NotSupportedError     the lab's provider does not know this type, function or setting
└── NotReadyError         made, but it did not come up: what exists is kept in the state
"""

from __future__ import annotations


class ProviderError(Exception):
    """One line that says what, where and how to mend it."""


class ApiError(ProviderError):
    """`code` is the cloud's own, such as InvalidVpcID.NotFound."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code

    @property
    def not_found(self) -> bool:
        """Whether the code says that the thing does not exist (each service has its own words)."""
        return "NotFound" in self.code or self.code in _ABSENT


_ABSENT = frozenset({"NoSuchEntity", "NoSuchBucket", "NoSuchKey", "NoSuchBucketPolicy", "404"})


class NotSupportedError(ProviderError):
    """Not one of the types, functions or settings that the lab knows."""


class NotReadyError(ProviderError):
    """The resource exists, but something about it failed or took too long."""
