"""However devlaunch, its child or its guardian ends: nothing is left, and the status is right."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.child import MAIN
from support.dap import DapClient
from support.interpreters import launchers
from support.launch import Launch, asgi_app, free_port, launched, save
from support.marks import assert_nothing_left, describe, guards, marked
from support.terminal_launch import on_terminal
from support.wait import wait_until

from devlaunch.system import _posix_table

HOOKED = """\
import os, pathlib
VERSION = {version!r}

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                pathlib.Path("hook").write_text(VERSION)
            await send({{"type": message["type"] + ".complete"}})
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": str(os.getpid()).encode()}})
"""

# Each generation leaves one of every kind, all deaf: in its group, in a session and in a group of
# its own, and a fork that has the listening socket. The file `family` lists them.
FAMILY = """\
import os, signal, subprocess, time
VERSION = {version!r}
DEAF = ["sh", "-c", "trap '' HUP INT TERM; exec sleep 600"]
pids = [
    subprocess.Popen(DEAF).pid,
    subprocess.Popen(DEAF, start_new_session=True).pid,
    subprocess.Popen(DEAF, process_group=0).pid,
]
{more}
with open("family", "a") as file:
    file.write("".join(f"{{VERSION}} {{pid}}\\n" for pid in [os.getpid(), *pids]))
print("family of", VERSION, flush=True)
"""

FORK = """
pids.append(os.fork())
if pids[-1] == 0:
    os.setsid()
    for sig in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(sig, signal.SIG_IGN)
    time.sleep(600)
"""

# Found only by whoever looked while its parent lived.
UNMARKED = """
pids.append(subprocess.Popen(["/bin/sleep", "600"], env={}, start_new_session=True).pid)
"""

WSGI = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [VERSION.encode()]
"""

SCRIPT = """
print("runs", VERSION, flush=True)
time.sleep(600)
"""

WSGIREF = ("--port", "0", "--server", "wsgiref", "--grace", "0.4")
DEBUG = ("--debug-attach", "--debug-address", "127.0.0.1:0")
KINDS = 5
"""Processes of a generation of `family`."""


def family(version: str, *, more: str = FORK) -> str:
    return FAMILY.format(version=version, more=more)


@pytest.fixture(autouse=True)
def no_litter(tmp_path: Path) -> Iterator[None]:
    """What a failed test has left is ended."""
    yield
    for pid in alive([pid for file in tmp_path.rglob("family") for pid in members_of(file.parent)]):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def members_of(directory: Path, version: str = "") -> list[int]:
    """The pids in the list that the families wrote."""
    with contextlib.suppress(FileNotFoundError):
        lines = (directory / "family").read_text().splitlines()
        return [int(pid) for name, _, pid in (line.partition(" ") for line in lines)
                if version in ("", name) and pid]  # fmt: skip
    return []


def alive(pids: list[int]) -> list[int]:
    return sorted(_posix_table.processes().keys() & set(pids))


def wait_gone(pids: list[int], within: float = 3.0) -> None:
    wait_until(lambda: not alive(pids), within, lambda: f"the end of:\n{describe(alive(pids))}")


def children_of(pid: int) -> list[int]:
    files = Path(f"/proc/{pid}/task").glob("*/children")
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return [int(child) for file in files for child in file.read_text().split()]
    return []


def guardians(launcher: int) -> list[int]:
    """The guardian's pid, if it has been started."""
    return [pid for pid in children_of(launcher) if "_posix_guardian" in describe([pid])]


def the_child(launch: Launch) -> int:
    """The one child that runs devlaunch's child package."""
    found = [pid for pid in children_of(launch.pid) if "/child/__main__.py" in describe([pid])]
    assert len(found) == 1, f"{found}\n{launch.text}"
    return found[0]


def both_guards(launch: Launch) -> list[int]:
    """The guardian and its heir."""
    (guardian,) = guardians(launch.pid)
    return wait_until(lambda: len(found := guards(guardian)) == 2 and found, what="the heir")


def assert_port_is_free(launch: Launch) -> None:
    """The app's port, if it is known yet, can be bound and listened on."""
    if "http://" in launch.text:
        port = int(launch.url.rpartition(":")[2])
        with socket.create_server(("127.0.0.1", port)):
            pass


def kill_and_prove(launch: Launch, *others: int) -> None:
    """`kill -9` of the launcher and others; within 3 s all is gone, and the port is free."""
    pids = members_of(launch.cwd)
    pids += [pid for guardian in guardians(launch.pid) for pid in guards(guardian)]
    for pid in (*others, launch.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 3.0
    launch.process.wait()
    assert_nothing_left(launch.run_id, deadline - time.monotonic())
    wait_gone([*pids, *members_of(launch.cwd)], deadline - time.monotonic())
    assert_port_is_free(launch)


# --- the exit status ----------------------------------------------------------------------------


@pytest.mark.parametrize("isolate", ["session", "group", "none"])
@pytest.mark.parametrize(
    ("sig", "status", "hook"),
    [(signal.SIGTERM, 143, True), (signal.SIGHUP, 129, False), (signal.SIGINT, 0, True)],
)
def test_a_signal_reaches_the_app_and_its_status_is_ours(
    tmp_path: Path, sig: int, status: int, hook: bool, isolate: str
) -> None:
    """As under uvicorn alone: SIGHUP is none that it handles, SIGINT it takes for a good end."""
    (tmp_path / "app.py").write_text(HOOKED.format(version="v0"))
    with launched("--port", "0", "--isolate", isolate, "app:app", cwd=tmp_path) as launch:
        launch.wait_for("ready in")
        guardian = guardians(launch.pid)
        assert guardian
        launch.process.send_signal(sig)
        assert launch.wait_ended() == status
        assert (tmp_path / "hook").exists() == hook
        assert not alive(marked(launch.run_id) + guardian), "all ended before the launcher did"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("raise SystemExit(3)", 3),
        ("os.kill(os.getpid(), signal.SIGKILL)", 137),
        ("os.kill(os.getpid(), signal.SIGTERM)", 143),
        ("os.abort()", 134),
        ("1 / 0", 1),
        ("pass", 0),
    ],
)
def test_without_reload_the_status_is_the_childs(tmp_path: Path, code: str, status: int) -> None:
    (tmp_path / "work.py").write_text(f"import os, signal\n{code}\n")
    with launched("--no-reload", "work.py", cwd=tmp_path) as launch:
        assert launch.wait_ended() == status


def test_without_reload_an_app_killed_from_outside_ends_all(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(family("v0") + WSGI)
    with launched("--no-reload", *WSGIREF, "app:app", cwd=tmp_path) as launch:
        launch.wait_for("ready in")
        os.kill(the_child(launch), signal.SIGKILL)
        assert launch.wait_ended() == 137
        assert "killed by SIGKILL" in launch.text
        assert len(members_of(tmp_path)) == KINDS
        assert not alive(members_of(tmp_path))


def test_a_signal_while_nothing_runs_is_the_status(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text("raise SystemExit(3)\n")
    with launched("work.py", cwd=tmp_path) as launch:
        launch.wait_for(r"exited \(status 3\)")
        launch.process.send_signal(signal.SIGTERM)
        assert launch.wait_ended() == 143


def test_an_interrupt_before_the_users_code_shows_no_traceback(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        child = subprocess.Popen(
            [sys.executable, str(MAIN), str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stderr=subprocess.PIPE,
            text=True,
        )
        ours.send(b"{")
        unread = bytearray(4)
        while fcntl.ioctl(ours, termios.TIOCOUTQ, unread) == 0 and any(unread):
            time.sleep(0.005)  # it has started when it has read that
        child.send_signal(signal.SIGINT)
        assert child.communicate(timeout=10)[1] == ""
        assert child.returncode == -signal.SIGINT


# --- without stdin, stdout, stderr, descriptors -------------------------------------------------

SEES = """\
import os, pathlib
kinds = [os.readlink(f"/proc/self/fd/{fd}").partition(":")[0] for fd in range(3)]
pathlib.Path("seen").write_text(" ".join(kinds))
print("some", "output", flush=True)
"""


@pytest.mark.parametrize(
    ("redirections", "sees", "status"),
    [
        ("<&-", "/dev/null pipe pipe", 0),
        (">&-", "/dev/null /dev/null pipe", 0),
        ("2>&-", "/dev/null pipe /dev/null", 0),
        ("<&- >&- 2>&-", "/dev/null /dev/null /dev/null", 0),
        ("2>/dev/full", "/dev/null pipe /dev/full", 0),
        (">/dev/full", "/dev/null /dev/full pipe", 1),
    ],
)
@pytest.mark.parametrize("python", launchers())
def test_the_program_runs_without_standard_streams(
    tmp_path: Path, python: str, redirections: str, sees: str, status: int
) -> None:
    """What is closed is the null device for it, and nothing of ours."""
    (tmp_path / "work.py").write_text(SEES)
    shell = ("-c", f'exec "$@" {redirections}', "sh", python, "-m", "devlaunch", "--no-reload")
    with launched("work.py", cwd=tmp_path, python="sh", command=shell) as launch:
        assert launch.wait_ended() == status
        assert (tmp_path / "seen").read_text() == sees
        assert launch.text.count("Traceback") == (status != 0), "the program's own"


@pytest.mark.parametrize("limit", [5, 6, 7, 8])
def test_too_few_descriptors_are_one_line(tmp_path: Path, limit: int) -> None:
    (tmp_path / "app.py").write_text(family("v0") + WSGI)
    shell = ("-c", f'ulimit -n {limit}; exec "$@"', "sh", sys.executable, "-m", "devlaunch")
    with launched(*WSGIREF, "app:app", cwd=tmp_path, python="sh", command=shell) as launch:
        assert launch.wait_ended() == 1
        expected = f"too many open files: this process may have {limit} (ulimit -n)"
        assert launch.text == f"devlaunch: error: {expected}\n  raise the limit: ulimit -n 1024\n"


def limit_files(launch: Launch, most: int) -> None:
    """How many files the launcher may have open from now on."""
    hard = resource.prlimit(launch.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(launch.pid, resource.RLIMIT_NOFILE, (most, hard))


def test_a_reload_that_descriptors_lack_for_is_done_at_the_next_change(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(family("v0") + WSGI)
    with launched("--standby", "off", *WSGIREF, "app:app", cwd=tmp_path) as launch:
        launch.wait_served("v0")
        limit_files(launch, len(os.listdir(f"/proc/{launch.pid}/fd")))
        launch.save(family("v1") + WSGI)
        launch.wait_for(r"broken +too many open files: this process may have \d+ \(ulimit -n\)")
        limit_files(launch, 256)
        launch.save(family("v2") + WSGI)
        launch.wait_served("v2")
        assert "Traceback" not in launch.text
        limit_files(launch, len(os.listdir(f"/proc/{launch.pid}/fd")))
    assert not alive(members_of(tmp_path))


def test_strangers_do_not_take_the_descriptors_that_a_reload_needs(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(WSGI.replace("VERSION", "'v0'"))
    with contextlib.ExitStack() as stack:
        launch = stack.enter_context(launched(*DEBUG, *WSGIREF, "app:app", cwd=tmp_path))
        launch.wait_served("v0")
        limit_files(launch, 28)
        for _ in range(30):
            stack.enter_context(socket.create_connection(("127.0.0.1", launch.debug_port)))
        launch.wait_for("connections are refused: too many open files: this process may have 28")
        launch.save(WSGI.replace("VERSION", "'v1'"))
        launch.wait_served("v1")
        assert launch.text.count("are refused") == 1


# --- no process of an old generation ------------------------------------------------------------


@pytest.mark.parametrize("isolate", ["session", "group", "none"])
@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
def test_no_process_of_an_old_generation_remains(
    tmp_path: Path, isolate: str, terminal: bool
) -> None:
    (tmp_path / "app.py").write_text(family("v0") + WSGI)
    start = on_terminal if terminal else launched
    options = (*WSGIREF, "--isolate", isolate)
    with start(*options, "app:app", cwd=tmp_path) as launch:  # type: ignore[operator]
        launch.wait_for("ready in")
        for count in range(1, 4):
            at = len(launch.text)
            launch.save(family(f"v{count}") + WSGI)
            launch.wait_for("reloaded in", after=at)
            old = members_of(tmp_path, f"v{count - 1}")
            assert len(old) == KINDS
            assert not alive(old), describe(alive(old))
            new = members_of(tmp_path, f"v{count}")
            assert len(alive(new)) == KINDS
        assert launch.get() == "v3"
        if terminal:
            launch.press("\x03")
        else:
            launch.process.send_signal(signal.SIGTERM)
        launch.wait_ended()
        assert not alive(members_of(tmp_path))
        assert not marked(launch.run_id)
    assert_port_is_free(launch)


# A helper in a session of its own: it holds a port, and takes a moment to give it back.
HELPER = """\
import pathlib, signal, socket, sys, time
name, port = sys.argv[1], int(sys.argv[2])
def end(*_):
    time.sleep(0.1)
    pathlib.Path(f"{name}-ended").touch()
    sys.exit()
signal.signal(signal.SIGTERM, signal.SIG_IGN if name.startswith("deaf") else end)
listener = socket.create_server(("127.0.0.1", port))
pathlib.Path(f"{name}-up").touch()
time.sleep(600)
"""

HELPED = """\
import os, subprocess, sys, time
VERSION = {version!r}
pids = []
for name, port, env in {helpers}:
    words = [sys.executable, "helper.py", name + VERSION, str(port)]
    pids.append(subprocess.Popen(words, start_new_session=True, env=os.environ | env).pid)
with open("family", "a") as file:
    file.write("".join(f"{{VERSION}} {{pid}}\\n" for pid in pids))
"""


@pytest.mark.parametrize("isolate", ["session", "group", "none"])
def test_helpers_are_asked_before_the_next_start_and_may_be_kept(
    tmp_path: Path, isolate: str
) -> None:
    """The port that one holds is free when the next generation starts its own."""
    (tmp_path / "helper.py").write_text(HELPER)
    both = [("helper-", free_port(), {}), ("kept-", free_port(), {"DEVLAUNCH_KEEP": "1"})]
    (tmp_path / "work.py").write_text(HELPED.format(version="v0", helpers=both) + SCRIPT)
    with launched("--isolate", isolate, "work.py", cwd=tmp_path) as launch:
        for name in ("helper-v0-up", "kept-v0-up"):
            wait_until((tmp_path / name).exists, what=name)
        source = HELPED.format(version="v1", helpers=both[:1]) + SCRIPT
        launch.save(source, "work.py")
        launch.wait_for("runs v1")
        assert (tmp_path / "helper-v0-ended").exists()
        wait_until((tmp_path / "helper-v1-up").exists, what="another helper on the same port")
        kept = members_of(tmp_path, "v0")[1]
        assert alive(members_of(tmp_path, "v0")) == [kept]
        assert "killed" not in launch.text
        launch.process.send_signal(signal.SIGTERM)
        launch.wait_ended()
        assert not alive(members_of(tmp_path))
        assert (tmp_path / "helper-v1-ended").exists()
        assert (tmp_path / "kept-v0-ended").exists(), "it was asked, too"


def test_a_helper_that_does_not_end_is_named(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text(HELPER)
    deaf = [("deaf-", 0, {})]
    (tmp_path / "work.py").write_text(HELPED.format(version="v0", helpers=deaf) + SCRIPT)
    # Longer than it takes to believe that an app lives on without its control channel.
    with launched("--grace", "1.2", "work.py", cwd=tmp_path) as launch:
        wait_until((tmp_path / "deaf-v0-up").exists, what="the helper")
        (pid,) = members_of(tmp_path)
        launch.save(HELPED.format(version="v1", helpers=[]) + SCRIPT, "work.py")
        launch.wait_for("runs v1")
        launch.wait_for(
            rf"killed \S+ \(pid {pid}\): started by the app, and did not end by SIGTERM"
        )
        assert not alive([pid])
        assert launch.text.count(" note ") == 1, "the app itself did all that it was asked for"


def test_a_kept_helper_does_not_survive_a_killed_launcher(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text(HELPER)
    kept = [("kept-", 0, {"DEVLAUNCH_KEEP": "1"})]
    (tmp_path / "work.py").write_text(HELPED.format(version="v0", helpers=kept) + SCRIPT)
    with launched("work.py", cwd=tmp_path) as launch:
        wait_until((tmp_path / "kept-v0-up").exists, what="the helper")
        kill_and_prove(launch)
        assert (tmp_path / "kept-v0-ended").exists(), "it was asked"


def test_whoever_holds_the_socket_and_the_output_does_not_block_the_end(tmp_path: Path) -> None:
    """A fork has them all, and the reader of our output sees its end."""
    (tmp_path / "app.py").write_text(family("v0") + WSGI)
    with launched(*WSGIREF, "app:app", cwd=tmp_path) as launch:
        launch.wait_for("ready in")
        fork = members_of(tmp_path)[-1]
        child = the_child(launch)
        held = {os.readlink(f"/proc/{child}/fd/{n}") for n in os.listdir(f"/proc/{child}/fd")}
        forks = {os.readlink(f"/proc/{fork}/fd/{n}") for n in os.listdir(f"/proc/{fork}/fd")}
        output = os.readlink(f"/proc/{fork}/fd/1")
        assert output.startswith("pipe:")
        assert any(name.startswith("socket:") for name in held & forks)
        launch.process.send_signal(signal.SIGTERM)
        launch.wait_ended()
        launch._reader.join(3)
        assert not launch._reader.is_alive(), "the pipe's end"
        assert_port_is_free(launch)


# --- killed from outside ------------------------------------------------------------------------


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_child_killed_from_outside_waits_for_a_change(tmp_path: Path, sig: int) -> None:
    (tmp_path / "app.py").write_text(family("v0") + WSGI)
    with launched(*WSGIREF, "app:app", cwd=tmp_path) as launch:
        launch.wait_for("ready in")
        os.kill(the_child(launch), sig)
        launch.wait_for(f"killed by {signal.Signals(sig).name} +waiting for a change")
        wait_gone(members_of(tmp_path))
        assert not [pid for pid in children_of(launch.pid) if pid not in guardians(launch.pid)]
        launch.save(family("v1") + WSGI)
        launch.wait_served("v1")
        assert launch.text.count("killed by") == 1


# --- the launcher is killed ---------------------------------------------------------------------

SEED = random.randrange(1 << 30)


class Saver(threading.Thread):
    """Saves the file again and again, at random intervals of up to a third of a second."""

    def __init__(self, path: Path, source: str, rng: random.Random) -> None:
        super().__init__()
        self._path = path
        self._source = source
        self._rng = rng
        self._ending = threading.Event()

    def __enter__(self) -> Saver:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self.join()

    def run(self) -> None:
        for count in itertools.count(1):
            if self._ending.wait(self._rng.uniform(0.01, 0.33)):
                return
            save(self._path, self._source.replace("'v0'", repr(f"v{count}")))


PROGRAMS = {
    "app": ((*WSGIREF, "app:app"), family("v0") + WSGI),
    "script": (("app.py",), family("v0") + SCRIPT),
}


@pytest.mark.parametrize("batch", range(6))
def test_kill_at_a_random_moment_of_a_reload_loop(tmp_path: Path, batch: int) -> None:
    """Four at a time, which also disturb each other."""
    print(f"seed {SEED}")
    moments = range(4 * batch, 4 * batch + 4)
    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(kill_in_a_reload_loop, tmp_path / str(m), m) for m in moments]
    for each in done:
        each.result()


def kill_in_a_reload_loop(directory: Path, moment: int) -> None:
    rng = random.Random(SEED + moment)
    options, source = PROGRAMS["script" if moment % 3 else "app"]
    isolate = ("session", "group", "none")[moment % 3] if moment % 2 else "session"
    directory.mkdir()
    path = directory / "app.py"
    path.write_text(source)
    with contextlib.closing(Launch("--isolate", isolate, *options, cwd=directory)) as launch:
        if moment % 4:  # the others: while it starts
            launch.wait_for("ready in")
        with Saver(path, source, rng):
            time.sleep(rng.uniform(0.0, 1.0))  # the moment is the point of this test
            kill_and_prove(launch)


@pytest.mark.parametrize("moment", range(6))
def test_kill_at_a_random_moment_of_a_debugged_reload_loop(tmp_path: Path, moment: int) -> None:
    """Each generation stops at its first line, then in its last."""
    rng = random.Random(SEED + moment)
    delay = rng.uniform(0.0, 1.5)
    print(f"seed {SEED}, delay {delay}")
    source = family("v0", more="") + SCRIPT
    path = tmp_path / "app.py"
    path.write_text(source)
    last = len(source.splitlines()) - 1
    with contextlib.closing(Launch(*DEBUG, "app.py", cwd=tmp_path)) as launch:
        launch.wait_for("runs v0")
        with DapClient("127.0.0.1", launch.debug_port, timeout=20) as ide:
            ide.attach(breakpoints={str(path): [2, last]})
            save(path, source.replace("'v0'", "'v1'"))
            stopped = ide.wait_event("stopped")
            if moment % 2:
                ide.continue_(stopped["threadId"])
                ide.wait_event("stopped")
                assert len(alive(members_of(tmp_path, "v1"))) == KINDS - 1
            if moment % 3 == 0:  # not paused: in the middle of the next restart
                ide.request("restart")
            with Saver(path, source, rng):
                time.sleep(delay)  # the moment is the point of this test
                kill_and_prove(launch)


@pytest.mark.parametrize("isolate", ["session", "group", "none"])
@pytest.mark.parametrize("stop", [False, True], ids=["running", "stopped"])
def test_the_hooks_run_when_the_launcher_is_killed(
    tmp_path: Path, isolate: str, stop: bool
) -> None:
    (tmp_path / "app.py").write_text(HOOKED.format(version="v0"))
    options = ("--isolate", isolate, "--port", "0")
    with contextlib.closing(Launch(*options, "app:app", cwd=tmp_path)) as launch:
        launch.wait_for("ready in")
        if stop:
            os.kill(the_child(launch), signal.SIGSTOP)
        kill_and_prove(launch)
        # A stopped group that becomes an orphan gets SIGHUP from the kernel first (_exit(2)).
        assert (tmp_path / "hook").exists() or (stop and isolate == "group")


def test_who_has_neither_mark_nor_session_of_ours_does_not_survive(tmp_path: Path) -> None:
    """The child does not end by itself before the guardian has seen who descends from it."""
    (tmp_path / "app.py").write_text(family("v0", more=UNMARKED) + WSGI)
    with contextlib.closing(Launch(*WSGIREF, "app:app", cwd=tmp_path)) as launch:
        launch.wait_for("ready in")
        assert len(alive(members_of(tmp_path))) == KINDS
        kill_and_prove(launch)


SPIN = """
import re
print('spins', flush=True)
re.match(r'(a+)+$', 'a' * 60 + 'b')
"""
"""Its own threads cannot end it: the interpreter's lock is held for ever."""


@pytest.mark.parametrize("moment", ["serving", "reloading", "running C code"])
@pytest.mark.parametrize("guardian", [False, True], ids=["launcher", "launcher and guardian"])
def test_nothing_survives_what_dies_at_once(tmp_path: Path, moment: str, guardian: bool) -> None:
    end = SPIN if moment == "running C code" else SCRIPT
    (tmp_path / "app.py").write_text(family("v0") + end)
    with contextlib.closing(Launch("app.py", cwd=tmp_path)) as launch:
        launch.wait_for("^spins|^runs v0")
        first = both_guards(launch)[:guardian]
        if moment == "reloading":
            old = the_child(launch)
            launch.save(family("v1") + SCRIPT)
            wait_until(lambda: not alive([old]), what="the old one's end")
        kill_and_prove(launch, *first)


@pytest.mark.parametrize("who", ["devlaunch", "python", "the tree"])
def test_nothing_survives_a_kill_of_many(tmp_path: Path, who: str) -> None:
    """`pkill -9 -f devlaunch`, of this run; or all below the launcher, as an IDE does it."""
    (tmp_path / "app.py").write_text(family("v0") + SCRIPT)
    with contextlib.closing(Launch("app.py", cwd=tmp_path)) as launch:
        launch.wait_for("runs v0")
        ours = [*both_guards(launch), *marked(launch.run_id)]
        if who == "the tree":
            killed = children_of(launch.pid)
        else:
            killed = [pid for pid in ours if who in describe([pid])]
        assert the_child(launch) in killed
        kill_and_prove(launch, *killed)


# --- the guardian -------------------------------------------------------------------------------


def test_a_killed_guardian_is_replaced_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(family("v0") + WSGI)
    with contextlib.closing(Launch(*WSGIREF, "app:app", cwd=tmp_path)) as launch:
        launch.wait_for("ready in")
        (first,) = guardians(launch.pid)
        os.kill(first, signal.SIGKILL)
        (second,) = wait_until(lambda: set(guardians(launch.pid)) - {first}, what="another one")
        launch.save(family("v1") + WSGI)
        launch.wait_served("v1")
        assert guardians(launch.pid) == [second]
        kill_and_prove(launch)
        assert not alive([first, second])


def test_launcher_guardian_and_heir_killed_together_leave_no_child(tmp_path: Path) -> None:
    """What they cannot do any more the child does itself, when its channel ends."""
    (tmp_path / "app.py").write_text(HOOKED.format(version="v0"))
    with contextlib.closing(Launch("--port", "0", "app:app", cwd=tmp_path)) as launch:
        launch.wait_for("ready in")
        os.kill(launch.pid, signal.SIGSTOP)  # so that it starts no other guardian
        kill_and_prove(launch, *both_guards(launch))
        assert (tmp_path / "hook").read_text() == "v0"


def test_an_orphan_of_the_shell_is_none_of_ours(tmp_path: Path) -> None:
    """A process beside the launcher, in its process group, is not touched by any ending."""
    (tmp_path / "work.py").write_text("import time\nprint('up', flush=True)\ntime.sleep(600)\n")
    bystander = subprocess.Popen(["sleep", "600"])
    try:
        with contextlib.closing(Launch("--isolate", "none", "work.py", cwd=tmp_path)) as launch:
            launch.wait_for("^up")
            assert os.getpgid(launch.pid) == os.getpgid(bystander.pid)
            kill_and_prove(launch)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_nohup_keeps_it_running(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(asgi_app("v0"))
    command = (sys.executable, "-m", "devlaunch")
    with launched("--port", "0", "app:app", cwd=tmp_path, python="nohup", command=command) as it:
        it.wait_served("v0")
        it.process.send_signal(signal.SIGHUP)
        save(tmp_path / "app.py", asgi_app("v1"))
        it.wait_served("v1")


def test_a_process_manager_that_adds_its_own_signal_does_not_cut_the_shutdown(
    tmp_path: Path,
) -> None:
    complete = '            await send({"type": message["type"] + ".complete"})\n'
    hook = """\
            if message["type"] == "lifespan.shutdown":
                import asyncio
                await asyncio.sleep(0.3)
                print("closed", flush=True)
"""
    slow = asgi_app("v0").replace(complete, hook + complete)
    assert hook in slow
    (tmp_path / "app.py").write_text(slow)
    with launched("--port", "0", "app:app", cwd=tmp_path) as it:
        it.wait_served("v0")
        it.process.send_signal(signal.SIGINT)
        it.process.send_signal(signal.SIGTERM)
        it.wait_ended()
        assert "closed" in it.text
