"""devlaunch runs an app, restarts it on save and keeps the debugger attached throughout."""

__version__ = "0.1.0"

__all__ = ["__version__", "run"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devlaunch.api import run


def __getattr__(name: str) -> object:
    # Lazy, and without `typing`: the guardian imports this package, and has to start at once.
    if name == "run":
        from devlaunch.api import run

        return run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
