"""Takes the snapshot of this process that `core.detection` judges.

Only what is loaded already is asked: importing a debugger to look at it would change what is seen,
and cost a start of devlaunch some 300 ms.
"""

from __future__ import annotations

import os
import sys
import threading
from types import ModuleType
from typing import Any

from devlaunch.core.detection import Detection
from devlaunch.core.detection import detect as judge
from devlaunch.core.evidence import Debugpy, Hook, Pydevd, Snapshot
from devlaunch.hiding import pydb

_TOOL_IDS = range(6)
"""PEP 669."""


def detect() -> Detection:
    """The debugger that this process runs under. Call it in the main thread."""
    return judge(take())


def take() -> Snapshot:
    """What is known of this process, and of the trace hooks of this thread."""
    return Snapshot(
        argv=tuple(sys.orig_argv),
        environ=dict(os.environ),
        modules=frozenset(sys.modules),
        parent=_command_line(os.getppid()),
        pydevd=_pydevd(),
        debugpy=_debugpy(),
        trace=_hook(sys.gettrace()),
        threading_trace=_hook(threading.gettrace()),
        profile=_hook(sys.getprofile()),
        threading_profile=_hook(threading.getprofile()),
        tools=_tools(),
    )


def _pydevd() -> Pydevd | None:
    module = sys.modules.get("pydevd")
    if module is None:
        return None
    constants = sys.modules.get("_pydevd_bundle.pydevd_constants")
    debugger = pydb()
    setup = getattr(getattr(module, "SetupHolder", None), "setup", None)
    return Pydevd(
        file=str(getattr(module, "__file__", None) or ""),
        has_debugger=_is_at_work(debugger),
        is_client_attached=_is_attached(debugger),
        is_pycharms=bool(getattr(constants, "IS_PYCHARM", False)),
        setup=dict(setup) if isinstance(setup, dict) else None,
    )


def _is_at_work(debugger: Any) -> bool:
    """Whether this PyDB is connected, or waits for a connection, and was not disposed."""
    connection = getattr(debugger, "reader", None)
    waiting = getattr(debugger, "_waiting_for_connection_thread", None)
    return bool(connection or waiting) and not getattr(debugger, "pydb_disposed", False)


def _is_attached(debugger: Any) -> bool | None:
    is_attached = getattr(debugger, "is_attached", None)
    return bool(is_attached()) if callable(is_attached) else None


def _debugpy() -> Debugpy | None:
    module = sys.modules.get("debugpy")
    if module is None:
        return None
    api = sys.modules.get("debugpy.server.api")
    return Debugpy(
        version=str(getattr(module, "__version__", "")),
        has_listened=bool(getattr(getattr(api, "listen", None), "called", False)),
        has_adapter=getattr(api, "_adapter_process", None) is not None,
    )


def _hook(hook: Any) -> Hook | None:
    if hook is None:
        return None
    function = getattr(hook, "__func__", hook)
    name = getattr(function, "__qualname__", None)
    known = function if isinstance(name, str) else type(hook)
    owner = getattr(hook, "__self__", None)  # a function of an extension: its module
    classes = () if owner is None or isinstance(owner, ModuleType) else type(owner).__mro__[:-1]
    return Hook(
        module=str(getattr(known, "__module__", None) or ""),
        name=str(getattr(known, "__qualname__", "")),
        owners=tuple(f"{each.__module__}.{each.__qualname__}" for each in classes),
    )


def _tools() -> dict[int, str]:
    if sys.version_info < (3, 12):
        return {}
    names = {number: sys.monitoring.get_tool(number) for number in _TOOL_IDS}
    return {number: str(name) for number, name in names.items() if name is not None}


def _command_line(pid: int) -> tuple[str, ...]:
    """Of another process, where the system has it in a file; else empty."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return tuple(map(os.fsdecode, file.read().split(b"\0")[:-1]))
    except OSError:
        return ()
