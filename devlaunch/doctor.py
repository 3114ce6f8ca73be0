"""`devlaunch doctor`: which debugger is here, what devlaunch will do, and what stands in the way.

Each check does what a run would do (bind the port, watch the tree, ask the interpreter), and undoes
it. Nothing of the app runs.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import queue
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from devlaunch import DISTRIBUTION, __version__
from devlaunch.child.pasting import command
from devlaunch.child.targets import find_command, names_python
from devlaunch.config import Config, TargetKind
from devlaunch.core.detection import DebuggerKind, Detection, Way, way
from devlaunch.debuggers import is_wanted
from devlaunch.debuggers.snapshot import detect
from devlaunch.debuggers.vscode import VARIABLE as VSCODE_ENDPOINTS
from devlaunch.errors import EX_FAILURE, DevlaunchError
from devlaunch.events import WatchDegraded, WatchReady
from devlaunch.system.listen import bind_debug, format_address, open_app_socket
from devlaunch.target.commandline import read
from devlaunch.target.interpreter import Interpreter, choose_interpreter, own_debugpy_dir
from devlaunch.target.options import ADAPTER
from devlaunch.target.settings import resolve
from devlaunch.terminal.console import Console
from devlaunch.terminal.stdout import print_text
from devlaunch.watching.reloading import asked_for
from devlaunch.watching.watcher import Watcher

HELP = """\
Usage: devlaunch doctor [--json] [OPTIONS] [TARGET] [ARGS]...

  Say which debugger runs here and why, what devlaunch will do about it, and
  what stands in the way, with the fix. Nothing of the app is run. With the
  options and the target of a run: what that run would meet before any code
  of the app runs; whether the app can be imported only the run shows.

  The exit status is 0 when nothing of this stands in the way, 1 otherwise.

Options:
  --json      Print it as JSON.
  -h, --help  Show this text.
"""
FLAGS = (("--json",),)
PACKAGES = ("debugpy", "uvicorn", "watchdog")

_WATCH_TIMEOUT = 5.0
"""Seconds for the first scan of the tree."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What stands in the way, and the fix. One that does not `block` makes a run work worse."""

    what: str
    fix: str
    blocks: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """All that the doctor found. `interpreter` is None when there is none for the app."""

    detection: Detection
    plan: str
    interpreter: Interpreter | None
    versions: dict[str, str]
    system: str
    findings: tuple[Finding, ...]

    @property
    def is_fine(self) -> bool:
        """Whether nothing stands in the way."""
        return not any(finding.blocks for finding in self.findings)


def main(words: Sequence[str]) -> int:
    """Run `devlaunch doctor` with these words, and return the exit status. Raises UsageError."""
    line = read(words, FLAGS, "devlaunch doctor")
    if "help" in line.flags:
        print_text(HELP)
        return 0
    config = resolve(line.given, needs_target=False)
    report = examine(config, detect())
    if "json" in line.flags:
        print_text(to_json(report) + "\n")
    else:
        show(report, Console(sys.stdout, config.verbosity))
    return 0 if report.is_fine else EX_FAILURE


def examine(
    config: Config, detection: Detection, environ: Mapping[str, str] | None = None
) -> Report:
    """Everything that can be checked without running the app."""
    interpreter = None
    findings: list[Finding] = []
    try:
        debugging = is_wanted(config, detection)
        interpreter = choose_interpreter(config.python, config.app_dir, debugging=debugging)
    except DevlaunchError as error:
        findings.append(Finding(error.message, error.hint, blocks=True))
    findings += _check_debugging(config, detection, interpreter)
    findings += _check_command(config, interpreter)
    if config.target.serves and config.target.name:
        findings += _tried(lambda: open_app_socket(config).close())
    findings += _check_watching(config)
    findings += _check_environment(os.environ if environ is None else environ, detection)
    findings += _check_distribution()
    return Report(
        detection=detection,
        plan=plan(config, detection),
        interpreter=interpreter,
        versions=versions(),
        system=platform.platform(),
        findings=tuple(sorted(findings, key=lambda finding: not finding.blocks)),
    )


def plan(config: Config, detection: Detection) -> str:
    """What devlaunch will do to have the app debugged; `debuggers.choose` does it."""
    chosen = way(config, detection)
    follows = "starts each child under the same debugger"
    listens = f"listens on {format_address(*config.debug_address)} for an editor"
    without = "runs the app without a debugger"
    if chosen is Way.SETTRACE and config.pycharm_server:
        where = format_address(*config.pycharm_server)
        return f"connects the app to PyCharm's debug server at {where}"
    if config.debug_attach is False:
        return f"{without}, as --no-debug-attach says"
    return {
        Way.JOIN: "joins the editor's session: one child session that lasts over all restarts",
        Way.LISTEN: listens,
        Way.PYCHARM: follows,
        Way.PYCHARM_ELSE_LISTEN: f"{follows} if the IDE answers, else {listens}",
    }.get(chosen, f"{without}; --debug-attach lets an editor attach")


def worded(found: Detection) -> tuple[str, str]:
    """The debugger's name, and what of it decides."""
    address = format_address(found.host, found.port)
    match found.kind:
        case DebuggerKind.DEBUGPY if found.has_adapter:
            return "debugpy", f"its adapter is at {address}"
        case DebuggerKind.DEBUGPY:
            return "debugpy", "it listens by itself, without an adapter"
        case DebuggerKind.PYCHARM if found.follows_children:
            return "PyCharm's debugger", f"the IDE at {address} follows child processes"
        case DebuggerKind.PYCHARM:
            why = f'the IDE at {address} takes no child process ("Attach to subprocess" is off)'
            return "PyCharm's debugger", why
        case DebuggerKind.OTHER:
            return found.tracer, "another tracer, which sees devlaunch only"
    return "none", "no debugger traces devlaunch"


def versions() -> dict[str, str]:
    """Of devlaunch, of the Python that runs it, and of what it is made of."""
    found = {"devlaunch": __version__, "Python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


# --- checks -------------------------------------------------------------------------------------


def _tried(action: Callable[[], object], *, blocks: bool = True) -> Iterator[Finding]:
    """What a run would end with becomes a finding."""
    try:
        action()
    except DevlaunchError as error:
        yield Finding(error.message, error.hint, blocks)


def _check_debugging(
    config: Config, detection: Detection, interpreter: Interpreter | None
) -> Iterator[Finding]:
    chosen = way(config, detection)
    wanted = chosen is not Way.NONE
    if own_debugpy_dir() is None:
        fix = command(sys.executable, "-m", "pip", "install", "debugpy")
        yield Finding("debugpy is not installed where devlaunch is", fix, blocks=wanted)
    if chosen in (Way.LISTEN, Way.PYCHARM_ELSE_LISTEN) or not detection:
        (host, port), allow_remote = config.debug_address, config.allow_remote_debug
        # Where it may not come to that it is only good to know.
        yield from _tried(
            lambda: bind_debug(host, port, allow_remote=allow_remote).close(),
            blocks=chosen is Way.LISTEN,
        )
    options = interpreter.options if interpreter else ()
    frozen = [word for word in options if "frozen_modules" in word]
    if wanted and frozen and not frozen[-1].endswith("=off"):
        text = f"-X {frozen[-1]}: breakpoints in modules of the standard library are missed"
        yield Finding(text, "start devlaunch without it")


def _check_command(config: Config, interpreter: Interpreter | None) -> Iterator[Finding]:
    """As the child looks for it; `python` is always there."""
    name = config.target.name
    if config.target.kind is not TargetKind.COMMAND or names_python(name) or interpreter is None:
        return
    if not find_command(name, interpreter.executable):
        text = f"{name}: no such command beside {interpreter.executable} or on PATH"
        yield Finding(text, "install it there, or give its path", blocks=True)


def _check_watching(config: Config) -> list[Finding]:
    """Watch the tree as a run does, until the first scan is over."""
    if not config.reload:
        return []
    inbox: queue.SimpleQueue[object] = queue.SimpleQueue()
    watcher = Watcher(post=inbox.put, poll=config.poll)
    watcher.watch_for(*asked_for(config))
    reasons: list[str] = []
    deadline = time.monotonic() + _WATCH_TIMEOUT
    watcher.start()
    try:
        while (left := deadline - time.monotonic()) > 0:
            match inbox.get(timeout=left):
                case WatchDegraded(reason):
                    reasons.append(reason)
                case WatchReady():
                    break
    except queue.Empty:
        reasons.append(f"the first look at the files takes longer than {_WATCH_TIMEOUT:.0f} s")
    finally:
        watcher.stop()
    return [_degraded(reason) for reason in reasons]


def _degraded(reason: str) -> Finding:
    what, _, fix = reason.partition("; ")
    return Finding(
        f"{what}: devlaunch looks at the files again and again",
        fix or "nothing has to be done; a local disk is faster, and --ignore leaves trees out",
    )


def _check_environment(environ: Mapping[str, str], detection: Detection) -> Iterator[Finding]:
    for name, values, consequence in _VARIABLES:
        if environ.get(name, "") in values:
            yield Finding(f"{name}={environ[name]}: {consequence}", f"unset {name}")
    if environ.get("DEBUGPY_RUNNING") == "true" and detection.kind is not DebuggerKind.DEBUGPY:
        text = "DEBUGPY_RUNNING=true is left over: `python -m debugpy` from here debugs nothing"
        yield Finding(text, "unset DEBUGPY_RUNNING")
    if environ.get(ADAPTER) and not os.path.exists(environ[ADAPTER]):
        text = f"{ADAPTER} is left over: a run looks for a debug adapter that is not there"
        yield Finding(text, f"unset {ADAPTER}", blocks=True)
    endpoints = environ.get(VSCODE_ENDPOINTS)
    if endpoints and not os.path.isdir(os.path.dirname(endpoints)):
        text = "names a directory that is gone: VS Code will not attach by itself"
        yield Finding(f"{VSCODE_ENDPOINTS} {text}", "open a new terminal in VS Code")


def _check_distribution() -> Iterator[Finding]:
    """Whether the project that has our module's name on PyPI is installed as well."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        found = f"the distribution devlaunch {importlib.metadata.version('devlaunch')}"
        fix = command(sys.executable, "-m", "pip", "uninstall", "devlaunch")
        text = f"{found} is another project's; this one is {DISTRIBUTION}"
        yield Finding(text, f"{fix}, unless you want it")


_VARIABLES = (
    ("PYTHONBREAKPOINT", ("0",), "breakpoint() does nothing in the app"),
    (
        "PYTHONDONTWRITEBYTECODE",
        tuple("123456789"),
        "each reload compiles all modules anew, and is slower",
    ),
    ("PYDEVD_USE_CYTHON", ("NO", "no"), "the debugger runs without its compiled part, and is slow"),
)
"""Variables, the values that matter, and what they do."""


# --- output -------------------------------------------------------------------------------------


def show(report: Report, console: Console) -> None:
    """For people: aligned rows, then each finding with its fix."""
    name, why = worded(report.detection)
    rows = [
        ("debugger", name, ""),
        ("why", why, ""),
        ("plan", report.plan, ""),
        _interpreter_row(report.interpreter, console),
        ("versions", ", ".join(f"{k} {v}" for k, v in report.versions.items()), ""),
        ("system", report.system, ""),
        ("trouble", _count(report), ""),
    ]
    console.banner(__version__, rows)
    for finding in report.findings:
        tell = console.error if finding.blocks else console.warning
        tell(finding.what, finding.fix)


def _interpreter_row(interpreter: Interpreter | None, console: Console) -> tuple[str, str, str]:
    if interpreter is None:
        return ("app", "no Python for the app", "")
    remarks = [interpreter.chosen_by and f"from {interpreter.chosen_by}"]
    if interpreter.debugpy_dir:
        remarks.append("with devlaunch's debugpy")
    path = console.relative(interpreter.executable)
    return ("app", f"{interpreter}, {path}", ", ".join(filter(None, remarks)))


def _count(report: Report) -> str:
    errors = sum(finding.blocks for finding in report.findings)
    warnings = len(report.findings) - errors
    parts = [
        f"{number} {noun}{'s' if number > 1 else ''}"
        for number, noun in ((errors, "error"), (warnings, "warning"))
        if number
    ]
    return ", ".join(parts) or "none"


def to_json(report: Report) -> str:
    """For scripts: the same, without tokens."""
    found, interpreter = report.detection, report.interpreter
    name, why = worded(found)
    content = {
        "ok": report.is_fine,
        "debugger": {
            "kind": found.kind,
            "name": name,
            "why": why,
            "host": found.host,
            "port": found.port,
            "follows_children": found.follows_children,
        },
        "plan": report.plan,
        "interpreter": interpreter and asdict(interpreter),
        "versions": report.versions,
        "system": report.system,
        "findings": [asdict(finding) for finding in report.findings],
    }
    return json.dumps(content, indent=2)
