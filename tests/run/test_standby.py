"""The standby in the life of a run: real processes, spawned, promoted, killed, replaced."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.dap import DapClient
from support.launch import HANDLER_LINE, Launch, asgi_app, launched, save
from support.marks import assert_nothing_left, marked, standbys
from support.wait import wait_until

from devlaunch import events
from devlaunch.config import Config, StandbyLevel, Target, TargetKind
from devlaunch.core.standby import MOST_LOST, AppServed, AppStarted
from devlaunch.dap.events import StandbyGone, StandbySpawned
from devlaunch.run.first_child import spawn_first
from devlaunch.run.generation import Generation, Spawner
from devlaunch.run.launcher import Launcher
from devlaunch.run.standby import Standby
from devlaunch.system.loop import Loop
from devlaunch.system.process import new_run_id, sweep
from devlaunch.system.spare import ASSUMED_MEMORY, available_memory, idle_time

OPTIONS = ("-v", "--server", "wsgiref", "--port", "0")

APP = """\
import os, decimal{more}
VERSION = {version!r}

def app(environ, start_response):
    start_response("200 OK", [])
    return [f"{{VERSION}} {{os.getpid()}}".encode()]
"""

# In a directory that counts as one of installed packages. It waits while the file `closed` exists.
GATE = """\
import os, time
while os.path.exists({closed!r}):
    time.sleep(0.005)
"""


def app(version: str, more: str = "") -> str:
    return APP.format(version=version, more=f", {more}" if more else "")


def ready_standby(launch: Launch, after: int = 0) -> int:
    launch.wait_for("standby ready: .* modules, .* MB", after=after)
    return wait_until(lambda: standbys(launch.run_id))[0]


def reload(launch: Launch, version: str, more: str = "") -> int:
    """Save, and return the process that answers with the new version."""
    at = len(launch.text)
    launch.save(app(version, more))
    launch.wait_for("reloaded in", after=at)
    return answering(launch, version)


def answering(launch: Launch, version: str) -> int:
    now, pid = launch.get().split()
    assert now == version
    return int(pid)


@contextlib.contextmanager
def run(tmp_path: Path, *options: str, **more: Any) -> Iterator[Launch]:
    (tmp_path / "app.py").write_text(app("v0", more.pop("imports", "")))
    with launched(*OPTIONS, *options, "app:app", cwd=tmp_path, **more) as launch:
        launch.wait_for("ready in")
        yield launch


# --- promoted -----------------------------------------------------------------------------------


@pytest.mark.parametrize("isolate", ["session", "group"])
def test_the_next_generation_is_the_standby(tmp_path: Path, isolate: str) -> None:
    with run(tmp_path, "--isolate", isolate) as launch:
        first = ready_standby(launch)
        at = len(launch.text)
        assert reload(launch, "v1") == first
        second = ready_standby(launch, after=at)
        assert reload(launch, "v2") == second != first
        assert "cold" not in launch.text


def test_it_is_promoted_while_it_imports(tmp_path: Path) -> None:
    packages, closed = tmp_path / "site-packages", tmp_path / "closed"
    packages.mkdir()
    (packages / "gate.py").write_text(GATE.format(closed=str(closed)))
    with run(tmp_path, imports="gate", env={"PYTHONPATH": str(packages)}) as launch:
        closed.touch()
        warming = wait_until(lambda: standbys(launch.run_id))[0]
        launch.save(app("v1", "gate"))
        launch.wait_for("reloading")
        closed.unlink()
        launch.wait_for("reloaded in")
        assert answering(launch, "v1") == warming


def test_a_broken_app_is_mended_by_a_standby(tmp_path: Path) -> None:
    with run(tmp_path) as launch:
        ready_standby(launch)
        at = len(launch.text)
        launch.save("import nothing_of_this_name\n")
        launch.wait_for("waiting for a change", after=at)
        waiting = ready_standby(launch, after=at)
        assert reload(launch, "v1") == waiting


def test_one_that_waits_is_kept_while_the_app_is_broken(tmp_path: Path) -> None:
    with run(tmp_path) as launch:
        waiting = ready_standby(launch)
        os.kill(answering(launch, "v0"), signal.SIGKILL)
        launch.wait_for("killed by SIGKILL")
        assert reload(launch, "v1") == waiting


def test_many_quick_saves(tmp_path: Path) -> None:
    with run(tmp_path) as launch:
        ready_standby(launch)
        for number in range(1, 40):
            launch.save(app(f"v{number}"))
            assert len(standbys(launch.run_id)) <= 1
            time.sleep(0.02 * (number % 7))  # the moments are the point of this test
        wait_until(lambda: launch.get().startswith("v39 "), what=lambda: launch.text)
        ready_standby(launch, after=len(launch.text))
        assert "broken" not in launch.text


def test_a_program_is_promoted_as_well(tmp_path: Path) -> None:
    # In one write: devlaunch's own line must not come between.
    say = "os.write(1, b'{} %d\\n' % os.getpid())"
    program = f"import os, decimal, time\n{say}\ntime.sleep(600)\n"
    (tmp_path / "work.py").write_text(program.format("v0"))
    with launched("-v", "work.py", cwd=tmp_path) as launch:
        launch.wait_for(r"v0 \d+")
        waiting = ready_standby(launch)
        launch.save(program.format("v1"), "work.py")
        assert int(launch.wait_for(r"v1 (\d+)").group(1)) == waiting


# --- not promoted -------------------------------------------------------------------------------


def test_another_environment_is_a_cold_start(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("COLOR=red\n")
    with run(tmp_path, "--env-file", "env") as launch:
        waiting = ready_standby(launch)
        at = len(launch.text)
        save(tmp_path / "env", "COLOR=blue\n")
        launch.wait_for("started cold: the environment has changed")
        launch.wait_for("reloaded in", after=at)
        assert answering(launch, "v0") != waiting
        waiting = ready_standby(launch, after=at)
        assert reload(launch, "v1") == waiting


def test_a_working_directory_that_is_made_again(tmp_path: Path) -> None:
    copy, place = tmp_path / "copy", tmp_path / "place"
    place.mkdir()
    with run(place, "--debug-attach", "--debug-address", "127.0.0.1:0") as launch:
        for version in ("v1", "v2"):
            at = len(launch.text)
            ready_standby(launch, after=at if version == "v2" else 0)
            shutil.copytree(place, copy)
            (copy / "app.py").write_text(app(version))
            shutil.rmtree(place)
            copy.rename(place)
            launch.wait_for("reloaded in", after=at)
            answering(launch, version)
        launch.save(app("v3"))
        launch.wait_for(r"standby ready", after=len(launch.text))
        assert "Traceback" not in launch.text


def test_one_that_refuses_is_replaced_by_a_cold_child_in_silence(tmp_path: Path) -> None:
    packages = tmp_path / "site-packages"
    packages.mkdir()
    (packages / "lib.py").write_text("FIRST = 1\n")
    with run(tmp_path, imports="lib", env={"PYTHONPATH": str(packages)}) as launch:
        waiting = ready_standby(launch)
        save(packages / "lib.py", "SECOND = 22\n")  # as pip does: nothing that is watched
        assert reload(launch, "v1", "lib") != waiting
        assert len(launch.wait_for("started cold: .*").group()) > 20
        assert launch.text.count("reloaded in") == 1
        assert "exited" not in launch.text


def test_off_and_no_reload(tmp_path: Path) -> None:
    target = Target(TargetKind.SCRIPT, str(tmp_path / "job.py"))
    for more in ({"standby": StandbyLevel.OFF}, {"reload": False}):
        config = Config(target, app_dir=str(tmp_path), quiet=True, **more)  # type: ignore[arg-type]
        with contextlib.ExitStack() as stack:
            launcher = Launcher({"": stack.enter_context(spawn_first(config))}, stack)
            standby = launcher._programs[""]._standby
            standby.tell(AppStarted(by_promotion=False), 1.0)
            standby.tell(AppServed(), 1.0)
            assert standby.deadline is None
            assert not standby.records


# --- debugged -----------------------------------------------------------------------------------


def test_under_a_debugger_it_is_promoted_with_the_session(tmp_path: Path) -> None:
    path = tmp_path / "app.py"
    path.write_text(asgi_app("v0"))
    options = ("-v", "--port", "0", "--debug-attach", "--debug-address", "127.0.0.1:0")
    with launched(*options, "app:app", cwd=tmp_path) as launch:
        launch.wait_for("ready in")
        without = ready_standby(launch)
        at = len(launch.text)
        with DapClient("127.0.0.1", launch.debug_port, timeout=20) as ide:
            ide.attach(breakpoints={str(path): [HANDLER_LINE]})
            waiting = ready_standby(launch, after=at)  # the other one had no debugger
            assert waiting != without
            at = len(launch.text)
            launch.save(asgi_app("v1"))
            launch.wait_for("reloaded in", after=at)
            with ThreadPoolExecutor(1) as pool:
                answer = pool.submit(launch.get)
                stopped = ide.wait_event("stopped")
                assert ide.evaluate(stopped, "VERSION") == "'v1'"
                assert ide.evaluate(stopped, "__import__('os').getpid()") == str(waiting)
                ide.continue_(stopped["threadId"])
                assert answer.result(20) == "v1"
            assert "cold" not in launch.text
            assert [event["name"] for event in ide.events("process")] == ["devlaunch"] * 2


# --- ended --------------------------------------------------------------------------------------


def test_one_that_was_killed_is_replaced(tmp_path: Path) -> None:
    with run(tmp_path) as launch:
        first = ready_standby(launch)
        at = len(launch.text)
        os.kill(first, signal.SIGKILL)
        launch.wait_for("the standby has ended: killed by SIGKILL")
        second = ready_standby(launch, after=at)
        assert second != first
        assert reload(launch, "v1") == second


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_leaves_nothing(tmp_path: Path, sig: int) -> None:
    with run(tmp_path) as launch:
        wait_until(lambda: standbys(launch.run_id))  # at work, or ready
        launch.close(sig)


def test_a_killed_launcher_leaves_nothing(tmp_path: Path) -> None:
    with run(tmp_path) as launch:
        ready_standby(launch)
        launch.process.kill()
        launch.wait_ended()
        assert_nothing_left(launch.run_id)


def test_it_is_gone_before_the_app_has_shut_down(tmp_path: Path) -> None:
    slow = app("v0") + "import atexit, time\natexit.register(time.sleep, 1.0)\n"
    (tmp_path / "app.py").write_text(slow)
    with launched(*OPTIONS, "app:app", cwd=tmp_path) as launch:
        waiting = ready_standby(launch)
        launch.process.send_signal(signal.SIGTERM)
        wait_until(lambda: waiting not in marked(launch.run_id))
        assert launch.process.poll() is None


# --- the shell, with a child that says what a test wants ----------------------------------------

STUB = """\
import json, os, signal, socket, sys
control = socket.socket(fileno=int(sys.argv[-1])).makefile("rwb")
for line in control:
    message = json.loads(line)
    for answer in {script}.get(message["type"], ()):
        if isinstance(answer, int):
            os.kill(os.getpid(), answer)
        control.write(json.dumps(answer).encode() + b"\\n")
    control.flush()
"""
WARM = {"type": "warm", "modules": 3, "memory": 5_000_000, "unsafe": {}}
PREPARED = {"type": "debugger", "error": None}


class FakeDebugging:
    """What a standby is to be told of the debugger, and what became of the standbys."""

    def __init__(self, message: dict[str, Any] | None) -> None:
        self.message = message
        self.pids: list[int] = []

    def standby_message(self) -> dict[str, Any] | None:
        return self.message

    def tell(self, event: object) -> None:
        match event:
            case StandbySpawned(pid):
                self.pids.append(pid)
            case StandbyGone(pid):
                self.pids.remove(pid)


class Undisturbed(Standby):
    """On a machine of which nobody knows how busy it is: it need not wait until it is idle."""

    def _idle(self, now: float) -> None:
        return None


CONFIG = Config(Target(TargetKind.SCRIPT, "job.py"), grace=0.0)


class Stage:
    """A Standby in a loop of its own, its children stubs."""

    def __init__(self, tmp_path: Path, script: dict[str, list[Any]], debug: Any = None) -> None:
        stub = tmp_path / "stub.py"
        stub.write_text(STUB.format(script=script))
        self.loop = Loop()
        self.run_id = new_run_id()
        self.debugging = FakeDebugging(debug)
        self.notes: list[str] = []
        self.said: list[dict[str, Any]] = []
        self.generation: Generation | None = None
        spawner = Spawner(CONFIG, [sys.executable, str(stub)], self.loop, run_id=self.run_id)
        self.standby = Undisturbed(
            self.loop.post,
            spawner,
            debugging=self.debugging,  # type: ignore[arg-type]
            current=lambda: self.generation,
        )

    def __enter__(self) -> Stage:
        self.loop.catch_signals([signal.SIGCHLD])
        self.standby.promote(1, {"debug": None}, dict(os.environ), self.said.append)
        self.standby.tell(AppServed(), time.monotonic())
        return self

    def __exit__(self, *exc: object) -> None:
        if self.generation:
            self.generation.kill()
            self.generation.finish()
        self.standby.close()
        sweep(self.run_id)
        self.loop.close()

    def promote(self, debug: Any = None) -> Generation | None:
        message = {"debug": debug}
        self.generation = self.standby.promote(2, message, dict(os.environ), self.said.append)
        return self.generation

    def run_until(self, done: Callable[[], object]) -> None:
        deadline = time.monotonic() + 20
        look_at = 0.0

        def handle(event: object) -> None:
            match event:
                case events.DeadlineReached():
                    self.standby.due(time.monotonic())
                case events.SignalReceived():
                    self.standby.child_changed()
                case events.LogLine(text):
                    self.notes.append(text)
            nonlocal look_at
            look_at = time.monotonic() + 0.01
            if done():
                self.loop.stop()
            assert time.monotonic() < deadline, self.notes

        self.loop.run(handle, lambda: look_at)

    def has_noted(self, text: str) -> bool:
        return any(text in note for note in self.notes)


def test_what_spoils_one_is_left_out_of_the_next(tmp_path: Path) -> None:
    script = {"warm": [{**WARM, "unsafe": {"grpc": "starts a thread"}}]}
    with Stage(tmp_path, script) as stage:
        stage.run_until(lambda: stage.has_noted("standby: grpc is left to the app (starts a"))
        first = stage.debugging.pids
        assert first == []  # it was killed
        stage.run_until(lambda: stage.debugging.pids)
        assert stage.standby._unsafe == {"grpc": "starts a thread"}


def test_a_debugger_that_cannot_be_loaded_ends_it(tmp_path: Path) -> None:
    script = {"warm": [{**PREPARED, "error": "no such module"}]}
    with Stage(tmp_path, script, {"port": 1}) as stage:
        stage.run_until(lambda: stage.has_noted("could not be loaded: no such module"))
        assert stage.debugging.pids == []


def test_one_without_a_debugger_can_become_a_child_with_one(tmp_path: Path) -> None:
    with Stage(tmp_path, {"warm": [WARM]}) as stage:
        stage.run_until(lambda: stage.has_noted("standby ready: 3 modules, 5 MB"))
        stage.debugging.message = {"port": 1}
        assert stage.promote(debug={"port": 1})


def test_of_memory_that_is_not_known_nothing_is_said(tmp_path: Path) -> None:
    with Stage(tmp_path, {"warm": [{**WARM, "memory": 0}]}) as stage:
        stage.run_until(lambda: stage.has_noted("standby ready: 3 modules"))
        assert not stage.has_noted(" MB")


def test_one_with_a_debugger_never_becomes_a_child_without(tmp_path: Path) -> None:
    with Stage(tmp_path, {"warm": [PREPARED, WARM]}, {"port": 1}) as stage:
        stage.run_until(lambda: stage.has_noted("standby ready"))
        assert stage.promote(debug=None) is None
        stage.run_until(lambda: stage.has_noted("started cold: the debugger has changed"))


def test_another_debugger_replaces_it(tmp_path: Path) -> None:
    with Stage(tmp_path, {"warm": [PREPARED, WARM]}, {"port": 1}) as stage:
        stage.run_until(lambda: stage.has_noted("standby ready"))
        (first,) = stage.debugging.pids
        stage.debugging.message = {"port": 2}
        stage.run_until(lambda: stage.debugging.pids not in ([], [first]))
        assert stage.promote(debug={"port": 2})


def test_what_it_said_of_its_debugger_is_not_taken_for_the_childs(tmp_path: Path) -> None:
    script = {"warm": [PREPARED], "start": [PREPARED, {"type": "serving"}]}
    with Stage(tmp_path, script, {"port": 1}) as stage:
        # Promoted before the loop could read what it said first.
        while not stage.debugging.pids:
            stage.standby.due(time.monotonic())
        assert stage.promote(debug={"port": 1})
        stage.run_until(lambda: {"type": "serving"} in stage.said)
        assert stage.said == [PREPARED, {"type": "serving"}]


@pytest.mark.parametrize(
    ("sig", "is_told_to_stop", "is_refusal"),
    [
        (signal.SIGSEGV, False, True),
        (signal.SIGSEGV, True, False),
        (signal.SIGKILL, False, False),  # somebody wants it to end
    ],
)
def test_a_crash_before_the_app_serves_is_a_refusal(
    tmp_path: Path, sig: int, is_told_to_stop: bool, is_refusal: bool
) -> None:
    with Stage(tmp_path, {"warm": [WARM], "start": [int(sig)]}) as stage:
        stage.run_until(lambda: stage.has_noted("standby ready"))
        generation = stage.promote()
        assert generation
        generation.was_told_to_stop = is_told_to_stop
        status = wait_until(generation.poll)
        assert stage.standby.has_refused(generation, status) is is_refusal


def test_a_crash_of_an_app_that_has_served_is_its_own(tmp_path: Path) -> None:
    script = {"warm": [WARM], "start": [{"type": "serving"}, int(signal.SIGSEGV)]}
    with Stage(tmp_path, script) as stage:
        stage.run_until(lambda: stage.has_noted("standby ready"))
        generation = stage.promote()
        assert generation
        stage.standby.heard({"type": "serving"})
        assert not stage.standby.has_refused(generation, wait_until(generation.poll))


def test_an_interpreter_that_is_gone_is_given_up(tmp_path: Path) -> None:
    with Stage(tmp_path, {}) as stage:
        stage.standby._spawner = Spawner(
            CONFIG, ["/no/such/python"], stage.loop, run_id=stage.run_id
        )
        stage.run_until(lambda: len(stage.notes) == MOST_LOST)
        assert stage.has_noted("there is no standby: no such program")
        assert stage.standby.deadline is None


# --- what the machine has to spare --------------------------------------------------------------


def write(root: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


MACHINE = {"proc/meminfo": "MemTotal: 90 kB\nMemAvailable:    8000 kB\n"}
STAT = "anon 7\ninactive_file 100\n"


@pytest.mark.parametrize(
    ("files", "available"),
    [
        ({}, ASSUMED_MEMORY),
        (MACHINE, 8_192_000),
        ({**MACHINE, "proc/self/cgroup": "0::/a/b\n"}, 8_192_000),
        (
            {
                **MACHINE,
                "proc/self/cgroup": "9:cpu:/\n0::/a/b\n",
                "sys/fs/cgroup/a/b/memory.max": "max\n",
                "sys/fs/cgroup/a/b/memory.current": "900\n",
                "sys/fs/cgroup/a/memory.max": "5000\n",
                "sys/fs/cgroup/a/memory.current": "4000\n",
                "sys/fs/cgroup/a/memory.stat": STAT,
            },
            1100,
        ),
        (
            {
                **MACHINE,
                "proc/self/cgroup": "4:memory:/of/the/host\n0::/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "3000\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "3500\n",
                "sys/fs/cgroup/memory/memory.stat": STAT,
            },
            0,
        ),
    ],
    ids=["unknown", "machine", "no limits", "version 2", "version 1"],
)
def test_available_memory(tmp_path: Path, files: dict[str, str], available: int) -> None:
    assert available_memory(write(tmp_path, files)) == available


def test_idle_time(tmp_path: Path) -> None:
    assert idle_time(str(tmp_path)) is None
    ticks = os.sysconf("SC_CLK_TCK")
    root = write(tmp_path, {"proc/stat": f"cpu  9 9 9 {ticks * 3} 9\ncpu0 1 1 1 1 1\n"})
    assert idle_time(root) == 3.0
