"""devlaunch on a console of Windows' that has a screen and a keyboard: wine's, on a terminal.

Run by `run.py`, with Linux' Python, in its namespaces. A real Windows needs no such detour: there
`test_windows_endings` sees the same.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from support.pty import Pty
from windows.run import HOME, windows

CTRL_C = "\x03"
PROJECT = HOME / "console"

MODES = """\
import ctypes, msvcrt, subprocess, sys
def say(when):
    mode = ctypes.c_uint32()
    handle = ctypes.c_void_p(msvcrt.get_osfhandle(1))
    ctypes.WinDLL("kernel32").GetConsoleMode(handle, ctypes.byref(mode))
    print(f"{when}={mode.value}=", flush=True)
if "within" in sys.argv:
    say("within")
    print("\\x1b[32mgr\\u00fcn\\x1b[0m")
else:
    say("before")
    command = [sys.executable, "-m", "devlaunch", "--no-reload", __file__, "within"]
    subprocess.call(command)
    say("after")
"""
PROGRAM = """\
import atexit, time
atexit.register(print, "atexit has run")
try:
    print("it runs", flush=True)
    time.sleep(300)
finally:
    print("finally has run")
"""
SERVER = """\
import atexit
atexit.register(print, "atexit has run")
async def app(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    print("finally has run")
    await send({"type": "lifespan.shutdown.complete"})
"""
DEAF = """\
import time
while True:
    try:
        print("it runs", flush=True)
        time.sleep(300)
    except KeyboardInterrupt:
        pass
"""
ESCAPES = 4
"""ENABLE_VIRTUAL_TERMINAL_PROCESSING."""


@contextmanager
def console(code: str, *words: str) -> Iterator[Pty]:
    """Run Python there with this program in job.py."""
    PROJECT.mkdir(exist_ok=True)
    (PROJECT / "job.py").write_text(code)
    command = windows(os.environ["WINDOWS_PYTHON"], *words, cwd="/w/console")
    with Pty(command) as pty:
        yield pty


def test_it_shows_text_and_colours_and_has_its_mode_back() -> None:
    with console(MODES, "job.py") as pty:
        pty.wait_for("after=", timeout=60)
        assert pty.wait_ended(30) == 0
        assert "\u279c" in pty.screen
        assert "\x1b[32mgr\u00fcn" in pty.screen
        modes = dict(re.findall(r"(before|within|after)=(\d+)=", pty.screen))
        assert int(modes["within"]) & ESCAPES
        assert modes["before"] == modes["after"]


@pytest.mark.parametrize(
    ("code", "words", "status"),
    [
        pytest.param(PROGRAM, ["job.py"], 130, id="program"),
        pytest.param(SERVER, ["--server", "uvicorn", "--port", "0", "job:app"], 0, id="server"),
        pytest.param(DEAF, ["--grace", "100", "job.py"], 130, id="deaf"),
    ],
)
def test_ctrl_c(code: str, words: list[str], status: int) -> None:
    with console(code, "-m", "devlaunch", *words) as pty:
        pty.wait_for("ready in" if code == SERVER else "it runs", timeout=60)
        pty.press(CTRL_C)
        for _ in range(60 if code == DEAF else 0):
            # As a person presses again: what comes at once counts as the same press.
            with suppress(subprocess.TimeoutExpired):
                pty.wait_ended(0.5)
                break
            pty.press(CTRL_C)
        assert pty.wait_ended(30) == status
        if code != DEAF:
            pty.wait_for("finally has run")
            pty.wait_for("atexit has run")
