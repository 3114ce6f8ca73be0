"""What the user asked for, complete and checked. Vocabulary ring: standard library only.

An option is a field of `Config`: its type says what people may write (`target.converters`), its
`Option` how it is used and explained.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar


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


Address = tuple[str, int]
Port = int
"""0: any free one."""
Descriptor = int
Seconds = float
Interval = float
Path = str
"""Absolute."""
Program = str
"""An absolute path, or a bare name to be looked up on PATH."""
Glob = str
"""A path or a glob, absolute."""
Pattern = str
"""As in .gitignore."""
Server = str
"""A module of `child.servers`, or `auto`: chosen by the app's interface."""

PREFIX = "DEVLAUNCH_"
DEBUGGING, SERVING, RELOADING = "Debugging", "Serving an app", "Reloading"
RUNNING, OUTPUT = "Running", "Output"


@dataclass(frozen=True, slots=True)
class Option:
    """How a field of Config is asked for. `metavar` is empty for a switch.

    `rivals` are keys that make no sense together with this one: in one source both are an error,
    else the higher source wins. `needs` is a switch without which the flag does nothing. `off_help`
    is for a switch whose `--no-` form has a use of its own. A launch by an editor takes it if
    `is_attribute`. `{choices}` in the help are the values of the field's type. `field` and `kind`
    are the names of the field and of its type.
    """

    help: str
    group: str
    metavar: str = ""
    short: str = ""
    rivals: tuple[str, ...] = ()
    needs: str = ""
    for_apps: bool = False
    off_help: str = ""
    is_attribute: bool = True
    field: str = ""
    kind: str = ""
    is_list: bool = False

    @property
    def key(self) -> str:
        """As in pyproject.toml."""
        return self.field.replace("_", "-")

    @property
    def flag(self) -> str:
        """As on the command line."""
        return f"--{self.key}"

    @property
    def variable(self) -> str:
        """As in the environment."""
        return PREFIX + self.field.upper()

    @property
    def is_switch(self) -> bool:
        """A flag without a value, with a `--no-` form."""
        return not self.metavar

    @property
    def value_optional(self) -> bool:
        """Its flag alone stands for `on`."""
        return self.metavar.startswith("[")


Value = TypeVar("Value")


def _by(default: Value, option: Option) -> Value:
    """A field of Config that is asked for by this option."""
    made: Value = field(default=default, metadata={"option": option})
    return made


@dataclass(frozen=True, slots=True)
class Config:
    """Every option, after flags, environment, pyproject.toml and defaults were merged."""

    target: Target
    # fmt: off
    debug_attach: bool | None = _by(None, Option(
        "Let a debugger attach, and keep it attached.",
        DEBUGGING, off_help="Leave the app alone, even under an editor's debugger.",
        is_attribute=False,
    ))
    """None: as the debugger that devlaunch runs under has it."""
    debug_address: Address = _by(("127.0.0.1", 5678), Option(
        "Where it attaches [127.0.0.1:5678]; port 0: any free one.",
        DEBUGGING, "HOST:PORT", needs="debug-attach",
    ))
    wait_for_client: bool = _by(False, Option(
        "Run nothing of the app before a debugger has attached.",
        DEBUGGING, needs="debug-attach", is_attribute=False,
    ))
    pycharm_server: Address | None = _by(None, Option(
        'Where PyCharm\'s "Python Debug Server" listens.',
        DEBUGGING, "HOST:PORT", rivals=("debug-attach",), is_attribute=False,
    ))
    while_paused: WhilePaused = _by(WhilePaused.WAIT, Option(
        "{choices}: a save at a breakpoint [wait].", DEBUGGING, "WHAT",
    ))
    allow_remote_debug: bool = _by(False, Option(
        "Allow a debug address that other machines can reach.", DEBUGGING, needs="debug-attach",
    ))
    host: str = _by("127.0.0.1", Option(
        "Address to listen on [127.0.0.1].", SERVING, "HOST", rivals=("uds", "fd"), for_apps=True,
    ))
    port: Port = _by(8000, Option(
        "Port to listen on [8000]; 0: any free one.",
        SERVING, "PORT", rivals=("uds", "fd"), for_apps=True,
    ))
    uds: Path | None = _by(None, Option(
        "Listen on a Unix domain socket instead.",
        SERVING, "PATH", rivals=("host", "port", "fd"), for_apps=True,
    ))
    fd: Descriptor | None = _by(None, Option(
        "Serve on an inherited listening socket instead.",
        SERVING, "N", rivals=("host", "port", "uds"), for_apps=True, is_attribute=False,
    ))
    server: Server = _by("auto", Option(
        "{choices} [auto].", SERVING, "NAME", for_apps=True,
    ))
    factory: bool = _by(False, Option(
        "The attribute is a function that makes the app.", SERVING, for_apps=True,
    ))
    app_dir: Path = _by(".", Option("Directory to import the app from [.].", SERVING, "DIR"))
    watch: tuple[Glob, ...] = _by((), Option(
        "Reload for this too: a path or a glob. Repeatable.", RELOADING, "PATH",
    ))
    ignore: tuple[Pattern, ...] = _by((), Option(
        "Never reload for this: a path or a glob. Repeatable.", RELOADING, "PATH",
    ))
    reload: bool = _by(True, Option("Run once, without watching.", RELOADING))
    poll: Interval | None = _by(None, Option(
        "Look at the files every so often [0.5] instead of asking the OS.",
        RELOADING, "[SECONDS]",
    ))
    """None for OS events."""
    grace: Seconds = _by(2.0, Option(
        "Time that the app gets to shut down [2]: 2, 0.5, 2s, 500ms.", RELOADING, "SECONDS",
    ))
    standby: StandbyLevel = _by(StandbyLevel.FULL, Option(
        "{choices}: what is loaded ahead of a save [full].", RELOADING, "WHAT",
    ))
    python: Program | None = _by(None, Option(
        "Run the app with this interpreter, 3.10 or later.", RUNNING, "PATH",
    ))
    env_file: Path | None = _by(None, Option(
        "Set the variables of a file of KEY=VALUE lines for the app.", RUNNING, "PATH",
    ))
    isolate: Isolation = _by(Isolation.SESSION, Option(
        "{choices}: what the app has of its own [session].", RUNNING, "WHAT",
    ))
    verbose: bool = _by(False, Option("Say more.", OUTPUT, short="-v", rivals=("quiet",)))
    quiet: bool = _by(False, Option(
        "Only errors and failures.", OUTPUT, short="-q", rivals=("verbose",),
    ))
    # fmt: on
    env: dict[str, str] = field(default_factory=dict)
    """The variables that `env_file` sets."""

    @property
    def verbosity(self) -> int:
        """-1 quiet, 0 normal, 1 verbose."""
        return self.verbose - self.quiet
