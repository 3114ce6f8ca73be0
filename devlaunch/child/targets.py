"""Scripts, modules and commands: run in this process as `python …` would run them.

`prepare` sets sys.argv, sys.path and `__main__` and returns the code to run there.
"""

from __future__ import annotations

import io
import os
import re
import runpy
import sys
from importlib.machinery import BuiltinImporter, SourceFileLoader, SourcelessFileLoader
from types import CodeType
from typing import Any, NamedTuple

from . import calls_user_code, hide
from .tracebacks import Usage

hide(__name__)

# python(1): options without a value, with one, and those that say what to run.
_FLAGS, _WITH_VALUE, _RUNS = "bBdEhiIOPqsSuvVxR?", "WX", "cm"
_PYTHON = re.compile(r"(python|pypy)w?\d*(\.\d+)?t?(\.exe)?", re.IGNORECASE)
_STARTER = re.compile(r"pyw?(\.exe)?", re.IGNORECASE)
"""Windows' program that looks for a Python, and its options that say which."""
_WHICH = re.compile(r"-(\d[\d.]*(-\d+)?|V:.*)")


class Program(NamedTuple):
    """What `python …` is told to run: kind is script, module or code (of `-c`)."""

    kind: str
    name: str
    args: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    """Interpreter options that were given too late to have an effect."""


def resolve(target: dict[str, Any]) -> Program:
    """The program that a script, module or command target stands for. Raises Usage."""
    name, args = str(target["name"]), tuple(target["args"])
    if target["kind"] != "command":
        return Program(target["kind"], name, args)
    if _STARTER.fullmatch(os.path.basename(name)):
        chosen = next(iter(args), "")
        if not _WHICH.fullmatch(chosen):
            return parse_python(args)
        return parse_python(args[1:])._replace(ignored=(chosen,))
    if names_python(name):
        return parse_python(args)
    path = find_command(name, sys.executable)
    if path is None:
        raise Usage(f"{name}: no such command beside {sys.executable} or on PATH")
    if not _is_python(path):
        raise Usage(
            f"{name}: {path} is no Python program",
            "only Python programs can be run: a console script, or python with its arguments",
        )
    return Program("script", path, args)


def parse_python(words: tuple[str, ...]) -> Program:
    """The arguments of `python` as python(1) takes them. Raises Usage when nothing is to run."""
    ignored: list[str] = []
    rest = list(words)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word.startswith("--"):
            ignored.append(word)
            if word == "--check-hash-based-pycs" and rest:
                ignored.append(rest.pop(0))
            continue
        for index, letter in enumerate(word[1:], start=2):
            if letter in _RUNS or letter in _WITH_VALUE:
                if not word[index:] and not rest:
                    raise Usage(f"python -{letter}: an argument is missing")
                value = word[index:] or rest.pop(0)
                if letter in _RUNS:
                    kind = "module" if letter == "m" else "code"
                    return Program(kind, value, tuple(rest), tuple(ignored))
                ignored.append(f"-{letter}{value}")
                break
            if letter not in _FLAGS:
                raise Usage(f"python {word}: unknown option -{letter}")
            ignored.append(f"-{letter}")
    if not rest or rest[0] == "-":
        raise Usage("python: nothing to run", "give it a script, -m MODULE or -c CODE")
    return Program("script", rest[0], tuple(rest[1:]), tuple(ignored))


def prepare(program: Program) -> CodeType:
    """Set the stage and compile. Raises Usage, or what the user's code raises (SyntaxError)."""
    if program.kind == "module":
        return _prepare_module(program)
    if program.kind == "code":
        set_stage("", ["-c", *program.args], ["-c", program.name, *program.args])
        sys.modules["__main__"].__loader__ = BuiltinImporter  # as Python leaves it
        return compile(program.name, "<string>", "exec", dont_inherit=True)
    return _prepare_script(program)


def run(code: CodeType) -> None:
    """Run code as the `__main__` module."""
    _run_code(code, sys.modules["__main__"].__dict__)


@calls_user_code
def _run_code(code: CodeType, namespace: dict[str, Any]) -> None:
    exec(code, namespace)


def set_stage(first_path: str | None, argv: list[str], command: list[str], **names: object) -> None:
    """sys.argv, sys.path, sys.orig_argv and an otherwise empty `__main__`.

    `first_path` is what Python itself would put first on sys.path: not with -P or -I. `command` is
    the command line without the interpreter and its options.
    """
    here = os.path.dirname(os.path.abspath(__file__))
    if sys.path and os.path.abspath(sys.path[0]) == here:
        del sys.path[0]
    if first_path is not None and not (
        sys.flags.isolated or getattr(sys.flags, "safe_path", False)
    ):
        sys.path.insert(0, first_path)
    own = [index for index, word in enumerate(sys.orig_argv) if word.startswith(here + os.sep)]
    sys.orig_argv[own[0] if own else 1 :] = command
    sys.argv[:] = argv
    namespace = sys.modules["__main__"].__dict__
    builtins = namespace["__builtins__"]
    namespace.clear()
    unset = dict.fromkeys(("__doc__", "__package__", "__loader__", "__spec__"))
    namespace.update({"__name__": "__main__", **unset, "__builtins__": builtins, **names})


def _prepare_script(program: Program) -> CodeType:
    path = os.path.abspath(program.name)
    command = [program.name, *program.args]
    if os.path.isdir(path) or path.lower().endswith((".zip", ".pyz", ".egg", ".exe")):
        set_stage(path, command, command)
        return _main_of(program, None)
    if not os.path.isfile(path):
        raise Usage(f"{program.name}: no such file")
    is_bytecode = path.endswith(".pyc")
    loader: Any = (SourcelessFileLoader if is_bytecode else SourceFileLoader)("__main__", path)
    first_path = os.path.dirname(os.path.realpath(path))
    names = {"__loader__": loader, "__file__": path, "__cached__": None}
    set_stage(first_path, command, command, **names)
    if is_bytecode:
        return loader.get_code("__main__")  # type: ignore[no-any-return]
    with io.open_code(path) as file:
        return compile(file.read(), path, "exec", dont_inherit=True)


def _prepare_module(program: Program) -> CodeType:
    # As `python -m` does: argv[0] is -m while the module is being looked for.
    command = ["-m", program.name, *program.args]
    set_stage(os.getcwd(), ["-m", *program.args], command)
    code = _main_of(program, program.name)
    sys.argv[0] = str(sys.modules["__main__"].__dict__["__file__"])
    return code


def _main_of(program: Program, module: str | None) -> CodeType:
    """Code for `__main__`, whose dunder names are set as runpy sets them.

    Of a module; with None, of the `__main__.py` in sys.path[0].
    """
    find: Any = runpy  # its private part is what `python -m` is made of, since 2.5
    try:
        if module is None:
            _, spec, code = find._get_main_module_details(_NotRunnable)
        else:
            _, spec, code = find._get_module_details(module, _NotRunnable)
    except _NotRunnable as error:
        raise Usage(f"{'-m ' if program.kind == 'module' else ''}{program.name}: {error}") from None
    sys.modules["__main__"].__dict__.update(
        __file__=code.co_filename if spec.origin is None else spec.origin,
        __cached__=spec.cached,
        __loader__=spec.loader,
        __package__=spec.parent,
        __spec__=spec,
    )
    return code  # type: ignore[no-any-return]


class _NotRunnable(Exception):
    """What runpy raises when there is no such module, or it is a package without `__main__`."""


def names_python(name: str) -> bool:
    """Whether a command is the interpreter itself, by its name or path."""
    base = os.path.basename(name)
    return bool(_PYTHON.fullmatch(base) or _STARTER.fullmatch(base))


def find_command(name: str, python: str) -> str | None:
    """The program of this name or path: beside the interpreter, or on PATH."""
    import shutil

    if os.path.dirname(name):
        path = os.path.abspath(name)
        if os.path.isfile(path):
            return path
        # Windows adds what PATHEXT lists to a name.
        return shutil.which(os.path.basename(path), path=os.path.dirname(path))
    here = os.path.dirname(python)
    # Where Windows has scripts, but for those of virtual environments.
    beside = shutil.which(name, path=os.pathsep.join([here, os.path.join(here, "Scripts")]))
    return beside or shutil.which(name)


def _is_python(path: str) -> bool:
    """Whether a file is Python by its name or first lines (`#!…python`, or pip's sh wrapper)."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix in (".py", ".pyw", ".pyz"):
        return True
    if suffix == ".exe":
        from zipfile import is_zipfile

        return is_zipfile(path)  # installers put one at the end of console scripts
    try:
        with open(path, "rb") as file:
            lines = file.read(1024).split(b"\n", 2)
    except OSError:
        return False
    if not lines[0].startswith(b"#!"):
        return False
    is_wrapper = len(lines) > 1 and lines[1].startswith(b"'''exec' ") and b"python" in lines[1]
    words = lines[0][2:].split()
    program = next((w for w in words if os.path.basename(w) != b"env" and w[:1] != b"-"), b"")
    return is_wrapper or _PYTHON.fullmatch(os.path.basename(program).decode("latin1")) is not None
