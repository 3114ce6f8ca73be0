"""The one table of options. `settings` merges their sources, `cli` makes flags and help of it.

Each entry is a flag (`--key`), a variable (`DEVLAUNCH_KEY`) and a key of `[tool.devlaunch]`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from devlaunch.child import servers
from devlaunch.config import Isolation, StandbyLevel, WhilePaused
from devlaunch.target.values import (
    Convert,
    listed,
    locate,
    locate_pattern,
    locate_program,
    to_address,
    to_bool,
    to_choice,
    to_duration,
    to_fd,
    to_list,
    to_pattern,
    to_poll,
    to_port,
    to_text,
)

PREFIX = "DEVLAUNCH_"
ADAPTER = PREFIX + "ADAPTER"
"""Names the file by which a launcher finds the adapter that has started it (`debuggers.link`)."""
INTERNAL_VARIABLES = frozenset((ADAPTER, *(PREFIX + name for name in ("RUN", "REPORTS", "KEEP"))))


def camel(key: str) -> str:
    """`whilePaused` of `while-paused`: as in an editor's launch."""
    head, *tail = key.split("-")
    return head + "".join(word.capitalize() for word in tail)


@dataclass(frozen=True, slots=True)
class Option:
    """One option, whatever source it comes from. `metavar` is empty for a switch.

    `rivals` are keys that make no sense together with this one: in one source both are an error,
    else the higher source wins. `needs` is a switch without which the flag does nothing. `locate`
    makes a path of it absolute. `off_help` is for a switch whose `--no-` form has a use of its own.
    A launch by an editor takes it if `is_attribute`.
    """

    key: str
    convert: Convert
    help: str
    group: str
    metavar: str = ""
    short: str = ""
    locate: Callable[[str, str], str] | None = None
    is_list: bool = False
    value_optional: bool = False
    rivals: tuple[str, ...] = ()
    needs: str = ""
    for_apps: bool = False
    off_help: str = ""
    is_attribute: bool = True

    @property
    def field(self) -> str:
        """The attribute of Config, and click's parameter name."""
        return self.key.replace("-", "_")

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


DEBUGGING, SERVING, RELOADING = "Debugging", "Serving an app", "Reloading"
RUNNING, OUTPUT = "Running", "Output"

Server = StrEnum("Server", [servers.AUTO, *servers.declared()])  # type: ignore[misc]
"""The names of the servers."""

OPTIONS: tuple[Option, ...] = (
    Option(
        "debug-attach", to_bool, "Let a debugger attach, and keep it attached.",
        DEBUGGING, off_help="Leave the app alone, even under an editor's debugger.",
        is_attribute=False,
    ),
    Option(
        "debug-address", to_address, "Where it attaches [127.0.0.1:5678]; port 0: any free one.",
        DEBUGGING, "HOST:PORT", needs="debug-attach",
    ),
    Option(
        "wait-for-client", to_bool, "Run nothing of the app before a debugger has attached.",
        DEBUGGING, needs="debug-attach", is_attribute=False,
    ),
    Option(
        "pycharm-server", to_address, 'Where PyCharm\'s "Python Debug Server" listens.',
        DEBUGGING, "HOST:PORT", rivals=("debug-attach",), is_attribute=False,
    ),
    Option(
        "while-paused", to_choice(WhilePaused), "wait or restart: a save at a breakpoint [wait].",
        DEBUGGING, "WHAT",
    ),
    Option(
        "allow-remote-debug", to_bool, "Allow a debug address that other machines can reach.",
        DEBUGGING, needs="debug-attach",
    ),
    Option(
        "host", to_text, "Address to listen on [127.0.0.1].",
        SERVING, "HOST", rivals=("uds", "fd"), for_apps=True,
    ),
    Option(
        "port", to_port, "Port to listen on [8000]; 0: any free one.",
        SERVING, "PORT", rivals=("uds", "fd"), for_apps=True,
    ),
    Option(
        "uds", to_text, "Listen on a Unix domain socket instead.",
        SERVING, "PATH", locate=locate, rivals=("host", "port", "fd"), for_apps=True,
    ),
    Option(
        "fd", to_fd, "Serve on an inherited listening socket instead.",
        SERVING, "N", rivals=("host", "port", "uds"), for_apps=True, is_attribute=False,
    ),
    Option(
        "server", to_choice(Server), f"{listed(Server)} [{servers.AUTO}].",
        SERVING, "NAME", for_apps=True,
    ),
    Option(
        "factory", to_bool, "The attribute is a function that makes the app.",
        SERVING, for_apps=True,
    ),
    Option(
        "app-dir", to_text, "Directory to import the app from [.].",
        SERVING, "DIR", locate=locate,
    ),
    Option(
        "watch", to_list(to_pattern), "Reload for this too: a path or a glob. Repeatable.",
        RELOADING, "PATH", locate=locate_pattern, is_list=True,
    ),
    Option(
        "ignore", to_list(to_pattern), "Never reload for this: a path or a glob. Repeatable.",
        RELOADING, "PATH", is_list=True,
    ),
    Option("reload", to_bool, "Run once, without watching.", RELOADING),
    Option(
        "poll", to_poll, "Look at the files every so often [0.5] instead of asking the OS.",
        RELOADING, "[SECONDS]", value_optional=True,
    ),
    Option(
        "grace", to_duration, "Time that the app gets to shut down [2]: 2, 0.5, 2s, 500ms.",
        RELOADING, "SECONDS",
    ),
    Option(
        "standby", to_choice(StandbyLevel), "full, debugger or off: what is loaded ahead of a save "
        "[full].",
        RELOADING, "WHAT",
    ),
    Option(
        "python", to_text, "Run the app with this interpreter, 3.10 or later.",
        RUNNING, "PATH", locate=locate_program,
    ),
    Option(
        "env-file", to_text, "Set the variables of a file of KEY=VALUE lines for the app.",
        RUNNING, "PATH", locate=locate,
    ),
    Option(
        "isolate", to_choice(Isolation), "session, group or none: what the app has of its own "
        "[session].",
        RUNNING, "WHAT",
    ),
    Option("verbose", to_bool, "Say more.", OUTPUT, short="-v", rivals=("quiet",)),
    Option("quiet", to_bool, "Only errors and failures.", OUTPUT, short="-q", rivals=("verbose",)),
)  # fmt: skip

BY_KEY = {option.key: option for option in OPTIONS}
TARGET = "target"
KEYS = (*BY_KEY, TARGET)
