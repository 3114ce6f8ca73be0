"""The apps of a project, found by reading its source: nothing of it is imported."""

from __future__ import annotations

import ast
import itertools
import os
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from devlaunch.core.filters import IGNORED_DIRECTORIES
from devlaunch.target.words import import_root

FRAMEWORKS = {
    "fastapi.FastAPI": "FastAPI",
    "starlette.applications.Starlette": "Starlette",
    "litestar.Litestar": "Litestar",
    "flask.Flask": "Flask",
    "quart.Quart": "Quart",
    "bottle.Bottle": "Bottle",
    "falcon.App": "Falcon",
    "falcon.asgi.App": "Falcon",
    "blacksheep.Application": "BlackSheep",
    "django.core.asgi.get_asgi_application": "Django",
    "django.core.wsgi.get_wsgi_application": "Django",
    "connexion.AsyncApp": "Connexion",
    "connexion.FlaskApp": "Connexion",
    "connexion.FlaskApp.App": "Connexion",
    "socketio.ASGIApp": "Socket.IO",
    "socketio.WSGIApp": "Socket.IO",
}
"""What an app is made by, as the full name of what is called."""

_HINT = re.compile(
    rb"\b(fastapi|starlette|litestar|flask|quart|bottle|falcon|blacksheep|django|connexion"
    rb"|socketio|receive|start_response)\b"
)
"""A file without any of these words has no app; it is not parsed."""
_SIGNATURES = {("scope", "receive", "send"): "ASGI", ("environ", "start_response"): "WSGI"}
_USUAL_NAMES = ("app", "application", "api")
_USUAL_FILES = ("main", "app", "asgi", "wsgi", "server", "api", "__init__")
_UNUSUAL_DIRECTORIES = re.compile(
    r"(^|/)(tests?|examples?|docs?|samples?|demos?|scripts|tools)(/|$)"
)
_MOST_FILES = 5000
_LARGEST_FILE = 1_000_000
_DEEPEST = 6


@dataclass(frozen=True, slots=True)
class Candidate:
    """What could be run: the words that devlaunch takes, what it is, and where it was found."""

    words: tuple[str, ...]
    framework: str
    file: str
    line: int

    @property
    def place(self) -> str:
        """`main.py:4`."""
        return f"{self.file}:{self.line}"


def find_candidates(root: str, app_dir: str = "") -> list[Candidate]:
    """The apps below `root`, the likeliest first.

    `app_dir` (absolute) is where modules are imported from, when the project's settings say so;
    else each file's own place and imports tell, and `--app-dir` is among the words where needed.
    """
    found: list[tuple[tuple[object, ...], str, Candidate]] = []
    for path in itertools.islice(_sources(root), _MOST_FILES):
        source = _read(path)
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError):
            continue  # a run says it better
        file = os.path.relpath(path, root).replace(os.sep, "/")
        if os.path.basename(path) == "manage.py" and "django" in source:
            words = ("--", "python", file, "runserver")
            found.append(((-1, file.count("/")), file, Candidate(words, "Django", file, 1)))
        elif where := _module(path, tree, root, app_dir):
            directory, module = where
            options = ("--app-dir", directory) if directory else ()
            for name, framework, line, is_factory in _apps(tree):
                factory = ("--factory",) if is_factory else ()
                words = (*options, *factory, f"{module}:{name}")
                candidate = Candidate(words, framework, file, line)
                found.append((_rank(candidate, name, is_factory), candidate.place, candidate))
    return [candidate for *_, candidate in sorted(found, key=lambda each: each[:2])]


def _rank(candidate: Candidate, name: str, is_factory: bool) -> tuple[object, ...]:
    stem = os.path.splitext(os.path.basename(candidate.file))[0]
    return (
        bool(_UNUSUAL_DIRECTORIES.search(os.path.dirname(candidate.file))),
        is_factory,
        name not in _USUAL_NAMES,
        stem not in _USUAL_FILES,
        candidate.file.count("/"),
        (*_USUAL_FILES, stem).index(stem),
        (*_USUAL_NAMES, name).index(name),
    )


def _sources(root: str) -> Iterator[str]:
    """Python files that may have an app."""
    for directory, names, files in os.walk(root):
        depth = os.path.relpath(directory, root).count(os.sep)
        entered = (name for name in names if depth < _DEEPEST and _is_entered(directory, name))
        names[:] = sorted(entered)
        yield from (os.path.join(directory, name) for name in sorted(files) if name[-3:] == ".py")


def _is_entered(directory: str, name: str) -> bool:
    if name in IGNORED_DIRECTORIES or name.startswith("."):
        return False
    return not os.path.exists(os.path.join(directory, name, "pyvenv.cfg"))


def _read(path: str) -> str:
    """The text of a file that may have an app, else nothing."""
    try:
        if os.path.getsize(path) <= _LARGEST_FILE:
            with open(path, "rb") as file:
                has_hint = _HINT.search(file.read())
            with tokenize.open(path) as source:
                return source.read() if has_hint else ""
    except (OSError, SyntaxError, UnicodeError):
        pass
    return ""


# --- where a file is imported from --------------------------------------------------------------


def _module(path: str, tree: ast.Module, root: str, app_dir: str) -> tuple[str, str] | None:
    """The directory to import from (relative to `root`, empty for it) and the module's name."""
    relative = os.path.relpath(path, root)
    if app_dir and os.path.realpath(app_dir) != os.path.realpath(root):
        directory, inner = "", os.path.relpath(path, app_dir)
    else:
        directory = _directory(relative, tree, root)
        inner = os.path.relpath(relative, directory or ".")
    parts = inner.removesuffix(".py").split(os.sep)
    if parts[-1] == "__init__":
        parts.pop()
    if not parts or not all(part.isidentifier() for part in parts):
        return None
    return directory.replace(os.sep, "/"), ".".join(parts)


def _directory(relative: str, tree: ast.Module, root: str) -> str:
    """What this file's imports need on the path, else where its package lies."""
    top, _ = import_root(relative, root)
    above = [top]
    while above[-1]:
        above.append(os.path.dirname(above[-1]))
    for directory in reversed(above):
        if any(_has_module(os.path.join(root, directory), name) for name in _imported(tree)):
            return directory
    is_package = top != os.path.dirname(relative)
    # Without __init__.py it is `package.module`, as uvicorn's docs have it, except below src.
    return top if is_package or os.path.basename(top) == "src" else ""


def _has_module(directory: str, name: str) -> bool:
    path = os.path.join(directory, name)
    return os.path.isfile(path + ".py") or os.path.isdir(path)


def _imported(tree: ast.Module) -> set[str]:
    """The first names of what is imported."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names


# --- what is an app -----------------------------------------------------------------------------


def _apps(tree: ast.Module) -> Iterator[tuple[str, str, int, bool]]:
    """Name, framework, line and whether it is a factory, each name once."""
    aliases = _aliases(tree)
    seen: set[str] = set()
    for node in _statements(tree.body):
        for name, framework, is_factory in _made_by(node, aliases):
            if name not in seen and not name.startswith("_"):
                seen.add(name)
                yield name, framework, getattr(node, "lineno", 1), is_factory


def _made_by(node: ast.AST, aliases: dict[str, str]) -> Iterator[tuple[str, str, bool]]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        parameters = tuple(argument.arg for argument in node.args.args)
        if parameters in _SIGNATURES:
            yield node.name, _SIGNATURES[parameters], False
        elif isinstance(node, ast.FunctionDef) and (found := _returned(node, aliases)):
            yield node.name, found, True
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        framework = _framework(node.value, aliases)
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if framework and isinstance(target, ast.Name):
                yield target.id, framework, False


def _returned(function: ast.FunctionDef, aliases: dict[str, str]) -> str | None:
    """The framework of a function that makes an app and can be called without arguments."""
    given = function.args
    if len(given.defaults) < len(given.args) or None in given.kw_defaults:
        return None
    aliases = aliases | _aliases(function)
    made: dict[str, str] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            made |= {name: framework for name, framework, _ in _made_by(node, aliases)}
    returns = (node.value for node in ast.walk(function) if isinstance(node, ast.Return))
    found = (
        made.get(value.id) if isinstance(value, ast.Name) else _framework(value, aliases)
        for value in returns
    )
    return next(filter(None, found), None)


def _framework(value: ast.expr | None, aliases: dict[str, str]) -> str | None:
    if not isinstance(value, ast.Call):
        return None
    head, _, rest = ast.unparse(value.func).partition(".")
    full = aliases.get(head, head) + (f".{rest}" if rest else "")
    return FRAMEWORKS.get(full)


def _aliases(tree: ast.Module | ast.FunctionDef) -> dict[str, str]:
    """What each imported name stands for."""
    found: dict[str, str] = {}
    for node in _statements(tree.body):
        if isinstance(node, ast.Import):
            for alias in node.names:
                head = alias.name.partition(".")[0]
                found[alias.asname or head] = alias.name if alias.asname else head
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found


def _statements(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Those that run at import: also inside of if, try and with."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try | ast.With | ast.ExceptHandler):
            yield from _statements(ast.iter_child_nodes(node))
