"""The files under `editors/`, with this project's target and address in place of the examples'.

A template is a file that works as it stands: it runs `app:app` and attaches to 127.0.0.1:5678.
Those words are its holes, so that every template can be read by its editor, a test, and people.
"""

from __future__ import annotations

import importlib.resources
import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import quoteattr

from devlaunch import DISTRIBUTION
from devlaunch.adapter.attributes import BY_OPTION
from devlaunch.config import Target, TargetKind
from devlaunch.errors import DevlaunchError
from devlaunch.target.options import TARGET

Hole = tuple[str, str]
"""A regular expression, and what goes there."""
EXAMPLE = "app:app"
DEFAULT_PORT = 5678


@dataclass(frozen=True, slots=True)
class Launch:
    """What the editor is to run and where it attaches.

    `words` are those behind `devlaunch`; `attributes` say the same to `devlaunch adapter`.
    """

    words: tuple[str, ...]
    attributes: Mapping[str, object]
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT


def to_attributes(given: Mapping[str, object], target: Target) -> dict[str, object]:
    """The launch attributes that say what these options and this target say."""
    arguments: dict[str, object] = {"args": list(target.args)} if target.args else {}
    found: dict[str, object]
    match target.kind:
        case TargetKind.APP:
            found = {"app": target.name}
        case TargetKind.SCRIPT:
            found = {"program": target.name, **arguments}
        case TargetKind.MODULE:
            found = {"module": target.name, **arguments}
        case TargetKind.COMMAND:
            found = {"command": [target.name, *target.args]}
    for key, value in given.items():
        if (attribute := BY_OPTION.get(key)) is not None:
            is_number = attribute.schema.get("type") == "integer"
            found[attribute.name] = int(str(value)) if is_number else value
    return found


def to_command_line(given: Mapping[str, Any]) -> tuple[str, ...]:
    """The words of a command line that say this."""
    words: list[str] = []
    for key, value in given.items():
        if isinstance(value, bool):
            words.append(f"--{key}" if value else f"--no-{key}")
        elif key != TARGET:
            items = value if isinstance(value, list) else [value]
            words += [word for item in items for word in (f"--{key}", item)]
    return (*words, *given[TARGET])


def load(name: str) -> str:
    """The text of `editors/<name>`: in the wheel inside of the package, in a clone beside it."""
    package = importlib.resources.files("devlaunch")
    for root in (package / "editors", package / ".." / "editors"):
        file = root.joinpath(*name.split("/"))
        if file.is_file():
            return file.read_text(encoding="utf-8")
    raise DevlaunchError(
        f"the template {name} is missing from this installation of devlaunch",
        hint=f"reinstall it: pip install --force-reinstall {DISTRIBUTION}",
    )


HOST = r"127\.0\.0\.1"
"""Where editors attach. A file that binds a port to loopback has a hole of its own for it."""


def render(text: str, file: str, launch: Launch, holes: Sequence[Hole] = ()) -> str:
    """The template's text for this launch; the file's suffix tells how its language quotes.

    All holes are filled in one pass, so that what goes into one is never taken for another.
    """
    language = _LANGUAGES[os.path.splitext(file)[1]]
    chosen = [
        *holes,
        (language.member.format(key="app", value=f'"{EXAMPLE}"'), language.members(launch)),
        (f'"{EXAMPLE}"', language.words(launch.words)),
        (rf"\b{EXAMPLE}\b", shlex.join(launch.words).replace("\n", " ")),
        (r"\b5678\b", str(launch.port)),
        (HOST, launch.host),
    ]
    pattern = "|".join(f"(?P<hole{number}>{hole})" for number, (hole, _) in enumerate(chosen))
    return re.sub(
        pattern,
        lambda match: chosen[int(str(match.lastgroup).removeprefix("hole"))][1],
        text,
        flags=re.MULTILINE,
    )


# --- languages ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Language:
    """How a language writes a member of an object, a list, what parts both, and a truth value."""

    member: str = '"{key}": {value}'
    array: str = "[{items}]"
    between: str = ", "
    true: str = "true"
    false: str = "false"

    def members(self, launch: Launch) -> str:
        """All attributes, as members of the object that the example's `app` is one of."""
        return self.between.join(
            self.member.format(key=key, value=self.value(value))
            for key, value in launch.attributes.items()
        )

    def words(self, words: Sequence[str]) -> str:
        """What stands for the example's quoted `app:app` in a list."""
        return self.between.join(map(self.value, words))

    def value(self, value: object) -> str:
        if isinstance(value, bool):
            return self.true if value else self.false
        if isinstance(value, list | tuple):
            return self.array.format(items=self.words(value))
        # Lua, TOML and Emacs Lisp read what JSON's strings are made of, too.
        return json.dumps(value, ensure_ascii=False)


class _Xml(_Language):
    """PyCharm's: the whole command line is one attribute, parted at spaces."""

    def words(self, words: Sequence[str]) -> str:
        return quoteattr(" ".join(map(self._quoted, words)), {'"': "&quot;"})

    @staticmethod
    def _quoted(word: str) -> str:
        if word and not re.search(r'[\s"]', word):
            return word
        escaped = word.replace('"', '\\"')
        return f'"{escaped}"'


_JSON = _Language()
_LANGUAGES: dict[str, _Language] = {
    ".json": _JSON,
    ".sublime-project": _JSON,
    ".yaml": _JSON,
    ".toml": _Language(member="{key} = {value}"),
    ".lua": _Language(member="{key} = {value}", array="{{ {items} }}"),
    ".el": _Language(member=":{key} {value}", between=" ", true="t", false=":json-false"),
    ".xml": _Xml(),
}
