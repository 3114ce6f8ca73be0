"""What is to be in a file of VS Code's and what is there, in; the text with both, out. Pure.

Only where the addition says something else does the result differ from the text; when all of it is
there already, the text comes back as it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from devlaunch.init import jsonc
from devlaunch.init.jsonc import Node

_WORDS: dict[type, str] = {dict: "object", list: "array"}


def merge_jsonc(text: str, addition: str, entries: str, key: str) -> str:
    """Add to the list `entries`, or bring up to date, the objects that are told apart by `key`.

    Of an entry that is there only what differs is written: what its owner has added to it stays. Of
    other members of the document those that are missing are added. Raises json.JSONDecodeError.
    """
    return _Merge(text, addition, entries, key).result()


@dataclass
class _Merge:
    """`edits` are (start, end, replacement) of the text."""

    text: str
    addition: str
    entries: str
    key: str
    edits: list[tuple[int, int, str]] = field(default_factory=list)

    def result(self) -> str:
        old, new = jsonc.parse(self.text), jsonc.parse(self.addition)
        self._expect(dict, "expected an object", old)
        self._merge_members(old, new, self._merge_member)
        text = self.text
        # From the end, so that the offsets stay true.
        for start, end, replacement in sorted(self.edits, reverse=True):
            text = text[:start] + replacement + text[end:]
        return text

    def _expect(self, kind: type, what: str, there: Node) -> None:
        if not isinstance(there.value, kind):
            seen = _WORDS.get(type(there.value), "scalar")
            raise json.JSONDecodeError(f"{what}, not {seen}", self.text, there.start)

    def _merge_member(self, there: Node, member: Node) -> None:
        if member.key == self.entries:
            self._expect(list, f"{member.key}: expected an array", there)
            self._merge_items(there, member)

    def _merge_members(self, old: Node, new: Node, merge: Callable[[Node, Node], object]) -> None:
        """Add what `old` does not have; `merge` is called with each value that it has."""
        missing = []
        for member in new.children:
            if (there := old.get(member.key)) is None:
                missing.append(member)
            else:
                merge(there, member)
        self._insert(old, missing)

    def _merge_items(self, old: Node, new: Node) -> None:
        missing = []
        for item in new.children:
            name = item.value[self.key]
            same = (e for e in old.children if (found := e.get(self.key)) and found.value == name)
            if (entry := next(same, None)) is None:
                missing.append(item)
            else:
                self._update(entry, item)
        self._insert(old, missing)

    def _update(self, old: Node, new: Node) -> None:
        """Make all that `new` says true of `old`; what else `old` says stays."""
        kinds = {type(old.value), type(new.value)}
        if kinds == {dict}:
            self._merge_members(old, new, self._update)
        elif kinds == {list} and 0 < len(old.children) <= len(new.children):
            # Item by item, since comments may stand between them.
            for there, item in zip(old.children, new.children, strict=False):
                self._update(there, item)
            self._insert(old, new.children[len(old.children) :])
        elif json.dumps(old.value) != json.dumps(new.value):  # true is not 1
            layout = _indentation(self.text, old.start)
            self.edits.append((old.start, old.end, self._rendered(new.start, new.end, layout)))

    def _insert(self, container: Node, added: Sequence[Node]) -> None:
        """Put these of the addition behind the last child."""
        if not added:
            return
        inside = self.text[container.start : container.end - 1]
        after = container.start + len(inside.rstrip())
        is_long = any("\n" in self.addition[node.begin : node.end] for node in added)
        if "\n" not in inside and container.children and not is_long:
            before, closing, indent = " ", "", ""
        else:
            indent = self._indent_of(container)
            before = self._newline + indent
            outer = _indentation(self.text, container.start)
            closing = "" if "\n" in self.text[after : container.end] else self._newline + outer
        text = ("," + before).join(self._rendered(n.begin, n.end, indent) for n in added)
        text = before + text + ("," if container.has_comma else "")
        if container.children and not container.has_comma:
            # Behind the child, since a comment may follow on its line.
            if (last := container.children[-1].end) == after:
                text = "," + text
            else:
                self.edits.append((last, last, ","))
        self.edits.append((after, after, text + closing))

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
        """Where the container's children begin, if on lines of their own."""
        for child in container.children:
            indent = _indentation(self.text, child.begin)
            if self.text[: child.begin].endswith("\n" + indent):
                return indent
        return _indentation(self.text, container.start) + self._unit


def _indentation(text: str, offset: int) -> str:
    """The white space that the line of this offset begins with."""
    line = text[text.rfind("\n", 0, offset) + 1 : offset]
    return line[: len(line) - len(line.lstrip(" \t"))]
