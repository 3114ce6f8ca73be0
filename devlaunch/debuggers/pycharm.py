"""PyCharm's own debugger: no keeper, each child talks to the IDE by itself.

The IDE listens on one port for as long as the session lasts, and hands each process that connects
the breakpoints of that moment. With "Attach to subprocess" it takes any number of processes there,
one after the other or at once: `--multiprocess` connects each of them directly, the older
`--multiproc` asks for a fresh port first (`com.jetbrains.python.debugger`, `MultiProcessDebugger`).
Without it, it takes the launcher only, and leaves any further connection unanswered
(`RemoteDebugger`). Others that speak its protocol may answer, so with `--debug-attach` the first
child tries, before it loads anything of pydevd; then a keeper that listens takes over for the rest
of the run (`ReplaceDebugging`).
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from devlaunch.core.detection import Detection
from devlaunch.errors import DevlaunchError
from devlaunch.events import (
    DebuggerReady,
    LogLine,
    ReleaseRequested,
    ReplaceDebugging,
    RestartRequested,
    StopRequested,
    TellChild,
)
from devlaunch.system.channel import Message
from devlaunch.system.hiding import hide_thread, pydb
from devlaunch.system.listen import format_address
from devlaunch.system.loop import Loop

if TYPE_CHECKING:
    from devlaunch.debuggers import Debugging

ANSWER_LIMIT = 20.0
"""Seconds in which an IDE that follows sub-processes has taken one more: it takes them in turn."""

SERVER_LIMIT = 3.0
"""Seconds in which an IDE answers that may take no further process, or may not be there."""


class PycharmDebugging:
    """`Debugging` by PyCharm's pydevd in each child, or by `instead` once one had no answer."""

    def __init__(
        self,
        loop: Loop,
        request: Message,
        row: tuple[str, str, str],
        instead: Callable[[], Debugging] | None = None,
    ) -> None:
        self._loop = loop
        self._request = {"kind": "pycharm", **request}
        self._generation = 0
        self._has_connected = False
        self._instead = instead
        self.rows = [row]

    @property
    def deadline(self) -> float | None:
        """None: nothing here takes time."""
        return None

    def due(self, now: float) -> None:
        """Nothing."""

    def start_message(self) -> Message | None:
        """Each child connects before it runs anything of the user's."""
        _announce_process()
        return self._request

    def spawned(self, generation: int, _: int) -> None:
        """Remember whom to let go."""
        self._generation = generation

    def standby_message(self) -> Message | None:
        """Have it load pydevd, once that was of use to a child; only a child can connect."""
        if not self._has_connected:
            return None
        known = ("kind", "directory")
        return {k: self._request[k] for k in known if k in self._request}

    def tell(self, event: object) -> None:
        """Hand on what the child's side does something about."""
        match event:
            case ReleaseRequested():
                self._loop.post(TellChild(self._generation, {"type": "release"}))
            case DebuggerReady(connected=True):
                self._has_connected = True
            case DebuggerReady() if self._instead:
                self._replace(self._instead)

    def _replace(self, instead: Callable[[], Debugging]) -> None:
        self._instead = None
        try:
            debugging = instead()
        except DevlaunchError as error:
            self._loop.post(ReplaceDebugging(None))
            self._loop.post(LogLine(f"{error.message}: {error.hint}"))
            return
        self._loop.post(ReplaceDebugging(debugging))
        for label, value, remark in debugging.rows:
            self._loop.post(LogLine(f"{label}  {value}  {remark}"))
        # This child may have PyCharm's pydevd loaded, and has not waited for a client to attach.
        self._loop.post(RestartRequested())

    def close(self, status: int) -> None:
        """Nothing: the launcher's own pydevd tells the IDE at the end of the interpreter."""


def under_ide(loop: Loop, found: Detection, instead: Callable[[], Debugging]) -> PycharmDebugging:
    """Under Run/Debug: the children connect to the same IDE by the same pydevd.

    `instead` is for one that was not told to follow processes, and takes none.
    """
    pydevd = sys.modules["pydevd"]
    _stop_with_ide(loop)
    follows = found.follows_children
    request = {
        "directory": os.path.dirname(os.path.abspath(str(pydevd.__file__))),
        "setup": {**found.setup, "file": "", "module": False},
        "host": found.host,
        "port": found.port,
        "timeout": ANSWER_LIMIT if follows else SERVER_LIMIT,
    }
    remark = "follows every restart" if follows else "if it takes another process"
    row = ("debug", "PyCharm's debugger", remark)
    return PycharmDebugging(loop, request, row, None if follows else instead)


def by_settrace(loop: Loop, address: tuple[str, int]) -> PycharmDebugging:
    """For `--pycharm-server`: the children call the "Python Debug Server" at `address`."""
    host, port = address
    request = {"host": host, "port": port, "timeout": SERVER_LIMIT}
    return PycharmDebugging(
        loop, request, ("debug", format_address(host, port), "PyCharm's debug server")
    )


def _announce_process() -> None:
    """Tell the IDE of one more process, as pydevd does before each that it starts.

    An IDE that connects, instead of being connected to, waits for that
    (`ClientModeMultiProcessDebugger`).
    """
    announce = getattr(pydb(), "send_process_created_message", None)
    if announce is not None:
        announce()


def _stop_with_ide(loop: Loop) -> None:
    """End the run when the IDE closes the launcher's connection: that is its Stop."""
    reader = getattr(pydb(), "reader", None)
    if reader is None:
        return

    def wait() -> None:
        reader.join()
        loop.post(StopRequested())

    thread = threading.Thread(target=wait, name="devlaunch-pycharm", daemon=True)
    hide_thread(thread)
    thread.start()
