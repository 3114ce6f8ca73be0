"""What is to be in a file of VS Code's and what is there, in; the text with both, out. Pure.

Only where the addition says something else does the result differ from the text; when all of it is
there already, the text comes back as it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from devlaunch.init import jsonc
from devlaunch.init.jsonc import JsoncError, Member, Node


def merge_jsonc(text: str, addition: str, entries: str, key: str) -> str:
    """Add to the list `entries`, or bring up to date, the objects that are told apart by `key`.

    Of an entry that is there only what differs is written: what its owner has added to it stays. Of
    other members of the document those that are missing are added. Raises JsoncError.
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
        if old.kind != "object":
            raise JsoncError(f"expected an object, not {old.kind}", old.start)
        self._merge_members(old, new, self._merge_member)
        text = self.text
        # From the end, so that the offsets stay true.
        for start, end, replacement in sorted(self.edits, reverse=True):
            text = text[:start] + replacement + text[end:]
        return text

    def _merge_member(self, there: Node, member: Member) -> None:
        if member.key != self.entries:
            return
        if there.kind != "array":
            raise JsoncError(f"{member.key}: expected an array, not {there.kind}", there.start)
        self._merge_items(there, member.node)

    def _merge_members(self, old: Node, new: Node, merge: Callable[[Node, Member], object]) -> None:
        """Add what `old` does not have; `merge` is called with each value that it has."""
        missing = []
        for member in new.members:
            if (there := old.get(member.key)) is None:
                missing.append((member.start, member.node.end))
            else:
                merge(there, member)
        self._insert(old, missing)

    def _merge_items(self, old: Node, new: Node) -> None:
        missing = []
        for item in new.items:
            name = item.value[self.key]
            same = (e for e in old.items if (found := e.get(self.key)) and found.value == name)
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
