"""A keeper whose IDE is at the other end of the `devlaunch adapter` that has started this run."""

from __future__ import annotations

from functools import partial

from devlaunch.config import Config
from devlaunch.dap.events import FrontConnected
from devlaunch.debuggers.keeper import KeeperDebugging
from devlaunch.debuggers.link import Link
from devlaunch.events import DebuggerReady
from devlaunch.system.channel import Message
from devlaunch.system.loop import Loop


class LinkedDebugging(KeeperDebugging):
    """`Debugging` for an editor that has launched us: the run ends with its connection.

    It listens as well: the editor opens a connection of its own to each process that the app
    starts. Raises DevlaunchError when the debug address cannot be had.
    """

    def __init__(self, config: Config, loop: Loop, debugpy_dir: str | None, link: Link) -> None:
        self._no_debug = link.no_debug
        super().__init__(config, loop, debugpy_dir)
        self.rows = [("debug", "off" if link.no_debug else "in the editor that launched this", "")]
        peer = self._sockets.add(link.hand_over())
        self.tell(FrontConnected(peer, has_launched=True))
        link.carry(partial(self._sockets.send, peer))

    def start_message(self) -> Message | None:
        """As of KeeperDebugging; with noDebug no child has a debugger."""
        return None if self._no_debug else super().start_message()

    def standby_message(self) -> Message | None:
        """As of KeeperDebugging; with noDebug no child has a debugger."""
        return None if self._no_debug else super().standby_message()

    def _connect(self, generation: int) -> None:
        if self._no_debug:
            self.tell(DebuggerReady(generation))  # as ready as it will ever be
        else:
            super()._connect(generation)
