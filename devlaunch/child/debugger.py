"""Connects debugpy to the launcher. Without a debugger nothing of debugpy is imported."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from _thread import get_ident
from typing import Any

from . import hide, modules

hide(__name__)

# Else pydevd complains on stderr about frozen modules when an interpreter option is missing.
_VALIDATION = "PYDEVD_DISABLE_FILE_VALIDATION"


def connect(request: dict[str, Any]) -> str | None:
    """Connect to where `request` says; with its `wait`, return when the client is configured.

    Returns what went wrong, if anything: the app runs on without a debugger then. Called in the
    main thread before user code, or in a hidden thread while it runs; pydevd traces the threads
    that exist, and the frames they are in, in both cases.
    """
    try:
        debugpy = _load(request.get("debugpy"))
        debugpy.connect((request["host"], request["port"]), access_token=request["token"])
        _end_at_once()
        # As debugpy's command line does: a `python -m debugpy` below is this session's.
        os.environ["DEBUGPY_RUNNING"] = "true"
        if request.get("wait"):
            debugpy.wait_for_client()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


class _MessagesSent:
    """In place of pydevd's event "all its threads have ended": its last message is sent."""

    def __init__(self, pydb: Any) -> None:
        self._pydb = pydb

    def wait(self, timeout: float) -> None:
        writer = self._pydb.writer
        if writer is not None and writer.ident != get_ident():
            writer.join(timeout)


def _end_at_once() -> None:
    """Have pydevd's threads not wait for each other, in a circle, for 0.5 s of every ending.

    That is what `PyDB.dispose_and_kill_all_pydevd_threads` comes to.
    """
    pydb = sys.modules["pydevd"].get_global_debugger()
    if hasattr(pydb, "_wait_for_threads_to_finish_called"):  # else it has changed, and is slower
        pydb._wait_for_threads_to_finish_called_event = _MessagesSent(pydb)  # noqa: SLF001
        pydb._wait_for_threads_to_finish_called = True  # noqa: SLF001


def _load(directory: str | None) -> Any:
    before = os.environ.get(_VALIDATION)
    os.environ[_VALIDATION] = "1"
    try:
        module = _load_from(directory) if directory else importlib.import_module("debugpy")
        importlib.import_module("debugpy.server.api")  # pydevd reads the environment now
        modules.libraries.append(os.path.dirname(os.path.abspath(str(module.__file__))) + os.sep)
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
