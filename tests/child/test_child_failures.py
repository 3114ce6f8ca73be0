"""Apps that cannot be run: the traceback on stderr, and what the launcher is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.child import Child
from support.interpreters import interpreters

PYTHONS = pytest.mark.parametrize("python", interpreters().values(), ids=interpreters())


@PYTHONS
def test_an_exception_at_import(tmp_path: Path, python: str) -> None:
    (tmp_path / "app.py").write_text("import models\napp = None\n")
    (tmp_path / "models.py").write_text("def load():\n    return undefined\n\nload()\n")
    with Child(app="app:app", directory=tmp_path, python=python) as child:
        failed = child.wait_for("failed")
        assert child.wait() == 1
    lines = child.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1] == f'  File "{tmp_path}/app.py", line 1, in <module>'
    assert child.stderr.count("NameError: name 'undefined' is not defined") == 1
    assert "importlib" not in child.stderr
    assert "devlaunch" not in child.stderr
    assert failed["summary"] == "NameError: name 'undefined' is not defined"
    assert (failed["file"], failed["line"]) == (str(tmp_path / "models.py"), 2)
    assert not failed["is_usage"]


def test_chained_exceptions_are_printed_whole(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "try:\n    {}['key']\nexcept KeyError as e:\n    raise ValueError('bad') from e\n"
    )
    with Child(app="app:app", directory=tmp_path) as child:
        failed = child.wait_for("failed")
        child.wait()
    assert "KeyError: 'key'" in child.stderr
    assert "direct cause" in child.stderr
    assert (failed["summary"], failed["line"]) == ("ValueError: bad", 4)


@PYTHONS
@pytest.mark.parametrize("kind", ["app", "script"])
def test_a_syntax_error(tmp_path: Path, python: str, kind: str) -> None:
    path = tmp_path / "app.py"
    path.write_text("app = 1\ndef broken(:\n    pass\n")
    target = {"app": "app:app"} if kind == "app" else {"script": str(path)}
    with Child(**target, directory=tmp_path, python=python) as child:
        failed = child.wait_for("failed")
        assert child.wait() == 1
    assert f'File "{path}", line 2' in child.stderr
    assert "def broken(:" in child.stderr
    assert "devlaunch" not in child.stderr
    assert failed["summary"].startswith("SyntaxError: ")
    assert (failed["file"], failed["line"]) == (str(path), 2)


@PYTHONS
def test_a_file_in_utf_16_is_named(tmp_path: Path, python: str) -> None:
    """As PowerShell 5 writes what is redirected."""
    path = tmp_path / "app.py"
    path.write_text("x = 1\n", encoding="utf-16")
    with Child(app="app:app", directory=tmp_path, python=python) as child:
        failed = child.wait_for("failed")
    assert "null bytes" in failed["summary"]
    assert failed["file"] == str(path)


def test_a_missing_module_is_named_with_where_it_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text("")
    (tmp_path / "app.py").write_text("import pkg.later\n")
    with Child(app="app:app", directory=tmp_path) as child:
        failed = child.wait_for("failed")
    assert failed["missing_module"] == "pkg.later"
    assert failed["search_path"] == [str(tmp_path / "pkg")]
    (tmp_path / "app.py").write_text("import later\n")
    with Child(app="app:app", directory=tmp_path) as child:
        failed = child.wait_for("failed")
    assert failed["missing_module"] == "later"
    assert str(tmp_path) in failed["search_path"]
    assert not failed["is_usage"]


@pytest.mark.parametrize(
    ("target", "summary", "hint"),
    [
        ("nope:app", "no module named 'nope' in", "--app-dir"),
        ("app:", "not of the form module:attribute", "app:app"),
        ("app:aplication", "module app has no attribute 'aplication'", "app:application"),
        ("app:settings", "app:settings is a dict", "app:application"),
        ("app:nothing", "app:nothing is None", "app:application"),
        ("app:Config", "app:Config is the class Config", "app:application"),
        ("app:make", "app:make is a function", "--factory"),
        ("app:application.x", "has no attribute 'x'", ""),
    ],
)
def test_an_attribute_that_is_no_app(tmp_path: Path, target: str, summary: str, hint: str) -> None:
    (tmp_path / "app.py").write_text(
        "from flask import Flask, request\n"
        "settings = {}\nnothing = None\nclass Config: pass\ndef make(): pass\n"
        "application = Flask('x')\n"
    )
    with Child(app=target, directory=tmp_path) as child:
        failed = child.wait_for("failed")
        assert child.wait() == 2
    assert summary in failed["summary"]
    assert hint in failed["hint"]
    assert failed["is_usage"]
    assert child.stderr == ""


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn"])
@pytest.mark.parametrize("kind", ["starlette", "plain"])
def test_a_startup_hook_that_fails(tmp_path: Path, server: str, kind: str) -> None:
    starlette = (
        "from contextlib import asynccontextmanager\nfrom fastapi import FastAPI\n"
        "@asynccontextmanager\nasync def lifespan(app):\n    connect()\n    yield\n"
        "def connect():\n    raise OSError('no database')\n"
        "app = FastAPI(lifespan=lifespan)\n"
    )
    plain = (
        "async def app(scope, receive, send):\n    await receive()\n"
        "    await send({'type': 'lifespan.startup.failed', 'message': 'no database'})\n"
    )
    (tmp_path / "app.py").write_text(starlette if kind == "starlette" else plain)
    with Child(app="app:app", directory=tmp_path, server=server) as child:
        failed = child.wait_for("failed")
        assert child.wait() == 1
    assert child.stderr.count("OSError: no database" if kind == "starlette" else "no database") == 1
    assert "hypercorn" not in child.stderr
    assert "devlaunch" not in child.stderr
    assert "no database" in failed["summary"]
    if kind == "starlette":
        assert child.stderr.splitlines()[1].endswith('app.py", line 5, in lifespan')
        assert (failed["file"], failed["line"]) == (str(tmp_path / "app.py"), 8)
    assert not child.all("serving")


def test_the_users_own_excepthook_prints(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import sys\nsys.excepthook = lambda *a: print('mine', a[0].__name__, file=sys.stderr)\n1/0"
    )
    with Child(app="app:app", directory=tmp_path) as child:
        assert child.wait_for("failed")["line"] == 3
        assert child.wait() == 1
    assert child.stderr == "mine ZeroDivisionError\n"


def test_an_app_that_calls_exit_at_import(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import sys\nsys.exit(4)\n")
    with Child(app="app:app", directory=tmp_path) as child:
        failed = child.wait_for("failed")
        assert child.wait() == 4
    assert failed["summary"] == "app:app called sys.exit(4)"
    assert failed["line"] == 2


@PYTHONS
def test_the_files_that_may_have_to_be_mended_are_reported(tmp_path: Path, python: str) -> None:
    root, lib = tmp_path / "root", tmp_path / "lib"
    root.mkdir()
    lib.mkdir()
    (root / "app.py").write_text("import first\n")
    (lib / "first.py").write_text("try:\n    import cause\nexcept KeyError:\n    import last\n")
    (lib / "cause.py").write_text("{}['key']\n")
    (lib / "last.py").write_text("import syntax\n")
    (lib / "syntax.py").write_text("def broken(:\n")
    (lib / "other.py").write_text("")
    with Child(app="app:app", directory=root, python=python, env={"PYTHONPATH": str(lib)}) as child:
        failed = child.wait_for("failed")
        child.wait()
        names = ("first.py", "cause.py", "last.py", "syntax.py")
        assert child.files == {str(root / "app.py"), *(str(lib / name) for name in names)}
    assert [message["type"] for message in child.messages][-2:] == ["modules", "failed"]
    assert "files" not in failed


def test_the_files_of_a_startup_hook_and_of_an_exit_are_reported(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("def fail(): raise SystemExit(3)\nfail()\n")
    (tmp_path / "app.py").write_text("import helper\n")
    for target in ({"app": "app:app"}, {"script": str(tmp_path / "app.py")}):
        with Child(**target, directory=tmp_path) as child:
            assert child.wait() == 3
            if "app" in target:
                assert child.files == {str(tmp_path / "app.py"), str(tmp_path / "helper.py")}
