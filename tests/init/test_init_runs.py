"""What `devlaunch init` writes, run as its editor runs it: breakpoints are hit on every start."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.dap import DapClient
from support.editor import editing
from support.launch import MODULE_LINE, WSGI, environment, free_port, launched, save
from support.vscode import VsCode

OPTIONS = ("--server", "wsgiref", "--port")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "app.py").write_text(WSGI.format(version="1"))
    (tmp_path / "pyproject.toml").write_text(
        f'[tool.devlaunch]\ndebug-address = "127.0.0.1:{free_port()}"\n'
    )
    return tmp_path


def written(project: Path, editor: str, name: str, port: int) -> Any:
    """The file that init writes; the app is found by its signature."""
    subprocess.run(
        [sys.executable, "-m", "devlaunch", "init", editor, "--yes", *OPTIONS, str(port)],
        cwd=project, env=environment(), stdin=subprocess.DEVNULL, check=True, timeout=60,
        capture_output=True,
    )  # fmt: skip
    text = (project / name).read_text()
    for variable in ("${workspaceFolder}", "${workspaceRoot}", "$ZED_WORKTREE_ROOT", "${folder}"):
        text = text.replace(variable, str(project))
    return json.loads(text)


def check_breakpoints(ide: DapClient, project: Path) -> None:
    """At import, and again after a save."""
    for version in ("2", "3"):
        stopped = ide.wait_event("stopped")
        assert ide.stop_lines(stopped)[0] == ("<module>", MODULE_LINE)
        ide.continue_(stopped["threadId"])
        save(project / "app.py", WSGI.format(version=version))


@pytest.mark.parametrize(
    ("editor", "name", "key"),
    [
        ("vscode", ".vscode/launch.json", "configurations"),
        ("zed", ".zed/debug.json", ""),
        ("sublime", "*.sublime-project", "debugger_configurations"),
    ],
)
def test_launch_under_debugpy(project: Path, editor: str, name: str, key: str) -> None:
    with VsCode(cwd=project, breakpoints={"app.py": [MODULE_LINE]}) as ide:
        name = name.replace("*", project.name)
        document = written(project, editor, name, ide.port)
        entries = document[key] if key else document
        (entry,) = [each for each in entries if each["request"] == "launch"]
        ide.launch(**{k: v for k, v in entry.items() if k not in ("label", "adapter")})
        check_breakpoints(ide.adopt(), project)


def test_the_task_and_attach_of_vscode(project: Path) -> None:
    with VsCode(cwd=project, breakpoints={"app.py": [MODULE_LINE]}) as ide:
        launch = written(project, "vscode", ".vscode/launch.json", ide.port)
        (task,) = json.loads((project / ".vscode" / "tasks.json").read_text())["tasks"]
        assert task["args"][:2] == ["-m", "devlaunch"]
        (entry,) = [each for each in launch["configurations"] if each["request"] == "attach"]
        with launched(*task["args"][2:], "--wait-for-client", cwd=project) as running:
            assert running.debug_port == entry["connect"]["port"]
            check_breakpoints(ide.attach(entry["connect"]["port"], **entry), project)


def test_the_adapter_of_vimspector(project: Path) -> None:
    with editing(project) as editor:
        document = written(project, "vimspector", ".vimspector.json", 0)
        assert document["adapters"]["devlaunch"]["command"] == ["devlaunch", "adapter"]
        entry = document["configurations"]["devlaunch: adapter"]["configuration"]
        path = str(project / "app.py")
        editor.ide.launch(breakpoints={path: [MODULE_LINE]}, **entry)
        check_breakpoints(editor.ide, project)
