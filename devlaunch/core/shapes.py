"""What JSON has to look like before anything is made of it: types, checked at the border. Pure."""

from __future__ import annotations

from types import UnionType
from typing import Any

Shape = type | UnionType | tuple[Any, ...] | list[Any] | dict[str, Any]
"""A type, or several by `|`; a list whose items have the one shape in it; an object with the shapes
of its members, of which there may be more; a tuple of shapes, one of which has to fit."""

MAX_DEPTH = 100
"""Levels of nesting. Ours and DAP's messages need some ten of them; what Python reads it can write
again up to some 1000, less what is on the stack."""

_WORDS = {
    bool: "true or false",
    dict: "an object",
    float: "a number",
    int: "a number",
    list: "a list",
    str: "text",
}


def fault(value: object, shape: Shape, name: str) -> str:
    """What is wrong with `value`, which people know by `name`; empty when it has the shape."""
    match shape:
        case tuple():
            found = [fault(value, each, name) for each in shape]
            return "" if "" in found else found[-1]
        case list():
            if not isinstance(value, list):
                return _wrong(value, list, name)
            items = (fault(each, shape[0], f"{name}[{n}]") for n, each in enumerate(value))
            return next(filter(None, items), "")
        case dict():
            if not isinstance(value, dict):
                return _wrong(value, dict, name)
            prefix = f"{name}." if name else ""
            members = (fault(value.get(key), each, prefix + key) for key, each in shape.items())
            return next(filter(None, members), "")
        case _:
            # JSON's true is no number, though Python's True is an int.
            return "" if type(value) in _types(shape) else _wrong(value, shape, name)


def is_deep(value: object, text: bytes | bytearray) -> bool:
    """Whether it is nested more than MAX_DEPTH; `text` is the JSON that `value` was read from."""
    if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
        return False
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        items = (outer.values() if isinstance(outer, dict) else outer for outer in level)
        level = [inner for each in items for inner in each if isinstance(inner, dict | list)]
    return bool(level)


def _types(shape: type | UnionType) -> tuple[type, ...]:
    return shape.__args__ if isinstance(shape, UnionType) else (shape,)


def _wrong(value: object, shape: type | UnionType, name: str) -> str:
    wanted = " or ".join(_WORDS[each] for each in _types(shape) if each in _WORDS)
    return f"{name or 'it'!r} is {value!r:.40}, not {wanted}"
