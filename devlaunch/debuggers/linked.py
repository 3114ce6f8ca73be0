"""A keeper whose IDE is at the other end of the `devlaunch adapter` that has started this run."""

from __future__ import annotations

from functools import partial

from devlaunch.config import Config
from devlaunch.dap.events import PeerClosed
from devlaunch.debuggers.keeper import KeeperDebugging
from devlaunch.debuggers.link import Link
from devlaunch.events import DebuggerReady, StopRequested
from devlaunch.system.channel import Message
from devlaunch.system.loop import Loop


class LinkedDebugging(KeeperDebugging):
    """`Debugging` for an editor that has launched us: the run ends with its connection.

    It listens as well: the editor opens a connection of its own to each process that the app
    starts. Raises DevlaunchError when the debug address cannot be had.
    """

    def __init__(self, config: Config, loop: Loop, debugpy_dir: str | None, link: Link) -> None:
        self._no_debug = link.no_debug
        self._link_peer = 0
        super().__init__(config, loop, debugpy_dir)
        self.rows = [("debug", "off" if link.no_debug else "in the editor that launched this", "")]
        self._link_peer = self._sockets.add_front(link.hand_over())
        link.carry(partial(self._sockets.send, self._link_peer))

    def start_message(self) -> Message | None:
        """As of KeeperDebugging; with noDebug no child has a debugger."""
        message = super().start_message()
        if not self._no_debug:
            return message
        self._spawned_with_debugger = False
        return None

    def standby_message(self) -> Message | None:
        """As of KeeperDebugging; with noDebug no child has a debugger."""
        return None if self._no_debug else super().standby_message()

    def tell(self, event: object) -> None:
        """As of KeeperDebugging; an editor that goes away without a word ends the run."""
        if isinstance(event, PeerClosed) and event.peer == self._link_peer:
            self._loop.post(StopRequested(None))
        super().tell(event)

    def _connect(self, generation: int) -> None:
        if self._no_debug:
            self.tell(DebuggerReady(generation))  # as ready as it will ever be
        else:
            super()._connect(generation)
