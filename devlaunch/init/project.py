"""What the project's own files say that a template needs: names of files, modules, directories."""

from __future__ import annotations

import os
import re

COMPOSE_FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_LINE = re.MULTILINE | re.IGNORECASE
_DOCKERFILES = ("Dockerfile", "Containerfile", "docker/Dockerfile")
DEFAULT_ROOT = "/app"


def compose_file(root: str) -> str:
    """The Compose file's name: that of the one which is there, else the usual one."""
    there = (name for name in COMPOSE_FILES if os.path.isfile(os.path.join(root, name)))
    return next(there, COMPOSE_FILES[0])


def directory_in_image(root: str) -> str:
    """The last WORKDIR of the Dockerfile, else the usual `/app`."""
    for name in _DOCKERFILES:
        try:
            with open(os.path.join(root, name), encoding="utf-8", errors="replace") as file:
                found = re.findall(r"^WORKDIR\s+(/\S*)", file.read(1_000_000), _LINE)
        except OSError:
            continue
        if found:
            return str(found[-1]).rstrip("/") or "/"
    return DEFAULT_ROOT


def sublime_project(root: str) -> str:
    """The name of the project file: one that is there, else the directory's."""
    usual = f"{os.path.basename(root) or 'project'}.sublime-project"
    there = _names(root, ".sublime-project")
    return usual if usual in there else next(iter(there), usual)


def pycharm_module(root: str) -> str:
    """The module's name: that of its .iml file, else PyCharm's choice, the directory's."""
    there = [*_names(os.path.join(root, ".idea"), ".iml"), *_names(root, ".iml")]
    return there[0].removesuffix(".iml") if there else os.path.basename(root) or "project"


def _names(directory: str, suffix: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(directory) if name.endswith(suffix))
    except OSError:
        return []
