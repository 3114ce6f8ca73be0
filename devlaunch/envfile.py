r"""The file of `--env-file`: variables for the app, one `KEY=VALUE` a line.

Strict and small. Allowed: blank lines, comments (`# …` alone or after a blank), `export KEY=…`,
values bare, in '…' (taken as they are) or in "…" (`\n \t \r \\ \" \$` are known). Variables
inside values are not expanded and a value ends with its line; who needs either should load the
file in the app with python-dotenv, whose plain lines mean the same.
"""

from __future__ import annotations

import re

from devlaunch.errors import UsageError

_ASSIGNMENT = re.compile(r"(?:export\s+)?(?P<key>[^\s=]+)\s*=\s*(?P<value>.*)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_QUOTED = re.compile(r"""('(?P<raw>[^']*)'|"(?P<text>(?:[^"\\]|\\.)*)")\s*(?:\#.*)?""")
_COMMENT = re.compile(r"(?:^|\s)#.*")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "$": "$"}


class _BrokenLine(ValueError):
    """What is wrong with a line."""


def read_env_file(path: str, origin: str = "--env-file") -> dict[str, str]:
    """The variables that the file sets, the last one of a name wins.

    `origin` is how errors name what asked for the file. Raises UsageError, which names the file,
    and the line when one is broken.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = file.read().split("\n")  # splitlines would also split at U+2028
    except UnicodeDecodeError:
        raise UsageError(f"{origin} {path}: is not UTF-8 text") from None
    except OSError as error:
        raise UsageError(f"{origin} {path}: {(error.strerror or str(error)).lower()}") from None
    return parse_env_lines(lines, path)


def parse_env_lines(lines: list[str], path: str) -> dict[str, str]:
    """As `read_env_file`, for lines that are read already; `path` is for the errors."""
    values: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            key, value = _parse_line(text)
        except _BrokenLine as error:
            # The line may hold a secret: only its place is shown.
            raise UsageError(f"{path}:{number}: {error}", hint="a line is KEY=VALUE") from None
        values[key] = value
    return values


def _parse_line(text: str) -> tuple[str, str]:
    match = _ASSIGNMENT.fullmatch(text)
    if match is None:
        raise _BrokenLine("there is no KEY= in this line")
    if not _NAME.fullmatch(match["key"]):
        raise _BrokenLine(f"{match['key']!r} cannot name a variable")
    return match["key"], _parse_value(match["value"])


def _parse_value(text: str) -> str:
    if "\0" in text:
        raise _BrokenLine("a variable cannot hold a NUL character")
    if not text.startswith(("'", '"')):
        return _COMMENT.sub("", text).rstrip()
    match = _QUOTED.fullmatch(text)
    if match is None:
        closed = text[0] in text[1:].replace(f"\\{text[0]}", "")
        raise _BrokenLine("text after the closing quote" if closed else "a quote is not closed")
    if match["raw"] is not None:
        return match["raw"]
    return re.sub(r"\\(.)", _unescape, match["text"])


def _unescape(match: re.Match[str]) -> str:
    if match[1] not in _ESCAPES:
        raise _BrokenLine(f"\\{match[1]} means nothing in double quotes; write \\\\{match[1]}")
    return _ESCAPES[match[1]]
