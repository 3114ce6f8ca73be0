"""Connects debugpy to the launcher. Without a debugger nothing of debugpy is imported."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import os
import sys
import threading
from _thread import get_ident
from collections.abc import Iterator
from time import sleep
from typing import Any

from .. import hide, modules
from ..threads import known_to_pydevd
from . import mends
from .pauses import Pauses

hide(__name__)

# Else pydevd complains on stderr about frozen modules when an interpreter option is missing.
_VALIDATION = "PYDEVD_DISABLE_FILE_VALIDATION"


def connect(request: dict[str, Any], pauses: Pauses) -> str | None:
    """Connect to where `request` says; with its `wait`, return when the client is configured.

    It is not waited for longer than the connection lasts, by which the launcher can end it. Returns
    what went wrong, if anything: the app runs on without a debugger then. Called in the main thread
    before user code, or in a hidden thread while it runs; pydevd traces the threads that exist, and
    the frames they are in, in both cases.
    """
    debugger = pydb()
    try:
        debugpy = _load(request.get("debugpy"))
        with known_to_pydevd():
            if debugger is not None:
                debugpy.trace_this_thread(True)
            else:
                _connect(debugpy, request)
                debugger = pydb()
            if debugger is not None:
                pauses.watch(debugger, reports=False)
            if debugger is not None and request.get("wait"):
                # As `debugpy.wait_for_client` does, which looks every 20 ms if it is unlucky.
                debugger._on_configuration_done_event.wait()  # noqa: SLF001
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if debugger is None or debugger.pydb_disposed:
        return "the connection was closed before the debugger was configured"
    return None


def prepare(request: dict[str, Any]) -> str | None:
    """Do as much of `connect` as is possible before the time: in a standby, which is not traced.

    Returns what went wrong, if anything.
    """
    try:
        debugpy = _load(request.get("debugpy"))
        with _not_waiting():
            _connect(debugpy, request)
        debugpy.trace_this_thread(False)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


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


def _connect(debugpy: Any, request: dict[str, Any]) -> None:
    address = request["host"], request["port"]
    debugpy.connect(address, access_token=request["token"])
    end_at_once(pydb())
    # As debugpy's command line does: a `python -m debugpy` below is this session's.
    os.environ["DEBUGPY_RUNNING"] = "true"


@contextlib.contextmanager
def _not_waiting() -> Iterator[None]:
    """Have `debugpy.connect` return before a client is configured, as `debugpy.listen` does."""
    api: Any = sys.modules["debugpy.server.api"]
    settrace = api._settrace  # noqa: SLF001
    api._settrace = functools.partial(settrace, wait_for_ready_to_run=False)  # noqa: SLF001
    try:
        yield
    finally:
        api._settrace = settrace  # noqa: SLF001


class _MessagesSent:
    """In place of pydevd's event "all its threads have ended": its last message is sent."""

    def __init__(self, pydb: Any) -> None:
        self._pydb = pydb

    def wait(self, timeout: float) -> None:
        writer = self._pydb.writer
        if writer is not None and writer.ident != get_ident():
            writer.join(timeout)


class _MainEnd:
    """In place of the event for which pydevd's CheckAliveThread waits between two looks."""

    def __init__(self) -> None:
        self._has_come = threading.Event()
        self._pause = 0.001
        threading._register_atexit(self.set)  # type: ignore[attr-defined]  # noqa: SLF001

    def set(self) -> None:
        self._has_come.set()

    def wait(self, timeout: float) -> None:
        if self._has_come.wait(timeout):
            sleep(self._pause)  # other threads of the user's may run on for long
            self._pause = min(2 * self._pause, timeout)


def end_at_once(pydb: Any) -> None:
    """Have pydevd not hold up the end of the process.

    Its threads wait for each other, in a circle, for 0.5 s (that is what
    `PyDB.dispose_and_kill_all_pydevd_threads` comes to), and the one that is no daemon looks every
    0.2 s whether the others have ended.
    """
    watching = getattr(pydb, "check_alive_thread", None)
    if hasattr(watching, "_wait_event"):
        watching._wait_event = _MainEnd()  # type: ignore[union-attr]  # noqa: SLF001
    if hasattr(pydb, "_wait_for_threads_to_finish_called"):  # else it has changed, and is slower
        pydb._wait_for_threads_to_finish_called_event = _MessagesSent(pydb)  # noqa: SLF001
        pydb._wait_for_threads_to_finish_called = True  # noqa: SLF001


def _load(directory: str | None) -> Any:
    before = os.environ.get(_VALIDATION)
    os.environ[_VALIDATION] = "1"
    try:
        spec = None if directory else importlib.util.find_spec("debugpy")
        place = directory or (os.path.dirname(spec.origin) if spec and spec.origin else None)
        if place:  # first: its files are executed now
            modules.add_library(place)
        module = _load_from(directory) if directory else importlib.import_module("debugpy")
        importlib.import_module("debugpy.server.api")  # pydevd reads the environment now
        mends.apply(sys.modules["pydevd"])
        return module
    finally:
        if before is None:
            del os.environ[_VALIDATION]
        else:
            os.environ[_VALIDATION] = before


def _load_from(directory: str) -> Any:
    """Import the package at `directory`, so that nothing beside it becomes importable."""
    if "debugpy" in sys.modules:
        return sys.modules["debugpy"]
    spec = importlib.util.spec_from_file_location(
        "debugpy",
        os.path.join(directory, "__init__.py"),
        submodule_search_locations=[directory],
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"no debugpy in {directory}")
    module = importlib.util.module_from_spec(spec)
    sys.modules["debugpy"] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules["debugpy"]
        raise
    return module
