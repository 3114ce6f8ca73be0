"""Children of every kind are started, signalled, ended with all that they started, and reaped."""

from __future__ import annotations

import ast
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from support.limits import no_descriptors
from support.marks import assert_nothing_left, describe, marked
from support.wait import wait_until

from devlaunch.config import Isolation
from devlaunch.errors import DevlaunchError
from devlaunch.system import _posix_table, process
from devlaunch.system.spare import socket_pair

ALL = list(Isolation)
OWN = [Isolation.SESSION, Isolation.GROUP]

Spawn = Callable[..., process.Child]

READY = "import os, sys; open(sys.argv[1] + '/ready-' + str(os.getpid()), 'w').close()"

STUBBORN = f"""
import signal, time
for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(sig, signal.SIG_IGN)
{READY}
time.sleep(600)
"""

PARENT = """
import os, subprocess, sys, time
code, options = sys.argv[2], eval(sys.argv[3])
subprocess.Popen([sys.executable, "-c", code, sys.argv[1]], **options)
open(sys.argv[1] + '/ready-parent', 'w').close()
time.sleep(600 if sys.argv[4] == "stay" else 0)
"""

DAEMON = f"""
import os, time, sys
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
{READY}
time.sleep(600)
"""

SPEAKER = f"""
import os, signal, sys, time
def say(sig, frame):
    with open(sys.argv[1] + "/said", "a") as file:
        file.write(signal.Signals(sig).name + chr(10))
for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCONT):
    signal.signal(sig, say)
{READY}
while True:
    time.sleep(600)
"""


@pytest.fixture
def run_id() -> Iterator[str]:
    run_id = process.new_run_id()
    yield run_id
    assert_nothing_left(run_id)


@pytest.fixture
def spawn(run_id: str) -> Iterator[Spawn]:
    """Spawn with the test's mark; whatever the test did, its children are ended and reaped."""
    children: list[process.Child] = []

    def start(argv: Sequence[str], **options: object) -> process.Child:
        child = process.spawn(argv, **({"run_id": run_id} | options))  # type: ignore[arg-type]
        children.append(child)
        return child

    yield start
    for child in children:
        child.reap()
    process.sweep(run_id)


def python(code: str, *args: object) -> list[str]:
    return [sys.executable, "-S", "-c", code, *map(str, args)]


def run_python(script: str, **env: str) -> str:
    """What a program that may import devlaunch prints."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **env},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def wait_ready(directory: Path, count: int) -> None:
    wait_until(
        lambda: len(list(directory.glob("ready-*"))) == count,
        what=lambda: f"{count} ready, not {list(directory.iterdir())}",
    )


def status_of(child: process.Child) -> int:
    return wait_until(lambda: [s for s in [child.poll()] if s is not None], what="its end")[0]


# --- start --------------------------------------------------------------------------------------


@pytest.mark.parametrize("isolate", ALL)
def test_a_child_is_set_apart_as_asked(spawn: Spawn, isolate: Isolation) -> None:
    child = spawn(["sleep", "600"], isolate=isolate)
    own = child.pid
    group = os.getpgrp() if isolate is Isolation.NONE else own
    session = own if isolate is Isolation.SESSION else os.getsid(0)
    assert (os.getpgid(own), os.getsid(own)) == (group, session)


def test_a_child_inherits_only_the_descriptors_it_is_given(spawn: Spawn, tmp_path: Path) -> None:
    ours, theirs = socket_pair()
    code = """
import os, sys
open_files = {}
for fd in os.listdir("/proc/self/fd"):
    try: open_files[int(fd)] = os.readlink(f"/proc/self/fd/{fd}")
    except FileNotFoundError: pass  # the listing's own
open(sys.argv[1], "w").write(repr(open_files))
"""
    with ours, theirs, (tmp_path / "secret").open("w") as secret:
        os.set_inheritable(secret.fileno(), True)
        child = spawn(python(code, tmp_path / "fds"), pass_fds=(theirs.fileno(),))
        assert status_of(child) == 0
        fd = theirs.fileno()
        given = {fd: os.readlink(f"/proc/self/fd/{fd}")}
    open_files = ast.literal_eval((tmp_path / "fds").read_text())
    assert {fd: name for fd, name in open_files.items() if fd > 2} == given


def test_the_control_channel_carries_bytes_and_ends_with_the_child(spawn: Spawn) -> None:
    ours, theirs = socket_pair()
    with ours:
        code = """
import socket, sys
channel = socket.socket(fileno=int(sys.argv[1]))
channel.sendall(channel.recv(9) + b"!")
"""
        spawn(python(code, theirs.fileno()), pass_fds=(theirs.fileno(),))
        theirs.close()
        ours.settimeout(10)
        ours.sendall(b"hello")
        assert ours.recv(100) == b"hello!"
        assert ours.recv(100) == b""


@pytest.mark.parametrize(
    ("outer", "mark"), [(None, "inner"), ("", "inner"), ("outer", "outer/inner")]
)
def test_a_nested_mark_names_both_runs(outer: str | None, mark: str) -> None:
    env = {"PATH": "/bin"} if outer is None else {"PATH": "/bin", process.MARK: outer}
    env[process.KEEP] = "1"  # not for the app itself
    assert process.mark_environment(env, "inner") == {"PATH": "/bin", process.MARK: mark}


@pytest.mark.parametrize(
    ("mark", "run_id", "does"),
    [
        ("run", "run", True),
        ("run.3", "run", True),
        ("run.3", "run.3", True),
        ("run.31", "run.3", False),
        ("runner", "run", False),
        ("outer/run", "run", True),
        ("outer/run", "outer", True),
        ("outer.2/run", "outer", True),
        ("", "run", False),
    ],
)
def test_which_marks_carry_a_run(mark: str, run_id: str, does: bool) -> None:
    assert _posix_table.carries(mark, run_id) is does


@pytest.mark.parametrize(
    ("name", "content", "mode", "status", "says"),
    [
        ("missing", None, 0, 127, "no such program"),
        ("plain", "#!/bin/sh\n", 0o644, 126, "cannot execute"),
        ("headless", "\x01\x02", 0o755, 126, "cannot execute"),
        ("lost", "#!/no/such/interpreter\n", 0o755, 126, "cannot execute"),
        ("folder/", None, 0o755, 126, "cannot execute"),
    ],
)
def test_what_cannot_be_started_is_named(
    tmp_path: Path, name: str, content: str | None, mode: int, status: int, says: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
        path.chmod(mode)
    elif name.endswith("/"):
        path.mkdir()
    with pytest.raises(DevlaunchError, match=says) as caught:
        process.spawn([str(path)], run_id="none")
    assert str(path) in caught.value.message
    assert caught.value.exit_status == status
    assert caught.value.hint


def test_a_command_that_is_not_on_path_is_named() -> None:
    with pytest.raises(DevlaunchError, match="no such program: 'no-such-command'") as caught:
        process.spawn(["no-such-command"], run_id="none")
    assert caught.value.exit_status == 127


def test_a_directory_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(DevlaunchError, match=r"cannot run in the directory .*gone"):
        process.spawn(["sleep", "600"], run_id="none", cwd=str(tmp_path / "gone"))


# --- status -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "status", "exit_code"),
    [
        ("pass", 0, 0),
        ("raise SystemExit(3)", 3, 3),
        ("import os; os.kill(os.getpid(), 15)", -15, 143),
        ("import os; os.kill(os.getpid(), 9)", -9, 137),
        ("import os; os.abort()", -6, 134),
    ],
)
def test_the_status_of_a_child(spawn: Spawn, code: str, status: int, exit_code: int) -> None:
    child = spawn(python(code))
    assert status_of(child) == status
    assert child.poll() == status, "asking does not use it up"
    assert child.reap() == status
    assert child.poll() == child.reap() == status
    assert process.exit_code(status) == exit_code


def test_a_child_keeps_its_id_until_it_is_reaped(spawn: Spawn) -> None:
    child = spawn(python("pass"))
    assert status_of(child) == 0
    assert os.path.exists(f"/proc/{child.pid}"), "a zombie"
    child.reap()
    assert not os.path.exists(f"/proc/{child.pid}")


def test_nothing_is_signalled_after_the_reap(spawn: Spawn) -> None:
    child = spawn(python("pass"))
    child.reap()
    # Were the id not forgotten, this would be an error at best.
    child.signal(signal.SIGKILL)
    child.signal_session(signal.SIGKILL)
    assert child.kill() == set()


@pytest.mark.parametrize(
    ("isolate", "options"),
    [
        (Isolation.SESSION, "{}"),
        (Isolation.SESSION, "{'env': {}, 'process_group': 0}"),
        (Isolation.GROUP, "{'env': {}}"),
        (Isolation.NONE, "{'start_new_session': True}"),
    ],
)
def test_a_reap_ends_what_the_child_left(
    spawn: Spawn, tmp_path: Path, isolate: Isolation, options: str
) -> None:
    # An orphan is found by its mark; without one, by the session or group it was left in.
    child = spawn(python(PARENT, tmp_path, STUBBORN, options, "leave"), isolate=isolate)
    assert status_of(child) == 0
    wait_ready(tmp_path, 2)
    orphan = int(next(tmp_path.glob("ready-[0-9]*")).name.partition("-")[2])
    assert orphan in _posix_table.processes()
    assert child.reap() == 0
    assert orphan not in _posix_table.processes()


# --- signals ------------------------------------------------------------------------------------


def said(directory: Path) -> list[str]:
    path = directory / "said"
    return sorted(path.read_text().split()) if path.exists() else []


@pytest.mark.parametrize("isolate", ALL)
def test_a_signal_reaches_the_main_process_alone(
    spawn: Spawn, tmp_path: Path, isolate: Isolation
) -> None:
    child = spawn(python(PARENT, tmp_path, SPEAKER, "{}", "stay"), isolate=isolate)
    wait_ready(tmp_path, 2)
    child.signal(signal.SIGUSR1)
    assert status_of(child) == -signal.SIGUSR1
    assert said(tmp_path) == []


@pytest.mark.parametrize(
    ("isolate", "options"),
    [
        (Isolation.SESSION, "{}"),
        (Isolation.SESSION, "{'process_group': 0}"),
        (Isolation.GROUP, "{}"),
        (Isolation.NONE, "{}"),
        (Isolation.NONE, "{'process_group': 0}"),
    ],
)
def test_a_session_is_signalled_whole(
    spawn: Spawn, tmp_path: Path, isolate: Isolation, options: str
) -> None:
    child = spawn(python(PARENT, tmp_path, SPEAKER, options, "stay"), isolate=isolate)
    wait_ready(tmp_path, 2)
    child.signal_session(signal.SIGUSR1)
    wait_until(lambda: said(tmp_path) == ["SIGUSR1"], what="the grandchild heard")
    assert status_of(child) == -signal.SIGUSR1


@pytest.mark.parametrize("isolate", ALL)
def test_a_stopped_child_hears_that_it_shall_end(
    spawn: Spawn, tmp_path: Path, isolate: Isolation
) -> None:
    child = spawn(python(SPEAKER, tmp_path), isolate=isolate)
    wait_ready(tmp_path, 1)
    child.signal_session(signal.SIGSTOP)
    wait_until(lambda: Path(f"/proc/{child.pid}/stat").read_text().split()[2] == "T")
    child.signal_session(signal.SIGTERM)
    wait_until(lambda: said(tmp_path) == ["SIGCONT", "SIGTERM"], what=lambda: str(said(tmp_path)))
    assert child.poll() is None


def test_a_stop_by_the_keyboard_is_seen_once(spawn: Spawn) -> None:
    child = spawn(["sleep", "600"], isolate=Isolation.GROUP)
    assert not child.stopped()
    child.signal(signal.SIGTSTP)
    wait_until(child.stopped, what="stopped")
    assert not child.stopped()
    child.signal(signal.SIGCONT)
    child.signal(signal.SIGSTOP)
    wait_until(lambda: Path(f"/proc/{child.pid}/stat").read_text().split()[2] == "T")
    assert not child.stopped(), "the launcher's own SIGSTOP is no key"


# --- the end ------------------------------------------------------------------------------------

KINDS = {
    "in its group": (STUBBORN, "{}"),
    "in a group of its own": (STUBBORN, "{'process_group': 0}"),
    "in a session of its own": (STUBBORN, "{'start_new_session': True}"),
    "a daemon": (DAEMON, "{}"),
    "without the mark": (STUBBORN, "{'env': {}}"),
    "without the mark in a session of its own": (
        STUBBORN,
        "{'env': {}, 'start_new_session': True}",
    ),
}


@pytest.mark.parametrize("isolate", ALL)
@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_ends_every_grandchild(
    spawn: Spawn, tmp_path: Path, kind: str, isolate: Isolation
) -> None:
    code, options = KINDS[kind]
    child = spawn(python(PARENT, tmp_path, code, options, "stay"), isolate=isolate)
    wait_ready(tmp_path, 2)
    grandchild = int(next(tmp_path.glob("ready-[0-9]*")).name.partition("-")[2])
    assert child.kill() == set()
    assert grandchild not in _posix_table.processes()
    assert child.reap() == -signal.SIGKILL


@pytest.mark.parametrize("kind", KINDS)
def test_grandchildren_end_when_their_parent_obeys(spawn: Spawn, tmp_path: Path, kind: str) -> None:
    code, options = KINDS[kind]
    child = spawn(python(PARENT, tmp_path, code, options, "stay"))
    wait_ready(tmp_path, 2)
    grandchild = int(next(tmp_path.glob("ready-[0-9]*")).name.partition("-")[2])
    child.signal(signal.SIGTERM)
    assert status_of(child) == -signal.SIGTERM
    assert grandchild in _posix_table.processes(), "it ignores SIGTERM"
    child.reap()
    assert grandchild not in _posix_table.processes()


@pytest.mark.parametrize("isolate", ALL)
def test_a_stopped_child_can_be_killed(spawn: Spawn, isolate: Isolation) -> None:
    child = spawn(["sleep", "600"], isolate=isolate)
    child.signal_session(signal.SIGSTOP)
    child.kill()
    assert child.reap() == -signal.SIGKILL


def test_the_end_of_one_generation_spares_the_next(spawn: Spawn, run_id: str) -> None:
    old = spawn(["sleep", "600"], run_id=f"{run_id}.1")
    new = spawn(["sleep", "600"], run_id=f"{run_id}.2")
    old.kill()
    assert old.reap() == -signal.SIGKILL
    assert new.poll() is None
    assert marked(run_id) == [new.pid]


def test_a_process_that_hops_from_id_to_id_is_caught(
    spawn: Spawn, tmp_path: Path, run_id: str
) -> None:
    # Each one lives for a tenth of a second and leaves a successor in a session of its own.
    hopper = f"""
import time
{READY}
while True:
    if os.fork():
        os._exit(0)
    os.setsid()
    time.sleep(0.1)
"""
    child = spawn(python(hopper, tmp_path))
    wait_ready(tmp_path, 1)
    assert status_of(child) == 0
    wait_until(lambda: marked(run_id), what="the hopper")
    child.reap()
    assert_nothing_left(run_id, within=0.5)


def test_a_sweep_ends_a_nested_run_too(spawn: Spawn, run_id: str) -> None:
    inner = process.new_run_id()
    marked_outer = process.mark_environment(os.environ, run_id)
    child = spawn(["sleep", "600"], run_id=inner, env=marked_outer)
    # In the midst of its exec a process shows no environment.
    wait_until(lambda: marked(run_id) == marked(inner) == [child.pid], what="the marks")
    assert process.sweep(run_id) == set()
    assert_nothing_left(inner)


def test_a_sweep_of_another_run_harms_nobody(spawn: Spawn) -> None:
    child = spawn(["sleep", "600"])
    assert process.sweep(process.new_run_id()) == set()
    assert child.poll() is None


def test_the_caller_is_spared(run_id: str) -> None:
    # A launcher that is itself part of the run, as a nested one is, sweeps around itself.
    script = f"from devlaunch.system import process; process.sweep({run_id!r}); print('alive')"
    assert run_python(script, **{process.MARK: run_id}) == "alive\n"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_who_may_not_be_signalled_is_reported_at_once(run_id: str) -> None:
    # As with a child that runs sudo: the launcher is an ordinary user, its descendant is root.
    script = f"""
import os, subprocess
from devlaunch.system._posix_table import Family
looks = []
class Counted(Family):
    def look(self):
        looks.append(super().look())
        return looks[-1]
sleeper = subprocess.Popen(["sleep", "600"])
family = Counted({run_id!r})
family.adopt(sleeper.pid)
os.setresuid(65534, 65534, 0)
print(family.end(60.0) == {{sleeper.pid}}, looks == [{{sleeper.pid}}, set(), set()])
os.setresuid(0, 0, 0)
sleeper.kill()
sleeper.wait()
"""
    assert run_python(script).split() == ["True", "True"]


# --- odds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0", "::1", "::"])
@pytest.mark.parametrize("asked", ["127.0.0.1", "0.0.0.0", "::1"])
def test_the_holder_of_a_port_is_named(bound: str, asked: str) -> None:
    family = socket.AF_INET6 if ":" in bound else socket.AF_INET
    with socket.socket(family) as sock:
        try:
            sock.bind((bound, 0))
        except OSError as error:
            pytest.skip(f"no {bound} here: {error}")
        sock.listen()
        holder = process.listening_process(asked, sock.getsockname()[1])
    mixed = {"127.0.0.1", "::1"} == {bound, asked}
    name = Path("/proc/self/comm").read_text().strip()
    assert holder == (None if mixed else f"{name} (pid {os.getpid()})")


def test_the_holder_of_a_port_of_a_named_host_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        holder = process.listening_process("localhost", sock.getsockname()[1])
    assert holder is not None
    assert holder.endswith(f"(pid {os.getpid()})")


def test_a_port_that_nobody_listens_on_has_no_holder() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        assert process.listening_process("127.0.0.1", sock.getsockname()[1]) is None
    assert process.listening_process("no such host", 1) is None


def test_what_looks_at_processes_needs_no_descriptor(spawn: Spawn, tmp_path: Path) -> None:
    child = spawn(python(PARENT, tmp_path, READY, {}, "stay"))
    wait_ready(tmp_path, 2)
    (below,) = (int(path.name.removeprefix("ready-")) for path in tmp_path.glob("ready-[0-9]*"))
    with no_descriptors():
        child.look()
        assert child.pythons() == {}
        assert child.watcher({below: [str(tmp_path)]}) is None
        assert child.image() is None
        child.signal_session(signal.SIGTERM)
        assert child.dismiss() == []


def test_a_zombie_is_not_alive(spawn: Spawn) -> None:
    child = spawn(python("pass"))
    status_of(child)
    assert child.pid not in _posix_table.processes()


def test_a_process_whose_main_thread_ended_is_alive(spawn: Spawn, tmp_path: Path) -> None:
    code = f"""
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(600,)).start()
{READY}
ctypes.CDLL(None).pthread_exit(None)
"""
    child = spawn([sys.executable, "-c", code, str(tmp_path)])
    wait_ready(tmp_path, 1)
    wait_until(lambda: Path(f"/proc/{child.pid}/stat").read_text().split()[2] == "Z")
    assert child.pid in _posix_table.processes()
    assert child.poll() is None


@pytest.mark.skipif(os.getuid() != 0, reason="a process 1 of our own needs a PID namespace")
def test_process_1_of_a_container_reaps_orphans(tmp_path: Path) -> None:
    script = """
import os, subprocess, sys, time
from devlaunch.system import process
child = subprocess.Popen(["sleep", "600"])
subprocess.run(["sh", "-c", "sleep 0.01 & sleep 0.01 &"])
def children():
    pids = [pid for pid in os.listdir("/proc") if pid.isdigit()]
    stats = [open(f"/proc/{pid}/stat").read().split() for pid in pids]
    return [int(stat[0]) for stat in stats if stat[3] == "1"]
deadline = time.monotonic() + 10
while children() != [child.pid] and time.monotonic() < deadline:
    process.reap_orphans({child.pid})
    time.sleep(0.005)
print(children() == [child.pid], child.poll())
child.kill()
time.sleep(0.05)
process.reap_orphans({child.pid})
print(child.wait())
process.reap_orphans(set())
"""
    try:
        done = subprocess.run(
            ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", script],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if "Operation not permitted" in done.stderr:
        pytest.skip("no PID namespaces here")
    assert done.stdout.split() == ["True", "None", "-9"], done.stderr


PS = """\
    1     0     1 Ss   Sun Nov 22 12:25:23 2026 /sbin/launchd
  {pid}   1  {pid} S+   Sun Nov 22 12:25:23 2026 python app.py HOME=/u DEVLAUNCH_RUN=run/2 A=b
  999999  1  999999 Z  Sun Nov 22 12:25:23 2026 (python)
garbage
"""


def test_the_output_of_ps_is_read() -> None:
    table = _posix_table.parse_ps(PS.format(pid=os.getpid()))
    mine = table.pop(os.getpid())
    assert (mine.ppid, mine.group, mine.session) == (1, os.getpid(), os.getsid(0))
    assert (mine.started, mine.mark) == ("Sun Nov 22 12:25:23 2026", "run/2")
    assert {pid: one.mark for pid, one in table.items()} == {1: ""}


def test_the_helper_finds_what_it_shall_find(spawn: Spawn, run_id: str) -> None:
    assert marked(run_id) == []
    child = spawn(["sleep", "600"])
    # Between fork and exec it has its parent's environment.
    wait_until(lambda: marked(run_id) == [child.pid], what="the mark")
    assert "sleep 600" in describe(marked(run_id))
    with pytest.raises(AssertionError, match="sleep 600"):
        assert_nothing_left(run_id, within=0.05)
