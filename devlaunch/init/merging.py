"""What is to be there and what is there already, in; the text with both, out. Pure.

Each format has a function `(text, addition) -> text`. What it returns differs from `text` only
where the addition says something else; when all of it is there already, `text` comes back as it
was. They raise MergeError, with the line, for a text that is not of their format.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

from devlaunch.init import jsonc
from devlaunch.init.jsonc import JsoncError, Member, Node

Path = tuple[str, ...]


class MergeError(ValueError):
    """The text that is there cannot be added to; `line` counts from 1, 0 when there is none."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


# --- JSON with comments -------------------------------------------------------------------------


def merge_jsonc(text: str, addition: str, containers: Mapping[Path, str]) -> str:
    """Add to, or bring up to date, the entries of the containers at these paths.

    A container is an array of objects told apart by the key that it is mapped to, or (mapped to "")
    an object whose members are the entries. Of an entry that is there only what differs is written:
    what its owner has added to it stays. Outside of containers nothing that is there is changed.
    """
    if not text.strip("\ufeff \t\r\n"):
        return addition
    try:
        merge = _JsoncMerge(text, addition, containers)
        return merge.result()
    except JsoncError as error:
        raise MergeError(str(error), *jsonc.line_and_column(text, error.offset)) from None


@dataclass
class _JsoncMerge:
    """`edits` are (start, end, replacement) of the text."""

    text: str
    addition: str
    containers: Mapping[Path, str]
    edits: list[tuple[int, int, str]] = field(default_factory=list)

    def result(self) -> str:
        self._merge(jsonc.parse(self.text), jsonc.parse(self.addition), ())
        text = self.text
        # From the end, so that the offsets stay true.
        for start, end, replacement in sorted(self.edits, reverse=True):
            text = text[:start] + replacement + text[end:]
        return text

    def _merge(self, old: Node, new: Node, path: Path) -> None:
        """Above the containers, and the containers themselves."""
        if new.kind != old.kind:
            article = "an" if new.kind in ("object", "array") else "a"
            where = f"{path[-1]}: " if path else ""
            raise JsoncError(f"{where}expected {article} {new.kind}, not {old.kind}", old.start)
        if path in self.containers:
            if new.kind == "object":
                self._update(old, new)
            else:
                self._merge_items(old, new, self.containers[path])
            return

        def merge(there: Node, member: Member) -> None:
            inner = (*path, member.key)
            if any(container[: len(inner)] == inner for container in self.containers):
                self._merge(there, member.node, inner)

        self._merge_members(old, new, merge)

    def _merge_members(self, old: Node, new: Node, merge: Callable[[Node, Member], object]) -> None:
        """Add what `old` does not have; `merge` is called with each value that it has."""
        missing = []
        for member in new.members:
            if (there := old.get(member.key)) is None:
                missing.append((member.start, member.node.end))
            else:
                merge(there, member)
        self._insert(old, missing)

    def _merge_items(self, old: Node, new: Node, key: str) -> None:
        missing = []
        for item in new.items:
            name = item.value[key]
            same = (each for each in old.items if (found := each.get(key)) and found.value == name)
            if (entry := next(same, None)) is None:
                missing.append((item.start, item.end))
            else:
                self._update(entry, item)
        self._insert(old, missing)

    def _update(self, old: Node, new: Node) -> None:
        """Make all that `new` says true of `old`; what else `old` says stays."""
        if old.kind == new.kind == "object":
            self._merge_members(old, new, lambda there, member: self._update(there, member.node))
        elif old.kind == new.kind == "array" and 0 < len(old.items) <= len(new.items):
            # Item by item, since comments may stand between them.
            for there, item in zip(old.items, new.items, strict=False):
                self._update(there, item)
            self._insert(old, [(item.start, item.end) for item in new.items[len(old.items) :]])
        elif json.dumps(old.value) != json.dumps(new.value):  # true is not 1
            layout = _indentation(self.text, old.start)
            self.edits.append((old.start, old.end, self._rendered(new.start, new.end, layout)))

    def _insert(self, container: Node, spans: list[tuple[int, int]]) -> None:
        """Put these spans of the addition behind the last element."""
        if not spans:
            return
        inside = self.text[container.start : container.end]
        after = container.end - 1 - (len(inside[:-1]) - len(inside[:-1].rstrip()))
        is_long = any("\n" in self.addition[start:end] for start, end in spans)
        if "\n" not in inside and container.starts and not is_long:
            before, closing, indent = " ", "", ""
        else:
            indent = self._indent_of(container)
            before = self._newline + indent
            outer = _indentation(self.text, container.start)
            closing = "" if "\n" in self.text[after : container.end] else self._newline + outer
        rendered = [self._rendered(start, end, indent) for start, end in spans]
        added = before + ("," + before).join(rendered) + ("," if container.has_comma else "")
        last = container.last_end
        if last is not None and not container.has_comma:
            # Behind the element, since a comment may follow on its line.
            self.edits.append((last, last, ","))
        if self.edits and self.edits[-1] == (after, after, ","):
            self.edits[-1] = (after, after, "," + added + closing)
        else:
            self.edits.append((after, after, added + closing))

    def _rendered(self, start: int, end: int, indent: str) -> str:
        """A span of the addition, in the layout of the text."""
        theirs = _indentation(self.addition, start)
        head, *rest = self.addition[start:end].split("\n")
        lines = [head]
        for line in rest:
            inner = line.removeprefix(theirs)
            depth = len(inner) - len(inner.lstrip(" "))
            lines.append(indent + self._unit * (depth // 2) + inner.lstrip(" "))
        return self._newline.join(lines)

    @property
    def _newline(self) -> str:
        return "\r\n" if "\r\n" in self.text else "\n"

    @property
    def _unit(self) -> str:
        """One level of the text's indentation."""
        match = re.search(r"[\[{][^\n\S]*(?://[^\n]*)?\r?\n([ \t]+)(?=\S)", self.text)
        return match[1] if match else "  "

    def _indent_of(self, container: Node) -> str:
        """Where the container's elements begin, if on lines of their own."""
        for start in container.starts:
            indent = _indentation(self.text, start)
            if self.text[:start].endswith("\n" + indent):
                return indent
        return _indentation(self.text, container.start) + self._unit


def _indentation(text: str, offset: int) -> str:
    """The white space that the line of this offset begins with."""
    line = text[text.rfind("\n", 0, offset) + 1 : offset]
    return line[: len(line) - len(line.lstrip(" \t"))]


# --- a block in a file of code ------------------------------------------------------------------


def merge_block(text: str, addition: str, comment: str) -> str:
    """Put the addition between two lines of comment, in place of what is between them already."""
    first = f"{comment} devlaunch init: begin (what is in here is written anew)"
    last = f"{comment} devlaunch init: end"
    begin = re.search(rf"^{re.escape(comment)} devlaunch init: begin[^\n]*\n", text, re.MULTILINE)
    end = re.search(rf"^{re.escape(last)}[ \t]*(?=\r?$)", text, re.MULTILINE)
    newline = "\r\n" if "\r\n" in text else "\n"
    block = f"{first}\n{addition.rstrip()}\n{last}".replace("\n", newline)
    if begin is None and end is None:
        gap = "" if not text.strip() else newline if text.endswith("\n") else newline * 2
        return text + gap + block + newline
    if begin is None or end is None or end.start() < begin.end():
        at = (begin or end).start() if begin or end else 0  # type: ignore[union-attr]
        line, _ = jsonc.line_and_column(text, at)
        raise MergeError("one of the two lines that devlaunch init has written is missing", line)
    return text[: begin.start()] + block + text[end.end() :]


# --- Helix's languages.toml ---------------------------------------------------------------------

_HEADER = re.compile(
    r"^[ \t]*\[\[?[ \t]*([^\[\]\n#]+?)[ \t]*\]\]?[ \t]*(?:#[^\n]*)?$", re.MULTILINE
)


def merge_languages(text: str, addition: str) -> str:
    """Helix's `[[language]]` for Python with our debugger.

    Helix merges what several `[[language]]` of one name say, the later over the earlier, and knows
    one debugger for each: ours goes to the end, or in place of the one that has our name.
    """
    wanted = tomllib.loads(addition)["language"][0]
    before = _load_toml(text)
    languages = before.get("language", [])
    mine = [
        number
        for number, language in enumerate(languages)
        if language.get("name") == wanted["name"]
        and language.get("debugger", {}).get("name") == wanted["debugger"]["name"]
    ]
    newline = "\r\n" if "\r\n" in text else "\n"
    addition = addition.replace("\n", newline)
    if not mine:
        gap = "" if not text.strip() else newline if text.endswith("\n") else newline * 2
        return text + gap + addition
    if languages[mine[-1]]["debugger"] == wanted["debugger"]:
        return text
    merged = _replace_debugger(text, addition, mine[-1], newline)
    expected = [*languages]
    expected[mine[-1]] = {**expected[mine[-1]], "debugger": wanted["debugger"]}
    try:
        is_right = tomllib.loads(merged.replace("\r\n", "\n")) == {**before, "language": expected}
    except tomllib.TOMLDecodeError:
        is_right = False
    if not is_right:
        raise MergeError("the debugger that has our name is not written as Helix's docs do it")
    return merged


def _replace_debugger(text: str, addition: str, number: int, newline: str) -> str:
    """The tables `language.debugger…` of the n-th `[[language]]`, in the addition's words."""
    headers = [(match[1], match.start()) for match in _HEADER.finditer(text)]
    headers.append(("", len(text)))
    starts = [index for index, (name, _) in enumerate(headers) if name == "language"]
    if number >= len(starts):
        return text
    index = starts[number] + 1
    while not headers[index][0].startswith("language.debugger") and headers[index][0]:
        index += 1
    end = index
    while headers[end][0].startswith("language.debugger"):
        end += 1
    tables = addition[addition.index("[language.debugger]") :]
    rest = text[headers[end][1] :]
    return text[: headers[index][1]] + tables + (newline + rest if rest else "")


def _load_toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text.replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError as error:
        what, _, where = str(error).partition(" (at ")
        match = re.match(r"line (\d+), column (\d+)", where)
        line, column = (int(match[1]), int(match[2])) if match else (text.count("\n") + 1, 0)
        raise MergeError(what[:1].lower() + what[1:], line, column) from None


# --- PyCharm's run configurations ---------------------------------------------------------------


def merge_run_configuration(text: str, addition: str, ours: frozenset[str]) -> str:
    """Set the options that are `ours`; what PyCharm or its user has made of the others stays."""
    if not text.strip():
        return addition
    there = _options(text)
    for name, value in _options(addition).items():
        if name not in ours or there.get(name) == value:
            continue
        option = re.search(rf'<option name="{name}" value="[^"]*" ?/>', addition)
        written = option[0] if option else ""
        pattern = re.compile(rf'<option\s+name="{name}"\s+value="[^"]*"\s*/>')
        if name in there:
            text, count = pattern.subn(lambda _, new=written: new, text, count=1)  # type: ignore[misc]
            if not count:
                raise MergeError(f"the option {name} is not written as PyCharm does it")
        else:
            text = text.replace("  </configuration>", f"    {written}\n  </configuration>", 1)
    return text


def _options(text: str) -> dict[str, str]:
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        line, column = error.position
        raise MergeError(str(error).partition(":")[0], line, column + 1) from None
    return {
        option.get("name", ""): option.get("value", "")
        for option in root.findall("./configuration/option")
    }


# --- a file that is ours alone ------------------------------------------------------------------


def replace(_text: str, addition: str) -> str:
    """The addition."""
    return addition
