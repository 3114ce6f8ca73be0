"""A directory with more than one path is watched once, and told of under each, on every system."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.wait import wait_until

from devlaunch.core.filters import Filters
from devlaunch.events import FilesTouched, WatchReady
from devlaunch.watching.watcher import Watcher


def link(target: Path) -> Path:
    """Another path, by what needs no privilege here: a symbolic link, or a junction of Windows."""
    made = target.with_name("Link")
    if sys.platform == "win32":
        import _winapi

        try:
            _winapi.CreateJunction(str(target), str(made))
        except OSError as error:
            pytest.skip(f"no junctions here: {error}")
    else:
        made.symlink_to(target)
    return made


SPELLINGS: dict[str, Callable[[Path], Path]] = {"link": link}
if os.path.normcase("A") == "a":
    SPELLINGS["case"] = lambda path: Path(str(path).upper())
    SPELLINGS["drive"] = lambda path: Path(str(path)[:1].lower() + str(path)[1:])


@contextmanager
def watching(root: Path, *watch: Path) -> Iterator[tuple[Watcher, set[str]]]:
    seen: set[str] = set()  # Path takes those for equal that differ in case
    posted: list[object] = []

    def post(event: object) -> None:
        posted.append(event)
        if isinstance(event, FilesTouched):
            seen.update(event.paths)

    filters = Filters(os.path.realpath(root), map(str, watch))
    watcher = Watcher(post=post, poll=0.05)
    watcher.watch_for(filters)
    watcher.start()
    try:
        wait_until(lambda: any(isinstance(each, WatchReady) for each in posted), 10, "ready")
        yield watcher, seen
    finally:
        watcher.stop()


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
def test_a_tree_by_another_path(tmp_path: Path, spell: Callable[[Path], Path]) -> None:
    real = Path(os.path.realpath(tmp_path)) / "Project"
    for name in ("pkg", "Pages", ".venv", "build", "__pycache__"):
        (real / name).mkdir(parents=True)
    (real / ".venv" / "pyvenv.cfg").touch()
    (real / ".gitignore").write_text("build/\n")
    spelled = spell(real)
    with watching(spelled, spelled / "Pages") as (watcher, seen):
        watcher.add_directories([str(spelled / "pkg")])
        for ignored in (".venv", "build", "__pycache__"):
            (real / ignored / "new.py").touch()
        news = [Path("Pages", "new.html"), Path("pkg", "new.py")]
        for name in news:
            (real / name).touch()
        wanted = {str(top / name) for top in (real, spelled) for name in news}
        wait_until(lambda: wanted <= seen, 10, lambda: f"{wanted} in {seen}")
        assert seen - wanted <= {str(real / ".gitignore")}


def test_a_link_within_the_tree(tmp_path: Path) -> None:
    elsewhere = Path(os.path.realpath(tmp_path)) / "elsewhere"
    project = elsewhere.with_name("project")
    elsewhere.mkdir()
    project.mkdir()
    inside = link(elsewhere).rename(project / "inside")
    with watching(project) as (_, seen):
        (elsewhere / "new.py").touch()
        wanted = {str(elsewhere / "new.py"), str(inside / "new.py")}
        wait_until(lambda: wanted <= seen, 10, lambda: f"{wanted} in {seen}")
