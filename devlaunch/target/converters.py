"""From what people write to what the program uses: one converter for each kind of value.

A converter takes text (from a flag or a variable) or a TOML value and raises `BadValue`, whose text
completes the sentence "expected …".
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import cache
from typing import Any

from devlaunch import config
from devlaunch.child import servers
from devlaunch.core.filters import is_glob, is_pattern
from devlaunch.core.paths import plain, slashed

DEFAULT_POLL = 0.5
"""Seconds between two looks at the files when `--poll` is given without a value."""

_WORDS = {"true": True, "yes": True, "on": True, "1": True}
_WORDS |= {"false": False, "no": False, "off": False, "0": False}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(ms|s|)", re.ASCII)
_ADDRESS = re.compile(r"(?:(?:\[(?P<ip6>[^\[\]]+)\]|(?P<host>[^:\[\]]*)):)?(?P<port>\d+)", re.ASCII)


class BadValue(ValueError):
    """A value cannot be used; `expected` says what would have been, `hint` what to do next."""

    def __init__(self, expected: str, *, hint: str = "") -> None:
        super().__init__(expected)
        self.expected = expected
        self.hint = hint


def convert(kind: str, value: object, base: str) -> Any:
    """To a value of this kind (the name of a type in `config`); paths start from `base`."""
    if (kinds := choices(kind)) is not None:
        return _to_choice(value, kinds)
    converted = _CONVERTERS[kind](value)
    return _LOCATE[kind](converted, base) if kind in _LOCATE else converted


@cache
def choices(kind: str) -> type[StrEnum] | None:
    """The enumeration of this name; that of the servers is what `child.servers` declares."""
    if kind == "Server":
        return StrEnum("Server", [servers.AUTO, *servers.declared()])  # type: ignore[return-value]
    found = getattr(config, kind, None)
    return found if isinstance(found, type) and issubclass(found, StrEnum) else None


def nearest(word: str, valid: Iterable[str], *, cutoff: float = 0.5) -> str | None:
    """The valid word that is most like this one, None when nothing is like it."""
    import difflib

    return next(iter(difflib.get_close_matches(word, list(valid), n=1, cutoff=cutoff)), None)


def nearest_file(path: str, suffix: str = "") -> str | None:
    """The name beside this one, with this suffix, that is most like it."""
    directory, name = os.path.split(path)
    try:
        return nearest(name, [n for n in os.listdir(directory) if n.endswith(suffix)])
    except OSError:
        return None


def listed(words: Iterable[str], last: str = "or") -> str:
    """`a, b or c`."""
    *head, tail = words
    return f"{', '.join(head)} {last} {tail}" if head else tail


def to_text(value: object) -> str:
    """Text that is not empty."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise BadValue("text")
    return value


def to_bool(value: object) -> bool:
    """`true`, `yes`, `on`, `1` and their opposites."""
    if isinstance(value, str):
        value = _WORDS.get(value.lower(), value)
    if not isinstance(value, bool):
        raise BadValue("true or false")
    return value


def _to_number(value: object, expected: str, highest: int) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= highest:
        raise BadValue(expected)
    return value


def to_port(value: object) -> int:
    """A TCP port; 0 stands for any free one."""
    return _to_number(value, "a port from 0 (any free one) to 65535", 65535)


def to_fd(value: object) -> int:
    """The number of an open file descriptor."""
    return _to_number(value, "the number of a file descriptor", 2**31 - 1)


def to_duration(value: object) -> float:
    """Seconds, from `2`, `0.5`, `2s` or `500ms`."""
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        return float(match[1]) / (1000 if match[2] == "ms" else 1)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9:
        return float(value)
    raise BadValue("a duration such as 2, 0.5, 2s or 500ms")


def to_poll(value: object) -> float | None:
    """An interval in seconds above 0; `on` for the usual one, `off` (None) for OS events."""
    if isinstance(value, bool) or (
        isinstance(value, str) and value.lower() in _WORDS.keys() - {"1"}
    ):
        return DEFAULT_POLL if to_bool(value) else None
    try:
        interval = to_duration(value)
    except BadValue:
        interval = 0.0
    if not interval:
        raise BadValue("an interval such as 0.5, 2s or 500ms, or on, or off")
    return interval


def to_address(value: object) -> tuple[str, int]:
    """`HOST:PORT`, `[IPv6]:PORT`, `:PORT` or `PORT`, without a host 127.0.0.1."""
    match = _ADDRESS.fullmatch(str(value)) if isinstance(value, str | int) else None
    if match is None or isinstance(value, bool):
        hint = f"an IPv6 address goes in brackets: [{value}]:5678" if _is_bare_ip6(value) else ""
        raise BadValue("HOST:PORT, [IPv6]:PORT, :PORT or PORT", hint=hint)
    return match["ip6"] or match["host"] or "127.0.0.1", to_port(match["port"])


def _is_bare_ip6(value: object) -> bool:
    return (
        isinstance(value, str)
        and re.fullmatch(r"[0-9a-fA-F:.]*:[0-9a-fA-F:.]*:[^\]]*", value) is not None
    )


def _to_choice(value: object, kinds: type[StrEnum]) -> StrEnum:
    try:
        return kinds(to_text(value))
    except ValueError:
        close = nearest(str(value), kinds, cutoff=0.3)
        hint = f"did you mean {close}?" if close else ""
        raise BadValue(listed(kinds), hint=hint) from None


def to_pattern(value: object, separator: str = os.sep) -> str:
    """A glob, with its brackets closed and its ranges in order."""
    text = to_text(value)
    pattern = slashed(text, separator)
    if re.search(r"(?<!\\)\[(?![!^]?\]?[^\]/]+\])", pattern):
        raise BadValue(
            "a path or a glob", hint="the [ is never closed; write \\[ for the character"
        )
    if not is_pattern(pattern):
        raise BadValue(
            "a path or a glob",
            hint="a range goes upwards, as in [a-z], and a final \\ or a sole ! means nothing",
        )
    return text


def to_words(value: object, separator: str = os.sep) -> tuple[str, ...]:
    """The words of a TARGET: an array of them, or one text in the shell's quoting.

    A backslash that parts paths quotes nothing.
    """
    if isinstance(value, str):
        lexer = shlex.shlex(value, posix=True, punctuation_chars=False)
        lexer.whitespace_split, lexer.commenters = True, ""
        lexer.escape = lexer.escape.replace(separator, "")
        try:
            return tuple(lexer)
        except ValueError as error:
            raise BadValue("a target in the shell's quoting", hint=str(error).lower()) from None
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise BadValue("a target: text, or an array of texts")


def locate(path: str, base: str) -> str:
    """The absolute path, from `base` on; `~` is the home directory, links stay what they are."""
    return os.path.normpath(os.path.join(base, os.path.expanduser(plain(path))))


def locate_program(name: str, base: str) -> str:
    """As `locate`; a bare name stays one, to be looked up on PATH."""
    return locate(name, base) if os.path.dirname(name) else name


def locate_pattern(pattern: str, base: str) -> str:
    """As `locate`; a glob without a slash matches at any depth below `base`."""
    if is_glob(pattern) and not os.path.dirname(pattern):
        return os.path.join(base, "**", pattern)
    return locate(pattern, base)


_CONVERTERS: dict[str, Callable[[object], Any]] = {
    "bool": to_bool,
    "str": to_text,
    "Path": to_text,
    "Program": to_text,
    "Glob": to_pattern,
    "Pattern": to_pattern,
    "Port": to_port,
    "Descriptor": to_fd,
    "Address": to_address,
    "Seconds": to_duration,
    "Interval": to_poll,
}
_LOCATE = {"Path": locate, "Program": locate_program, "Glob": locate_pattern}
