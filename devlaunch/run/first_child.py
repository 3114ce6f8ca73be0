"""The first child, and what it needs: there before most of the launcher is even loaded.

The child's interpreter starts, and loads our part of it, while the launcher loads its own: until
the start message it runs nothing of the user's. What is imported here the app has to wait for.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from devlaunch.config import Config
from devlaunch.debuggers import is_wanted
from devlaunch.debuggers.snapshot import detect
from devlaunch.errors import AddressInUseError, UsageError
from devlaunch.system import process
from devlaunch.system.guardian import Guardian
from devlaunch.system.listen import AppSocket, open_app_socket
from devlaunch.target.interpreter import Interpreter, choose_interpreter

if TYPE_CHECKING:
    import socket

    from devlaunch.core.detection import Detection

LEFTOVER_SECONDS = 3.0
"""An IDE's Restart kills devlaunch and starts it again, while the app may still be in the shutdown
hooks that the guardian gives it time for, and has the port."""


@dataclass(slots=True)
class FirstChild:
    """The first child of a program, and what there is of the run before its launcher."""

    config: Config
    since: float
    """`time.monotonic()` when the run began."""
    run_id: str
    detection: Detection
    interpreter: Interpreter
    app_socket: AppSocket | None
    guardian: Guardian
    mark: str
    child: process.Child
    channel: socket.socket
    """The launcher's end of its control channel."""


@contextlib.contextmanager
def spawn_first(config: Config) -> Iterator[FirstChild]:
    """Open the app's socket, start the guardian and then the first child; undo it all at the end.

    Raises DevlaunchError when something of this cannot be done as `config` asks for. Only in the
    main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        raise UsageError(
            "devlaunch has to run in the main thread, where signals arrive",
            hint="call devlaunch.run() outside of any thread",
        )
    with contextlib.ExitStack() as stack:
        since = time.monotonic()
        detection = detect()
        debugging = is_wanted(config, detection)
        interpreter = choose_interpreter(config.python, config.app_dir, debugging=debugging)
        app_socket = _open_socket(config, within=LEFTOVER_SECONDS if detection else 0)
        if app_socket:
            stack.callback(app_socket.close)
        run_id = process.new_run_id()
        guardian = Guardian.start(run_id)
        stack.callback(guardian.close)
        # The last one: whom the reaping overlooked, and who was to be kept until now.
        stack.callback(process.sweep, run_id, grace=config.grace)
        mark = f"{run_id}.0"
        child, channel = process.spawn_controlled(
            interpreter.command,
            run_id=mark,
            isolate=config.isolate,
            env={**config.env, **os.environ},
            pass_fds=[app_socket.socket.fileno()] if app_socket else [],
        )
        stack.callback(child.reap)
        stack.callback(channel.close)
        guardian.adopt(child.pid)
        yield FirstChild(
            *(config, since, run_id, detection, interpreter, app_socket, guardian),
            *(mark, child, channel),
        )


def _open_socket(config: Config, within: float) -> AppSocket | None:
    if not config.target.serves:
        return None
    until = time.monotonic() + within
    while True:
        try:
            return open_app_socket(config)
        except AddressInUseError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
