"""The CPythons of this machine, for the tests that should run on more than one."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.environments import APART, TOGETHER, install, lock, lock_of, python_of

STAMP = ".installed"
VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")


@functools.cache
def interpreters() -> dict[str, str]:
    """Version to executable: the running one, those on PATH, those of pyenv."""
    found = {running(): sys.executable}
    for version in VERSIONS:
        for candidate in _candidates(version):
            if version not in found and _is(candidate, version):
                found[version] = candidate
    return dict(sorted(found.items(), key=lambda item: int(item[0].partition(".")[2])))


def _candidates(version: str) -> list[str]:
    on_path = shutil.which(f"python{version}")
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    return [*([on_path] if on_path else []), *map(str, root.glob(f"{version}.*/bin/python"))]


def _is(executable: str, version: str) -> bool:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run(
            [executable, "-c", code], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.strip() == version


def running() -> str:
    """The version of this interpreter, as in `VERSIONS`."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def environment(name: str) -> Path:
    """Where that for another version is, or for what is apart: `.venv-3.12`, `.venv-reloaders`."""
    prefix = Path(sys.prefix)
    return prefix.with_name(f"{prefix.name}-{name}")


OLDEST_PYDEVD = "193.7288.30"
"""PyCharm 2019.3's, the oldest whose code CPython 3.11 accepts and that was seen to work there."""


def oldest_pydevd() -> Path | None:
    """`pydevd.py` of PyCharm 2019.3, in a directory of its own beside this environment."""
    file = Path(sys.prefix).with_name(f"{Path(sys.prefix).name}-pydevd") / "pydevd.py"
    return file if file.exists() else None


def launchers() -> list[object]:
    """The Pythons that can run devlaunch itself, as pytest parameters: this one, then others."""
    others = [
        pytest.param(str(python_of(environment(version))), id=version)
        for version in VERSIONS
        if version != running() and (environment(version) / STAMP).exists()
    ]
    return [pytest.param(sys.executable, id=running()), *others]


def apart() -> str:
    """The Python of the group that is apart from the others."""
    directory = environment(APART)
    assert (directory / STAMP).exists(), f"{directory.name} is not there: `make test` makes it"
    return str(python_of(directory))


def prepare(*, newest: bool = False) -> None:
    """Make an environment with devlaunch for each other supported version found here.

    And one of this version for the group that is apart from the others.
    """
    if oldest_pydevd() is None:
        prefix = Path(sys.prefix)
        options = ["--quiet", "--disable-pip-version-check", "--no-deps"]
        target = str(prefix.with_name(f"{prefix.name}-pydevd"))
        pip = [sys.executable, "-m", "pip", "install", *options, "--target", target]
        subprocess.run([*pip, f"pydevd-pycharm=={OLDEST_PYDEVD}"], check=True)
    others = [version for version in interpreters() if version not in ("3.10", running())]
    wanted: list[tuple[str, str, list[str]]] = [(version, version, []) for version in others]
    for name, version, groups in [*wanted, (APART, running(), [APART])]:
        directory = environment(name)
        if newest or not _is_current(directory, lock_of(version, groups)):
            print(f"setting up {directory.name}: devlaunch under Python {version}", flush=True)
            install(directory, groups, base=interpreters()[version], newest=newest)
            (directory / STAMP).touch()


def _is_current(directory: Path, locked: Path) -> bool:
    stamp = directory / STAMP
    if not stamp.exists():
        return False
    return not locked.exists() or locked.stat().st_mtime <= stamp.stat().st_mtime


def lock_all() -> None:
    """Write the locks of all Pythons found here that devlaunch runs on."""
    for version, base in interpreters().items():
        if version != "3.10":
            print(f"resolving for Python {version}: minutes", flush=True)
            for groups in (TOGETHER, [APART]):
                lock(version, base, groups)


if __name__ == "__main__":
    if sys.argv[1:] == ["lock"]:
        lock_all()
    else:
        prepare(newest=sys.argv[1:] == ["--newest"])
