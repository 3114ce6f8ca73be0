"""What all processes of the app say that they run, and which of them cannot say it.

They send datagrams to a socket in a directory that only the user may enter: the mark of their
generation, their process id, and absolute file names, each ended by a zero byte but for the last. A
name may have `wrote:` before it (they open that for writing); `note:` comes with a line for the
terminal, `silent:` when a Python is about to be started that will say nothing. What carries another
generation's mark is dropped, and so is what a devlaunch below runs.

Some time after each start, and after the first word of a process below, a look is taken (on Linux).
Where a Python process has said nothing, any source counts until the next start, and what was saved
since this one. The same look asks for reloaders that `child/nested` does not know, by two signs:

- A process has the target's own command line, which only exec(3) gives it: a forked worker has that
  of our child, multiprocessing its own. Words may be missing, as a reloader leaves its option out.
- A process has an inotify instance (proc_pid_fdinfo(5)) with a watch on a directory where one below
  it runs files of the user's. Neither is enough alone: apps watch templates and have no process
  below, servers have workers and no watch. Recursive watchers watch each directory, so no parents
  are compared, and the look costs a readlink(2) for each descriptor that is open above. Polling
  cannot be seen, and an app that watches its source's directory for data looks the same: so the
  line is a question, once a run.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from devlaunch.config import Target
from devlaunch.core.invocation import runs_again
from devlaunch.run.generation import Generation
from devlaunch.system import process
from devlaunch.system.loop import Loop
from devlaunch.system.spare import working_directory
from devlaunch.watching.reloading import WROTE

MOST_BYTES = 1 << 18
"""Of a datagram: more than a process below sends."""
MOST_READ = 256
"""Datagrams in one go: what floods the socket must not keep Ctrl-C out."""
SILENT = "silent:"
NOTE = "note:"
MOST_NOTED = 200
"""Characters of a line for the terminal."""
LOOK_AFTER = 2.0
"""Seconds after the app serves, or a process has said its first word, when the others are there."""


class Descendants:
    """Lives in the loop's thread. `current` gives the generation that runs, if one does."""

    def __init__(
        self,
        loop: Loop,
        run_id: str,
        target: Target,
        current: Callable[[], Generation | None],
        *,
        imported: Callable[[list[str]], None],
        noted: Callable[[str], None],
        silent: Callable[[list[int]], None],
        reloader: Callable[[int, int | None], None],
    ) -> None:
        """`imported` is called with the files that run, none at first; without a socket never.

        `noted` gets their lines for the terminal, `silent` the Python processes that have not said
        a word by `LOOK_AFTER`, or none when one is about to be started, `reloader` the one that
        runs the target again, or that runs files which another one, given as well, watches.
        """
        self.deadline: float | None = None
        """When to call `due`."""
        self._loop = loop
        self._target = target
        self._directory = working_directory()
        self._current = current
        self._imported = imported
        self._noted = noted
        self._silent = silent
        self._reloader = reloader
        self._spoken = 0.0
        self._ran: dict[int, set[str]] = {}
        """The directories of the files that each process has said it runs."""
        self._mark = ""
        self._socket: socket.socket | None = None
        self._address = process.reports_address(run_id)
        if self._address:
            with suppress(OSError):  # then they are silent, and it will be said
                self._socket = _bound(self._address)
                loop.watch(self._socket, readable=self.read)

    def read(self) -> None:
        """Take in what has come. Before what else a child has said is, since it came first."""
        said: list[list[str]] = []
        for _ in range(MOST_READ if self._socket else 0):
            try:
                assert self._socket
                data = self._socket.recv(MOST_BYTES)
            except OSError:
                break
            said += self._take(data.split(b"\0"))
        if said:
            self._imported([path for files in said for path in files])

    def served(self) -> None:
        """The app runs."""
        self.deadline = time.monotonic() + LOOK_AFTER

    def due(self, now: float) -> None:
        """See who has not said a word, and who seems to be restarted by a reloader."""
        if self.deadline is None or now < self.deadline:
            return
        self.read()
        again = self._spoken + LOOK_AFTER  # who has begun a moment ago is too young to be judged
        self.deadline = again if again > now else None
        generation = self._current()
        if generation is None:
            return
        pythons = generation.pythons()
        ran = self._ran if generation.mark == self._mark else {}
        # After an exec the processes that are forked have the target's command line, too.
        for pid in sorted(pythons) if not generation.was_replaced() else ():
            if runs_again(self._target, self._directory, pythons[pid]):
                self._reloader(pid, None)
                break
        watched = generation.watcher({pid: ran[pid] for pid in pythons.keys() & ran.keys()})
        if watched:
            self._reloader(*watched)
        silent = pythons.keys() - ran.keys()
        if silent:
            self._silent(sorted(silent))

    def close(self) -> None:
        """Remove the socket."""
        if self._socket:
            self._loop.unwatch(self._socket)
            self._socket.close()
            self._socket = None
            with suppress(OSError):
                os.unlink(self._address)
                os.rmdir(os.path.dirname(self._address))

    def _take(self, words: list[bytes]) -> list[list[str]]:
        """The files that a process of this generation says it runs, or nothing."""
        generation = self._current()
        if generation is None or len(words) < 2 or not words[1].isdigit():
            return []
        # `outer/inner`: what a devlaunch below runs is that one's.
        if os.fsdecode(words[0]).rpartition("/")[2] != generation.mark:
            return []
        if self._mark != generation.mark:
            self._mark = generation.mark
            self._ran.clear()
        if int(words[1]) not in self._ran:
            self._ran[int(words[1])] = set()
            self._spoken = time.monotonic()
            self.deadline = self.deadline or self._spoken + LOOK_AFTER
        said = [os.fsdecode(word) for word in words[2:]]
        if SILENT in said:
            self._silent([])
        for text in (word.removeprefix(NOTE) for word in said if word.startswith(NOTE)):
            if text.isprintable():
                self._noted(text[:MOST_NOTED])
        files = [path for path in said if os.path.isabs(path.removeprefix(WROTE))]
        self._ran[int(words[1])] |= {os.path.dirname(path) for path in files if path[0] == "/"}
        return [files]


def _bound(address: str) -> socket.socket:
    if sys.platform == "win32":
        raise OSError
    os.mkdir(os.path.dirname(address), 0o700)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock
