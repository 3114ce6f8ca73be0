"""The command line: `devlaunch`, its help, and the words that lead to other commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from devlaunch import __version__
from devlaunch.config import OUTPUT, Option
from devlaunch.errors import DevlaunchError
from devlaunch.system.spare import shortages
from devlaunch.target.commandline import read
from devlaunch.target.options import ADAPTER, OPTIONS, help_of
from devlaunch.target.settings import resolve
from devlaunch.target.words import TARGETS
from devlaunch.terminal.console import Console
from devlaunch.terminal.stdout import print_text

if TYPE_CHECKING:
    from devlaunch.debuggers.link import Link

EXAMPLES = (
    ("devlaunch app:app", "http://127.0.0.1:8000, new at each save"),
    ("devlaunch --debug-attach app:app", "and a debugger that stays attached"),
    ("devlaunch app:create_app --factory --port 9000", "options may follow an app"),
    ("devlaunch worker.py --queue mail", "here --queue is the script's"),
    ("devlaunch -- celery -A proj worker", ""),
)
SUBCOMMANDS = (
    ("devlaunch run", "the same as devlaunch alone"),
    ("devlaunch doctor", "which debugger is here, and what stands in the way"),
    ("devlaunch adapter", "a debug adapter for an editor to start: see its --help"),
    ("devlaunch init EDITOR", "an editor's configuration for this project: see its --help"),
)
SETTINGS_HELP = """\
  Each option is also a variable (DEVLAUNCH_PORT=9000) and a key of [tool.devlaunch] in the nearest
  pyproject.toml (port = 9000, watch = ["data"]), and so is target, which a plain devlaunch runs.
  Options win over variables over the file. Variables part lists as PATH does.
"""


def main(argv: list[str] | None = None) -> int:
    """Run devlaunch with these words (default: sys.argv) and return the exit status."""
    words = sys.argv[1:] if argv is None else argv
    name, words = (words[0], words[1:]) if words and words[0] in COMMANDS else ("run", words)
    try:
        with shortages():
            return COMMANDS[name](words)
    except DevlaunchError as error:
        Console().error(error.message, error.hint)
        return error.exit_status
    except KeyboardInterrupt:
        return 130


def run(words: Sequence[str]) -> int:
    """`devlaunch run …`, also without the word."""
    # Before anything can fail, so that the editor hears of it.
    link = _find_adapter()
    try:
        line = read(words, (("--version",),))
        if line.flags:
            print_text(help_text() if "help" in line.flags else version_text())
            return 0
        config = resolve(line.given)
        from devlaunch.run.first_child import spawn_first

        with spawn_first(config) as first:
            from devlaunch.run.launcher import launch

            return launch(first, link)
    except DevlaunchError as error:
        if link:
            link.fail(error)
        raise
    finally:
        if link:
            link.close()


def _find_adapter() -> Link | None:
    """The link to the adapter that has started this; loaded only when there is one."""
    if ADAPTER not in os.environ:
        return None
    from devlaunch.debuggers.link import find_adapter

    return find_adapter()


def _adapter(words: Sequence[str]) -> int:
    from devlaunch.adapter.command import main as serve

    return serve(words)


def _doctor(words: Sequence[str]) -> int:
    from devlaunch.doctor import main as examine

    return examine(words)


def _init(words: Sequence[str]) -> int:
    from devlaunch.init.command import main as set_up

    return set_up(words)


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "run": run,
    "doctor": _doctor,
    "adapter": _adapter,
    "init": _init,
}
"""Subcommands by their first word; each takes the words after it and returns the exit status."""


# --- help ---------------------------------------------------------------------------------------


def help_text() -> str:
    """What `devlaunch --help` prints."""
    parts = [
        "Usage: devlaunch [OPTIONS] TARGET [ARGS]...\n\n",
        "  Run a Python app, restart it when you save, and keep the debugger\n",
        "  attached through every restart.\n",
        _section("Targets", TARGETS),
        _section("Examples", EXAMPLES),
        _section("Commands", SUBCOMMANDS),
    ]
    for group in dict.fromkeys(option.group for option in OPTIONS):
        rows = [row for o in OPTIONS if o.group == group for row in _help_rows(o)]
        if group == OUTPUT:
            rows += [("    --version", "Show the versions."), ("-h, --help", "Show this text.")]
        parts.append(_section(group, rows))
    return "".join([*parts, f"\nSettings:\n{SETTINGS_HELP}"])


def version_text() -> str:
    """What `devlaunch --version` prints."""
    import importlib.metadata
    import platform

    debugpy, python = importlib.metadata.version("debugpy"), platform.python_version()
    return f"devlaunch {__version__} (debugpy {debugpy}, Python {python})\n"


def _help_rows(option: Option) -> list[tuple[str, str]]:
    rows = [(_signature(option), help_of(option))]
    return [*rows, (f"    --no-{option.key}", option.off_help)] if option.off_help else rows


def _signature(option: Option) -> str:
    if option.key == "reload":
        return "    --no-reload"
    short = f"{option.short}, " if option.short else "    "
    return f"{short}{option.flag} {option.metavar}".rstrip()


def _section(title: str, rows: Sequence[tuple[str, str]]) -> str:
    width = max(30, *(len(left) for left, _ in rows))
    lines = (f"  {left.ljust(width)}  {right}".rstrip() for left, right in rows)
    return "\n".join(["", f"{title}:", *lines, ""])
