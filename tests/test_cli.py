"""The command line: what the real command says and returns, and where options end."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import devlaunch
from devlaunch.cli import help_text
from devlaunch.config import Config, TargetKind
from devlaunch.errors import UsageError
from devlaunch.target.commandline import read
from devlaunch.target.options import OPTIONS
from devlaunch.target.settings import resolve

ROOT = Path(devlaunch.__file__).parents[1]
NO_PROGRAM = "exec format error" if os.name == "nt" else "permission denied"


def command(
    words: Sequence[str],
    cwd: Path,
    *,
    how: Sequence[str] = (sys.executable, "-m", "devlaunch"),
    **variables: str,
) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("DEVLAUNCH_", "VIRTUAL_ENV"))}
    env |= {"PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(
        [*how, *words],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        encoding="utf-8",
    )


def native(message: str, project: Path) -> str:
    """The message, with the system's separators."""
    return message.replace("{dir}/", f"{project}{os.sep}").replace("{dir}", str(project))


def unprivileged() -> tuple[str, ...]:
    """Words before a command that take root's right to read and bind everything from it."""
    if os.geteuid():
        return ()
    if not shutil.which("setpriv"):
        pytest.skip("root may do everything")
    return ("setpriv", "--bounding-set", "-all", "--inh-caps", "-all")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text("app = 1\n")
    (tmp_path / "tool.py").write_text("print('tool')\n")
    return tmp_path


# --- the real command ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ([], "no target: what shall be run?", "did you mean app:app?"),
        (["--prot", "1"], "there is no option --prot", "did you mean --port?"),
        (["-p", "1"], "there is no option -p", "did you mean --port?"),
        (["--port"], "option '--port' requires an argument", "--help"),
        (["--debug-attach=1", "app:app"], "option '--debug-attach' does not take a value", ""),
        (["-vx", "app:app"], "there is no option -x", "--help"),
        (["--port", "http", "app:app"], "--port: expected a port from 0 (any free one) to 65535, "
         "not 'http'", ""),
        (["--isolate", "sesion", "app:app"], "--isolate: expected session, group or none",
         "did you mean session?"),
        (["app:app", "--grace", "1m"], "--grace: expected a duration", ""),
        (["app:app", "extra"], "unexpected 'extra'", ""),
        (["app.py:app"], "'app.py:app' does not have the form module:attr", "mean app:app?"),
        (["what"], "'what' is no target", "a target is one of:"),
        (["tol.py"], "no such file: tol.py", "did you mean tool.py?"),
        (["--watch", "tol.py", "app:app"], "--watch {dir}/tol.py: no such file or directory",
         "did you mean tool.py?"),
        (["--watch", "[x", "app:app"], "--watch: expected a path or a glob, not '[x'", ""),
        (["--app-dir", "no", "app:app"], "--app-dir {dir}/no: no such file or directory", ""),
        (["--app-dir", "app.py", "app:app"], "--app-dir {dir}/app.py: not a directory", ""),
        (["--env-file", "no", "app:app"], "--env-file {dir}/no: no such file or directory", ""),
        (["--env-file", ".", "app:app"], "--env-file {dir}: is a directory", ""),
        (["--env-file", "tool.py", "app:app"], "{dir}/tool.py:1: there is no KEY=", "KEY=VALUE"),
        (["--port", "1", "tool.py"], "--port is only for app targets (module:attr), not for "
         "tool.py", ""),
        (["--wait-for-client", "app:app"], "--wait-for-client does nothing without --debug-", ""),
        (["-q", "-v", "app:app"], "--verbose and --quiet exclude each other", ""),
        (["--no-such=\x1b[2J", "app:app"], "there is no option --no-such", ""),
        (["adapter", "--schema=1"], "--schema takes no value", "--help"),
        (["adapter", "--allow-remote-debug"], "--allow-remote-debug does nothing without --listen",
         "add --listen HOST:PORT"),
        (["adapter", "--schema", "--listen", "1"], "--schema and --listen exclude each other", ""),
    ],
)  # fmt: skip
def test_bad_words(project: Path, words: list[str], message: str, hint: str) -> None:
    done = command(words, project)
    first, _, rest = done.stderr.partition("\n")
    assert first.startswith(f"devlaunch: error: {native(message, project)}")
    assert hint in rest
    assert all(line.startswith("  ") for line in rest.splitlines())
    assert "Traceback" not in done.stderr
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["--host", "no-such-host.invalid"], "--host no-such-host.invalid: does not resolve", ""),
        (["--host", "192.0.2.1"], "--host 192.0.2.1: is no address of this machine", ""),
        pytest.param(["--uds", "tool.py"], "--uds {dir}/tool.py: exists and is no socket", "",
                     marks=pytest.mark.posix("socket files")),
        pytest.param(["--fd", "99"], "--fd 99: is not open", "", marks=pytest.mark.posix("--fd")),
        (["--debug-attach", "--debug-address", "0.0.0.0:0", "--port", "0"],
         "--debug-address 0.0.0.0: other machines could reach it", "--allow-remote-debug"),
        (["--python", "tool.py"], "--python tool.py: no such program on PATH", "give its path"),
        (["--python", "./tool.py"], f"--python {{dir}}/tool.py: cannot be run: {NO_PROGRAM}", ""),
        pytest.param(["--python", "/bin/ls"], "--python /bin/ls: is no Python", "3.10 or later",
                     marks=pytest.mark.posix("a program that is there")),
    ],
)  # fmt: skip
def test_bad_places(project: Path, words: list[str], message: str, hint: str) -> None:
    done = command([*words, "app:app"], project)
    first, _, rest = done.stderr.partition("\n")
    assert first.startswith(f"devlaunch: error: {native(message, project)}")
    assert hint in rest
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["--port", "{}"], "--port"),
        (["--debug-attach", "--debug-address", "{}"], "--debug-address"),
    ],
)
def test_a_port_in_use_names_its_holder(project: Path, words: list[str], option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        free = [] if "--port" in words else ["--port", "0"]
        done = command([*(word.format(port) for word in words), *free, "app:app"], project)
    first, _, rest = done.stderr.partition("\n")
    assert first.startswith(f"devlaunch: error: {option}: 127.0.0.1:{port} is in use by ")
    assert first.endswith(f"(pid {os.getpid()})")
    assert f"choose another: {option} " in rest
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.posix("privileged ports")
def test_a_privileged_port(project: Path) -> None:
    lowest = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if lowest.exists() and lowest.read_text("utf-8").strip() != "1024":
        pytest.skip("port 80 is not privileged here")
    how = (*unprivileged(), sys.executable, "-m", "devlaunch")
    done = command(["--port", "80", "app:app"], project, how=how)
    assert done.stderr == (
        "devlaunch: error: --port: no permission to listen on 127.0.0.1:80\n"
        "  ports below 1024 are privileged; use --port 8080\n"
    )
    assert done.returncode == 2


def test_bad_settings(project: Path) -> None:
    done = command(["app:app"], project, DEVLAUNCH_PROT="1")
    assert done.returncode == 2
    assert done.stderr == (
        "devlaunch: error: DEVLAUNCH_PROT=1: there is no such setting\n"
        "  did you mean DEVLAUNCH_PORT?\n"
    )
    (project / "pyproject.toml").write_text("[tool.devlaunch]\nreload = flase\n")
    done = command(["app:app"], project)
    assert done.returncode == 2
    assert done.stderr == (f"devlaunch: error: {project / 'pyproject.toml'}:2:10: invalid value\n")


@pytest.mark.posix("a directory in use can be removed")
def test_a_current_directory_that_is_gone(project: Path) -> None:
    gone = project / "gone"
    code = "import os, sys; os.rmdir(os.getcwd()); os.execv(sys.executable, sys.argv[1:])"
    gone.mkdir()
    how = (sys.executable, "-c", code, sys.executable, str(ROOT / "devlaunch"))
    done = command(["app:app"], gone, how=how)
    assert done.returncode == 2
    assert "the current directory does not exist any more" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.posix("mkfifo")
def test_a_current_directory_that_goes_as_devlaunch_starts(project: Path) -> None:
    gone, variables = project / "gone", project / "variables"
    gone.mkdir()
    os.mkfifo(variables)
    with ThreadPoolExecutor(1) as pool:
        started = pool.submit(command, ["--env-file", str(variables), "../tool.py"], gone)
        with variables.open("w"):  # it has looked where it is, and reads
            gone.rmdir()
        done = started.result(20)
    assert done.stderr == (
        "devlaunch: error: the current directory does not exist any more\n  change to another one\n"
    )
    assert done.returncode == 2


@pytest.mark.posix("modes of files")
@pytest.mark.parametrize(
    ("locked", "words", "message"),
    [
        ("tool.py", ["tool.py"], "tool.py: no permission to read it"),
        ("tool.py", ["--watch", "tool.py", "app:app"], "--watch {dir}/tool.py: permission denied"),
        ("x.env", ["--env-file", "x.env", "app:app"], "--env-file {dir}/x.env: permission denied"),
        ("sub", ["--app-dir", "sub", "app:app"], "--app-dir {dir}/sub: permission denied"),
        ("sub", ["sub/x.py"], "sub/x.py: permission denied"),
        ("pyproject.toml", ["app:app"], "{dir}/pyproject.toml: permission denied"),
    ],
)
def test_no_permission(project: Path, locked: str, words: list[str], message: str) -> None:
    path = project / locked
    path.mkdir() if locked == "sub" else path.touch()
    path.chmod(0)
    done = command(words, project, how=(*unprivileged(), sys.executable, "-m", "devlaunch"))
    path.chmod(0o700)
    assert done.stderr.splitlines()[0] == f"devlaunch: error: {message.format(dir=project)}"
    assert done.returncode == 2


@pytest.mark.parametrize(
    "how",
    [
        (sys.executable, "-m", "devlaunch"),
        (sys.executable, "-m", "devlaunch", "run"),
        (sys.executable, str(ROOT / "devlaunch")),
        (sys.executable, str(ROOT / "devlaunch" / "__main__.py")),
    ],
)
def test_ways_to_start(project: Path, how: tuple[str, ...]) -> None:
    done = command(["--version"], project, how=how, PYTHONPATH="")
    if "-m" in how:
        done = command(["--version"], project, how=how)
    assert done.stderr == ""
    words = done.stdout.split()
    assert words[:3] == ["devlaunch", devlaunch.__version__, "(debugpy"]
    assert words[-2:] == ["Python", "{}.{}.{})".format(*sys.version_info)]


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help(project: Path, flag: str) -> None:
    done = command(["--port", "1", flag, "no:such:target"], project)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "Usage: devlaunch [OPTIONS] TARGET [ARGS]..."
    assert max(map(len, lines)) <= 100
    assert "  devlaunch --debug-attach app:app" in done.stdout
    for option in OPTIONS:
        assert (option.flag if option.key != "reload" else "--no-reload") in done.stdout
    titles = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert titles[:2] == ["Targets:", "Examples:"]


@pytest.mark.parametrize(
    "words", ["--help", "--version", "doctor --help", "doctor --json", "doctor", "adapter --help",
              "adapter --schema"],
)  # fmt: skip
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_closed_stdout_is_no_traceback(project: Path, words: str, unbuffered: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer) as stdout:
        done = subprocess.run(
            [sys.executable, "-m", "devlaunch", *words.split()],
            env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": unbuffered},
            cwd=project, stdout=stdout,
            stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.stderr == ""
    assert done.returncode == 0 or words.startswith("doctor")


@pytest.mark.posix("/dev/full")
@pytest.mark.parametrize("words", ["--help", "--version", "doctor --help", "adapter --schema"])
def test_a_full_disk_is_one_line(project: Path, words: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -m devlaunch {words} >/dev/full', sys.executable],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=project, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
    )  # fmt: skip
    expected = "devlaunch: error: cannot write to stdout: no space left on device\n"
    assert (done.returncode, done.stderr) == (1, expected)


def test_the_help_tells_how_to_have_no_debugger() -> None:
    assert "      --no-debug-attach           Leave the app alone, even under" in help_text()


# --- where our options end ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "ours", "target"),
    [
        ("--debug-attach app:app", {"debug-attach": True}, "app:app"),
        ("app:app --port 9000 -v", {"port": "9000", "verbose": True}, "app:app"),
        ("--port 1 app:app --debug-attach", {"port": "1", "debug-attach": True}, "app:app"),
        ("tool.py --port 9000 -- -m x", {}, "tool.py --port 9000 -- -m x"),
        ("-v tool.py -v", {"verbose": True}, "tool.py -v"),
        ("-v -m mod --port 1", {"verbose": True}, "-m mod --port 1"),
        ("-mmod -v", {}, "-mmod -v"),
        ("--factory -- celery --factory", {"factory": True}, "-- celery --factory"),
        ("--poll app:app", {"poll": "on"}, "app:app"),
        ("--poll app:app 2", {"poll": "on"}, "app:app 2"),
        ("--poll 2 app:app", {"poll": "2"}, "app:app"),
        ("--poll 500ms tool.py 2", {"poll": "500ms"}, "tool.py 2"),
        ("--poll=2 tool.py --poll", {"poll": "2"}, "tool.py --poll"),
        ("app:app --poll", {"poll": "on"}, "app:app"),
        ("--uds a:b tool.py", {"uds": "a:b"}, "tool.py"),
        ("--watch -mx app:app", {"watch": ["-mx"]}, "app:app"),
        ("--host -- app:app", {"host": "--"}, "app:app"),
        ("--watch a app:app --watch=b", {"watch": ["a", "b"]}, "app:app"),
        ("app:app -- x", {}, "app:app -- x"),
        ("app:app x -v", {"verbose": True}, "app:app x"),
        ("- x", {}, "- x"),
        ("-qv app:app", {"quiet": True, "verbose": True}, "app:app"),
    ],
)
def test_split(words: str, ours: dict[str, object], target: str) -> None:
    assert read(words.split()).given == {**ours, "target": target.split()}


def parsed(words: str, cwd: Path) -> Config:
    before = os.getcwd()
    os.chdir(cwd)
    try:
        return resolve(read(words.split()).given)
    finally:
        os.chdir(before)


def test_every_option_reaches_the_config(project: Path) -> None:
    (project / "x.env").write_text("A=1\n")
    seen = parsed(
        "--debug-attach --debug-address [::1]:1 --wait-for-client --allow-remote-debug "
        "--while-paused restart --host ::1 --port 0 --server wsgiref --factory --app-dir . "
        "--watch tool.py --watch *.html --ignore data --no-reload --poll --grace 500ms "
        "--python python3 --env-file x.env --isolate none -v pkg.mod:make",
        project,
    )
    assert (seen.target.kind, seen.target.name) == (TargetKind.APP, "pkg.mod:make")
    assert seen == Config(
        seen.target, factory=True, debug_attach=True, debug_address=("::1", 1),
        allow_remote_debug=True, wait_for_client=True, host="::1", port=0, app_dir=str(project),
        env_file=str(project / "x.env"), server="wsgiref", ignore=("data",), reload=False, poll=0.5,
        watch=(str(project / "tool.py"), str(project / "**/*.html")), grace=0.5,
        while_paused="restart", isolate="none", python="python3", verbose=True, env={"A": "1"},
    )  # fmt: skip


def test_defaults(project: Path) -> None:
    seen = parsed("tool.py", project)
    assert seen == Config(seen.target, app_dir=str(project))


def test_the_last_of_a_repeated_option_counts(project: Path) -> None:
    assert parsed("--port 1 app:app --port 2", project).port == 2
    assert parsed("--no-reload --reload app:app", project).reload is True


def test_the_word_run_is_a_target_only_after_itself(project: Path) -> None:
    with pytest.raises(UsageError, match="'run' is no target"):
        parsed("run", project)
