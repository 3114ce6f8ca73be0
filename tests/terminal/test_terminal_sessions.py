"""devlaunch on a real terminal: the keys, input() and pdb, the modes, the hang-up, the colours."""

from __future__ import annotations

import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.marks import assert_nothing_left, describe
from support.terminal_launch import PROMPT, TerminalLaunch, on_terminal
from support.wait import wait_until

APP = """\
import asyncio, time
VERSION = {version!r}

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                print("hook of", VERSION, "runs", flush=True)
                {shutdown}
            await send({{"type": message["type"] + ".complete"}})
    {handler}
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": VERSION.encode()}})
"""

READER = """\
VERSION = {version!r}
print("asks", VERSION, flush=True)
while True:
    print("read", input().upper(), flush=True)
"""

# Raw, without an echo, as a full-screen program leaves it when it is killed.
SPOILER = """\
import os, sys, time, tty
VERSION = {version!r}
tty.setraw(0)
os.write(1, f"spoiled by {{VERSION}} {{os.getpid()}} ".encode())
time.sleep(600)
"""

DEAF = """\
import signal, sys, time
def refuse(sig, frame):
    print("refused", signal.Signals(sig).name, flush=True)
signal.signal(signal.SIGINT, refuse)
signal.signal(signal.SIGTERM, refuse)
print("is deaf", flush=True)
while True:
    time.sleep(600)
"""

DEBUGGED = """\
VERSION = {version!r}
def halve(number):
    half = number // 2
    breakpoint()
    return half
print("result", halve(84), "of", VERSION, flush=True)
"""

ENDLESS = ("--grace", "600")
"""The grace is never over: what ends the child in these tests is something else."""
MODES = ("session", "group", "none")


def asgi(version: str, *, shutdown: str = "pass", handler: str = "pass") -> str:
    return APP.format(version=version, shutdown=shutdown, handler=handler)


def write(directory: Path, name: str, text: str) -> None:
    (directory / name).write_text(text)


def echoing(launch: TerminalLaunch) -> None:
    wait_until(launch.echoes, what=lambda: f"sane terminal modes:\n{launch.text}")


def states(pids: list[int]) -> set[str]:
    """The processes' states of proc_pid_stat(5)."""
    texts = [Path(f"/proc/{pid}/stat").read_text() for pid in pids]
    return {text.rpartition(")")[2].split()[0] for text in texts}


# --- Ctrl-C -------------------------------------------------------------------------------------


@pytest.mark.parametrize("isolate", MODES)
def test_ctrl_c_runs_the_shutdown_hook_and_ends_all(tmp_path: Path, isolate: str) -> None:
    write(tmp_path, "app.py", asgi("v0"))
    with on_terminal(
        *ENDLESS, "--isolate", isolate, "--port", "0", "app:app", cwd=tmp_path
    ) as launch:
        launch.wait_for("ready in")
        launch.save(asgi("v1"))
        launch.wait_for("reloaded in")
        assert launch.get() == "v1"
        launch.press("\x03")
        assert launch.wait_ended() == 0, "uvicorn's own status"
        assert launch.text.count("hook of v1 runs") == 1
        assert "Traceback" not in launch.text
        assert launch.echoes()


@pytest.mark.parametrize("isolate", MODES)
def test_ctrl_c_ends_a_script_with_130(tmp_path: Path, isolate: str) -> None:
    write(tmp_path, "reader.py", READER.format(version="v0"))
    with on_terminal("--isolate", isolate, "reader.py", cwd=tmp_path) as launch:
        launch.wait_for("asks v0")
        launch.answer("first\n", "read FIRST")
        launch.save(READER.format(version="v1"), "reader.py")
        launch.wait_for("asks v1")
        launch.answer("second\n", "read SECOND")
        launch.press("\x03")
        assert launch.wait_ended() == 130


@pytest.mark.parametrize("shutdown", ["time.sleep(600)", "await asyncio.sleep(600)"])
def test_a_second_ctrl_c_does_not_wait_for_a_hook_that_hangs(tmp_path: Path, shutdown: str) -> None:
    write(tmp_path, "app.py", asgi("v0", shutdown=shutdown))
    with on_terminal(*ENDLESS, "--port", "0", "app:app", cwd=tmp_path) as launch:
        launch.wait_for("ready in")
        launch.press("\x03")
        launch.wait_for("hook of v0 runs")
        assert launch.process.poll() is None
        launch.press("\x03")
        assert launch.wait_ended() == 130


def test_a_second_ctrl_c_ends_a_program_that_refuses_the_first(tmp_path: Path) -> None:
    write(tmp_path, "deaf.py", DEAF)
    with on_terminal(*ENDLESS, "deaf.py", cwd=tmp_path) as launch:
        launch.wait_for("is deaf")
        launch.press("\x03")
        launch.wait_for("refused SIGINT")
        assert launch.process.poll() is None
        launch.press("\x03")
        assert launch.wait_ended() == 130


# --- Ctrl-Z and fg ------------------------------------------------------------------------------


@pytest.mark.parametrize("isolate", MODES)
def test_ctrl_z_and_fg_under_a_shell(tmp_path: Path, isolate: str) -> None:
    write(tmp_path, "reader.py", READER.format(version="v0"))
    with on_terminal("--isolate", isolate, "reader.py", cwd=tmp_path, shell=True) as launch:
        launch.wait_for("asks v0")
        for round_ in range(2):
            launch.answer("\x1a", "Stopped")
            wait_until(lambda: states(launch.members()) == {"T"}, what="all of it stopped")
            assert len(launch.members()) >= 2
            launch.answer("echo shell-$((40 + 2))\n", "shell-42")
            launch.press("fg\n")
            wait_until(lambda: "T" not in states(launch.members()), what="all of it continued")
            launch.answer(f"round {round_}\n", f"read ROUND {round_}")
        launch.answer("\x03", PROMPT)
        launch.answer("echo status-$?\n", "status-130")
        assert not launch.members()


def test_a_save_while_stopped_is_seen_after_fg(tmp_path: Path) -> None:
    write(tmp_path, "app.py", asgi("v0"))
    with on_terminal("--port", "0", "app:app", cwd=tmp_path, shell=True) as launch:
        launch.wait_for("ready in")
        launch.answer("\x1a", "Stopped")
        wait_until(lambda: states(launch.members()) == {"T"}, what="all of it stopped")
        launch.save(asgi("v1"))
        launch.answer("fg\n", "reloaded in")
        assert launch.get() == "v1"
        launch.answer("\x03", PROMPT)


# --- pdb ----------------------------------------------------------------------------------------


def use_pdb(launch: TerminalLaunch, at: int, version: str) -> None:
    """At the prompt in `halve`: look, step, go on."""
    launch.wait_for(r"\(Pdb\) ", after=at)
    launch.answer("p VERSION, number\n", rf"\('{version}', 84\)\s+\(Pdb\) ")
    launch.answer("n\n", r"--Return--|return half")
    launch.answer("c\n", f"result 42 of {version}")


@pytest.mark.parametrize("isolate", MODES)
def test_breakpoint_in_a_script_and_again_after_each_reload(tmp_path: Path, isolate: str) -> None:
    write(tmp_path, "work.py", DEBUGGED.format(version="v0"))
    with on_terminal("--isolate", isolate, "work.py", cwd=tmp_path) as launch:
        at = 0
        for count in range(3):
            use_pdb(launch, at, f"v{count}")
            at = len(launch.text)
            launch.save(DEBUGGED.format(version=f"v{count + 1}"), "work.py")
        launch.wait_for(r"\(Pdb\) ", after=at)
        assert "Traceback" not in launch.text


@pytest.mark.parametrize("debug", [(), ("--debug-attach", "--debug-address", "127.0.0.1:0")])
def test_breakpoint_in_a_handler_and_again_after_a_reload(
    tmp_path: Path, debug: tuple[str, ...]
) -> None:
    write(tmp_path, "app.py", asgi("v0", handler="breakpoint()"))
    with (
        on_terminal("--port", "0", *debug, "app:app", cwd=tmp_path) as launch,
        ThreadPoolExecutor(1) as pool,
    ):
        launch.wait_for("ready in")
        at = 0
        for count in range(2):
            answer = pool.submit(launch.get)
            launch.wait_for(r"\(Pdb\) ", after=at)
            launch.answer("p scope['path'], VERSION\n", rf"\('/', 'v{count}'\)\s+\(Pdb\) ")
            launch.press("c\n")
            assert answer.result(20) == f"v{count}"
            if count == 0:
                launch.save(asgi("v1", handler="breakpoint()"))
                launch.wait_for("reloaded in")
                at = len(launch.text)
        # After `c` a Ctrl-C is pdb's: "Program interrupted". The grace ends that, as any refusal.
        launch.answer("\x03", r"\(Pdb\) ")
        assert launch.wait_ended() == 130
        assert launch.echoes()


def test_a_save_at_the_pdb_prompt_reloads_and_restores_the_terminal(tmp_path: Path) -> None:
    write(tmp_path, "work.py", DEBUGGED.format(version="v0"))
    with on_terminal("work.py", cwd=tmp_path) as launch:
        launch.wait_for(r"\(Pdb\) ")
        at = len(launch.text)
        launch.save("print('no prompt here', flush=True)\ninput()\n", "work.py")
        launch.wait_for("no prompt here", after=at)
        echoing(launch)
        at = len(launch.text)
        launch.save(DEBUGGED.format(version="v2"), "work.py")
        use_pdb(launch, at, "v2")


# --- the modes of the terminal ------------------------------------------------------------------


@pytest.mark.parametrize("isolate", MODES)
def test_the_modes_are_restored_whatever_the_child_did(tmp_path: Path, isolate: str) -> None:
    write(tmp_path, "raw.py", SPOILER.format(version="v0"))
    with on_terminal("--isolate", isolate, "raw.py", cwd=tmp_path) as launch:
        pid = int(launch.wait_for(r"spoiled by v0 (\d+) ")[1])
        before = launch.pty.modes()
        assert not launch.echoes()
        os.kill(pid, signal.SIGKILL)
        launch.wait_for("killed by SIGKILL")
        echoing(launch)
        launch.save(SPOILER.format(version="v1"), "raw.py")
        launch.wait_for(r"spoiled by v1 (\d+) ")
        assert launch.pty.modes() == before
        launch.save(READER.format(version="v2"), "raw.py")
        launch.wait_for("asks v2")
        assert launch.echoes(), "before the next child reads"
        launch.answer("typed\n", "read TYPED")
        at = len(launch.text)
        launch.save(SPOILER.format(version="v3"), "raw.py")
        launch.wait_for(r"spoiled by v3 (\d+) ", after=at)
        os.kill(launch.pid, signal.SIGTERM)
        assert launch.wait_ended() == 143
        assert launch.echoes()


def test_the_modes_come_back_after_fg(tmp_path: Path) -> None:
    write(tmp_path, "raw.py", SPOILER.format(version="v0").replace("setraw", "setcbreak"))
    with on_terminal("raw.py", cwd=tmp_path, shell=True) as launch:
        launch.wait_for(r"spoiled by v0 (\d+) ")
        launch.answer("\x1a", "Stopped")
        launch.answer("echo shell-$((40 + 2))\n", "shell-42")
        at = len(launch.text)
        launch.press("fg\n")
        wait_until(lambda: "T" not in states(launch.members()), what="all of it continued")
        wait_until(lambda: not launch.echoes(), what="the child's modes")
        launch.press("\x03")
        launch.wait_for(PROMPT, after=at)


# --- the hang-up --------------------------------------------------------------------------------


@pytest.mark.parametrize("isolate", MODES)
@pytest.mark.parametrize(
    ("program", "shell"), [("app", False), ("reader", True), ("deaf", False), ("deaf", True)]
)
def test_a_hang_up_ends_everything(tmp_path: Path, isolate: str, shell: bool, program: str) -> None:
    write(tmp_path, "app.py", asgi("v0"))
    write(tmp_path, "reader.py", READER.format(version="v0"))
    write(tmp_path, "deaf.py", DEAF.replace("SIGINT", "SIGHUP"))
    target = ("--port", "0", "app:app") if program == "app" else (f"{program}.py",)
    ready = {"app": "ready in", "reader": "asks v0", "deaf": "is deaf"}[program]
    options = ("--isolate", isolate, "--grace", "0.5")
    with on_terminal(*options, *target, cwd=tmp_path, shell=shell) as launch:
        launch.wait_for(ready)
        launch.pty.hang_up()
        launch.wait_ended()
        wait_until(lambda: not launch.members(), what=lambda: describe(launch.members()))
        assert_nothing_left(launch.run_id)


# --- colours ------------------------------------------------------------------------------------


@pytest.mark.parametrize("isolated", [True, False], ids=["NO_COLOR", "colour"])
def test_colours_are_for_terminals_that_want_them(tmp_path: Path, isolated: bool) -> None:
    write(tmp_path, "app.py", asgi("v0"))
    env = {"NO_COLOR": "1"} if isolated else {}
    with on_terminal("-v", "--port", "0", "app:app", cwd=tmp_path, env=env) as launch:
        launch.wait_for("ready in")
        launch.get()
        launch.wait_for(r"GET /")
        launch.save("1 / 0\n")
        launch.wait_for("waiting for a change")
        launch.save(asgi("v1"))
        launch.wait_for("reloaded in")
        launch.press("\x03")
        launch.wait_ended()
        assert bool(re.search("\x1b\\[[0-9;]*m", launch.text)) is not isolated
