"""`devlaunch init`: its words, what it finds and proposes, the question, and the files."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from devlaunch import __version__
from devlaunch.child.pasting import command
from devlaunch.config import Config
from devlaunch.errors import EX_FAILURE, DevlaunchError, UsageError
from devlaunch.init import files, templates
from devlaunch.init.candidates import Candidate, find_candidates
from devlaunch.init.editors import EDITORS, File
from devlaunch.init.files import Change
from devlaunch.init.templates import Launch
from devlaunch.system.spare import working_directory
from devlaunch.target.commandline import read
from devlaunch.target.converters import listed, nearest, to_words
from devlaunch.target.options import TARGET
from devlaunch.target.settings import read_pyproject, resolve
from devlaunch.terminal.console import Console, wants_color
from devlaunch.terminal.stdout import print_text

NAME = "devlaunch init"
FLAGS = (("--print",), ("-y", "--yes"))
HELP = """\
Usage: devlaunch init EDITOR [--print | --yes] [OPTIONS] [TARGET] [ARGS]...

  Write an editor's configuration for this project: shown as a diff, and written when you agree.
  VS Code's is merged into the files that are there; any other file that is there is yours to edit,
  and what goes into it is printed. With the options and the target that you would give devlaunch;
  without a target, that of pyproject.toml, else the app that is found in the source.

Editors:
{editors}

Options:
  --print     Print what the files are to contain, and write nothing.
  -y, --yes   Write without asking.
  -h, --help  Show this text.

  The exit status is 0 when the files are as they should be, 1 when one was left as it is, because
  it is there and yours to edit, the answer was no, or it could not be read or written, and 2 for a
  mistake on the command line.
"""
Row = tuple[str, str, str]
_MOST_OTHERS = 5
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_COLORS = {"-": "31", "+": "32", "@": "36"}


def help_text() -> str:
    """What `devlaunch init --help` prints."""
    width = max(map(len, EDITORS))
    titles = max(len(editor.title) for editor in EDITORS.values())
    rows = (
        f"  {name.ljust(width)}  {editor.title.ljust(titles)}  "
        + ", ".join(file.path for file in editor.files)
        for name, editor in EDITORS.items()
    )
    return HELP.format(editors="\n".join(rows))


def main(words: Sequence[str]) -> int:
    """Run `devlaunch init` with these words, and return the exit status. Raises DevlaunchError."""
    name, rest = split_editor(words)
    line = read(rest, FLAGS, NAME)
    if "help" in line.flags:
        print_text(help_text())
        return 0
    if {"print", "yes"} <= line.flags:
        raise UsageError("--print and --yes exclude each other", hint="give only one of them")
    _prepare_stdout(as_it_is="print" in line.flags)
    config = resolve(line.given, needs_target=False)
    root = working_directory()
    found: list[Candidate] = []
    if TARGET not in line.given:
        more, found = _choose(config, root, name)
        line = read([*rest, *more], FLAGS, NAME)
        config = resolve(line.given)
    editor, launch = EDITORS[name], _launch(line.given, config)
    editor = editor.prepare(editor, root, config)
    changes = [_change(file, launch, root) for file in editor.files]
    if "print" in line.flags:
        _print_files(changes)
        return 0
    rows = [*_target_rows(launch, found), *editor.rows]
    return _propose(changes, rows, ("next", editor.next, ""), agrees="yes" in line.flags)


def split_editor(words: Sequence[str]) -> tuple[str, list[str]]:
    """The editor and the other words; options may stand before it. Raises UsageError."""
    given, flags = read(words, FLAGS, NAME)
    if "help" in flags:
        return "", list(words)
    valid = f"devlaunch init EDITOR, with {listed(EDITORS)}"
    name, *rest = given.get(TARGET, [""])
    if not name or name.startswith("-"):
        raise UsageError("no editor: whose files shall be written?", hint=valid)
    if name not in EDITORS:
        close = nearest(name, EDITORS)
        raise UsageError(
            f"there is no editor {name!r}", hint=f"did you mean {close}?" if close else valid
        )
    return name, [*words[: -len(rest) - 1], *rest]


def _choose(config: Config, root: str, name: str) -> tuple[Sequence[str], list[Candidate]]:
    """The target of the pyproject.toml here, else the likeliest app, with what it needs."""
    file = read_pyproject(root)
    if TARGET in file and os.path.samefile(file[TARGET].base, root):
        return to_words(file[TARGET].value), []
    found = find_candidates(root, config.app_dir)
    if not found:
        raise UsageError(
            "no app was found here: nothing like app = FastAPI()",
            hint=f"say what to run, as you would to devlaunch: devlaunch init {name} main:app",
        )
    return found[0].words, found


def _launch(given: Mapping[str, Any], config: Config) -> Launch:
    host, port = config.debug_address
    return Launch(
        templates.to_command_line(given),
        templates.to_attributes(given, config.target),
        "127.0.0.1" if host in ("0.0.0.0", "::") else host,
        port or templates.DEFAULT_PORT,
    )


def _change(file: File, launch: Launch, root: str) -> Change:
    path = os.path.join(root, file.path)
    text = templates.render(templates.load(file.template), file.template, launch, file.holes)
    before = files.read(path, file.path)
    if before is None or not before.strip("\ufeff \t\r\n"):
        return Change(path, file.path, before, text)
    if file.merge is None:
        if before.splitlines() == text.splitlines():
            return Change(path, file.path, before, before)
        return Change(path, file.path, before, text, file.where)
    try:
        return Change(path, file.path, before, file.merge(before, text))
    except json.JSONDecodeError as error:
        text = f"{error.msg[:1].lower()}{error.msg[1:]}"
        raise DevlaunchError(
            f"{file.path}:{error.lineno}:{error.colno}: {text}",
            hint="nothing was written; mend the file first",
        ) from None


# --- output -------------------------------------------------------------------------------------


def _prepare_stdout(*, as_it_is: bool) -> None:
    """Printed as it is a file is UTF-8 with its own line ends; shown, it is what can be shown."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        if as_it_is:
            sys.stdout.reconfigure(encoding="utf-8", newline="")
        else:
            sys.stdout.reconfigure(errors="backslashreplace")


def _print_files(changes: Sequence[Change]) -> None:
    """The contents; of several each under its name, as head(1) does it."""
    if len(changes) == 1:
        print_text(changes[0].after)
        return
    print_text("\n".join(f"==> {change.name} <==\n{change.after}" for change in changes))


def _propose(changes: Sequence[Change], rows: Sequence[Row], after: Row, *, agrees: bool) -> int:
    console = Console(sys.stdout)
    wanted = [change for change in changes if change.kind in ("new", "change")]
    theirs = [change for change in changes if change.kind == "there"]
    color = wants_color(sys.stdout, os.environ)
    for change in wanted:
        print_text("".join(f"{line}\n" for line in _colored(change.diff(), color=color)))
    for change in theirs:
        print_text(f"==> for {change.name} <==\n{change.after}")
    rows = [*rows, *((change.kind, change.name, change.where) for change in changes)]
    status = EX_FAILURE if theirs else 0
    if not wanted:
        console.banner(__version__, [*rows, after])
        return status
    console.banner(__version__, rows)
    if not agrees and not _agreed(wanted):
        print_text("  nothing was written\n")
        return EX_FAILURE
    for change in wanted:
        files.write(change)
    console.rows([("written", ", ".join(c.name for c in wanted), ""), after])
    return status


def _target_rows(launch: Launch, found: Sequence[Candidate]) -> list[Row]:
    target = command(*launch.words)
    rows = [("target", target, "")]
    if found:
        first, *others = found
        rows = [("target", target, f"{first.framework}, {first.place}")]
        if others:
            names = [command(*other.words) for other in others[:_MOST_OTHERS]]
            more = f" and {len(others) - _MOST_OTHERS} more" if len(others) > _MOST_OTHERS else ""
            rows.append(("others", ", ".join(names) + more, "name one to choose it"))
    return rows


def _colored(lines: Iterable[str], *, color: bool) -> Iterable[str]:
    """A diff's lines, for a terminal: what could steer it is made visible."""
    for line in lines:
        text = _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), line)
        code = "1" if text.startswith(("---", "+++")) else _COLORS.get(text[:1])
        yield f"\x1b[{code}m{text}\x1b[0m" if color and code else text


def _agreed(wanted: Sequence[Change]) -> bool:
    """Ask; when nothing that is there changes, yes is the answer to a mere Enter."""
    only_new = all(change.kind == "new" for change in wanted)
    if sys.stdin is None or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            "there is no terminal to ask whether to write",
            hint="--yes writes without asking, --print prints the files instead",
        )
    what = wanted[0].name if len(wanted) == 1 else f"these {len(wanted)} files"
    print_text(f"  Write {what}? {'[Y/n]' if only_new else '[y/N]'} ")
    answer = sys.stdin.readline()
    # Ctrl-D leaves the cursor on the line.
    print_text("\n" if answer.endswith("\n") else "\n\n")
    if not answer.endswith("\n"):
        return False
    return answer.strip().lower() in (("y", "yes", "") if only_new else ("y", "yes"))
