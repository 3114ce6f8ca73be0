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
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from devlaunch import DISTRIBUTION, __version__
from devlaunch.child.targets import find_command, names_python
from devlaunch.config import Config, TargetKind
from devlaunch.core.detection import DebuggerKind, Detection, Way, way
from devlaunch.debuggers.snapshot import detect
from devlaunch.debuggers.vscode import VARIABLE as VSCODE_ENDPOINTS
from devlaunch.errors import EX_FAILURE, DevlaunchError
from devlaunch.events import WatchDegraded, WatchReady
from devlaunch.system.listen import bind_debug, format_address, open_app_socket
from devlaunch.target.interpreter import Interpreter, choose_interpreter, own_debugpy_dir
from devlaunch.target.options import ADAPTER
from devlaunch.terminal.console import Console
from devlaunch.terminal.stdout import print_text
from devlaunch.watching.reloading import asked_for
from devlaunch.watching.watcher import Watcher

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


def doctor(config: Config, *, as_json: bool = False) -> int:
    """Examine what `config` would meet here, print it, and return the exit status."""
    report = examine(config, detect())
    if as_json:
        print_text(to_json(report) + "\n")
    else:
        show(report, Console(sys.stdout, config.verbosity))
    return 0 if report.is_fine else EX_FAILURE


def examine(
    config: Config, detection: Detection, environ: Mapping[str, str] | None = None
) -> Report:
    """Everything that can be checked without running the app."""
    environ = os.environ if environ is None else environ
    findings: list[Finding] = []
    interpreter = None
    with _collected(findings):
        interpreter = choose_interpreter(
            config.python,
            config.app_dir,
            debugging=way(config, detection) is not Way.NONE,
        )
    findings += _check_debugging(config, detection, interpreter)
    findings += _check_command(config, interpreter)
    findings += _check_port(config)
    findings += _check_watching(config)
    findings += _check_environment(environ, detection)
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


@contextlib.contextmanager
def _collected(findings: list[Finding], *, blocks: bool = True) -> Iterator[None]:
    """What a run would end with becomes a finding."""
    try:
        yield
    except DevlaunchError as error:
        findings.append(Finding(error.message, error.hint, blocks))


def _check_debugging(
    config: Config, detection: Detection, interpreter: Interpreter | None
) -> list[Finding]:
    findings: list[Finding] = []
    chosen = way(config, detection)
    wanted = chosen is not Way.NONE
    if own_debugpy_dir() is None:
        text = "debugpy is not installed where devlaunch is"
        findings.append(Finding(text, f"{sys.executable} -m pip install debugpy", blocks=wanted))
    if chosen in (Way.LISTEN, Way.PYCHARM_ELSE_LISTEN) or not detection:
        host, port = config.debug_address
        # Where it may not come to that it is only good to know.
        with _collected(findings, blocks=chosen is Way.LISTEN):
            bind_debug(host, port, allow_remote=config.allow_remote_debug).close()
    frozen = (
        [word for word in interpreter.options if "frozen_modules" in word] if interpreter else []
    )
    if wanted and frozen and not frozen[-1].endswith("=off"):
        text = f"-X {frozen[-1]}: breakpoints in modules of the standard library are missed"
        findings.append(Finding(text, "start devlaunch without it"))
    return findings


def _check_command(config: Config, interpreter: Interpreter | None) -> list[Finding]:
    """As the child looks for it; `python` is always there."""
    name = config.target.name
    if config.target.kind is not TargetKind.COMMAND or names_python(name) or interpreter is None:
        return []
    if find_command(name, interpreter.executable):
        return []
    text = f"{name}: no such command beside {interpreter.executable} or on PATH"
    return [Finding(text, "install it there, or give its path", blocks=True)]


def _check_port(config: Config) -> list[Finding]:
    findings: list[Finding] = []
    if config.target.serves and config.target.name:
        with _collected(findings):
            open_app_socket(config).close()
    return findings


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


def _check_environment(environ: Mapping[str, str], detection: Detection) -> list[Finding]:
    findings = [
        Finding(f"{name}={environ[name]}: {consequence}", f"unset {name}")
        for name, values, consequence in _VARIABLES
        if environ.get(name, "") in values
    ]
    if environ.get("DEBUGPY_RUNNING") == "true" and detection.kind is not DebuggerKind.DEBUGPY:
        text = "DEBUGPY_RUNNING=true is left over: `python -m debugpy` from here debugs nothing"
        findings.append(Finding(text, "unset DEBUGPY_RUNNING"))
    if environ.get(ADAPTER) and not os.path.exists(environ[ADAPTER]):
        text = f"{ADAPTER} is left over: a run looks for a debug adapter that is not there"
        findings.append(Finding(text, f"unset {ADAPTER}", blocks=True))
    endpoints = environ.get(VSCODE_ENDPOINTS)
    if endpoints and not os.path.isdir(os.path.dirname(endpoints)):
        text = (
            f"{VSCODE_ENDPOINTS} names a directory that is gone: VS Code will not attach by itself"
        )
        findings.append(Finding(text, "open a new terminal in VS Code"))
    return findings


def _check_distribution() -> list[Finding]:
    """Whether the project that has our module's name on PyPI is installed as well."""
    try:
        version = importlib.metadata.version("devlaunch")
    except importlib.metadata.PackageNotFoundError:
        return []
    text = f"the distribution devlaunch {version} is another project's; this one is {DISTRIBUTION}"
    return [Finding(text, f"{sys.executable} -m pip uninstall devlaunch, unless you want it")]


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
