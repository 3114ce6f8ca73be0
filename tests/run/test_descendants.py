"""What processes below the child run is watched: they report, or it is said that they cannot."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import stat
import time
import uuid
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pytest
from support.child import Child
from support.interpreters import interpreters, launchers
from support.launch import WSGI, asgi_app, free_port, launched, save
from support.wait import wait_until

from devlaunch.config import Target, TargetKind
from devlaunch.core.invocation import Running
from devlaunch.run.descendants import Datagrams, Descendants
from devlaunch.system import process
from devlaunch.system.loop import Loop

JOB = """\
import multiprocessing, os, subprocess, sys, time

def work():
    import worker
    print("worker", worker.VALUE, flush=True)
    time.sleep(600)

if __name__ == "__main__":
    how = sys.argv[1]
    code = "import sys; sys.path.append(sys.argv[1]); import job; job.work()"
    command = [sys.executable, "-c", code, os.getcwd()]
    match how:
        case "fork":
            os.fork() or work()
            time.sleep(600)
        case "spawn" | "forkserver":
            process = multiprocessing.get_context(how).Process(target=work)
            process.start()
            process.join()
        case "subprocess":
            subprocess.run(command, cwd="/")
        case "copy":
            subprocess.run(command, env={**os.environ, "MORE": "1"})
        case "isolated":
            subprocess.run([sys.executable, "-I", *command[1:]])
        case "clean":
            subprocess.run(command, env={})
        case "mapping":
            subprocess.run(command, env=os.environ)
"""
REPORT = ["fork", "spawn", "forkserver", "subprocess", "copy"]
SILENT = ["isolated", "clean", "mapping"]


@pytest.mark.parametrize("how", REPORT + SILENT)
@pytest.mark.parametrize("python", launchers()[::2])
def test_a_module_of_a_process_below_is_watched(tmp_path: Path, python: str, how: str) -> None:
    (tmp_path / "job.py").write_text(JOB)
    save(tmp_path / "worker.py", "VALUE = 1\n")
    with launched("--", "python", "job.py", how, cwd=tmp_path, python=python) as launch:
        launch.wait_for("worker 1")
        if how in SILENT:
            launch.wait_for("a Python process of the app cannot say what it runs")
        for value in (22, 333):
            save(tmp_path / "worker.py", f"VALUE = {value}\n")
            launch.wait_for(f"worker {value}")
        assert launch.text.count("cannot say") == (how in SILENT)


RELOADER = """\
import multiprocessing, os, subprocess, sys, time

def look():
    # By the time that this one is found to say nothing a look has been taken.
    os.posix_spawn(sys.executable, [sys.executable, "-c", "import time; time.sleep(600)"], {})
    time.sleep(600)

if __name__ == "__main__":
    how, *dev = sys.argv[1:]
    if "INNER" in os.environ:
        print("inner", flush=True)
        if how != "exec" or os.fork():
            time.sleep(600)
        look()
    os.environ["INNER"] = "1"
    command = [sys.executable, __file__, how]
    match how:
        case "argv":
            subprocess.Popen([sys.executable, *sys.argv])
        case "late":
            time.sleep(2.5)
            subprocess.Popen(command)
        case "silent":
            subprocess.Popen(command, env={"INNER": "1"})
        case "exec":
            os.execv(sys.executable, command)
        case "fork":
            os.fork()
        case "spawn" | "forkserver":
            multiprocessing.get_context(how).Process(target=time.sleep, args=(600,)).start()
        case "data":
            from watchdog.events import FileSystemEventHandler
            from watchdog.observers import Observer
            observer = Observer()
            observer.schedule(FileSystemEventHandler(), "data", recursive=True)
            observer.start()
            subprocess.Popen([sys.executable, "work.py"])
    if 0 or not dev:
        look()
    time.sleep(600)
"""
AGAIN = r"note +process \d+ runs the command line of the app again: a reloader of its own\?"
LOOKED = r"note +process [\d, ]+ of the app cannot say"
WORK = "import time; print('work', flush=True); time.sleep(600)\n"


@pytest.mark.parametrize("how", ["argv", "late", "silent"])
def test_a_reloader_that_nobody_knows_is_told_of_once(tmp_path: Path, how: str) -> None:
    save(tmp_path / "job.py", RELOADER)
    with launched("job.py", how, "--dev", cwd=tmp_path) as launch:
        launch.wait_for(AGAIN)
        offset = len(launch.text)
        save(tmp_path / "job.py", RELOADER.replace("if 0", "if 1"))
        launch.wait_for(r"restarted in", after=offset)
        if how == "argv":
            launch.wait_for(LOOKED)
        assert len(re.findall(AGAIN, launch.text)) == 1


def test_a_reloader_is_known_by_what_it_watches(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    save(tmp_path / "src" / "work.py", WORK)
    command = ("watchmedo", "auto-restart", "-R", "-p", "*.py", "--", "python", "src/work.py")
    with launched("--", *command, cwd=tmp_path) as launch:
        launch.wait_for(
            r"process \d+ of the app watches files that process \d+ below it runs: a rel"
        )


@pytest.mark.parametrize("how", ["fork", "spawn", "forkserver", "exec", "data"])
def test_a_process_that_is_no_reloader_is_not_taken_for_one(tmp_path: Path, how: str) -> None:
    (tmp_path / "data").mkdir()
    save(tmp_path / "work.py", WORK)
    save(tmp_path / "job.py", RELOADER)
    with launched("job.py", how, cwd=tmp_path) as launch:
        launch.wait_for(LOOKED)
        assert "of its own" not in launch.text.replace("by exec: a reloader of its own?", "")


INNER = "from inner import VERSION"
ASGI_APP = asgi_app("").replace("VERSION = ''", INNER, 1)
WSGI_APP = WSGI.format(version="").replace("VERSION = ''", INNER, 1)
CELERY = f"""\
from celery import Celery, signals
app = Celery(broker="memory://")

@app.task
def work():
    {INNER}
    print("worker " + VERSION)

@signals.worker_ready.connect
def ready(**_):
    work.delay()
"""

PROGRAMS = [
    ("uvicorn --workers 2 --port {} app:app", ASGI_APP),
    ("hypercorn --workers 2 --bind 127.0.0.1:{} app:app", ASGI_APP),
    ("granian --workers 2 --interface asgi --port {} app:app", ASGI_APP),
    ("gunicorn --workers 2 --bind 127.0.0.1:{} app:app", WSGI_APP),
    ("python -m celery -A app worker -c 2", CELERY),
]


@pytest.mark.parametrize(("words", "code"), PROGRAMS, ids=[row[0] for row in PROGRAMS])
def test_what_only_the_workers_of_a_program_import(tmp_path: Path, words: str, code: str) -> None:
    """Quick saves after the one that is alone: the last one is served. What none imports: no."""
    save(tmp_path / "app.py", code)
    save(tmp_path / "other.py", "")
    save(tmp_path / "inner.py", "VERSION = 'first'\n")
    port = free_port()
    env = {"HOME": str(tmp_path)}  # where gunicorn has its control socket
    command = words.format(port).split()
    with launched("--verbose", "--", *command, cwd=tmp_path, env=env, port=port) as launch:

        def wait_worked(version: str) -> None:
            if code == CELERY:
                launch.wait_for(f"worker {version}", timeout=40)
            else:
                launch.wait_served(version, timeout=40)

        wait_worked("first")
        save(tmp_path / "other.py", "X = 1\n")
        launch.wait_for("other.py.*not imported by the app")
        save(tmp_path / "inner.py", "VERSION = 'second'\n")
        wait_worked("second")
        for number in range(4):
            save(tmp_path / "inner.py", f"VERSION = 'quick {number}'\n")
            time.sleep(0.3)  # of the person
        wait_worked("quick 3")


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL])
def test_the_socket_is_the_users_alone_and_goes_with_the_run(tmp_path: Path, sig: int) -> None:
    address = tmp_path / "address"
    (tmp_path / "job.py").write_text(
        "import os, time\n"
        f"open({str(address)!r}, 'w').write(os.environ['DEVLAUNCH_REPORTS'])\n"
        "print('written', flush=True); time.sleep(600)\n"
    )
    with launched("job.py", cwd=tmp_path) as launch:
        launch.wait_for("written")
        directory = Path(address.read_text()).parent
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        launch.process.send_signal(sig)
        wait_until(lambda: not directory.exists(), what=lambda: f"{directory} removed")


def test_what_a_devlaunch_below_runs_is_that_ones(tmp_path: Path) -> None:
    save(tmp_path / "app.py", WSGI.format(version="one"))
    inner = ("devlaunch", "--port", "0", "--server", "wsgiref", "app:app")
    with launched("--", *inner, cwd=tmp_path) as launch:
        launch.wait_served("one")
        save(tmp_path / "app.py", WSGI.format(version="second"))
        launch.wait_served("second")
        launch.wait_for("reloaded in")
        starts = launch.text.count("started in") + launch.text.count("ready in")
        assert starts == 2, "of the outer and of the inner one"


# --- the launcher's end -------------------------------------------------------------------------


class Process:
    ran: Mapping[int, Collection[str]]

    def pythons(self) -> dict[int, Running]:
        return dict.fromkeys((7, 8), Running(("python", "other.py"), "/"))

    def watcher(self, ran: Mapping[int, Collection[str]]) -> tuple[int, int] | None:
        self.ran = ran
        return (7, 6) if 7 in ran else None


def test_only_the_present_generation_is_heard() -> None:
    said: list[dict[str, object]] = []
    child, target = Process(), Target(TargetKind.SCRIPT, "job.py")
    run_id = uuid.uuid4().hex
    with Loop() as loop, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        datagrams = Datagrams(loop, run_id)
        descendants = Descendants(child, target, "/", said.append)  # type: ignore[arg-type]
        datagrams.listeners["run.1"] = descendants.hear
        sender.connect(process.reports_address(run_id))

        def say(*messages: bytes) -> list[dict[str, object]]:
            for message in messages:
                sender.send(message)
            said.clear()
            datagrams.read()
            return said.copy()

        assert say(b"run.1\x007\0/a.py\0/b.py", b"outer.3/run.1\x007\0/c.py") == [
            {"type": "modules", "files": ["/a.py", "/b.py", "/c.py"]}
        ]
        others = (b"run.0\x008\0/x", b"run.1/inner.0\x008\0/x", b"other.1\x008\0/x")
        assert say(*others) == []
        garbage = (b"", b"\0", b"run.1", b"run.1\0x\0/x", b"[" * 50000, b"run.1\0" + b"9" * 5000)
        assert say(*garbage) == []
        nothing = {"type": "modules", "files": []}
        assert say(b"run.1\x009\0x.py") == [nothing]
        notes = (b"run.1\x007\0note:off", b"run.1\x007\0note:\x1b[2J", b"run.0\x007\0note:x")
        assert say(*notes) == [{"type": "note", "text": "off"}, nothing]
        assert say(b"run.1\x007\0silent:") == [{"type": "silent"}, nothing]
        assert say(b"run.1\x007\0wrote:/made/c.py\0/src/d.py") == [
            {"type": "modules", "files": ["wrote:/made/c.py", "/src/d.py"]}
        ]
        said.clear()
        descendants.served()
        descendants.due(descendants.deadline or 0.0, lambda: False)
        assert child.ran == {7: {"/", "/src"}}
        assert said == [
            {"type": "reloader", "pid": 7, "by": 6},
            {"type": "mute", "processes": [8]},
        ]
        datagrams.close()
    assert not os.path.exists(os.path.dirname(process.reports_address(run_id)))


# --- the processes' end -------------------------------------------------------------------------


@contextlib.contextmanager
def listener(directory: Path) -> Iterator[tuple[dict[str, str], socket.socket]]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(directory / "reports"))
        sock.setblocking(False)
        yield {"DEVLAUNCH_RUN": "x.0", "DEVLAUNCH_REPORTS": str(directory / "reports")}, sock


SHOW = """\
import os, sys
print(os.environ.get("PYTHONPATH"), [p for p in sys.path if "below" in p])
print([n for n in sys.modules if "devlaunch" in n and not n.startswith("_devlaunch_child")])
print("sitecustomize" in sys.modules)
"""


@pytest.mark.parametrize("python", interpreters().values(), ids=interpreters())
@pytest.mark.parametrize("users", ["none", "path", "sitecustomize", "broken"])
def test_nobody_sees_how_a_process_below_comes_to_report(
    tmp_path: Path, python: str, users: str
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    if users in ("sitecustomize", "broken"):
        text = "print('theirs')\n" if users == "sitecustomize" else "1/0\n"
        (place / "sitecustomize.py").write_text(text)
    (tmp_path / "show.py").write_text(SHOW)
    (tmp_path / "job.py").write_text(
        f"{SHOW}import subprocess; sys.stdout.flush()\nsubprocess.run([{python!r}, 'show.py'])\n"
        f"subprocess.run(['sh', '-c', 'PYTHONPATH=/:$PYTHONPATH exec {python} show.py'])\n"
    )
    path = {} if users == "none" else {"PYTHONPATH": str(place)}
    with listener(tmp_path) as (env, sock):
        with Child(script="job.py", directory=tmp_path, python=python, env=env | path) as child:
            assert child.wait() == 0
        said = []
        with contextlib.suppress(BlockingIOError):
            while True:
                said.append(sock.recv(65536))
    once = [f"{path.get('PYTHONPATH')} []", "[]", str(users == "sitecustomize")]
    more = [":".join(["/", *path.values()]) + " []", *once[1:]]
    theirs = ["theirs"] if users == "sitecustomize" else []
    assert child.stdout.splitlines() == [*theirs, *once] * 2 + [*theirs, *more]
    assert child.stderr.count("Error in sitecustomize") == (3 if users == "broken" else 0)
    files = {os.path.basename(name) for each in said for name in each.decode().split("\0")[2:]}
    assert {"job.py", "show.py"} <= files


def test_a_launcher_that_does_not_read_holds_nothing_up(tmp_path: Path) -> None:
    names = [f"m{number}" for number in range(40)]
    for name in names:
        (tmp_path / f"{name}.py").write_text("")
    (tmp_path / "job.py").write_text(f"import {', '.join(names)}\n")
    with listener(tmp_path) as (env, sock):
        with Child(script="job.py", directory=tmp_path, env=env) as child:
            assert child.wait(5) == 0
        said = []
        with contextlib.suppress(BlockingIOError):
            while True:
                said.append(sock.recv(65536).decode())
    told = {name for each in said for name in each.split("\0")[2:]}
    assert len(told | child.files) == len(names) + 1, "the control channel takes the rest"
