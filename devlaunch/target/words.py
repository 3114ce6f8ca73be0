"""TARGET: what to run, told apart by its form alone; nothing is imported here."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from devlaunch.child.pasting import command
from devlaunch.config import Target, TargetKind
from devlaunch.errors import UsageError
from devlaunch.system.spare import reason_of
from devlaunch.target.converters import nearest_file

TARGETS = (
    ("module:attr", "an ASGI or WSGI app, such as app:app"),
    ("script.py [ARGS]", "a script"),
    ("-m MODULE [ARGS]", "a module, as python -m runs it"),
    ("-- COMMAND [ARGS]", "a command written in Python, such as -- celery -A proj worker"),
)
FORMS = "\n".join(["a target is one of:", *(f"  {form:17}  {what}" for form, what in TARGETS)])

_NAME = r"[^\W\d]\w*"
_DOTTED = rf"{_NAME}(?:\.{_NAME})*"
_APP = re.compile(rf"{_DOTTED}:{_DOTTED}")
_CALL = re.compile(rf"({_DOTTED}:{_DOTTED})\(.*\)")
_CANDIDATES = ("main.py", "app.py", "asgi.py", "wsgi.py", "manage.py")
_ASSIGNED_APP = re.compile(r"^(app|application|api)\b\s*(?::[^=\n]+)?=(?!=)", re.MULTILINE)


def looks_like_app(word: str, base: str = "") -> bool:
    """Whether the word is meant as `module:attr`, well formed or not; files come first."""
    is_path = os.path.isabs(word)  # a drive's colon is none of an app's; `a:app` is one
    tail = os.path.splitdrive(word)[1] if is_path else word
    return ":" in tail and not os.path.exists(os.path.join(base, word))


def parse_target(words: Sequence[str], base: str, *, absolute: bool = False) -> Target:
    """The target that the words of the command line name.

    Relative paths start from `base`; with `absolute` a script's path is made absolute, else it
    stays as written, since the script sees it as `sys.argv[0]`. Raises UsageError with the nearest
    guess.
    """
    if not words:
        raise UsageError("no target: what shall be run?", hint=_with_guess(*_candidate(base)))
    first, *args = words
    if first == "--":
        return _command(args)
    if first.startswith("-m"):
        return _module([first[2:], *args] if first != "-m" else args, base)
    if not first or first.startswith("-"):
        raise UsageError(f"{first!r} is no target", hint=FORMS)
    if looks_like_app(first, base):
        return _app(first, args, base)
    return _script(first, args, base, absolute=absolute)


def _command(words: Sequence[str]) -> Target:
    if not words or not words[0]:
        raise UsageError("no command after --", hint="such as: -- celery -A proj worker")
    return Target(TargetKind.COMMAND, words[0], tuple(words[1:]))


def _module(words: Sequence[str], base: str) -> Target:
    if not words or not words[0]:
        raise UsageError("no module after -m", hint="such as: -m http.server")
    name, *args = words
    if name.endswith(".py") or not re.fullmatch(_DOTTED, name):
        module = _module_of(name, base) if name.endswith(".py") else ""
        guess = (name,) if _APP.fullmatch(name) else ("-m", module) if module else ()
        raise UsageError(f"-m {name}: not the name of a module", hint=_with_guess(*guess))
    return Target(TargetKind.MODULE, name, tuple(args))


def _app(word: str, args: Sequence[str], base: str) -> Target:
    module, _, attribute = word.rpartition(":")
    if not _APP.fullmatch(word) or module.endswith(".py"):
        raise UsageError(
            f"{word!r} does not have the form module:attr",
            hint=_with_guess(*_guess_app(word, module, attribute, base)),
        )
    if args:
        raise UsageError(f"unexpected {args[0]!r}: an app target ({word}) takes no arguments")
    return Target(TargetKind.APP, word)


def _guess_app(word: str, module: str, attribute: str, base: str) -> tuple[str, ...]:
    if call := _CALL.fullmatch(word):
        return ("--factory", call[1])
    attribute = attribute if re.fullmatch(_DOTTED, attribute) else "app"
    if not module:
        return tuple(word for word in _candidate(base) if ":" in word)
    directory, dotted = import_root(module, base)
    if not re.fullmatch(_DOTTED, dotted):
        return ()
    return (*(("--app-dir", directory) if directory else ()), f"{dotted}:{attribute}")


def import_root(path: str, base: str) -> tuple[str, str]:
    """The directory to import from and the module's dotted name, for a path such as src/app.py."""
    directory, name = os.path.split(os.path.normpath(path.removesuffix(".py")))
    parts = [name]
    while directory and os.path.isfile(os.path.join(base, directory, "__init__.py")):
        directory, package = os.path.split(directory)
        parts.insert(0, package)
    return directory, ".".join(parts)


def _module_of(path: str, base: str) -> str:
    directory, dotted = import_root(path, base)
    return "" if directory else dotted


def _script(name: str, args: Sequence[str], base: str, *, absolute: bool) -> Target:
    path = os.path.join(base, os.path.expanduser(name))
    if os.path.isdir(path):
        runnable = os.path.isfile(os.path.join(path, "__main__.py"))
        guess = ("-m", module) if runnable and (module := _module_of(name, base)) else ()
        raise UsageError(f"{name!r} is a directory, not a script", hint=_with_guess(*guess))
    try:
        os.stat(path)
    except FileNotFoundError:
        _refuse_missing(name, args, base)
    except OSError as error:
        raise UsageError(f"{name}: {reason_of(error)}") from None
    except ValueError:
        raise UsageError(f"{name!r} cannot be the name of a file", hint=FORMS) from None
    if not os.access(path, os.R_OK):
        raise UsageError(f"{name}: no permission to read it", hint=command("chmod", "u+r", name))
    return Target(TargetKind.SCRIPT, os.path.abspath(path) if absolute else name, tuple(args))


def _refuse_missing(name: str, args: Sequence[str], base: str) -> None:
    """Raise the UsageError for a word that is neither an app nor a file."""
    directory, file = os.path.split(name)
    if file.endswith(".py"):
        close = nearest_file(os.path.join(base, name), ".py")
        hint = f"did you mean {command(os.path.join(directory, close))}?" if close else ""
        raise UsageError(f"no such file: {name}", hint=hint)
    raise UsageError(
        f"{name!r} is no target: there is no such file",
        hint=_with_guess(*_guess_word(name, args, base)),
    )


def _guess_word(name: str, args: Sequence[str], base: str) -> tuple[str, ...]:
    if os.path.isfile(os.path.join(base, name + ".py")):
        return _as_target(name + ".py", base)
    if re.fullmatch(_DOTTED, name) and (
        os.path.isfile(os.path.join(base, *name.split(".")) + ".py")
        or os.path.isfile(os.path.join(base, *name.split("."), "__main__.py"))
    ):
        return ("-m", name)
    import shutil

    if os.path.dirname(name) == "" and shutil.which(name):
        return ("--", name, *args)
    close = nearest_file(os.path.join(base, name + ".py"), ".py")
    return _as_target(close, base) if close else ()


def _candidate(base: str) -> tuple[str, ...]:
    """The target that a file of a usual name in `base` makes, empty without one."""
    found = next((f for f in _CANDIDATES if os.path.isfile(os.path.join(base, f))), "")
    return _as_target(found, base) if found else ()


def _as_target(file: str, base: str) -> tuple[str, ...]:
    if file == "manage.py":
        return ("--", "python", "manage.py", "runserver")
    try:
        with open(os.path.join(base, file), encoding="utf-8", errors="replace") as source:
            match = _ASSIGNED_APP.search(source.read(100_000))
    except OSError:
        match = None
    module = file.removesuffix(".py")
    return (f"{module}:{match[1]}" if match and re.fullmatch(_NAME, module) else file,)


def _with_guess(*words: str) -> str:
    return f"did you mean {command(*words)}?\n{FORMS}" if words else FORMS
