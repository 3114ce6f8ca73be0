"""Code that cannot run, under a debugger that stops at what ends it: the next save mends it.

The client has the default filter of IDEs and presses nothing, unless a test says so.
"""

from __future__ import annotations

import contextlib
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.dap import DapClient
from support.interpreters import launchers
from support.launch import WSGI, Launch, launched, save
from support.wait import wait_until

DEBUG = ("--debug-attach", "--debug-address", "127.0.0.1:0", "--wait-for-client")
APP = ("--server", "wsgiref", "--port", "0", "app:app")
PYTHONS = pytest.mark.parametrize("python", launchers())

RAISES = "def fails():\n    raise LookupError('here')\n\nfails()\n"
BROKEN = {
    RAISES: r"app\.py:2 +LookupError: here",
    "import nosuch\n": r"app\.py:1 +ModuleNotFoundError: No module named 'nosuch'",
    "import sys\nsys.exit(3)\n": r"app\.py:2 +app:app called sys.exit\(3\)",
    "def broken(:\n": r"app\.py:1 +SyntaxError: ",
    "import sys\nsys.excepthook = lambda *_: print('Traceback of mine')\n1 / 0\n": r"app\.py:3 +Z",
}
"""Sources, and the line that says so."""


@contextlib.contextmanager
def debugged(
    cwd: Path,
    source: str,
    *target: str,
    python: str,
    filters: tuple[str, ...] = ("uncaught",),
    **attach: Any,
) -> Iterator[tuple[Launch, DapClient]]:
    """An IDE is attached before the first line of `source` runs, in app.py."""
    save(cwd / "app.py", source)
    with (
        launched(*DEBUG, *(target or APP), cwd=cwd, python=python) as launch,
        DapClient("127.0.0.1", launch.debug_port, timeout=20) as ide,
    ):
        ide.attach(exceptions=filters, **attach)
        yield launch, ide


def wait_broken(launch: Launch, line: str, after: int) -> None:
    """It is said, and the traceback was printed before, once."""
    found = launch.wait_for(rf"broken +{line}", after=after)
    printed = launch.text[after : found.start()]
    assert len(re.findall("Traceback|SyntaxError: ", printed)) == ("sys.exit" not in line), printed


@PYTHONS
@pytest.mark.parametrize("just_my_code", [True, False])
def test_a_save_mends_it(python: str, just_my_code: bool, tmp_path: Path) -> None:
    with debugged(tmp_path, RAISES, python=python, justMyCode=just_my_code) as (launch, ide):
        begun = 0
        for number, (source, line) in enumerate(BROKEN.items()):
            if number:
                launch.save(source)
            wait_broken(launch, line, begun)
            stops = "def broken(" not in source or not just_my_code
            if stops:
                stopped = ide.wait_event("stopped")
                assert stopped["reason"] == "exception"
                assert ide.top_frame(stopped)["line"]
            begun = len(launch.text)
            launch.save(WSGI.format(version=f"v{number}"))
            launch.wait_for("(ready|reloaded) in", after=begun)
            assert launch.get() == f"v{number}"
            assert not re.search("Traceback|Error|waiting", launch.text[begun:])
            if stops:  # no frame is left on the screen
                assert ide.wait_event("continued")["threadId"] == stopped["threadId"]
        assert len(ide.events("stopped")) == len(ide.events("continued"))


@PYTHONS
def test_restart_and_continue(python: str, tmp_path: Path) -> None:
    target = ("--while-paused", "restart", *APP)
    with debugged(tmp_path, RAISES, *target, python=python) as (launch, ide):
        wait_broken(launch, BROKEN[RAISES], 0)
        ide.wait_event("stopped")
        begun = len(launch.text)
        ide.request("restart")
        wait_broken(launch, BROKEN[RAISES], begun)
        begun = len(launch.text)
        stopped = ide.wait_event("stopped")
        ide.wait_event("thread", lambda body: body["reason"] == "exited")
        ide.continue_(stopped["threadId"])
        ide.wait_event("thread", lambda body: body["reason"] == "exited")
        launch.save(WSGI.format(version="v1"))
        launch.wait_for("(ready|reloaded) in", after=begun)
        assert not re.search("Traceback|broken", launch.text[begun:])


@PYTHONS
def test_a_save_by_delete_and_create_and_one_in_two_writes(python: str, tmp_path: Path) -> None:
    with debugged(tmp_path, RAISES, python=python, justMyCode=False) as (launch, _):
        wait_broken(launch, BROKEN[RAISES], 0)
        (tmp_path / "app.py").unlink()
        launch.wait_for("broken +.*No module named 'app'|broken +no module named 'app'")
        (tmp_path / "app.py").write_text(WSGI.format(version="v1"))
        launch.wait_served("v1")
        begun = len(launch.text)
        launch.save(RAISES)
        wait_broken(launch, BROKEN[RAISES], begun)
        whole = WSGI.format(version="v2")
        begun = len(launch.text)
        (tmp_path / "app.py").write_text(whole.partition("    result")[0])
        launch.wait_for("broken +app.*Error", after=begun)
        (tmp_path / "app.py").write_text(whole)
        launch.wait_served("v2")


@PYTHONS
@pytest.mark.parametrize(
    "target",
    [("app.py",), ("-m", "app"), ("--", "python", "app.py", "runserver")],
    ids=["script", "module", "command"],
)
def test_a_program(python: str, target: tuple[str, ...], tmp_path: Path) -> None:
    with debugged(tmp_path, RAISES, *target, python=python) as (launch, _):
        wait_broken(launch, BROKEN[RAISES], 0)
        begun = len(launch.text)
        launch.save("import sys\nsys.exit('no database')\n")
        launch.wait_for(r"broken +app\.py:2 +\S.* called sys.exit\('no database'\)", after=begun)
        begun = len(launch.text)
        launch.save("import time\nprint('works')\ntime.sleep(1000)\n")
        launch.wait_for("works", after=begun)
        assert launch.text.count("no database", begun) == 1  # as Python prints it, at the end
        begun = len(launch.text)
        launch.save(RAISES)
        wait_broken(launch, BROKEN[RAISES], begun)
        launch.process.send_signal(signal.SIGINT)
        assert launch.wait_ended() == 130  # as without a debugger


IN_A_THREAD = "import threading\nthread = threading.Thread(target=lambda: 1 / 0)\nthread.start()\n"
AT_RUNPY = """\
import runpy
try:
    runpy.run_path("plugin.py")
except ZeroDivisionError:
    pass
"""
CAUGHT = "try:\n    1 / 0\nexcept ZeroDivisionError:\n    pass\n"


@PYTHONS
@pytest.mark.parametrize(
    ("source", "filters"),
    [(IN_A_THREAD, ("uncaught",)), (AT_RUNPY, ("uncaught", "raised")), (CAUGHT, ("raised",))],
    ids=["in a thread", "at runpy", "caught"],
)
def test_a_stop_that_the_app_survives_holds_a_save_back(
    python: str, source: str, filters: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "plugin.py").write_text("1 / 0\n")
    app = source + WSGI.format(version="v0")
    with debugged(tmp_path, app, python=python, filters=filters) as (launch, ide):
        ide.wait_event("stopped")
        launch.save(WSGI.format(version="v1"))
        launch.wait_for("will reload on continue")
        assert "broken" not in launch.text
        ide.request("setExceptionBreakpoints", filters=[])
        ide.continue_()
        launch.wait_served("v1")


@PYTHONS
def test_what_is_being_stopped_and_fails_at_that_is_let_go(python: str, tmp_path: Path) -> None:
    source = """\
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
print("{version}")
while True:
    time.sleep(0.01)
"""
    begin = source.format(version="one")
    with debugged(tmp_path, begin, "app.py", python=python) as (launch, _):
        launch.wait_for("one")
        launch.save(source.format(version="two"))
        launch.wait_for("two")


@PYTHONS
def test_while_paused_restart_holds_in_a_start_that_is_void(python: str, tmp_path: Path) -> None:
    """The app takes SIGTERM for itself, and so goes on to the breakpoint."""
    source = """\
import pathlib, signal, time
signal.signal(signal.SIGTERM, lambda *_: pathlib.Path("asked").touch())
while not pathlib.Path("asked").exists():
    time.sleep(0.01)
here = True
"""
    target = ("--while-paused", "restart", *APP)
    breakpoints = {str(tmp_path / "app.py"): [5]}
    with debugged(tmp_path, source, *target, python=python, breakpoints=breakpoints) as (launch, _):
        wait_until(lambda: "attached" in launch.text, 20, "the client")
        launch.save(WSGI.format(version="v1"))
        launch.wait_for(r"reloaded in .* app\.py")  # a request would stop at the breakpoint
