"""The keys of a real terminal, Ctrl-C, Ctrl-Z and fg, and its modes after a child spoiled them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.marks import assert_nothing_left, marked
from support.pty import Pty
from support.wait import wait_until

from devlaunch.config import Isolation
from devlaunch.system import process
from devlaunch.terminal.jobs import Terminal

ROOT = Path(__file__).parents[2]

# What a launcher does with the terminal, and no more: forward Ctrl-C, suspend, restore.
LAUNCHER = """
import os, signal, sys
from devlaunch.system import process
from devlaunch.config import Isolation
from devlaunch.system.loop import Loop
from devlaunch.terminal.jobs import Terminal

run_id, isolate, code = sys.argv[1], Isolation(sys.argv[2]), sys.argv[3]
terminal = Terminal()
loop = Loop()
loop.catch_signals({signal.SIGCHLD, signal.SIGINT, signal.SIGTSTP, signal.SIGHUP})
child = process.spawn([sys.executable, "-c", code], run_id=run_id, isolate=isolate)
if isolate is Isolation.GROUP:
    terminal.lend_foreground(child.pid)

def handle(event):
    if event.signal == signal.SIGTSTP or child.stopped():
        terminal.suspend([child], loop.forget)
        print("launcher continued", flush=True)
    elif event.signal in (signal.SIGINT, signal.SIGHUP):
        if not terminal.keys_reach(isolate):
            child.signal_session(event.signal)
    if child.poll() is not None:
        loop.stop()

loop.run(handle, lambda: None)
terminal.restore()
status = process.exit_code(child.reap())
loop.close()
print("launcher ends with", status, flush=True)
sys.exit(status)
"""

READER = """
import signal, sys
def stop(sig, frame):
    print("child got", signal.Signals(sig).name, flush=True)
    sys.exit(7)
signal.signal(signal.SIGINT, stop)
signal.signal(signal.SIGHUP, stop)
print("ready", flush=True)
for line in sys.stdin:
    print("read", line.strip().upper(), flush=True)
"""

SPOILER = """
import os, signal, sys, termios, tty
tty.setraw(0)
os.write(1, b"spoiled")
os.read(0, 1)
os.kill(os.getpid(), signal.SIGKILL)
"""

SHELL = ["bash", "--norc", "--noprofile", "-i"]

ALL = list(Isolation)


@pytest.fixture
def run_id() -> Iterator[str]:
    run_id = process.new_run_id()
    yield run_id
    process.sweep(run_id)
    assert_nothing_left(run_id)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "launcher.py"
    path.write_text(LAUNCHER)
    (tmp_path / "reader.py").write_text(READER)
    return path


def environment(run_id: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PS1": "$ ", process.MARK: run_id}


def launcher(script: Path, run_id: str, isolate: Isolation, code: str) -> Pty:
    command = [sys.executable, str(script), run_id + "-child", isolate, code]
    return Pty(command, env=environment(run_id))


@pytest.mark.parametrize("isolate", ALL)
def test_a_child_reads_the_terminal_and_ctrl_c_ends_it(
    script: Path, run_id: str, isolate: Isolation
) -> None:
    with launcher(script, run_id, isolate, READER) as pty:
        pty.wait_for("ready")
        pty.press("hello\n")
        pty.wait_for("read HELLO")
        pty.press("\x03")
        pty.wait_for("child got SIGINT")
        pty.wait_for("launcher ends with 7")
        assert pty.wait_ended() == 7
        assert pty.screen.count("child got SIGINT") == 1


@pytest.mark.parametrize("isolate", ALL)
def test_the_modes_are_restored_after_a_child_that_spoiled_them(
    script: Path, run_id: str, isolate: Isolation
) -> None:
    with launcher(script, run_id, isolate, SPOILER) as pty:
        pty.wait_for("spoiled")
        spoiled = pty.modes()
        pty.press("x")
        pty.wait_for("launcher ends with 137")
        pty.wait_ended()
        modes = pty.modes()
    assert modes != spoiled
    assert modes[3] & termios.ECHO  # type: ignore[operator]
    assert modes[3] & termios.ICANON  # type: ignore[operator]


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize("isolate", ALL)
def test_ctrl_z_and_fg_under_a_shell(script: Path, run_id: str, isolate: Isolation) -> None:
    with Pty(SHELL, cwd=str(script.parent), env=environment(run_id)) as pty:
        pty.wait_for("$ ")
        pty.press(f'{sys.executable} launcher.py {run_id}-child {isolate} "$(cat reader.py)"\n')
        at = pty.wait_for("ready")
        for _ in range(2):
            pty.press("\x1a")
            at = pty.wait_for("Stopped", after=at)
            # A process that waits for a core is stopped once it gets one.
            for pid in set(marked(run_id)) - {pty.pid}:
                wait_until(lambda pid=pid: state(pid) == "T", what="the child is stopped, too")
            pty.press("echo prompt-$((40 + 2))\n")
            at = pty.wait_for("prompt-42", after=at)
            pty.press("fg\n")
            at = pty.wait_for("launcher continued", after=at)
            pty.press("again\n")
            at = pty.wait_for("read AGAIN", after=at)
        pty.press("\x03")
        at = pty.wait_for("launcher ends with 7", after=at)
        pty.press("echo status-$?\n")
        pty.wait_for("status-7", after=at)
        pty.press("exit\n")
        pty.wait_ended()


def test_a_ctrl_z_that_comes_in_twice_stops_once(script: Path, run_id: str) -> None:
    """As the child's stop, and a moment later as our own signal."""
    again = "        os.kill(os.getpid(), signal.SIGTSTP)\n        terminal.suspend("
    script.write_text(LAUNCHER.replace("        terminal.suspend(", again))
    with Pty(SHELL, cwd=str(script.parent), env=environment(run_id)) as pty:
        pty.wait_for("$ ")
        pty.press(f'{sys.executable} launcher.py {run_id}-child none "$(cat reader.py)"\n')
        at = pty.wait_for("ready")
        pty.press("\x1a")
        at = pty.wait_for("Stopped", after=at)
        pty.press("fg\n")
        at = pty.wait_for("launcher continued", after=at)
        pty.press("again\n")
        pty.wait_for("read AGAIN", after=at)
        pty.press("\x03")
        pty.wait_for("launcher ends with 7", after=at)
        assert pty.screen.count("Stopped") == pty.screen.count("launcher continued") == 1


def test_the_childs_modes_come_back_with_fg(script: Path, run_id: str) -> None:
    # As at a readline prompt: no echo, one character at a time, but Ctrl-Z still is a key.
    code = """
import sys, termios, tty
tty.setcbreak(0)
print("ready", flush=True)
while True:
    print("key", sys.stdin.read(1).upper(), flush=True)
"""
    (script.parent / "reader.py").write_text(code)
    with Pty(SHELL, cwd=str(script.parent), env=environment(run_id)) as pty:
        pty.wait_for("$ ")
        pty.press(f'{sys.executable} launcher.py {run_id}-child session "$(cat reader.py)"\n')
        at = pty.wait_for("ready")
        cbreak = pty.modes()[3]
        pty.press("\x1a")
        at = pty.wait_for("Stopped", after=at)
        pty.press("fg\n")
        at = pty.wait_for("launcher continued", after=at)
        assert pty.modes()[3] == cbreak
        pty.press("q")
        pty.wait_for("key Q", after=at)
        pty.press("\x03")
        pty.wait_for("launcher ends with 130")


def test_a_background_launcher_leaves_the_terminal_alone(script: Path, run_id: str) -> None:
    with Pty(SHELL, cwd=str(script.parent), env=environment(run_id)) as pty:
        at = pty.wait_for("$ ")
        code = "import time, sys; print('rea' + 'dy', flush=True); time.sleep(0.2); sys.exit(3)"
        pty.press(f'{sys.executable} launcher.py {run_id}-child group "{code}" & \n')
        at = pty.wait_for("ready", after=at)
        pty.press("stty -echo; echo mute\n")
        at = pty.wait_for("mute", after=at)
        pty.wait_for("launcher ends with 3", after=at)
        pty.press("stty -a | tr ' ' '\\n' | grep echo$\n")
        pty.wait_for("-echo", after=at)


def test_a_hang_up_of_the_terminal_reaches_the_child(script: Path, run_id: str) -> None:
    with launcher(script, run_id, Isolation.SESSION, READER) as pty:
        pty.wait_for("ready")
        pty.hang_up()
        # Its output is gone with the terminal, so only its end can be seen.
        pty.wait_ended()
    assert_nothing_left(run_id)


def test_without_a_shell_ctrl_z_stops_nothing(script: Path, run_id: str) -> None:
    # The launcher leads the session: nobody could continue it, and the kernel knows.
    with launcher(script, run_id, Isolation.SESSION, READER) as pty:
        pty.wait_for("ready")
        pty.press("\x1a")
        at = pty.wait_for("launcher continued")
        pty.press("hello\n")
        pty.wait_for("read HELLO", after=at)
        pty.press("\x03")
        assert pty.wait_ended() == 7


# --- without a terminal -------------------------------------------------------------------------


class Recorder:
    """Counts the signals that a child would get."""

    def __init__(self) -> None:
        self.got: list[int] = []

    def signal_session(self, sig: int) -> None:
        self.got.append(sig)


def test_a_pipe_is_no_terminal() -> None:
    reader, writer = os.pipe()
    terminal = Terminal(reader)
    assert not terminal.is_tty
    terminal.lend_foreground(os.getpid())
    terminal.restore()
    os.close(reader)
    os.close(writer)
    terminal.restore()


def test_a_terminal_that_went_away_is_no_error() -> None:
    master, slave = os.openpty()
    terminal = Terminal(slave)
    assert terminal.is_tty
    os.close(master)
    terminal.restore()
    os.close(slave)
    terminal.restore()
    terminal.lend_foreground(os.getpid())


def test_a_terminal_that_is_not_the_controlling_one_is_restored() -> None:
    # As when an IDE gives a terminal, but no job control.
    master, slave = os.openpty()
    terminal = Terminal(slave)
    before = termios.tcgetattr(slave)
    subprocess.run(["stty", "-echo", "raw"], stdin=slave, check=True)
    assert termios.tcgetattr(slave) != before
    terminal.restore()
    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)


@pytest.mark.parametrize("isolate", ALL)
def test_which_children_hear_the_keys(isolate: Isolation) -> None:
    master, slave = os.openpty()
    assert Terminal(slave).keys_reach(isolate) is (isolate is Isolation.NONE)
    os.close(master)
    assert not Terminal(0).keys_reach(isolate) or os.isatty(0)
    os.close(slave)


def test_a_suspend_stops_the_children_first_and_continues_them_last(run_id: str) -> None:
    script = f"""
import signal, sys
sys.path[:0] = {[str(Path(__file__).parents[up]) for up in (0, 1)]!r}
from test_terminal import Recorder
from devlaunch.terminal.jobs import Terminal
recorder = Recorder()
handled = []
signal.signal(signal.SIGTSTP, lambda *_: handled.append(1))
Terminal().suspend([recorder], lambda signum: None)
signal.raise_signal(signal.SIGTSTP)
print([signal.Signals(sig).name for sig in recorder.got], handled)
"""
    child = subprocess.Popen(
        [sys.executable, "-c", script],
        env=environment(run_id),
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,  # in this session, so not orphaned: SIGTSTP does stop it
    )

    wait_until(lambda: state(child.pid) == "T", what="stopped")
    os.kill(child.pid, signal.SIGCONT)
    assert child.communicate(timeout=10)[0] == "['SIGSTOP', 'SIGCONT'] [1]\n"
