"""What happens in a child, in order: stage, debugger, user code, the end."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import threading
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from . import debugging, hide, reloaders, targets, worded
from .ahead.contexts import Conditions, cwd, patchers
from .ahead.imports import Imports
from .control import Control, Message
from .debugging.pauses import Pauses
from .debugging.traits import is_own_thread, library_breakpoints, stop_on_entry
from .modules import Reports
from .threads import start_hidden_thread
from .tracebacks import Usage, describe, report_early, report_uncaught, trimmed

hide(__name__)

CUT = 0.7
"""The part of the grace after which open requests are named and ended; the servers' own limit is
three quarters."""

FIRST_WORD = 0.3
"""Seconds after the launcher's end in which the guardian sees who belongs to this process: those in
sessions of their own, without the mark, can no longer be found when it has ended by itself."""

REFUSING_SECONDS = 5.0
"""A program that is older is not replaced any more because an import was made ahead of time."""

LAST_SECOND = 1.0
"""How long a child may then take to end politely."""

_CONTROL_C_EXIT = 0xC000013A
"""The status of a process of Windows that Ctrl-C has ended."""


if TYPE_CHECKING:
    from .ahead.standby import Standby
    from .servers.ending import Running


def run(fd: int) -> None:
    """Read messages from the socket `fd` and do as they say: `warm`, if it comes, then `start`."""
    control = Control(fd)
    standby: Standby | None = None
    message = control.receive()
    if message is not None and message["type"] == "warm":
        from .ahead.standby import Standby

        try:
            prepare(control, message)
            standby = Standby(control, message)
            message = standby.run()
        except Exception as error:  # a cold start will do; nothing of the user's has run
            refuse(control, worded(error))
        del sys.modules[f"{__package__}.ahead.standby"]  # as in any other child
    if message is not None:  # else the launcher has died
        Runtime(control, message, standby).run()


def refuse(control: Control, reason: str, unsafe: dict[str, str] | None = None) -> NoReturn:
    """Make way for a cold start."""
    control.send("refused", reason=reason, unsafe=unsafe or {})
    os._exit(0)


def prepare(control: Control, warm: Message) -> None:
    """What has to be there in a standby before anything else is imported, as in a child."""
    # pydevd tells the IDE argv[0] when it attaches, maybe before the start message is read.
    sys.argv[:] = ["devlaunch"]
    request = warm["debug"]
    if request:
        prepared = debugging.attempt(debugging.debugger_for(request).prepare, request)
        tell_debugger(control, *prepared)
    reloaders.install(control.note)


def tell_debugger(control: Control, error: str | None, hint: str) -> None:
    """Whether there is one; else what went wrong, and what helps."""
    control.send("debugger", error=error, hint=hint)


class Runtime:
    """One run of the target."""

    def __init__(self, control: Control, start: Message, standby: Standby | None = None) -> None:
        self._control = control
        self._start = start
        self._standby = standby
        self._began = monotonic()
        conditions = standby.conditions if standby else Conditions()
        self._imports = Imports(conditions, standby.stash if standby else None, self._refuse)
        self._reports = Reports()
        self._pauses = Pauses(lambda paused: control.send("paused", paused=paused), self._ends)
        self._server: Running | None = None
        self._is_stopping = False
        self._due: dict[Callable[[], None], float] = {}
        """What the control thread has to do, and when."""

    def run(self) -> None:
        """Returns, or raises what ends this process."""
        if self._standby:
            try:
                reason = self._standby.unfit()
            except Exception as error:
                reason = worded(error)
            if reason:
                self._refuse(reason)
        discard_bytecode(self._start["changed"])
        self._control.serve(self._handle, self._tick, self._deadline)
        try:
            if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
                signal.signal(signal.SIGINT, signal.default_int_handler)
            if self._start["debug"]:
                debugging.debugger_for(self._start["debug"]).execute(self._run_target)
            else:
                self._run_target()
        except SystemExit:
            raise
        except BaseException as error:
            report_uncaught(error, self.fail)
            raise

    def serving(self, server: Running | None, interface: str | None, name: str | None) -> None:
        """The app answers from now on, and `server` can be told to stop."""
        self._server = server
        self._send_modules()
        self._control.send("serving", interface=interface, server=name)

    def fail(self, fields: dict[str, Any]) -> None:
        """Tell the launcher why the app cannot run, and first which files may have to be mended."""
        self._send_modules(*fields.pop("files", ()))
        self._control.send("failed", **fields)

    def _fail_by(self, error: BaseException, fields: dict[str, Any], **more: object) -> None:
        if isinstance(error, SystemExit):
            target = self._start["target"]
            name = "the program" if target["kind"] == "command" else target["name"]
            fields["summary"] = f"{name} called sys.exit({error.code!r})"
        self.fail({**fields, **more})

    def _ends(self, error: BaseException, tb: TracebackType, is_held: bool) -> bool:
        """The debugger stops at an exception that ends the program; with a frame of its code?"""
        if trimmed(tb) is None and not isinstance(error, SyntaxError):
            return False  # our exit, after which all has been said
        report_early(error, tb, lambda fields: self._fail_by(error, fields, is_held=is_held))
        return True

    # --- the main thread ------------------------------------------------------------------------

    def _run_target(self) -> None:
        try:
            if not cwd():
                raise Usage("the working directory does not exist any more", "make it again")
            if self._start["target"]["kind"] == "app":
                self._run_app()
            else:
                self._run_program()
        except Usage as usage:  # here: PyCharm's debugger stops at all that leaves us but an exit
            if self._control.is_closed():  # by the app
                sys.stderr.write("devlaunch: {summary}\n  {hint}\n".format(**usage.fields))
            self.fail(usage.fields)
            sys.exit(2)

    def _run_program(self) -> None:
        self._watch_imports()
        program = targets.resolve(self._start["target"])
        if program.ignored:
            self._control.note(f"without effect here: python {' '.join(program.ignored)}")
        code = targets.prepare(program)
        self._attach_debugger()
        self._reports.add(code.co_filename)
        self.serving(None, None, None)
        try:
            targets.run(code)
        finally:
            self._send_modules()  # a short program may be over before the next look

    def _run_app(self) -> None:
        target = self._start["target"]
        name = str(target["name"])
        targets.set_stage(None, ["devlaunch", name, *target["args"]], [name, *target["args"]])
        sys.path.insert(0, self._start["app_dir"] or os.getcwd())
        self._watch_imports()
        from . import apps
        from .servers.serving import serve

        self._attach_debugger()
        try:
            app, interface = apps.load_app(name, factory=bool(self._start["factory"]))
        except SystemExit as error:
            self._fail_by(error, describe(error))
            raise
        serve(app, interface, name, start=self._start, serving=self.serving, fail=self.fail)

    def _watch_imports(self) -> None:
        if not self._standby:
            reloaders.install(self._control.note)
        self._reports.start()
        # From the first import on: a module of the stash must never be loaded besides.
        if self._start.get("record") or self._standby:
            self._imports.install()

    def _attach_debugger(self) -> None:
        if self._start["debug"]:
            tell_debugger(self._control, *self._connect(self._start["debug"]))
            if self._standby and (reason := self._standby.stopped_by(library_breakpoints())):
                self._refuse(reason)
            stop_on_entry()

    def _connect_late(self, request: Message) -> None:
        """Connect while user code runs, in a hidden thread."""
        error, hint = ("", "") if patchers() else self._connect(request)
        if error is not None and (libraries := patchers()):
            # pydevd would be made of what they have put in place, and hang or fail.
            which = " and ".join(libraries)
            self._control.send("restart", reason=f"{which} has to be imported after the debugger")
        else:
            tell_debugger(self._control, error, hint)

    def _connect(self, request: Message) -> tuple[str | None, str]:
        with self._imports.of_debugger():
            connect = debugging.debugger_for(request).connect
            return debugging.attempt(connect, request, self._pauses)

    def _send_modules(self, *more: str) -> None:
        for path in more:
            self._reports.add(path)
        if files := self._reports.take():
            self._control.send("modules", files=files)
        if self._reports.is_silent:
            self._reports.is_silent = False
            self._control.send("silent")

    def _refuse(self, reason: str, unsafe: dict[str, str] | None = None) -> None:
        """Make way for a cold start, unless the program has come too far for that."""
        age = monotonic() - self._began
        if self._server is None and age < REFUSING_SECONDS:
            refuse(self._control, reason, unsafe)

    # --- the control thread ---------------------------------------------------------------------

    def _handle(self, message: Message | None) -> None:
        now = monotonic()
        if message is None:
            self._due[lambda: self._stop(LAST_SECOND)] = now + FIRST_WORD
            self._due[lambda: os._exit(1)] = now + FIRST_WORD + LAST_SECOND
        elif message["type"] == "stop":
            self._stop(float(message["grace"]))
        elif message["type"] == "signal":
            self._signal(int(message["signal"]))
        elif message["type"] == "ending":
            self._due[self._name_holders] = now + CUT * float(message["grace"])
        elif message["type"] == "debug":
            start_hidden_thread(lambda: self._connect_late(message))
        elif message["type"] == "release":
            self._pauses.release()
        elif message["type"] == "imports":
            avoid = library_breakpoints()
            self._control.send("imports", record=self._imports.record(), avoid=avoid)
            if self._server is not None:
                self._server.survey()

    def _stop(self, grace: float) -> None:
        if self._server is None:
            signal_here(signal.SIGTERM)
        elif not self._is_stopping:
            self._is_stopping = True
            self._due[self._name_holders] = self._due[self._cut] = monotonic() + CUT * grace
            self._server.stop(grace)

    def _name_holders(self) -> None:
        if names := holding_threads():
            self._control.send("held", threads=names)

    def _cut(self) -> None:
        if self._server is not None and (requests := self._server.open_requests()):
            self._control.send("open", requests=requests)
            self._server.cut()

    def _signal(self, signum: int) -> None:
        """Take a signal where none can be sent. A server waits for connections, not for one."""
        is_own = signal.getsignal(signum) not in (signal.SIG_DFL, signal.default_int_handler)
        if self._server is None or is_own:
            signal_here(signum)
        else:
            self._stop(float(self._start["grace"]))

    def _tick(self) -> None:
        self._send_modules()
        now = monotonic()
        self._pauses.tick(now)
        for action in [action for action, due in self._due.items() if now >= due]:
            del self._due[action]
            action()

    def _deadline(self) -> float | None:
        return min(self._due.values(), default=None)


def holding_threads() -> list[str]:
    """The names of the threads for which the interpreter waits, its main thread being done."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None and frame.f_code is not threading._shutdown.__code__:  # type: ignore[attr-defined]
        frame = frame.f_back
    if frame is None:
        return []
    # Not `enumerate`: it waits for a lock that they may hold.
    others = set(threading._active.values()) - {threading.main_thread()}  # type: ignore[attr-defined]
    return sorted(each.name for each in others if not each.daemon and not is_own_thread(each))


def signal_here(signum: int) -> None:
    """Signal this process.

    On Windows `os.kill` asks for nothing, it ends: a handler that takes a request to end is called
    instead, where the program has one. Without one the status says what has ended it.
    """
    if sys.platform == "win32":
        for number in (signum, signal.SIGBREAK) if signum == signal.SIGTERM else (signum,):
            action = signal.getsignal(number)
            if action == signal.SIG_IGN:
                return
            if action != signal.SIG_DFL:
                signal.raise_signal(number)
                _wake_sleeper()
                return
        status = _CONTROL_C_EXIT if signum == signal.SIGINT else 128 + signum
        os.kill(os.getpid(), status)
    else:
        os.kill(os.getpid(), signum)


def _wake_sleeper() -> None:
    """Have the main thread call a handler now: a `sleep` of it is ended by Ctrl-C's event only."""
    if sys.platform == "win32":
        try:
            import ctypes

            event = ctypes.pythonapi._PyOS_SigintEvent
        except (ImportError, AttributeError):  # no part of what CPython promises
            return
        event.restype = ctypes.c_void_p
        ctypes.WinDLL("kernel32").SetEvent(ctypes.c_void_p(event()))


def discard_bytecode(changed: list[str]) -> None:
    """Remove the cached bytecode of changed files, of all optimization levels.

    A .pyc counts as fresh for a source of the same size and whole-second mtime (PEP 3147, PEP 552).
    The launcher does so at each touch; this is for what was written since, and for a cache that
    only this interpreter knows (PYTHONPYCACHEPREFIX).
    """
    for path in changed:
        for level in ("", 1, 2):
            try:
                os.unlink(importlib.util.cache_from_source(path, optimization=level))
            except (OSError, NotImplementedError, ValueError):
                pass
