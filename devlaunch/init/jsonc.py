"""JSON with comments, edited as text: what an edit does not name stays as it was typed.

VS Code's launch.json and its kin have `//` and `/* */` comments and trailing commas, in whatever
layout their owner likes. So nothing is ever written from a parsed value: an edit puts a piece of
text between two offsets of the file. The grammar is that of VS Code's parser (node-jsonc-parser).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

Element = TypeVar("Element")

_SKIPPED = re.compile(r"(?:[ \t\r\n\ufeff]+|//[^\r\n]*|/\*.*?\*/)*", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_WORD = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])|(?:true|false|null)\b")
_DEEPEST = 100
"""Levels; a file of an editor has ten at most, and recursion has an end."""


class JsoncError(ValueError):
    """What is wrong, and `offset`, where in the text."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it stands: `text[start:end]`.

    `members` are an object's, `items` an array's; `has_comma` says that a comma follows the last.
    """

    start: int
    end: int
    kind: str
    """`object`, `array` or `scalar`."""
    scalar: object = None
    members: tuple[Member, ...] = ()
    items: tuple[Node, ...] = ()
    has_comma: bool = False

    @property
    def value(self) -> Any:
        """As json.loads would return it."""
        match self.kind:
            case "object":
                return {member.key: member.node.value for member in self.members}
            case "array":
                return [item.value for item in self.items]
        return self.scalar

    def get(self, key: str) -> Node | None:
        """The member's value; of several with this key the last, as in JavaScript."""
        return next((m.node for m in reversed(self.members) if m.key == key), None)

    @property
    def starts(self) -> list[int]:
        """Where each member or item begins."""
        return [member.start for member in self.members] + [item.start for item in self.items]

    @property
    def last_end(self) -> int | None:
        """Where the last member or item ends; None when there is none."""
        children = [member.node for member in self.members] or list(self.items)
        return children[-1].end if children else None


@dataclass(frozen=True, slots=True)
class Member:
    """`"key": node` of an object, from `start` on."""

    key: str
    start: int
    node: Node


def parse(text: str) -> Node:
    """The value of the whole text. Raises JsoncError."""
    parser = _Parser(text)
    node = parser.read_value(0)
    parser.skip()
    if parser.at < len(text):
        raise JsoncError(f"expected the end of the file, not {parser.seen}", parser.at)
    return node


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Counted from 1, as editors do."""
    before = text[:offset]
    return before.count("\n") + 1, offset - before.rfind("\n")


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    @property
    def seen(self) -> str:
        return repr(self.text[self.at]) if self.at < len(self.text) else "the end of the file"

    def skip(self) -> None:
        """Over white space and comments."""
        match = _SKIPPED.match(self.text, self.at)
        self.at = match.end() if match else self.at
        if self.text.startswith("/*", self.at):
            raise JsoncError("the comment is never closed", self.at)

    def take(self, character: str) -> bool:
        self.skip()
        found = self.text.startswith(character, self.at)
        self.at += found
        return found

    def read_value(self, depth: int) -> Node:
        self.skip()
        start = self.at
        if depth > _DEEPEST:
            raise JsoncError(f"nested deeper than {_DEEPEST} levels", start)
        if self.take("{"):
            members, comma = self._read_elements("}", depth, self._read_member)
            return Node(start, self.at, "object", members=members, has_comma=comma)
        if self.take("["):
            items, comma = self._read_elements("]", depth, self.read_value)
            return Node(start, self.at, "array", items=items, has_comma=comma)
        if self.text.startswith('"', start):
            text = self._read_string()
            return Node(start, self.at, "scalar", scalar=text)
        match = _WORD.match(self.text, start)
        if match is None:
            raise JsoncError(f"expected a value, not {self.seen}", start)
        self.at = match.end()
        return Node(start, self.at, "scalar", scalar=json.loads(match[0]))

    def _read_elements(
        self, close: str, depth: int, read: Callable[[int], Element]
    ) -> tuple[tuple[Element, ...], bool]:
        """Up to the closing bracket, and whether a comma follows the last."""
        found: list[Element] = []
        comma = True
        while not self.take(close):
            if not comma:
                raise JsoncError(f"expected , or {close}, not {self.seen}", self.at)
            found.append(read(depth + 1))
            comma = self.take(",")
        return tuple(found), comma and bool(found)

    def _read_member(self, depth: int) -> Member:
        self.skip()
        start = self.at
        key = self._read_string()
        if not self.take(":"):
            raise JsoncError(f"expected : after {json.dumps(key)}, not {self.seen}", self.at)
        return Member(key, start, self.read_value(depth))

    def _read_string(self) -> str:
        match = _STRING.match(self.text, self.at)
        if match is None:
            if self.text.startswith('"', self.at):
                raise JsoncError("the string is not closed, or has a bad escape", self.at)
            raise JsoncError(f'expected a key in "quotes", not {self.seen}', self.at)
        self.at = match.end()
        return str(json.loads(match[0]))
