"""Which debugger is at work: the pure function by a table, and the real debuggers."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.adapter import Adapter
from support.dap import DapClient
from support.interpreters import launchers
from support.launch import free_port
from support.pycharm import Mode, pycharm
from support.wait import wait_until

import devlaunch
from devlaunch.config import Config, Target, TargetKind
from devlaunch.core.detection import (
    DebuggerKind,
    Detection,
    Pydevd,
    Snapshot,
    Way,
    detect,
    way,
)
from devlaunch.core.invocation import Invocation, Running, invocation, runs_again

Kind = DebuggerKind

# --- the pure function --------------------------------------------------------------------------

VENDORED = "/venv/lib/debugpy/_vendored/pydevd/pydevd.py"
SETTRACE = {"client": "127.0.0.1", "port": 4711, "server": False, "multiprocess": True}
OF_COMMAND_LINE = {**SETTRACE, "file": "app.py", "multiproc": False, "multiprocess": False}


def under_debugpy(**more: Any) -> Snapshot:
    return Snapshot(Pydevd(**{"file": VENDORED, "has_debugger": True, "setup": SETTRACE, **more}))


def under_pycharm(setup: dict[str, Any], **more: Any) -> Snapshot:
    pydevd = Pydevd("/x/pydevd.py", has_debugger=True, is_pycharms=True, setup=setup, **more)
    return Snapshot(pydevd)


def by_hand(setup: dict[str, Any]) -> Snapshot:
    return Snapshot(Pydevd("/eclipse/pydevd.py", has_debugger=True, setup=setup))


FOLLOWED = {**OF_COMMAND_LINE, "multiprocess": True}
NOTHING = (Way.NONE, Way.LISTEN)
TABLE = {  # what it is, and the ways without an option and with --debug-attach
    "nothing": (Snapshot(), Kind.NONE, NOTHING),
    "debugpy": (under_debugpy(), Kind.DEBUGPY, (Way.JOIN, Way.JOIN)),
    "debugpy, on Windows": (
        under_debugpy(file=VENDORED.replace("/", "\\")), Kind.DEBUGPY, (Way.JOIN, Way.JOIN),
    ),
    "debugpy that leaves processes alone": (
        under_debugpy(setup=OF_COMMAND_LINE), Kind.DEBUGPY, (Way.JOIN, Way.JOIN),
    ),
    "debugpy without an adapter": (under_debugpy(speaks_dap=True), Kind.DEBUGPY, NOTHING),
    "debugpy that has only been imported": (
        under_debugpy(has_debugger=False, setup=None), Kind.NONE, NOTHING,
    ),
    "debugpy that has let go": (
        dataclasses.replace(
            under_debugpy(has_debugger=False),
            tracers=("_pydevd_bundle.pydevd_cython.ThreadTracer", "pydevd"),
        ), Kind.NONE, NOTHING,
    ),
    "PyCharm --multiproc": (
        under_pycharm({**OF_COMMAND_LINE, "multiproc": True}),
        Kind.PYCHARM, (Way.PYCHARM, Way.PYCHARM),
    ),
    "PyCharm --multiprocess": (under_pycharm(FOLLOWED), Kind.PYCHARM, (Way.PYCHARM, Way.PYCHARM)),
    "PyCharm alone": (
        under_pycharm(OF_COMMAND_LINE), Kind.PYCHARM, (Way.NONE, Way.PYCHARM_ELSE_LISTEN),
    ),
    "PyCharm by pid": (
        under_pycharm(SETTRACE, was_injected=True), Kind.PYCHARM, (Way.PYCHARM, Way.PYCHARM),
    ),
    "PyCharm's settrace": (under_pycharm(SETTRACE), Kind.OTHER, NOTHING),
    "a pydevd of nobody's": (by_hand(FOLLOWED), Kind.OTHER, NOTHING),
    "its settrace": (by_hand(SETTRACE), Kind.OTHER, NOTHING),
    "another tracer": (Snapshot(tracers=("pdb.Pdb",)), Kind.OTHER, NOTHING),
    "another tracer beside what pydevd has left": (
        Snapshot(tracers=("pydevd", "mine")), Kind.OTHER, NOTHING,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("snapshot", "kind", "ways"), TABLE.values(), ids=TABLE)
def test_table(snapshot: Snapshot, kind: DebuggerKind, ways: tuple[Way, Way]) -> None:
    found = detect(snapshot)
    assert found.kind is kind
    assert bool(found) is (kind is not Kind.NONE)
    assert bool(found.tracer) is (kind is Kind.OTHER)
    target = Target(TargetKind.APP, "app:app")
    configs = [Config(target, debug_attach=each) for each in (None, True, False)]
    assert tuple(way(config, found) for config in configs) == (*ways, Way.NONE)
    server = Config(target, pycharm_server=("localhost", 1))
    assert way(server, found) is Way.SETTRACE


def test_the_table_has_every_kind_and_way() -> None:
    assert {kind for _, kind, _ in TABLE.values()} == set(Kind)
    assert {each for _, _, ways in TABLE.values() for each in ways} == set(Way) - {Way.SETTRACE}


def test_what_the_setup_says_is_carried_on() -> None:
    tokens = {"access-token": "s3cret", "client-access-token": "s3cret too", "multiprocess": False}
    snapshot = under_debugpy(setup={**SETTRACE, **tokens})
    found = detect(snapshot)
    assert (found.host, found.port) == ("127.0.0.1", 4711)
    assert (found.access_token, found.client_access_token) == ("s3cret", "s3cret too")
    assert not found.follows_children
    assert "s3cret" not in repr(snapshot) + repr(found)
    assert found.setup == {**SETTRACE, **tokens}
    # A copy, of a type that all can handle.
    assert json.loads(json.dumps(dataclasses.asdict(found)))["setup"] == found.setup
    found.setup["port"] = 1  # type: ignore[index]
    assert SETTRACE["port"] == 4711


def test_a_detection_is_frozen_and_hashable() -> None:
    found = detect(TABLE["PyCharm alone"][0])
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.port = 1  # type: ignore[misc]
    assert len({found, dataclasses.replace(found)}) == 1


INVOCATIONS = {
    ("app.py", "-m", "x"): Invocation("app.py", rest=("-m", "x")),
    ("-m", "pdb", "app.py"): Invocation("pdb", True, ("app.py",)),
    ("-Imdebugpy.__main__", "a"): Invocation("debugpy.__main__", True, ("a",)),
    ("-Xfoo", "-W", "error", "-Es", "app.py"): Invocation("app.py"),
    ("-Wc", "app.py"): Invocation("app.py"),
    ("--check-hash-based-pycs", "never", "app.py"): Invocation("app.py"),
    ("-c", "print(1)", "x"): Invocation("-c", rest=("x",)),
    ("-ic", "print(1)"): Invocation("-c"),
    ("-", "x"): Invocation("-", rest=("x",)),
    ("-u", "--", "-x.py", "y"): Invocation("-x.py", rest=("y",)),
    ("-u", "--"): Invocation(),
    (): Invocation(),
    ("-m",): Invocation("", True),
    ("-X",): Invocation(),
}


@pytest.mark.parametrize(("words", "expected"), INVOCATIONS.items(), ids=str)
def test_invocation(words: tuple[str, ...], expected: Invocation) -> None:
    assert invocation(("python", *words)) == expected


AGAIN: list[tuple[Target, str, bool]] = [
    (Target(TargetKind.SCRIPT, "job.py", ("x", "y")), "job.py x y", True),
    (Target(TargetKind.SCRIPT, "job.py", ("--dev", "x")), "-X dev /p/job.py x", True),
    (Target(TargetKind.SCRIPT, "job.py", ("x",)), "-m job x", True),
    (Target(TargetKind.SCRIPT, "/p/tool", ()), "tool/__main__.py", True),
    (Target(TargetKind.MODULE, "tool.cli", ("x",)), "-m tool.cli x", True),
    (Target(TargetKind.MODULE, "tool", ()), "/lib/site/tool/__main__.py", True),
    (Target(TargetKind.COMMAND, "tool", ("serve", "--reload")), "/venv/bin/tool serve", True),
    (Target(TargetKind.COMMAND, "tool", ("serve",)), "-m tool serve", True),
    (Target(TargetKind.COMMAND, "python3", ("-u", "job.py", "x")), "job.py x", True),
    (Target(TargetKind.SCRIPT, "job.py", ("x",)), "/d/pydevd.py --port 1 --file /p/job.py x", True),
    (
        Target(TargetKind.MODULE, "tool", ("x",)),
        "/d/pydevd.py --port 1 --module --file tool x",
        True,
    ),
    # another task of the same program, another program of the same name, a tool that reads it
    (Target(TargetKind.SCRIPT, "manage.py", ("web",)), "manage.py worker", False),
    (Target(TargetKind.SCRIPT, "main.py", ()), "main.py x", False),
    (Target(TargetKind.SCRIPT, "main.py", ()), "services/a/main.py", False),
    (Target(TargetKind.SCRIPT, "main.py", ()), "-m services.main", False),
    (Target(TargetKind.SCRIPT, "job.py", ()), "-m mypy job.py", False),
    (Target(TargetKind.COMMAND, "run", ("job.py", "x")), "job.py x", False),
    (Target(TargetKind.COMMAND, "python", ("-c", "code")), "-c code", False),
    (
        Target(TargetKind.SCRIPT, "job.py", ()),
        "-c from_multiprocessing --multiprocessing-fork",
        False,
    ),
    (Target(TargetKind.APP, "job:app"), "job.py", False),
    (Target(TargetKind.SCRIPT, "job.py", ()), "", False),
]


@pytest.mark.parametrize(("target", "line", "expected"), AGAIN, ids=str)
def test_what_runs_the_target_again(target: Target, line: str, expected: bool) -> None:
    process = Running(("python", *line.split()), "/p")
    assert runs_again(target, "/p", process) == expected


def test_a_script_of_the_same_name_elsewhere_is_another_one() -> None:
    process = Running(("python", "main.py"), "/p/services/a")
    assert not runs_again(Target(TargetKind.SCRIPT, "main.py"), "/p", process)


# --- the real ones ------------------------------------------------------------------------------

PROBE = """
import dataclasses, json, os, sys
loaded = set(sys.modules)
import devlaunch
found = devlaunch.detect()
added = {name.partition(".")[0] for name in set(sys.modules) - loaded}
with open(os.environ["PROBE_ANSWER"] + ".part", "w") as file:
    json.dump({
        "pid": os.getpid(), "repr": repr(found), "setup": dict(found.setup),
        "added": sorted(added), "tokens": [found.access_token, found.client_access_token],
        **{f.name: getattr(found, f.name) for f in dataclasses.fields(found) if f.name != "setup"},
    }, file)
os.rename(os.environ["PROBE_ANSWER"] + ".part", os.environ["PROBE_ANSWER"])
if "PROBE_STAYS" in os.environ:  # its end would end the session before we do
    __import__("time").sleep(600)
"""


class Probe:
    """A program that writes down what `devlaunch.detect()` says in it."""

    def __init__(self, directory: Path, python: str) -> None:
        self.python = python
        self.script = directory / "probe.py"
        self.answer = directory / "answer.json"
        self.script.write_text(PROBE)
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("COV_", "COVERAGE_"))},
            "PROBE_ANSWER": str(self.answer),
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        }
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [self.python, *words], env=self.env, start_new_session=True, cwd=self.script.parent,
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, **options,
        )  # fmt: skip
        self._processes.append(process)
        return process

    def run(self, *words: str, keys: str = "") -> dict[str, Any]:
        self.start(*words, stderr=subprocess.DEVNULL).communicate(keys.encode(), timeout=30)
        return self.found()

    def found(self) -> dict[str, Any]:
        wait_until(self.answer.exists, timeout=30, what="the probe's answer")
        answer: dict[str, Any] = json.loads(self.answer.read_text())
        assert not any(token in answer["repr"] for token in answer["tokens"] if token)
        return answer

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            if process.stdin:
                process.stdin.close()
            process.wait(10)


@pytest.fixture(params=launchers())
def probe(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Probe]:
    probe = Probe(tmp_path, request.param)
    try:
        yield probe
    finally:
        probe.close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Probe]:
    """A probe run by this Python only, which has the packages of the tests."""
    probe = Probe(tmp_path, sys.executable)
    try:
        yield probe
    finally:
        probe.close()


def expect(found: dict[str, Any], kind: DebuggerKind) -> None:
    assert found["kind"] == kind, found["repr"]


def test_the_api_is_the_same_function() -> None:
    assert isinstance(devlaunch.detect(), Detection)
    assert "detect" in devlaunch.__all__


def test_nothing_and_no_debugger_is_imported(probe: Probe) -> None:
    found = probe.run("probe.py")
    expect(found, Kind.NONE)
    assert not {"debugpy", "pydevd", "pdb", "coverage"}.intersection(found["added"])


def test_debugpy_listens(probe: Probe) -> None:
    found = probe.run("-m", "debugpy", "--listen", "127.0.0.1:0", "probe.py")
    expect(found, Kind.DEBUGPY)
    assert found["has_adapter"]
    assert found["follows_children"]
    assert found["access_token"]
    assert found["port"]


def test_debugpy_listens_with_a_client(probe: Probe, tmp_path: Path) -> None:
    endpoints = tmp_path / "endpoints.json"
    probe.env["DEBUGPY_ADAPTER_ENDPOINTS"] = str(endpoints)
    probe.start("-m", "debugpy", "--listen", "127.0.0.1:0", "--wait-for-client", "probe.py")
    wait_until(lambda: endpoints.exists() and endpoints.read_text(), what="endpoints")
    client = json.loads(endpoints.read_text())["client"]
    with DapClient(client["host"], client["port"]) as ide:
        ide.attach(justMyCode=True)
        found = probe.found()
    expect(found, Kind.DEBUGPY)


def test_the_program_listens(probe: Probe) -> None:
    found = probe.run("-c", "import debugpy; debugpy.listen(0); exec(open('probe.py').read())")
    expect(found, Kind.DEBUGPY)


def test_debugpy_without_adapter(probe: Probe) -> None:
    code = "import debugpy; debugpy.listen(0, in_process_debug_adapter=True)"
    found = probe.run("-c", f"{code}; exec(open('probe.py').read())")
    expect(found, Kind.DEBUGPY)
    assert not found["has_adapter"]


def test_debugpy_that_is_only_imported(probe: Probe) -> None:
    found = probe.run("-c", "import debugpy.server.api, pdb; exec(open('probe.py').read())")
    expect(found, Kind.NONE)


@pytest.mark.parametrize("follow", [True, False])
def test_launched_by_the_adapter(probe: Probe, follow: bool) -> None:
    probe.env["PROBE_STAYS"] = "1"
    with Adapter(probe.python, probe.env) as ide:
        ide.launch(program=str(probe.script), subProcess=follow)
        found = probe.found()
        ide.finish()
    expect(found, Kind.DEBUGPY)
    assert found["follows_children"] is follow
    assert found["client_access_token"]


def test_a_subprocess_of_a_debugged_program(probe: Probe, tmp_path: Path) -> None:
    probe.env["PROBE_STAYS"] = "1"
    parent = tmp_path / "parent.py"
    parent.write_text("import subprocess, sys\nsubprocess.call([sys.executable, 'probe.py'])\n")
    with Adapter(probe.python, probe.env) as ide:
        ide.launch(program=str(parent), subProcess=True, cwd=str(tmp_path))
        child = ide.client.wait_event("debugpyAttach")
        with DapClient("127.0.0.1", child["connect"]["port"]) as second:
            second.attach(**child)
            found = probe.found()
        ide.finish()
    expect(found, Kind.DEBUGPY)


def test_debugpy_connects(own: Probe) -> None:
    own.env["PROBE_STAYS"] = "1"
    with Adapter(own.python, own.env) as ide:
        ide.send_attach(listen={"host": "127.0.0.1", "port": 0})
        port = ide.client.wait_event("debugpyWaitingForServer")["port"]
        own.start("-m", "debugpy", "--connect", f"127.0.0.1:{port}", "probe.py")
        ide.configure()
        found = own.found()
        ide.finish()
    expect(found, Kind.DEBUGPY)


WAITING = """
import time, devlaunch
while not devlaunch.detect():
    try:
        time.sleep(0.02)
    except OSError:
        pass  # gdb stopped us in it
exec(open("probe.py").read())
"""

INJECTED = """
import os, sys, debugpy
sys.path.insert(0, os.path.join(os.path.dirname(debugpy.__file__), "server"))
import attach_pid_injected
del sys.path[0]
attach_pid_injected.attach({"mode": "listen", "address": ["127.0.0.1", 0], "log_to": None})
exec(open("probe.py").read())
"""


def test_debugpy_attaches_by_pid(own: Probe) -> None:
    if not (shutil.which("gdb") or hasattr(sys, "remote_exec")):
        pytest.skip("debugpy --pid needs gdb")
    debuggee = own.start("-c", WAITING)
    words = [own.python, "-m", "debugpy", "--listen", "127.0.0.1:0", "--pid", str(debuggee.pid)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode and "gdb" in done.stderr:
        pytest.skip("gdb cannot inject here")
    found = own.found()
    expect(found, Kind.DEBUGPY)
    assert found["has_adapter"]


def test_what_debugpy_injects(probe: Probe) -> None:
    found = probe.run("-c", INJECTED)
    expect(found, Kind.DEBUGPY)
    assert found["has_adapter"]


# --- PyCharm's

PYDEVD = str(Path(importlib.metadata.distribution("pydevd-pycharm").locate_file("pydevd.py")))


@pytest.mark.parametrize("mode", list(Mode))
def test_pycharm(own: Probe, mode: Mode) -> None:
    flags = [mode.value] if mode.value else []
    with pycharm(mode) as ide:
        found = own.run(
            PYDEVD, *flags, "--client", "127.0.0.1", "--port", str(ide.port),
            "--file", "probe.py",
        )  # fmt: skip
        assert (found["host"], found["port"]) == ("127.0.0.1", ide.port)
    expect(found, Kind.PYCHARM)
    assert found["follows_children"] is bool(mode.value)
    assert found["setup"]["file"] == "probe.py"


@pytest.mark.parametrize("follow", [True, False])
def test_pycharms_debug_server(own: Probe, follow: bool) -> None:
    with pycharm(Mode.CONNECT) as ide:
        call = f"settrace('127.0.0.1', port={ide.port}, suspend=False"
        found = own.run(
            "-c", f"import pydevd_pycharm; pydevd_pycharm.{call}, patch_multiprocessing={follow});"
            "exec(open('probe.py').read())",
        )  # fmt: skip
        assert found["port"] == ide.port
    expect(found, Kind.OTHER)
    assert found["tracer"] == "pydevd"
    assert found["follows_children"] is follow


def test_a_debug_server_that_was_not_there(own: Probe) -> None:
    call = f"pydevd_pycharm.settrace('127.0.0.1', port={free_port()}, suspend=False)"
    code = f"""
import pydevd_pycharm
try:
    {call}
except BaseException:
    pass
exec(open('probe.py').read())
"""
    expect(own.run("-c", code), Kind.NONE)


# --- other tracers


def test_pdb_that_steps(probe: Probe) -> None:
    code = "import pdb; pdb.set_trace()\nexec(open('probe.py').read())\n"
    probe.script.with_name("steps.py").write_text(code)
    found = probe.run("steps.py", keys="next\n" * 5 + "continue\n")
    expect(found, Kind.OTHER)
    assert found["tracer"] in ("pdb.Pdb", "bdbtracer")


def test_pdb_that_was_told_to_go_on(probe: Probe) -> None:
    code = "import pdb; pdb.set_trace()\nexec(open('probe.py').read())\n"
    probe.script.with_name("steps.py").write_text(code)
    expect(probe.run("steps.py", keys="continue\n"), Kind.NONE)


def test_an_unknown_tracer(probe: Probe) -> None:
    code = "import sys; sys.settrace(lambda *args: None); exec(open('probe.py').read())"
    found = probe.run("-c", code)
    expect(found, Kind.OTHER)
    assert "lambda" in found["tracer"]


def test_a_tool_that_says_it_is_a_debugger(probe: Probe) -> None:
    version = subprocess.run([probe.python, "-V"], capture_output=True, text=True, check=True)
    if "3.11" in version.stdout:
        pytest.skip("sys.monitoring came with 3.12")
    code = "import sys; sys.monitoring.use_tool_id(0, 'mine'); exec(open('probe.py').read())"
    found = probe.run("-c", code)
    expect(found, Kind.OTHER)
    assert found["tracer"] == "mine"


def test_the_snapshot_does_little() -> None:
    devlaunch.detect()  # whatever is imported, and cached, at the first time
    calls: list[str] = []
    sys.setprofile(lambda frame, event, argument: calls.append(event))
    try:
        devlaunch.detect()
    finally:
        sys.setprofile(None)
    assert 0 < len(calls) < 200
