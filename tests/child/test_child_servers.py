"""App targets: every server with its real library, on the inherited socket."""

from __future__ import annotations

import dbm.dumb
import gzip
import shelve
import signal
import socket
import sys
import zipfile
from pathlib import Path

import pytest
from support.child import Child
from support.interpreters import interpreters
from support.wait import wait_until

from devlaunch.child.servers import declared

ASGI = """
import asyncio
from contextlib import asynccontextmanager
from fastapi import FastAPI, WebSocket
from fastapi.responses import StreamingResponse

@asynccontextmanager
async def lifespan(app):
    print("up", flush=True)
    yield
    print("down", flush=True)

app = FastAPI(lifespan=lifespan)

@app.get("/")
async def root():
    return "hello"

@app.get("/stream")
async def stream():
    async def ticks():
        while True:
            yield "tick"
            await asyncio.sleep(0.02)
    return StreamingResponse(ticks())

@app.get("/slow")
async def slow():
    print("in slow", flush=True)
    await asyncio.sleep(0.3)
    return "done"

@app.get("/broken")
async def broken():
    raise LookupError("in the handler")
"""

WSGI = """
import time

def app(environ, start_response):
    path = environ["PATH_INFO"]
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/stream":
        return ticks()
    if path == "/slow":
        print("in slow", flush=True)
        time.sleep(0.3)
    return [f"{path} {environ['wsgi.multithread']}".encode()]

def ticks():
    while True:
        yield b"tick"
        time.sleep(0.02)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "asgi.py").write_text(ASGI)
    (tmp_path / "wsgi.py").write_text(WSGI)
    (tmp_path / "flasky.py").write_text(
        "from flask import Flask\napp = Flask(__name__)\n@app.get('/')\ndef root(): return 'flask'"
    )
    return tmp_path


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn"])
def test_serves_asgi_and_runs_its_hooks(project: Path, server: str) -> None:
    with Child(app="asgi:app", directory=project, server=server) as child:
        message = child.wait_for("serving")
        assert (message["interface"], message["server"]) == ("asgi", server)
        assert child.get("/").text == '"hello"'
        child.send("stop", grace=600.0)  # which nothing waits for
        assert child.wait() == 0
    assert child.stdout.count("up\n") == child.stdout.count("down\n") == 1
    assert child.files == {str(project / "asgi.py")}
    assert child.stderr == ""
    assert not child.all("open")


@pytest.mark.parametrize(
    ("app", "server", "used"),
    [
        ("wsgi:app", "wsgiref", "wsgiref"),
        ("wsgi:app", "auto", "werkzeug"),
        ("flasky:app", "auto", "werkzeug"),
        ("wsgi:app", "hypercorn", "hypercorn"),
        ("wsgi:app", "uvicorn", "uvicorn"),
        ("asgi:app", "auto", "uvicorn"),
    ],
)
def test_chooses_the_server(project: Path, app: str, server: str, used: str) -> None:
    with Child(app=app, directory=project, server=server) as child:
        assert child.wait_for("serving")["server"] == used
        assert child.get("/").status == 200
        child.send("stop", grace=5.0)
        assert child.wait() == 0


@pytest.mark.parametrize("server", ["wsgiref", "werkzeug", "uvicorn", "hypercorn"])
def test_serves_on_a_unix_socket(project: Path, tmp_path: Path, server: str) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen()
    app = "wsgi:app" if server in ("wsgiref", "werkzeug") else "asgi:app"
    with Child(app=app, directory=project, server=server, listener=listener) as child:
        child.wait_for("serving")
        assert child.get("/").status == 200
        child.send("stop", grace=5.0)
        assert child.wait() == 0
    assert "Traceback" not in child.stderr


SERVERS = [
    ("asgi:app", "uvicorn"),
    ("asgi:app", "hypercorn"),
    ("wsgi:app", "werkzeug"),
    ("wsgi:app", "wsgiref"),
    ("wsgi:app", "uvicorn"),
]


def test_each_server_is_tested() -> None:
    assert {server for _, server in SERVERS} == {*declared()}


@pytest.mark.parametrize(("app", "server"), SERVERS)
def test_an_open_stream_is_cut_and_named(project: Path, app: str, server: str) -> None:
    with Child(app=app, directory=project, server=server) as child:
        child.wait_for("serving")
        with child.stream("/stream"):
            child.send("stop", grace=1.0)
            if (app, server) == ("wsgi:app", "uvicorn"):  # its thread cannot be ended
                assert child.wait_for("open")["requests"] == ["GET /stream"]
                return
            assert child.wait() == 0
    assert child.all("open") == [{"type": "open", "requests": ["GET /stream"]}]
    assert "Traceback" not in child.stderr
    assert app == "wsgi:app" or "down" in child.stdout


@pytest.mark.skipif(sys.platform == "darwin", reason="a listener cannot be shut down there")
@pytest.mark.parametrize(("app", "server"), SERVERS)
def test_a_socket_that_accepts_no_more_ends_the_app(project: Path, app: str, server: str) -> None:
    with Child(app=app, directory=project, server=server) as child:
        child.wait_for("serving")
        assert child.get("/").status == 200
        assert child.listener is not None
        child.listener.shutdown(socket.SHUT_RDWR)
        assert f"{app} can be reached no more: " in child.wait_for("failed")["summary"]
        assert child.wait() == 1
    assert app == "wsgi:app" or "down" in child.stdout


@pytest.mark.parametrize("server", ["wsgiref", "werkzeug"])
def test_what_does_not_listen_is_not_said_to_serve(project: Path, server: str) -> None:
    # asyncio has it listen again.
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with Child(app="wsgi:app", directory=project, server=server, listener=bound) as child:
            assert "wsgi:app can be reached no more: " in child.wait_for("failed")["summary"]
            assert child.wait() == 1
    assert not child.all("serving")


@pytest.mark.parametrize(("app", "server"), SERVERS)
def test_a_request_that_finishes_in_time_is_answered(project: Path, app: str, server: str) -> None:
    with Child(app=app, directory=project, server=server) as child:
        child.wait_for("serving")
        assert child.listener is not None
        with socket.create_connection(child.listener.getsockname()) as client:
            client.settimeout(10)
            client.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
            wait_until(lambda: "in slow" in child.stdout, what="the handler")
            child.send("stop", grace=4.0)
            answer = b""
            while data := client.recv(4096):
                answer += data
            assert b" 200 " in answer.split(b"\n")[0]
            assert b"done" in answer or b"/slow" in answer
        assert child.wait() == 0
    assert not child.all("open")


def test_a_websocket_that_ignores_its_end_is_named(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import asyncio\n"
        "async def app(scope, receive, send):\n"
        "    assert scope['type'] == 'websocket'\n"
        "    await send({'type': 'websocket.accept'})\n"
        "    await asyncio.sleep(60)\n"
    )
    from websockets.sync.client import connect

    with Child(app="app:app", directory=tmp_path) as child:
        child.wait_for("serving")
        assert child.listener is not None
        host, port = child.listener.getsockname()
        with connect(f"ws://{host}:{port}/ws"):
            child.send("stop", grace=1.0)
            assert child.wait_for("open")["requests"] == ["WebSocket /ws"]
            assert child.wait() == 0


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, -15)])
def test_signals_act_as_in_uvicorn(project: Path, signum: int, status: int) -> None:
    with Child(app="asgi:app", directory=project) as child:
        child.wait_for("serving")
        child.process.send_signal(signum)
        assert child.wait() == status
    assert "down" in child.stdout
    assert child.stderr == ""


def test_an_exception_in_a_handler_has_no_frame_of_ours(project: Path) -> None:
    with Child(app="asgi:app", directory=project) as child:
        child.wait_for("serving")
        assert child.get("/broken").status == 500
        child.send("stop", grace=2.0)
        child.wait()
    assert child.stderr.count("LookupError: in the handler") == 1
    assert "_devlaunch_child" not in child.stderr
    assert 'asgi.py", line 35, in broken' in child.stderr


def test_an_app_of_the_two_step_asgi(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "class App:\n"
        "    def __init__(self, scope): assert scope['type'] == 'http'\n"
        "    async def __call__(self, receive, send):\n"
        "        await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "        await send({'type': 'http.response.body', 'body': b'two'})\n"
    )
    with Child(app="app:App", directory=tmp_path) as child:
        child.wait_for("serving")
        assert child.get("/").text == "two"


def test_a_factory(project: Path) -> None:
    (project / "made.py").write_text("def create():\n    import wsgi\n    return wsgi.app\n")
    with Child(app="made:create", directory=project, factory=True) as child:
        assert child.wait_for("serving")["interface"] == "wsgi"
    with Child(app="made:create", directory=project) as child:
        failed = child.wait_for("failed")
        assert child.wait() == 2
    assert failed["is_usage"]
    assert "--factory" in failed["hint"]


def test_the_logging_that_the_app_sets_up_survives(project: Path) -> None:
    (project / "logged.py").write_text(
        "import logging\n"
        "logging.basicConfig(filename='own.log', filemode='w', level='INFO')\n"
        "logging.getLogger('uvicorn.access').setLevel('WARNING')\n"
        "import asgi\n"
        "@asgi.app.get('/log')\n"
        "async def log(): logging.info('logged'); return 1\n"
        "app = asgi.app\n"
    )
    with Child(app="logged:app", directory=project) as child:
        child.wait_for("serving")
        child.get("/log")
        child.send("stop", grace=2.0)
        child.wait()
    assert "logged" in (project / "own.log").read_text()
    assert "GET" not in child.stdout


@pytest.mark.parametrize("python", interpreters().values(), ids=interpreters())
def test_wsgiref_on_each_interpreter(project: Path, python: str) -> None:
    with Child(app="wsgi:app", directory=project, server="wsgiref", python=python) as child:
        child.wait_for("serving")
        assert child.get("/x").text == "/x True"
        child.send("stop", grace=2.0)
        assert child.wait() == 0
    assert child.stderr.count('"GET /x HTTP/1.1" 200') == 1


@pytest.mark.parametrize("python", interpreters().values(), ids=interpreters())
def test_a_server_that_is_not_installed(project: Path, python: str) -> None:
    (project / "plain.py").write_text("async def app(scope, receive, send): pass")
    if python == sys.executable:
        pytest.skip("has uvicorn")
    with Child(app="plain:app", directory=project, python=python) as child:
        failed = child.wait_for("failed")
        assert child.wait() == 2
    assert "uvicorn is not installed" in failed["summary"]
    assert failed["hint"].endswith("-m pip install uvicorn")
    assert failed["is_usage"]


def test_an_asgi_app_on_a_wsgi_server(project: Path) -> None:
    with Child(app="asgi:app", directory=project, server="werkzeug") as child:
        failed = child.wait_for("failed")
        child.wait()
    assert failed["is_usage"]
    assert "ASGI" in failed["summary"]


# --- the end of the process ---------------------------------------------------------------------

ENDING = """
import atexit, sys, threading, weakref
from pathlib import Path

HERE = Path(__file__).parent
log = (HERE / "log.txt").open("w")
log.write("buffered text")
binary = (HERE / "log.bin").open("wb")
binary.write(b"buffered bytes")
over = threading.Event()

def last():
    over.wait()
    (HERE / "thread.txt").write_text("joined")

threading.Thread(target=last).start()

@atexit.register
def at_exit():
    print("at exit", (HERE / "thread.txt").read_text())  # not flushed

class Part:
    pass

part = Part()
scope = {"path": HERE / "torn.txt"}  # not this module's, which would be kept alive
exec("def note(_): path.write_text('apart')", scope)
sys.torn = weakref.ref(part, scope.pop("note"))
threading._register_atexit(over.set)

def app(environ, start_response):
    start_response("200 OK", [])
    return [b"hello"]
"""


def write_ending(directory: Path, more: str = "") -> None:
    (directory / "app.py").write_text(ENDING + more)


@pytest.mark.parametrize("server", ["uvicorn", "werkzeug", "wsgiref"])
@pytest.mark.parametrize("is_surveyed", [False, True])
def test_a_stop_ends_the_process_without_taking_it_apart(
    tmp_path: Path, server: str, is_surveyed: bool
) -> None:
    write_ending(tmp_path)
    with Child(app="app:app", directory=tmp_path, server=server) as child:
        child.wait_for("serving")
        if is_surveyed:
            child.recorded()
        child.send("stop", grace=5.0)
        assert child.wait() == 0
    assert child.stdout == "at exit joined\n"
    assert (tmp_path / "log.txt").read_text() == "buffered text"
    assert (tmp_path / "log.bin").read_bytes() == b"buffered bytes"
    assert not (tmp_path / "torn.txt").exists()
    assert child.stderr == ""


WITHOUT_CONSEQUENCE = {
    "a database": """
import sqlite3
kept = sqlite3.connect(":memory:", check_same_thread=False)
""",
    "a context that is left": """
def manage():
    yield
kept = manage()
next(kept)
atexit.register(kept.close)
""",
}


@pytest.mark.parametrize("python", interpreters().values(), ids=interpreters())
@pytest.mark.parametrize("kind", WITHOUT_CONSEQUENCE)
def test_what_does_nothing_at_the_end_does_not_delay_it(
    tmp_path: Path, kind: str, python: str
) -> None:
    write_ending(tmp_path, WITHOUT_CONSEQUENCE[kind])
    with Child(app="app:app", directory=tmp_path, server="wsgiref", python=python) as child:
        child.wait_for("serving")
        child.recorded()
        child.send("stop", grace=5.0)
        assert child.wait() == 0
    assert child.stdout == "at exit joined\n"
    assert not (tmp_path / "torn.txt").exists()


AT_THE_END = {
    "a class of the app": """
class Last:
    def __del__(self, path=HERE / "more.txt"):
        path.write_text("done")
kept = Last()
""",
    "a frozen object": """
import gc, os
class Last:
    def __del__(self, write=os.write, fd=os.open(HERE / "more.txt", os.O_CREAT | os.O_WRONLY)):
        write(fd, b"done")
sys.kept = Last()
gc.freeze()
""",
    "a generator": """
def generate(path):
    try:
        yield
    finally:
        path.write_text("done")
kept = generate(HERE / "more.txt")
next(kept)
""",
    "a zip file": """
import zipfile
kept = zipfile.ZipFile(HERE / "more.txt", "w")
kept.writestr("a", "b")
""",
    "a compressed file": """
import gzip
kept = gzip.open(HERE / "more.txt", "wb")
kept.write(b"data")
""",
    "a shelf": """
import shelve, dbm.dumb
kept = shelve.Shelf(dbm.dumb.open(str(HERE / "db")), writeback=True)
kept["a"] = ["b"]
kept["a"].append("c")
""",
    "a write-ahead log": """
import sqlite3
kept = sqlite3.connect(HERE / "app.db", check_same_thread=False)
kept.execute("PRAGMA journal_mode=WAL")
kept.execute("CREATE TABLE rows (number)")
""",
}


IN_A_REQUEST = """
answer = app
def app(environ, start_response):
    exec({code!r}, globals())
    {more}
    return answer(environ, start_response)
"""


@pytest.mark.parametrize("made", ["at import", "after the survey", "after a collection"])
@pytest.mark.parametrize("kind", AT_THE_END)
def test_what_an_object_does_at_the_end_is_done(tmp_path: Path, kind: str, made: str) -> None:
    code = AT_THE_END[kind]
    if made != "at import":
        more = "import gc; gc.collect(1)" if made == "after a collection" else "pass"
        code = IN_A_REQUEST.format(code=code, more=more)
    write_ending(tmp_path, code)
    with Child(app="app:app", directory=tmp_path, server="wsgiref") as child:
        child.wait_for("serving")
        child.recorded()
        if made != "at import":
            assert child.get("/").status == 200
        child.send("stop", grace=5.0)
        assert child.wait() == 0
    assert child.stdout == "at exit joined\n"
    match kind:
        case "a zip file":
            assert zipfile.ZipFile(tmp_path / "more.txt").namelist() == ["a"]
        case "a compressed file":
            assert gzip.decompress((tmp_path / "more.txt").read_bytes()) == b"data"
        case "a shelf":
            shelf: shelve.Shelf[list[str]]
            with shelve.Shelf(dbm.dumb.open(str(tmp_path / "db"))) as shelf:  # type: ignore[arg-type]
                assert shelf["a"] == ["b", "c"]
        case "a write-ahead log":
            assert not (tmp_path / "app.db-wal").exists()
        case _:
            assert (tmp_path / "more.txt").read_text() == "done"


SLOW = """
import socketserver, time
original = socketserver.TCPServer.shutdown_request
def slow(*args):
    time.sleep(0.2)
    original(*args)
socketserver.TCPServer.shutdown_request = slow
"""
LARGE = "\nkept_too = [[] for _ in range(2_000_000)]\n"  # to look at all of them takes its time


@pytest.mark.parametrize(
    ("server", "held"),
    [
        ("wsgiref", "by a thread that has answered"),
        ("wsgiref", "by a spare connection"),
        ("werkzeug", "by a spare connection"),
        ("wsgiref", "by a survey"),
    ],
)
def test_no_thread_of_ours_keeps_objects_from_their_end(
    tmp_path: Path, server: str, held: str
) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    more = {"by a thread that has answered": "\nimport slow\n", "by a survey": LARGE}.get(held, "")
    write_ending(tmp_path, AT_THE_END["a generator"] + more)
    with (
        Child(app="app:app", directory=tmp_path, server=server) as child,
        socket.socket() as client,
    ):
        child.wait_for("serving")
        assert child.listener
        match held:
            case "by a survey":
                child.recorded()
                child.process.send_signal(signal.SIGINT)
            case "by a spare connection":
                client.connect(child.listener.getsockname())
            case _:
                assert child.get("/").status == 200
        child.send("stop", grace=5.0)
        child.wait()
    assert (tmp_path / "more.txt").read_text() == "done"


@pytest.mark.parametrize("options", [("-X", "dev"), ("-W", "always::ResourceWarning")])
def test_an_interpreter_that_was_told_to_report_does(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    write_ending(tmp_path)
    with Child(app="app:app", directory=tmp_path, server="wsgiref", options=options) as child:
        child.wait_for("serving")
        child.send("stop", grace=5.0)
        assert child.wait() == 0
    assert child.stdout == "at exit joined\n"
    assert (tmp_path / "torn.txt").exists()
    assert (tmp_path / "log.txt").read_text() == "buffered text"


def test_output_that_cannot_be_written_sets_the_status(tmp_path: Path) -> None:
    code = "import os\nread, write = os.pipe()\nos.close(read)\nos.dup2(write, 1)\n"
    write_ending(tmp_path, code)
    with Child(app="app:app", directory=tmp_path, server="wsgiref") as child:
        child.wait_for("serving")
        child.send("stop", grace=5.0)
        assert child.wait() == 120, "as at the end of any Python program"
    assert "BrokenPipeError" in child.stderr
