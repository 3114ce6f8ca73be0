"""Order of the tests."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Under xdist the longest test starts first (with --dist worksteal nothing waits behind it)."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.path.name != "test_endurance.py")
