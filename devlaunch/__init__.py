"""devlaunch runs an app, restarts it on save and keeps the debugger attached throughout."""

__version__ = "0.1.0"

DISTRIBUTION = "devlaunch-debug"
"""The name on PyPI, as in pyproject.toml; `devlaunch` there is another project."""

__all__ = ["__version__", "detect", "run"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devlaunch.api import run
    from devlaunch.debuggers.snapshot import detect


def __getattr__(name: str) -> object:
    # Lazy, and without `typing`: the guardian imports this package, and has to start at once.
    if name == "run":
        from devlaunch.api import run

        return run
    if name == "detect":
        from devlaunch.debuggers.snapshot import detect

        return detect
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
