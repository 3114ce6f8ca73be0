"""Switches reloaders inside the target off, since devlaunch restarts the whole program.

A meta path finder waits for the modules that hold them and changes them right after their import.
Python processes below the child load this file too, by its location (`below/sitecustomize`). So it
imports late what takes time, and needs nothing that is newer than CPython 3.8.
"""

from __future__ import annotations

import sys

if __package__:
    from . import hide

    hide(__name__)

TYPE_CHECKING = False  # as type checkers know it
if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from typing import Any

    Note = Callable[[str], None]
    _Patch = Callable[[Any, Note], None]


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
        import importlib.util

        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        loader: Any = spec.loader

        @in_place_of(loader, "exec_module")
        def exec_module(execute: Any, module: Any) -> None:
            del loader.exec_module
            execute(module)
            try:
                patch(module, self._note)
            except AttributeError:  # a version that is made otherwise
                pass

        return spec


def in_place_of(holder: Any, name: str) -> Callable[[Callable[..., Any]], None]:
    """Have a function, which gets it as its first argument, take the place of the original.

    No frame of ours is in the traceback of what is raised below it.
    """
    import functools

    original = getattr(holder, name)

    def decorate(function: Callable[..., Any]) -> None:
        @functools.wraps(original)
        def call(*args: Any, **kwargs: Any) -> object:
            try:
                return function(original, *args, **kwargs)
            except BaseException as error:
                tb = error.__traceback__
                ours = sys._getframe().f_code.co_filename
                while tb is not None and tb.tb_frame.f_code.co_filename == ours:
                    tb = tb.tb_next
                error.__traceback__ = tb
                raise  # which adds none (CPython 3.11 or later; elsewhere they show)

        setattr(holder, name, call)

    return decorate


def _switched_off(note: Note, name: str) -> None:
    note(f"the reloader of {name} is switched off: devlaunch restarts the program")


def _patch_uvicorn(module: Any, note: Note) -> None:
    @in_place_of(module.Config, "__init__")
    def init(original: Any, *args: Any, **kwargs: Any) -> None:
        if kwargs.get("reload"):
            _switched_off(note, "uvicorn")
            for name in ("reload_dirs", "reload_includes", "reload_excludes"):
                kwargs.pop(name, None)
            kwargs["reload"] = False
        original(*args, **kwargs)

    module.Config.should_reload = property(lambda _: False)


def _patch_main_func_runner(name: str) -> _Patch:
    """For `run_with_reloader(main_func, …)`, as werkzeug and Django have it."""

    def patch(module: Any, note: Note) -> None:
        @in_place_of(module, "run_with_reloader")
        def run(_: object, main_func: Callable[..., object], *args: Any, **kwargs: Any) -> None:
            _switched_off(note, name)
            import signal

            # As both do: SIGTERM runs the exit handlers.
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
            if name == "Django":
                main_func(*args, **kwargs)
            else:
                main_func()

    return patch


def _patch_hypercorn(module: Any, note: Note) -> None:
    @in_place_of(module, "run")
    def run(original: Any, config: Any) -> object:
        if config.use_reloader:
            _switched_off(note, "hypercorn")
            config.use_reloader = False
            if config.workers == 1:
                config.workers = 0  # in this process, where its imports are seen
        return original(config)


def _patch_argument(owner: str, function: str, argument: str, name: str) -> _Patch:
    """For an argument that is true when a reloader is wanted."""

    def patch(module: Any, note: Note) -> None:
        import inspect

        holder = getattr(module, owner)
        signature = inspect.signature(getattr(holder, function))

        @in_place_of(holder, function)
        def call(original: Any, *args: Any, **kwargs: Any) -> object:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            if bound.arguments.get(argument):
                _switched_off(note, name)
                bound.arguments[argument] = False
            return original(*bound.args, **bound.kwargs)

    return patch


def _patch_start(owner: str | None, name: str) -> _Patch:
    """For a function `start` that starts nothing but the reloader."""

    def patch(module: Any, note: Note) -> None:
        @in_place_of(getattr(module, owner) if owner else module, "start")
        def start(*_: object, **__: object) -> None:
            _switched_off(note, name)

    return patch


def _patch_sanic(module: Any, note: Note) -> None:
    @in_place_of(module.StartupMixin, "prepare")
    def prepare(original: Any, *args: Any, **kwargs: Any) -> None:
        is_dev = kwargs.pop("dev", False)
        if is_dev or kwargs.get("auto_reload"):
            _switched_off(note, "Sanic")
            kwargs["auto_reload"] = False
            kwargs["debug"] = is_dev or kwargs.get("debug", False)
        original(*args, **kwargs)


def _patch_gunicorn(module: Any, note: Note) -> None:
    @in_place_of(module.BaseApplication, "do_load_config")
    def do_load_config(original: Any, self: Any) -> None:
        original(self)
        if self.cfg.reload:
            _switched_off(note, "gunicorn")
            self.cfg.set("reload", False)


def _patch_hupper(module: Any, note: Note) -> None:
    from types import SimpleNamespace

    calls = ("watch_files", "trigger_reload", "graceful_shutdown")
    unmonitored = SimpleNamespace(**dict.fromkeys(calls, lambda *_: None))

    @in_place_of(module, "start_reloader")
    def start_reloader(_: object, worker_path: str, *__: object, **kwargs: Any) -> object:
        if not module.is_active():
            _switched_off(note, "hupper")
            sys.modules["hupper.worker"]._reloader_proxy = unmonitored  # type: ignore[attr-defined]
            # It returns in the worker only, which most often is the function that calls it.
            worker = module.resolve_spec(worker_path)
            worker(*kwargs.get("worker_args") or (), **kwargs.get("worker_kwargs") or {})
            sys.exit()
        return module.get_reloader()


def _patch_watchfiles(module: Any, note: Note) -> None:
    @in_place_of(module, "run_process")
    def run_process(
        *_: object,
        target: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        target_type: str = "auto",
        **__: object,
    ) -> int:
        _switched_off(note, "watchfiles")
        if target_type == "auto":
            target_type = module.detect_target_type(target)
        module.catch_sigterm()
        process = module.start_process(target, target_type, args, kwargs)
        try:
            (getattr(process._p, "join", None) or process._p.wait)()
        except KeyboardInterrupt:  # of SIGTERM, too
            process.stop()
        return 0


_PATCHES: dict[str, _Patch] = {
    "cherrypy.process.plugins": _patch_start("Autoreloader", "CherryPy"),
    "django.utils.autoreload": _patch_main_func_runner("Django"),
    "granian.server.common": _patch_argument("AbstractServer", "__init__", "reload", "granian"),
    "gunicorn.app.base": _patch_gunicorn,
    "hupper.reloader": _patch_hupper,
    "hypercorn.run": _patch_hypercorn,
    "quart.app": _patch_argument("Quart", "run", "use_reloader", "Quart"),
    "sanic.mixins.startup": _patch_sanic,
    "tornado.autoreload": _patch_start(None, "Tornado"),
    "uvicorn.config": _patch_uvicorn,
    "watchfiles.run": _patch_watchfiles,
    "werkzeug._reloader": _patch_main_func_runner("werkzeug"),
}
