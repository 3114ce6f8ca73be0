"""Makes the environments for tests, checks and measurements: comes before all that is installed.

    python tests/support/environments.py .venv dev                   # as tests/locks says
    python tests/support/environments.py --newest .venv-newest dev   # the newest of everything

`make lock` writes tests/locks: a file for each Python, for all groups together, and one for the
group that goes into an environment of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

PROJECT = Path(__file__).parents[2]
LOCKS = PROJECT / "tests" / "locks"
NEWEST_PIP = "pip>=25.3"
"""The first with --build-constraint, which this needs; --group is older."""
BUILD = "hatchling>=1.26"
TOGETHER = ("dev", "bench")
APART = "reloaders"
"""The group that goes into an environment of its own: it would change that of the others."""
PROGRAMS = "Scripts" if os.name == "nt" else "bin"
SUFFIX = ".exe" if os.name == "nt" else ""


def python_of(directory: Path) -> Path:
    """The interpreter of a virtual environment."""
    return directory / PROGRAMS / f"python{SUFFIX}"


def lock_of(version: str, groups: Iterable[str] = ()) -> Path:
    """The file with what is to be installed under a Python: `tests/locks/3.12.txt`."""
    return LOCKS / (f"{version}-{APART}.txt" if APART in groups else f"{version}.txt")


def install(
    directory: Path, groups: Iterable[str], *, base: str = sys.executable, newest: bool = False
) -> None:
    """Make or complete an environment of the Python `base`, with devlaunch and these groups."""
    python = python_of(directory)
    if not python.exists():
        subprocess.run([base, "-m", "venv", str(directory)], check=True)
    version = _output(python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()
    lock = lock_of(version, groups)
    if not newest and not lock.exists():
        print(
            f"{directory.name}: there is no {lock.relative_to(PROJECT)}: the newest of everything"
        )
        newest = True
    limits = ["--upgrade"] if newest else ["--constraint", str(lock)]
    _pip(python, *limits, NEWEST_PIP)
    if not newest:
        limits += ["--build-constraint", str(lock)]
    options = [option for group in groups for option in ("--group", group)]
    _pip(python, *limits, "--editable", str(PROJECT), *options)


def lock(version: str, base: str, groups: Iterable[str] = TOGETHER) -> None:
    """Write a lock of a Python: the newest of everything that goes together, of this system."""
    with tempfile.TemporaryDirectory() as scratch:
        python, report = python_of(Path(scratch, "venv")), Path(scratch, "report.json")
        subprocess.run([base, "-m", "venv", str(python.parents[1])], check=True)
        _pip(python, "--upgrade", NEWEST_PIP)
        options = [option for group in groups for option in ("--group", group)]
        options += ["--dry-run", "--ignore-installed", "--report", str(report)]
        _pip(python, "--editable", str(PROJECT), *options, BUILD, NEWEST_PIP)
        found = [each["metadata"] for each in json.loads(report.read_text())["install"]]
    lines = [f"{each['name'].lower()}=={each['version']}\n" for each in found if not _is_ours(each)]
    LOCKS.mkdir(exist_ok=True)
    lock_of(version, groups).write_text("# Made by `make lock`.\n" + "".join(sorted(lines)))


def _is_ours(metadata: dict[str, str]) -> bool:
    return metadata["name"].startswith("devlaunch")


def _pip(python: Path, *arguments: str) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, *arguments], check=True, cwd=PROJECT)


def _output(python: Path, *arguments: str) -> str:
    return subprocess.run([python, *arguments], check=True, capture_output=True, text=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--newest", action="store_true")
    parser.add_argument("directory", type=Path)
    parser.add_argument("groups", nargs="*")
    arguments = parser.parse_args()
    install(arguments.directory.absolute(), arguments.groups, newest=arguments.newest)


if __name__ == "__main__":
    main()
