"""Which debugger is at work in a process: a snapshot in, a verdict with its reasons out.

Facts decide, in this order: what pydevd says of itself, what the interpreter was started with, the
trace hooks. Variables of the environment prove nothing alone, since every descendant inherits them;
they only tell the ways apart in which a debugger that is there came.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from devlaunch.config import Config
from devlaunch.core.evidence import Debugpy, Hook, Pydevd, Snapshot
from devlaunch.core.invocation import Invocation, base_name, invocation

JOINS = "joins the editor's session: one child session that lasts over all restarts"
TAKES_ALONG = "starts each child under the same debugger"
_ALONE = "leaves the app alone; --debug-attach lets an editor attach to it"
_ALONE_UNDER_IDE = "leaves the app alone; --debug-attach debugs it all the same"


class DebuggerKind(StrEnum):
    """The debuggers that differ in how they can be brought to a child."""

    NONE = "none"
    DEBUGPY = "debugpy"
    """VS Code, nvim-dap, dape, Vimspector, Zed, PyCharm's debugpy engine: DAP by an adapter."""
    PYCHARM = "pycharm"
    """Classic PyCharm: Run/Debug starts the program under its pydevd, or attached it to a pid."""
    PYCHARM_SERVER = "pycharm-server"
    """PyCharm's "Python Debug Server": the program called `settrace`."""
    PYDEV = "pydev"
    """Eclipse's PyDev, or pydevd by hand."""
    BDB = "bdb"
    """pdb and what else is made with `bdb`: ipdb, pudb; they live in this process's terminal."""
    TRACER = "tracer"
    """A trace function of somebody else."""


class Way(StrEnum):
    """The ways in which children come to be debugged."""

    NONE = "none"
    JOIN = "join"
    """By the debugpy adapter that devlaunch itself is debugged through."""
    LISTEN = "listen"
    """An editor attaches at the debug address."""
    PYCHARM = "pycharm"
    """By the IDE that debugs devlaunch itself: PyCharm's pydevd, or PyDev's."""
    PYCHARM_ELSE_LISTEN = "pycharm-else-listen"
    """That IDE was not told to follow processes: it is asked, and may not answer."""
    SETTRACE = "settrace"
    """Children call PyCharm's "Python Debug Server"."""


class Origin(StrEnum):
    """How the debugger came into the process."""

    NONE = ""
    LAUNCHED = "launched"
    """The debugger started the program."""
    LISTENING = "listening"
    """The program lets a debugger in: `debugpy --listen`, `debugpy.listen()`."""
    CONNECTED = "connected"
    """The program called the debugger: `debugpy --connect`, `settrace`."""
    ATTACHED = "attached"
    """Injected into a process that ran already, by its pid."""
    NO_CONFIG = "no-config"
    """The `debugpy` command of VS Code's terminals."""
    SUBPROCESS = "subprocess"
    """A debugged parent brought it along."""
    HOOKED = "hooked"
    """A trace function was set."""


@dataclass(frozen=True, slots=True)
class Detection:
    """The verdict: which debugger, how it came, and how we know.

    `name` is for people; `why` is the evidence, in words; `action` is what devlaunch does about it
    when no option says otherwise.

    `host` and `port` are where the debugger's own connection goes (debugpy: its adapter; PyCharm:
    the IDE), and `setup` is a copy of pydevd's `SetupHolder.setup`. `follows_children` says whether
    the debugger was asked to debug child processes too. `observers` are coverage tools and
    profilers, which never count as a debugger. Tokens are in no repr.
    """

    kind: DebuggerKind = DebuggerKind.NONE
    origin: Origin = Origin.NONE
    name: str = "none"
    why: tuple[str, ...] = ()
    action: str = ""
    host: str = ""
    port: int = 0
    access_token: str | None = field(default=None, repr=False)
    client_access_token: str | None = field(default=None, repr=False)
    follows_children: bool = False
    has_client: bool | None = None
    """Whether an IDE is attached right now; None: cannot be told."""
    has_adapter: bool = False
    """There is a debugpy adapter at `host` and `port` that can be joined."""
    setup: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    observers: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is a debugger at all."""
        return self.kind is not DebuggerKind.NONE


def detect(snapshot: Snapshot) -> Detection:
    """The debugger that this process runs under, and the observers that are there as well."""
    found = _pydevd(snapshot) or _bdb(snapshot) or _tracer(snapshot) or _nothing(snapshot)
    action = {Way.JOIN: JOINS, Way.PYCHARM: TAKES_ALONG}.get(_way(None, found), found.action)
    return replace(found, action=action, observers=_observers(snapshot))


def way(config: Config, detection: Detection) -> Way:
    """How the children of a run with `config` under `detection` are debugged.

    Without a word about it they are when devlaunch runs under debugpy: who debugs devlaunch means
    the app, and debugpy's subProcess is about the processes that the app starts. PyCharm's setting
    "Attach to subprocess" is the IDE's for all it runs, and is heeded.
    """
    return Way.SETTRACE if config.pycharm_server else _way(config.debug_attach, detection)


def _way(debug_attach: bool | None, detection: Detection) -> Way:
    if debug_attach is False:
        return Way.NONE
    if detection.has_adapter:
        return Way.JOIN
    is_under_ide = detection.kind in (DebuggerKind.PYCHARM, DebuggerKind.PYDEV)
    if is_under_ide and detection.follows_children:
        return Way.PYCHARM
    if not debug_attach:
        return Way.NONE
    return Way.PYCHARM_ELSE_LISTEN if is_under_ide else Way.LISTEN


# --- pydevd: debugpy, PyCharm, PyDev ------------------------------------------------------------


def _pydevd(snapshot: Snapshot) -> Detection | None:
    pydevd = snapshot.pydevd
    if pydevd is None or not pydevd.has_debugger or pydevd.setup is None:
        return None
    if _is_debugpys(pydevd):
        found = _debugpy(snapshot, pydevd.setup, pydevd.is_client_attached)
    elif pydevd.is_pycharms:
        found = _pycharm(snapshot, pydevd.setup)
    else:
        found = _pydev(snapshot, pydevd.setup)
    setup = pydevd.setup
    return replace(
        found,
        host=str(setup.get("client") or ""),
        port=int(setup.get("port") or 0),
        access_token=setup.get("access-token"),
        client_access_token=setup.get("client-access-token"),
        follows_children=_follows_children(setup),
        setup=dict(setup),
    )


def _is_debugpys(pydevd: Pydevd) -> bool:
    return "/debugpy/_vendored/" in pydevd.file.replace("\\", "/")


def _follows_children(setup: Mapping[str, Any]) -> bool:
    return bool(setup.get("multiproc") or setup.get("multiprocess"))


def _debugpy(
    snapshot: Snapshot, setup: Mapping[str, Any], is_client_attached: bool | None
) -> Detection:
    origin, reason = _debugpys_origin(snapshot, setup)
    facts = snapshot.debugpy or Debugpy()
    has_adapter = facts.has_adapter or not facts.has_listened
    why = [reason]
    if not has_adapter:
        why.append("it listens by itself, without an adapter")
    if not is_client_attached:
        why.append("no editor is attached yet")
    if has_adapter and not _follows_children(setup):
        why.append("it was told to leave child processes alone (subProcess is false)")
    return Detection(
        kind=DebuggerKind.DEBUGPY,
        origin=origin,
        name=f"debugpy {facts.version}".rstrip(),
        why=tuple(why),
        action=_ALONE,
        has_client=is_client_attached,
        has_adapter=has_adapter,
    )


def _debugpys_origin(snapshot: Snapshot, setup: Mapping[str, Any]) -> tuple[Origin, str]:
    started = invocation(snapshot.argv)
    by_debugpy = base_name(started.name) == "debugpy"
    listens = snapshot.debugpy is not None and snapshot.debugpy.has_listened
    by_launcher = any(base_name(w) == "launcher" and "debugpy" in w for w in snapshot.parent)
    rules = (
        (
            "attach_pid_injected" in snapshot.modules,
            Origin.ATTACHED,
            "debugpy was injected into this process by its pid",
        ),
        (
            bool(setup.get("ppid")),
            Origin.SUBPROCESS,
            f"debugpy follows it from process {setup.get('ppid')}",
        ),
        (
            listens and bool(snapshot.environ.get("DEBUGPY_ADAPTER_ENDPOINTS")),
            Origin.NO_CONFIG,
            "debugpy tells its address in DEBUGPY_ADAPTER_ENDPOINTS, "
            "as the debugpy command of VS Code's terminals does",
        ),
        (
            listens and by_debugpy,
            Origin.LISTENING,
            f"it was started by debugpy {started.option('--listen')}",
        ),
        (listens, Origin.LISTENING, "the program called debugpy.listen()"),
        (
            # The launcher always names the event loop of Qt, which people hardly ever do.
            by_launcher or (by_debugpy and "--configure-qt" in started.rest),
            Origin.LAUNCHED,
            "it was started by debugpy's launcher, as an editor does",
        ),
        (
            by_debugpy,
            Origin.CONNECTED,
            f"it was started by debugpy {started.option('--connect')}",
        ),
        (True, Origin.CONNECTED, "the program called debugpy.connect()"),
    )
    return next((origin, reason) for applies, origin, reason in rules if applies)


def _pycharm(snapshot: Snapshot, setup: Mapping[str, Any]) -> Detection:
    address = f"{setup.get('client')}:{setup.get('port')}"
    follows = _follows_children(setup)
    if "file" not in setup and "attach_script" not in snapshot.modules:
        why = [f"the program called settrace of pydevd_pycharm for a server at {address}"]
        if not follows:
            why.append("it did not ask for child processes (patch_multiprocessing)")
        return Detection(
            kind=DebuggerKind.PYCHARM_SERVER,
            origin=Origin.CONNECTED,
            name="PyCharm's debug server",
            why=tuple(why),
            action=f"leaves the app alone; --pycharm-server {address} connects it",
            has_client=True,
        )
    is_attached = "file" not in setup
    why = [
        "PyCharm's pydevd was injected into this process by its pid"
        if is_attached
        else f"it was started by PyCharm's pydevd for the IDE at {address}"
    ]
    flag = next((f"--{name}" for name in ("multiproc", "multiprocess") if setup.get(name)), "")
    why.append(
        f"{flag}: it follows child processes"
        if flag
        else "it does not follow child processes (Attach to subprocess is off)"
    )
    return Detection(
        kind=DebuggerKind.PYCHARM,
        origin=Origin.ATTACHED if is_attached else Origin.LAUNCHED,
        name="PyCharm's debugger",
        why=tuple(why),
        action=_ALONE_UNDER_IDE,
        has_client=True,
    )


def _pydev(snapshot: Snapshot, setup: Mapping[str, Any]) -> Detection:
    address = f"{setup.get('client')}:{setup.get('port')}"
    was_started = "file" in setup
    is_attached = not was_started and "attach_script" in snapshot.modules
    follows = _follows_children(setup)
    if was_started:
        reason = f"it was started by pydevd for an IDE at {address}"
    elif is_attached:
        reason = "pydevd was injected into this process by its pid"
    else:
        reason = f"the program called settrace of pydevd for a server at {address}"
    why = [reason, "pydevd is neither debugpy's nor PyCharm's: PyDev's, or one of its own"]
    if not follows:
        why.append("it does not follow child processes (no --multiprocess)")
    return Detection(
        kind=DebuggerKind.PYDEV,
        origin=Origin.LAUNCHED
        if was_started
        else Origin.ATTACHED
        if is_attached
        else Origin.CONNECTED,
        name="PyDev's debugger",
        why=tuple(why),
        action=_ALONE_UNDER_IDE,
        has_client=True,
    )


# --- tracers ------------------------------------------------------------------------------------

_BDB_PROGRAMS = frozenset({"pdb", "ipdb", "pudb", "bdb"})
_BDB_TOOL = "bdbtracer"
"""How CPython 3.14's bdb calls itself in `sys.monitoring`."""

_DEBUGGER_ID = 0
"""`sys.monitoring.DEBUGGER_ID`."""

_OBSERVERS = frozenset({
    "cProfile", "coverage", "coverage.py", "hypothesis", "kernprof", "line_profiler", "memray",
    "monkeytype", "profile", "profiling", "pyinstrument", "scalene", "scrutineer", "slipcover",
    "trace", "viztracer", "yappi",
})  # fmt: skip
"""Packages and `sys.monitoring` names that look on and never stop a program."""


def _bdb(snapshot: Snapshot) -> Detection | None:
    hook = next((h for h in _trace_hooks(snapshot) if "bdb.Bdb" in h.owners), None)
    started = invocation(snapshot.argv)
    program = started.program.rstrip("3")
    is_program = program in _BDB_PROGRAMS and "bdb" in snapshot.modules
    if hook is None and not is_program and snapshot.tools.get(_DEBUGGER_ID) != _BDB_TOOL:
        return None
    name = program if is_program else _package(str(hook), started) if hook else "bdb"
    if name == "bdb" and hook:
        name = hook.owners[0]
    reason = f"it was started by {name}" if is_program else f"{name} traces this thread"
    return Detection(
        kind=DebuggerKind.BDB,
        origin=Origin.LAUNCHED if is_program else Origin.HOOKED,
        name=name,
        why=(reason,),
        action=f"leaves the app alone, since {name} sees this process only; "
        "breakpoint() in the app has the terminal",
    )


def _tracer(snapshot: Snapshot) -> Detection | None:
    started = invocation(snapshot.argv)
    for hook in _trace_hooks(snapshot):
        if not _is_observer(hook, started) and not _is_left_behind(hook):
            return _unknown(str(hook), f"{hook} is set as trace function")
    tool = snapshot.tools.get(_DEBUGGER_ID)
    if tool and tool not in _OBSERVERS and tool != "pydevd":
        return _unknown(tool, f"{tool} has registered itself as debugger in sys.monitoring")
    return None


def _unknown(name: str, reason: str) -> Detection:
    return Detection(
        kind=DebuggerKind.TRACER,
        origin=Origin.HOOKED,
        name=name,
        why=(reason, "devlaunch does not know it"),
        action=_ALONE,
    )


def _nothing(snapshot: Snapshot) -> Detection:
    why = ["no trace function is set, and no debugger is loaded"]
    if snapshot.pydevd is not None:
        why = ["pydevd is loaded, but does not debug this process"]
    elif observers := _observers(snapshot):
        why = [f"{' and '.join(observers)} only observe{'' if observers[1:] else 's'}"]
    if snapshot.environ.get("PYCHARM_HOSTED"):
        why.append("PyCharm started it, without its debugger")
    return Detection(why=tuple(why), action="runs the app; --debug-attach lets an editor attach")


def _observers(snapshot: Snapshot) -> tuple[str, ...]:
    return tuple(sorted(set(_find_observers(snapshot))))


def _find_observers(snapshot: Snapshot) -> Iterator[str]:
    started = invocation(snapshot.argv)
    for hook in _trace_hooks(snapshot):
        if _is_observer(hook, started):
            yield _package(str(hook), started)
    for profile in (snapshot.profile, snapshot.threading_profile):
        if profile is not None and not _is_left_behind(profile):
            yield _package(str(profile), started)
    for number, tool in snapshot.tools.items():
        if number != _DEBUGGER_ID or tool in _OBSERVERS:
            yield tool.removesuffix(".py")


def _trace_hooks(snapshot: Snapshot) -> list[Hook]:
    return [hook for hook in (snapshot.trace, snapshot.threading_trace) if hook is not None]


def _is_observer(hook: Hook, started: Invocation) -> bool:
    return _package(str(hook), started) in _OBSERVERS


def _is_left_behind(hook: Hook) -> bool:
    """pydevd's; whether it debugs is asked of pydevd, which leaves its hooks when it lets go."""
    return hook.module.startswith(("_pydev", "pydev")) or any(
        owner.startswith(("_pydev", "pydev")) for owner in hook.owners
    )


def _package(name: str, started: Invocation) -> str:
    """The top package of a dotted name; for one of `__main__`, what was started."""
    top = name.partition(".")[0]
    return started.program if top == "__main__" and started.name else top
