"""How runs end on Windows, or on Windows' CPython under wine. Nothing here is for POSIX."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path

import pytest
from support.launch import Launch, ending, save
from support.wait import wait_until
from support.windows_console import CTRL_BREAK, CTRL_C, IS_WINE, ConsoleLaunch, shown_on_console
from support.windows_launch import APP, answer, running
from support.windows_processes import below, is_alive

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="for Windows")


def on_console(directory: Path, *args: str) -> contextlib.AbstractContextManager[ConsoleLaunch]:
    return ending(ConsoleLaunch(*args, cwd=directory))


PROGRAM = """\
import atexit, time
atexit.register(print, "atexit has run")
{setup}
try:
    print("runs", flush=True)
{wait}
finally:
    print("finally has run")
"""

WAITS = {
    "sleep": ("", "    time.sleep(300)"),
    "loop": ("", "    while True: pass"),
    "asyncio": ("import asyncio", "    asyncio.run(asyncio.sleep(300))"),
    "http.server": (
        "from http.server import *",
        "    HTTPServer(('127.0.0.1', 0), SimpleHTTPRequestHandler).serve_forever()",
    ),
}


@pytest.mark.parametrize("kind", WAITS)
def test_ctrl_c_interrupts_a_program(tmp_path: Path, kind: str) -> None:
    setup, wait = WAITS[kind]
    (tmp_path / "job.py").write_text(PROGRAM.format(setup=setup, wait=wait))
    with on_console(tmp_path, "job.py") as launch:
        launch.wait_for("^runs")
        launch.press(CTRL_C)
        assert launch.status() == 130
        assert "finally has run" in launch.text
        assert "atexit has run" in launch.text


HOOK = """
import atexit
atexit.register(print, "hook has run")
"""


@pytest.mark.parametrize("server", ["wsgiref", "werkzeug", "uvicorn", "hypercorn"])
def test_ctrl_c_ends_a_server_well(tmp_path: Path, server: str) -> None:
    pytest.importorskip(server)
    (tmp_path / "app.py").write_text(APP.format(version=0) + HOOK)
    with on_console(tmp_path, "--port", "0", "--server", server, "app:app") as launch:
        answer(launch, "0")
        grandchild = int(launch.get("/start"))
        launch.press(CTRL_C)
        assert launch.status() == 0
        assert "hook has run" in launch.text
        assert not is_alive(grandchild)


def test_a_second_ctrl_c_waits_no_longer(tmp_path: Path) -> None:
    deaf = "try: time.sleep(300)\n        except BaseException: print('deaf')"
    wait = f"    while True:\n        {deaf}"
    (tmp_path / "job.py").write_text(PROGRAM.format(setup="", wait=wait))
    with on_console(tmp_path, "--grace", "100", "job.py") as launch:
        launch.wait_for("^runs")
        launch.press(CTRL_C)
        launch.wait_for("deaf")
        launch.press(CTRL_C)
        assert launch.status() == 130


@pytest.mark.parametrize("code", ["print('ran')", "x = (", "raise SystemExit(3)"])
def test_ctrl_c_while_it_waits_for_a_change(tmp_path: Path, code: str) -> None:
    (tmp_path / "job.py").write_text(code)
    with on_console(tmp_path, "job.py") as launch:
        launch.wait_for("waiting for a change")
        launch.press(CTRL_C)
        assert launch.status() == 130


def test_a_program_takes_a_request_to_end(tmp_path: Path) -> None:
    """By a handler of SIGTERM, which no sleep may hold up."""
    setup = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit('asked to end'))"
    (tmp_path / "job.py").write_text(PROGRAM.format(setup=setup, wait=WAITS["sleep"][1]))
    with on_console(tmp_path, "--grace", "100", "job.py") as launch:
        launch.wait_for("^runs")
        save(tmp_path / "job.py", "print('second')")
        launch.wait_for("^second")
        assert "asked to end" in launch.text
        assert "finally has run" in launch.text


@pytest.mark.skipif(IS_WINE, reason="wine ends the process, handlers or not")
def test_ctrl_break_asks_as_well(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP.format(version=0) + HOOK)
    with on_console(tmp_path, "--port", "0", "--server", "uvicorn", "app:app") as launch:
        answer(launch, "0")
        launch.press(CTRL_BREAK)
        launch.status()
        assert "hook has run" in launch.text


HELPER = """
import subprocess, sys
creationflags = {flags}
helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"],
    creationflags=creationflags)
print(f"helper={{helper.pid}}=", flush=True)
"""
DETACHED = 0x208  # DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP
BREAKAWAY = 0x01000000


def _helper(launch: Launch, after: int = 0) -> int:
    return int(launch.wait_for(r"helper=(\d+)=", after=after).group(1))


def test_who_breaks_away_outlives_a_reload_and_no_launcher(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(HELPER.format(flags=DETACHED | BREAKAWAY))
    with running(tmp_path, "job.py") as launch:
        first = _helper(launch)
        launch.wait_for("finished")
        offset = len(launch.text)
        save(tmp_path / "job.py", HELPER.format(flags=DETACHED) + "input()")
        second = _helper(launch, offset)
        launch.wait_for("waiting", after=offset)
        assert is_alive(first)
        assert not is_alive(second), "nobody waits for it"
        launch.process.kill()
        wait_until(lambda: not is_alive(first), 5, "it has ended")


def test_who_breaks_away_ends_at_the_end(tmp_path: Path) -> None:
    code = HELPER.format(flags=DETACHED | BREAKAWAY)
    (tmp_path / "job.py").write_text(code + "sys.exit(7)")
    with running(tmp_path, "--no-reload", "job.py") as launch:
        assert launch.wait_ended(30) == 7
        assert not is_alive(_helper(launch))


CALLS = """\
import devlaunch, pathlib, subprocess, sys, threading, time
def start():
    global other
    while not pathlib.Path("began").exists():
        time.sleep(0.01)
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    pathlib.Path("started").touch()
threading.Thread(target=start).start()
print("status", devlaunch.run("job.py", reload=False), flush=True)
print("other", other.poll(), flush=True)
other.kill()
"""


def test_what_else_the_calling_program_starts_outlives_the_run(tmp_path: Path) -> None:
    waits = """\
import pathlib, time
pathlib.Path("began").touch()
while not pathlib.Path("started").exists():
    time.sleep(0.01)
"""
    (tmp_path / "job.py").write_text(HELPER.format(flags=DETACHED | BREAKAWAY) + waits)
    (tmp_path / "calls.py").write_text(CALLS)
    with running(tmp_path, "calls.py", command=()) as launch:
        assert launch.wait_ended(30) == 0
        assert "status 0" in launch.text
        assert "other None" in launch.text
        assert not is_alive(_helper(launch))


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.1, 0.2])
def test_nothing_is_left_when_it_is_killed_in_the_midst_of_a_reload(
    tmp_path: Path, seconds: float
) -> None:
    (tmp_path / "app.py").write_text(APP.format(version=0))
    with running(tmp_path, "--server", "wsgiref", "--standby", "full", "app:app") as launch:
        pids = {answer(launch, "0"), int(launch.get("/start"))}
        save(tmp_path / "app.py", APP.format(version=1))
        time.sleep(seconds)  # not a deadline: the moment of the kill
        pids |= below(launch.pid)
        launch.process.kill()
        left = lambda: below(launch.pid) | set(filter(is_alive, pids))  # noqa: E731
        wait_until(lambda: not left(), 5, lambda: f"{left()} of {pids} have ended")


def test_programs_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(
        "import os, sys; print(f'{os.environ[\"NAME\"]} {sys.argv[1:]}')"
    )
    (tmp_path / "tool.cmd").write_text("@echo off")
    (tmp_path / "some.env").write_text("NAME=value")
    scripts = Path(sys.executable).parent / "Scripts"
    table = (
        (("--", "pip", "--version"), 0, "pip .* from"),
        (("--", str(scripts / "pip"), "--version"), 0, "pip .* from"),
        (("--", str(scripts / "PIP.EXE"), "--version"), 0, "pip .* from"),
        (("--", r".\tool", "x"), 2, r"tool.*is no Python program"),
        (("--", "py", "-3", "module.py", "x"), 0, r"value \['x'\]"),
        (("--", "python.exe", "-m", "module", "x"), 0, r"value \['x'\]"),
        (("-m", "module", "x"), 0, r"value \['x'\]"),
        (("absent.py",), 2, "no such file"),
    )
    for words, status, text in table:
        with running(tmp_path, "--no-reload", "--env-file", "some.env", *words) as launch:
            assert launch.wait_ended(30) == status, words
            launch.wait_for(text)


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [
        ("raise SystemExit(-1)", 0xFFFFFFFF, "status -1"),
        ("import os; os.kill(os.getpid(), 0xC0000135)", 0xC0000135, "status 0xC0000135"),
        ("import os; os.kill(os.getpid(), 0xC0000005)", 139, "killed by SIGSEGV"),
    ],
)
def test_statuses_are_passed_on(tmp_path: Path, code: str, status: int, words: str) -> None:
    (tmp_path / "job.py").write_text(code)
    with running(tmp_path, "--no-reload", "job.py") as launch:
        assert launch.wait_ended(30) & 0xFFFFFFFF == status
        launch.wait_for(words)


def test_a_console_shows_text_and_colours(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(
        """\
import ctypes, msvcrt, sys
mode = ctypes.c_uint32()
handle = ctypes.c_void_p(msvcrt.get_osfhandle(1))
ctypes.WinDLL("kernel32").GetConsoleMode(handle, ctypes.byref(mode))
print("takes escapes:", mode.value & 4, "\\x1b[32mgr\\u00fcn\\x1b[0m")
""",
    )
    before, after, text = shown_on_console("--no-reload", "job.py", cwd=tmp_path)
    if before is None:
        pytest.skip("wine needs a terminal for that: see tests/windows/console.py")
    assert before == after
    assert "\u279c  app" in text
    assert "takes escapes: 4" in text
    assert "gr\u00fcn" in text


@pytest.mark.parametrize("starts", ["subprocess", "multiprocessing"])
def test_a_file_of_a_worker_only_is_noticed(tmp_path: Path, starts: str) -> None:
    (tmp_path / "job.py").write_text(WORKERS)
    code = "def run(): print('worked {}', flush=True)\nif __name__ == '__main__': run()"
    (tmp_path / "work.py").write_text(code.format("once"))
    with running(tmp_path, "job.py", starts) as launch:
        launch.wait_for("cannot say what it runs")
        launch.wait_for("worked once")
        launch.wait_for("waits")
        save(tmp_path / "work.py", code.format("twice"))
        launch.wait_for("worked twice")


WORKERS = """\
import multiprocessing, subprocess, sys, time
def work():
    import work
    work.run()
if __name__ == "__main__":
    if sys.argv[1] == "subprocess":
        subprocess.run([sys.executable, "work.py"])
    else:
        process = multiprocessing.Process(target=work)
        process.start()
        process.join()
    print("waits", flush=True)
    time.sleep(300)
"""
