"""The real debugpy in a child, against the least that a keeper has to say."""

from __future__ import annotations

import http.client
import os
import socket
import sys
import threading
from pathlib import Path

import debugpy
import pytest
from support.child import Child, Pydevd
from support.interpreters import interpreters
from support.wait import wait_until

PYTHONS = pytest.mark.parametrize("python", interpreters().values(), ids=interpreters())
DEBUGPY = os.path.dirname(debugpy.__file__)

WSGI = """\
import os
marker = "top level"

def app(environ, start_response):
    start_response("200 OK", [])
    value = environ["PATH_INFO"]
    return [value.encode()]
"""

ASGI = """\
from fastapi import FastAPI
app = FastAPI()

@app.get("/x")
async def x():
    value = 1
    return value
"""


def options(python: str) -> dict[str, object]:
    """As the launcher starts it: the launcher's debugpy unless the interpreter has its own."""
    frozen = () if "3.10" in python else ("-X", "frozen_modules=off")
    return {"python": python, "options": frozen}


def request(pydevd: Pydevd, python: str, **more: object) -> dict[str, object]:
    own = python == sys.executable
    return {**pydevd.debug, "debugpy": None if own else DEBUGPY, **more}


def fetch(child: Child, path: str) -> list[str]:
    answers: list[str] = []

    def get() -> None:
        try:
            answers.append(child.get(path, 30).text)
        except (OSError, http.client.HTTPException):
            pass  # the child was ended meanwhile

    thread = threading.Thread(target=get)
    thread.start()
    child.fetching = thread  # type: ignore[attr-defined]
    return answers


def wait_traced(child: Child) -> None:
    """Until breakpoints hit in a program that ran before its debugger came.

    pydevd answers `configurationDone` first, and has the threads traced after that
    (`_locked_settrace` in pydevd.py): a frame that is entered between the two never is.
    """
    assert child.wait_for("debugger")["error"] is None


@PYTHONS
@pytest.mark.parametrize("just_my_code", [True, False])
def test_breakpoints_at_top_level_and_in_a_handler(
    tmp_path: Path, python: str, just_my_code: bool
) -> None:
    path = tmp_path / "app.py"
    path.write_text(WSGI)
    with Pydevd() as pydevd:
        debug = request(pydevd, python)
        start = {"server": "wsgiref", "debug": debug, **options(python)}
        with Child(app="app:app", directory=tmp_path, **start) as child:
            pydevd.accept({str(path): [2, 7]}, justMyCode=just_my_code)
            reason, frames = pydevd.stopped()
            assert (reason, frames[0]["line"]) == ("breakpoint", 2)
            assert not [f for f in frames if "devlaunch" in str(f)]
            pydevd.go()
            child.wait_for("serving")
            assert child.all("debugger") == [{"type": "debugger", "error": None, "hint": ""}]
            answers = fetch(child, "/x")
            reason, frames = pydevd.stopped()
            assert (reason, frames[0]["line"]) == ("breakpoint", 7)
            assert not [f for f in frames if "devlaunch" in str(f)]
            pydevd.go()
            child.fetching.join()
            assert answers == ["/x"]
            assert "pydevd" not in child.stderr
            assert child.files == {str(path)}


@PYTHONS
def test_steps_never_enter_our_frames(tmp_path: Path, python: str) -> None:
    path = tmp_path / "job.py"
    path.write_text("def work():\n    return 1\n\nx = work()\ny = 2\n")
    with Pydevd() as pydevd:
        debug = request(pydevd, python)
        with Child(script=str(path), directory=tmp_path, debug=debug, **options(python)) as child:
            pydevd.accept({str(path): [4]}, justMyCode=False)
            assert pydevd.stopped()[1][0]["line"] == 4
            for command, line in (("stepIn", 2), ("stepOut", 4), ("next", 5)):
                pydevd.go(command)
                frames = pydevd.stopped()[1]
                assert (frames[0]["source"]["path"], frames[0]["line"]) == (str(path), line)
                assert len(frames) == 1 + (command == "stepIn")
            pydevd.go("next")
            assert child.wait() == 0


@PYTHONS
@pytest.mark.parametrize("kind", ["app", "script"])
def test_an_uncaught_exception_stops_where_it_was_raised(
    tmp_path: Path, python: str, kind: str
) -> None:
    path = tmp_path / "app.py"
    path.write_text("def fail():\n    raise ValueError('bad')\n\nfail()\n")
    target = {"app": "app:app"} if kind == "app" else {"script": str(path)}
    with Pydevd() as pydevd:
        debug = request(pydevd, python)
        with Child(**target, directory=tmp_path, debug=debug, **options(python)) as child:
            pydevd.accept(exceptions=("uncaught",))
            reason, frames = pydevd.stopped()
            assert (reason, frames[0]["line"]) == ("exception", 2)
            assert not [f for f in frames if "devlaunch" in str(f)]
            pydevd.go()
            assert child.wait() == 1
            assert child.wait_for("failed")["line"] == 2
            assert child.stderr.count("ValueError: bad") == 1


LOOP = """\
import time
n = 0
while True:
    n += 1
    time.sleep(0.02)
"""


EPOLL = """\
import asyncio, sys
async def handle(reader, writer):
    n = 1
    writer.write(b"bye")
    writer.close()
async def main():
    server = await asyncio.start_server(handle, "127.0.0.1", int(sys.argv[1]))
    print("on", flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


@PYTHONS
def test_a_debugger_that_comes_to_a_loop_in_epoll(tmp_path: Path, python: str) -> None:
    path = tmp_path / "job.py"
    path.write_text(EPOLL)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    target = {"script": str(path), "args": (str(port),)}
    with Pydevd() as pydevd, Child(**target, directory=tmp_path, **options(python)) as child:
        wait_until(lambda: "on" in child.stdout, what="serving")
        child.send("debug", **request(pydevd, python))
        pydevd.accept({str(path): [3]})
        wait_traced(child)
        with socket.create_connection(("127.0.0.1", port), 10) as client:
            reason, frames = pydevd.stopped()
            assert (reason, frames[0]["line"]) == ("breakpoint", 3)
            pydevd.go()
            assert client.recv(10) == b"bye"


@PYTHONS
@pytest.mark.parametrize("kind", ["wsgi", "loop"])
def test_a_debugger_that_comes_later(tmp_path: Path, python: str, kind: str) -> None:
    path = tmp_path / "app.py"
    path.write_text(WSGI if kind == "wsgi" else LOOP)
    target = {"app": "app:app", "server": "wsgiref"} if kind == "wsgi" else {"script": str(path)}
    with Pydevd() as pydevd, Child(**target, directory=tmp_path, **options(python)) as child:
        child.wait_for("serving")
        child.send("debug", **request(pydevd, python))
        pydevd.accept({str(path): [7 if kind == "wsgi" else 4]})
        wait_traced(child)
        if kind == "wsgi":
            answers = fetch(child, "/x")
        reason, frames = pydevd.stopped()
        assert (reason, frames[0]["line"]) == ("breakpoint", 7 if kind == "wsgi" else 4)
        if kind == "wsgi":
            pydevd.go()
            child.fetching.join()
            assert answers == ["/x"]


IN_THE_MIDST = """\
import sys, threading, time
sys.addaudithook(lambda event, args: time.sleep(0.01) if event == "sys.settrace" else None)
threads = [threading.Thread(target=print, args=("ran",)) for _ in range(8)]
for each in threads:
    each.start()
for each in threads:
    each.join()
"""


@PYTHONS
def test_threads_that_set_their_trace_functions_at_once(tmp_path: Path, python: str) -> None:
    """CPython 3.11 refuses one that does in the midst of another's: in an audit hook."""
    (tmp_path / "job.py").write_text(IN_THE_MIDST)
    with Pydevd() as pydevd:
        start = {**options(python), "debug": request(pydevd, python)}
        with Child(script="job.py", directory=tmp_path, **start) as child:
            pydevd.accept()
            assert child.wait() == 0
            assert child.stdout.count("ran") == 8
            assert child.stderr == ""


@PYTHONS
@pytest.mark.parametrize("brought", ["at the start", "later", "by the program"])
def test_no_thread_of_ours_is_seen(tmp_path: Path, python: str, brought: str) -> None:
    path = tmp_path / "job.py"
    start = dict(options(python))
    with Pydevd() as pydevd:
        own = ""
        if brought == "by the program":
            address, token = (pydevd.debug["host"], pydevd.debug["port"]), pydevd.debug["token"]
            own = (
                f"sys.path.append({os.path.dirname(DEBUGPY)!r}); import debugpy\n"
                f"debugpy.connect({address}, access_token={token!r}); debugpy.wait_for_client()\n"
            )
        elif brought == "at the start":
            start["debug"] = request(pydevd, python)
        path.write_text(f"import sys, threading\n{own}{LOOP}")
        with Child(script=str(path), directory=tmp_path, **start) as child:
            if brought == "later":
                child.wait_for("serving")
                child.send("debug", **request(pydevd, python))
            pydevd.accept({str(path): [path.read_text().count("\n")]}, justMyCode=False)
            _, frames = pydevd.stopped()
            assert [each["name"] for each in pydevd.request("threads")["threads"]] == ["MainThread"]
            child.send("imports")
            assert child.wait_for("imports"), "it goes on"
            for expression in (
                "threading.active_count()",
                "len([t for t in threading._active.values()"
                " if not getattr(t, 'is_pydev_daemon_thread', False)])",
            ):
                where = {"expression": expression, "frameId": frames[0]["id"]}
                assert pydevd.request("evaluate", **where)["result"] == "1"


@pytest.mark.parametrize("later", [True, False])
def test_an_asyncio_loop(tmp_path: Path, later: bool) -> None:
    path = tmp_path / "app.py"
    path.write_text(ASGI)
    with Pydevd() as pydevd:
        start = {} if later else {"debug": pydevd.debug}
        with Child(app="app:app", directory=tmp_path, **start, **options(sys.executable)) as child:
            if not later:
                pydevd.accept({str(path): [7]})
            child.wait_for("serving")
            if later:
                child.send("debug", **pydevd.debug)
                pydevd.accept({str(path): [7]})
                wait_traced(child)
            answers = fetch(child, "/x")
            reason, frames = pydevd.stopped()
            assert (reason, frames[0]["line"]) == ("breakpoint", 7)
            assert not [f for f in frames if "devlaunch" in str(f)]
            pydevd.go("stepOut")  # with justMyCode there is nothing of the user's out there
            child.fetching.join()
            assert answers == ["1"]
            child.send("stop", grace=2.0)
            assert child.wait() == 0


RUNNING = """\
import asyncio

def numbers():
    number = 0
    while True:
        number += 1
        yield number

async def main():
    for number in numbers():
        await asyncio.sleep(0.01)
        last = number

asyncio.run(main())
"""


@PYTHONS
@pytest.mark.parametrize("line", [6, 12])
def test_a_breakpoint_in_what_runs_already(tmp_path: Path, python: str, line: int) -> None:
    path = tmp_path / "job.py"
    path.write_text(RUNNING)
    with Pydevd() as pydevd:
        debug = request(pydevd, python)
        with Child(script=str(path), directory=tmp_path, debug=debug, **options(python)) as child:
            pydevd.accept({str(path): [1]})
            pydevd.stopped()
            pydevd.go()
            child.wait_for("serving")
            for _ in range(2):
                points = [{"line": line}]
                pydevd.request("setBreakpoints", source={"path": str(path)}, breakpoints=points)
                reason, frames = pydevd.stopped()
                assert (reason, frames[0]["line"]) == ("breakpoint", line)
                pydevd.request("setBreakpoints", source={"path": str(path)}, breakpoints=[])
                pydevd.go()
            points = [{"line": 6}, {"line": 12}]
            pydevd.request("setBreakpoints", source={"path": str(path)}, breakpoints=points)
            lines = []
            for _ in range(4):
                lines.append(pydevd.stopped()[1][0]["line"])
                pydevd.go()
            assert sorted(lines) == [6, 6, 12, 12]


@PYTHONS
def test_the_control_thread_goes_on_while_the_app_is_paused(tmp_path: Path, python: str) -> None:
    path = tmp_path / "app.py"
    path.write_text(WSGI)
    with Pydevd() as pydevd:
        debug = request(pydevd, python)
        start = {"server": "wsgiref", "debug": debug, **options(python)}
        with Child(app="app:app", directory=tmp_path, **start) as child:
            pydevd.accept({str(path): [7]}, justMyCode=False)
            child.wait_for("serving")
            fetch(child, "/x")
            pydevd.stopped()
            names = [t["name"] for t in pydevd.request("threads")["threads"]]
            assert not [name for name in names if "devlaunch" in name]
            child.send("stop", grace=0.4)
            assert child.wait_for("open")["requests"] == ["GET /x"]
            child.process.kill()
            child.fetching.join()


def test_a_debugger_that_cannot_connect_does_not_stop_the_app(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(WSGI)
    with Pydevd() as pydevd:
        debug = {**pydevd.debug}
    with Child(app="app:app", directory=tmp_path, debug=debug) as child:
        child.wait_for("serving")
        message = child.wait_for("debugger")
        assert child.get("/x").text == "/x"
    assert message["error"]


@PYTHONS
def test_the_app_runs_when_nobody_is_left_who_could_configure_it(
    tmp_path: Path, python: str
) -> None:
    (tmp_path / "app.py").write_text(WSGI)
    with Pydevd() as pydevd:
        start = {"server": "wsgiref", "debug": request(pydevd, python), **options(python)}
        with Child(app="app:app", directory=tmp_path, **start) as child:
            pydevd.begin()
            assert not child.all("serving")
            pydevd.hang_up()
            child.wait_for("serving")
            assert "before the debugger was configured" in child.all("debugger")[0]["error"]
            assert child.get("/x").text == "/x"


NOT_FOR_PYDEVD = [
    ("setBreakpoints", {"source": {"sourceReference": 5}, "breakpoints": [{"line": 1}]}),
    ("setBreakpoints", {"source": {"path": "app.py"}, "breakpoints": [{"column": 1}]}),
    ("setFunctionBreakpoints", {"breakpoints": [{}]}),
    ("setExceptionBreakpoints", {"filters": None}),
    ("source", {"sourceReference": []}),
    ("goto", {"threadId": 1, "targetId": "x"}),
    ("attach", {"pathMappings": None}),
]


@PYTHONS
def test_pydevd_survives_what_it_cannot_take(tmp_path: Path, python: str) -> None:
    path = tmp_path / "app.py"
    path.write_text(WSGI)
    with Pydevd() as pydevd:
        start = {"server": "wsgiref", "debug": request(pydevd, python), **options(python)}
        with Child(app="app:app", directory=tmp_path, **start) as child:
            pydevd.accept({str(path): [7]})
            child.wait_for("serving")
            for command, arguments in NOT_FOR_PYDEVD:
                response = pydevd.ask(command, **arguments)
                assert not response["success"]
                assert response["message"]
            answers = fetch(child, "/x")
            assert pydevd.stopped()[1][0]["line"] == 7
            pydevd.go()
            child.fetching.join()
            assert answers == ["/x"]
            assert "Traceback" not in child.stderr


def test_nothing_else_of_the_launcher_becomes_importable(tmp_path: Path) -> None:
    others = [python for python in interpreters().values() if python != sys.executable]
    if not others:
        pytest.skip("no other interpreter")
    (tmp_path / "job.py").write_text(
        "import sys\ntry:\n    import uvicorn\nexcept ImportError: print('absent')\n"
        "print([p for p in sys.path if 'debugpy' in p or 'pydevd' in p])\n"
        "import os; print([k for k in os.environ if 'VALIDATION' in k])\n"
    )
    with Pydevd() as pydevd:
        debug = request(pydevd, others[-1])
        with Child(
            script="job.py", directory=tmp_path, debug=debug, **options(others[-1])
        ) as child:
            pydevd.accept()
            assert child.wait() == 0
    assert child.stdout == "absent\n[]\n[]\n"
    assert child.stderr == ""


def test_without_a_debugger_nothing_of_it_is_imported(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(
        "import sys\n"
        "print([m for m in sys.modules if m.startswith(('debugpy', 'pydev', '_pydev'))])\n"
        "print(sys.gettrace())\n"
    )
    with Child(script="job.py", directory=tmp_path) as child:
        assert child.wait() == 0
    assert child.stdout == "[]\nNone\n"


def test_the_launcher_dies_while_the_child_waits_for_a_client(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(WSGI)
    with Pydevd() as pydevd, Child(app="app:app", directory=tmp_path, debug=pydevd.debug) as child:
        wait_until(lambda: pydevd._server.accept()[0].close() is None, what="connected")
        child.hang_up()
        assert child.wait(5) != 0
