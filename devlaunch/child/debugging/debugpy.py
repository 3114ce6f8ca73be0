"""Connects debugpy to the launcher: the module for the kind `debugpy`."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from .. import hide, modules
from ..ahead.contexts import set_environment
from ..threads import known_to_pydevd
from . import NotConnected, Request, patches
from .pauses import Pauses
from .traits import pydb

hide(__name__)

# Else pydevd complains on stderr about frozen modules when an interpreter option is missing.
_VALIDATION = "PYDEVD_DISABLE_FILE_VALIDATION"


def prepare(request: Request) -> None:
    """Connect, and do not have this process traced yet."""
    debugpy = _load(request.get("debugpy"))
    with _not_waiting():
        _connect(debugpy, request)
    debugpy.trace_this_thread(False)


def connect(request: Request, pauses: Pauses) -> None:
    """Connect to where `request` says; with its `wait`, return when the client is configured.

    It is not waited for longer than the connection lasts, by which the launcher can end it. pydevd
    traces the threads that exist, and the frames that they are in.
    """
    debugger = pydb()
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
            debugger._on_configuration_done_event.wait()
    if debugger is None or debugger.pydb_disposed:
        raise NotConnected("the connection was closed before the debugger was configured")


def execute(function: Callable[[], None]) -> None:
    """Debugpy knows by `calls_user_code` what nobody will catch."""
    function()


def _connect(debugpy: Any, request: Request) -> None:
    address = request["host"], request["port"]
    debugpy.connect(address, access_token=request["token"])
    patches.end_at_once(pydb())
    # As debugpy's command line does: a `python -m debugpy` below is this session's.
    os.environ["DEBUGPY_RUNNING"] = "true"


@contextlib.contextmanager
def _not_waiting() -> Iterator[None]:
    """Have `debugpy.connect` return before a client is configured, as `debugpy.listen` does."""
    api: Any = sys.modules["debugpy.server.api"]
    settrace = api._settrace
    api._settrace = functools.partial(settrace, wait_for_ready_to_run=False)
    try:
        yield
    finally:
        api._settrace = settrace


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
        patches.apply(sys.modules["pydevd"])
        return module
    finally:
        set_environment({_VALIDATION: before})


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
