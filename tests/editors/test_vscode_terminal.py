"""In a VS Code terminal: the editor attaches by itself, as its Python debugger does it.

`Editor` does what `registerNoConfigDebug` of vscode-python-debugger does, on real file events: it
attaches for each file that is created in the directory, reads it at once, and takes a removal and a
creation within 75 ms for a change.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.dap import DapClient
from support.launch import launched, save
from support.wait import wait_until
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from devlaunch.debuggers.vscode import SETTLE, EndpointsFile

COALESCED = 0.075
APP = """\
VERSION = {version!r}

def app(environ, start_response):
    start_response("200 OK", [])
    return [VERSION.encode()]
"""
ARGS = ("--debug-attach", "--debug-address", "127.0.0.1:0", "--server", "wsgiref", "--port", "0")


class Editor(FileSystemEventHandler):
    def __init__(self, directory: Path) -> None:
        self.path = directory / "endpoint-1234.txt"
        self.ports: list[int] = []
        self._is_change_until: dict[str, float] = {}
        self._observer = Observer()
        self._observer.schedule(self, str(directory))
        self._observer.start()

    def on_deleted(self, event: FileSystemEvent) -> None:
        self._is_change_until[os.fsdecode(event.src_path)] = time.monotonic() + COALESCED

    def on_created(self, event: FileSystemEvent) -> None:
        path = os.fsdecode(event.src_path)
        if time.monotonic() > self._is_change_until.get(path, 0.0):
            text = wait_until(Path(path).read_text)
            self.ports.append(json.loads(text)["client"]["port"])

    def wait_port(self, number: int = 1) -> int:
        wait_until(lambda: len(self.ports) >= number, what=lambda: f"{self.ports}")
        return self.ports[-1]

    def close(self) -> None:
        self._observer.stop()
        self._observer.join()


@pytest.fixture
def editor(tmp_path: Path) -> Iterator[Editor]:
    directory = tmp_path / "endpoints"
    directory.mkdir()
    editor = Editor(directory)
    yield editor
    editor.close()


def launch(project: Path, editor: Editor, *args: str):
    save(project / "app.py", APP.format(version="1"))
    env = {"VSCODE_DEBUGPY_ADAPTER_ENDPOINTS": str(editor.path)}
    return launched(*ARGS, *args, "app:app", cwd=project, env=env)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


def test_the_editor_attaches_by_itself(editor: Editor, project: Path) -> None:
    with launch(project, editor) as run:
        with DapClient("localhost", editor.wait_port()) as ide:
            ide.attach(breakpoints={str(project / "app.py"): [4]})
            for version in "23":
                printed = len(run.text)
                save(project / "app.py", APP.format(version=version))
                run.wait_for(r"reloaded", after=printed)
                with ThreadPoolExecutor(1) as pool:
                    answer = pool.submit(run.get)
                    ide.wait_event("stopped")
                    ide.continue_()
                    assert answer.result() == version
        assert editor.path.stat().st_mode & 0o077 == 0
        run.process.send_signal(signal.SIGINT)
        run.process.wait(10)
    assert not editor.path.exists()
    assert len(editor.ports) == 1


def test_a_stale_file_does_no_harm(editor: Editor, project: Path) -> None:
    editor.path.write_text('{"client": {"host": "127.0.0.1", "port": 9}}')
    assert editor.wait_port() == 9
    with launch(project, editor) as run:
        assert editor.wait_port(2) == run.debug_port
    assert not editor.path.exists()


def test_a_killed_run_leaves_no_more_than_a_stale_file(editor: Editor, project: Path) -> None:
    with launch(project, editor) as run:
        editor.wait_port()
        run.process.kill()
        run.process.wait()
    with launch(project, editor) as run:
        assert editor.wait_port(2) == run.debug_port


def test_the_file_of_a_newer_run_is_not_removed(editor: Editor, project: Path) -> None:
    with launch(project, editor) as first:
        editor.wait_port()
        with launch(project, editor) as second:
            port = editor.wait_port(2)
            first.process.send_signal(signal.SIGINT)
            first.process.wait(10)
            assert json.loads(editor.path.read_text())["client"]["port"] == port
            assert port == second.debug_port
    assert not editor.path.exists()


def test_a_file_that_cannot_be_written_is_a_line_with_v_only(
    editor: Editor, project: Path, tmp_path: Path
) -> None:
    editor.path = tmp_path / "gone" / "endpoint.txt"
    with launch(project, editor, "-v") as run:
        run.wait_for(
            r"VS Code cannot be told of the debug address: no such file or directory: .*txt"
        )
        run.wait_served("1")


def test_nothing_is_written_without_debug_attach(editor: Editor, project: Path) -> None:
    save(project / "app.py", APP.format(version="1"))
    env = {"VSCODE_DEBUGPY_ADAPTER_ENDPOINTS": str(editor.path)}
    with launched("--server", "wsgiref", "--port", "0", "app:app", cwd=project, env=env) as run:
        run.wait_served("1")
        assert not editor.path.exists()
    assert editor.ports == []


def test_after_a_stale_file_the_new_one_waits_until_the_removal_has_been_seen(
    tmp_path: Path,
) -> None:
    path = tmp_path / "endpoint.txt"
    fresh = EndpointsFile(str(path), "127.0.0.1", 1, now=10.0)
    assert fresh.deadline == 10.0
    assert fresh.due(10.0) is None
    again = EndpointsFile(str(path), "127.0.0.1", 2, now=20.0)
    assert (again.deadline, path.exists()) == (20.0 + SETTLE, False)
    again.due(20.0 + SETTLE / 2)
    assert not path.exists()
    again.due(20.0 + SETTLE)
    assert (again.deadline, json.loads(path.read_text())["client"]["port"]) == (None, 2)
    fresh.remove()
    assert path.exists()
    again.remove()
    assert not path.exists()
