"""Which Python runs the app: real interpreters, and programs that are none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.environments import python_of

from devlaunch.errors import EX_USAGE, UsageError
from devlaunch.target.interpreter import (
    Interpreter,
    choose_interpreter,
    interpreter_options,
    own_debugpy_dir,
    probe_interpreter,
)

OWN = sys.version_info[:3]
NEEDED = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}
"""What no program starts without, on Windows."""
PATH = {"PATH": os.environ["PATH"], **NEEDED}


def program(path: Path, text: str, mode: int = 0o755) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def environment(directory: Path) -> str:
    """The python of a new, empty virtual environment."""
    venv.create(directory, symlinks=os.name == "posix")
    return str(python_of(directory))


def choose(
    python: str | None, app_dir: Path | str = "/", environ: Mapping[str, str] = PATH
) -> Interpreter:
    return choose_interpreter(python, str(app_dir), environ=environ, orig_argv=["python", "x.py"])


def test_the_launchers_own_by_default(tmp_path: Path) -> None:
    seen = choose(None, tmp_path)
    assert seen == Interpreter(sys.executable, OWN)
    assert choose(sys.executable) == Interpreter(sys.executable, OWN, chosen_by="--python")


@pytest.mark.posix("a script is a program")
def test_another_name_of_our_own_is_not_foreign(tmp_path: Path) -> None:
    link = tmp_path / "py"
    link.symlink_to(sys.executable)
    wrapper = program(tmp_path / "wrapped", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    seen = choose(wrapper)
    assert (seen.executable, seen.is_foreign, seen.debugpy_dir) == (wrapper, False, None)


def test_a_foreign_one_without_debugpy_gets_ours(tmp_path: Path) -> None:
    python = environment(tmp_path / "env")
    seen = choose(python)
    assert seen == Interpreter(python, OWN, (), own_debugpy_dir(), True, "--python")
    assert seen.debugpy_dir is not None
    assert Path(seen.debugpy_dir, "__init__.py").is_file()


@pytest.mark.parametrize(
    ("version", "is_used"), [("1.8.14", True), ("1.9", True), ("1.8.2", False)]
)
def test_debugpy_of_the_project(tmp_path: Path, version: str, is_used: bool) -> None:
    python = environment(tmp_path / "env")
    site = next((tmp_path / "env").rglob("site-packages"))
    program(site / "debugpy" / "__init__.py", "")
    program(site / f"debugpy-{version}.dist-info" / "METADATA", f"Version: {version}\n")
    assert choose(python).debugpy_dir == (None if is_used else own_debugpy_dir())


def test_files_in_the_current_directory_do_not_count(tmp_path: Path) -> None:
    python = environment(tmp_path / "env")
    program(tmp_path / "json.py", "raise SystemExit('user code ran')")
    program(tmp_path / "debugpy.py", "")
    code = (
        "from devlaunch.target.interpreter import probe_interpreter as p; import sys;"
        "print(p(sys.argv[1]).debugpy)"
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, python],
        cwd=tmp_path, env={**PATH, "PYTHONPATH": root}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("None\n", "")


@pytest.mark.parametrize("name", ["VIRTUAL_ENV", "CONDA_PREFIX"])
def test_the_active_environment(tmp_path: Path, name: str) -> None:
    python = environment(tmp_path / "env")
    environment(tmp_path / ".venv")
    environ = {**PATH, name: str(tmp_path / "env")}
    seen = choose(None, tmp_path, environ)
    assert (seen.executable, seen.is_foreign, seen.chosen_by) == (python, True, name)
    explicit = choose(sys.executable, tmp_path, environ)
    assert explicit.executable == sys.executable, "--python wins"
    own = choose(None, tmp_path, {**PATH, name: sys.prefix})
    assert own.executable == sys.executable, "we run in the active one"


def test_dot_venv_of_the_project(tmp_path: Path) -> None:
    python = environment(tmp_path / ".venv")
    seen = choose(None, tmp_path)
    assert (seen.executable, seen.is_foreign, seen.chosen_by) == (python, True, ".venv")
    gone = choose(None, tmp_path, {**PATH, "VIRTUAL_ENV": str(tmp_path / "gone")})
    assert gone.executable == python


@pytest.mark.parametrize(
    ("launcher", "active", "app_dir", "expected"),
    [
        ("venv", "proj/.venv", "proj", "VIRTUAL_ENV"),
        ("venv", "envs/other", "proj", "VIRTUAL_ENV"),
        ("venv", "", "proj", ".venv"),
        ("venv", "", "else", ""),
        ("venv", "envs/other", "", ""),
        ("proj/venv", "envs/other", "proj/sub", ""),
        ("proj/venv", "proj/.venv", "proj", ""),
        ("proj/venv", "proj/sub/.venv", "proj/sub", "VIRTUAL_ENV"),
        ("proj/.venv", "", "proj", ""),
    ],
)
def test_the_launchers_own_environment_below_home(
    tmp_path: Path, launcher: str, active: str, app_dir: str, expected: str
) -> None:
    python = environment(tmp_path / launcher)
    for other in {"proj/.venv", active} - {launcher, ""}:
        environment(tmp_path / other)
    (tmp_path / app_dir).mkdir(parents=True, exist_ok=True)
    environ = {"HOME": str(tmp_path)} | ({"VIRTUAL_ENV": str(tmp_path / active)} if active else {})
    code = (
        "import json, sys; from devlaunch.target.interpreter import choose_interpreter as c;"
        "print(c(None, sys.argv[1], environ=json.loads(sys.argv[2])).chosen_by)"
    )
    command = [python, "-c", code, str(tmp_path / app_dir), json.dumps(environ)]
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        command,
        env={"PYTHONPATH": path, **NEEDED},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == (f"{expected}\n", "")


def test_a_name_on_the_path(tmp_path: Path) -> None:
    python = environment(tmp_path / "env")
    name = os.path.basename(python)
    assert choose(name, environ={"PATH": os.path.dirname(python)}).executable == python


@pytest.mark.posix("a script is a program")
@pytest.mark.parametrize(
    ("text", "mode", "message"),
    [
        ("#!/bin/sh\necho hello >&2; exit 3\n", 0o755, "is no Python (it said: hello)"),
        ("#!/bin/sh\nexit 0\n", 0o755, "is no Python"),
        ("#!/bin/sh\necho '3.12.0'\n", 0o755, "is no Python (it said: 3.12.0)"),
        ("no program\0\1", 0o755, "cannot be run: exec format error"),
        ("#!/bin/sh\n", 0o644, "cannot be run: permission denied"),
        ("#!/no/such/interpreter\n", 0o755, "cannot be run: no such file or directory"),
        (
            f'#!/bin/sh\nexec "{sys.executable}" -c "import sys; sys.version_info = (3, 9, 7);'
            ' exec(sys.argv[1])" "$2"\n',
            0o755,
            "too old (3.9 seen, 3.10 needed)",
        ),
    ],
)
def test_programs_that_will_not_do(tmp_path: Path, text: str, mode: int, message: str) -> None:
    path = program(tmp_path / "py", text, mode)
    with pytest.raises(UsageError) as caught:
        choose(path)
    assert caught.value.message == f"--python {path}: {message}"
    assert "3.10 or later" in caught.value.hint
    assert caught.value.exit_status == EX_USAGE


@pytest.mark.parametrize("name", ["python2.7", "python3.6", "python3.9"])
def test_real_old_ones(name: str) -> None:
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    number = name.removeprefix("python")
    found = shutil.which(name, path="/usr/bin") or next(
        map(str, versions.glob(f"{number}.*/bin/{name}")), None
    )
    if found is None:
        pytest.skip(f"no {name} here")
    with pytest.raises(UsageError, match=rf"too old \({number} seen, 3\.10 needed\)"):
        choose(found)


@pytest.mark.posix("a shell")
def test_a_shell_runs_nothing_of_the_probe() -> None:
    with pytest.raises(UsageError, match=r"--python /bin/sh: is no Python \(it said: .*[Ss]yntax"):
        probe_interpreter("/bin/sh")


def test_names_and_directories_that_will_not_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--python pyhton3: no such program on PATH") as caught:
        choose("pyhton3")
    assert caught.value.hint == "did you mean python3?"
    with pytest.raises(UsageError, match=r"cannot be run: no such file or directory"):
        choose(str(tmp_path / "no"))
    python = environment(tmp_path / "env")
    with pytest.raises(UsageError, match="is a directory") as caught:
        choose(str(tmp_path / "env"))
    assert caught.value.hint == f"did you mean {python}?"


# --- options of the interpreter -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("x.py -X no", ""),
        ("-m devlaunch -u", ""),
        ("-X dev -Wd -m devlaunch", "-X dev -W d"),
        ("-W error -Xutf8=1 x.py", "-W error -X utf8=1"),
        ("-OOuB x.py", "-O -O -u -B"),
        ("-uOm devlaunch -x", "-u -O"),
        ("-Bc code", "-B"),
        ("-iqxbb x.py", "-b -b"),
        ("-IP x.py", "-I -P"),
        ("-u - x", "-u"),
        ("-u -- x", "-u"),
        ("--check-hash-based-pycs always -u x.py", "--check-hash-based-pycs always -u"),
        ("-W", "-W "),
        ("--version -u x.py", "-u"),
        ("--check-hash-based-pycs", ""),
    ],
)
def test_options_are_kept(words: str, options: str) -> None:
    assert interpreter_options(["py", *words.split()], (3, 11)) == tuple(
        options.split(" ") if options else ()
    )


@pytest.mark.parametrize(
    ("words", "version", "debugging", "is_foreign", "options"),
    [
        ("-P x", (3, 10), False, False, ""),
        ("-u x", (3, 11), True, False, "-u -X frozen_modules=off"),
        ("-u x", (3, 10), True, False, "-u"),
        ("-Xfrozen_modules=on x", (3, 12), True, False, "-X frozen_modules=on"),
        ("-IEsSPu x", (3, 12), False, True, "-u"),
        ("-X gil=0 -X dev x", (3, 13), False, True, "-X dev"),
        ("-X gil=0 x", (3, 13), False, False, "-X gil=0"),
    ],
)
def test_options_fit_the_child(
    words: str, version: tuple[int, int], debugging: bool, is_foreign: bool, options: str
) -> None:
    seen = interpreter_options(
        ["py", *words.split()], version, debugging=debugging, is_foreign=is_foreign
    )
    assert seen == tuple(options.split())


def test_a_real_interpreter_takes_the_options() -> None:
    options = ["-X", "dev", "-W", "ignore", "-O", "-u", "-s", "--check-hash-based-pycs", "never"]
    seen = interpreter_options([sys.executable, *options, "x.py"], OWN, debugging=True)
    code = "import sys; print(sys.flags.optimize, sys.flags.dev_mode, sys._xoptions)"
    done = subprocess.run(
        [sys.executable, *seen, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "1 True {'dev': True, 'frozen_modules': 'off'}\n"


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="not in a virtual environment")
@pytest.mark.parametrize("below", ["", "src/app"])
def test_the_environment_in_the_project_wins_over_an_active_one(tmp_path: Path, below: str) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    project = os.path.dirname(os.path.realpath(sys.prefix))
    chosen = choose_interpreter(
        None, os.path.join(project, below), environ={"CONDA_PREFIX": str(tmp_path)}
    )
    assert (chosen.executable, chosen.chosen_by) == (sys.executable, "")
