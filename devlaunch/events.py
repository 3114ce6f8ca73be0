"""What happens (past-tense nouns) and what to do about it (verbs). Vocabulary ring.

Events come in through `Loop.post` or a component's callback; the pure cores turn them into
actions; `run` carries the actions out. All are frozen dataclasses; times are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from devlaunch.config import WhilePaused

Message = dict[str, Any]
"""A DAP message, forwarded as a plain object."""


@dataclass(frozen=True, slots=True)
class OfProgram:
    """What happened to one program of the run, by its name; what comes bare is for all of them."""

    program: str
    event: object


# --- events: the child --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Launched:
    """The launcher is set up: start the first generation."""


@dataclass(frozen=True, slots=True)
class ChildServing:
    """The child answers on its socket; a script, module or command has begun to run."""

    generation: int


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a child could not run the app. The child has printed the user's traceback already."""

    summary: str
    """`NameError: name 'x' is not defined`, or a sentence when it was no exception."""
    file: str | None = None
    line: int | None = None
    hint: str = ""
    missing_module: str | None = None
    search_path: tuple[str, ...] = ()
    """The directories in which `missing_module` was looked for."""
    is_usage: bool = False
    """The command line is at fault (the attribute is no app, the server is not installed)."""


@dataclass(frozen=True, slots=True)
class ChildFailed:
    """The child cannot run the app and is about to exit (`is_held`: as its debugger lets go)."""

    generation: int
    failure: Failure
    is_held: bool = False


@dataclass(frozen=True, slots=True)
class ChildExited:
    """The child is gone and reaped. `status` as in `Popen.returncode`: -n for signal n."""

    generation: int
    status: int


@dataclass(frozen=True, slots=True)
class ChildRefused:
    """A child that had been a standby must not go on; it is gone, a cold one takes its place."""

    generation: int


# --- events: people and files -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FilesChanged:
    """The content of files that matter to the app changed."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RestartRequested:
    """The IDE's Restart."""


@dataclass(frozen=True, slots=True)
class StopRequested:
    """End everything: a signal to the launcher, or (signal None) the IDE's Terminate."""

    signal: int | None = None


@dataclass(frozen=True, slots=True)
class WhilePausedChosen:
    """From now on a change does this while the debugger holds the app."""

    value: WhilePaused


@dataclass(frozen=True, slots=True)
class DebuggeePaused:
    """The debugger holds at least one thread of the app."""


@dataclass(frozen=True, slots=True)
class DebuggeeResumed:
    """The debugger holds no thread any more."""


@dataclass(frozen=True, slots=True)
class DeadlineReached:
    """The time that a core asked for has come."""


# --- events: raw, from the loop and helper threads ----------------------------------------------


@dataclass(frozen=True, slots=True)
class SignalReceived:
    """The launcher got a signal (SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGWINCH …)."""

    signal: int


@dataclass(frozen=True, slots=True)
class ChildrenChanged:
    """A child of the launcher may have ended: said where there is no SIGCHLD."""


@dataclass(frozen=True, slots=True)
class FilesTouched:
    """The OS reported these absolute paths; their content may be as before, or gone."""

    paths: frozenset[str]
    are_closed: bool = True
    """Whether nobody writes them any more, as far as the OS tells."""


@dataclass(frozen=True, slots=True)
class WatchReady:
    """The first scan is done.

    `contents` is for `Changes.record`: path, digest and time of change of what --watch names.
    """

    directories: int
    contents: tuple[tuple[str, str | None, float | None], ...] = ()


@dataclass(frozen=True, slots=True)
class WatchDegraded:
    """Watching goes on, but by polling; `reason` is one line for the user."""

    reason: str


# --- events: debug connections (input of the keeper) --------------------------------------------


@dataclass(frozen=True, slots=True)
class DebuggerReady:
    """A running child's debugger traces all of its threads, or could not be brought to that."""

    generation: int
    connected: bool = True


@dataclass(frozen=True, slots=True)
class ChildGone:
    """The generation's process has ended, whatever its connection says."""

    generation: int


@dataclass(frozen=True, slots=True)
class ChildUnheard:
    """The generation's control channel has ended: with its process, in most cases."""

    generation: int


@dataclass(frozen=True, slots=True)
class ConsoleNote:
    """One line of devlaunch's own for the IDE's debug console."""

    text: str


@dataclass(frozen=True, slots=True)
class ReleaseRequested:
    """The supervisor wants the paused app to run on (so that its shutdown hooks can run)."""


# --- actions of the keeper ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TellChild:
    """Send this on the generation's control channel, if it still is the current one."""

    generation: int
    message: Message


@dataclass(frozen=True, slots=True)
class ReplaceDebugging:
    """The children to come are debugged by this `debuggers.Debugging`; None: by nothing."""

    debugging: Any


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line for the terminal; `verbose` lines are shown with -v only."""

    text: str
    verbose: bool = False


# --- actions of the supervisor ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SpawnChild:
    """Start a generation. `changed`: files whose cached bytecode must not be used."""

    generation: int
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AskToStop:
    """Ask politely: the control channel for a server, else SIGTERM to the child's main process.

    With `signal` (a terminal's Ctrl-C, SIGTERM, SIGHUP to the launcher) the child's session gets
    that signal instead, as it would without devlaunch.
    """

    generation: int
    signal: int | None = None


@dataclass(frozen=True, slots=True)
class TerminateSession:
    """SIGTERM, then SIGCONT, to the whole session of the child."""

    generation: int


@dataclass(frozen=True, slots=True)
class KillSession:
    """SIGKILL to the whole session and to every process with the run's mark below it."""

    generation: int


@dataclass(frozen=True, slots=True)
class ReleaseDebuggee:
    """Let a paused child run on before it is asked to stop."""


What = Enum(
    "What",
    "READY RELOADING RELOADED REPLACED BROKEN EXITED WAITING_WHILE_PAUSED OVERDUE STOPPING",
)
"""REPLACED: a child runs in place of one that ran already, and refused; nothing to tell people."""


@dataclass(frozen=True, slots=True)
class Report:
    """Something people should read; `reports` words it for the terminal and the IDE's console."""

    what: What
    paths: tuple[str, ...] = ()
    elapsed: float | None = None
    failure: Failure | None = None
    status: int | None = None
    """The child's; for STOPPING -n when signal n asked for it (None: the editor)."""
    is_last: bool = False
    """The launcher ends with this, and does not wait for a change."""


@dataclass(frozen=True, slots=True)
class Exit:
    """The launcher ends with this status (-n for signal n, as in `Popen.returncode`)."""

    status: int
