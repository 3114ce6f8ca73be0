"""Keeps the debugger that devlaunch itself runs under away from devlaunch's own code.

That is pydevd, debugpy's or PyCharm's. It traces the threads that exist, and rewrites the command
lines of Python processes so that they come under it too: its functions are put back around each
process that devlaunch starts. Only what is loaded already is touched, and before anything worth
speaking of is imported. On sys.monitoring its callback still runs for each call here: 0.2 µs.
"""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    # Importing from `typing` raises in it from Python 3.13 on, and we are not hidden yet.
    from collections.abc import Iterator
    from typing import Any

_CREATORS = (
    ("subprocess", "_fork_exec"),
    ("_posixsubprocess", "fork_exec"),
    ("os", "posix_spawn"),
    ("_winapi", "CreateProcess"),
)
"""What `pydev_monkey.patch_new_process_functions` replaces for Popen; it keeps each original
beside, as `original_…`."""


def hide_thread(thread: threading.Thread) -> None:
    """Make pydevd neither trace nor suspend nor show a thread. Call it before the thread starts.

    pydevd does so for its own, which carry these two attributes (`mark_as_pydevd_daemon_thread`).
    """
    vars(thread).update(pydev_do_not_trace=True, is_pydev_daemon_thread=True)


def hide_main_thread() -> None:
    """Make pydevd neither trace nor suspend this thread, which runs already, for good.

    It stays a thread of the program for pydevd, which ends its session when none is left. On
    sys.monitoring pydevd looks at the attribute no more once it knows a thread; switching the
    tracing off in the thread itself is kept with what it knows (`ThreadInfo.trace`).
    """
    vars(threading.current_thread()).update(pydev_do_not_trace=True)
    if debugger := pydb():
        debugger.disable_tracing()
        _set_monitored(debugger, wanted=False)


@contextmanager
def hidden() -> Iterator[None]:
    """Hide this thread as `hide_main_thread` does, for a while."""
    thread = vars(threading.current_thread())
    was_hidden = thread.get("pydev_do_not_trace", False)
    hide_main_thread()
    try:
        yield
    finally:
        if not was_hidden:
            del thread["pydev_do_not_trace"]
            if debugger := pydb():
                debugger.enable_tracing()
                _set_monitored(debugger, wanted=True)


def _set_monitored(debugger: Any, *, wanted: bool) -> None:
    """Do what PyCharm's low-impact monitoring (PEP 669) leaves out of a thread's tracing.

    Its callback for raised exceptions does not look at `ThreadInfo.trace`, and nothing sets that
    back to true. The events are switched, and the tool stays in use: pydevd frees it at its end.
    """
    if not getattr(debugger, "is_pep669_monitoring_enabled", False):
        return
    monitoring: Any = getattr(sys, "monitoring", None)
    tool, event = monitoring.DEBUGGER_ID, monitoring.events.RAISE
    events = monitoring.get_events(tool)
    monitoring.set_events(tool, events | event if wanted else events & ~event)
    tracing: Any = sys.modules["_pydevd_bundle.pydevd_pep_669_tracing"]
    if info := getattr(tracing._thread_local_info, "thread_info", None):  # noqa: SLF001
        info.trace = wanted


@contextmanager
def plain_processes() -> Iterator[None]:
    """Have the processes that are started within run as they were asked to, not under pydevd."""
    patched = []
    for name, function in _CREATORS:
        module: Any = sys.modules.get(name)
        original = getattr(module, f"original_{function}", None)
        if original is not None:
            patched.append((module, function, getattr(module, function)))
            setattr(module, function, original)
    try:
        yield
    finally:
        for module, function, replacement in patched:
            setattr(module, function, replacement)


def pydb() -> Any:
    """The PyDB of this process; None when pydevd is not loaded or has none."""
    constants = sys.modules.get("_pydevd_bundle.pydevd_constants")
    return getattr(getattr(constants, "GlobalDebuggerHolder", None), "global_dbg", None)
