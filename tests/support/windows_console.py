"""Windows only: devlaunch in a console of its own, whose keys a test can press."""

from __future__ import annotations

import ast
import contextlib
import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from support.launch import Launch, environment
from support.wait import wait_until

from devlaunch.system.terms import SIGKILL

CTRL_C, CTRL_BREAK = 0, 1
IS_WINE = sys.platform == "win32" and hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")

# A process can send events to the console only that it is attached to, and hears them itself.
_KEYBOARD = """\
import ctypes, subprocess, sys, threading
kernel32 = ctypes.WinDLL("kernel32")
process = subprocess.Popen([sys.executable, *sys.argv[1:]], stdin=subprocess.DEVNULL)
ignore = ctypes.WINFUNCTYPE(ctypes.c_int, ctypes.c_uint32)(lambda event: 1)
kernel32.SetConsoleCtrlHandler(ignore, True)
print(f"<devlaunch is {process.pid}>", flush=True)
def press():
    for line in sys.stdin:
        kernel32.GenerateConsoleCtrlEvent(int(line), 0)
threading.Thread(target=press, daemon=True).start()
print(f"<status {process.wait()}>", flush=True)
"""


_SCREEN = """\
import ctypes, msvcrt, subprocess, sys
kernel32 = ctypes.WinDLL("kernel32")
kernel32.CreateFileW.restype = ctypes.c_void_p
handle = kernel32.CreateFileW("CONOUT$", ctypes.c_uint32(0xC0000000), 3, None, 3, 0, None)
screen = msvcrt.open_osfhandle(handle, 2)
def mode():
    found = ctypes.c_uint32()
    is_known = kernel32.GetConsoleMode(ctypes.c_void_p(handle), ctypes.byref(found))
    return found.value if is_known else None
before = mode()
command = [sys.executable, *sys.argv[1:]]
subprocess.run(command, stdin=subprocess.DEVNULL, stdout=screen, stderr=screen)
text, read = ctypes.create_unicode_buffer(20001), ctypes.c_uint32()
place = ctypes.c_uint32(0)
kernel32.ReadConsoleOutputCharacterW(
    ctypes.c_void_p(handle), text, 20000, place, ctypes.byref(read))
print(ascii((before, mode(), text.value)))
"""


def shown_on_console(*args: str, cwd: Path) -> tuple[int | None, int | None, str]:
    """A new console's modes before and after `devlaunch …`, and the text on it.

    The modes are None under wine, whose consoles have none without a terminal.
    """
    done = subprocess.run(
        [sys.executable, "-c", _SCREEN, "-m", "devlaunch", *args],
        cwd=cwd,
        env=environment(),
        check=True,
        capture_output=True,
        **_hidden_console(),
    )
    before, after, text = ast.literal_eval(done.stdout.decode())
    return before, after, text


def _hidden_console() -> dict[str, Any]:
    if sys.platform != "win32":
        return {}
    shown = subprocess.STARTUPINFO(dwFlags=subprocess.STARTF_USESHOWWINDOW)
    return {"startupinfo": shown, "creationflags": subprocess.CREATE_NEW_CONSOLE}


class ConsoleLaunch(Launch):
    """A `Launch` in a new console. `process` is the one that presses the keys."""

    def __init__(self, *args: str, cwd: Path) -> None:
        words = ("-m", "devlaunch", *args)
        options = {"stdin": subprocess.PIPE, **_hidden_console()}
        super().__init__(*words, cwd=cwd, command=("-c", _KEYBOARD), **options)

    @property
    def pid(self) -> int:
        return int(self.wait_for(r"<devlaunch is (\d+)>").group(1))

    def press(self, event: int = CTRL_C) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"%d\n" % event)
        self.process.stdin.flush()

    def status(self, timeout: float = 20.0) -> int:
        """The exit status of devlaunch, once it has ended."""
        found = lambda: re.search(r"<status (\d+)>", self.text)  # noqa: E731
        match: re.Match[str] = wait_until(found, timeout, lambda: f"the end of:\n{self.text}")
        return int(match[1])

    def close(self, sig: int = 0) -> None:
        """End what is left."""
        assert self.process.stdin is not None
        if "<status" not in self.text:
            with contextlib.suppress(OSError):
                os.kill(self.pid, SIGKILL)
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        self._reader.join(5)
