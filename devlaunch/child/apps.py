"""Finds the app that `module:attr` names, and which interface it has."""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
from collections.abc import Callable
from inspect import iscoroutinefunction as is_coroutine
from types import ModuleType
from typing import Any

from . import calls_user_code, hide
from .tracebacks import Usage, search_path, trimmed

hide(__name__)


def load_app(name: str, *, factory: bool) -> tuple[Any, str]:
    """The app and its interface: asgi (ASGI 3), asgi2 or wsgi.

    Raises Usage when `name` leads to no app, and whatever the user's module or factory raises.
    """
    module_name, _, attributes = name.partition(":")
    if not module_name or not attributes:
        raise Usage(f"{name}: not of the form module:attribute", "such as app:app")
    module = _import(module_name)
    found = _resolve(module, attributes, name)
    if factory:
        found = _call_factory(found, name)
    interface = interface_of(found)
    if interface is None:
        raise _no_app(module, attributes, found, name, factory=factory)
    return found, interface


def interface_of(app: object) -> str | None:
    """The interface that `app` seems to have, told by how it can be called."""
    if inspect.isclass(app):
        return _interface_of_class(app)
    if not callable(app):
        return None
    if is_coroutine(app) or is_coroutine(getattr(app, "__call__", None)):  # noqa: B004
        return "asgi" if _takes(app, 3) else None
    if _takes(app, 2):
        return "wsgi"
    if _takes(app, 3):
        return "asgi"
    signature = _signature(app)
    is_two_step = signature and "scope" in signature.parameters and _takes(app, 1)
    return "asgi2" if is_two_step else None


def _interface_of_class(app: type) -> str | None:
    if hasattr(app, "__await__"):
        return "asgi" if _takes(app, 3) else None
    return "asgi2" if _takes(app, 1) and is_coroutine(vars(app).get("__call__")) else None


def _import(name: str) -> ModuleType:
    try:
        return _run_import(name)
    except ModuleNotFoundError as error:
        is_target = error.name is not None and f"{name}.".startswith(f"{error.name}.")
        if is_target and trimmed(error.__traceback__) is None:
            missing = str(error.name)
            places = search_path(missing)
            raise Usage(
                f"no module named {missing!r} in {places[0] if places else 'sys.path'}",
                "check the name, or name its directory with --app-dir",
                missing_module=missing,
                search_path=places,
            ) from None
        raise


@calls_user_code
def _run_import(name: str) -> ModuleType:
    return importlib.import_module(name)


@calls_user_code
def _run_factory(factory: Callable[[], object]) -> object:
    return factory()


def _resolve(module: ModuleType, attributes: str, name: str) -> object:
    found: object = module
    for attribute in attributes.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError as error:
            if trimmed(error.__traceback__) is not None:  # a property or __getattr__ of theirs
                raise
            guess = _nearest(attribute, module) if found is module else None
            raise Usage(
                f"{name}: {_label(found)} has no attribute {attribute!r}",
                f"did you mean {module.__name__}:{guess}?" if guess else "",
            ) from None
    return found


def _call_factory(factory: object, name: str) -> object:
    if not callable(factory):
        raise Usage(f"{name} is {_article(factory)}, no factory", "remove --factory")
    if not _takes(factory, 0):
        raise Usage(
            f"{name} cannot be called without arguments, so it is no factory",
            "remove --factory" if interface_of(factory) else "",
        )
    return _run_factory(factory)


def _no_app(
    module: ModuleType, attributes: str, found: object, name: str, *, factory: bool
) -> Usage:
    apps = [other for other in app_names(module) if other != attributes]
    what = f"{name}() returned {_article(found)}" if factory else f"{name} is {_article(found)}"
    hint = f"did you mean {module.__name__}:{apps[0]}?" if apps else "an ASGI or WSGI app is needed"
    if not factory and inspect.isfunction(found) and _takes(found, 0):
        hint = "if it returns the app, add --factory"
    return Usage(f"{what}, which is neither an ASGI nor a WSGI app", hint)


def app_names(module: ModuleType) -> list[str]:
    """The attributes of a module that look like apps, the likeliest first."""
    names = []
    for name, value in vars(module).items():
        if name.startswith("_") or inspect.isclass(value) or inspect.ismodule(value):
            continue
        is_usual = name in ("app", "application")
        try:
            if (is_usual or not inspect.isroutine(value)) and interface_of(value):
                names.append(name)
        except Exception:  # a proxy that answers only inside of a request
            continue
    return sorted(names, key=lambda name: name not in ("app", "application"))


def _signature(function: Any) -> inspect.Signature | None:
    options: dict[str, Any] = {}
    if sys.version_info >= (3, 14):  # annotations are evaluated when asked for, and may fail
        import annotationlib

        options["annotation_format"] = annotationlib.Format.STRING
    try:
        return inspect.signature(function, **options)
    except (ValueError, TypeError):  # written in C
        return None


def _takes(function: object, count: int) -> bool:
    signature = _signature(function)
    if signature is None:
        return True
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


def _nearest(attribute: str, module: ModuleType) -> str | None:
    apps = app_names(module)
    alike = difflib.get_close_matches(attribute, apps, n=1)
    return (alike or apps or difflib.get_close_matches(attribute, vars(module), n=1) or [None])[0]


def _label(found: object) -> str:
    return f"module {found.__name__}" if inspect.ismodule(found) else _article(found)


def _article(found: object) -> str:
    if found is None:
        return "None"
    if inspect.isclass(found):
        return f"the class {found.__name__}"
    kind = type(found).__name__
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"
