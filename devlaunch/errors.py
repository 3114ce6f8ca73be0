"""What can go wrong, split by whose mistake it is. Vocabulary ring: standard library only."""

from __future__ import annotations

EX_FAILURE = 1
EX_USAGE = 2
EX_CANNOT_EXECUTE = 126
EX_NOT_FOUND = 127


class DevlaunchError(Exception):
    """Something the user can mend: one sentence that names the value seen, and what to do next.

    `cli` prints it as `devlaunch: error: <message>` and an indented `<hint>`, without a traceback,
    and exits with `exit_status`.
    """

    exit_status = EX_FAILURE

    def __init__(self, message: str, *, hint: str = "", exit_status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if exit_status is not None:
            self.exit_status = exit_status


class UsageError(DevlaunchError):
    """The command line, environment or configuration file asks for something that cannot be."""

    exit_status = EX_USAGE


class AddressInUseError(DevlaunchError):
    """Another process listens there."""


class ProtocolError(Exception):
    """A peer of a debug connection sent something that is not DAP; the peer is dropped."""


class StateError(Exception):
    """An event that a state has no transition for: a defect of devlaunch, never of the user."""
