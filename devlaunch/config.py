"""What the user asked for, complete and checked. Vocabulary ring: standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class TargetKind(StrEnum):
    """The four forms a TARGET can take."""

    APP = "app"
    SCRIPT = "script"
    MODULE = "module"
    COMMAND = "command"


class Isolation(StrEnum):
    """How a child is set apart from the launcher (setsid(2), setpgid(2), or not at all)."""

    SESSION = "session"
    GROUP = "group"
    NONE = "none"


class WhilePaused(StrEnum):
    """What a change does while the debugger holds the app."""

    WAIT = "wait"
    RESTART = "restart"


class StandbyLevel(StrEnum):
    """What the process that waits for the next reload has done by then."""

    FULL = "full"
    """Imported what the app imports of others, and connected the debugger."""
    DEBUGGER = "debugger"
    """Connected the debugger."""
    OFF = "off"
    """There is no such process."""


@dataclass(frozen=True, slots=True)
class Target:
    """What to run. `name` is `module:attr`, a script path, a module name or a command."""

    kind: TargetKind
    name: str
    args: tuple[str, ...] = ()

    def __str__(self) -> str:
        match self.kind:
            case TargetKind.MODULE:
                return " ".join(("-m", self.name, *self.args))
            case _:
                return " ".join((self.name, *self.args))

    @property
    def serves(self) -> bool:
        """Whether devlaunch binds the socket and runs the server for it."""
        return self.kind is TargetKind.APP


@dataclass(frozen=True, slots=True)
class Config:
    """Every option, after flags, environment, pyproject.toml and defaults were merged.

    Durations are seconds. Paths are absolute. `poll` is None for OS events, else the interval.
    """

    target: Target
    factory: bool = False
    debug_attach: bool | None = None
    """None: as the debugger that devlaunch runs under has it."""
    debug_address: tuple[str, int] = ("127.0.0.1", 5678)
    allow_remote_debug: bool = False
    wait_for_client: bool = False
    pycharm_server: tuple[str, int] | None = None
    """Where PyCharm's "Python Debug Server" listens."""
    host: str = "127.0.0.1"
    port: int = 8000
    uds: str | None = None
    fd: int | None = None
    app_dir: str = "."
    env_file: str | None = None
    server: str = "auto"
    """A module of `child.servers`, or auto: chosen by the app's interface."""
    watch: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    reload: bool = True
    poll: float | None = None
    grace: float = 2.0
    while_paused: WhilePaused = WhilePaused.WAIT
    standby: StandbyLevel = StandbyLevel.FULL
    isolate: Isolation = Isolation.SESSION
    python: str | None = None
    verbosity: int = 0
    """-1 quiet, 0 normal, 1 verbose."""
    env: dict[str, str] = field(default_factory=dict)
    """The variables that `env_file` sets."""
