"""`devlaunch init`, by the real command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.launch import environment
from support.pty import Pty

from devlaunch.errors import DevlaunchError
from devlaunch.init.files import Change, write
from devlaunch.init.jsonc import parse as parse_jsonc

FASTAPI = "from fastapi import FastAPI\napp = FastAPI()\n"
MINE = """\
{
  // mine
  "version": "0.2.0",
  "configurations": [
    { "name": "tests", "type": "debugpy", }, // keep
  ],
}
"""
EDITORS = (
    "vscode", "pycharm", "neovim", "emacs", "zed", "helix", "sublime", "vimspector",
    "compose", "k8s",
)  # fmt: skip


def init(*words: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "devlaunch", "init", *words],
        cwd=cwd, env=environment(**{"PYTHONIOENCODING": "utf-8", **variables}),
        stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=60, check=False, encoding="utf-8",
    )  # fmt: skip


def asked(*words: str, cwd: Path, **variables: str) -> Pty:
    return Pty(
        [sys.executable, "-m", "devlaunch", "init", *words],
        cwd=str(cwd), env=environment(TERM="xterm", **variables),
    )  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "shop"
    root.mkdir()
    (root / "main.py").write_text("raise SystemExit('it was imported')\n" + FASTAPI)
    return root


def files_of(root: Path) -> dict[str, str]:
    return {
        p.relative_to(root).as_posix(): p.read_text("utf-8") for p in root.rglob("*") if p.is_file()
    }


@pytest.mark.parametrize("editor", EDITORS)
def test_an_editor_in_a_new_project(project: Path, editor: str) -> None:
    before = files_of(project)
    done = init(editor, "--yes", cwd=project)
    assert (done.returncode, done.stderr) == (0, "")
    written = files_of(project)
    new = written.keys() - before.keys()
    assert new
    assert not [name for name in new if "tmp" in name]
    assert all(name in done.stdout for name in new)
    assert any("main:app" in written[name] for name in new)
    assert not any("app:app" in written[name].replace("main:app", "") for name in new)
    rows = [line for line in done.stdout.splitlines() if "➜" in line]
    assert len({line.index("  ", line.index("➜") + 3) for line in rows}) >= 1
    assert rows[0].split()[1:3] == ["target", "main:app"]
    assert rows[0].endswith("FastAPI, main.py:3")
    assert "\x1b" not in done.stdout
    again = init(editor, cwd=project)
    assert (again.returncode, again.stderr) == (0, "")
    assert files_of(project) == written
    assert "same" in again.stdout
    assert "@@" not in again.stdout
    printed = init(editor, "--print", cwd=project)
    assert printed.returncode == 0
    assert all(written[name] in printed.stdout for name in new)


def test_what_is_there_is_merged_and_shown(project: Path) -> None:
    launch = project / ".vscode" / "launch.json"
    launch.parent.mkdir()
    launch.write_text(MINE)
    launch.chmod(0o640)
    mode = launch.stat().st_mode & 0o777  # Windows knows no more of it than read-only
    done = init("vscode", "--yes", cwd=project)
    assert done.returncode == 0, done.stderr
    text = launch.read_text("utf-8")
    assert text.startswith(MINE[: MINE.index("  ],")])
    names = [entry["name"] for entry in parse_jsonc(text).value["configurations"]]
    assert names == ["tests", "devlaunch", "devlaunch: attach"]
    assert launch.stat().st_mode & 0o777 == mode
    lines = done.stdout.splitlines()
    assert lines[lines.index("--- .vscode/launch.json") + 1] == "+++ .vscode/launch.json"
    assert lines[lines.index("--- /dev/null") + 1] == "+++ .vscode/tasks.json"
    assert '+      "name": "devlaunch",' in lines
    assert not [line for line in lines if line.startswith("-") and not line.startswith("---")]


@pytest.mark.parametrize(
    ("words", "args"),
    [
        (["other:app"], ["other:app"]),
        (["--port", "9000"], ["--port", "9000", "main:app"]),
        (["--factory", "x:make"], ["--factory", "x:make"]),
        (
            ["x:app", "-v", "--watch=*.a", "--no-reload", "--watch", "*.b"],
            ["--watch", "*.a", "--watch", "*.b", "--no-reload", "--verbose", "x:app"],
        ),
        (["-m", "shop", "--yes"], ["-m", "shop", "--yes"]),
        (["main.py", "-y"], ["main.py", "-y"]),
        (["--", "celery", "worker"], ["--", "celery", "worker"]),
    ],
)
def test_the_words_of_a_run(project: Path, words: list[str], args: list[str]) -> None:
    done = init("zed", "--print", *words, cwd=project)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)[1]["args"] == args
    assert not (project / ".zed").exists()


def test_pyproject_says_what_runs_and_where_editors_attach(project: Path) -> None:
    (project / "pyproject.toml").write_text(
        '[tool.devlaunch]\ntarget = "worker:app"\ndebug-address = "127.0.0.1:6000"\n'
    )
    done = init("zed", "--print", cwd=project)
    attach, launch = json.loads(done.stdout)
    assert attach["connect"] == {"host": "127.0.0.1", "port": 6000}
    assert launch["args"] == ["worker:app"]


def test_it_says_which_others_there_were(project: Path) -> None:
    for name in ("admin", "b", "c", "d", "e", "f", "g"):
        (project / f"{name}.py").write_text(FASTAPI)
    done = init("zed", "--yes", cwd=project)
    (row,) = [line for line in done.stdout.splitlines() if "others" in line]
    assert "admin:app, b:app, c:app, d:app, e:app and 2 more  name one to choose it" in row


@pytest.mark.parametrize(
    ("editor", "name"),
    [
        ("pycharm", ".run/devlaunch.run.xml"),
        ("neovim", ".nvim.lua"),
        ("emacs", "devlaunch.el"),
        ("zed", ".zed/debug.json"),
        ("helix", ".helix/languages.toml"),
        ("sublime", "other.sublime-project"),
        ("vimspector", ".vimspector.json"),
        ("compose", "compose.devlaunch.yaml"),
        ("k8s", "devlaunch.k8s.yaml"),
    ],
)
def test_what_is_there_is_its_owners(project: Path, editor: str, name: str) -> None:
    """The part is printed, with where it goes; a file beside it that is not there is written."""
    path = project / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    before = files_of(project)
    done = init(editor, "--yes", cwd=project)
    assert (done.returncode, done.stderr) == (1, "")
    assert f"==> for {name} <==\n" in done.stdout
    assert "main:app" in done.stdout
    (row,) = [line for line in done.stdout.splitlines() if "➜  there" in line]
    assert len(row.partition(name)[2].split()) > 3
    after = files_of(project)
    assert after.pop(".run/devlaunch attach.run.xml", "").count("remoteAddress") == (
        editor == "pycharm"
    )
    assert after == before


def test_line_ends_are_no_difference(project: Path) -> None:
    assert init("zed", "--yes", cwd=project).returncode == 0
    path = project / ".zed" / "debug.json"
    path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    done = init("zed", "--yes", cwd=project)
    assert (done.returncode, "same" in done.stdout) == (0, True)


def test_compose_attaches_by_vscode_where_that_is_in_use(project: Path) -> None:
    (project / ".vscode").mkdir()
    done = init("compose", "--yes", cwd=project)
    assert done.returncode == 0
    assert (project / "compose.devlaunch.yaml").exists()
    (entry,) = json.loads((project / ".vscode" / "launch.json").read_text("utf-8"))[
        "configurations"
    ]
    assert entry["pathMappings"] == [{"localRoot": "${workspaceFolder}", "remoteRoot": "/app"}]


@pytest.mark.posix("a script is a program")
def test_a_command_that_the_editor_would_not_find(project: Path) -> None:
    done = init("helix", "--yes", "main.py", "two words", cwd=project, PATH="/usr/bin")
    rows = [line for line in done.stdout.splitlines() if "➜" in line]
    assert rows[0].endswith("target    main.py 'two words'")
    assert "devlaunch is not on PATH" in rows[1]
    bin_directory = project / "bin"
    bin_directory.mkdir()
    (bin_directory / "devlaunch").write_text("#!/bin/sh\n")
    (bin_directory / "devlaunch").chmod(0o755)
    found = init("helix", "main.py", "two words", cwd=project, PATH=f"{bin_directory}:/usr/bin")
    assert (found.returncode, "not on PATH" in found.stdout) == (0, False)


# --- the question -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "status", "is_written"),
    [("\r", 0, True), ("y\r", 0, True), ("n\r", 1, False), ("what\r", 1, False), ("\x04", 1, False),
     ("\x03", 130, False)],
)  # fmt: skip
def test_new_files_are_a_yes_by_default(
    project: Path, answer: str, status: int, is_written: bool
) -> None:
    with asked("zed", cwd=project, NO_COLOR="1") as pty:
        pty.wait_for("Write .zed/debug.json? [Y/n] ")
        assert not (project / ".zed").exists()
        pty.press(answer)
        assert pty.wait_ended() == status
        assert (project / ".zed" / "debug.json").exists() == is_written
        if status == 1:
            pty.wait_for("nothing was written")
        assert "\x1b" not in pty.screen


@pytest.mark.parametrize(("answer", "status"), [("\r", 1), ("yes\r", 0)])
def test_what_is_there_is_a_no_by_default(project: Path, answer: str, status: int) -> None:
    launch = project / ".vscode" / "launch.json"
    launch.parent.mkdir()
    launch.write_text(MINE)
    with asked("vscode", cwd=project) as pty:
        pty.wait_for("Write these 2 files? [y/N] ")
        pty.press(answer)
        assert pty.wait_ended() == status
        assert (launch.read_text("utf-8") == MINE) == bool(status)
        assert "\x1b[32m+" in pty.screen


def test_it_does_not_write_what_changed_meanwhile(project: Path) -> None:
    debug = project / ".zed" / "debug.json"
    with asked("zed", cwd=project, NO_COLOR="1") as pty:
        pty.wait_for("[Y/n] ")
        debug.parent.mkdir()
        debug.write_text("[]")
        pty.press("y\r")
        assert pty.wait_ended() == 1
        pty.wait_for(".zed/debug.json: it was changed meanwhile")
        assert debug.read_text("utf-8") == "[]"


# --- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ([], "no editor: whose files shall be written?", "vscode, pycharm, neovim, emacs, zed"),
        (["--yes"], "no editor", ""),
        (["vscod"], "there is no editor 'vscod'", "did you mean vscode?"),
        (["notepad"], "there is no editor 'notepad'", "devlaunch init EDITOR, with vscode"),
        (["--yse", "zed"], "there is no option --yse", "did you mean --yes?"),
        (["zed", "--yse"], "there is no option --yse", "did you mean --yes?"),
        (["zed", "--prot", "1"], "there is no option --prot", "did you mean --port?"),
        (["zed", "--print", "--yes"], "--print and --yes exclude each other", ""),
        (["zed", "main.app"], "'main.app' is no target", "did you mean"),
        (["zed", "--port", "http", "main:app"], "--port: expected a port", ""),
        (["zed"], "there is no terminal to ask whether to write", "--yes writes without asking"),
    ],
)
def test_mistakes(project: Path, words: list[str], message: str, hint: str) -> None:
    before = files_of(project)
    done = init(*words, cwd=project)
    assert done.returncode == 2
    assert f"devlaunch: error: {message}" in done.stderr
    assert hint in done.stderr
    assert files_of(project) == before


def test_no_app(tmp_path: Path) -> None:
    done = init("zed", "--yes", cwd=tmp_path)
    assert done.returncode == 2
    assert "no app was found here" in done.stderr
    assert "devlaunch init zed main:app" in done.stderr


@pytest.mark.parametrize(
    ("editor", "name", "text", "place"),
    [
        ("vscode", ".vscode/tasks.json", b'{\n  "tasks": [,]\n}', ".vscode/tasks.json:2:13: "),
        ("vscode", ".vscode/launch.json", b'{"a": "\xff"}', ".vscode/launch.json:1: is not UTF-8"),
    ],
)
def test_a_broken_file_is_left_alone(
    project: Path, editor: str, name: str, text: bytes, place: str
) -> None:
    path = project / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text)
    done = init(editor, "--yes", cwd=project)
    assert done.returncode == 1
    assert f"devlaunch: error: {place}" in done.stderr
    assert "nothing was written" in done.stderr
    assert path.read_bytes() == text
    assert len(list(path.parent.iterdir())) == (1 if path.parent != project else 2)


def test_a_directory_in_the_way(project: Path) -> None:
    (project / ".zed" / "debug.json").mkdir(parents=True)
    done = init("zed", "--yes", cwd=project)
    assert done.returncode == 1
    assert ".zed/debug.json: is a directory" in done.stderr


def test_a_file_in_the_way_of_the_directory(project: Path) -> None:
    (project / ".zed").write_text("")
    done = init("zed", "--yes", cwd=project)
    assert done.returncode == 1
    assert ".zed/debug.json: not a directory" in done.stderr


@pytest.mark.posix("a link takes no privilege")
def test_a_link_stays_a_link(project: Path) -> None:
    (project / "real.json").write_text(" \n")
    (project / ".zed").mkdir()
    (project / ".zed" / "debug.json").symlink_to("../real.json")
    assert init("zed", "--yes", cwd=project).returncode == 0
    assert (project / ".zed" / "debug.json").is_symlink()
    assert len(json.loads((project / "real.json").read_text("utf-8"))) == 2


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(DevlaunchError, match="cannot be written"):
        write(Change(str(tmp_path / ("x" * 250)), "x", None, "text"))
    assert os.listdir(tmp_path) == ["there"]


def test_a_terminal_that_cannot_show_it(project: Path) -> None:
    launch = project / ".vscode" / "launch.json"
    launch.parent.mkdir()
    launch.write_bytes('{\r\n  "configurations": [\r\n    // ä \x1b[2J\r\n  ]\r\n}\r\n'.encode())
    done = init("vscode", "--print", cwd=project, PYTHONIOENCODING="latin-1")
    assert done.returncode == 0, done.stderr
    variables = environment(PYTHONIOENCODING="ascii")
    command = [sys.executable, "-m", "devlaunch", "init", "vscode", "--yes"]
    shown = subprocess.run(command, cwd=project, env=variables, capture_output=True, check=True)
    assert b"// \\xe4 \\x1b[2J" in shown.stdout
    assert "// ä \x1b[2J\r\n".encode() in launch.read_bytes()


def test_the_help_names_every_editor(project: Path) -> None:
    for words in (["--help"], ["zed", "-h"], ["-h", "zed"]):
        done = init(*words, cwd=project)
        assert (done.returncode, done.stderr) == (0, "")
        assert all(f"\n  {editor} " in done.stdout for editor in EDITORS)
        assert all(len(line) <= 100 for line in done.stdout.splitlines())
