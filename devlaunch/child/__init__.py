"""What runs inside the user's interpreter. Standard library only, CPython 3.10 and later.

Imports nothing else of devlaunch and only relatively of itself: it is loaded by file location, as
`_devlaunch_child`, and may belong to another installation than the interpreter that runs it. The
launcher imports three of it: `targets` (what a command means), `pasting` (commands for people) and
`servers` (which there are).

Begin with `__main__`, then `bootstrap`, the order of things in a child. `control` hears and tells
the launcher, `modules` says which files run, `tracebacks` why the app failed; `ahead` is the
standby's side, `debugging` the debugger's, `servers` runs an app.

A child is a fresh interpreter in a session of its own (setsid(2)): no signal that is meant for it
reaches the launcher or the debugger above (uvicorn issue 239). The program is not to notice us:
neither our threads (`threads`), nor our frames (`hide`), nor our modules; and it may close any of
our descriptors (`descriptors`), after which getppid(2) tells whether the launcher lives.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import CodeType
from typing import TypeVar

NAME = __name__


def hide(pretended_name: str) -> None:
    """Make the calling module's frames invisible to debuggers.

    pydevd shows, traces and steps into no frame whose file name starts with `<frozen `
    (IGNORE_BASENAMES_STARTING_WITH), whatever the IDE's own filters say. The code object is changed
    in place, as importlib does with relocated bytecode, so that it covers running frames too.
    """
    rename(sys._getframe(1).f_code, f"<frozen {pretended_name}>")


def rename(code: object, filename: str) -> None:
    """Give a code object, and those inside it, another file name."""
    try:
        from _imp import _fix_co_filename  # type: ignore[attr-defined]
    except ImportError:  # an implementation detail of CPython: without it our frames show
        return
    _fix_co_filename(code, filename)


_Function = TypeVar("_Function", bound=Callable[..., object])
_callers: set[CodeType] = set()


def calls_user_code(function: _Function) -> _Function:
    """Mark a function, whose name starts with `_run`, as the one that calls the user's code.

    On sys.monitoring pydevd takes an exception for uncaught when it enters a function run* or _run*
    of runpy (`_get_unhandled_exception_frame`); else none of the app's would ever be one.
    """
    rename(function.__code__, "<frozen runpy>")
    _callers.add(function.__code__)
    return function


def is_outermost(code: CodeType) -> bool:
    """Whether a function is ours: an exception that has come as far ends the program."""
    return code in _callers or code.co_filename.startswith(f"<frozen {__name__}")


def worded(error: BaseException) -> str:
    """An exception as one line."""
    return f"{type(error).__name__}: {error}"


hide(__name__)


def main(fd: int, pipe: int | None = None) -> None:
    """Run what the launcher's `start` message on the socket `fd` asks for.

    `pipe` is what sockets come from, where they cannot be inherited (`descriptors.receive`).
    """
    from . import descriptors

    try:
        descriptors.receive(fd, pipe)
    except (OSError, ValueError):  # or the number is another file's by now
        sys.exit(
            "devlaunch: a program has run the command line of its process again: sys.argv is it"
        )
    rename(sys._getframe(1).f_code, f"<frozen {__name__}>")
    from .bootstrap import run

    run(fd)
