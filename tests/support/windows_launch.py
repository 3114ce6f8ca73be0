"""Windows only: devlaunch with a small app that says which process it is, and starts others."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from support.launch import Launch, launched
from support.wait import wait_until

APP = """\
import os, subprocess, sys, time
VERSION = {version!r}
started = []
def app(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/start":
        code = "import time; time.sleep(300)"
        started.append(subprocess.Popen([sys.executable, "-c", code], creationflags=0x208))
        return [str(started[-1].pid).encode()]
    if environ["PATH_INFO"] == "/slow":
        print("in slow", flush=True)
        time.sleep(1)
    return [f"{{VERSION}} {{os.getpid()}}".encode()]
"""


def running(
    directory: Path, *args: str, **options: Any
) -> contextlib.AbstractContextManager[Launch]:
    port = ["--port", "0"] if args[-1].endswith("app") and "--port" not in args else []
    return launched(*port, *args, cwd=directory, **options)


def answer(launch: Launch, version: str, timeout: float = 30.0) -> int:
    """The process that answers with this version."""

    def look() -> list[str]:
        with contextlib.suppress(OSError):
            words = launch.get(timeout=3).split()
            return words if words[0] == version else []
        return []

    return int(wait_until(look, timeout, lambda: f"{version} served:\n{launch.text}")[1])
