"""An app whose process is replaced by exec, as some reloaders do, is still restarted and ended."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.dap import DapClient
from support.launch import free_port, launched

REPLACED = r"note +the app has replaced its process by exec"

PROGRAM = """\
import os, sys
from wsgiref.simple_server import make_server

def app(environ, start_response):
    start_response("200 OK", [])
    body = f"{version!r} {{sys.argv[2:]}}"
    return [body.encode()]

if "again" not in sys.argv:
    sys.stdin.close()
    os.execv(sys.executable, [sys.executable, *sys.argv, "again"])
print("http://127.0.0.1:" + sys.argv[1], flush=True)
make_server("127.0.0.1", int(sys.argv[1]), app).serve_forever()
"""
LINE = 6

APP = """\
import os, sys
def app(environ, start_response):
    if environ["PATH_INFO"] == "/exec":
        os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(600)"])
    start_response("200 OK", [])
    return [{version!r}.encode()]
"""


def test_a_program_is_restarted_said_once_and_ended(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(PROGRAM.format(version="v0"))
    with launched("job.py", str(free_port()), cwd=tmp_path) as launch:
        for version in ("v0", "v1", "v2"):
            launch.save(PROGRAM.format(version=version), "job.py")
            launch.wait_served(f"{version!r} ['again']")
        launch.wait_for(REPLACED)
        (tmp_path / "other.py").write_text("any source file counts now\n")
        launch.wait_for(r"restarted in .* other\.py")
        assert launch.text.count("has replaced its process") == 1


def test_without_reload_there_is_nothing_to_say_of_it(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(
        "import os, sys\n"
        "os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(1)'])\n"
    )
    with launched("--no-reload", "job.py", cwd=tmp_path) as launch:
        assert launch.wait_ended() == 0
        assert " note " not in launch.text


def test_a_launcher_that_hears_of_it_late(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(
        "import os, signal, sys\n"
        "if 'again' not in sys.argv:\n"
        "    os.kill(os.getppid(), signal.SIGSTOP)\n"
        "    os.execv(sys.executable, [sys.executable, *sys.argv, 'again'])\n"
        "os.kill(os.getppid(), signal.SIGCONT)\n"
        "signal.pause()\n"
    )
    with launched("job.py", cwd=tmp_path) as launch:
        launch.wait_for(REPLACED)


@pytest.mark.parametrize("by", ["save", "stop"])
def test_an_app_is_asked_by_a_signal(tmp_path: Path, by: str) -> None:
    (tmp_path / "app.py").write_text(APP.format(version="v0"))
    words = ("--server", "wsgiref", "--port", "0", "--grace", "600", "app:app")
    with launched(*words, cwd=tmp_path) as launch:
        launch.wait_served("v0")
        with pytest.raises(OSError, match=r".+"):
            launch.get("/exec")
        launch.wait_for(REPLACED)
        if by == "save":
            launch.save(APP.format(version="v1"))
            launch.wait_served("v1")


def test_who_attaches_is_told_and_debugs_the_next_one(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(APP.format(version="v0"))
    words = ("--server", "wsgiref", "--port", "0", "app:app")
    debug = ("--debug-attach", "--debug-address", "127.0.0.1:0")
    with launched(*debug, *words, cwd=tmp_path) as launch:
        launch.wait_served("v0")
        with pytest.raises(OSError, match=r".+"):
            launch.get("/exec")
        launch.wait_for(REPLACED)
        with DapClient("127.0.0.1", launch.debug_port, timeout=20) as ide:
            ide.attach(breakpoints={str(app): [1]})
            told = ide.wait_event("output")
            assert "it is debugged from its next start on" in told["output"]
            assert "busy" not in launch.text
            ide.request("restart")
            stopped = ide.wait_event("stopped")
            assert ide.stop_lines(stopped)[0] == ("<module>", 1)
            ide.continue_(stopped["threadId"])
            launch.wait_served("v0")


def test_the_command_line_of_the_process_is_none_of_a_program(tmp_path: Path) -> None:
    """CherryPy, and others, read it from the system."""
    (tmp_path / "job.py").write_text(
        "import os, sys\n"
        "words = open('/proc/self/cmdline').read().split('\\0')[:-1]\n"
        "os.execv(sys.executable, words)\n"
    )
    with launched("job.py", cwd=tmp_path) as launch:
        launch.wait_for(r"exited \(status 1\)")
        assert "devlaunch: a program has run the command line of its process" in launch.text
        assert "Traceback" not in launch.text
