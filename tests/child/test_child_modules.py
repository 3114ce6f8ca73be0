"""Which files are the user's own."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from devlaunch.child.modules import is_users

LIBRARY = os.path.dirname(os.__file__)
HERE = str(Path(__file__).parent)


@pytest.mark.parametrize(
    ("path", "verdict"),
    [
        (os.__file__, False),
        (json.__file__, False),
        (os.path.join(LIBRARY, "site-packages", "package", "a.py"), False),
        (os.path.join(HERE, "env", "site-packages", "a.py"), False),
        (os.path.join(sys.base_prefix, "DLLs", "_socket.pyd"), False),
        (os.path.join(os.path.dirname(os.path.dirname(HERE)), "DLLs", "a.py"), True),
        ("<string>", False),
        (__file__, True),
    ],
)
def test_the_users_files(path: str, *, verdict: bool) -> None:
    for spelled in (path, path.upper(), path.lower(), path[:1].lower() + path[1:]):
        if os.path.normcase(spelled) == os.path.normcase(path):
            assert is_users(spelled) is verdict
