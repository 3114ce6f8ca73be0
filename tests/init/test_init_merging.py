"""What `devlaunch init vscode` does to a text that is there: added to, never lost."""

from __future__ import annotations

import json
import random
from functools import partial
from typing import Any

import pytest

from devlaunch.init import jsonc
from devlaunch.init.merging import merge_jsonc

LAUNCH = """\
{
  "version": "0.2.0",
  "configurations": [
    {
      "name": "devlaunch",
      "args": ["app:app"],
      "connect": { "port": 5678 }
    }
  ]
}
"""
merge_launch = partial(merge_jsonc, entries="configurations", key="name")


# --- reading ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{}", {}),
        ("[]", []),
        (' /* a */ [1, -2.5e3, true, false, null, "x"] // b', [1, -2500.0, True, False, None, "x"]),
        ('{"a": {"b": [1, 2,],},}', {"a": {"b": [1, 2]}}),
        ('\ufeff{"a": "// no comment"}', {"a": "// no comment"}),
        ('{"a": "/* nor this */", /* but "this": 1, */ }', {"a": "/* nor this */"}),
        (r'{"a": "\"\\\u00e9\n"}', {"a": '"\\é\n'}),
        ('{"a": 1, "a": 2}', {"a": 2}),
        ('{\r\n"a"\r\n:\r\n1}', {"a": 1}),
    ],
)
def test_reading(text: str, value: object) -> None:
    assert jsonc.parse(text).value == value


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", (1, 1)),
        ("{", (1, 2)),
        ('{\n  "a": 1\n  "b": 2\n}', (3, 3)),
        ('{\n  "a" 1}', (2, 7)),
        ("[1,, 2]", (1, 4)),
        ("[,]", (1, 2)),
        ("{ /* a */ , }", (1, 11)),
        ('["a\nb"]', (1, 4)),
        (r'["\x"]', (1, 3)),
        ("[1] 2", (1, 5)),
        ("{'a': 1}", (1, 2)),
        ("[1] /* never", (1, 5)),
        ("[01]", (1, 3)),
        ("[nul]", (1, 2)),
        ("[" * 100_000, (1, 1)),
    ],
)
def test_what_is_no_json(text: str, place: tuple[int, int]) -> None:
    with pytest.raises(json.JSONDecodeError) as caught:
        jsonc.parse(text)
    assert (caught.value.lineno, caught.value.colno) == place


def test_plain_json_reads_as_json_does() -> None:
    source = random.Random(5)
    for _ in range(300):
        value = arbitrary(source, 4)
        for text in (json.dumps(value), json.dumps(value, indent=3, ensure_ascii=False)):
            assert jsonc.parse(text).value == value


def arbitrary(source: random.Random, depth: int) -> Any:
    kind = source.randrange(7 if depth else 5)
    if kind == 5:
        return [arbitrary(source, depth - 1) for _ in range(source.randrange(4))]
    if kind == 6:
        return {f'k{n}\n"é': arbitrary(source, depth - 1) for n in range(source.randrange(4))}
    return [None, True, -17, 2.5e-3, 'say "ha"\\\t😀 // no /* comment'][kind]


# --- merging ----------------------------------------------------------------------------------

MERGES = {
    "an empty object": (
        "{}\n",
        '{\n  "version": "0.2.0",\n  "configurations": [\n    {\n      "name": "devlaunch",\n'
        '      "args": ["app:app"],\n      "connect": { "port": 5678 }\n    }\n  ]\n}\n',
    ),
    "an empty list": (
        '{\n\t"configurations": []\n}',
        '{\n\t"configurations": [\n\t\t{\n\t\t\t"name": "devlaunch",\n\t\t\t"args": ["app:app"],\n'
        '\t\t\t"connect": { "port": 5678 }\n\t\t}\n\t],\n\t"version": "0.2.0"\n}',
    ),
    "a neighbour with a comment": (
        '{\n    "version": "0.2.0", // theirs\n    "configurations": [\n'
        '        { "name": "other" } // the other\n        // { "name": "off" }\n    ]\n}\n',
        '{\n    "version": "0.2.0", // theirs\n    "configurations": [\n'
        '        { "name": "other" }, // the other\n        // { "name": "off" }\n'
        '        {\n            "name": "devlaunch",\n            "args": ["app:app"],\n'
        '            "connect": { "port": 5678 }\n        }\n    ]\n}\n',
    ),
    "trailing commas stay the habit": (
        '{\n  "version": "9",\n  "configurations": [\n    { "name": "other", },\n  ],\n}\n',
        '{\n  "version": "9",\n  "configurations": [\n    { "name": "other", },\n    {\n'
        '      "name": "devlaunch",\n      "args": ["app:app"],\n'
        '      "connect": { "port": 5678 }\n    },\n  ],\n}\n',
    ),
    "ours is brought up to date, what was added to it stays": (
        '{\n  "version": "0.2.0",\n  "configurations": [\n    {\n      // mine\n'
        '      "name": "devlaunch",\n      "args": [\n        "old:app" // was\n      ],\n'
        '      "env": { "A": "1" }, /* keep */\n      "connect": { "port": 1, "host": "h" }\n'
        "    }\n  ]\n}\n",
        '{\n  "version": "0.2.0",\n  "configurations": [\n    {\n      // mine\n'
        '      "name": "devlaunch",\n      "args": [\n        "app:app" // was\n      ],\n'
        '      "env": { "A": "1" }, /* keep */\n      "connect": { "port": 5678, "host": "h" }\n'
        "    }\n  ]\n}\n",
    ),
    "a member is missing, on one line": (
        '{"version": "0.2.0", "configurations": [{"name": "devlaunch", "args": ["app:app"]}]}',
        '{"version": "0.2.0", "configurations": [{"name": "devlaunch", "args": ["app:app"], '
        '"connect": { "port": 5678 }}]}',
    ),
    "comments in a list": (
        '{"version": "1", "configurations": [{"name": "devlaunch", "args": ["x" /* y */],'
        ' "connect": {"port": 5678}}]}',
        '{"version": "1", "configurations": [{"name": "devlaunch", "args": ["app:app" /* y */],'
        ' "connect": {"port": 5678}}]}',
    ),
    "fewer words than before": (
        '{"version": "1", "configurations": [{"name": "devlaunch", "args": ["x", "y"],'
        ' "connect": {"port": 5678}}]}',
        '{"version": "1", "configurations": [{"name": "devlaunch", "args": ["app:app"],'
        ' "connect": {"port": 5678}}]}',
    ),
    "line ends of Windows": (
        '{\r\n  "version": "0.2.0",\r\n  "configurations": [\r\n  ]\r\n}\r\n',
        LAUNCH.replace("\n", "\r\n"),
    ),
    "the order is theirs": (
        '{"configurations": [{"connect": {"port": 5678}, "args": ["app:app"], "name": "devlaunch"},'
        ' {"name": "z"}], "version": 1}',
        None,
    ),
}


@pytest.mark.parametrize(("before", "after"), MERGES.values(), ids=MERGES.keys())
def test_merging_launch_json(before: str, after: str | None) -> None:
    merged = merge_launch(before, LAUNCH)
    assert merged == (before if after is None else after)
    assert merge_launch(merged, LAUNCH) == merged


@pytest.mark.parametrize(
    ("before", "line", "message"),
    [
        ('{\n  "configurations": {}\n}', 2, "configurations: expected an array, not object"),
        ("[]", 1, "expected an object, not array"),
        ('{\n  "configurations": [\n    {,}\n  ]\n}', 3, "Expecting property name"),
    ],
)
def test_what_cannot_be_merged(before: str, line: int, message: str) -> None:
    with pytest.raises(json.JSONDecodeError, match=message) as caught:
        merge_launch(before, LAUNCH)
    assert caught.value.lineno == line


def test_words_are_added_to_a_list() -> None:
    addition = '{"configurations": [{"name": "devlaunch", "args": ["-m", "app", "x"]}]}'
    for args, merged in (
        ('["a:b"]', '["-m", "app", "x"]'),
        ('[\n  "a:b", // was\n]', '[\n  "-m", // was\n  "app",\n  "x",\n]'),
        ("[]", '["-m", "app", "x"]'),
    ):
        text = f'{{"configurations": [{{"name": "devlaunch", "args": {args}}}]}}'
        assert merge_launch(text, addition) == text.replace(args, merged)


def test_true_is_not_1() -> None:
    addition = '{"configurations": [{"name": "devlaunch", "a": true}]}'
    merged = merge_launch('{"configurations": [{"name": "devlaunch", "a": 1}]}', addition)
    assert merged == '{"configurations": [{"name": "devlaunch", "a": true}]}'


def test_entries_without_the_key_are_not_ours() -> None:
    merged = merge_launch('{"configurations": [1, null, {}, {"name": 2}]}', LAUNCH)
    assert jsonc.parse(merged).value["configurations"][:4] == [1, None, {}, {"name": 2}]


class Scribe:
    """Writes JSON as no machine would: comments, trailing commas, any layout."""

    def __init__(self, source: random.Random) -> None:
        self.source = source
        self.comments: list[str] = []

    def gap(self) -> str:
        parts = []
        for _ in range(self.source.randrange(3)):
            mark = f'comment {len(self.comments)} ], }} " ,'
            match self.source.randrange(6):
                case 0:
                    parts.append(f"// {mark}\n")
                    self.comments.append(mark)
                case 1:
                    parts.append(f"/* {mark} */")
                    self.comments.append(mark)
                case 2:
                    parts.append("\n\t")
                case _:
                    parts.append(self.source.choice(["", " ", "\n", "\n    "]))
        return "".join(parts)

    def write(self, value: Any) -> str:
        if isinstance(value, dict):
            parts = [
                f"{self.gap()}{json.dumps(key)}{self.gap()}:{self.gap()}{self.write(each)}"
                for key, each in value.items()
            ]
            return self.enclosed("{", parts, "}")
        if isinstance(value, list):
            return self.enclosed("[", [self.gap() + self.write(each) for each in value], "]")
        return json.dumps(value)

    def enclosed(self, first: str, parts: list[str], last: str) -> str:
        comma = "," if parts and self.source.randrange(2) else ""
        inside = ",".join(part + self.gap() for part in parts)
        return f"{first}{inside}{comma}{self.gap()}{last}"


def test_nothing_is_lost_whatever_the_layout() -> None:
    source = random.Random(7)
    wanted = jsonc.parse(LAUNCH).value["configurations"][0]
    for _ in range(400):
        scribe = Scribe(source)
        number = source.randrange(3)
        others = [{"name": f"other {n}", "x": arbitrary(source, 2)} for n in range(number)]
        ours = {"name": "devlaunch", "args": ["old"], "mine": 1} if source.randrange(2) else None
        entries = [*others, ours] if ours else others
        before: dict[str, Any] = {"a": arbitrary(source, 2), "configurations": entries}
        if source.randrange(4) == 0:
            del before["configurations"]
            others, ours = [], None
        text = scribe.gap() + scribe.write(before) + scribe.gap()
        merged = merge_launch(text, LAUNCH)
        expected = [*others, {"name": "devlaunch", **({"mine": 1} if ours else {}), **wanted}]
        assert jsonc.parse(merged).value == {
            "a": before["a"], "configurations": expected, "version": "0.2.0",
        }, text  # fmt: skip
        lost = [comment for comment in scribe.comments if comment not in merged]
        assert not lost, text
        assert merge_launch(merged, LAUNCH) == merged
