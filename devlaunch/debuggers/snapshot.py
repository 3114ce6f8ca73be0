"""Takes the snapshot of this process that `core.detection` judges.

Only what is loaded already is asked: importing a debugger to look at it would change what is seen,
and cost a start of devlaunch some 300 ms.
"""

from __future__ import annotations

import sys
import threading
from types import ModuleType
from typing import Any

from devlaunch.core.detection import Detection, Pydevd, Snapshot
from devlaunch.core.detection import detect as judge
from devlaunch.system.hiding import pydb


def detect() -> Detection:
    """The debugger that this process runs under. Call it in the main thread."""
    return judge(take())


def take() -> Snapshot:
    """What is known of this process, and of the trace functions of this thread and new ones."""
    hooks = (sys.gettrace(), threading.gettrace())
    tracers = [_name(hook) for hook in hooks if hook is not None]
    if sys.version_info >= (3, 12):
        tool = sys.monitoring.get_tool(sys.monitoring.DEBUGGER_ID)
        tracers += [str(tool)] if tool else []
    return Snapshot(_pydevd(), tuple(tracers))


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
        is_pycharms=bool(getattr(constants, "IS_PYCHARM", False)),
        was_injected="attach_script" in sys.modules,
        speaks_dap=_speaks_dap(),
        setup=dict(setup) if isinstance(setup, dict) else None,
    )


def _is_at_work(debugger: Any) -> bool:
    """Whether this PyDB is connected, or waits for a connection, and was not disposed."""
    connection = getattr(debugger, "reader", None)
    waiting = getattr(debugger, "_waiting_for_connection_thread", None)
    return bool(connection or waiting) and not getattr(debugger, "pydb_disposed", False)


def _speaks_dap() -> bool:
    api = sys.modules.get("debugpy.server.api")
    has_listened = bool(getattr(getattr(api, "listen", None), "called", False))
    return has_listened and getattr(api, "_adapter_process", None) is None


def _name(hook: Any) -> str:
    """Of a bound method its object's class, else the function's or the object's own."""
    owner = getattr(hook, "__self__", None)
    named = hook if hasattr(hook, "__qualname__") else type(hook)
    if owner is not None and not isinstance(owner, ModuleType):  # a function of an extension
        named = type(owner)
    return f"{named.__module__}.{named.__qualname__}"
