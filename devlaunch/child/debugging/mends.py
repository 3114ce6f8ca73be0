"""What pydevd has to do otherwise in a process of ours. Each is as small as it can be."""

from __future__ import annotations

import functools
import json
import os
import sys
import threading
from _thread import get_ident
from typing import Any

from .. import hide
from ..ahead.contexts import cwd

hide(__name__)


def apply(pydevd: Any) -> None:
    """Mend it, before it connects. Idempotent."""
    if not hasattr(pydevd.PyDB.dispose_and_kill_all_pydevd_threads, "__wrapped__"):
        _wait_for_nobody_who_has_hung_up(pydevd.PyDB)
        _refuse_what_it_cannot_take()
        _do_without_a_directory()
        if sys.version_info >= (3, 12):
            _look_at_what_goes_on()


def _wait_for_nobody_who_has_hung_up(pydb: Any) -> None:
    dispose = pydb.dispose_and_kill_all_pydevd_threads

    @functools.wraps(dispose)
    def dispose_and_wait_no_longer(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            dispose(self, *args, **kwargs)
        finally:
            # `debugpy.connect` returns, and whoever waits for this PyDB to be configured goes on.
            self.ready_to_run = True
            self._on_configuration_done_event.set()

    pydb.dispose_and_kill_all_pydevd_threads = dispose_and_wait_no_longer


def _refuse_what_it_cannot_take() -> None:
    """An exception in the handling of a request would end its reader, and with it the debugger."""
    commands: Any = sys.modules["_pydevd_bundle.pydevd_process_net_command_json"]
    processor = commands.PyDevJsonCommandProcessor
    process = processor.process_net_command_json

    @functools.wraps(process)
    def process_or_refuse(self: Any, pydb: Any, contents: Any, *args: Any, **kwargs: Any) -> None:
        try:
            process(self, pydb, contents, *args, **kwargs)
        except Exception as error:
            request = json.loads(contents)
            refusal = {
                "type": "response",
                "request_seq": request["seq"],
                "command": request["command"],
                "success": False,
                "message": f"debugpy cannot take this request: {type(error).__name__}: {error}",
            }
            command = commands.NetCommand(commands.CMD_RETURN, 0, refusal, is_json=True)
            pydb.writer.add_command(command)

    processor.process_net_command_json = process_or_refuse


def _do_without_a_directory() -> None:
    """When an IDE attaches, pydevd asks for the current directory, which may have been removed."""
    commands: Any = sys.modules["_pydevd_bundle.pydevd_process_net_command_json"]
    processor = commands.PyDevJsonCommandProcessor
    take = processor._set_debug_options  # noqa: SLF001

    @functools.wraps(take)
    def take_if_possible(self: Any, pydb: Any, options: Any, *args: Any, **kwargs: Any) -> None:
        if not cwd():
            mappings = options.get("pathMappings") or ()
            # That of the IDE is as good for one without a name, and right on the same machine.
            named = [
                {**each, "remoteRoot": each.get("localRoot")}
                for each in mappings
                if each.get("remoteRoot") == "."
            ]
            others = [each for each in mappings if each.get("remoteRoot") != "."]
            no_reload = {"watchDirectories": [os.sep]}
            options = {**options, "pathMappings": [*named, *others], "autoReload": no_reload}
        take(self, pydb, options, *args, **kwargs)

    processor._set_debug_options = take_if_possible  # noqa: SLF001


if sys.version_info >= (3, 12):

    def _look_at_what_goes_on() -> None:
        """Breakpoints that are set in a coroutine or generator which has begun are to be hit.

        pydevd looks for breakpoints when a function is entered, or is on a stack when they are set.
        It asks for the events of those that go on, and has no callback for them.
        """
        tools = sys.monitoring
        theirs: Any = sys.modules["_pydevd_sys_monitoring.pydevd_sys_monitoring"]
        enable, restart = theirs.enable_code_tracing, theirs.restart_events

        def resumed(code: Any, _: int) -> object:
            thread = get_ident()
            info = getattr(threading._active.get(thread), "additional_info", None)  # type: ignore[attr-defined]  # noqa: SLF001
            if info is not None and info.pydev_step_cmd != -1:
                return None  # how it steps is its own affair
            enable(thread, code, sys._getframe(1))  # noqa: SLF001
            return tools.DISABLE  # until the breakpoints change

        @functools.wraps(restart)
        def restart_events() -> None:
            if tools.get_tool(tools.DEBUGGER_ID) == "pydevd":
                tools.register_callback(tools.DEBUGGER_ID, tools.events.PY_RESUME, resumed)
            restart()

        theirs.restart_events = restart_events
