"""What all processes of the app say that they run, and which of them cannot say it.

They send datagrams to a socket in a directory that only the user may enter: the mark of their
generation, their process id, and absolute file names, each ended by a zero byte but for the last. A
name may have `wrote:` before it (they open that for writing); `note:` comes with a line for the
terminal, `silent:` when a Python is about to be started that will say nothing. What carries another
generation's mark is dropped, and so is what a devlaunch below runs.

Some time after each start, and after the first word of a process below, a look is taken (on Linux).
Where a Python process has said nothing, any source counts until the next start, and what was saved
since this one. The same look asks for reloaders that `child/reloaders` does not know, by two signs:

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
from typing import TYPE_CHECKING

from devlaunch.config import Target
from devlaunch.core.invocation import runs_again
from devlaunch.system import process
from devlaunch.system.loop import Loop
from devlaunch.watching.reloading import WROTE

if TYPE_CHECKING:
    from devlaunch.system.channel import Message

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


Said = tuple[int, list[str]]
"""The process id, and the words that it has said."""


class Datagrams:
    """The socket of a run. Lives in the loop's thread.

    `listeners` take what the processes of a generation say, by its mark. Others are not heard.
    """

    def __init__(self, loop: Loop, run_id: str) -> None:
        self.listeners: dict[str, Callable[[list[Said]], None]] = {}
        self._loop = loop
        self._socket: socket.socket | None = None
        self._address = process.reports_address(run_id)
        if self._address:
            with suppress(OSError):  # then they are silent, and it will be said
                self._socket = _bound(self._address)
                loop.watch(self._socket, readable=self.read)

    def read(self) -> None:
        """Hand out what has come. Before what else a child has said is, since it came first."""
        heard: dict[str, list[Said]] = {}
        for _ in range(MOST_READ if self._socket else 0):
            try:
                assert self._socket
                marks, *words = self._socket.recv(MOST_BYTES).split(b"\0")
            except OSError:
                break
            # `outer/inner`: what a devlaunch below runs is that one's.
            mark = os.fsdecode(marks).rpartition("/")[2]
            if words and words[0].isdigit() and len(words[0]) < 20 and mark in self.listeners:
                said = (int(words[0]), [os.fsdecode(word) for word in words[1:]])
                heard.setdefault(mark, []).append(said)
        for mark, those in heard.items():
            self.listeners[mark](those)

    def close(self) -> None:
        """Remove the socket."""
        if self._socket:
            self._loop.unwatch(self._socket)
            self._socket.close()
            self._socket = None
            with suppress(OSError):
                os.unlink(self._address)
                os.rmdir(os.path.dirname(self._address))


class Descendants:
    """The processes of one generation, as far as they speak for themselves.

    `directory` is where the target was started. `deliver` gets what they say in the words of a
    child (`modules`: files that they run, none at first; `note`; `silent`); `mute` names those that
    have not said a word by `LOOK_AFTER`, and `reloader` one that runs the target again, or what
    another one, `by`, watches.
    """

    def __init__(
        self,
        child: process.Child,
        target: Target,
        directory: str,
        deliver: Callable[[Message], None],
    ) -> None:
        self.deadline: float | None = None
        """When to call `due`."""
        self._child = child
        self._target = target
        self._directory = directory
        self._deliver = deliver
        self._spoken = 0.0
        self._ran: dict[int, set[str]] = {}
        """The directories of the files that each process has said it runs."""

    def hear(self, datagrams: list[Said]) -> None:
        """Take in what they say."""
        files: list[str] = []
        for pid, words in datagrams:
            if pid not in self._ran:
                self._ran[pid] = set()
                self._spoken = time.monotonic()
                self.deadline = self.deadline or self._spoken + LOOK_AFTER
            if SILENT in words:
                self._deliver({"type": "silent"})
            for text in (word.removeprefix(NOTE) for word in words if word.startswith(NOTE)):
                if text.isprintable():
                    self._deliver({"type": "note", "text": text[:MOST_NOTED]})
            named = [path for path in words if os.path.isabs(path.removeprefix(WROTE))]
            self._ran[pid] |= {os.path.dirname(path) for path in named if path[0] == "/"}
            files += named
        self._deliver({"type": "modules", "files": files})

    def served(self) -> None:
        """The app runs."""
        self.deadline = time.monotonic() + LOOK_AFTER

    def due(self, now: float, was_replaced: Callable[[], bool]) -> None:
        """See who has not said a word, and who seems to be restarted by a reloader."""
        if self.deadline is None or now < self.deadline:
            return
        again = self._spoken + LOOK_AFTER  # who has begun a moment ago is too young to be judged
        self.deadline = again if again > now else None
        pythons = self._child.pythons()
        # After an exec the processes that are forked have the target's command line, too.
        for pid in sorted(pythons) if not was_replaced() else ():
            if runs_again(self._target, self._directory, pythons[pid]):
                self._deliver({"type": "reloader", "pid": pid, "by": None})
                break
        ran = self._ran
        watched = self._child.watcher({pid: ran[pid] for pid in pythons.keys() & ran.keys()})
        if watched:
            self._deliver({"type": "reloader", "pid": watched[0], "by": watched[1]})
        silent = pythons.keys() - ran.keys()
        if silent:
            self._deliver({"type": "mute", "processes": sorted(silent)})


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
