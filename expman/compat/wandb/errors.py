"""What the calls raise, under wandb's names."""

from __future__ import annotations

__all__ = [
    "AuthenticationError",
    "CommError",
    "ConfigChangeError",
    "Error",
    "UnsupportedError",
    "UsageError",
]


class Error(Exception):
    """Base of all of them."""


class CommError(Error):
    """Nothing raises it: no call waits for a server."""


class AuthenticationError(CommError):
    """Nothing raises it: there is no login."""


class UsageError(Error):
    """A call that makes no sense where it is, as `log` before `init`."""


class UnsupportedError(UsageError):
    """Nothing raises it; what is not there raises NotImplementedError."""


class ConfigChangeError(UsageError):
    """A parameter that has a value already was given another one."""
