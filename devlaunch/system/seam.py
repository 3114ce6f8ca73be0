"""What an operating system has to give, and `here`, the module of the one that this is.

The contracts are told here, and kept by `_posix` and `_windows`; mypy compares them for each
platform. A child is a session of its own (or a group, or neither); it and all that it starts carry
the run's mark in their environment, or are in a job. Ending a child means ending all of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from devlaunch.config import Isolation
from devlaunch.core.invocation import Running

if TYPE_CHECKING:
    from subprocess import Popen

if sys.platform == "win32":
    from devlaunch.system import _windows as system
else:
    from devlaunch.system import _posix as system


class Child(Protocol):
    """A child process and all that it starts."""

    pid: int
    takes_signals: bool
    """Else `signal` knows SIGKILL only, and all others are asked for over the control channel."""
    survivors: set[int]
    """Who lived on after `kill` or `reap`: another user's process, or one stuck in the kernel."""

    def poll(self) -> int | None:
        """None while the main process runs, then its status: -n for signal n. Does not reap."""

    def when_ended(self, call: Callable[[], object]) -> None:
        """Call, from any thread, once `poll` gives a status, where no SIGCHLD says so."""

    def stopped(self) -> bool:
        """Whether Ctrl-Z has stopped it since this was asked last. Ask at SIGCHLD.

        Only a child with isolate=group hears the keyboard instead of the launcher.
        """

    def look(self) -> None:
        """Note who descends from the child now.

        Call it before the child is asked to stop by other means than a signal: its children in
        sessions of their own, without the mark, cannot be found once it is gone.
        """

    def image(self) -> object | None:
        """What tells the program that its main process runs from another one.

        exec(3) changes it. None in the midst of one, at the end of the process, and where it is
        not known.
        """

    def signal(self, sig: int) -> None:
        """Signal the main process; SIGCONT follows a signal that asks it to end."""

    def signal_session(self, sig: int) -> None:
        """Signal its whole session, group, or (isolate=none) itself and its descendants."""

    def dismiss(self) -> list[str]:
        """After the main process's end: ask whom it has left behind to end, each once.

        Returns who lives, as `sleep (pid 12)`.
        """

    def kill(self) -> set[int]:
        """SIGKILL to everything of it, wherever it went; returns `survivors`. Takes up to 2 s."""

    def reap(self) -> int:
        """End what is left, then free the process id; returns the status. After it, forget it.

        When there is time again `sweep` its mark: who was just starting may have been overlooked.
        """

    def pythons(self) -> dict[int, Running]:
        """The Python processes below the child that have run for a second, where that is known.

        Empty when there is a devlaunch among them: it watches its own.
        """

    def watcher(self, ran: Mapping[int, Collection[str]]) -> tuple[int, int] | None:
        """A process below, and one above it that watches a directory where it runs files.

        `ran` has these directories of each. None as well where it is not known, or polls.
        """


class System(Protocol):
    """What `here` gives. Each call that starts or changes something raises OSError."""

    WHY_NOT_EXECUTED: dict[int, str]
    """Hints by errno; `{}` is the program."""

    def spawn(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str | None,
        isolate: Isolation,
        mark: str,
        pass_fds: Collection[int],
    ) -> Child:
        """Start a child, which has the `mark` in its `env`; see `process.spawn`."""

    def guard(self, run_id: str) -> tuple[Popen[bytes], int] | None:
        """Have all that this process starts end after it, even when it is killed.

        Returns the process that sees to it and the pipe on which that is told (`guardian`); None
        where the system does.
        """

    def sweep(self, run_id: str, *, looks: int = 2, grace: float = 0.0) -> set[int]:
        """Kill what carries the run's mark until nothing does; returns who lives after 2 s of that.

        `looks` is how often nothing has to be found. With `grace` all are asked to end first, and
        have so many seconds. The caller itself is spared.
        """

    def reap_orphans(self, keep: Collection[int]) -> None:
        """At SIGCHLD, as process 1 of a container: reap all ended children except `keep`.

        Does nothing elsewhere: there the system's init reaps orphans.
        """

    def reports_address(self, run_id: str) -> str:
        """Where the processes of a run report to: a socket alone in its directory; or empty."""

    def listening_process(self, is_meant: Callable[[bytes], bool], port: int) -> str | None:
        """Who listens on a TCP port, as `python3 (pid 1234)`, bound to an address that is meant."""

    def posix_errno(self, error: OSError) -> int | None:
        """The number that POSIX has for it; None where the system's own words say more."""

    def has_no_reader(self, error: OSError) -> bool:
        """Whether a pipe was written to that nobody reads."""

    def takes_escapes(self, fd: int) -> bool:
        """Whether a terminal knows escape sequences, as a console does once it is told."""


here: System = system
