"""The keeper at work: its sockets, and where children connect their debuggers."""

from __future__ import annotations

import os
import secrets
import time

from devlaunch.config import Config
from devlaunch.control import Message
from devlaunch.dap.keeper import Keeper
from devlaunch.dap.sockets import DapSockets
from devlaunch.debuggers.vscode import VARIABLE, EndpointsFile
from devlaunch.events import (
    ChildSpawned,
    ClosePeer,
    ConnectDebuggee,
    DeadlineReached,
    LauncherEnded,
    LogLine,
    SendMessage,
    TellChild,
)
from devlaunch.listen import bind_debug, format_address
from devlaunch.loop import Loop


class KeeperDebugging:
    """`Debugging` by a keeper: carries its actions out, posts the rest to the loop.

    Raises DevlaunchError when the debug address cannot be had.
    """

    def __init__(self, config: Config, loop: Loop, debugpy_dir: str | None) -> None:
        self._loop = loop
        self._sockets = DapSockets(loop, self.tell)
        host, port = config.debug_address
        listener = bind_debug(host, port, allow_remote=config.allow_remote_debug)
        host, port = self._sockets.adopt_front(listener)
        self.rows = [("debug", format_address(host, port), "attach a DAP client")]
        back_host, back_port = self._sockets.listen_back()
        token = secrets.token_hex(32)
        # The token goes over the control channel only: arguments and environments can be read.
        self._address = {
            "host": back_host,
            "port": back_port,
            "token": token,
            "debugpy": debugpy_dir,
        }
        self._keeper = Keeper(
            token=token, endpoint=(host, port), wait_for_client=config.wait_for_client
        )
        self._spawned_with_debugger = False
        path = os.environ.get(VARIABLE)
        self._endpoints = EndpointsFile(path, host, port, time.monotonic()) if path else None

    @property
    def deadline(self) -> float | None:
        """When to call `due`."""
        owners = (self._keeper, self._endpoints)
        due = [owner.deadline for owner in owners if owner and owner.deadline is not None]
        return min(due, default=None)

    def due(self, now: float) -> None:
        """Do what its time has come for."""
        if self._endpoints and (error := self._endpoints.due(now)):
            self._loop.post(LogLine(error, verbose=True))
        deadline = self._keeper.deadline
        if deadline is not None and deadline <= now:
            self.tell(DeadlineReached())

    def start_message(self) -> Message | None:
        """What a child that is started now has to be told; None when no debugger is wanted."""
        self._spawned_with_debugger = self._keeper.wants_debugger
        if not self._spawned_with_debugger:
            return None
        return {**self._address, "wait": True}

    def spawned(self, generation: int, pid: int) -> None:
        """The child that was given the last `start_message` has been started."""
        self.tell(ChildSpawned(generation, pid, debugging=self._spawned_with_debugger))

    def tell(self, event: object) -> None:
        """Hand an event to the keeper and carry out what it decides."""
        for action in self._keeper.handle(event, time.monotonic()):
            match action:
                case SendMessage() | ClosePeer():
                    self._sockets.perform(action)
                case ConnectDebuggee(generation):
                    message = {"type": "debug", **self._address}
                    self._loop.post(TellChild(generation, message))
                case _:
                    self._loop.post(action)

    def close(self, status: int) -> None:
        """Tell the IDE that it is over (`status` as in Popen.returncode), and close everything."""
        if self._endpoints:
            self._endpoints.remove()
        self.tell(LauncherEnded(status))
        self._sockets.close()
