"""What the project's own files say that a template needs: names of services, modules, directories.

Compose and Kubernetes files are read by a few regular expressions, since no YAML parser is at hand:
what they do not find has a default, and all of it is shown before anything is written.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from devlaunch.errors import UsageError

COMPOSE_FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_MANIFESTS = ("", "k8s", "kubernetes", "deploy", "deployment", "manifests", "kube")
_DOCKERFILES = ("Dockerfile", "Containerfile", "docker/Dockerfile")
_NAME = re.compile(r"^metadata:\s*\n(?:\s+.*\n)*?  name:\s*(\S+)", re.MULTILINE)
_CONTAINER = re.compile(r"containers:\s*\n(?:\s*#.*\n)*\s*-\s*name:\s*(\S+)")
DEFAULT_ROOT = "/app"


@dataclass(frozen=True, slots=True)
class Service:
    """A container that the app runs in; `source` is the file that says so, empty when none does."""

    name: str
    container: str
    root: str
    source: str
    port: str = ""
    """The port that the app has inside, when the file publishes one."""


def compose_service(root: str) -> Service:
    """The service that is built here, else the first."""
    source = next((name for name in COMPOSE_FILES if os.path.isfile(f"{root}/{name}")), "")
    blocks = _blocks(_text(root, source))
    built = [name for name, block in blocks.items() if re.search(r"(?m)^\s+build:", block)]
    name = next(iter([*built, *blocks]), "")
    block = blocks.get(name, "")
    mounted = re.search(r"""^\s*-\s*["']?\./?:(/[^\s:"']+)""", block, re.MULTILINE)
    published = re.search(r"""^\s*-\s*["']?(?:[\d.]+:)?\d+:(\d+)["']?\s*$""", block, re.MULTILINE)
    return Service(
        name or "web",
        name or "web",
        mounted[1] if mounted else _workdir(root),
        source if name else "",
        published[1] if published else "",
    )


def _blocks(text: str) -> dict[str, str]:
    """The services of a Compose file: each name with the lines below it."""
    _, _, below = re.sub(r"\A(?=services:)", "\n", text).partition("\nservices:")
    end = re.search(r"^[^\s#]", below.partition("\n")[2], re.MULTILINE)
    lines = below.partition("\n")[2][: end.start() if end else None].splitlines(keepends=True)
    indent = next((_indent(line) for line in lines if _is_content(line)), 0)
    blocks: dict[str, str] = {}
    name = ""
    for line in lines:
        if _is_content(line) and _indent(line) == indent:
            name = line.strip().partition(":")[0].strip("\"'")
            blocks[name] = ""
        elif name:
            blocks[name] += line
    return blocks


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _is_content(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def deployment(root: str) -> Service:
    """The first Deployment among the usual places for manifests."""
    for directory in _MANIFESTS:
        for file in _yaml_files(os.path.join(root, directory)):
            source = f"{directory}/{file}" if directory else file
            for document in re.split(r"^---", _text(root, source), flags=re.MULTILINE):
                if not re.search(r"^kind:\s*Deployment\s*$", document, re.MULTILINE):
                    continue
                name = _NAME.search(document)
                container = _CONTAINER.search(document)
                if name:
                    inner = container[1] if container else name[1]
                    return Service(name[1], inner, _workdir(root), source)
    return Service("web", "web", _workdir(root), "")


def _yaml_files(directory: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(directory) if name.endswith((".yaml", ".yml")))
    except OSError:
        return []


def _workdir(root: str) -> str:
    for name in _DOCKERFILES:
        found = re.findall(r"^WORKDIR\s+(/\S*)", _text(root, name), re.MULTILINE | re.IGNORECASE)
        if found:
            return str(found[-1]).rstrip("/") or "/"
    return DEFAULT_ROOT


def _text(root: str, name: str) -> str:
    try:
        with open(os.path.join(root, name), encoding="utf-8", errors="replace") as file:
            return file.read(1_000_000)
    except OSError:
        return ""


def sublime_project(root: str) -> str:
    """The name of the project file. Raises UsageError when there are several."""
    found = sorted(name for name in os.listdir(root) if name.endswith(".sublime-project"))
    usual = f"{os.path.basename(root) or 'project'}.sublime-project"
    if len(found) > 1 and usual not in found:
        raise UsageError(
            f"there are several projects here: {', '.join(found)}",
            hint="devlaunch init sublime --print shows what to add to one of them",
        )
    return found[0] if len(found) == 1 else usual


def pycharm_module(root: str) -> str:
    """The module's name: that of its .iml file, else PyCharm's choice, the directory's."""
    for directory in (os.path.join(root, ".idea"), root):
        try:
            found = sorted(name for name in os.listdir(directory) if name.endswith(".iml"))
        except OSError:
            continue
        if found:
            return found[0].removesuffix(".iml")
    return os.path.basename(root) or "project"
