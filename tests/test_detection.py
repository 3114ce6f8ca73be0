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
import timeit
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import coverage
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
    JOINS,
    TAKES_ALONG,
    DebuggerKind,
    Debugpy,
    Detection,
    Hook,
    Origin,
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
BY_DEBUGPY = Pydevd(VENDORED, has_debugger=True, is_client_attached=True, setup=SETTRACE)
LISTENS = Debugpy("1.8.22", has_listened=True, has_adapter=True)
CONNECTS = Debugpy("1.8.22")
OF_COMMAND_LINE = {**SETTRACE, "file": "app.py", "multiproc": False, "multiprocess": False}
PDB = Hook("bdb", "Bdb.trace_dispatch", ("pdb.Pdb", "bdb.Bdb", "cmd.Cmd"))
OF_PYDEVD = Hook("_pydevd_bundle.pydevd_cython", "ThreadTracer")
OF_COVERAGE = Hook("coverage", "CTracer")


def under_debugpy(
    *argv: str, debugpy: Debugpy | None = CONNECTS, setup: dict[str, Any] | None = None, **more: Any
) -> Snapshot:
    pydevd = dataclasses.replace(BY_DEBUGPY, setup={**SETTRACE, **(setup or {})})
    return Snapshot(argv=("python", *argv), pydevd=pydevd, debugpy=debugpy, **more)


def under_pycharm(setup: dict[str, Any], **more: Any) -> Snapshot:
    pydevd = Pydevd("/pycharm/pydevd.py", has_debugger=True, is_pycharms=True, setup=setup)
    return Snapshot(pydevd=pydevd, **more)


def under_pydev(setup: dict[str, Any], **more: Any) -> Snapshot:
    return Snapshot(pydevd=Pydevd("/eclipse/pydevd.py", has_debugger=True, setup=setup), **more)


TABLE = {
    "nothing": (Snapshot(argv=("python", "app.py")), Kind.NONE, Origin.NONE),
    "launched, by its parent": (
        under_debugpy(
            "-X", "frozen_modules=off", "/x/debugpy", "--connect", "127.0.0.1:1", "app.py",
            parent=("python", "/x/debugpy/adapter/../../debugpy/launcher", "4711", "--", "app.py"),
        ), Kind.DEBUGPY, Origin.LAUNCHED,
    ),
    "launched, the parent unknown": (
        under_debugpy(
            r"C:\x\debugpy", "--connect", "127.0.0.1:1", "--configure-qt", "none", "app.py"
        ), Kind.DEBUGPY, Origin.LAUNCHED,
    ),
    "debugpy --connect by hand": (
        under_debugpy("-m", "debugpy", "--connect", "5678", "app.py", parent=("bash",)),
        Kind.DEBUGPY, Origin.CONNECTED,
    ),
    "the console script": (
        under_debugpy("/venv/bin/debugpy", "--connect", "5678", "app.py"),
        Kind.DEBUGPY, Origin.CONNECTED,
    ),
    "debugpy.connect()": (under_debugpy("app.py"), Kind.DEBUGPY, Origin.CONNECTED),
    "debugpy --listen": (
        under_debugpy("-Xfrozen_modules=off", "-mdebugpy", "--listen", "5678", debugpy=LISTENS),
        Kind.DEBUGPY, Origin.LISTENING,
    ),
    "debugpy.listen()": (under_debugpy("app.py", debugpy=LISTENS), Kind.DEBUGPY, Origin.LISTENING),
    "no-config": (
        under_debugpy(
            "/vscode/debugpy", "--listen", "0", "--wait-for-client", "app.py", debugpy=LISTENS,
            environ={"DEBUGPY_ADAPTER_ENDPOINTS": "/tmp/x"},
        ), Kind.DEBUGPY, Origin.NO_CONFIG,
    ),
    "by pid": (
        under_debugpy("app.py", debugpy=LISTENS, modules=frozenset({"attach_pid_injected"})),
        Kind.DEBUGPY, Origin.ATTACHED,
    ),
    "of a debugged parent": (
        under_debugpy(VENDORED, "--ppid", "12", debugpy=None, setup={"ppid": 12}),
        Kind.DEBUGPY, Origin.SUBPROCESS,
    ),
    "debugpy that has only been imported": (
        Snapshot(pydevd=Pydevd(VENDORED, has_debugger=False, setup=None), debugpy=CONNECTS),
        Kind.NONE, Origin.NONE,
    ),
    "debugpy that has let go": (
        Snapshot(pydevd=dataclasses.replace(BY_DEBUGPY, has_debugger=False), trace=OF_PYDEVD),
        Kind.NONE, Origin.NONE,
    ),
    "PyCharm --multiproc": (
        under_pycharm({**OF_COMMAND_LINE, "multiproc": True}), Kind.PYCHARM, Origin.LAUNCHED,
    ),
    "PyCharm --multiprocess": (
        under_pycharm({**OF_COMMAND_LINE, "multiprocess": True}), Kind.PYCHARM, Origin.LAUNCHED,
    ),
    "PyCharm alone": (under_pycharm(OF_COMMAND_LINE), Kind.PYCHARM, Origin.LAUNCHED),
    "PyCharm by pid": (
        under_pycharm(SETTRACE, modules=frozenset({"attach_script"})),
        Kind.PYCHARM, Origin.ATTACHED,
    ),
    "PyCharm's settrace": (under_pycharm(SETTRACE), Kind.PYCHARM_SERVER, Origin.CONNECTED),
    "PyCharm's debugpy engine": (
        under_debugpy(
            "/x/debugpy", "--connect", "1", parent=("/x/debugpy/launcher",),
            environ={"PYCHARM_HOSTED": "1"},
        ), Kind.DEBUGPY, Origin.LAUNCHED,
    ),
    "PyDev": (under_pydev(OF_COMMAND_LINE), Kind.PYDEV, Origin.LAUNCHED),
    "PyDev's settrace": (under_pydev(SETTRACE), Kind.PYDEV, Origin.CONNECTED),
    "PyDev by pid": (
        under_pydev(SETTRACE, modules=frozenset({"attach_script"})), Kind.PYDEV, Origin.ATTACHED,
    ),
    "PyCharm's Run": (Snapshot(environ={"PYCHARM_HOSTED": "1"}), Kind.NONE, Origin.NONE),
    "left-over variables": (
        Snapshot(environ={"DEBUGPY_RUNNING": "true", "DEBUGPY_ADAPTER_ENDPOINTS": "/x"}),
        Kind.NONE, Origin.NONE,
    ),
    "pdb.set_trace()": (Snapshot(trace=PDB), Kind.BDB, Origin.HOOKED),
    "python -m pdb, after its continue": (
        Snapshot(argv=("python", "-m", "pdb", "app.py"), modules=frozenset({"pdb", "bdb"})),
        Kind.BDB, Origin.LAUNCHED,
    ),
    "ipdb3": (
        Snapshot(argv=("python", "/bin/ipdb3", "app.py"), modules=frozenset({"ipdb", "bdb"})),
        Kind.BDB, Origin.LAUNCHED,
    ),
    "a debugger made with bdb": (
        Snapshot(trace=Hook("bdb", "Bdb.trace_dispatch", ("pudb.debugger.Debugger", "bdb.Bdb"))),
        Kind.BDB, Origin.HOOKED,
    ),
    "bdb in CPython 3.14": (Snapshot(tools={0: "bdbtracer"}), Kind.BDB, Origin.HOOKED),
    "pdb that has only been imported": (
        Snapshot(argv=("python", "app.py"), modules=frozenset({"pdb", "bdb"})),
        Kind.NONE, Origin.NONE,
    ),
    "a script called pdb.py": (
        Snapshot(argv=("python", "pdb.py"), modules=frozenset()), Kind.NONE, Origin.NONE,
    ),
    "an unknown tracer": (Snapshot(trace=Hook("mine", "trace")), Kind.TRACER, Origin.HOOKED),
    "an unknown tracer of threads": (
        Snapshot(threading_trace=Hook("mine", "trace")), Kind.TRACER, Origin.HOOKED,
    ),
    "an unknown debugger in sys.monitoring": (
        Snapshot(tools={0: "mine"}), Kind.TRACER, Origin.HOOKED,
    ),
    "an unknown tracer beside coverage": (
        Snapshot(trace=OF_COVERAGE, threading_trace=Hook("mine", "trace")),
        Kind.TRACER, Origin.HOOKED,
    ),
    "debugpy under pdb": (
        dataclasses.replace(under_debugpy("app.py"), trace=PDB), Kind.DEBUGPY, Origin.CONNECTED,
    ),
    "pdb beside coverage": (Snapshot(trace=PDB, tools={1: "coverage"}), Kind.BDB, Origin.HOOKED),
}  # fmt: skip


@pytest.mark.parametrize(("snapshot", "kind", "origin"), TABLE.values(), ids=TABLE)
def test_table(snapshot: Snapshot, kind: DebuggerKind, origin: Origin) -> None:
    found = detect(snapshot)
    assert (found.kind, found.origin) == (kind, origin), found.why
    assert bool(found) is (kind is not Kind.NONE)
    assert found.name
    assert found.why
    assert all(found.why)
    assert found.action


def test_every_kind_and_origin_is_in_the_table() -> None:
    assert {kind for _, kind, _ in TABLE.values()} == set(Kind)
    assert {origin for _, _, origin in TABLE.values()} == set(Origin)


OBSERVERS: dict[str, tuple[Snapshot, tuple[str, ...]]] = {
    "coverage, C": (Snapshot(trace=OF_COVERAGE), ("coverage",)),
    "coverage, Python": (
        Snapshot(
            trace=Hook("coverage.pytracer", "PyTracer._trace", ("coverage.pytracer.PyTracer",))
        ),
        ("coverage",),
    ),
    "coverage, sys.monitoring": (Snapshot(tools={1: "coverage.py"}), ("coverage",)),
    "cProfile of 3.11": (Snapshot(profile=Hook("cProfile", "Profile")), ("cProfile",)),
    "cProfile of 3.12": (Snapshot(tools={2: "cProfile"}), ("cProfile",)),
    "python -m cProfile of 3.11": (
        Snapshot(argv=("python", "-m", "cProfile"), profile=Hook("__main__", "Profile")),
        ("cProfile",),
    ),
    "python -m trace": (
        Snapshot(
            argv=("python", "-m", "trace"),
            trace=Hook("__main__", "Trace.globaltrace_lt", ("__main__.Trace",)),
        ),
        ("trace",),
    ),
    "yappi": (
        Snapshot(threading_profile=Hook("yappi", "_profile_thread_callback")), ("yappi",),
    ),
    "viztracer as debugger": (Snapshot(tools={0: "viztracer"}), ("viztracer",)),
    "two": (Snapshot(trace=OF_COVERAGE, tools={2: "cProfile"}), ("cProfile", "coverage")),
    "a profiler nobody knows": (Snapshot(profile=Hook("mine.deep", "hook")), ("mine",)),
}  # fmt: skip


@pytest.mark.parametrize(("snapshot", "names"), OBSERVERS.values(), ids=OBSERVERS)
def test_observers_are_no_debuggers(snapshot: Snapshot, names: tuple[str, ...]) -> None:
    found = detect(snapshot)
    assert (found.kind, found.observers) == (Kind.NONE, names)
    assert found.why[0] == f"{' and '.join(names)} only observe{'s' if len(names) == 1 else ''}"


def test_observers_are_told_beside_a_debugger_whose_own_hooks_are_none() -> None:
    snapshot = dataclasses.replace(
        under_debugpy("app.py"), trace=OF_PYDEVD, profile=Hook("cProfile", "Profile"),
        tools={0: "pydevd", 1: "coverage"},
    )  # fmt: skip
    assert detect(snapshot).observers == ("cProfile", "coverage")


def test_what_the_setup_says_is_carried_on() -> None:
    setup = {"access-token": "s3cret", "client-access-token": "s3cret too", "multiprocess": False}
    found = detect(under_debugpy("app.py", setup=setup))
    assert (found.host, found.port) == ("127.0.0.1", 4711)
    assert (found.access_token, found.client_access_token) == ("s3cret", "s3cret too")
    assert not found.follows_children
    assert "subProcess" in " ".join(found.why)
    assert found.setup == {**SETTRACE, **setup}
    # A copy, of a type that all can handle.
    assert json.loads(json.dumps(dataclasses.asdict(found)))["setup"] == found.setup
    found.setup["port"] = 1  # type: ignore[index]
    assert SETTRACE["port"] == 4711


@pytest.mark.parametrize("flag", ["multiproc", "multiprocess"])
def test_pycharms_flag_is_named(flag: str) -> None:
    found = detect(under_pycharm({**OF_COMMAND_LINE, flag: True}))
    assert found.follows_children
    assert f"--{flag}: " in " ".join(found.why)


def of_debugpy(setup: dict[str, Any]) -> Snapshot:
    return under_debugpy("app.py", setup=setup)


def test_debugpy_is_joined_whatever_it_does_with_processes() -> None:
    found = detect(of_debugpy(OF_COMMAND_LINE))
    assert not found.follows_children
    assert found.action == JOINS


OF_DEBUGPY = Detection(Kind.DEBUGPY, has_adapter=True)
FOLLOWS = Detection(Kind.PYCHARM, follows_children=True)
WAYS = {  # by what, and --debug-attach: not given, on, off
    "nothing": (Detection(), (Way.NONE, Way.LISTEN, Way.NONE)),
    "pdb": (Detection(Kind.BDB), (Way.NONE, Way.LISTEN, Way.NONE)),
    "debugpy": (OF_DEBUGPY, (Way.JOIN, Way.JOIN, Way.NONE)),
    "debugpy alone": (Detection(Kind.DEBUGPY, follows_children=True),
                      (Way.NONE, Way.LISTEN, Way.NONE)),
    "PyCharm": (Detection(Kind.PYCHARM), (Way.NONE, Way.PYCHARM_ELSE_LISTEN, Way.NONE)),
    "PyCharm that follows": (FOLLOWS, (Way.PYCHARM, Way.PYCHARM, Way.NONE)),
    "PyDev": (Detection(Kind.PYDEV), (Way.NONE, Way.PYCHARM_ELSE_LISTEN, Way.NONE)),
    "PyDev that follows": (
        dataclasses.replace(FOLLOWS, kind=Kind.PYDEV), (Way.PYCHARM, Way.PYCHARM, Way.NONE),
    ),
    "settrace": (
        dataclasses.replace(FOLLOWS, kind=Kind.PYCHARM_SERVER), (Way.NONE, Way.LISTEN, Way.NONE),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("detection", "ways"), WAYS.values(), ids=WAYS)
def test_way(detection: Detection, ways: tuple[Way, ...]) -> None:
    target = Target(TargetKind.APP, "app:app")
    configs = [Config(target, debug_attach=each) for each in (None, True, False)]
    assert tuple(way(config, detection) for config in configs) == ways
    server = Config(target, pycharm_server=("localhost", 1))
    assert way(server, detection) is Way.SETTRACE


def test_the_table_has_every_way() -> None:
    assert {each for _, ways in WAYS.values() for each in ways} == set(Way) - {Way.SETTRACE}


@pytest.mark.parametrize("flag", ["multiproc", "multiprocess"])
@pytest.mark.parametrize("make", [under_pycharm, under_pydev])
def test_with_a_flag_children_are_taken_along(make: Any, flag: str) -> None:
    assert detect(make({**OF_COMMAND_LINE, flag: True})).action == TAKES_ALONG


@pytest.mark.parametrize("make", [under_pycharm, under_pydev])
def test_without_a_flag_children_are_not_followed(make: Any) -> None:
    found = detect(make(OF_COMMAND_LINE))
    assert not found.follows_children
    assert "leaves the app alone" in found.action


def test_debugpy_without_an_adapter_cannot_be_joined() -> None:
    alone = Debugpy("1.8.22", has_listened=True, has_adapter=False)
    assert not detect(under_debugpy("app.py", debugpy=alone)).has_adapter
    assert detect(under_debugpy("app.py", debugpy=LISTENS)).has_adapter
    assert detect(under_debugpy("app.py", debugpy=CONNECTS)).has_adapter
    assert detect(under_debugpy("app.py", debugpy=None)).has_adapter


def test_tokens_are_in_no_repr() -> None:
    setup = {"access-token": "s3cret", "client-access-token": "s3cret"}
    snapshot = under_debugpy(
        "-m", "debugpy", "--connect", "1", "--adapter-access-token", "s3cret", setup=setup,
        environ={"PASSWORD": "s3cret"}, parent=("x", "s3cret"),
    )  # fmt: skip
    found = detect(snapshot)
    for text in (repr(snapshot), repr(found), str(found), found.action, *found.why):
        assert "s3cret" not in text


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


def expect(found: dict[str, Any], kind: DebuggerKind, origin: Origin) -> None:
    assert (found["kind"], found["origin"]) == (kind, origin), found["why"]


def test_the_api_is_the_same_function() -> None:
    assert isinstance(devlaunch.detect(), Detection)
    assert "detect" in devlaunch.__all__


def test_nothing_and_no_debugger_is_imported(probe: Probe) -> None:
    found = probe.run("probe.py")
    expect(found, Kind.NONE, Origin.NONE)
    assert found["observers"] == []
    assert not {"debugpy", "pydevd", "pdb", "coverage"}.intersection(found["added"])


def test_debugpy_listens(probe: Probe) -> None:
    found = probe.run("-m", "debugpy", "--listen", "127.0.0.1:0", "probe.py")
    expect(found, Kind.DEBUGPY, Origin.LISTENING)
    assert (found["has_client"], found["has_adapter"]) == (False, True)
    assert found["follows_children"]
    assert found["access_token"]
    assert found["port"]
    assert found["why"][0] == "it was started by debugpy --listen 127.0.0.1:0"


def test_debugpy_listens_with_a_client(probe: Probe, tmp_path: Path) -> None:
    endpoints = tmp_path / "endpoints.json"
    probe.env["DEBUGPY_ADAPTER_ENDPOINTS"] = str(endpoints)
    probe.start("-m", "debugpy", "--listen", "127.0.0.1:0", "--wait-for-client", "probe.py")
    wait_until(lambda: endpoints.exists() and endpoints.read_text(), what="endpoints")
    client = json.loads(endpoints.read_text())["client"]
    with DapClient(client["host"], client["port"]) as ide:
        ide.attach(justMyCode=True)
        found = probe.found()
    # The file is also how VS Code's terminals are told.
    expect(found, Kind.DEBUGPY, Origin.NO_CONFIG)
    assert found["has_client"] is True


def test_the_program_listens(probe: Probe) -> None:
    found = probe.run("-c", "import debugpy; debugpy.listen(0); exec(open('probe.py').read())")
    expect(found, Kind.DEBUGPY, Origin.LISTENING)
    assert found["why"][0] == "the program called debugpy.listen()"


def test_debugpy_without_adapter(probe: Probe) -> None:
    code = "import debugpy; debugpy.listen(0, in_process_debug_adapter=True)"
    found = probe.run("-c", f"{code}; exec(open('probe.py').read())")
    expect(found, Kind.DEBUGPY, Origin.LISTENING)
    assert not found["has_adapter"]


def test_debugpy_that_is_only_imported(probe: Probe) -> None:
    found = probe.run("-c", "import debugpy.server.api, pdb; exec(open('probe.py').read())")
    expect(found, Kind.NONE, Origin.NONE)


@pytest.mark.parametrize("follow", [True, False])
def test_launched_by_the_adapter(probe: Probe, follow: bool) -> None:
    with Adapter(probe.python, probe.env) as ide:
        ide.launch(program=str(probe.script), subProcess=follow)
        found = probe.found()
        ide.finish()
    expect(found, Kind.DEBUGPY, Origin.LAUNCHED)
    assert found["has_client"] is True
    assert found["follows_children"] is follow
    assert found["client_access_token"]


def test_a_subprocess_of_a_debugged_program(probe: Probe, tmp_path: Path) -> None:
    parent = tmp_path / "parent.py"
    parent.write_text("import subprocess, sys\nsubprocess.call([sys.executable, 'probe.py'])\n")
    with Adapter(probe.python, probe.env) as ide:
        ide.launch(program=str(parent), subProcess=True, cwd=str(tmp_path))
        child = ide.client.wait_event("debugpyAttach")
        with DapClient("127.0.0.1", child["connect"]["port"]) as second:
            second.attach(**child)
            found = probe.found()
        ide.finish()
    expect(found, Kind.DEBUGPY, Origin.SUBPROCESS)


def test_debugpy_connects(own: Probe) -> None:
    with Adapter(own.python, own.env) as ide:
        ide.send_attach(listen={"host": "127.0.0.1", "port": 0})
        port = ide.client.wait_event("debugpyWaitingForServer")["port"]
        own.start("-m", "debugpy", "--connect", f"127.0.0.1:{port}", "probe.py")
        ide.configure()
        found = own.found()
        ide.finish()
    expect(found, Kind.DEBUGPY, Origin.CONNECTED)
    assert found["why"][0] == f"it was started by debugpy --connect 127.0.0.1:{port}"


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
    expect(found, Kind.DEBUGPY, Origin.ATTACHED)
    assert found["has_adapter"]


def test_what_debugpy_injects(probe: Probe) -> None:
    found = probe.run("-c", INJECTED)
    expect(found, Kind.DEBUGPY, Origin.ATTACHED)
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
    expect(found, Kind.PYCHARM, Origin.LAUNCHED)
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
        assert f"--pycharm-server 127.0.0.1:{ide.port}" in found["action"]
    expect(found, Kind.PYCHARM_SERVER, Origin.CONNECTED)
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
    expect(own.run("-c", code), Kind.NONE, Origin.NONE)


# --- debuggers of the terminal, and observers


def test_pdb_after_its_continue(probe: Probe) -> None:
    found = probe.run("-m", "pdb", "-c", "continue", "-c", "quit", "probe.py")
    expect(found, Kind.BDB, Origin.LAUNCHED)
    assert found["name"] == "pdb"


def test_pdb_that_steps(probe: Probe) -> None:
    code = "import pdb; pdb.set_trace()\nexec(open('probe.py').read())\n"
    probe.script.with_name("steps.py").write_text(code)
    found = probe.run("steps.py", keys="next\n" * 5 + "continue\n")
    expect(found, Kind.BDB, Origin.HOOKED)


def test_pdb_that_was_told_to_go_on(probe: Probe) -> None:
    code = "import pdb; pdb.set_trace()\nexec(open('probe.py').read())\n"
    probe.script.with_name("steps.py").write_text(code)
    expect(probe.run("steps.py", keys="continue\n"), Kind.NONE, Origin.NONE)


def test_an_unknown_tracer(probe: Probe) -> None:
    code = "import sys; sys.settrace(lambda *args: None); exec(open('probe.py').read())"
    found = probe.run("-c", code)
    expect(found, Kind.TRACER, Origin.HOOKED)
    assert "lambda" in found["name"]


def test_a_tool_that_says_it_is_a_debugger(probe: Probe) -> None:
    version = subprocess.run([probe.python, "-V"], capture_output=True, text=True, check=True)
    if "3.11" in version.stdout:
        pytest.skip("sys.monitoring came with 3.12")
    code = "import sys; sys.monitoring.use_tool_id(0, 'mine'); exec(open('probe.py').read())"
    found = probe.run("-c", code)
    expect(found, Kind.TRACER, Origin.HOOKED)
    assert found["name"] == "mine"


@pytest.mark.parametrize("module", ["cProfile", "profile", "trace"])
def test_observers_of_the_standard_library(probe: Probe, module: str, tmp_path: Path) -> None:
    options = ["--count", "-C", str(tmp_path)] if module == "trace" else ["-o", os.devnull]
    found = probe.run("-m", module, *options, "probe.py")
    expect(found, Kind.NONE, Origin.NONE)
    assert found["observers"] == [module]


@pytest.mark.parametrize("core", ["ctrace", "pytrace", "sysmon"])
def test_coverage(probe: Probe, core: str, tmp_path: Path) -> None:
    is_own = probe.python == sys.executable
    if core == "ctrace" and not is_own:
        pytest.skip("coverage's C tracer is built for one version")
    if core == "sysmon" and is_own and sys.version_info < (3, 12):
        pytest.skip("sys.monitoring came with 3.12")
    libraries = tmp_path / "libraries"
    libraries.mkdir()
    (libraries / "coverage").symlink_to(Path(coverage.__file__).parent)
    probe.env |= {"COVERAGE_CORE": core, "PYTHONPATH": str(libraries)}
    found = probe.run("-m", "coverage", "run", f"--data-file={tmp_path / 'data'}", "probe.py")
    expect(found, Kind.NONE, Origin.NONE)
    assert found["observers"] == ["coverage"]


def test_the_snapshot_is_quick() -> None:
    took = min(timeit.repeat(devlaunch.detect, number=1, repeat=20))
    assert took < 0.005
