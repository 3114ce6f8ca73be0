"""What a session of `devlaunch adapter` hears (events), what it does (actions), its phases."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from devlaunch.events import Message

TERMINALS = {"integratedTerminal": "integrated", "externalTerminal": "external"}
"""The values of `console` that are terminals, and their names in runInTerminal."""

FAILED = "devlaunchFailed"
"""The launcher's event: it cannot start, or the target cannot be what is meant; and why."""

STARTED = "devlaunchStarted"
"""The launcher's event: the first start of the app has come to an end, good or not."""


class Phase(Enum):
    """How far the session has come."""

    CONNECTED = auto()
    INITIALIZED = auto()
    STARTING = auto()
    """`launch` or `attach` has been asked for, and there is no keeper yet."""
    RUNNING = auto()
    ENDED = auto()
    """The editor knows; it has a moment to say goodbye."""
    CLOSED = auto()


# --- events -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EditorSaid:
    """A message from the editor."""

    message: Message


@dataclass(frozen=True, slots=True)
class EditorGone:
    """The editor's connection has ended."""


@dataclass(frozen=True, slots=True)
class KeeperConnected:
    """The keeper can be spoken to. `pid` is the launcher's where we started it.

    `where` is its address, for people, where `attach` led to it.
    """

    pid: int = 0
    where: str = ""


@dataclass(frozen=True, slots=True)
class KeeperSaid:
    """A message from the keeper, or from the launcher before it has one."""

    message: Message


@dataclass(frozen=True, slots=True)
class KeeperGone:
    """The keeper's connection has ended; `reason` is why we have given it up, if we have."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class StartFailed:
    """What `launch` or `attach` asked for cannot be had; `text` is for people."""

    text: str


@dataclass(frozen=True, slots=True)
class TerminalWanted:
    """The launcher is to be started by the editor, in a terminal (arguments of runInTerminal)."""

    arguments: Message


@dataclass(frozen=True, slots=True)
class OutputRead:
    """The launcher or its app has written to stdout or stderr (`category`)."""

    category: str
    text: str


@dataclass(frozen=True, slots=True)
class LauncherGone:
    """The launcher has ended and all of its output was read; `status` is None when unknown."""

    status: int | None


# --- actions ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TellEditor:
    """Send to the editor."""

    message: Message


@dataclass(frozen=True, slots=True)
class TellKeeper:
    """Send to the keeper."""

    message: Message


@dataclass(frozen=True, slots=True)
class Start:
    """Start a launcher with the arguments of `launch`; `can_run_in_terminal` is the editor's."""

    arguments: Message
    can_run_in_terminal: bool


@dataclass(frozen=True, slots=True)
class Connect:
    """Connect to the keeper that the arguments of `attach` name."""

    arguments: Message


@dataclass(frozen=True, slots=True)
class LeaveKeeper:
    """Close its connection, or give up waiting for one: a launcher of ours ends then."""


@dataclass(frozen=True, slots=True)
class EndSession:
    """Close the editor's connection after what was sent: nothing more comes."""
