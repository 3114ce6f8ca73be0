"""The terminal that the launcher and its children share: its modes, Ctrl-Z, and the foreground.

The launcher is the job that the shell knows. A child in a session of its own is not part of
that job: it can read and write the terminal, but no key reaches it as a signal, and whatever mode
it leaves the terminal in stays. So the launcher forwards the keys and tidies up.

Sources: glibc manual, "Job Control" (Foreground and Background, Stopped and Terminated Jobs);
POSIX XBD 11.1. Nothing here fails when the terminal is gone.
"""

from __future__ import annotations

import os
import signal
import sys
import termios
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from devlaunch.config import Isolation

assert sys.platform != "win32"  # tells mypy what this file is for


class Stoppable(Protocol):
    """What can be stopped with the launcher: a generation."""

    def signal_session(self, sig: int, /) -> None:
        """Signal all of it."""


class Terminal:
    """The terminal on a file descriptor (stdin), as it was when this object was made."""

    def __init__(self, fd: int = 0) -> None:
        self._fd = fd
        self.is_tty = os.isatty(fd)
        self._saved = self._modes()
        self._lent_to: int | None = None

    def keys_reach(self, isolate: Isolation) -> bool:
        """Whether a key that signals the launcher signals such a child too: do not forward it."""
        return self.is_tty and isolate is Isolation.NONE

    def restore(self) -> None:
        """After a child has ended: take the foreground back, set the modes as they were.

        Not from somebody else who has taken the terminal since.
        """
        group, self._lent_to = self._lent_to, None
        if group is not None:
            with _deaf_to_sigttou(), suppress(OSError):
                if os.tcgetpgrp(self._fd) == group:
                    os.tcsetpgrp(self._fd, os.getpgrp())
        self._set_modes(self._saved)

    def suspend(self, children: Collection[Stoppable], forget: Callable[[int], None]) -> None:
        """What Ctrl-Z asks for: stop the children and this process; return when continued.

        Call it from the main thread. Where no shell could continue the process (its group is
        orphaned) the kernel does not stop it, and all goes on at once. `forget` is given the signal
        of which nothing may be handled any more that was caught before: one Ctrl-Z comes to us and
        as the child's stop, in any order, and must not stop us again after `fg`.
        """
        for child in children:
            child.signal_session(signal.SIGSTOP)
        borrower, modes = self._lent_to, self._modes()
        self.restore()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTSTP})
        # Pending before it can stop us: when one from outside does first, SIGCONT discards it.
        # To this very thread, so that it stops before the unblocking returns.
        signal.pthread_kill(threading.get_ident(), signal.SIGTSTP)
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTSTP})
        forget(signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, handler)
        self._saved = self._modes() if self._in_foreground() else self._saved
        # The children got SIGSTOP: unlike with SIGTSTP they could not tidy up, nor set up again.
        self._set_modes(modes)
        # Before they run, and that once: the next Ctrl-Z may come at once, and must not be undone.
        if borrower is not None:
            self._give_foreground(borrower)
        for child in children:
            child.signal_session(signal.SIGCONT)

    def lend_foreground(self, group: int) -> None:
        """Make a child's group (isolate=group) the one that may read and gets the keys' signals.

        Nothing happens when the launcher is itself in the background.
        """
        if self._give_foreground(group):
            with suppress(ProcessLookupError):
                # It may have tried to read already, and been stopped for it (SIGTTIN).
                os.killpg(group, signal.SIGCONT)

    def _give_foreground(self, group: int) -> bool:
        if not self.is_tty or not self._in_foreground():
            return False
        with _deaf_to_sigttou():
            try:
                os.tcsetpgrp(self._fd, group)
            except OSError:
                return False  # it has ended, or this is not our controlling terminal
        self._lent_to = group
        return True

    def _in_foreground(self) -> bool:
        """Whether this process may change the terminal without being stopped for it."""
        try:
            return os.tcgetpgrp(self._fd) == os.getpgrp()
        except OSError:
            return True  # not our controlling terminal: there is no job control on it

    def _modes(self) -> list[Any] | None:
        with suppress(termios.error):
            return termios.tcgetattr(self._fd)
        return None

    def _set_modes(self, modes: list[Any] | None) -> None:
        if modes is not None and self._in_foreground():
            with _deaf_to_sigttou(), suppress(termios.error):
                # Not TCSADRAIN: that waits for ever when the output is held by Ctrl-S.
                termios.tcsetattr(self._fd, termios.TCSANOW, modes)


@contextmanager
def _deaf_to_sigttou() -> Iterator[None]:
    """A background process that changes the terminal gets SIGTTOU, unless it is blocked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
