"""However the launcher ends, nothing of its run is left: `kill -9` included, at any moment."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.marks import assert_nothing_left, guards, marked
from support.wait import wait_until

from devlaunch.system import _posix_table, process
from devlaunch.system.guardian import Guardian

ROOT = Path(__file__).parents[2]

LAUNCHER = """
import os, sys, time
from pathlib import Path
from devlaunch.system import process
from devlaunch.config import Isolation
from devlaunch.system.guardian import Guardian

run_id, directory, app, rounds = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
isolate = Isolation(sys.argv[5])
guardian = Guardian(run_id)
(directory / "guardian").write_text(str(guardian.pid))
for generation in range(rounds):
    child = process.spawn(
        [sys.executable, "-S", "-c", app, str(directory)],
        run_id=f"{run_id}.{generation}",
        isolate=isolate,
    )
    guardian.adopt(child.pid)
    (directory / "child").write_text(str(child.pid))
    if generation == rounds - 1:
        break
    time.sleep(0.02)
    child.kill()
    child.reap()
    guardian.forget(child.pid)
if "bye" in sys.argv:
    child.kill()
    child.reap()
    guardian.forget(child.pid)
    guardian.close()
    sys.exit()
(directory / "up").touch()
time.sleep(600)
"""

# Grandchildren of every kind, all deaf; the port is held by the last of them.
FAMILY = """
import os, signal, socket, subprocess, sys, time
SLEEPER = "import signal, time; [signal.signal(s, signal.SIG_IGN) for s in (1, 2, 15)]; "
SLEEPER += "open(__import__('sys').argv[1], 'w'); time.sleep(600)"
def start(name, **options):
    subprocess.Popen([sys.executable, "-S", "-c", SLEEPER, sys.argv[1] + "/has-" + name], **options)
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
start("group", process_group=0)
start("session", start_new_session=True)
start("bare", env={}, start_new_session=True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        start("daemon", pass_fds=(listener.fileno(),))
    os._exit(0)
with open(sys.argv[1] + "/port", "w") as file:
    file.write(str(listener.getsockname()[1]))
time.sleep(600)
"""

POLITE = """
import os, signal, sys, time
def stop(sig, frame):
    time.sleep(0.3)
    open(sys.argv[1] + "/shutdown-hook-ran", "w").close()
    sys.exit()
signal.signal(signal.SIGTERM, stop)
open(sys.argv[1] + "/has-hook", "w").close()
while True:
    time.sleep(600)
"""

RUDE = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1] + "/has-started", "w").close()
time.sleep(600)
"""


class Launcher:
    """A tiny launcher: guardian, some generations of a child, and then it waits to be killed."""

    def __init__(
        self, directory: Path, app: str, *extra: str, rounds: int = 1, isolate: str = "session"
    ) -> None:
        self.run_id = process.new_run_id()
        self.directory = directory
        arguments = [self.run_id, str(directory), app, str(rounds), isolate, *extra]
        self.process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def wait_for(self, *names: str) -> None:
        wait_until(
            lambda: all((self.directory / name).exists() for name in names),
            what=lambda: f"{names} in {sorted(p.name for p in self.directory.iterdir())}",
        )

    def read(self, name: str) -> int:
        """The number in a file that the launcher or its child writes."""
        path = self.directory / name
        return int(wait_until(lambda: path.exists() and path.read_text(), what=name))

    def end(self, sig: int = signal.SIGKILL) -> None:
        self.process.send_signal(sig)
        self.process.wait()


@contextlib.contextmanager
def launched(directory: Path, app: str, *extra: str, **options: object) -> Iterator[Launcher]:
    launcher = Launcher(directory, app, *extra, **options)  # type: ignore[arg-type]
    try:
        yield launcher
    finally:
        launcher.end()
        assert_nothing_left(launcher.run_id)


def is_alive(pid: int) -> bool:
    return pid in _posix_table.processes()


@pytest.fixture
def run_id() -> Iterator[str]:
    run_id = process.new_run_id()
    yield run_id
    assert_nothing_left(run_id)


# --- the launcher dies --------------------------------------------------------------------------


@pytest.mark.parametrize("isolate", ["session", "group", "none"])
def test_nothing_survives_a_killed_launcher(tmp_path: Path, isolate: str) -> None:
    everyone = [f"has-{name}" for name in ("group", "session", "bare", "daemon")]
    with launched(tmp_path, FAMILY, isolate=isolate) as launcher:
        launcher.wait_for("up", "port", *everyone)
        port, guardian = launcher.read("port"), launcher.read("guardian")
        members = _posix_table.Family(launcher.run_id)
        members.adopt(launcher.read("child"))
        everybody = members.look()
        assert len(everybody) == 5
        assert process.listening_process("127.0.0.1", port)
        launcher.end()
        wait_until(lambda: not everybody & _posix_table.processes().keys(), timeout=3.0)
        assert process.listening_process("127.0.0.1", port) is None, "the port is free"
        wait_until(lambda: not is_alive(guardian), what="the guardian's end")


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1])
def test_nothing_survives_a_launcher_ended_otherwise(tmp_path: Path, sig: int) -> None:
    with launched(tmp_path, RUDE) as launcher:
        launcher.wait_for("up", "has-started")
        launcher.end(sig)
        assert_nothing_left(launcher.run_id)


def test_shutdown_hooks_run_when_the_launcher_was_killed(tmp_path: Path) -> None:
    with launched(tmp_path, POLITE) as launcher:
        launcher.wait_for("up", "has-hook")
        launcher.end()
        launcher.wait_for("shutdown-hook-ran")


def test_a_stopped_child_does_not_survive_its_launcher(tmp_path: Path) -> None:
    with launched(tmp_path, POLITE) as launcher:
        launcher.wait_for("up", "has-hook")
        os.kill(launcher.read("child"), signal.SIGSTOP)
        launcher.end()
        launcher.wait_for("shutdown-hook-ran")


SEED = random.randrange(1 << 30)


@pytest.mark.parametrize("moment", range(15))
def test_kill_at_a_random_moment_of_a_reload_loop(tmp_path: Path, moment: int) -> None:
    delay = random.Random(SEED + moment).uniform(0.0, 0.6)
    print(f"seed {SEED}, delay {delay}")
    app = RUDE if moment % 3 == 0 else "import time; time.sleep(600)"
    with launched(tmp_path, app, rounds=1000) as launcher:
        if moment:  # the very first moments, too
            launcher.wait_for("guardian")
        time.sleep(delay)  # the moment is the point of this test
        launcher.end()
        deadline = time.monotonic() + 3.0
        assert_nothing_left(launcher.run_id, within=3.0)
        path = tmp_path / "guardian"
        if path.exists() and path.read_text():
            left = deadline - time.monotonic()
            wait_until(lambda: not is_alive(int(path.read_text())), left, "the guardian's end")


# --- the guardian itself ------------------------------------------------------------------------


def test_an_orderly_end_kills_nothing_and_leaves_no_guardian(tmp_path: Path, run_id: str) -> None:
    bystander = subprocess.Popen(["sleep", "600"], env={**os.environ, process.MARK: run_id})
    try:
        guardian = Guardian(run_id)
        pid = guardian.pid
        guardian.close()
        assert pid is not None
        assert not is_alive(pid)
        assert (guardian.pid, guardian.alive) == (None, False)
        assert bystander.poll() is None
        guardian.close()
        guardian.adopt(1)
        assert not guardian.ensure()
    finally:
        bystander.kill()
        bystander.wait()


def test_a_launcher_that_says_goodbye_ends_at_once(tmp_path: Path) -> None:
    with launched(tmp_path, RUDE, "bye") as launcher:
        assert launcher.process.wait(10) == 0
        assert marked(launcher.run_id) == []
        assert not is_alive(launcher.read("guardian"))


def test_a_killed_guardian_is_replaced_and_knows_the_children(tmp_path: Path, run_id: str) -> None:
    guardian = Guardian(run_id)
    child = process.spawn([sys.executable, "-S", "-c", POLITE, str(tmp_path)], run_id=run_id)
    guardian.adopt(child.pid)
    wait_until((tmp_path / "has-hook").exists)
    first = guardian.pid
    assert first is not None
    assert not guardian.ensure()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not guardian.alive)
    guardian.adopt(child.pid)  # into the void: must not raise
    assert guardian.ensure()
    assert guardian.pid != first
    # The lifeline is cut as the launcher's end would cut it.
    os.close(guardian._lifeline)
    assert guardian._popen is not None
    assert guardian._popen.wait(5) == 0
    assert (tmp_path / "shutdown-hook-ran").exists(), "it was asked, so it had been adopted again"
    assert child.reap() == 0


PASSING_ON = """
import os, signal, sys
from devlaunch.system import _posix_guardian

launcher = os.getpid()
if os.fork() == 0:
    def end_launcher(frame, event, function):
        if (event, function) == ("c_return", os.getppid):
            sys.setprofile(None)
            os.kill(launcher, signal.SIGKILL)
            while os.path.exists(f"/proc/{launcher}"):
                pass

    _posix_guardian._pass_on_to(launcher)
    sys.setprofile(end_launcher)
    signal.raise_signal(signal.SIGTERM)
    open(sys.argv[1], "w").close()
    os._exit(0)
signal.pause()
"""


def test_a_launcher_that_ends_while_a_signal_is_passed_on_does_no_harm(tmp_path: Path) -> None:
    """Right between the look whether it lives and the signal."""
    subprocess.run(
        [sys.executable, "-c", PASSING_ON, str(tmp_path / "survived")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    wait_until((tmp_path / "survived").exists)


def test_a_child_that_was_forgotten_is_not_touched(run_id: str) -> None:
    guardian = Guardian(run_id)
    bystander = subprocess.Popen(["sleep", "600"])
    try:
        guardian.adopt(bystander.pid)
        guardian.forget(bystander.pid)
        os.close(guardian._lifeline)
        assert guardian._popen is not None
        assert guardian._popen.wait(5) == 0
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_the_guardian_is_deaf_small_and_holds_nothing(run_id: str, tmp_path: Path) -> None:
    secret = os.open(tmp_path / "secret", os.O_CREAT)
    os.set_inheritable(secret, True)
    guardian = Guardian(run_id)
    pid = guardian.pid
    assert pid is not None
    proc = Path(f"/proc/{pid}")
    ignored = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP, signal.SIGQUIT}

    def ignores() -> set[int]:
        line = (proc / "status").read_text().partition("SigIgn:")[2].split()[0]
        return {sig for sig in ignored if int(line, 16) >> (sig - 1) & 1}

    wait_until(lambda: ignores() == ignored, what="its signals to be ignored")
    for sig in ignored:
        os.kill(pid, sig)
    heir_of(pid)
    wait_until(lambda: len(list((proc / "fd").iterdir())) == 5, what="one end of the heir's pipe")
    files = {int(fd.name): os.readlink(fd) for fd in (proc / "fd").iterdir()}
    assert [files.pop(fd) for fd in (0, 1, 2)] == ["/dev/null"] * 3
    kinds = [name.partition(":")[0] for name in files.values()]
    assert kinds == ["pipe"] * 2, "the lifeline, and the heir's pipe"
    assert os.readlink(proc / "cwd") == "/"
    assert process.MARK.encode() not in (proc / "environ").read_bytes()
    assert (os.getsid(pid), os.getpgid(pid)) == (pid, pid)
    assert int((proc / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") < 20e6
    assert guardian.alive
    guardian.close()
    os.close(secret)


def test_a_stopped_guardian_does_not_hold_up_the_launcher(run_id: str) -> None:
    guardian = Guardian(run_id)
    pid = guardian.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    for number in range(20_000):  # more than a pipe holds
        guardian.forget(number)
    guardian.close()
    assert not is_alive(pid)


def test_no_child_inherits_the_lifeline(run_id: str) -> None:
    guardian = Guardian(run_id)
    child = process.spawn(["sleep", "600"], run_id=run_id)
    lifeline = os.readlink(f"/proc/self/fd/{guardian._lifeline}")
    files = set()
    for fd in Path(f"/proc/{child.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it has just closed it
            files.add(os.readlink(fd))
    child.kill()
    child.reap()
    guardian.close()
    assert files
    assert lifeline not in files


def heir_of(guardian: int) -> int:
    return wait_until(lambda: guards(guardian)[1:], what="an heir")[0]


def test_the_heir_of_a_killed_guardian_hears_the_next_goodbye(tmp_path: Path, run_id: str) -> None:
    guardian = Guardian(run_id)
    child = process.spawn([sys.executable, "-S", "-c", RUDE, str(tmp_path)], run_id=run_id)
    guardian.adopt(child.pid)
    wait_until((tmp_path / "has-started").exists)
    assert guardian.pid is not None
    heir = heir_of(guardian.pid)
    os.kill(guardian.pid, signal.SIGKILL)
    wait_until(lambda: not guardian.alive)
    assert is_alive(heir), "it guards now"
    assert guardian.ensure()
    wait_until(lambda: not is_alive(heir), what="the heir's end")
    assert child.poll() is None, "it harmed nobody"
    child.kill()
    child.reap()
    second = heir_of(guardian.pid)
    guardian.close()
    wait_until(lambda: not is_alive(second), what="the heir's end")


def test_a_killed_heir_is_replaced(run_id: str) -> None:
    guardian = Guardian(run_id)
    child = process.spawn(["sleep", "600"], run_id=run_id)
    guardian.adopt(child.pid)
    assert guardian.pid is not None
    first = heir_of(guardian.pid)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not is_alive(first), what="the heir's end")
    second = heir_of(guardian.pid)
    os.kill(guardian.pid, signal.SIGKILL)
    wait_until(lambda: not guardian.alive)
    os.close(guardian._lifeline)  # as the launcher's end does
    wait_until(lambda: child.poll() is not None, what="the child's end")
    wait_until(lambda: not is_alive(second), what="the second heir's end")
    child.reap()


def test_a_nested_guardian_carries_no_mark_of_the_outer_run(run_id: str) -> None:
    script = """
import sys
from devlaunch.system.guardian import Guardian
guardian = Guardian("inner")
environment = open(f"/proc/{guardian.pid}/environ", "rb").read()
print(b"DEVLAUNCH_RUN" in environment)
guardian.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, process.MARK: run_id, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"
