"""Order of the tests, and the signals as a terminal has them."""

from __future__ import annotations

import signal

import pytest

# Under nohup(1), or in the background of a script, these are ignored, and in all children too.
for _signal in (getattr(signal, n) for n in ("SIGINT", "SIGHUP", "SIGQUIT") if hasattr(signal, n)):
    if signal.getsignal(_signal) is signal.SIG_IGN:
        signal.signal(_signal, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Under xdist the longest test starts first (with --dist worksteal nothing waits behind it)."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.path.name != "test_endurance.py")
