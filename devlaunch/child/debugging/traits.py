"""What debugpy and PyCharm's debugger are made of: pydevd, as its names and its state show it.

Always loaded, so not called like it: programs look in sys.modules for the word.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from .. import hide, modules

hide(__name__)

MODULES = ("pydev", "_pydev", "debugpy")
"""How the names of the debuggers' modules begin."""

VARIABLES = ("DEBUGPY_RUNNING", "PYDEVD_")
"""How the environment variables begin that they set, sooner or later."""

VENDORED = os.path.join("debugpy", "_vendored")
"""In the entries of sys.path that debugpy needs while it is being loaded, at whatever moment."""

THREADS = {"pydev_do_not_trace": True, "is_pydev_daemon_thread": True}
"""The attributes of its own threads: they are not traced, held or shown."""

_FILES = (f"{os.sep}pydevd", f"{os.sep}_pydev")


def is_own_thread(thread: object) -> bool:
    """Whether a thread of `threading` is pydevd's, or one of ours that it takes for such."""
    return bool(getattr(thread, "is_pydev_daemon_thread", False))


def is_own_file(path: str) -> bool:
    """Whether code of this file is pydevd's."""
    return any(each in path for each in _FILES)


def pydb() -> Any:
    """The PyDB of this process; None when pydevd is not loaded or has none."""
    # It may be half imported, by another thread.
    get: Any = getattr(sys.modules.get("pydevd"), "get_global_debugger", None)
    return get() if get is not None else None


def stop_on_entry() -> None:
    """Have the main thread stop at the next line of the user's, if the IDE wants that.

    pydevd does so in a `launch` only, and too early for us: it would stop in code that the standard
    library makes by `exec` while the server is imported. Called right before user code.
    """
    reader = getattr(pydb(), "reader", None)
    processor = getattr(getattr(reader, "process_net_command_json", None), "__self__", None)
    options = getattr(processor, "_options", None)
    if getattr(options, "stop_on_entry", False):
        sys.modules["_pydevd_bundle.pydevd_api"].PyDevdAPI().stop_on_entry()


def library_breakpoints() -> list[str]:
    """The files with breakpoints that are not the user's, as real paths. From any thread."""
    files = list(getattr(pydb(), "breakpoints", None) or ())
    return [os.path.realpath(each) for each in files if not modules.is_users(each)]
