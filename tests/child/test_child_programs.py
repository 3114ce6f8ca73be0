"""Scripts, modules and commands: they see what they would see without devlaunch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support.child import Child
from support.interpreters import interpreters

PYTHONS = pytest.mark.parametrize("python", interpreters().values(), ids=interpreters())

SHOW = """
import json, sys
main = sys.modules["__main__"]
own = {k: v for k, v in vars(main).items() if k not in ("json", "main", "own", "sys", "show")}
own["__builtins__"] = type(own["__builtins__"]).__name__
own["__loader__"] = type(own["__loader__"]).__name__
own["__spec__"] = own["__spec__"] and own["__spec__"].name
own.pop("__annotations__", None)
print(json.dumps([__name__, sys.argv, sys.path[:2], sys.orig_argv[1:], own], sort_keys=True))
"""


def plain(python: str, directory: Path, *words: str) -> object:
    """What the program sees without devlaunch."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(
        [python, *words], cwd=directory, env=env, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "show.py").write_text(SHOW)
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text("")
    (tmp_path / "pkg" / "__main__.py").write_text(SHOW)
    (tmp_path / "zipped").mkdir()
    (tmp_path / "zipped" / "__main__.py").write_text(SHOW)
    (tmp_path / "link.py").symlink_to(tmp_path / "sub" / "show.py")
    return tmp_path


@PYTHONS
@pytest.mark.parametrize(
    ("target", "words"),
    [
        ({"script": "sub/show.py", "args": ("a", "-b")}, ("sub/show.py", "a", "-b")),
        ({"script": "link.py"}, ("link.py",)),
        ({"script": "zipped"}, ("zipped",)),
        ({"module": "pkg", "args": ("a",)}, ("-m", "pkg", "a")),
        ({"module": "sub.show"}, ("-m", "sub.show")),
        ({"command": "python", "args": ("-c", SHOW, "x")}, ("-c", SHOW, "x")),
        ({"command": "python3", "args": ("-m", "pkg", "x")}, ("-m", "pkg", "x")),
        ({"command": "python", "args": ("sub/show.py", "-m")}, ("sub/show.py", "-m")),
    ],
)
def test_sees_what_it_would_see(project: Path, python: str, target: dict, words: tuple) -> None:
    with Child(**target, directory=project, python=python) as child:
        assert child.wait() == 0
    assert child.stderr == ""
    assert json.loads(child.stdout) == plain(python, project, *words)
    assert child.all("serving") == [{"type": "serving", "interface": None, "server": None}]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="-P is of 3.11")
def test_safe_path_is_kept(project: Path) -> None:
    with Child(script="sub/show.py", directory=project, options=("-P",)) as child:
        child.wait()
    seen = json.loads(child.stdout)
    assert seen[2] == plain(sys.executable, project, "-P", "sub/show.py")[2]
    assert seen[3] == ["-P", "sub/show.py"]


def test_the_script_is_reported_before_it_runs(project: Path) -> None:
    (project / "helper.py").write_text("")
    (project / "job.py").write_text(
        "import helper\nimport time\nprint(1, flush=True)\nwhile 1: time.sleep(1)"
    )
    with Child(script="job.py", directory=project) as child:
        child.wait_for("serving")
        assert child.messages[0] == {"type": "modules", "files": [str(project / "job.py")]}
        from support.wait import wait_until

        wait_until(lambda: str(project / "helper.py") in child.files, what="helper.py reported")
        assert len(child.files) == 2


@PYTHONS
@pytest.mark.parametrize(
    ("code", "status"),
    [("raise SystemExit(3)", 3), ("raise SystemExit('bye')", 1), ("pass", 0), ("1/0", 1)],
)
def test_the_status_is_that_of_python(tmp_path: Path, python: str, code: str, status: int) -> None:
    (tmp_path / "job.py").write_text(code)
    with Child(script="job.py", directory=tmp_path, python=python) as child:
        assert child.wait() == status
    plain = subprocess.run(
        [python, str(tmp_path / "job.py")], capture_output=True, text=True, check=False
    )
    assert child.stderr == plain.stderr
    assert [m["summary"] for m in child.all("failed")] == (
        ["ZeroDivisionError: division by zero"] if code == "1/0" else []
    )


@PYTHONS
def test_ctrl_c_is_quiet_and_ends_by_the_signal(tmp_path: Path, python: str) -> None:
    (tmp_path / "job.py").write_text("import time\nprint('on', flush=True)\ntime.sleep(60)\n")
    with Child(script="job.py", directory=tmp_path, python=python) as child:
        from support.wait import wait_until

        wait_until(lambda: "on" in child.stdout, what="running")
        child.process.send_signal(signal.SIGINT)
        assert child.wait() == -signal.SIGINT
    assert child.stderr == ""
    assert not child.all("failed")


def test_threads_and_exit_handlers_still_see_the_script(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(
        "import atexit, threading, time\nvalue = 'kept'\n"
        "atexit.register(lambda: print('atexit', value))\n"
        "def later():\n    time.sleep(0.1)\n    print('thread', value)\n"
        "threading.Thread(target=later).start()\n"
    )
    with Child(script="job.py", directory=tmp_path) as child:
        assert child.wait() == 0
    assert child.stdout == "thread kept\natexit kept\n"
    assert child.stderr == ""


def test_multiprocessing_spawn_imports_the_script_again(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(
        "import multiprocessing as mp\ndef work(n): return n * 2\n"
        "if __name__ == '__main__':\n"
        "    with mp.get_context('spawn').Pool(1) as pool: print(pool.map(work, [1, 2]))\n"
    )
    with Child(script="job.py", directory=tmp_path) as child:
        assert child.wait() == 0
    assert child.stdout == "[2, 4]\n"


def test_a_console_script(tmp_path: Path) -> None:
    with Child(command="uvicorn", args=("--version",), directory=tmp_path) as child:
        assert child.wait() == 0
    assert child.stdout.startswith("Running uvicorn")


def test_a_console_script_with_a_wrapper_of_sh(tmp_path: Path) -> None:
    script = tmp_path / "tool"
    script.write_text(
        f"#!/bin/sh\n'''exec' \"{sys.executable}\" \"$0\" \"$@\"\n' '''\n"
        "import sys; print(sys.argv)\n"
    )
    with Child(command=str(script), args=("x",), directory=tmp_path) as child:
        assert child.wait() == 0
    assert child.stdout == f"{[str(script), 'x']}\n"


def test_a_console_script_of_windows(tmp_path: Path) -> None:
    """A program with a zip archive at its end, which Python runs."""
    script = tmp_path / "Tool.EXE"
    with script.open("wb") as file:
        file.write(b"MZ" * 100)
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("__main__.py", "import sys; print(sys.argv)")
    with Child(command=str(script), args=("x",), directory=tmp_path) as child:
        assert child.wait() == 0
    assert child.stdout == f"{[str(script), 'x']}\n"


@pytest.mark.parametrize(
    ("target", "summary", "hint"),
    [
        ({"command": "sh", "args": ("-c", "true")}, "is no Python program", "only Python programs"),
        ({"command": "no-such-command"}, "no such command", ""),
        ({"command": "python"}, "nothing to run", "-m MODULE"),
        ({"command": "python", "args": ("-m",)}, "argument is missing", ""),
        ({"command": "python", "args": ("-Z", "x.py")}, "unknown option", ""),
        ({"command": "py", "args": ("-3.11",)}, "nothing to run", ""),
        ({"command": "./native.exe"}, "is no Python program", "only Python programs"),
        ({"script": "absent.py"}, "absent.py: no such file", ""),
        ({"module": "absent"}, "-m absent: No module named absent", ""),
        ({"module": "json"}, "cannot be directly executed", ""),
    ],
)
def test_what_cannot_be_run(tmp_path: Path, target: dict, summary: str, hint: str) -> None:
    (tmp_path / "native.exe").write_bytes(b"MZ" * 100)
    with Child(**target, directory=tmp_path) as child:
        failed = child.wait_for("failed")
        assert child.wait() == 2
    assert summary in failed["summary"]
    assert hint in failed["hint"]
    assert failed["is_usage"]
    assert child.stderr == ""


def test_options_of_python_are_noted(tmp_path: Path) -> None:
    args = ("-u", "-Xdev", "-W", "error", "-c", "print(1)")
    with Child(command="python", args=args, directory=tmp_path) as child:
        assert child.wait() == 0
        assert child.wait_for("note")["text"].endswith("python -u -Xdev -Werror")
    assert child.stdout == "1\n"
