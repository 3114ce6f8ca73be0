"""What must not grow: what is loaded before the first child, memory for large trees, work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest
from support.wait import wait_until

from devlaunch.config import Config, Isolation, Target, TargetKind
from devlaunch.core.filters import Filters
from devlaunch.errors import UsageError
from devlaunch.run.first_child import spawn_first
from devlaunch.system import _posix_table, process
from devlaunch.watching.tree import Tree

LATE = {
    *("pathspec", "watchdog", "logging", "ctypes"),  # for the watcher's thread
    *("hashlib", "_hashlib", "secrets", "ssl"),  # OpenSSL
    *("importlib.metadata", "tomllib", "asyncio", "debugpy"),
}


def loaded_by(code: str) -> set[str]:
    """What a fresh interpreter has loaded after this code, beyond what it always has."""
    show = "import json, sys; print(json.dumps(list(sys.modules)))"
    outputs = [
        subprocess.run([sys.executable, "-c", c], capture_output=True, text=True, check=True)
        for c in (show, f"{code}\n{show}")
    ]
    before, after = (set(json.loads(done.stdout)) for done in outputs)
    return after - before


@pytest.mark.parametrize(
    "module", ["devlaunch.cli", "devlaunch.watching.reloading", "devlaunch.system.process"]
)
def test_the_first_child_does_not_wait_for_what_it_does_not_need(module: str) -> None:
    loaded = loaded_by(f"import {module}")
    assert module in loaded
    assert not loaded & LATE


def test_the_command_line_is_read_before_the_launcher_is_loaded() -> None:
    loaded = loaded_by("import devlaunch.cli")
    assert not loaded & {"devlaunch.run.launcher", "devlaunch.events", "devlaunch.debuggers.link"}


# --- the first child ----------------------------------------------------------------------------


def config(directory: Path, **fields: object) -> Config:
    target = Target(TargetKind.APP, "app:app")
    return Config(target=target, app_dir=str(directory), port=0, **fields)  # type: ignore[arg-type]


def test_the_first_child_is_there_before_the_launcher_and_waits(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("from pathlib import Path\nPath('ran').touch()\n")
    with spawn_first(config(tmp_path)) as first:
        children = {first.child.pid, first.guardian.pid}
        assert children <= _posix_table.processes().keys()
        assert first.app_socket is not None
        start = _posix_table.start_time
        pids = sorted(children, key=lambda pid: (int(start(pid or 0)), pid))
        assert pids == [first.guardian.pid, first.child.pid], "guarded from the first on"
        # Has it read its environment? Then it is up, as far as it comes without being told more.
        mark = f"{process.MARK}={first.run_id}.0".encode()
        wait_until(lambda: mark in environment(first.child.pid), what="the mark")
    assert not children & _posix_table.processes().keys()
    assert not (tmp_path / "ran").exists()


def environment(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def test_a_first_child_that_fails_leaves_nothing(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with (
        pytest.raises(UsageError, match="no such program"),
        spawn_first(config(tmp_path, python="no-such-python")),
    ):
        pass
    assert len(os.listdir("/proc/self/fd")) == before


# --- large trees --------------------------------------------------------------------------------

FILES = 5_000
MOST_PER_FILE = 60
"""Bytes. A dict entry with a name and a tuple of four numbers takes more than 300."""


def test_the_picture_of_a_large_tree_is_small(tmp_path: Path) -> None:
    for directory in range(FILES // 100):
        path = tmp_path / f"package{directory}"
        path.mkdir()
        for file in range(100):
            (path / f"module{file}.py").touch()
    watched: list[str] = []

    def watch(path: str, whole: bool) -> None:
        watched.append(path)

    tree = Tree(Filters(str(tmp_path)), watch, watched.remove, time.time_ns())
    tracemalloc.start()
    try:
        tree.add(str(tmp_path), recursive=True)
        while tree.busy:
            tree.step()
        tree.pack()
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(watched) == 1 + FILES // 100
    assert size / FILES < MOST_PER_FILE
    # And nothing is forgotten.
    (tmp_path / "package3" / "module5.py").write_text("changed")
    (tmp_path / "package4" / "module6.py").unlink()
    tree.touched.clear()
    tree.refresh_all()
    while tree.busy:
        tree.step()
    assert tree.touched == {
        str(tmp_path / "package3" / "module5.py"),
        str(tmp_path / "package4" / "module6.py"),
    }


# --- the end of a child -------------------------------------------------------------------------


def reads() -> int:
    """The read(2) calls of this process so far (proc_pid_io(5))."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["syscr"])


@pytest.mark.skipif(sys.platform != "linux", reason="reads of /proc are counted")
@pytest.mark.parametrize(("code", "looks"), [("pass", 1), (None, 4)])
def test_the_next_child_waits_for_one_look_at_the_processes(code: str | None, looks: int) -> None:
    run_id = process.new_run_id()
    leave = "import subprocess; subprocess.Popen(['sleep', '60'])"
    child = process.spawn(
        [sys.executable, "-c", code or leave], run_id=run_id, isolate=Isolation.SESSION
    )
    wait_until(lambda: child.poll() is not None, what="the end")
    began = reads()
    everybody = len(_posix_table.processes(marked_since=1 << 62))
    a_look = reads() - began
    assert a_look >= everybody
    began = reads()
    child.look()
    child.reap()
    assert reads() - began < looks * a_look * 1.5 + 20
    assert not process.sweep(run_id, looks=1)
    if looks == 1:
        assert reads() - began < 3 * a_look + 40
