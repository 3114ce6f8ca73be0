"""What an interpreter was told to run, read from its command line."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

from devlaunch.config import Target, TargetKind

# python(1): options with a value, in the same word or the next, and those that say what to run.
_WITH_VALUE, _RUNS = "WX", "cm"
_LONG_WITH_VALUE = "--check-hash-based-pycs"


@dataclass(frozen=True, slots=True)
class Invocation:
    """A module's name, a script's path or `-c`, and the words after it; empty: interactive."""

    name: str = ""
    is_module: bool = False
    rest: tuple[str, ...] = ()


def invocation(argv: Sequence[str]) -> Invocation:
    """What a command line such as `sys.orig_argv` runs."""
    return read_command_line(argv)[1]


def read_command_line(argv: Sequence[str]) -> tuple[list[tuple[str, str | None]], Invocation]:
    """The interpreter's options, each a letter with its value if it takes one, and what it runs.

    A long option with a value (`--check-hash-based-pycs`) has its name in place of the letter.
    """
    options: list[tuple[str, str | None]] = []
    words = list(argv[1:])
    while words:
        word = words.pop(0)
        if word == "--" and words:
            word = words.pop(0)
            return options, Invocation(word, rest=tuple(words))
        if word == "-" or not word.startswith("-"):
            return options, Invocation(word, rest=tuple(words))
        if word == _LONG_WITH_VALUE and words:
            options.append((word, words.pop(0)))
        elif not word.startswith("--"):
            found = _read_letters(word, words, options)
            if found is not None:
                return options, found
    return options, Invocation()


def _read_letters(
    word: str, words: list[str], options: list[tuple[str, str | None]]
) -> Invocation | None:
    """Go through `-Esm name`, and take a value from `words`."""
    for index, letter in enumerate(word[1:], start=2):
        if letter not in _WITH_VALUE + _RUNS:
            options.append((letter, None))
            continue
        value = word[index:] or (words.pop(0) if words else "")
        if letter in _RUNS:
            return Invocation(value if letter == "m" else "-c", letter == "m", tuple(words))
        options.append((letter, value))
        return None
    return None


def base_name(path: str) -> str:
    """The last part of a path of any platform, without `.exe`; of a module without `.__main__`."""
    base = path.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return base.removesuffix(".exe").removesuffix(".__main__")


@dataclass(frozen=True, slots=True)
class Running:
    """A Python process: its command line and the directory that it is in."""

    argv: tuple[str, ...]
    directory: str


def runs_again(target: Target, directory: str, process: Running) -> bool:
    """Whether a process was started by the target's own command line, as reloaders start it.

    Words may have been left out (`--reload`), and the program be given in another form: `flask` as
    `-m flask`, `-m site` as `site/__main__.py`. `directory` is where the target was started. A
    command that is given another program to start is no reloader for that.
    """
    own, other = _of_target(target), _debugged(invocation(process.argv))
    words = iter(own.rest)
    if {own.name, other.name} & {"", "-", "-c"} or not all(word in words for word in other.rest):
        return False
    is_path = target.kind is TargetKind.SCRIPT or target.name != own.name or "/" in own.name
    ours = _place(own, directory if is_path else "")
    theirs = _place(other, process.directory)
    return ours == theirs or ours.endswith(f"/{theirs}") or theirs.endswith(f"/{ours}")


def _of_target(target: Target) -> Invocation:
    match target.kind:
        case TargetKind.APP:
            return Invocation()
        case TargetKind.COMMAND if base_name(target.name).startswith("python"):
            return invocation((target.name, *target.args))
        case _:
            return Invocation(target.name, target.kind is TargetKind.MODULE, target.args)


def _debugged(run: Invocation) -> Invocation:
    """What pydevd runs, which rewrites the command lines of debugged processes."""
    if base_name(run.name) not in ("pydevd", "pydevd.py") or "--file" not in run.rest[:-1]:
        return run
    at = run.rest.index("--file")
    return Invocation(run.rest[at + 1], "--module" in run.rest[:at], run.rest[at + 2 :])


def _place(run: Invocation, directory: str) -> str:
    """`/site/tool` for its file, `__main__.py` in it, and so on; `site/tool` for a module."""
    if run.is_module:
        return run.name.removesuffix(".__main__").replace(".", "/")
    path = posixpath.normpath(posixpath.join(directory, run.name))
    return path.removesuffix(".py").removesuffix("/__main__")
