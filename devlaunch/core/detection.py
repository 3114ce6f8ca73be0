"""Which debugger is at work in a process: a snapshot in, a verdict out.

Two decide anything, debugpy and PyCharm's, and pydevd says most of both by itself. Whatever else
traces is only named. Variables of the environment prove nothing: every descendant inherits them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from devlaunch.config import Config


@dataclass(frozen=True, slots=True)
class Pydevd:
    """What a loaded pydevd knows. `setup` is its `SetupHolder.setup`, None before it is set."""

    file: str = ""
    has_debugger: bool = False
    """A PyDB exists, is connected or listening, and has not been disposed."""
    is_pycharms: bool = False
    """JetBrains' fork."""
    was_injected: bool = False
    """Into this process, by its pid."""
    speaks_dap: bool = False
    """An editor talks to it, not to an adapter: `debugpy.listen` was called, and started none."""
    setup: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known of a process. `tracers` are the names of its trace functions and their kin."""

    pydevd: Pydevd | None = None
    tracers: tuple[str, ...] = ()


class DebuggerKind(StrEnum):
    """The debuggers that differ in how they can be brought to a child."""

    NONE = "none"
    DEBUGPY = "debugpy"
    """VS Code, nvim-dap, dape, Vimspector, Zed, PyCharm's debugpy engine: DAP by an adapter."""
    PYCHARM = "pycharm"
    """Classic PyCharm: Run/Debug starts the program under its pydevd, or attached it to a pid."""
    OTHER = "other"
    """Another tracer: pdb, a pydevd of nobody's, coverage."""


class Way(StrEnum):
    """The ways in which children come to be debugged."""

    NONE = "none"
    JOIN = "join"
    """By the debugpy adapter that devlaunch itself is debugged through."""
    LISTEN = "listen"
    """An editor attaches at the debug address."""
    PYCHARM = "pycharm"
    """By the IDE that debugs devlaunch itself."""
    PYCHARM_ELSE_LISTEN = "pycharm-else-listen"
    """That IDE was not told to follow processes: it is asked, and may not answer."""
    SETTRACE = "settrace"
    """Children call PyCharm's "Python Debug Server"."""


@dataclass(frozen=True, slots=True)
class Detection:
    """The verdict. `tracer` names a debugger that devlaunch does not know.

    `host` and `port` are where the debugger's own connection goes (debugpy: its adapter; PyCharm:
    the IDE), and `setup` is a copy of pydevd's `SetupHolder.setup`. `follows_children` says whether
    the debugger was asked to debug child processes too. Tokens are in no repr.
    """

    kind: DebuggerKind = DebuggerKind.NONE
    tracer: str = ""
    host: str = ""
    port: int = 0
    access_token: str | None = field(default=None, repr=False)
    client_access_token: str | None = field(default=None, repr=False)
    follows_children: bool = False
    has_adapter: bool = False
    """There is a debugpy adapter at `host` and `port` that can be joined."""
    setup: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)

    def __bool__(self) -> bool:
        """Whether there is a debugger at all."""
        return self.kind is not DebuggerKind.NONE


def detect(snapshot: Snapshot) -> Detection:
    """The debugger that this process runs under."""
    pydevd = snapshot.pydevd
    if pydevd is not None and pydevd.has_debugger and pydevd.setup is not None:
        return _pydevd(pydevd, pydevd.setup)
    for tracer in snapshot.tracers:
        # pydevd leaves its hooks when it lets go.
        if not tracer.startswith(("pydev", "_pydev")):
            return Detection(DebuggerKind.OTHER, tracer)
    return Detection()


def _pydevd(pydevd: Pydevd, setup: Mapping[str, Any]) -> Detection:
    kind, tracer = DebuggerKind.OTHER, "pydevd"
    if is_debugpys := "/debugpy/_vendored/" in pydevd.file.replace("\\", "/"):
        kind, tracer = DebuggerKind.DEBUGPY, ""
    elif pydevd.is_pycharms and ("file" in setup or pydevd.was_injected):  # else: by settrace
        kind, tracer = DebuggerKind.PYCHARM, ""
    return Detection(
        kind,
        tracer,
        host=str(setup.get("client") or ""),
        port=int(setup.get("port") or 0),
        access_token=setup.get("access-token"),
        client_access_token=setup.get("client-access-token"),
        follows_children=bool(setup.get("multiproc") or setup.get("multiprocess")),
        has_adapter=is_debugpys and not pydevd.speaks_dap,
        setup=dict(setup),
    )


def way(config: Config, detection: Detection) -> Way:
    """How the children of a run with `config` under `detection` are debugged.

    Without a word about it they are when devlaunch runs under debugpy: who debugs devlaunch means
    the app, and debugpy's subProcess is about the processes that the app starts. PyCharm's setting
    "Attach to subprocess" is the IDE's for all it runs, and is heeded.
    """
    if config.pycharm_server:
        return Way.SETTRACE
    if config.debug_attach is False:
        return Way.NONE
    if detection.has_adapter:
        return Way.JOIN
    is_pycharms = detection.kind is DebuggerKind.PYCHARM
    if is_pycharms and detection.follows_children:
        return Way.PYCHARM
    if not config.debug_attach:
        return Way.NONE
    return Way.PYCHARM_ELSE_LISTEN if is_pycharms else Way.LISTEN
