"""The command line: words in, a Config out, errors as people like to read them.

click parses our options. Where they end is decided before (`split_words`), since click knows
neither `-m MODULE args…` nor that options may follow `module:attr` but not a script.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from devlaunch import __version__
from devlaunch.config import Config
from devlaunch.errors import DevlaunchError, UsageError
from devlaunch.system.spare import shortages
from devlaunch.target.options import (
    ADAPTER,
    DEBUGGING,
    OPTIONS,
    OUTPUT,
    RELOADING,
    RUNNING,
    SERVING,
    TARGET,
    Option,
)
from devlaunch.target.settings import resolve
from devlaunch.target.values import BadValue, nearest, to_poll
from devlaunch.target.words import looks_like_app
from devlaunch.terminal.console import Console
from devlaunch.terminal.stdout import print_text

if TYPE_CHECKING:
    from devlaunch.debuggers.link import Link

TARGETS = (
    ("module:attr", "an ASGI or WSGI app, such as app:app"),
    ("script.py [ARGS]", "a script"),
    ("-m MODULE [ARGS]", "a module, as python -m runs it"),
    ("-- COMMAND [ARGS]", "a command written in Python"),
)
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
DOCTOR_HELP = """\
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
SETTINGS_HELP = """\
Each option is also a variable (DEVLAUNCH_PORT=9000) and a key of [tool.devlaunch] in the nearest
pyproject.toml (port = 9000, watch = ["data"]), and so is target, which a plain devlaunch runs.
Options win over variables over the file. Variables part lists as PATH does."""


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
        config = parse(words)
        if config is None:
            return 0
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


def adapter(words: Sequence[str]) -> int:
    """`devlaunch adapter …`."""
    from devlaunch.adapter.command import main as serve

    return serve(words)


def doctor(words: Sequence[str]) -> int:
    """`devlaunch doctor [--json]`, and what `run` takes; the target may be left out."""
    ours, target = split_words(words)
    if {"-h", "--help"}.intersection(ours):
        print_text(DOCTOR_HELP)
        return 0
    if any(word.startswith("--json=") for word in ours):
        raise UsageError("--json takes no value", hint="devlaunch doctor --help shows how")
    as_json = "--json" in ours
    rest = [word for word in ours if word != "--json"]
    config = parse([*rest, *target], needs_target=False, flags=("--json",))
    if config is None:
        return 0
    from devlaunch.doctor import doctor as examine

    return examine(config, as_json=as_json)


def init(words: Sequence[str]) -> int:
    """`devlaunch init EDITOR`, and what `run` takes; the target may be left out."""
    from devlaunch.init import command

    name, rest = command.split_editor(words)
    ours, target = split_words(rest)
    flags = [word for word in ours if word in command.FLAGS]
    if {"-h", "--help"}.intersection(flags):
        print_text(command.help_text())
        return 0
    others = [word for word in ours if word not in command.FLAGS]
    return command.init(
        name, flags, [*others, *target], lambda given: read(given, flags=command.FLAGS)
    )


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "run": run,
    "doctor": doctor,
    "adapter": adapter,
    "init": init,
}
"""Subcommands by their first word; each takes the words after it and returns the exit status."""


def parse(
    words: Sequence[str], *, needs_target: bool = True, flags: Sequence[str] = ()
) -> Config | None:
    """The Config that these words, the environment and pyproject.toml ask for.

    None where `read` returns it. Raises UsageError.
    """
    given = read(words, flags=flags)
    return None if given is None else resolve(given, needs_target=needs_target)


def read(words: Sequence[str], *, flags: Sequence[str] = ()) -> dict[str, object] | None:
    """What these words say, by key, as text.

    None when help or the version was asked for, and printed. `flags` are a subcommand's own, which
    a misspelt one may mean. Raises UsageError.
    """
    ours, target = split_words(words)
    command = _Command("devlaunch", params=[_parameter(option) for option in OPTIONS])
    try:
        with command.make_context("devlaunch", list(ours)) as context:
            given = _given(context)
    except click.exceptions.Exit:
        return None
    except click.UsageError as error:
        raise _usage_error(error, flags) from None
    if target:
        given[TARGET] = target
    return given


def split_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Our options, and the words of the target with all that belongs to it."""
    ours: list[str] = []
    target: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--" or (word.startswith("-m") and not target):
            return ours, [*target, word, *rest]
        if len(word) > 1 and word.startswith("-"):
            ours.append(word)
            option = _BY_FLAG.get(word)
            if option is not None and rest and _takes_next(option, rest[0]):
                ours[-1:] = [word, rest.pop(0)]
        elif target or looks_like_app(word):
            target.append(word)
        else:
            return ours, [word, *rest]
    return ours, target


_BY_FLAG = {option.flag: option for option in OPTIONS if not option.is_switch}


def _takes_next(option: Option, word: str) -> bool:
    if not option.value_optional:
        return True
    try:
        to_poll(word)
    except BadValue:
        return False
    return True


def _given(context: click.Context) -> dict[str, object]:
    given: dict[str, object] = {}
    for option in OPTIONS:
        if context.get_parameter_source(option.field) is ParameterSource.COMMANDLINE:
            given[option.key] = context.params[option.field]
    return given


def _parameter(option: Option) -> click.Option:
    """One that takes the text only: `settings` converts it, as for the other sources."""
    if option.is_switch:
        names = [f"{option.flag}/--no-{option.key}", *([option.short] if option.short else [])]
        return click.Option([*names, option.field], default=None)
    if option.value_optional:
        return click.Option([option.flag, option.field], is_flag=False, flag_value="on")
    return click.Option([option.flag, option.field], multiple=option.is_list)


def _usage_error(error: click.UsageError, more: Sequence[str]) -> UsageError:
    if isinstance(error, click.NoSuchOption):
        name = error.option_name
        flags = [*more, *(f for option in OPTIONS for f in _flags(option)), "--help", "--version"]
        close = nearest(name, flags)
        return UsageError(
            f"there is no option {name}",
            hint=f"did you mean {close}?" if close else "devlaunch --help lists the options",
        )
    text = error.format_message().rstrip(".")
    return UsageError(text[:1].lower() + text[1:], hint="devlaunch --help shows how")


def _flags(option: Option) -> list[str]:
    return [option.flag, f"--no-{option.key}"] if option.is_switch else [option.flag]


# --- help ---------------------------------------------------------------------------------------


class _Command(click.Command):
    """Our options, with a help text made from the table."""

    def __init__(self, name: str, params: list[click.Parameter] | list[click.Option]) -> None:
        shown = [
            click.Option(names, is_flag=True, is_eager=True, expose_value=False, callback=show)
            for names, show in ((["-h", "--help"], _show_help), (["--version"], _show_version))
        ]
        super().__init__(name, params=[*params, *shown], add_help_option=False)


def help_text() -> str:
    """What `devlaunch --help` prints."""
    formatter = click.HelpFormatter(width=100)
    formatter.write("Usage: devlaunch [OPTIONS] TARGET [ARGS]...\n\n")
    formatter.write("  Run a Python app, restart it when you save, and keep the debugger\n")
    formatter.write("  attached through every restart.\n")
    _write_section(formatter, "Targets", TARGETS)
    _write_section(formatter, "Examples", EXAMPLES)
    _write_section(formatter, "Commands", SUBCOMMANDS)
    for group in (DEBUGGING, SERVING, RELOADING, RUNNING, OUTPUT):
        rows = [row for o in OPTIONS if o.group == group for row in _help_rows(o)]
        if group == OUTPUT:
            rows += [("    --version", "Show the versions."), ("-h, --help", "Show this text.")]
        _write_section(formatter, group, rows)
    formatter.write(f"\nSettings:\n{_indented(SETTINGS_HELP)}\n")
    return formatter.getvalue()


def _help_rows(option: Option) -> list[tuple[str, str]]:
    rows = [(_signature(option), option.help)]
    return [*rows, (f"    --no-{option.key}", option.off_help)] if option.off_help else rows


def _signature(option: Option) -> str:
    if option.key == "reload":
        return "    --no-reload"
    short = f"{option.short}, " if option.short else "    "
    return f"{short}{option.flag} {option.metavar}".rstrip()


def _write_section(
    formatter: click.HelpFormatter, title: str, rows: Sequence[tuple[str, str]]
) -> None:
    width = max(30, *(len(left) for left, _ in rows)) if title == "Examples" else 30
    formatter.write(f"\n{title}:\n")
    for left, right in rows:
        formatter.write(f"  {left.ljust(width)}  {right}".rstrip() + "\n")


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _show_help(ctx: click.Context, _param: click.Parameter, value: Any) -> None:
    if value:
        print_text(help_text())
        ctx.exit()


def _show_version(ctx: click.Context, _param: click.Parameter, value: Any) -> None:
    if value:
        import importlib.metadata
        import platform

        debugpy, python = importlib.metadata.version("debugpy"), platform.python_version()
        print_text(f"devlaunch {__version__} (debugpy {debugpy}, Python {python})\n")
        ctx.exit()
