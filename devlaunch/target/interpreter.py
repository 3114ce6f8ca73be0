"""Which Python runs the app, and what it is started with.

devlaunch may be installed apart from the project (pipx, uvx), and its child package runs on any
CPython from 3.10 on. A foreign interpreter is asked once, by a subprocess, what it is.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from devlaunch.child.pasting import command
from devlaunch.core.invocation import read_command_line
from devlaunch.errors import UsageError
from devlaunch.system.hiding import plain_processes
from devlaunch.system.spare import reason_of, working_directory
from devlaunch.target.converters import nearest

OLDEST = (3, 10)
OLDEST_DEBUGPY = (1, 8, 14)
"""As in our own dependencies: an older one of the project's is passed over for ours."""

PROBE_TIMEOUT = 20.0
"""Seconds that an interpreter may take to say what it is."""

_MARK = "devlaunch-probe:"
# One call, so that a shell, given this by mistake, refuses it before it has run anything; and
# words that Python 2 knows, so that it can still say how old it is.
_PROBE = f'''exec("""
import sys
sys.path = [entry for entry in sys.path if entry]  # no user code from where we happen to be
import json
debugpy = debugpy_version = None
if sys.version_info >= (3, 10):
    import importlib.metadata, importlib.util, os
    try:
        spec = importlib.util.find_spec("debugpy")
        if spec is not None and spec.origin:
            debugpy = os.path.dirname(spec.origin)
            debugpy_version = importlib.metadata.version("debugpy")
    except Exception:
        pass
sys.stdout.write(chr(10) + "{_MARK}" + json.dumps([
    list(sys.version_info[:3]), sys.executable, sys.prefix, debugpy, debugpy_version
]) + chr(10))
""")'''


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python that can run the child.

    `executable` is absolute and unresolved (a virtual environment's link stays one). `options` go
    between it and the script. `debugpy_dir` is the directory of the debugpy package to load by its
    location; None when the interpreter's own `import debugpy` will do. `is_foreign` says that it is
    not the launcher's. `chosen_by` is `--python`, `VIRTUAL_ENV`, `.venv`, or empty.
    """

    executable: str
    version: tuple[int, int, int]
    options: tuple[str, ...] = ()
    debugpy_dir: str | None = None
    is_foreign: bool = False
    chosen_by: str = ""

    @property
    def command(self) -> tuple[str, ...]:
        """What the child's command line begins with."""
        return (self.executable, *self.options)

    def __str__(self) -> str:
        return f"Python {'.'.join(map(str, self.version))}"


class Probe(NamedTuple):
    """What an interpreter said about itself."""

    version: tuple[int, int, int]
    executable: str
    prefix: str
    debugpy: str | None
    debugpy_version: str | None


def choose_interpreter(
    python: str | None,
    app_dir: str,
    *,
    debugging: bool = False,
    environ: Mapping[str, str] | None = None,
    orig_argv: Sequence[str] | None = None,
) -> Interpreter:
    """The interpreter for the child: `python`, else the project's, else the launcher's own.

    The project's is that of VIRTUAL_ENV or `.venv` (in `app_dir`, then in the current directory),
    asked for only when the launcher runs in none that is active. Raises UsageError when it is no
    Python, or older than 3.10.
    """
    environ = os.environ if environ is None else environ
    orig_argv = sys.orig_argv if orig_argv is None else orig_argv
    if python is not None:
        executable, chosen_by = find_program(python, environ), "--python"
    else:
        executable, chosen_by = _project_python(app_dir, environ)
    own = sys.version_info[:3]
    if not executable or os.path.abspath(executable) == sys.executable:
        options = interpreter_options(orig_argv, own, debugging=debugging)
        return Interpreter(sys.executable, own, options, chosen_by=chosen_by)
    probe = probe_interpreter(executable, chosen_by)
    is_foreign = not _same_directory(probe.prefix, sys.prefix)
    # `py` starts it as another process, and sockets are handed to one by its id.
    is_started = os.name == "nt" and probe.executable
    return Interpreter(
        executable=probe.executable if is_started else executable,
        version=probe.version,
        options=interpreter_options(
            orig_argv, probe.version, debugging=debugging, is_foreign=is_foreign
        ),
        debugpy_dir=None if _has_debugpy(probe) else own_debugpy_dir(),
        is_foreign=is_foreign,
        chosen_by=chosen_by,
    )


def find_program(python: str, environ: Mapping[str, str]) -> str:
    """The absolute path of `--python`'s value, a path or a name on PATH. Raises UsageError."""
    if not os.path.dirname(python):
        import shutil

        found = shutil.which(python, path=environ.get("PATH"))
        if found is None:
            close = nearest(python, ("python3", "python"))
            raise UsageError(
                f"--python {python}: no such program on PATH",
                hint=f"did you mean {close}?" if close else "give its path",
            )
        return os.path.abspath(found)
    path = os.path.abspath(os.path.expanduser(python))
    if os.path.isdir(path):
        inside = _python_in(path)
        hint = f"did you mean {command(inside)}?" if inside else "give the path of the program"
        raise UsageError(f"--python {python}: is a directory", hint=hint)
    return path


def _project_python(app_dir: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """The project's interpreter and where it was found; empty when the launcher's own will do.

    A launcher's environment that lies in a directory of the project was meant, whatever else is
    active (conda's base is, in every shell); only one that lies nearer to the app wins over it.
    """
    names = [name for name in ("VIRTUAL_ENV", "CONDA_PREFIX") if environ.get(name)]
    if any(_same_directory(environ[name], sys.prefix) for name in names):
        return "", ""
    found = [(environ[name], name) for name in names]
    found += [(os.path.join(place, ".venv"), ".venv") for place in (app_dir, working_directory())]
    home = os.path.realpath(environ.get("HOME") or os.path.expanduser("~"))
    own = _nearness(sys.prefix, app_dir, home) if sys.prefix != sys.base_prefix else 0
    for prefix, chosen_by in found:
        if _same_directory(prefix, sys.prefix):
            return "", ""
        if own and _nearness(prefix, app_dir, home) <= own:
            continue
        if python := _python_in(prefix):
            return python, chosen_by
    return "", ""


def _nearness(prefix: str, app_dir: str, home: str) -> int:
    """How deep the directory of the project lies that holds the environment; 0: in none.

    The home directory, and what is above it, are a project for what lies right in them only.
    """
    holder, app = os.path.dirname(os.path.realpath(prefix)), os.path.realpath(app_dir)
    is_project = _lies_in(app, holder) and (app == holder or not _lies_in(home, holder))
    return len(holder.split(os.sep)) if is_project else 0


def _lies_in(path: str, directory: str) -> bool:
    return os.path.join(path, "").startswith(os.path.join(directory, ""))


def _python_in(prefix: str) -> str:
    names = ("Scripts/python.exe", "python.exe") if os.name == "nt" else ("bin/python",)
    paths = (os.path.abspath(os.path.join(prefix, name)) for name in names)  # the last is conda's
    return next(filter(os.path.exists, paths), "")


def _same_directory(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


@functools.cache
def probe_interpreter(executable: str, chosen_by: str = "--python") -> Probe:
    """Run the interpreter once and learn what it is. Raises UsageError."""
    origin = f"{chosen_by} {executable}"
    hint = "name a Python 3.10 or later with --python"
    try:
        with plain_processes():
            done = subprocess.run(
                [executable, "-c", _PROBE],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=PROBE_TIMEOUT,
                check=False,
                text=True,
                errors="replace",
            )
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"{origin}: is no Python (no answer in {PROBE_TIMEOUT:.0f} s)", hint=hint
        ) from None
    except OSError as error:
        raise UsageError(f"{origin}: cannot be run: {reason_of(error)}", hint=hint) from None
    _, mark, answer = done.stdout.rpartition("\n" + _MARK)
    if not mark:
        said = (done.stderr.strip() or done.stdout.strip()).rpartition("\n")[2].strip()
        # Longer ones tend to repeat the probe.
        quoted = f" (it said: {said})" if 0 < len(said) <= 100 else ""
        raise UsageError(f"{origin}: is no Python{quoted}", hint=hint)
    import json

    version, *rest = json.loads(answer.splitlines()[0])
    if tuple(version) < OLDEST:
        seen, needed = (".".join(map(str, v[:2])) for v in (version, OLDEST))
        raise UsageError(f"{origin}: too old ({seen} seen, {needed} needed)", hint=hint)
    return Probe(tuple(version), *rest)


def _has_debugpy(probe: Probe) -> bool:
    if not probe.debugpy or not probe.debugpy_version:
        return False
    numbers = re.findall(r"\d+", probe.debugpy_version)[:3]
    return tuple(map(int, numbers)) >= OLDEST_DEBUGPY


def own_debugpy_dir() -> str | None:
    """The directory of the debugpy package that the launcher would import."""
    spec = importlib.util.find_spec("debugpy")
    return os.path.dirname(spec.origin) if spec is not None and spec.origin else None


# --- options of the interpreter -----------------------------------------------------------------

# Not for the child: they ask for something else than running, or are about the launcher's script.
_NOT_FIT = "hiVxq?"
# Said to isolate the launcher's own installation (`#!/usr/bin/python3 -sP`), not the project's.
_OF_THE_INSTALLATION = "IEsSP"
_SINCE = {"P": (3, 11)}
# These stop an interpreter that was built otherwise.
_X_OF_THE_BUILD = ("gil", "presite")


def interpreter_options(
    orig_argv: Sequence[str],
    version: tuple[int, ...],
    *,
    debugging: bool = False,
    is_foreign: bool = False,
) -> tuple[str, ...]:
    """The options of the launcher's interpreter, as far as they fit one of `version`.

    While debugging, `-X frozen_modules=off` is added from 3.11 on: else breakpoints in frozen
    modules are missed.
    """
    options: list[str] = []
    for flag, value in read_command_line(orig_argv)[0]:
        dropped = _NOT_FIT + (_OF_THE_INSTALLATION if is_foreign else "")
        if flag in dropped or version < _SINCE.get(flag, (3,)):
            continue
        if is_foreign and flag == "X" and str(value).partition("=")[0] in _X_OF_THE_BUILD:
            continue
        options.append(flag if flag.startswith("--") else f"-{flag}")
        if value is not None:
            options.append(value)
    if debugging and version >= (3, 11) and not any("frozen_modules" in o for o in options):
        options += ["-X", "frozen_modules=off"]
    return tuple(options)
