"""What pydevd has to do otherwise in a process of ours. Each patch is as small as it can be."""

from __future__ import annotations

import json
import os
import sys
import threading
from _thread import get_ident
from time import sleep
from types import SimpleNamespace
from typing import Any

from .. import hide, worded
from ..ahead.contexts import cwd
from ..reloaders import in_place_of

hide(__name__)


def apply(pydevd: Any) -> None:
    """Patch debugpy's, before it connects. Idempotent."""
    if not hasattr(pydevd.PyDB.dispose_and_kill_all_pydevd_threads, "__wrapped__"):
        commands: Any = sys.modules["_pydevd_bundle.pydevd_process_net_command_json"]
        _wait_for_nobody_who_has_hung_up(pydevd.PyDB)
        _refuse_what_it_cannot_take(commands)
        _do_without_a_directory(commands)
        if sys.version_info >= (3, 12):
            _look_at_what_goes_on()
        else:
            _set_trace_functions_in_turn()


def end_at_once(pydb: Any) -> None:
    """Have pydevd not hold up the end of the process.

    Its threads wait for each other, in a circle, for 0.5 s (that is what
    `PyDB.dispose_and_kill_all_pydevd_threads` comes to), and the one that is no daemon looks every
    0.2 s whether the others have ended.
    """
    has_ended = threading.Event()
    pause = 0.001

    def wait_for_main(timeout: float) -> None:
        nonlocal pause
        if has_ended.wait(timeout):
            sleep(pause)  # other threads of the user's may run on for long
            pause = min(2 * pause, timeout)

    def wait_for_messages(timeout: float) -> None:
        writer = pydb.writer
        if writer is not None and writer.ident != get_ident():
            writer.join(timeout)  # its last message is sent

    watching: Any = getattr(pydb, "check_alive_thread", None)
    if hasattr(watching, "_wait_event"):
        threading._register_atexit(has_ended.set)  # type: ignore[attr-defined]
        watching._wait_event = SimpleNamespace(set=has_ended.set, wait=wait_for_main)
    if hasattr(pydb, "_wait_for_threads_to_finish_called"):  # else it has changed, and is slower
        event = SimpleNamespace(wait=wait_for_messages)
        pydb._wait_for_threads_to_finish_called_event = event
        pydb._wait_for_threads_to_finish_called = True


def _wait_for_nobody_who_has_hung_up(pydb: Any) -> None:
    @in_place_of(pydb, "dispose_and_kill_all_pydevd_threads")
    def dispose_and_wait_no_longer(dispose: Any, self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            dispose(self, *args, **kwargs)
        finally:
            # `debugpy.connect` returns, and whoever waits for this PyDB to be configured goes on.
            self.ready_to_run = True
            self._on_configuration_done_event.set()


def _refuse_what_it_cannot_take(commands: Any) -> None:
    """An exception in the handling of a request would end its reader, and with it the debugger."""

    @in_place_of(commands.PyDevJsonCommandProcessor, "process_net_command_json")
    def process_or_refuse(
        process: Any, self: Any, pydb: Any, contents: Any, *args: Any, **kwargs: Any
    ) -> None:
        try:
            process(self, pydb, contents, *args, **kwargs)
        except Exception as error:
            request = json.loads(contents)
            refusal = {
                "type": "response",
                "request_seq": request["seq"],
                "command": request["command"],
                "success": False,
                "message": f"debugpy cannot take this request: {worded(error)}",
            }
            command = commands.NetCommand(commands.CMD_RETURN, 0, refusal, is_json=True)
            pydb.writer.add_command(command)


def _do_without_a_directory(commands: Any) -> None:
    """When an IDE attaches, pydevd asks for the current directory, which may have been removed."""

    @in_place_of(commands.PyDevJsonCommandProcessor, "_set_debug_options")
    def take_if_possible(
        take: Any, self: Any, pydb: Any, options: Any, *args: Any, **kwargs: Any
    ) -> None:
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


def _set_trace_functions_in_turn() -> None:
    """Other threads can run in the midst of sys.settrace, in an audit hook such as our own.

    CPython 3.11 refuses those that call it then. A thread of the app would end by that, and pydevd
    would wait for ever for one that it starts.
    """
    tracing: Any = sys.modules["pydevd_tracing"]
    holder = tracing.TracingFunctionHolder
    original: Any = sys.settrace

    def set_trace(function: Any) -> None:
        for _ in range(1000):
            try:
                original(function)
            except RuntimeError:
                sleep(0.001)
            else:
                return
        original(function)

    @in_place_of(tracing, "replace_sys_set_trace_func")
    def replace_and_insist(replace: Any) -> None:
        replace()
        if holder._original_tracing is original:
            holder._original_tracing = set_trace


if sys.version_info >= (3, 12):

    def _look_at_what_goes_on() -> None:
        """Breakpoints that are set in a coroutine or generator which has begun are to be hit.

        pydevd looks for breakpoints when a function is entered, or is on a stack when they are set.
        It asks for the events of those that go on, and has no callback for them.
        """
        tools = sys.monitoring
        theirs: Any = sys.modules["_pydevd_sys_monitoring.pydevd_sys_monitoring"]
        enable = theirs.enable_code_tracing

        def resumed(code: Any, _: int) -> object:
            thread = get_ident()
            info = getattr(threading._active.get(thread), "additional_info", None)  # type: ignore[attr-defined]
            if info is not None and info.pydev_step_cmd != -1:
                return None  # how it steps is its own affair
            enable(thread, code, sys._getframe(1))
            return tools.DISABLE  # until the breakpoints change

        @in_place_of(theirs, "restart_events")
        def restart_events(restart: Any) -> None:
            if tools.get_tool(tools.DEBUGGER_ID) == "pydevd":
                tools.register_callback(tools.DEBUGGER_ID, tools.events.PY_RESUME, resumed)
            restart()
