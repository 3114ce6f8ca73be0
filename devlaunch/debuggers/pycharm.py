"""PyCharm's own debugger: no keeper, each child talks to the IDE by itself.

The IDE listens on one port for as long as the session lasts. With "Attach to subprocess" it takes
any number of processes there, one after the other or at once: `--multiprocess` connects each of
them directly, the older `--multiproc` asks for a fresh port first (`com.jetbrains.python.debugger`,
`MultiProcessDebugger`). Without it, it takes the launcher only (`RemoteDebugger`).
"""

from __future__ import annotations

import os
import sys
import threading

from devlaunch.control import Message
from devlaunch.core.detection import Detection
from devlaunch.events import DebuggerReady, ReleaseRequested, StopRequested, TellChild
from devlaunch.hiding import hide_thread, pydb
from devlaunch.listen import format_address
from devlaunch.loop import Loop

ANSWER_LIMIT = 20.0
"""Seconds in which an IDE that follows sub-processes has taken one more: it takes them in turn."""

SERVER_LIMIT = 3.0
"""Seconds in which an IDE answers that may take no further process, or may not be there."""


class PycharmDebugging:
    """`Debugging` by PyCharm's pydevd in each child."""

    def __init__(self, loop: Loop, request: Message, row: tuple[str, str, str]) -> None:
        self._loop = loop
        self._request = {"kind": "pycharm", **request}
        self._generation = 0
        self._has_connected = False
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
        return {**{k: self._request[k] for k in known if k in self._request}, "preload": True}

    def standby_spawned(self, pid: int) -> None:
        """Nothing: it does not connect."""

    def standby_gone(self, pid: int) -> None:
        """Nothing."""

    def tell(self, event: object) -> None:
        """Hand on what the child's side does something about."""
        match event:
            case ReleaseRequested():
                self._loop.post(TellChild(self._generation, {"type": "release"}))
            case DebuggerReady(connected=True):
                self._has_connected = True

    def close(self, status: int) -> None:
        """Nothing: the launcher's own pydevd tells the IDE at the end of the interpreter."""


def under_ide(loop: Loop, found: Detection) -> PycharmDebugging:
    """Under Run/Debug: the children connect to the same IDE by the same pydevd."""
    pydevd = sys.modules["pydevd"]
    _stop_with_ide(loop)
    request = {
        "directory": os.path.dirname(os.path.abspath(str(pydevd.__file__))),
        "setup": {**found.setup, "file": "", "module": False},
        "host": found.host,
        "port": found.port,
        "timeout": ANSWER_LIMIT if found.follows_children else SERVER_LIMIT,
    }
    return PycharmDebugging(loop, request, ("debug", "PyCharm's debugger", "follows every restart"))


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
