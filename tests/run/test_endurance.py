"""Many reloads under one debug session: the last is like the first, the launcher stays as it is.

The cheapest real setting: a WSGI app on wsgiref, saved again as soon as it serves.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support.dap import DapClient
from support.launch import Launch, launched, save
from support.marks import open_files
from support.wait import wait_until

APP = """\
VERSION = {version!r}

def app(environ, start_response):
    start_response("200 OK", [])
    body = VERSION.encode()
    return [body]
"""
HANDLER_LINE = 5
RELOADS = 150
SETTLED = 50
"""From this reload on memory is measured: caches are filled, arenas are allocated."""
STOPS = {1, 2, 3, 4, 5, SETTLED, 100, RELOADS}
"""The reloads after which the breakpoint is tried; with the one before, every state of a cache."""
MAX_GROWTH = 2_000
"""KiB of resident memory, between `SETTLED` and the end: 20 for each reload."""


def status(pid: int, name: str) -> int:
    """A number of /proc/PID/status: `Threads`, or `VmRSS` in KiB."""
    text = Path(f"/proc/{pid}/status").read_text()
    match = re.search(rf"^{name}:\s+(\d+)", text, re.MULTILINE)
    assert match is not None
    return int(match[1])


def stop_in_handler(ide: DapClient, launch: Launch, version: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(launch.get)
        stopped = ide.wait_event("stopped")
        assert ide.stop_lines(stopped)[0] == ("app", HANDLER_LINE)
        ide.continue_(stopped["threadId"])
        assert answer.result(20) == version


def test_many_reloads_under_one_debug_session(tmp_path: Path) -> None:
    path = tmp_path / "app.py"
    path.write_text(APP.format(version="v0"))
    options = ("--debug-attach", "--debug-address", "127.0.0.1:0", "--port", "0")
    with launched(*options, "--server", "wsgiref", "app:app", cwd=tmp_path) as launch:
        launch.wait_for("ready in")
        with DapClient("127.0.0.1", launch.debug_port, timeout=20) as ide:
            ide.attach(breakpoints={str(path): [HANDLER_LINE]})
            stop_in_handler(ide, launch, "v0")
            open_fds, threads, printed, memory = open_files(launch.pid), None, 0, 0
            for count in range(1, RELOADS + 1):
                save(path, APP.format(version=f"v{count}"))
                line = launch.wait_for(r"^.* reloaded in .*$\n", after=printed)
                printed = line.end()
                assert ide.request("threads")["threads"], "the session sees the new child"
                if count in STOPS:
                    stop_in_handler(ide, launch, f"v{count}")
                    # The connection of the generation before may have some last words to say.
                    wait_until(
                        lambda: open_files(launch.pid) == open_fds,
                        what=lambda: f"{open_fds}, now {open_files(launch.pid)}",
                    )
                    threads = threads or status(launch.pid, "Threads")
                    assert status(launch.pid, "Threads") == threads
                if count == SETTLED:
                    memory = status(launch.pid, "VmRSS")
            assert status(launch.pid, "VmRSS") - memory < MAX_GROWTH
            assert len(ide.events("initialized")) == 1
            assert len(ide.events("stopped")) == 1 + len(STOPS)
            assert not ide.has_event("terminated")
    assert len(re.findall("reloaded in", launch.text)) == RELOADS
