"""JSON with comments, read as text that is to be edited: each value with its place.

VS Code's launch.json and its kin have `//` and `/* */` comments and trailing commas, in whatever
layout their owner likes. So nothing is ever written from a parsed value: an edit puts a piece of
text between two offsets of the file. What JSON does not have is blanked, which leaves the offsets
as they are, and the rest is the standard library's.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

_STRING = r'"(?:[^"\\\n]|\\.)*"'
_COMMENT = re.compile(rf"{_STRING}|(//[^\r\n]*|/\*.*?\*/|\ufeff)", re.DOTALL)
# Behind a bracket, or another, it is an error, and stays one.
_LAST_COMMA = re.compile(rf"{_STRING}|[\[{{,]\s*,|(,(?=\s*[\]}}]))")
_BEFORE_MEMBER = re.compile(rf"[\s,]*({_STRING})\s*:\s*")
_BEFORE_ITEM = re.compile(r"[\s,]*()(?=[^\s,\]])")


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it stands: `text[start:end]`.

    `children` are an object's members or an array's items. A member has a key, at which it begins.
    """

    begin: int
    start: int
    end: int
    value: Any
    key: str = ""
    children: tuple[Node, ...] = ()
    has_comma: bool = False
    """A comma follows the last child."""

    def get(self, key: str) -> Node | None:
        """The member's value; of several with this key the last, as in JavaScript."""
        is_object = isinstance(self.value, dict)
        return next((c for c in reversed(self.children) if is_object and c.key == key), None)


def parse(text: str) -> Node:
    """The value of the whole text. Raises json.JSONDecodeError."""
    plain = _blanked(_COMMENT, text)
    strict = _blanked(_LAST_COMMA, plain)
    decoder = json.JSONDecoder()

    def read(begin: int, start: int, key: str = "") -> Node:
        value, end = decoder.raw_decode(strict, start)
        if not isinstance(value, dict | list):
            return Node(begin, start, end, value, key)
        before = _BEFORE_MEMBER if isinstance(value, dict) else _BEFORE_ITEM
        children: list[Node] = []
        at = start + 1
        while match := before.match(strict, at):
            name = json.loads(match[1] or '""')
            first = match.start(1)
            children.append(read(first, match.end(), name))
            at = children[-1].end
        has_comma = bool(children) and "," in plain[at:end]
        return Node(begin, start, end, value, key, tuple(children), has_comma)

    try:
        json.loads(strict)
        start = len(strict) - len(strict.lstrip())
        return read(start, start)
    except RecursionError:
        raise json.JSONDecodeError("Nested too deep", text, 0) from None


def _blanked(pattern: re.Pattern[str], text: str) -> str:
    """With spaces for what the pattern's group is."""
    return pattern.sub(
        lambda match: match[0] if match[1] is None else re.sub(r"[^\n]", " ", match[0]), text
    )
