"""Programs that gevent or eventlet patches: they run, reload and are debugged as any other."""

from __future__ import annotations

import contextlib
import signal
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.dap import DapClient
from support.launch import Launch, free_port, launched
from support.wait import wait_until

APP = """\
import threading
VERSION = {version!r}

def handler():
    import time
    time.sleep(0.001)
    result = VERSION
    return result

def app(environ, start_response):
    start_response("200 OK", [])
    assert threading.active_count() == {threads}, threading.enumerate()
    return [handler().encode()]
"""
LINE = 9

PATCHES = {
    "gevent": "from gevent import monkey; monkey.patch_all()\n",
    "eventlet": "import eventlet; eventlet.monkey_patch()\n",
}
SERVERS = {
    "gevent": """
from gevent.pywsgi import WSGIServer
WSGIServer(("127.0.0.1", {port}), app, log=None).serve_forever()
""",
    "eventlet": """
import eventlet.wsgi
eventlet.wsgi.server(eventlet.listen(("127.0.0.1", {port})), app, log_output=False)
""",
}


def wait_served(url: str, body: str, launch: Launch) -> None:
    def served() -> bool:
        with (
            contextlib.suppress(OSError, urllib.error.URLError),
            urllib.request.urlopen(url, timeout=20) as answer,
        ):
            return bool(answer.read().decode() == body)
        return False

    wait_until(served, 20, lambda: f"{body!r}; printed:\n{launch.text}")


@pytest.mark.parametrize("kind", ["app", "script"])
@pytest.mark.parametrize("library", PATCHES)
def test_what_patches_the_standard_library_at_the_top(
    tmp_path: Path, library: str, kind: str
) -> None:
    """It runs alone; the IDE that comes then finds it under its debugger, and after each save."""
    port = free_port()

    def source(version: str) -> str:
        own = SERVERS[library].format(port=port) if kind == "script" else ""
        # A threaded server handles a request in a thread of its own.
        return PATCHES[library] + APP.format(version=version, threads=1 if own else 2) + own

    (tmp_path / "app.py").write_text(source("v0"))
    target = ("app.py",) if kind == "script" else ("app:app", "--server", "wsgiref", "--port", "0")
    debug = ("--debug-attach", "--debug-address", "127.0.0.1:0")
    with launched(*debug, *target, cwd=tmp_path, env={"GEVENT_SUPPORT": "True"}) as launch:
        url = f"http://127.0.0.1:{port}" if kind == "script" else launch.url
        wait_served(url, "v0", launch)
        with (
            DapClient("127.0.0.1", launch.debug_port, timeout=20) as ide,
            ThreadPoolExecutor(1) as pool,
        ):
            points = {str(tmp_path / "app.py"): [LINE]}
            ide.attach(breakpoints=points, exceptions=["uncaught"], justMyCode=True)
            launch.wait_for(f"started again: {library} has to be imported after the debugger")
            launch.wait_for("restarted in|reloaded in|ready in", after=launch.text.index("again:"))
            for version in ("v0", "v1"):
                if version != "v0":
                    before = len(launch.text)
                    launch.save(source(version))
                    launch.wait_for("reloaded in", after=before)
                answer = pool.submit(wait_served, url, version, launch)
                stopped = ide.wait_event("stopped")
                assert ide.evaluate(stopped, "VERSION") == repr(version)
                assert ide.stop_lines(stopped)[0] == ("handler", LINE)
                ide.continue_(stopped["threadId"])
                answer.result(20)
        launch.close(signal.SIGINT)
