"""Which files the app has imported, and which of all files are the user's own."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable
from importlib.machinery import EXTENSION_SUFFIXES
from typing import Any

from . import hide

hide(__name__)

_STDLIB = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_PACKAGES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_SUFFIXES = (".py", ".pyw", *EXTENSION_SUFFIXES)

libraries: list[str] = []
"""Further directories that are not the user's: where the debugger was loaded from."""


def is_users(path: str) -> bool:
    """Whether an absolute file name is neither of the stdlib nor of an installed package."""
    return not path.startswith(("<", _STDLIB, _HERE, *libraries)) and not any(
        part in path for part in _PACKAGES
    )


class Modules:
    """Looks at sys.modules and tells each user's file once. From any thread."""

    def __init__(self, libraries: Iterable[str] = ()) -> None:
        """`libraries` are modules of which it is known that they are not the user's."""
        self._seen = set(sys.modules).union(libraries) - {"__main__"}
        self._count = 0
        self._reported: set[str] = set()
        self._lock = threading.Lock()

    def new_files(self, *more: str) -> list[str]:
        """Absolute paths of the user's source files that were imported since the last call."""
        with self._lock:
            found = [path for path in more if path not in self._reported]
            self._reported.update(found)
            if len(sys.modules) != self._count:
                found += self._look()
            return found

    def _look(self) -> list[str]:
        names = [*sys.modules]  # no modules: the interpreter may end while this thread has them
        self._count = len(names)
        found = []
        for name in {*names} - self._seen:
            self._seen.add(name)
            path = _file_of(sys.modules.get(name))
            if path and path not in self._reported:
                self._reported.add(path)
                found.append(path)
        return found


def _file_of(module: object) -> str | None:
    """The file of a module, without running code of its own: a lazy module stays unloaded."""
    try:
        namespace: dict[str, Any] = object.__getattribute__(module, "__dict__")
    except AttributeError:
        return None
    path = namespace.get("__file__")
    if not isinstance(path, str):
        spec = namespace.get("__spec__")
        path = getattr(spec, "origin", None)
    if not isinstance(path, str) or not path.endswith(_SUFFIXES):
        return None
    path = os.path.abspath(path)
    return path if is_users(path) else None
