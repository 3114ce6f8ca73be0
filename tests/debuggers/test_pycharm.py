"""Under PyCharm's own debugger: the real pydevd-pycharm, and the IDE's side of its text protocol.

pydevd is run from a directory of its own, as the IDE has it (`helpers/pydev`).
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from support.dap import DapClient
from support.interpreters import launchers, oldest_pydevd
from support.launch import HANDLER_LINE, MODULE_LINE, WSGI, Launch, asgi_app, launched, save
from support.marks import assert_nothing_left
from support.pycharm import (
    ADD_EXCEPTION_BREAK,
    SUSPEND,
    UNCAUGHT,
    Debugged,
    Mode,
    PyCharm,
    debugging,
    install_pydevd,
    pycharm,
)
from support.wait import wait_until

from devlaunch.child.debugging import attempt
from devlaunch.child.debugging.pauses import Pauses
from devlaunch.child.debugging.pycharm import connect

FOLLOWING = [Mode.DISPATCH, Mode.CONNECT]
ASGI = ("--port", "0", "app:app")
APP = ("--server", "wsgiref", *ASGI)
RAISED = "python-BaseException\tNone\tNone\t1\t0\t1"
"""On raise, but not in libraries: where the exception, the condition, when, and what is ignored."""
RAISED_ANYWHERE = "python-BaseException\tNone\tNone\t1\t0\t0"

MONITORING = pytest.mark.parametrize(
    ("python", "low_impact"),
    [pytest.param(*each.values, "", id=each.id) for each in launchers()]
    + [pytest.param(*each.values, "True", id=f"{each.id} low impact") for each in launchers()[-1:]],
)
"""By sys.settrace everywhere, and by sys.monitoring, which is the same in all that have it."""


def wsgi_app(version: str) -> str:
    """As `asgi_app`, with the same lines, for the server that starts fastest."""
    return WSGI.format(version=version).replace("\n\n", "\n\n\n", 1)


@pytest.fixture(scope="module")
def helpers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pydevd alone in a directory, as in the IDE's installation."""
    return install_pydevd(tmp_path_factory.mktemp("helpers"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    save(tmp_path / "app.py", wsgi_app("one"))
    return tmp_path


@pytest.fixture
def requests() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def answered(request: Future[str]) -> str:
    return request.result(20)


def pass_handler(ide: PyCharm, launch: Launch, requests: ThreadPoolExecutor) -> str:
    """Ask, stand at the breakpoint in the handler, go on; returns VERSION as seen there."""
    launch.wait_for("ready in")
    request = requests.submit(launch.get)
    stop = ide.wait_suspended(lambda s: s.function == "handler")
    assert stop.line == HANDLER_LINE
    version = stop.evaluate("VERSION")
    stop.resume()
    assert answered(request) == version
    return version


def pass_module(ide: PyCharm) -> Debugged:
    """Stand at the breakpoint at import time, and go on; returns the process."""
    stop = ide.wait_suspended(lambda s: s.function == "<module>")
    assert stop.line == MODULE_LINE
    stop.resume()
    wait_until(lambda: not stop.process.suspended, what="resumed")
    return stop.process


def check_reloads(ide: PyCharm, launch: Launch, requests: ThreadPoolExecutor, count: int) -> None:
    """Both breakpoints are hit in each of the generations."""
    seen: list[int] = []
    for number in range(count):
        version = f"version {number}" if number else "one"
        if number:
            launch.save(wsgi_app(version))
        process = pass_module(ide)
        assert pass_handler(ide, launch, requests) == version
        seen.append(process.pid)
    assert len(set(seen)) == count, "each generation is a process of its own"
    assert not set(seen) & {launch.pid}


@pytest.mark.parametrize(
    ("mode", "python"),
    [pytest.param(Mode.DISPATCH, *each.values, id=each.id) for each in launchers()]
    + [pytest.param(Mode.CONNECT, sys.executable, id="CONNECT")],
)
def test_breakpoints_hold_over_reloads(
    mode: Mode, python: str, project: Path, helpers: Path, requests: ThreadPoolExecutor
) -> None:
    with pycharm(mode) as ide:
        ide.set(project / "app.py", MODULE_LINE)
        ide.set(project / "app.py", HANDLER_LINE)
        with debugging(ide, *APP, cwd=project, pydevd=helpers, python=python) as launch:
            check_reloads(ide, launch, requests, 4)
            assert len(ide.processes) == 5, "the launcher and its children, nothing else of ours"
            assert list(ide.main.threads.values()) == ["MainThread"]
        assert not ide.errors


@pytest.mark.parametrize("python", launchers()[1:])
def test_breakpoints_hold_with_low_impact_monitoring(
    python: str, project: Path, helpers: Path, requests: ThreadPoolExecutor
) -> None:
    """PyCharm's mode on CPython 3.12 and later (PEP 669)."""
    env = {"USE_LOW_IMPACT_MONITORING": "True"}
    with pycharm(Mode.CONNECT) as ide:
        ide.set(project / "app.py", MODULE_LINE)
        ide.set(project / "app.py", HANDLER_LINE)
        with debugging(ide, *APP, cwd=project, pydevd=helpers, python=python, **env) as launch:
            check_reloads(ide, launch, requests, 3)


@pytest.mark.parametrize("mode", FOLLOWING)
def test_with_pydevd_of_2019(mode: Mode, project: Path, requests: ThreadPoolExecutor) -> None:
    pydevd = oldest_pydevd()
    if pydevd is None:
        pytest.skip("pydevd-pycharm 193 is not there: python tests/support/interpreters.py")
    with pycharm(mode) as ide:
        ide.set(project / "app.py", MODULE_LINE)
        ide.set(project / "app.py", HANDLER_LINE)
        with debugging(ide, *APP, cwd=project, pydevd=pydevd) as launch:
            check_reloads(ide, launch, requests, 3)
            assert len(ide.processes) == 4


def test_no_frame_and_no_thread_of_ours_shows(
    project: Path, helpers: Path, requests: ThreadPoolExecutor
) -> None:
    save(project / "app.py", asgi_app("one"))
    with pycharm(Mode.CONNECT) as ide:
        ide.set(project / "app.py", HANDLER_LINE)
        with debugging(ide, *ASGI, cwd=project, pydevd=helpers) as launch:
            launch.wait_for("ready in")
            request = requests.submit(launch.get)
            stop = ide.wait_suspended()
            assert stop.stack[0] == "app.py:handler"
            assert not [frame for frame in stop.stack if "devlaunch" in frame or "pydev" in frame]
            assert list(stop.process.threads.values()) == ["MainThread"]
            stop.resume()
            assert answered(request) == "one"


def test_an_uncaught_exception_stops_where_it_was_raised(project: Path, helpers: Path) -> None:
    """PyCharm's default exception breakpoint: any exception, on termination."""
    save(project / "app.py", "def fails():\n    raise ValueError('no')\n\nfails()\n")
    with pycharm(Mode.CONNECT) as ide:
        ide.exception_breakpoints.append(UNCAUGHT)
        with debugging(ide, *APP, cwd=project, pydevd=helpers) as launch:
            stop = ide.wait_suspended()
            assert (stop.function, stop.line) == ("fails", 2)
            stop.resume()
            launch.wait_for("ValueError: no")
            launch.save(wsgi_app("two"))
            launch.wait_served("two")
            assert ide.main.suspensions == 0


@pytest.mark.parametrize("breakpoints", [[], [UNCAUGHT]], ids=["no breakpoint", "breakpoint"])
@MONITORING
def test_a_traceback_is_the_users_alone(
    python: str, breakpoints: list[str], low_impact: str, project: Path, helpers: Path
) -> None:
    env = {"USE_LOW_IMPACT_MONITORING": low_impact}
    save(project / "app.py", "def fails():\n    raise ValueError('no')\n\nfails()\n")
    with pycharm(Mode.CONNECT) as ide:
        ide.exception_breakpoints += breakpoints
        with debugging(ide, *APP, cwd=project, pydevd=helpers, python=python, **env) as launch:
            if breakpoints:
                ide.wait_suspended().resume()
            launch.wait_for(r"app\.py:2\b")
            # CPython issue 130522, up to 3.13.2: threads of pydevd's, when the interpreter ends.
            text = re.sub(
                r"(?m)^Exception ignored in: <function _DeleteDummy.*\n.*\n.*\n", "", launch.text
            )
            assert re.findall(r'^  File "(.*)", line (\d+)', text, re.MULTILINE) == [
                (str(project / "app.py"), "4"),
                (str(project / "app.py"), "2"),
            ]


@MONITORING
def test_an_error_of_usage_is_no_exception(
    python: str, low_impact: str, project: Path, helpers: Path
) -> None:
    env = {"USE_LOW_IMPACT_MONITORING": low_impact}
    with pycharm(Mode.CONNECT) as ide:
        ide.exception_breakpoints.append(UNCAUGHT)
        words = ("--port", "0", "app:nope")
        with debugging(ide, *words, cwd=project, pydevd=helpers, python=python, **env) as launch:
            assert launch.wait_ended() == 2
            assert "nope" in launch.text
            assert "Traceback" not in launch.text
        assert not any(process.suspensions for process in ide.processes)


@pytest.mark.parametrize("python", launchers())
def test_the_launcher_never_stops(
    python: str, project: Path, helpers: Path, requests: ThreadPoolExecutor
) -> None:
    """Neither at raised exceptions nor at Pause, which the IDE sends to each thread."""
    with pycharm(Mode.CONNECT) as ide:
        ide.exception_breakpoints.append(RAISED)
        ide.set(project / "app.py", HANDLER_LINE)
        with debugging(ide, *APP, cwd=project, pydevd=helpers, python=python) as launch:
            assert pass_handler(ide, launch, requests) == "one"
            for thread in list(ide.main.threads):
                ide.main.send(SUSPEND, thread)
            launch.save("def broken(:\n")
            launch.wait_for("SyntaxError")
            launch.save(wsgi_app("two"))
            launch.wait_for("reloaded in")
            assert pass_handler(ide, launch, requests) == "two"
            assert ide.main.suspensions == 0


@MONITORING
def test_the_launcher_never_stops_in_a_library(
    python: str, low_impact: str, project: Path, helpers: Path
) -> None:
    """At raised exceptions, with "Ignore library files" off."""
    env = {"USE_LOW_IMPACT_MONITORING": low_impact}
    words = ("--no-debug-attach", *APP)
    with (
        pycharm(Mode.CONNECT) as ide,
        debugging(ide, *words, cwd=project, pydevd=helpers, python=python, **env) as launch,
    ):
        launch.wait_served("one")
        ide.main.send(ADD_EXCEPTION_BREAK, RAISED_ANYWHERE)
        ide.set(project / "app.py", HANDLER_LINE)
        launch.save("def broken(:\n")
        launch.wait_for("SyntaxError")
        launch.save(wsgi_app("two"))
        launch.wait_served("two")
        assert ide.main.suspensions == 0


CALLER = """\
import devlaunch

def after():
    return True

def fails():
    raise ValueError("no")

if __name__ == "__main__":
    devlaunch.run("job.py", reload=False)
    after()
    try:
        fails()
    except ValueError:
        print("the end", flush=True)
"""


@MONITORING
def test_after_a_run_by_the_program_it_is_debugged_on(
    python: str, low_impact: str, tmp_path: Path, helpers: Path
) -> None:
    save(tmp_path / "caller.py", CALLER)
    save(tmp_path / "job.py", "")
    env = {"USE_LOW_IMPACT_MONITORING": low_impact, "PYTHONPATH": str(tmp_path)}
    with pycharm(Mode.CONNECT) as ide:
        ide.exception_breakpoints.append(RAISED)
        ide.set(tmp_path / "caller.py", 4)
        with debugging(
            ide, cwd=tmp_path, pydevd=helpers, python=python, module="caller", **env
        ) as launch:
            for function in ("after", "fails"):
                stop = ide.wait_suspended(lambda s, name=function: s.function == name)
                assert stop.process is ide.main
                stop.resume()
            # The exception shows in the caller's frame too.
            stop = ide.wait_suspended(lambda s: s.function == "<module>")
            stop.resume()
            launch.wait_for("the end")


def test_pause_of_the_app(project: Path, helpers: Path) -> None:
    save(project / "app.py", asgi_app("one"))
    with (
        pycharm(Mode.CONNECT) as ide,
        debugging(ide, *ASGI, cwd=project, pydevd=helpers) as launch,
    ):
        launch.wait_served("one")
        child = ide.living()[-1]
        for thread in list(child.threads):
            child.send(SUSPEND, thread)
        stop = ide.wait_suspended()
        launch.save(asgi_app("two"))
        launch.wait_for("app.py.*continue")
        stop.resume()
        launch.wait_for("reloaded in")
        launch.wait_served("two")


@pytest.mark.parametrize("kind", ["script", "module"])
def test_programs(kind: str, tmp_path: Path, helpers: Path) -> None:
    source = "import time\nprint('version {0}', flush=True)\ntime.sleep(60)\n"
    save(tmp_path / "worker.py", source.format("one"))
    target = ("worker.py",) if kind == "script" else ("-m", "worker")
    with pycharm(Mode.CONNECT) as ide:
        ide.set(tmp_path / "worker.py", 2)
        with debugging(ide, *target, cwd=tmp_path, pydevd=helpers) as launch:
            for version in ("one", "two", "three"):
                if version != "one":
                    launch.save(source.format(version), "worker.py")
                stop = ide.wait_suspended()
                assert (stop.function, stop.line) == ("<module>", 2)
                stop.resume()
                launch.wait_for(f"version {version}")


def test_processes_of_the_app_are_followed(tmp_path: Path, helpers: Path) -> None:
    save(tmp_path / "job.py", "print('job done', flush=True)\n")
    save(
        tmp_path / "worker.py",
        "import subprocess, sys, time\n"
        "subprocess.run([sys.executable, 'job.py'])\n"
        "time.sleep(60)\n",
    )
    with pycharm(Mode.CONNECT) as ide:
        ide.set(tmp_path / "job.py", 1)
        with debugging(ide, "worker.py", cwd=tmp_path, pydevd=helpers) as launch:
            stop = ide.wait_suspended()
            assert stop.file.endswith("job.py")
            stop.resume()
            launch.wait_for("job done")


# --- "Attach to subprocess" off -----------------------------------------------------------------


def test_without_attach_to_subprocess_the_app_is_left_alone(project: Path, helpers: Path) -> None:
    with pycharm(Mode.NONE) as ide:
        ide.set(project / "app.py", HANDLER_LINE)
        with debugging(ide, *APP, cwd=project, pydevd=helpers) as launch:
            launch.wait_served("one")
            launch.save(wsgi_app("two"))
            launch.wait_served("two")
            assert len(ide.processes) == 1


def test_debug_attach_without_attach_to_subprocess(
    project: Path, helpers: Path, requests: ThreadPoolExecutor
) -> None:
    with pycharm(Mode.NONE, takes_more=True) as ide:
        ide.set(project / "app.py", MODULE_LINE)
        ide.set(project / "app.py", HANDLER_LINE)
        with debugging(ide, "--debug-attach", *APP, cwd=project, pydevd=helpers) as launch:
            check_reloads(ide, launch, requests, 3)


def test_debug_attach_with_an_ide_that_takes_one_process_only(
    project: Path, helpers: Path, requests: ThreadPoolExecutor
) -> None:
    """As PyCharm does with that setting off: a further connection is never answered."""
    words = ("--debug-attach", "--debug-address", "127.0.0.1:0", *APP)
    with pycharm(Mode.NONE) as ide, debugging(ide, *words, cwd=project, pydevd=helpers) as launch:
        launch.wait_served("one")
        launch.wait_for('(?s)PyCharm takes one process only.*"Attach to subprocess')
        port = int(launch.wait_for(r"debug +127\.0\.0\.1:(\d+)").group(1))
        with DapClient("127.0.0.1", port) as client:
            client.attach(breakpoints={str(project / "app.py"): [HANDLER_LINE]})
            for version in ("one", "two", "three"):
                if version != "one":
                    offset = len(launch.text)
                    launch.save(wsgi_app(version))
                    launch.wait_for("reloaded in", after=offset)
                request = requests.submit(launch.get)
                stopped = client.wait_event("stopped")
                assert client.evaluate(stopped, "VERSION") == repr(version)
                client.continue_(stopped["threadId"])
                assert answered(request) == version
        assert launch.text.count("could not connect") == 1
        assert "if it takes another process" in launch.text
        assert "follows every restart" not in launch.text


@pytest.mark.parametrize("takes_more", [False, True], ids=["silent", "never says run"])
def test_debug_attach_waits_for_a_client_when_the_ide_takes_no_process(
    takes_more: bool, project: Path, helpers: Path, requests: ThreadPoolExecutor
) -> None:
    """The child that asked may have PyCharm's pydevd loaded, which debugpy cannot work beside."""
    words = ("--debug-attach", "--wait-for-client", "--debug-address", "127.0.0.1:0", *APP)
    with pycharm(Mode.NONE, takes_more=takes_more) as ide:
        ide.runs_children = False
        with debugging(ide, *words, cwd=project, pydevd=helpers) as launch:
            port = int(launch.wait_for(r"debug +127\.0\.0\.1:(\d+)").group(1))
            with DapClient("127.0.0.1", port) as client:
                lines = [MODULE_LINE, HANDLER_LINE]
                client.attach(breakpoints={str(project / "app.py"): lines})
                client.continue_(client.wait_event("stopped")["threadId"])
                request = requests.submit(launch.get)
                stopped = client.wait_event("stopped")
                assert client.evaluate(stopped, "VERSION") == "'one'"
                client.continue_(stopped["threadId"])
                assert answered(request) == "one"


@pytest.mark.parametrize("flag", ["multiproc", "multiprocess", "file"])
def test_the_setting_is_named_only_when_it_is_off(flag: str) -> None:
    with pycharm(Mode.CONNECT, answers=False) as ide:
        request = {"host": "127.0.0.1", "port": ide.port, "timeout": 0.1, "setup": {flag: True}}
        pauses = Pauses(lambda _: None, lambda *_: True)
        error, hint = attempt(connect, request, pauses)
    assert error == f"127.0.0.1:{ide.port}: PyCharm does not answer"
    assert ("Attach to subprocess" in hint) == (flag == "file")
    assert ("the next restart" in hint) == (flag != "file")


LOADS_SLOWLY = """\
import os, sys
from devlaunch.child.debugging import attempt
from devlaunch.child.debugging.pauses import Pauses
from devlaunch.child.debugging.pycharm import connect

request = {"host": "127.0.0.1", "port": int(sys.argv[1]), "timeout": 2.0}
print(attempt(connect, request, Pauses(lambda _: None, lambda *_: True)), flush=True)
os._exit(0)
"""


def test_what_pydevd_takes_to_load_is_not_the_ides_time(tmp_path: Path, helpers: Path) -> None:
    (tmp_path / "pydevd_pycharm.py").write_text("import time; time.sleep(2.1)")
    (tmp_path / "job.py").write_text(LOADS_SLOWLY)
    with pycharm(Mode.CONNECT) as ide:
        words = [sys.executable, str(tmp_path / "job.py"), str(ide.port)]
        env = os.environ | {"PYTHONPATH": str(helpers.parent)}
        done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("(None, '')\n", 0), done.stderr


@MONITORING
def test_an_ide_that_takes_a_process_and_never_runs_it(
    python: str, low_impact: str, project: Path, helpers: Path
) -> None:
    env = {"USE_LOW_IMPACT_MONITORING": low_impact}
    words = ("--debug-attach", "--debug-address", "127.0.0.1:0", *APP)
    with pycharm(Mode.NONE, takes_more=True) as ide:
        ide.runs_children = False
        with debugging(ide, *words, cwd=project, pydevd=helpers, python=python, **env) as launch:
            launch.wait_for("PyCharm does not answer")
            launch.wait_served("one")
            wait_until(lambda: len(ide.processes) > 1 and ide.processes[1].has_ended)
            assert "ValueError" not in launch.text


@pytest.mark.parametrize("python", launchers())
def test_a_program_that_ends_the_debugging_itself(
    python: str, tmp_path: Path, helpers: Path
) -> None:
    env = {"USE_LOW_IMPACT_MONITORING": "True"}
    save(tmp_path / "job.py", "import pydevd\npydevd.stoptrace()\nprint('the end')\n")
    words = ("--no-reload", "job.py")
    with pycharm(Mode.CONNECT) as ide:
        with debugging(ide, *words, cwd=tmp_path, pydevd=helpers, python=python, **env) as launch:
            assert launch.wait_ended() == 0
        assert "the end" in launch.text
        assert "Traceback" not in launch.text


def test_no_debug_attach(project: Path, helpers: Path) -> None:
    with pycharm(Mode.CONNECT) as ide:
        ide.set(project / "app.py", HANDLER_LINE)
        with debugging(ide, "--no-debug-attach", *APP, cwd=project, pydevd=helpers) as launch:
            launch.wait_served("one")
            assert len(ide.processes) == 1


# --- the program is paused ----------------------------------------------------------------------


def test_a_save_while_paused_waits(
    project: Path, helpers: Path, requests: ThreadPoolExecutor
) -> None:
    with pycharm(Mode.CONNECT) as ide:
        ide.set(project / "app.py", HANDLER_LINE)
        with debugging(ide, *APP, cwd=project, pydevd=helpers) as launch:
            launch.wait_for("ready in")
            request = requests.submit(launch.get)
            stop = ide.wait_suspended()
            launch.save(wsgi_app("two"))
            launch.wait_for("app.py.*continue")
            assert stop.evaluate("VERSION") == "one"
            stop.step_over()
            stop = ide.wait_suspended(lambda s: s.line == HANDLER_LINE + 1)
            assert stop.evaluate("result") == "one"
            assert "reloaded" not in launch.text
            stop.resume()
            assert answered(request) == "one"
            launch.wait_for("reloaded in")
            assert pass_handler(ide, launch, requests) == "two"


def test_a_save_while_paused_restarts_if_so_wished(
    project: Path, helpers: Path, requests: ThreadPoolExecutor
) -> None:
    wish = ("--while-paused", "restart")
    with pycharm(Mode.CONNECT) as ide:
        ide.set(project / "app.py", HANDLER_LINE)
        with debugging(ide, *wish, *APP, cwd=project, pydevd=helpers) as launch:
            launch.wait_for("ready in")
            request = requests.submit(launch.get)
            stop = ide.wait_suspended()
            launch.save(wsgi_app("two"))
            launch.wait_for("reloaded in")
            wait_until(lambda: stop.process.has_ended, what="the old process gone")
            assert answered(request) == "one", "released, it could finish"
            assert pass_handler(ide, launch, requests) == "two"


def test_a_step_that_runs_off_counts_as_continue(tmp_path: Path, helpers: Path) -> None:
    source = "import time\nprint('version {0}', flush=True)\ntime.sleep(60)\n"
    save(tmp_path / "worker.py", source.format("one"))
    with pycharm(Mode.CONNECT) as ide:
        breakpoint_ = ide.set(tmp_path / "worker.py", 3)
        with debugging(ide, "worker.py", cwd=tmp_path, pydevd=helpers) as launch:
            stop = ide.wait_suspended()
            ide.remove(breakpoint_)
            launch.save(source.format("two"), "worker.py")
            launch.wait_for("worker.py.*continue")
            stop.step_over()
            launch.wait_for("version two")


def test_a_syntax_error_and_recovery(
    project: Path, helpers: Path, requests: ThreadPoolExecutor
) -> None:
    with pycharm(Mode.DISPATCH) as ide:
        ide.set(project / "app.py", HANDLER_LINE)
        with debugging(ide, *APP, cwd=project, pydevd=helpers) as launch:
            assert pass_handler(ide, launch, requests) == "one"
            launch.save("def broken(:\n")
            launch.wait_for("SyntaxError")
            launch.save(wsgi_app("two"))
            launch.wait_for("reloaded in")
            assert pass_handler(ide, launch, requests) == "two"


# --- the end ------------------------------------------------------------------------------------

ENDINGS = ["close", signal.SIGINT, signal.SIGTERM, signal.SIGKILL]


@pytest.mark.parametrize("is_paused", [False, True], ids=["running", "paused"])
@pytest.mark.parametrize("ending", ENDINGS, ids=str)
def test_stop_by_the_ide(
    ending: str | int,
    is_paused: bool,
    project: Path,
    helpers: Path,
    requests: ThreadPoolExecutor,
) -> None:
    with pycharm(Mode.CONNECT) as ide:
        ide.set(project / "app.py", HANDLER_LINE)
        with debugging(ide, *APP, cwd=project, pydevd=helpers) as launch:
            launch.wait_for("ready in")
            if is_paused:
                requests.submit(launch.get)
                ide.wait_suspended()
            if isinstance(ending, str):
                ide.close()
            else:
                launch.process.send_signal(ending)
            launch.wait_ended(3.0)
            assert_nothing_left(launch.run_id, within=3.0)


def test_kill_of_the_child_never_reaches_the_parent(
    project: Path, helpers: Path, requests: ThreadPoolExecutor
) -> None:
    with pycharm(Mode.DISPATCH) as ide:
        ide.set(project / "app.py", HANDLER_LINE)
        with debugging(ide, *APP, cwd=project, pydevd=helpers) as launch:
            launch.wait_for("ready in")
            requests.submit(launch.get)
            stop = ide.wait_suspended()
            os.kill(stop.process.pid, signal.SIGKILL)
            launch.wait_for("SIGKILL")
            assert launch.process.poll() is None
            launch.save(wsgi_app("two"))
            launch.wait_for("reloaded in")
            assert pass_handler(ide, launch, requests) == "two"
            assert not ide.main.has_ended


HOOKS = """\
import settings
from pathlib import Path


def handler():
    result = settings.NAME
    return result


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            with Path("hooks").open("a") as file:
                print(message["type"], settings.NAME, file=file)
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body = handler().encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
"""
HOOKS_LINE = 6


def test_uvicorn_issue_239_the_parent_survives_the_signal_to_its_child(
    tmp_path: Path, helpers: Path, requests: ThreadPoolExecutor
) -> None:
    """Under the debugger, "the parent also stops, and leaves a new child hanging".

    The reporter's app: startup and shutdown hooks, and a settings module, which is what is saved.
    """
    save(tmp_path / "app.py", HOOKS)
    names = [f"name {number}" for number in range(6)]
    with pycharm(Mode.DISPATCH) as ide:
        ide.set(tmp_path / "app.py", HOOKS_LINE)
        save(tmp_path / "settings.py", f"NAME = {names[0]!r}\n")
        with debugging(ide, *ASGI, cwd=tmp_path, pydevd=helpers) as launch:
            for name in names:
                if name != names[0]:
                    offset = len(launch.text)
                    launch.save(f"NAME = {name!r}\n", "settings.py")
                    launch.wait_for("reloaded in", after=offset)
                launch.wait_for("ready in")
                request = requests.submit(launch.get)
                stop = ide.wait_suspended()
                assert stop.evaluate("settings.NAME") == name
                stop.resume()
                assert answered(request) == name
                assert launch.process.poll() is None
                assert not ide.main.has_ended
            children = [p for p in ide.living() if p is not ide.main]
            assert len(children) == 1, "no child is left hanging"
        hooks = [f"lifespan.{e} {name}\n" for name in names for e in ("startup", "shutdown")]
        assert (tmp_path / "hooks").read_text() == "".join(hooks)


# --- Python Debug Server ------------------------------------------------------------------------


def test_python_debug_server(project: Path, requests: ThreadPoolExecutor) -> None:
    with pycharm(Mode.CONNECT) as ide:
        ide.set(project / "app.py", MODULE_LINE)
        ide.set(project / "app.py", HANDLER_LINE)
        server = ("--pycharm-server", f"127.0.0.1:{ide.port}")
        with launched(*server, *APP, cwd=project) as launch:
            check_reloads(ide, launch, requests, 3)
            assert len(ide.processes) == 3, "the launcher itself is not debugged"


def test_python_debug_server_shows_the_output(project: Path) -> None:
    save(project / "app.py", "print('hello from the app')\n" + wsgi_app("one"))
    with pycharm(Mode.CONNECT) as ide:
        server = ("--pycharm-server", f"127.0.0.1:{ide.port}")
        with launched(*server, *APP, cwd=project) as launch:
            launch.wait_for("^hello from the app")
            said = ide.main.commands
            wait_until(lambda: any("hello" in text for number, text in said if number == 116))


def test_python_debug_server_that_is_not_there(project: Path) -> None:
    with pycharm(Mode.CONNECT) as ide:
        port = ide.port
    with launched("--pycharm-server", f"127.0.0.1:{port}", *APP, cwd=project) as launch:
        launch.wait_served("one")
        launch.wait_for(f'(?s)127.0.0.1:{port}: Connection refused.*"Python Debug Server"')
        assert "Traceback" not in launch.text


def test_python_debug_server_that_does_not_answer(project: Path) -> None:
    with pycharm(Mode.CONNECT, answers=False) as ide:
        server = ("--pycharm-server", f"127.0.0.1:{ide.port}")
        with launched(*server, *APP, cwd=project) as launch:
            launch.wait_for("PyCharm does not answer")
            launch.wait_served("one")


def test_python_debug_server_without_the_package(project: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    words = ("--python", str(bare / "bin" / "python"), "--pycharm-server", "1", "app.py")
    save(project / "app.py", "print('it runs', flush=True)\n")
    with launched(*words, cwd=project) as launch:
        launch.wait_for("it runs")
        launch.wait_for(r"(?s)No module named 'pydevd_pycharm'.*pip install pydevd-pycharm~=")
