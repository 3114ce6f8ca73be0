"""Which tests a platform can run, their order, and the signals as a terminal has them."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

# Under nohup(1), or in the background of a script, these are ignored, and in all children too.
for _signal in (getattr(signal, n) for n in ("SIGINT", "SIGHUP", "SIGQUIT") if hasattr(signal, n)):
    if signal.getsignal(_signal) is signal.SIG_IGN:
        signal.signal(_signal, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
    signal.signal(signal.SIGINT, signal.default_int_handler)

POSIX_FILES = {
    "the POSIX half of the seam, and what its kernels have": "process guardian scale watch",
    "files for editors, the same everywhere": "editor_templates vscode_extension",
    "terminals": "terminal terminal_sessions vscode_terminal",
    "real processes, which signals end; Windows has test_windows_runs": (
        "adapter broken_code child_control child_debugger child_failures child_reloaders"
        " child_programs child_servers debugging descendants detection endings endurance"
        " green_threads hostile init_runs joining keeper_debugpy launcher main_job pycharm recipes"
        " reloading replaced standby standby_debugging standby_packages standby_safety targets_run"
        " uvicorn_239 ways_in"
    ),
}
"""Not even imported on Windows, by reason. A single test is marked: `pytest.mark.posix(REASON)`."""

if sys.platform == "win32":
    _NAMES = {f"test_{name}.py" for names in POSIX_FILES.values() for name in names.split()}
    _FILES = Path(__file__).parent.rglob("test_*.py")
    collect_ignore = [str(path) for path in _FILES if path.name in _NAMES]


def pytest_report_header() -> list[str]:
    """Say what is left out."""
    if sys.platform != "win32":
        return []
    return [f"not run here: {reason}: {names}" for reason, names in POSIX_FILES.items()]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is POSIX on Windows; under xdist start with the longest test.

    With --dist worksteal nothing waits behind that.
    """
    for item in items if sys.platform == "win32" else ():
        for mark in item.iter_markers("posix"):
            item.add_marker(pytest.mark.skip(reason=f"POSIX: {mark.args[0]}"))
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.path.name != "test_endurance.py")
