"""`devlaunch doctor`, by the real command."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.interpreters import interpreters
from support.launch import free_port
from support.pty import Pty
from support.wait import wait_until

from devlaunch.config import Config, Target, TargetKind
from devlaunch.core.detection import DebuggerKind, Detection
from devlaunch.doctor import examine, plan, worded

APP = Target(TargetKind.APP, "app:app")
QUIETED = (
    "PYTHONDONTWRITEBYTECODE", "VSCODE_DEBUGPY_ADAPTER_ENDPOINTS", "DEBUGPY_RUNNING",
    "PYTHONBREAKPOINT", "VIRTUAL_ENV", "CONDA_PREFIX",
)  # fmt: skip


def doctor(
    *words: str, cwd: Path, before: tuple[str, ...] = (), **env: str
) -> subprocess.CompletedProcess[str]:
    """Without the variables of this machine that the doctor would find fault with."""
    kept = {name: value for name, value in os.environ.items() if name not in QUIETED}
    kept |= {"PYTHONPYCACHEPREFIX": str(cwd / "cache"), "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, *before, "-m", "devlaunch", "doctor", *words],
        cwd=cwd, env={**kept, **env},
        capture_output=True, text=True, timeout=60, check=False, encoding="utf-8",
    )  # fmt: skip


def found_by(*words: str, cwd: Path, **options: Any) -> dict[str, Any]:
    done = doctor("--json", *words, cwd=cwd, **options)
    assert not done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (0 if report["ok"] else 1)
    return report


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text("raise SystemExit('the doctor ran the app')\n")
    (tmp_path / "pyproject.toml").write_text(
        f'[tool.devlaunch]\ndebug-address = "127.0.0.1:{free_port()}"\nport = {free_port()}\n'
    )
    return tmp_path


@pytest.mark.parametrize(
    "words", [(), ("app:app",), ("app.py", "--json"), ("-m", "app"), ("--", "python", "app.py")]
)
def test_nothing_stands_in_the_way(project: Path, words: tuple[str, ...]) -> None:
    done = doctor(*words, cwd=project)
    assert (done.returncode, done.stderr) == (0, "")
    rows = {line.split()[1]: line for line in done.stdout.splitlines() if "➜" in line}
    assert list(rows) == ["debugger", "why", "plan", "app", "versions", "system", "trouble"]
    assert len({line.index(name) for name, line in rows.items()}) == 1
    assert rows["debugger"].endswith("none")
    assert rows["trouble"].endswith("none")
    assert rows["plan"].endswith("--debug-attach lets an editor attach")
    for name in ("devlaunch", "Python", "debugpy", "uvicorn", "watchdog"):
        assert f"{name} " in rows["versions"]
    assert "\x1b" not in done.stdout


@pytest.mark.posix("socket files")
def test_it_leaves_nothing_behind(project: Path) -> None:
    before = set(project.iterdir())
    assert doctor("app:app", "--uds", "socket", cwd=project).returncode == 0
    assert set(project.iterdir()) - before <= {project / "cache"}


def test_json(project: Path) -> None:
    report = found_by(cwd=project)
    assert report["ok"] is True
    assert report["findings"] == []
    assert report["debugger"]["kind"] == "none"
    assert report["versions"]["Python"] == ".".join(map(str, sys.version_info[:3]))
    assert report["interpreter"]["executable"] == sys.executable


def test_another_projects_devlaunch_is_installed(project: Path, tmp_path: Path) -> None:
    info = tmp_path / "packages" / "devlaunch-0.64.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: devlaunch\nVersion: 0.64.0\n")
    report = found_by(cwd=project, PYTHONPATH=str(info.parent))
    (finding,) = report["findings"]
    assert "devlaunch 0.64.0 is another project's; this one is devlaunch-debug" in finding["what"]
    assert "pip uninstall devlaunch" in finding["fix"]
    assert report["ok"]


def test_the_debug_port_is_taken(project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        options = ("--debug-attach", "--debug-address", address)
        report = found_by(*options, "app:app", cwd=project)
        shown = doctor(*options, "app:app", cwd=project)
        unused = found_by("app:app", cwd=project, DEVLAUNCH_DEBUG_ADDRESS=address)
    assert not report["ok"]
    (finding,) = report["findings"]
    assert f"{address} is in use by " in finding["what"]
    assert f"(pid {os.getpid()})" in finding["what"]
    assert "choose another" in finding["fix"]
    assert f"devlaunch: error: {finding['what']}\n  {finding['fix']}\n" in shown.stdout
    # Without --debug-attach it is good to know only.
    assert unused["ok"]
    assert [each["blocks"] for each in unused["findings"]] == [False]


def test_the_apps_port_is_taken(project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        of_app = found_by("app:app", cwd=project, DEVLAUNCH_PORT=port)
        of_script = found_by("app.py", cwd=project, DEVLAUNCH_PORT=port)
        of_none = found_by(cwd=project, DEVLAUNCH_PORT=port)
    assert "--port" in of_app["findings"][0]["what"]
    assert not of_app["ok"]
    assert of_script["ok"]
    assert of_none["ok"]


def test_a_remote_debug_address_is_an_error_of_the_run(project: Path) -> None:
    options = ("--debug-attach", "--debug-address", "0.0.0.0:0")
    report = found_by(*options, cwd=project)
    assert "other machines could reach it" in report["findings"][0]["what"]
    assert found_by(*options, "--allow-remote-debug", cwd=project)["ok"]


def test_no_python_for_the_app(project: Path) -> None:
    report = found_by("--python", str(project / "python"), cwd=project)
    assert not report["ok"]
    assert report["interpreter"] is None
    assert "cannot be run" in report["findings"][0]["what"]


@pytest.mark.posix("a script is a program")
def test_the_projects_python_is_too_old(project: Path) -> None:
    fake = project / ".venv" / "bin" / "python"
    fake.parent.mkdir(parents=True)
    answer = json.dumps([[3, 9, 1], str(fake), str(fake.parent.parent), None, None])
    fake.write_text(f"#!/bin/sh\necho\necho 'devlaunch-probe:{answer}'\n")
    fake.chmod(0o755)
    report = found_by(cwd=project)
    assert "too old (3.9 seen, 3.10 needed)" in report["findings"][0]["what"]


@pytest.mark.parametrize("version", [v for v in interpreters() if v != "3.11"][:1])
def test_another_python_is_named(project: Path, version: str) -> None:
    report = found_by("--python", interpreters()[version], cwd=project)
    assert report["interpreter"]["version"][:2] == [int(part) for part in version.split(".")]
    assert report["interpreter"]["chosen_by"] == "--python"


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"PYTHONBREAKPOINT": "0"}, "breakpoint() does nothing"),
        ({"PYTHONDONTWRITEBYTECODE": "1"}, "compiles all modules"),
        ({"PYDEVD_USE_CYTHON": "NO"}, "is slow"),
        ({"DEBUGPY_RUNNING": "true"}, "left over"),
        ({"VSCODE_DEBUGPY_ADAPTER_ENDPOINTS": "/gone/for/good"}, "a directory that is gone"),
    ],
    ids=str,
)
def test_variables(project: Path, variables: dict[str, str], words: str) -> None:
    (finding,) = found_by(cwd=project, **variables)["findings"]
    assert words in finding["what"]
    assert finding["fix"]
    assert not finding["blocks"]


@pytest.mark.parametrize(
    "variables",
    [{"PYTHONBREAKPOINT": "pdb.set_trace"}, {"DEBUGPY_RUNNING": "false"}, {"PYTHONBREAKPOINT": ""}],
    ids=str,
)
def test_harmless_variables(project: Path, variables: dict[str, str]) -> None:
    assert not found_by(cwd=project, **variables)["findings"]


def test_frozen_modules_that_were_asked_for(project: Path) -> None:
    before = ("-X", "frozen_modules=on")
    assert not found_by(cwd=project, before=before)["findings"]
    (finding,) = found_by("--debug-attach", cwd=project, before=before)["findings"]
    assert "frozen_modules=on" in finding["what"]


def test_under_debugpy(project: Path) -> None:
    before = ("-m", "debugpy", "--listen", "127.0.0.1:0")
    report = found_by(cwd=project, before=before, PYDEVD_DISABLE_FILE_VALIDATION="1")
    found = report["debugger"]
    assert (found["kind"], found["why"]) == (
        "debugpy", f"its adapter is at 127.0.0.1:{found['port']}",
    )  # fmt: skip
    assert report["plan"].startswith("joins the editor's session")
    assert report["interpreter"]["options"] == ["-X", "frozen_modules=off"]
    assert "setup" not in found
    assert not [key for key in found if "token" in key]
    assert report["findings"] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--json=1",), "option '--json' does not take a value"),
        (("--jsn",), "there is no option --jsn\n  did you mean --json?"),
        (("--port", "x"), "--port: expected"),
        (("nothing.py",), "nothing.py"),
        (("--debug-address", "127.0.0.1:1"), "does nothing without --debug-attach"),
    ],
)
def test_bad_words(project: Path, words: tuple[str, ...], message: str) -> None:
    done = doctor(*words, cwd=project)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("devlaunch: error: ")
    assert message in done.stderr


def test_a_bad_file(project: Path) -> None:
    (project / "pyproject.toml").write_text("[tool.devlaunch]\nprot = 1\n")
    done = doctor(cwd=project)
    assert done.returncode == 2
    assert "did you mean port?" in done.stderr


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help(project: Path, word: str) -> None:
    done = doctor(word, cwd=project)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: devlaunch doctor")
    assert "--json" in done.stdout


def test_quiet_says_errors_only(project: Path) -> None:
    assert doctor("-q", cwd=project, PYTHONBREAKPOINT="0").stdout == ""
    done = doctor("-q", "--python", os.path.abspath("/nowhere/python"), cwd=project)
    assert done.returncode == 1
    assert done.stdout.startswith(
        f"devlaunch: error: --python {os.path.abspath('/nowhere/python')}"
    )


@pytest.mark.parametrize("no_color", ["", "1"])
def test_colour_on_a_terminal_only(project: Path, no_color: str) -> None:
    env = {**os.environ, "NO_COLOR": no_color, "TERM": "xterm"}
    env.pop("FORCE_COLOR", None)
    words = [sys.executable, "-m", "devlaunch", "doctor"]
    with Pty(words, cwd=str(project), env=env) as terminal:
        wait_until(lambda: "trouble" in terminal.screen, what="the report")
        assert ("\x1b[" in terminal.screen) is not bool(no_color)


@pytest.mark.posix("inotify")
def test_a_limit_of_the_system(project: Path) -> None:
    """A user namespace has limits of its own (user_namespaces(7))."""
    limit = "/proc/sys/user/max_inotify_instances"
    kept = {name: value for name, value in os.environ.items() if name not in QUIETED}
    done = subprocess.run(
        ["unshare", "-Ur", "sh", "-c", f'echo 0 > {limit} || exit 77; exec "$@"', "sh",
         sys.executable, "-m", "devlaunch", "doctor", "--json"],
        cwd=project, env=kept, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("no user namespaces here")
    report = json.loads(done.stdout)
    (finding,) = report["findings"]
    assert "limit of file watches is reached" in finding["what"]
    assert "sudo sysctl fs.inotify.max_user_instances" in finding["fix"]
    assert report["ok"]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        pytest.param(
            ("--fd", "77", "app:app"), "--fd 77: is not open", marks=pytest.mark.posix("--fd")
        ),
        pytest.param(
            ("--uds", "no/such/socket", "app:app"),
            "no/such/socket: no such file or directory",
            marks=pytest.mark.posix("socket files"),
        ),
        (("--", "no-such-command", "-x"), "no-such-command: no such command beside "),
        (("--", "./no-such-command"), "./no-such-command: no such command beside "),
    ],
    ids=str,
)
def test_what_a_run_ends_with(project: Path, words: tuple[str, ...], what: str) -> None:
    report = found_by(*words, cwd=project)
    (finding,) = report["findings"]
    assert what in finding["what"]
    assert finding["fix"] or "--uds" in words
    assert finding["blocks"]


@pytest.mark.parametrize("name", ["python3.10", "pip", "./tool"])
def test_commands_that_are_there(project: Path, name: str) -> None:
    (project / "tool").touch()
    assert found_by("--", name, cwd=project, PATH="")["findings"] == []


def test_an_adapter_that_is_gone(project: Path) -> None:
    (finding,) = found_by(cwd=project, DEVLAUNCH_ADAPTER="/gone")["findings"]
    assert (finding["fix"], finding["blocks"]) == ("unset DEVLAUNCH_ADAPTER", True)
    assert not found_by(cwd=project, DEVLAUNCH_ADAPTER=str(project / "app.py"))["findings"]


@pytest.mark.parametrize(
    ("detection", "blocks"),
    [
        (Detection(DebuggerKind.PYCHARM), [False]),  # only when the IDE does not answer
        (Detection(DebuggerKind.PYCHARM, follows_children=True), []),
        (Detection(DebuggerKind.OTHER), [True]),
    ],
    ids=str,
)
def test_the_debug_address_is_tried_where_it_may_be_used(
    tmp_path: Path, detection: Detection, blocks: list[bool]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = Config(
            Target(TargetKind.SCRIPT, "app.py"), debug_attach=True, reload=False,
            debug_address=taken.getsockname(), app_dir=str(tmp_path), python=sys.executable,
        )  # fmt: skip
        findings = examine(config, detection, environ={}).findings
    assert [finding.blocks for finding in findings if "in use" in finding.what] == blocks


PLANS = {
    "nothing": (Config(APP), Detection(), "without a debugger; --debug-attach lets an editor"),
    "listens": (Config(APP, debug_attach=True), Detection(), "listens on 127.0.0.1:5678"),
    "off": (
        Config(APP, debug_attach=False), Detection(DebuggerKind.DEBUGPY), "--no-debug-attach",
    ),
    "joins": (
        Config(APP, debug_attach=True),
        Detection(DebuggerKind.DEBUGPY, has_adapter=True), "joins the editor's session",
    ),
    "nothing to join": (
        Config(APP, debug_attach=True), Detection(DebuggerKind.DEBUGPY), "listens on",
    ),
    "pdb": (Config(APP, debug_attach=True), Detection(DebuggerKind.OTHER), "listens on"),
    "PyCharm": (
        Config(APP, debug_attach=True), Detection(DebuggerKind.PYCHARM),
        "same debugger if the IDE answers, else listens on 127.0.0.1:5678",
    ),
    "PyCharm that follows": (
        Config(APP), Detection(DebuggerKind.PYCHARM, follows_children=True), "the same debugger",
    ),
    "a server": (
        Config(APP, pycharm_server=("localhost", 1)), Detection(), "debug server at localhost:1",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("config", "detection", "words"), PLANS.values(), ids=PLANS)
def test_plan(config: Config, detection: Detection, words: str) -> None:
    assert words in plan(config, detection)


WORDS = {
    "none": (Detection(), "none", "no debugger"),
    "debugpy": (Detection(DebuggerKind.DEBUGPY, has_adapter=True), "debugpy", "its adapter is at"),
    "debugpy alone": (Detection(DebuggerKind.DEBUGPY), "debugpy", "without an adapter"),
    "PyCharm": (Detection(DebuggerKind.PYCHARM), "PyCharm's debugger", "is off"),
    "PyCharm that follows": (
        Detection(DebuggerKind.PYCHARM, follows_children=True), "PyCharm's debugger", "follows",
    ),
    "pdb": (Detection(DebuggerKind.OTHER, "pdb.Pdb"), "pdb.Pdb", "another tracer"),
}  # fmt: skip


@pytest.mark.parametrize(("detection", "name", "why"), WORDS.values(), ids=WORDS)
def test_what_is_said_of_a_debugger(detection: Detection, name: str, why: str) -> None:
    said = worded(detection)
    assert said[0] == name
    assert why in said[1]
