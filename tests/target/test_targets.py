"""The four forms of TARGET, and the guess for whatever has none of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devlaunch.child.pasting import command
from devlaunch.config import TargetKind
from devlaunch.errors import UsageError
from devlaunch.target.words import FORMS, looks_like_app, parse_target

FILES = {
    "app.py": "app = FastAPI()\n",
    "tool.py": "print(1)\n",
    "typed.py": "application: Flask = Flask(__name__)\n",
    "odd:name": "",
    "noext": "",
    "my tool.py": "",
    "my dir/web.py": "",
    "pkg/__init__.py": "",
    "pkg/mod.py": "",
    "pkg/__main__.py": "",
    "src/web.py": "",
    "plain/x.txt": "",
}


@pytest.fixture
def project(tmp_path: Path) -> str:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return str(tmp_path)


@pytest.mark.parametrize(
    ("words", "kind", "name", "args"),
    [
        (["app:app"], TargetKind.APP, "app:app", ()),
        (["pkg.mod:web.app"], TargetKind.APP, "pkg.mod:web.app", ()),
        (["naïve:ünïcode"], TargetKind.APP, "naïve:ünïcode", ()),
        (["tool.py", "--x", "-m"], TargetKind.SCRIPT, "tool.py", ("--x", "-m")),
        (["./pkg/mod.py"], TargetKind.SCRIPT, "./pkg/mod.py", ()),
        (["noext"], TargetKind.SCRIPT, "noext", ()),
        (["odd:name"], TargetKind.SCRIPT, "odd:name", ()),
        (["-m", "pkg.mod", "--port", "1"], TargetKind.MODULE, "pkg.mod", ("--port", "1")),
        (["-mpkg"], TargetKind.MODULE, "pkg", ()),
        (["--", "celery", "-A", "p"], TargetKind.COMMAND, "celery", ("-A", "p")),
        (["--", "python", "-c", ""], TargetKind.COMMAND, "python", ("-c", "")),
    ],
)
def test_forms(
    project: str, words: list[str], kind: TargetKind, name: str, args: tuple[str, ...]
) -> None:
    target = parse_target(words, project)
    assert (target.kind, target.name, target.args) == (kind, name, args)


def test_a_script_can_be_made_absolute(project: str) -> None:
    target = parse_target(["pkg/../tool.py"], project, absolute=True)
    assert target.name == os.path.join(project, "tool.py")


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ([], "no target", "did you mean app:app?"),
        (["app.py:app"], "'app.py:app' does not have the form module:attr", "mean app:app?"),
        (["pkg/mod.py:web"], "does not have the form", "did you mean pkg.mod:web?"),
        (["pkg/mod:web"], "does not have the form", "did you mean pkg.mod:web?"),
        (["./app:app"], "does not have the form", "did you mean app:app?"),
        (["src/web.py:app"], "does not have the form", "did you mean --app-dir src web:app?"),
        (["app:"], "does not have the form", "did you mean app:app?"),
        ([":app"], "does not have the form", "did you mean app:app?"),
        (["app:make()"], "does not have the form", "did you mean --factory app:make?"),
        (["a-b:app"], "does not have the form", FORMS),
        (["app::app"], "does not have the form", FORMS),
        (["app:app", "extra"], "unexpected 'extra': an app target (app:app) takes no", ""),
        (["app"], "'app' is no target", "did you mean app:app?"),
        (["tool"], "'tool' is no target", "did you mean tool.py?"),
        (["typed"], "'typed' is no target", "did you mean typed:application?"),
        (["ap"], "'ap' is no target", "did you mean app:app?"),
        (["pkg.mod"], "'pkg.mod' is no target", "did you mean -m pkg.mod?"),
        pytest.param(
            ["ls", "-l"],
            "'ls' is no target",
            "did you mean -- ls -l?",
            marks=pytest.mark.posix("a command of it"),
        ),
        (["qqqqqq"], "'qqqqqq' is no target", FORMS),
        (["tol.py"], "no such file: tol.py", "did you mean tool.py?"),
        (["my tol.py"], "no such file: my tol.py", f"did you mean {command('my tool.py')}?"),
        (["my dir/web.py:app"], "form module:attr", f"--app-dir {command('my dir')} web:app"),
        (
            ["pkg/mid.py"],
            "no such file: pkg/mid.py",
            f"mean pkg{os.sep}mod.py?",
        ),
        (["no/such.py"], "no such file: no/such.py", ""),
        ([os.path.abspath("no/such.py")], "no such file: ", ""),
        pytest.param(
            ["tool.py/x.py"],
            "tool.py/x.py: not a directory",
            "",
            marks=pytest.mark.posix("ENOTDIR"),
        ),
        (["pkg"], "'pkg' is a directory", "did you mean -m pkg?"),
        (["plain"], "'plain' is a directory", FORMS),
        (["x\0.py"], "'x\\x00.py' cannot be the name of a file", FORMS),
        (["-m"], "no module after -m", "-m http.server"),
        (["-m", ""], "no module after -m", ""),
        (["-m", "tool.py"], "-m tool.py: not the name of a module", "did you mean -m tool?"),
        (["-m", "app:app"], "not the name of a module", "did you mean app:app?"),
        (["--"], "no command after --", "celery"),
        (["--what"], "'--what' is no target", FORMS),
        ([""], "'' is no target", FORMS),
    ],
)
def test_guesses(project: str, words: list[str], message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_target(words, project)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert hint or "did you mean" not in caught.value.hint


@pytest.mark.parametrize(
    ("name", "guess"),
    [
        ("main.py", "main.py"),
        ("asgi.py", "asgi.py"),
        ("manage.py", "-- python manage.py runserver"),
    ],
)
def test_candidates(tmp_path: Path, name: str, guess: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_target([], str(tmp_path))
    assert caught.value.hint == FORMS
    (tmp_path / name).touch()
    with pytest.raises(UsageError) as caught:
        parse_target([], str(tmp_path))
    assert caught.value.hint == f"did you mean {guess}?\n{FORMS}"


def test_files_come_before_the_form_of_an_app(project: str) -> None:
    assert looks_like_app("app:app", project)
    assert not looks_like_app("odd:name", project)
