"""The same table of scenarios for every way in: each cell with the real debugger, on a real pty."""

from __future__ import annotations

import contextlib
import os
import signal
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from support.marks import marked, standbys
from support.pycharm import install_pydevd
from support.wait import wait_until
from support.ways import WAYS, Way, running

APP = """\
VERSION = {version!r}
import os, subprocess, time

def handler():
    result = VERSION
    return result

def stream():
    while True:
        yield VERSION.encode()
        time.sleep(0.02)

def app(environ, start_response):
    start_response("200 OK", [])
    match environ["PATH_INFO"]:
        case "/stream":
            return stream()
        case "/pid":
            return [str(os.getpid()).encode()]
        case "/spawn":
            grandchild = subprocess.Popen(["sleep", "1000"], start_new_session=True)
            return [str(grandchild.pid).encode()]
    return [handler().encode()]
"""
MODULE_LINE, HANDLER_LINE = 1, 5


def source(version: str) -> str:
    return APP.format(version=version)


@pytest.fixture(scope="module")
def helpers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pydevd-pycharm alone in a directory, as in the IDE's installation."""
    return install_pydevd(tmp_path_factory.mktemp("helpers"))


@pytest.fixture(params=WAYS.values(), ids=WAYS)
def kind(request: pytest.FixtureRequest) -> type[Way]:
    return request.param


@pytest.fixture
def starting(kind: type[Way], tmp_path: Path, helpers: Path):
    """Start the app with breakpoints at these lines, under the way in question."""

    @contextlib.contextmanager
    def start(
        *lines: int, options: str = "", server: str = "wsgiref", broken: str = ""
    ) -> Iterator[Way]:
        """`broken` is the app's first source, where the IDE is there to see that."""
        project = tmp_path / "project"
        project.mkdir()
        is_broken = broken and kind.sees_first_import
        (project / "app.py").write_text(broken if is_broken else source("v0"))
        (project / "pyproject.toml").write_text(
            f'[tool.devlaunch]\nserver = "{server}"\n{options}\n'
        )
        with running(kind(project, lines, helpers)) as way:
            if MODULE_LINE in lines and way.sees_first_import:
                pass_import(way)
            if not is_broken:
                way.wait_for("ready in")
                assert way.url
            yield way

    return start


def pass_import(way: Way) -> None:
    assert way.wait_stop()[0] == MODULE_LINE
    way.resume()


@contextlib.contextmanager
def visiting(way: Way, path: str = "/") -> Iterator[Future[str]]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(way.get, path)


def pass_handler(way: Way, version: str) -> None:
    """A request runs into the breakpoint in the new code, and is answered on continue."""
    with visiting(way) as answer:
        assert way.wait_stop() == (HANDLER_LINE, version)
        way.resume()
        assert answer.result(30) == version


def reload(way: Way, version: str) -> None:
    printed = len(way.text)
    way.save(source(version))
    way.wait_for(r"reloaded in", after=printed)


MANY = (WAYS["launch"], WAYS["PyCharm multiproc"])
"""One of each link that an IDE has to a child but the keeper's, which test_endurance has."""


def test_breakpoints_before_and_after_reloads_and_ctrl_c(starting, kind: type[Way]) -> None:
    """The first reloads by the standby, the others as fast as can be."""
    last = 20 if kind in MANY else 5
    with starting(MODULE_LINE, HANDLER_LINE, options="verbose = true") as way:
        pass_handler(way, "v0")
        printed, waiting = 0, None
        for number in range(1, last + 1):
            if number <= 2:
                modules = way.wait_for(r"standby ready: (\d+) modules", after=printed)
                assert int(modules[1]) >= 10  # wsgiref and what it needs
                waiting = standbys(way.run_id)
            printed = len(way.text)
            way.save(source(f"v{number}"))
            pass_import(way)
            way.wait_for(r"reloaded in", after=printed)
            if number in (1, 2, 5, last):
                pass_handler(way, f"v{number}")
            if number <= 2:
                assert int(way.get("/pid")) in waiting
        assert way.announced == 1
        way.press("\x03")
        way.nothing_left(within=3.0)


def a_save_while_paused_waits_for_continue(way: Way) -> None:
    with visiting(way) as answer:
        assert way.wait_stop() == (HANDLER_LINE, "v0")
        printed = len(way.text)
        way.save(source("v1"))
        way.wait_for(r"will reload on continue", after=printed)
        way.resume()
        assert answer.result(30) == "v0"
    way.wait_for(r"reloaded in", after=printed)
    assert way.text.count("will reload on continue", printed) == 1
    pass_handler(way, "v1")


def a_syntax_error_and_recovery(way: Way) -> None:
    printed = len(way.text)
    way.save("def broken(:\n")
    way.wait_for(r"broken.*SyntaxError", after=printed)
    reload(way, "v2")
    pass_handler(way, "v2")


def kill_9_of_the_app(way: Way) -> None:
    printed = len(way.text)
    os.kill(int(way.get("/pid")), signal.SIGKILL)
    way.wait_for(r"killed|SIGKILL", after=printed)
    reload(way, "v3")
    pass_handler(way, "v3")


def a_stream_that_is_open_at_a_reload(way: Way) -> None:
    with urllib.request.urlopen(way.url + "/stream", timeout=30) as stream:
        assert stream.read(2) == b"v3"
        printed = len(way.text)
        reload(way, "v4")
        assert "GET /stream" in way.text[printed:]
    pass_handler(way, "v4")


def a_process_that_the_app_has_started(way: Way) -> None:
    first = int(way.get("/spawn"))
    reload(way, "v5")
    assert first not in marked(way.run_id)
    pass_handler(way, "v5")
    second = int(way.get("/spawn"))
    os.kill(way.launcher, signal.SIGTERM)
    way.nothing_left(within=3.0)
    assert second not in marked(way.run_id)


def test_one_run(starting) -> None:
    """One after the other: to start is what takes most of the time."""
    with starting(HANDLER_LINE) as way:
        a_save_while_paused_waits_for_continue(way)
        a_syntax_error_and_recovery(way)
        kill_9_of_the_app(way)
        a_stream_that_is_open_at_a_reload(way)
        assert way.announced == 1
        a_process_that_the_app_has_started(way)


BROKEN = """\
VERSION = "broken"

def fails():
    raise LookupError(VERSION)

"""
RAISES = BROKEN + "fails()\n"
REFUSES = (
    BROKEN
    + """\
async def app(scope, receive, send):
    try:
        fails()
    except LookupError:
        await send({"type": "lifespan.startup.failed", "message": ""})
        raise
"""
)
FAILS_LINE = 4


def test_broken_code_is_mended_by_a_save(starting) -> None:
    """Broken at import, also when that is the first one, and at start-up."""
    with starting(server="uvicorn", broken=RAISES) as way:
        printed = 0
        for version, broken in (("v1", RAISES), ("v2", REFUSES), ("v3", RAISES)):
            if version != "v1" or not way.sees_first_import:
                way.save(broken)
            way.wait_for(r"broken +app\.py:4 +LookupError: broken", after=printed)
            if broken is RAISES:
                assert way.wait_stop() == (FAILS_LINE, "broken")  # and nobody continues
            way.save(source(version))
            way.wait_for(r"(ready|reloaded) in", after=printed)
            assert way.text.count("Traceback", printed) == 1
            printed = len(way.text)
            assert way.get() == version


def test_stop_in_the_ide(starting) -> None:
    """At a breakpoint. While the app runs: each debugger's own tests."""
    with starting(HANDLER_LINE) as way:
        with visiting(way) as answer:
            way.wait_stop()
            way.press_stop()
            if way.stop_ends_the_run:
                wait_until(answer.done, 10, "the request's end")
        if way.stop_ends_the_run:
            way.nothing_left(within=3.0)
        else:
            assert way.get() == "v0"  # attached only: the app runs on


def test_kill_9_of_the_launcher(starting) -> None:
    with starting(HANDLER_LINE) as way:
        pass_handler(way, "v0")
        os.kill(way.launcher, signal.SIGKILL)
        way.nothing_left(within=3.0)
