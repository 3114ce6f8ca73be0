"""The real devlaunch on Windows, or on Windows' CPython under wine. Nothing here is for POSIX."""

from __future__ import annotations

import contextlib
import ctypes
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.dap import DapClient
from support.launch import Launch, asgi_app
from support.wait import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="for Windows")

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


def is_alive(pid: int) -> bool:
    kernel32 = ctypes.WinDLL("kernel32")
    kernel32.OpenProcess.restype = ctypes.c_void_p
    handle = kernel32.OpenProcess(0x00100000, False, pid)  # SYNCHRONIZE
    if not handle:
        return False
    alive = kernel32.WaitForSingleObject(ctypes.c_void_p(handle), 0) != 0
    kernel32.CloseHandle(ctypes.c_void_p(handle))
    return alive


def save(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}~")
    beside.write_text(text)

    def replace() -> bool:
        with contextlib.suppress(PermissionError):  # the app's import reads it: editors try again
            beside.replace(path)
        return not beside.exists()

    wait_until(replace, 5, "it is replaced")


@contextlib.contextmanager
def running(directory: Path, *args: str) -> Iterator[Launch]:
    port = ["--port", "0"] if args[-1].endswith("app") and "--port" not in args else []
    launch = Launch(*port, *args, cwd=directory)
    try:
        yield launch
    except BaseException:
        print(launch.text)
        raise
    finally:
        launch.process.kill()
        launch.process.wait()


def answer(launch: Launch, version: str, timeout: float = 30.0) -> int:
    """The process that answers with this version."""

    def look() -> list[str]:
        with contextlib.suppress(OSError):
            words = launch.get(timeout=3).split()
            return words if words[0] == version else []
        return []

    return int(wait_until(look, timeout, lambda: f"{version} served:\n{launch.text}")[1])


@pytest.mark.parametrize("server", ["wsgiref", "werkzeug", "uvicorn", "hypercorn"])
def test_each_save_is_served(tmp_path: Path, server: str) -> None:
    pytest.importorskip(server)
    (tmp_path / "app.py").write_text(APP.format(version=0))
    with running(tmp_path, "--server", server, "app:app") as launch:
        before = answer(launch, "0")
        for version in range(1, 5):
            save(tmp_path / "app.py", APP.format(version=version))
            after = answer(launch, str(version))
            assert after != before
            assert not is_alive(before)
            before = after


@pytest.mark.parametrize("server", ["wsgiref", "werkzeug", "uvicorn", "hypercorn"])
def test_no_request_is_refused(tmp_path: Path, server: str) -> None:
    pytest.importorskip(server)
    (tmp_path / "app.py").write_text(APP.format(version=0))
    with running(tmp_path, "--server", server, "app:app") as launch, ThreadPoolExecutor() as pool:
        answer(launch, "0")
        slow = pool.submit(launch.get, "/slow")
        launch.wait_for("in slow")
        is_over = threading.Event()
        rest = pool.submit(lambda: [launch.get() for _ in iter(is_over.is_set, True)])
        try:
            for version in range(1, 5):
                save(tmp_path / "app.py", APP.format(version=version))
                time.sleep(0.3)  # as a person does who presses it again and again
            answer(launch, "4")
        finally:
            is_over.set()
        assert slow.result().startswith("0 ")
        versions = [each.split()[0] for each in rest.result()]
        assert versions == sorted(versions)


ASYNCIO = """\
import asyncio, sys
async def app(scope, receive, send):
    assert scope["type"] == "http"
    command = [sys.executable, "-c", "print('below', {version})"]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe)
    body, _ = await process.communicate()
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": body.strip()}})
"""


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn"])
def test_asyncio_has_its_subprocesses(tmp_path: Path, server: str) -> None:
    (tmp_path / "app.py").write_text(ASYNCIO.format(version=0))
    with running(tmp_path, "--server", server, "app:app") as launch:
        launch.wait_served("below 0")
        save(tmp_path / "app.py", ASYNCIO.format(version=1))
        launch.wait_served("below 1")


def test_broken_code_is_mended(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("x = (")
    with running(tmp_path, "--server", "wsgiref", "app:app") as launch:
        launch.wait_for("broken .*app.py:1")
        save(tmp_path / "app.py", APP.format(version=1))
        answer(launch, "1")


def test_a_program_that_ends_is_started_again(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text("print('ran once')")
    with running(tmp_path, "job.py") as launch:
        launch.wait_for("finished")
        save(tmp_path / "job.py", "raise SystemExit(3)")
        launch.wait_for("status 3")


def test_nothing_survives_the_launcher(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP.format(version=0))
    with running(tmp_path, "--server", "wsgiref", "app:app") as launch:
        app = answer(launch, "0")
        grandchildren = [int(launch.get("/start")) for _ in range(2)]
        assert all(map(is_alive, [app, *grandchildren]))
        launch.process.kill()
        wait_until(lambda: not any(map(is_alive, [app, *grandchildren])), 3, "all have ended")


def test_nothing_survives_a_reload(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP.format(version=0))
    with running(tmp_path, "--server", "wsgiref", "app:app") as launch:
        answer(launch, "0")
        grandchild = int(launch.get("/start"))
        save(tmp_path / "app.py", APP.format(version=1))
        answer(launch, "1")
        assert not is_alive(grandchild)


def test_a_port_in_use_is_the_first_ones(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP.format(version=0))
    with running(tmp_path, "--server", "wsgiref", "app:app") as first:
        answer(first, "0")
        port = first.url.rpartition(":")[2]
        with running(tmp_path, "--port", port, "app:app") as second:
            second.wait_for(rf"--port: 127.0.0.1:{port} is in use by python.exe \(pid \d+\)")
            assert second.process.wait(20) == 1
        answer(first, "0")


def test_in_a_virtual_environment(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP.format(version=0))
    venv = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    packages = Path(urllib.request.__file__).parents[1] / "site-packages"
    (venv / "Lib/site-packages/base.pth").write_text(str(packages))
    args = ("--python", str(venv / "Scripts/python.exe"), "--server", "wsgiref", "app:app")
    with running(tmp_path, *args) as launch:
        answer(launch, "0")
        save(tmp_path / "app.py", APP.format(version=1))
        answer(launch, "1")


def test_one_session_lasts_over_reloads(tmp_path: Path) -> None:
    path = tmp_path / "app.py"
    path.write_text(asgi_app("0"))
    debug = ("--debug-attach", "--debug-address", "127.0.0.1:0")
    with running(tmp_path, *debug, "app:app") as launch:
        with DapClient("127.0.0.1", launch.debug_port, timeout=60) as ide:
            ide.attach(breakpoints={str(path): [1]})
            launch.wait_for("ready", timeout=60)
            for version in "123":
                time.sleep(0.2)
                save(path, asgi_app(version))
                stopped = ide.wait_event("stopped")
                assert ide.top_frame(stopped)["line"] == 1
                ide.request("continue", threadId=stopped["threadId"])
                launch_answers = lambda: launch.get() == version  # noqa: B023, E731
                wait_until(launch_answers, 20, "served")
            ide.request("terminate")
            ide.wait_event("terminated")
        assert launch.process.wait(10) == 0
