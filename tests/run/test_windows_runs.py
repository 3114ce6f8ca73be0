"""The real devlaunch on Windows, or on Windows' CPython under wine. Nothing here is for POSIX."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.dap import DapClient
from support.launch import asgi_app, launched, save
from support.wait import wait_until
from support.windows_launch import APP, answer, running
from support.windows_processes import is_alive

import devlaunch
from devlaunch.system.spare import socket_pair

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="for Windows")


@pytest.mark.parametrize("server", ["wsgiref", "werkzeug", "uvicorn", "hypercorn"])
def test_each_save_is_served(tmp_path: Path, server: str) -> None:
    pytest.importorskip(server)
    (tmp_path / "app.py").write_text(APP.format(version=0))
    with running(tmp_path, "--server", server, "app:app") as launch:
        before = answer(launch, "0")
        for version in range(1, 5):
            save(tmp_path / "app.py", APP.format(version=version))
            after = answer(launch, str(version))
            assert after != before
            assert not is_alive(before)
            before = after


@pytest.mark.parametrize("server", ["wsgiref", "werkzeug", "uvicorn", "hypercorn"])
def test_no_request_is_refused(tmp_path: Path, server: str) -> None:
    pytest.importorskip(server)
    (tmp_path / "app.py").write_text(APP.format(version=0))
    with running(tmp_path, "--server", server, "app:app") as launch, ThreadPoolExecutor() as pool:
        answer(launch, "0")
        slow = pool.submit(launch.get, "/slow")
        launch.wait_for("in slow")
        is_over = threading.Event()
        rest = pool.submit(lambda: [launch.get() for _ in iter(is_over.is_set, True)])
        try:
            for version in range(1, 5):
                save(tmp_path / "app.py", APP.format(version=version))
                time.sleep(0.3)  # as a person does who presses it again and again
            answer(launch, "4")
        finally:
            is_over.set()
        assert slow.result().startswith("0 ")
        versions = [each.split()[0] for each in rest.result()]
        assert versions == sorted(versions)


ASYNCIO = """\
import asyncio, sys
async def app(scope, receive, send):
    assert scope["type"] == "http"
    command = [sys.executable, "-c", "print('below', {version})"]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe)
    body, _ = await process.communicate()
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": body.strip()}})
"""


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn"])
def test_asyncio_has_its_subprocesses(tmp_path: Path, server: str) -> None:
    (tmp_path / "app.py").write_text(ASYNCIO.format(version=0))
    with running(tmp_path, "--server", server, "app:app") as launch:
        launch.wait_served("below 0")
        save(tmp_path / "app.py", ASYNCIO.format(version=1))
        launch.wait_served("below 1")


STREAM = """\
import asyncio
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": b"{version}", "more_body": True}})
    while scope["path"] == "/stream":
        await asyncio.sleep(0.02)
        await send({{"type": "http.response.body", "body": b"tick", "more_body": True}})
    await send({{"type": "http.response.body", "body": b""}})
"""


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn"])
def test_an_open_stream_is_cut(tmp_path: Path, server: str) -> None:
    (tmp_path / "app.py").write_text(STREAM.format(version=0))
    args = ("--server", server, "--grace", "1", "app:app")
    with running(tmp_path, *args) as launch, urllib.request.urlopen(launch.url + "/stream") as it:
        assert it.read(5) == b"0tick"
        save(tmp_path / "app.py", STREAM.format(version=1))
        launch.wait_for("1 open request after .*GET /stream")
        launch.wait_served("1")


def test_saves_in_a_row_end_with_the_last(tmp_path: Path) -> None:
    """In place and by renaming, below the root as well, some of them while the app starts."""
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg/__init__.py").touch()
    path = tmp_path / "pkg/value.py"
    path.write_text("VERSION = 'v0'\n")
    (tmp_path / "app.py").write_text("from pkg.value import VERSION\n" + APP.split("\n", 2)[2])
    app = (tmp_path / "app.py").read_text()
    (tmp_path / "app.py").write_text("import os, subprocess, sys\n" + app.format())
    ways = [
        lambda text: save(path, text),
        path.write_text,
        lambda text: (path.replace(tmp_path / "value.py~"), path.write_text(text)),
    ]
    with running(tmp_path, "--server", "wsgiref", "app:app") as launch:
        answer(launch, "v0")
        for version in range(1, 10):  # of the same size, most within a second of the one before
            ways[version % 3](f"VERSION = 'v{version}'\n")
            time.sleep(0.3)
        answer(launch, "v9")


def test_a_file_that_its_editor_keeps_to_itself_is_waited_for(tmp_path: Path) -> None:
    import _winapi

    path = tmp_path / "app.py"
    path.write_text(APP.format(version=0))
    with running(tmp_path, "--server", "wsgiref", "app:app") as launch:
        before = answer(launch, "0")
        launch.wait_for("ready in")  # the launcher has read the file by then
        handle = _winapi.CreateFile(str(path), 0x40000000, 0, 0, 2, 0, 0)  # share nothing, truncate
        _winapi.WriteFile(handle, APP.format(version=1).encode())
        time.sleep(1.5)  # a start that does not wait has read it by then
        _winapi.CloseHandle(handle)
        assert answer(launch, "1") != before
        assert "broken" not in launch.text


def test_broken_code_is_mended(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("x = (")
    with running(tmp_path, "--server", "wsgiref", "app:app") as launch:
        launch.wait_for("broken .*app.py:1")
        save(tmp_path / "app.py", APP.format(version=1))
        answer(launch, "1")


def test_each_way_to_save(tmp_path: Path) -> None:
    (path := tmp_path / "app.py").write_text(APP.format(version=0))
    with running(tmp_path, "-v", "--server", "wsgiref", "app:app") as launch:
        before = answer(launch, "0")
        launch.wait_for("ready in")  # what the file held is known by then
        launch.wait_for("watching .* directories")
        path.touch()  # which wine tells nobody
        path.write_bytes(path.read_bytes())
        launch.wait_for("content unchanged")
        assert answer(launch, "0") == before
        path.write_text(APP.format(version=1))
        answer(launch, "1")
        save(path, APP.format(version=2))
        answer(launch, "2")


def test_a_save_during_a_start(tmp_path: Path) -> None:
    slow = "import time; print('starting', flush=True); time.sleep(1)\n"
    (tmp_path / "app.py").write_text(slow + APP.format(version=0))
    with running(tmp_path, "--server", "wsgiref", "app:app") as launch:
        launch.wait_for("starting")
        save(tmp_path / "app.py", APP.format(version=1))
        answer(launch, "1")


def test_a_program_that_ends_is_started_again(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text("print('ran once')")
    with running(tmp_path, "job.py") as launch:
        launch.wait_for("finished")
        save(tmp_path / "job.py", "raise SystemExit(3)")
        launch.wait_for("status 3")
        save(tmp_path / "job.py", "print('ran twice')")
        launch.wait_for("^ran twice")


def test_a_python_without_console_or_files(tmp_path: Path) -> None:
    """The numbers 0 to 2 of pythonw are in use, with nothing behind them."""
    code = """if True:
        import os, sys
        from devlaunch.terminal.stdout import open_standard
        open_standard()
        files = sys.stdin, sys.stdout, sys.stderr
        inherited = [os.get_inheritable(file.fileno()) for file in files]
        print("nobody reads it", sys.stdin.read(), flush=True)
        open("seen", "w").write(f"{inherited} {os.read(0, 1)}")
    """
    python = sys.executable.replace("python.exe", "pythonw.exe")
    root = Path(devlaunch.__file__).parents[1]
    env = os.environ | {"PYTHONPATH": str(root)}
    subprocess.run([python, "-c", code], cwd=tmp_path, env=env, creationflags=8, check=True)
    assert (tmp_path / "seen").read_text() == "[True, True, True] b''"


def test_nothing_survives_the_launcher(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP.format(version=0))
    with running(tmp_path, "--server", "wsgiref", "app:app") as launch:
        app = answer(launch, "0")
        grandchildren = [int(launch.get("/start")) for _ in range(2)]
        assert all(map(is_alive, [app, *grandchildren]))
        launch.process.kill()
        wait_until(lambda: not any(map(is_alive, [app, *grandchildren])), 3, "all have ended")


def test_nothing_survives_a_reload(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP.format(version=0))
    with running(tmp_path, "--server", "wsgiref", "app:app") as launch:
        answer(launch, "0")
        grandchild = int(launch.get("/start"))
        save(tmp_path / "app.py", APP.format(version=1))
        answer(launch, "1")
        assert not is_alive(grandchild)


def test_a_port_in_use_is_the_first_ones(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP.format(version=0))
    with running(tmp_path, "--server", "wsgiref", "app:app") as first:
        answer(first, "0")
        port = first.url.rpartition(":")[2]
        with running(tmp_path, "--port", port, "app:app") as second:
            second.wait_for(rf"--port: 127.0.0.1:{port} is in use by python.exe \(pid \d+\)")
            assert second.process.wait(20) == 1
        answer(first, "0")


def test_pairs_of_sockets_delay_nothing() -> None:
    for sock in socket_pair():
        with sock:
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def make_environment(directory: Path) -> Path:
    """A virtual environment that finds our packages; its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", directory], check=True)
    packages = [str(Path(each.__file__).parents[1]) for each in (pytest, devlaunch)]
    (directory / "Lib/site-packages/base.pth").write_text("\n".join(packages))
    return directory / "Scripts/python.exe"


PREFIX = """\
import subprocess, sys
def app(environ, start_response):
    start_response("200 OK", [])
    code = "import os, sys; print(sys.prefix, os.environ.get('__PYVENV_LAUNCHER__'))"
    below = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    return [f"{version} {{sys.prefix}} {{below.strip()}}".encode()]
"""


def test_a_python_that_another_program_starts(tmp_path: Path) -> None:
    """As Windows' `py` does: it ends with the process that it has started."""
    scripts = pytest.importorskip("pip._vendor.distlib.scripts")
    maker = scripts.ScriptMaker(None, str(tmp_path))
    maker.variants, maker.executable = {""}, sys.executable
    command = "[sys.executable, *sys.argv[1:]]"
    maker.script_template = f"import subprocess, sys; sys.exit(subprocess.call({command}))"
    maker.make("py = of:nothing")
    (tmp_path / "app.py").write_text(APP.format(version=0))
    args = ("--python", str(tmp_path / "py.exe"), "--server", "wsgiref", "app:app")
    with running(tmp_path, *args) as launch:
        answer(launch, "0")


@pytest.mark.parametrize("option", ["--fd=3", "--uds=here"])
def test_an_option_that_cannot_be(tmp_path: Path, option: str) -> None:
    (tmp_path / "app.py").write_text(APP.format(version=0))
    with launched(option, "app:app", cwd=tmp_path) as launch:
        launch.wait_for(rf"error: {option[:4]}.*: .*\n.*use --port")
        assert launch.wait_ended(20) == 2


@pytest.mark.parametrize("chosen", ["the launcher's", "by --python", "conda's"])
def test_in_a_virtual_environment(tmp_path: Path, chosen: str) -> None:
    (project := tmp_path / "project").mkdir()
    (project / "app.py").write_text(PREFIX.format(version=0))
    python = make_environment(tmp_path / "env")
    args, options, prefix = ("--server", "wsgiref", "app:app"), {}, tmp_path / "env"
    if chosen == "the launcher's":
        options = {"python": str(python)}
    elif chosen == "by --python":
        args = ("--python", str(python), *args)
    else:  # which has python.exe at its top; Python takes the prefix to be what is above
        python.rename(prefix / "python.exe")
        options, prefix = {"env": {"CONDA_PREFIX": str(prefix)}}, tmp_path
    with running(project, *args, **options) as launch:
        launch.wait_served(f"0 {prefix} {prefix} None")
        save(project / "app.py", PREFIX.format(version=1))
        launch.wait_served(f"1 {prefix} {prefix} None")


def test_one_session_lasts_over_reloads(tmp_path: Path) -> None:
    path = tmp_path / "app.py"
    path.write_text(asgi_app("0"))
    debug = ("--debug-attach", "--debug-address", "127.0.0.1:0")
    with running(tmp_path, *debug, "app:app") as launch:
        with DapClient("127.0.0.1", launch.debug_port, timeout=60) as ide:
            ide.attach(breakpoints={str(path): [1]})
            launch.wait_for("ready", timeout=60)
            for version in "123":
                time.sleep(0.2)
                save(path, asgi_app(version))
                stopped = ide.wait_event("stopped")
                assert ide.top_frame(stopped)["line"] == 1
                ide.request("continue", threadId=stopped["threadId"])
                launch_answers = lambda: launch.get() == version  # noqa: B023, E731
                wait_until(launch_answers, 20, "served")
            ide.request("terminate")
            ide.wait_event("terminated")
        assert launch.process.wait(10) == 0
