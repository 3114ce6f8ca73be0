"""What the disk says about contents."""

from __future__ import annotations

from pathlib import Path

from devlaunch.contents import discard_bytecode


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
