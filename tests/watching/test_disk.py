"""What the disk says about a file."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from support.limits import no_descriptors

from devlaunch.watching.disk import (
    MOST_READ,
    as_monotonic,
    changed_ns,
    digest,
    discard_bytecode,
    is_withheld,
    open_shared,
)


def test_bytecode_of_changed_sources_is_removed_for_every_interpreter(tmp_path: Path) -> None:
    cache = tmp_path / "__pycache__"
    cache.mkdir()
    gone = ["a.cpython-310.pyc", "a.cpython-313.opt-1.pyc", "b.cpython-311.pyc"]
    kept = ["a2.cpython-311.pyc", "c.cpython-311.pyc", "a.cpython-311.txt"]
    for name in (*gone, *kept):
        (cache / name).touch()
    sources = ["a.py", "b.py", "c.html", "none/d.py"]
    discard_bytecode(str(tmp_path / name) for name in sources)
    assert sorted(path.name for path in cache.iterdir()) == sorted(kept)


def test_bytecode_that_cannot_be_removed_does_not_save_the_rest(tmp_path: Path) -> None:
    cache = tmp_path / "__pycache__"
    for number in range(8):  # in whatever order they are listed
        (cache / f"a.stuck-{number}.pyc").mkdir(parents=True)
        (cache / f"a.cpython-3{number}.pyc").touch()
    discard_bytecode([str(tmp_path / "a.py")])
    assert [path for path in cache.iterdir() if path.is_file()] == []


def test_the_digest_of_a_file_tells_its_content(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("x = 1\n")
    first = digest(str(path))
    os.utime(path, ns=(1, 1))
    assert digest(str(path)) == first
    path.write_text("x = 2\n")
    assert digest(str(path)) not in (first, None)
    path.unlink()
    assert digest(str(path)) is None


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    small.touch()
    large.touch()
    os.truncate(large, MOST_READ + 1)
    with no_descriptors():
        assert digest(str(small)) is None
        assert digest(str(large)) is not None


def test_a_large_file_that_was_rewritten_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "data.bin"
    with path.open("wb") as file:
        file.truncate(16 << 30)
    first = digest(str(path))
    assert first == digest(str(path))
    os.utime(path, ns=(1, 1))
    assert digest(str(path)) not in (first, None)
    os.truncate(path, MOST_READ)
    read = digest(str(path))
    os.utime(path, ns=(2, 2))
    assert digest(str(path)) == read


@pytest.mark.parametrize(
    ("ctime", "changed"),
    [
        pytest.param(999.75, 99.75, id="as it is"),
        pytest.param(999.0, 100.0, id="in seconds, which may be now"),
        pytest.param(990.0, 92.0, id="in seconds, a while ago"),
        pytest.param(4000.5, 100.0, id="later than now"),
    ],
)
def test_when_a_file_was_written(ctime: float, changed: float) -> None:
    assert as_monotonic(int(ctime * 1e9), wall=1000.0, monotonic=100.0) == changed


@pytest.mark.parametrize(
    ("mtime", "ctime", "posix", "windows"),
    [
        pytest.param(5, 5, 5, 5, id="edited"),
        pytest.param(3, 5, 5, 5, id="POSIX: renamed, or its mtime restored; Windows: copied"),
        pytest.param(5, 3, 3, 5, id="POSIX: an mtime to come then; Windows: edited"),
        pytest.param(1_500_000_000, 3, 3, 6, id="FAT: edited just now, rounded up"),
        pytest.param(9_000_000_000, 3, 3, 3, id="an mtime to come"),
    ],
)
def test_which_time_says_when_a_file_changed(
    mtime: int, ctime: int, posix: int, windows: int
) -> None:
    assert changed_ns(mtime, ctime, now_ns=6, ctime_is_birth=False) == posix
    assert changed_ns(mtime, ctime, now_ns=6, ctime_is_birth=True) == windows


@pytest.mark.skipif(sys.platform != "win32", reason="files are not kept from others here")
def test_what_is_read_is_not_in_the_way_of_an_editor(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("1")
    with open(path, opener=open_shared) as file:
        path.rename(tmp_path / "backup.py")
        path.write_text("2")
        (tmp_path / "backup.py").unlink()
        assert file.read() == "1"
    assert digest(str(path)) is not None
    gone = tmp_path / "gone"
    with pytest.raises(FileNotFoundError, match="gone"), open(gone, opener=open_shared):
        pass
    assert not is_withheld(str(path))
    assert not is_withheld(str(gone))


@pytest.mark.posix("a name is bytes")
def test_the_digest_of_a_directory_tells_its_names(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    first = digest(str(tmp_path))
    with open(os.fsencode(tmp_path) + b"/\xff", "wb"):
        pass
    assert digest(str(tmp_path)) not in (first, None)
