"""Whatever comes to the launcher's ports, the run goes on, and each request has one answer."""

from __future__ import annotations

import contextlib
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.dap import DapClient
from support.interpreters import launchers
from support.launch import WSGI, WSGI_HANDLER_LINE, Launch, launched, save
from support.marks import open_files
from support.wait import wait_until

WORDS = ("--debug-attach", "--debug-address", "127.0.0.1:0", "--server", "wsgiref", "--port", "0")

SOURCELESS = {"sourceReference": 5}
NOT_FOR_PYDEVD = [
    ("setBreakpoints", {"source": SOURCELESS, "breakpoints": [{"line": 1}]}),
    ("setBreakpoints", {"source": {"path": "app.py"}, "breakpoints": [{"column": 1}]}),
    ("setBreakpoints", {"source": {"path": "a\0.py"}, "breakpoints": [{"line": 1}]}),
    ("setBreakpoints", {"breakpoints": None}),
    ("setFunctionBreakpoints", {"breakpoints": [{}, {"name": None}]}),
    ("setExceptionBreakpoints", {"filters": None}),
    ("setExceptionBreakpoints", {"filters": [], "exceptionOptions": [{"breakMode": "x"}]}),
    ("setDebuggerProperty", {"skipSuspendOnBreakpointException": [5]}),
    ("setPydevdSourceMap", {"source": {}, "pydevdSourceMaps": [{}]}),
    ("source", {"sourceReference": []}),
    ("goto", {"threadId": 1, "targetId": "x"}),
    ("evaluate", {"expression": 5, "frameId": None}),
]
"""DAP has them, or nearly; pydevd's reader does not survive some of them."""


def client(launch: Launch) -> DapClient:
    return DapClient("127.0.0.1", launch.debug_port, timeout=20)


def start(root: Path, **options: Any) -> contextlib.AbstractContextManager[Launch]:
    save(root / "app.py", WSGI.format(version="v0"))
    return launched(*WORDS, "app:app", cwd=root, **options)


def check_reload(launch: Launch, ide: DapClient, version: str) -> None:
    """A save is served, and the breakpoint of before is hit."""
    after = len(launch.text)
    launch.save(WSGI.format(version=version))
    launch.wait_for(r"reloaded in", after=after)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(launch.get)
        stopped = ide.wait_event("stopped")
        assert ide.top_frame(stopped)["line"] == WSGI_HANDLER_LINE
        ide.continue_(stopped["threadId"])
        assert answer.result(20) == version


@pytest.mark.parametrize("python", launchers())
def test_what_pydevd_cannot_take_is_answered_and_costs_nothing(tmp_path: Path, python: str) -> None:
    with start(tmp_path, python=python) as launch, client(launch) as ide:
        launch.wait_for("ready in")
        ide.attach(breakpoints={str(tmp_path / "app.py"): [WSGI_HANDLER_LINE]})
        for command, arguments in NOT_FOR_PYDEVD:
            response = ide.wait_response(ide.send_request(command, **arguments))
            breakpoints = (response.get("body") or {}).get("breakpoints", [])
            assert not any(each["verified"] for each in breakpoints)
            assert breakpoints or not response["success"]
            assert all(each["message"] for each in breakpoints or [response])
        check_reload(launch, ide, "v1")
        assert "Traceback" not in launch.text


def test_what_the_app_writes_to_our_channel_is_ignored(tmp_path: Path) -> None:
    scribble = """
import os, stat
for fd in range(3, 64):
    try:
        if stat.S_ISSOCK(os.fstat(fd).st_mode):
            for line in (b"[" * 100_000, b'{"type": "modules", "files": [5]}', b'{"type": "warm"}',
                         b'{"type": "serving"}', b'{"type": "serving"}', b'{"type": "refused"}'):
                os.write(fd, line + b"\\n")
            break
    except OSError:
        pass
"""
    with start(tmp_path) as launch:
        launch.wait_for("ready in")
        launch.save(scribble + WSGI.format(version="v1"))
        launch.wait_for("reloaded in")
        launch.wait_served("v1")
        launch.wait_for("the app has written to a descriptor of devlaunch's own, which is ignored")
        launch.save(WSGI.format(version="v2"))
        launch.wait_served("v2")
        assert "Traceback" not in launch.text


def listening(pid: int) -> set[int]:
    """The TCP ports at which the process listens."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(os.readlink(entry).removeprefix("socket:[").removesuffix("]"))
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and row[9] in inodes}


def test_strangers_at_the_ports_of_the_debugger(tmp_path: Path) -> None:
    with start(tmp_path) as launch, client(launch) as ide, contextlib.ExitStack() as stack:
        launch.wait_for("ready in")
        ide.attach(breakpoints={str(tmp_path / "app.py"): [WSGI_HANDLER_LINE]})
        app = int(launch.url.rpartition(":")[2])
        (inner,) = listening(launch.pid) - {app, launch.debug_port}
        for _ in range(150):
            stack.enter_context(socket.create_connection(("127.0.0.1", inner), 20))
        check_reload(launch, ide, "v1")
        pushing = [{"seq": n, "type": "request", "command": "x" * 60_000} for n in range(1, 40)]
        for _ in range(20):
            stranger = stack.enter_context(client(launch))
            with contextlib.suppress(OSError):
                for message in pushing:
                    stranger._send(message)  # and reads nothing
        with client(launch) as large:
            large.sock.sendall(b"Content-Length: 60000000\r\n\r\n" + b"[]," * 1000)
            large.wait_closed()
        launch.wait_for("refused a connection .* a message of 60000000 bytes")
        wait_until(lambda: len(sockets(launch.pid)) < 60, what=lambda: str(sockets(launch.pid)))
        check_reload(launch, ide, "v2")
        # The one that has attached costs itself its connection, and nobody else anything.
        nested = b"[" * 980 + b"]" * 980
        request = b'{"seq":99,"type":"request","command":"evaluate","arguments":{"x":%b}}' % nested
        ide.sock.sendall(b"Content-Length: %d\r\n\r\n%b" % (len(request), request))
        ide.wait_closed()
        launch.wait_for("is detached")
        launch.save(WSGI.format(version="v3"))
        launch.wait_served("v3")
        assert "Traceback" not in launch.text


def sockets(pid: int) -> list[str]:
    return [name for name in open_files(pid) if name == "socket"]
