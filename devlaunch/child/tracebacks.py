"""Failures: the user's traceback on stderr, once, and what the launcher is told about it."""

from __future__ import annotations

import contextlib
import importlib
import os
import runpy
import sys
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from . import hide, is_outermost
from .modules import is_users

hide(__name__)

# importlib as a package has its frames under its own name, the frozen part under <frozen …>.
_MACHINERY = ("<frozen ", os.path.dirname(importlib.__file__) + os.sep, str(runpy.__file__))

_printed: dict[int, BaseException] = {}
_refusals: dict[int, BaseException] = {}
"""Exceptions by which an app has told its server that it does not start."""


class Usage(Exception):
    """The command line is at fault: the launcher words it, and no traceback is printed."""

    def __init__(self, summary: str, hint: str = "", **more: object) -> None:
        super().__init__(summary)
        self.fields = {"summary": summary, "hint": hint, "is_usage": True, **more}


def trimmed(tb: TracebackType | None) -> TracebackType | None:
    """The traceback from the user's first frame on: without what brought us there."""
    return next((each for name, each in _walk(tb) if not name.startswith(_MACHINERY)), None)


def _walk(tb: TracebackType | None) -> Iterator[tuple[str, TracebackType]]:
    """The file of each frame, and the traceback from there on."""
    while tb is not None:
        yield tb.tb_frame.f_code.co_filename, tb
        tb = tb.tb_next


def describe(error: BaseException) -> dict[str, Any]:
    """The fields of the `failed` message for an exception of the user's code.

    `files` is for a `modules` message: a module that fails is in `sys.modules` no more.
    """
    file, line = _place(error)
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    return {
        "summary": _summary(error),
        "file": file,
        "line": line,
        "missing_module": missing,
        "search_path": search_path(missing) if missing else [],
        "is_usage": False,
        "files": _files(error),
    }


def search_path(module: str) -> list[str]:
    """The directories in which a module is looked for: its package's, else sys.path."""
    parent = sys.modules.get(module.rpartition(".")[0])
    path = list(getattr(parent, "__path__", sys.path)) if parent is not None else sys.path
    return [os.path.abspath(entry) for entry in path if isinstance(entry, str)]


def print_once(error: BaseException) -> None:
    """Print an exception that came to the user's code through a server.

    By the user's own excepthook if they have one, and from their first frame on.
    """
    whole = error.__traceback__
    error.__traceback__ = next((tb for name, tb in _walk(whole) if is_users(name)), trimmed(whole))
    _refusals[id(error)] = error
    with contextlib.suppress(SystemExit):  # by which PyCharm's ends
        sys.excepthook(type(error), error, error.__traceback__)


def ends_program(error: BaseException, tb: TracebackType) -> bool:
    """Whether an exception at which the debugger stops as an uncaught one ends the program.

    One that leaves a thread does not, nor, on sys.monitoring, one that the program catches further
    out than at `runpy`. There pydevd stops in the frame that was called by ours.
    """
    frame = tb.tb_frame
    has_come_to_us = is_outermost(frame.f_code) or (
        frame.f_back is not None and is_outermost(frame.f_back.f_code)
    )
    return has_come_to_us or id(error) in _refusals


def report_early(
    error: BaseException, tb: TracebackType, report: Callable[[dict[str, Any]], None]
) -> None:
    """Print and report an exception that is about to leave the main thread.

    It is not printed once more when it does. `tb` is how far it has come: up to CPython 3.11 the
    exception knows only when it is caught.
    """
    show, whole = sys.excepthook, error.__traceback__

    def excepthook(kind: Any, value: BaseException, tb: Any) -> None:
        if not was_printed(value):
            show(kind, value, tb)

    try:
        error.__traceback__ = tb
        fields = describe(error)
        error.__traceback__ = trimmed(tb)
        if not isinstance(error, SystemExit):  # as Python has it
            show(type(error), error, error.__traceback__)
            _printed[id(error)] = error
            sys.excepthook = excepthook
    finally:
        error.__traceback__ = whole
    report(fields)


def was_printed(error: BaseException) -> bool:
    """Whether `report_early` has printed it."""
    return id(error) in _printed


def report_uncaught(error: BaseException, report: Callable[[dict[str, Any]], None]) -> None:
    """Arrange that `error`, which is on its way out of the main thread, is printed and reported.

    It stays uncaught until then, as debuggers and the exit status of Python want it. The user's
    own excepthook is the one that prints.
    """
    previous = sys.excepthook
    fields = describe(error)

    def excepthook(kind: Any, value: BaseException, tb: Any) -> None:
        sys.excepthook = previous
        value.__traceback__ = trimmed(tb)
        if not (isinstance(value, KeyboardInterrupt) and previous is sys.__excepthook__):
            previous(kind, value, value.__traceback__)
        if not isinstance(value, KeyboardInterrupt):
            report(fields)

    sys.excepthook = excepthook


def _summary(error: BaseException) -> str:
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ not in ("builtins", "__main__"):
        name = f"{kind.__module__}.{name}"
    try:
        text = error.msg if isinstance(error, SyntaxError) else str(error)
    except Exception:
        text = ""
    first = text.strip().split("\n", 1)[0]
    return f"{name}: {first}" if first else name


def _files(error: BaseException) -> list[str]:
    """The user's files that an exception came through, and those that it came from."""
    found: dict[str, None] = {}
    errors: list[BaseException | None] = [error]
    seen: set[int] = set()
    while errors:
        each = errors.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        errors += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]
        names = [each.filename] if isinstance(each, SyntaxError) and each.filename else []
        names += [name for name, _ in _walk(each.__traceback__)]
        found.update(dict.fromkeys(os.path.abspath(name) for name in names if is_users(name)))
    return [path for path in found if os.path.isfile(path)]


def _place(error: BaseException) -> tuple[str | None, int | None]:
    """Where the user has to look: the last frame in a file of theirs."""
    if isinstance(error, SyntaxError) and error.filename and is_users(error.filename):
        return error.filename, error.lineno
    place: tuple[str | None, int | None] = None, None
    for filename, tb in _walk(error.__traceback__):
        if is_users(filename):
            place = os.path.abspath(filename), tb.tb_lineno
        elif filename.startswith("<frozen ") and tb.tb_frame.f_code.co_name == "source_to_code":
            # CPython names no file when the text has NUL in it, as UTF-16 has.
            compiled = str(tb.tb_frame.f_locals["path"])
            place = (compiled, None) if is_users(compiled) else place
    return place
