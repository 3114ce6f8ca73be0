"""Switches reloaders inside the target off, since devlaunch restarts the whole program.

A meta path finder waits for the modules that hold them and changes them right after their import.
"""

from __future__ import annotations

import functools
import importlib.util
import signal
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from typing import Any

from . import hide

hide(__name__)

Note = Callable[[str], None]


def install(note: Note) -> None:
    """Watch for the imports. `note` is called with one line when a reloader was switched off."""
    sys.meta_path.insert(0, _Finder(note))


class _Finder:
    def __init__(self, note: Note) -> None:
        self._note = note
        self._waiting = dict(_PATCHES)

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        """Leave finding to the others; only change what the loader does once."""
        patch = self._waiting.pop(name, None)
        if patch is None:
            return None
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        loader: Any = spec.loader
        execute = loader.exec_module

        def exec_module(module: Any) -> None:
            del loader.exec_module
            execute(module)
            try:
                patch(module, self._note)
            except AttributeError:  # a version that is made otherwise
                pass

        loader.exec_module = exec_module
        return spec


def _switched_off(note: Note, name: str) -> None:
    note(f"the reloader of {name} is switched off: devlaunch restarts the program")


def _patch_uvicorn(module: Any, note: Note) -> None:
    original = module.Config.__init__

    @functools.wraps(original)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        if kwargs.get("reload"):
            _switched_off(note, "uvicorn")
            for name in ("reload_dirs", "reload_includes", "reload_excludes"):
                kwargs.pop(name, None)
            kwargs["reload"] = False
        original(self, *args, **kwargs)

    module.Config.__init__ = init
    module.Config.should_reload = property(lambda _: False)


def _patch_main_func_runner(name: str) -> Callable[[Any, Note], None]:
    """For `run_with_reloader(main_func, …)`, as werkzeug and Django have it."""

    def patch(module: Any, note: Note) -> None:
        original = module.run_with_reloader

        @functools.wraps(original)
        def run_with_reloader(main_func: Callable[..., object], *args: Any, **kwargs: Any) -> None:
            _switched_off(note, name)
            # As both do: SIGTERM runs the exit handlers.
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
            if name == "Django":
                main_func(*args, **kwargs)
            else:
                main_func()

        module.run_with_reloader = run_with_reloader

    return patch


def _patch_hypercorn(module: Any, note: Note) -> None:
    original = module.run

    @functools.wraps(original)
    def run(config: Any) -> object:
        if config.use_reloader:
            _switched_off(note, "hypercorn")
            config.use_reloader = False
            if config.workers == 1:
                config.workers = 0  # in this process, where its imports are seen
        return original(config)

    module.run = run


_PATCHES: dict[str, Callable[[Any, Note], None]] = {
    "uvicorn.config": _patch_uvicorn,
    "werkzeug._reloader": _patch_main_func_runner("werkzeug"),
    "django.utils.autoreload": _patch_main_func_runner("Django"),
    "hypercorn.run": _patch_hypercorn,
}
