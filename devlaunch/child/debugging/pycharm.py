"""Brings this process under PyCharm's own debugger, as `pydevd` does for sub-processes.

In process, and not by a rewritten command line: the same works for every version of pydevd and
every way to start the app, the child may be spawned long before it is told to run, and a debugger
that cannot be had leaves an app that runs without one. What is done is what `pydevd.main` and
`PyDB.run` do, since `settrace` waits for the IDE without a limit, and on CPython 3.13 has a native
helper print an error.
"""

from __future__ import annotations

import atexit
import importlib
import os
import select
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import Any

from .. import NAME, hide, modules, rename
from ..pasting import command
from ..threads import known_to_pydevd, start_hidden_thread
from ..tracebacks import trimmed, was_printed
from . import NotConnected, Request
from .patches import end_at_once
from .pauses import Pauses

hide(__name__)

_DISPATCH = "99"
"""The command with which the IDE answers a dispatch connection: its payload is a port."""


_SILENT = "PyCharm does not answer"

_NOT_INSTALLED = """\
install it for the app: {python} -m pip install pydevd-pycharm~=BUILD
BUILD is the IDE's (Help | About): the two have to fit"""

_BUSY = "the app runs on without it; the next restart tries again"

_NO_SERVER = 'start the IDE\'s "Python Debug Server"; the app runs on without it'

_NO_MORE = """\
PyCharm takes one process only in this session. Turn on "Attach to subprocess automatically while
debugging" (Settings | Build, Execution, Deployment | Python Debugger) and debug again, or attach
to the address below by "Attach to DAP" (2025.3 or newer)"""


def prepare(request: Request) -> None:
    """Import pydevd: the IDE takes a process when that connects."""
    _load(request)


def connect(request: Request, pauses: Pauses) -> None:
    """Have the IDE debug this process.

    `setup` is the `SetupHolder.setup` of the launcher's pydevd, which lives in `directory`; without
    it the IDE is a "Python Debug Server". `timeout` is how many seconds the IDE has to answer, and
    then to say that the program may run; what is loaded meanwhile takes none of them. Never
    while user code runs.
    """
    try:
        _connect(request, pauses)
    except ModuleNotFoundError as error:
        hint = _NOT_INSTALLED.format(python=command(sys.executable))
        raise NotConnected(f"No module named {error.name!r}", hint) from None
    except (OSError, EOFError) as error:
        setup = request.get("setup")
        hint = _NO_SERVER if setup is None else _BUSY if _follows(setup) else _NO_MORE
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise NotConnected(f"{request['host']}:{request['port']}: {reason}", hint) from None


def execute(function: Callable[[], None]) -> None:
    """Under the name by which pydevd knows where an exception has come out of user code."""
    _exec(function)


def _exec(function: Callable[[], None]) -> None:
    function()


# pydevd looks for a frame of this name and base name; our tracebacks leave out what is frozen.
rename(_exec.__code__, f"<frozen {__name__}>/pydevd.py")


def _connect(request: Request, pauses: Pauses) -> None:
    host, port, timeout = request["host"], request["port"], request["timeout"]
    if "setup" in request:
        setup = dict(request["setup"])
        # First, so that nothing of pydevd is loaded when another debugger has to take its place.
        dispatches = bool(setup.get("multiproc"))
        sock = _answered(host, port, monotonic() + timeout, dispatches=dispatches)
        pydevd = _load(request)
    else:
        setup = {"client": host, "server": False, "port": port, "multiprocess": True}
        pydevd = _load(request)
        sock = _answered(host, port, monotonic() + timeout)
    directory = os.path.dirname(os.path.abspath(str(pydevd.__file__)))
    if directory not in sys.path:  # its import does so, which may have been made ahead of time
        sys.path.insert(0, directory)
    modules.add_library(directory)
    _hide_frames()
    _trim_tracebacks()
    pydevd.SetupHolder.setup = setup
    pydevd.pydevd_vm_type.setup_type()
    debugger = pydevd.PyDB()
    deadline = monotonic() + timeout
    _start_threads(debugger, sock, deadline)
    pydevd.connected = True
    end_at_once(debugger)
    pauses.watch(debugger, reports=True)
    if "setup" not in request:  # the IDE did not start us: it has no console with our output
        debugger.enable_output_redirection(True, True)
    _patch(pydevd, debugger, setup)
    while not debugger.ready_to_run:
        if getattr(debugger, "pydb_disposed", False) or monotonic() > deadline:  # not in 2019
            _stop(pydevd, debugger)
            raise EOFError(_SILENT)
        sleep(0.001)
    _trace(debugger)
    atexit.register(_stop, pydevd, debugger)


def _start_threads(debugger: Any, sock: socket.socket, deadline: float) -> None:
    """Have pydevd read and write. It sleeps 0.1 s for the threads to start; they say when."""

    def initialize() -> None:
        with known_to_pydevd():
            debugger.initialize_network(sock)

    start_hidden_thread(initialize)
    for name in ("writer", "reader"):
        while (thread := getattr(debugger, name, None)) is None or not thread.is_alive():
            if monotonic() > deadline:
                raise EOFError(_SILENT)
            sleep(0.001)


def _stop(pydevd: Any, debugger: Any) -> None:
    """End the debugging. With low-impact monitoring that is an error while it is not on."""
    try:
        pydevd.stoptrace()
    except ValueError:
        debugger.dispose_and_kill_all_pydevd_threads()


def _follows(setup: dict[str, Any]) -> bool:
    """Whether the IDE takes the processes of the program too."""
    return bool(setup.get("multiproc") or setup.get("multiprocess"))


def _patch(pydevd: Any, debugger: Any, setup: dict[str, Any]) -> None:
    """Follow the processes of the app, and what else the options ask for."""
    monkey = importlib.import_module("_pydev_bundle.pydev_monkey")
    if _follows(setup):
        monkey.patch_new_process_functions()
    else:
        monkey.patch_new_process_functions_with_warning()
    pydevd.patch_stdin(debugger)
    pydevd.apply_debugger_options(setup)


def _trace(debugger: Any) -> None:
    """As `PyDB.run` does right before the program; the breakpoints are known now."""
    constants = importlib.import_module("_pydevd_bundle.pydevd_constants")
    debugger.prepare_to_run()
    thread = threading.current_thread()
    debugger.notify_thread_created(constants.get_current_thread_id(thread), thread)
    debugger.enable_tracing()
    try:
        asyncio_provider = importlib.import_module("_pydevd_bundle.pydevd_asyncio_provider")
    except ImportError:  # of the years before it
        return
    apply = asyncio_provider.get_apply()
    if apply is not None:
        apply()


def _hide_frames() -> None:
    """Have pydevd show no frame of ours: it knows its own files by their base names."""
    files = importlib.import_module("_pydevd_bundle.pydevd_dont_trace_files")
    here = Path(__file__).parents[1]
    for file in here.rglob("*.py"):
        parts = [NAME, *file.relative_to(here).with_suffix("").parts]
        dotted = ".".join(parts).removesuffix(".__init__")
        files.DONT_TRACE[f"<frozen {dotted}>"] = files.PYDEV_FILE


def _trim_tracebacks() -> None:
    """Have pydevd, which prints uncaught exceptions itself, leave out what brought us there."""
    breakpoints: Any = importlib.import_module("_pydevd_bundle.pydevd_breakpoints")
    show = breakpoints.original_excepthook

    def excepthook(kind: Any, value: BaseException, tb: TracebackType | None) -> None:
        if was_printed(value):
            return
        whole = value.__traceback__
        value.__traceback__ = trimmed(tb)  # which goes before the third argument
        try:
            show(kind, value, value.__traceback__)
        finally:
            value.__traceback__ = whole

    breakpoints.original_excepthook = excepthook


def _answered(host: str, port: int, deadline: float, *, dispatches: bool = False) -> socket.socket:
    """A connection on which the IDE has said something: its handshake comes unasked.

    With `dispatches` the first connection only brings the port for the second. pydevd itself waits
    for both without a limit.
    """
    sock = socket.create_connection((host, port), max(0.1, deadline - monotonic()))
    try:
        if not select.select([sock], [], [], max(0.1, deadline - monotonic()))[0]:
            raise EOFError(_SILENT)
        if not dispatches:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            return sock
        answer = sock.makefile("r").readline().split()
    except BaseException:
        sock.close()
        raise
    sock.close()
    if len(answer) != 3 or answer[0] != _DISPATCH:
        raise EOFError(_SILENT)
    return _answered(host, int(answer[2]), deadline)


def _load(request: Request) -> Any:
    """The module pydevd: that of the launcher, which lies in `directory`, or the installed one.

    It adds to sys.path what a standby, whose path is that of an import of the app's, would not
    have: its own directory, and where its parts in C are missing that of setuptools' vendored ones.
    """
    path = list(sys.path)
    try:
        if "directory" in request:
            modules.add_library(request["directory"])
            sys.path.insert(0, request["directory"])
        else:
            importlib.import_module("pydevd_pycharm")  # its name says what to install
        return importlib.import_module("pydevd")
    finally:
        sys.path[:] = path
