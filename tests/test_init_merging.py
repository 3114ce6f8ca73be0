"""What `devlaunch init` does to a text that is there: added to, never lost."""

from __future__ import annotations

import json
import random
import re
import tomllib
from functools import partial
from typing import Any
from xml.etree import ElementTree

import pytest

from devlaunch.init import jsonc
from devlaunch.init.jsonc import JsoncError
from devlaunch.init.merging import (
    MergeError,
    merge_block,
    merge_jsonc,
    merge_languages,
    merge_run_configuration,
)

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
merge_launch = partial(merge_jsonc, containers={("configurations",): "name"})


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
    ("text", "place", "message"),
    [
        ("", (1, 1), "expected a value, not the end of the file"),
        ("{", (1, 2), 'expected a key in "quotes", not the end of the file'),
        ('{\n  "a": 1\n  "b": 2\n}', (3, 3), "expected , or }, not '\"'"),
        ('{\n  "a" 1}', (2, 7), "expected : after \"a\", not '1'"),
        ("[1,, 2]", (1, 4), "expected a value, not ','"),
        ("[,]", (1, 2), "expected a value, not ','"),
        ('["a\nb"]', (1, 2), "the string is not closed, or has a bad escape"),
        (r'["\x"]', (1, 2), "the string is not closed, or has a bad escape"),
        ("[1] 2", (1, 5), "expected the end of the file, not '2'"),
        ("{'a': 1}", (1, 2), 'expected a key in "quotes", not "\'"'),
        ("[1] /* never", (1, 5), "the comment is never closed"),
        ("[01]", (1, 2), "expected a value, not '0'"),
        ("[nul]", (1, 2), "expected a value, not 'n'"),
        ("[" * 200, (1, 102), "nested deeper than 100 levels"),
    ],
)
def test_what_is_no_json(text: str, place: tuple[int, int], message: str) -> None:
    with pytest.raises(JsoncError) as caught:
        jsonc.parse(text)
    assert str(caught.value) == message
    assert jsonc.line_and_column(text, caught.value.offset) == place


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


# --- VS Code and its kin ------------------------------------------------------------------------

MERGES = {
    "nothing there": ("", LAUNCH),
    "blank": ("\n\n", LAUNCH),
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
        ('{\n  "configurations": [\n    {,}\n  ]\n}', 3, "expected a key"),
    ],
)
def test_what_cannot_be_merged(before: str, line: int, message: str) -> None:
    with pytest.raises(MergeError, match=message) as caught:
        merge_launch(before, LAUNCH)
    assert caught.value.line == line


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


def test_vimspector_tells_entries_apart_by_their_names() -> None:
    addition = '{"adapters": {"devlaunch": {"port": "1"}}, "configurations": {"c": {"a": 1}}}'
    merged = merge_jsonc(
        '{\n  "adapters": {\n    "mine": {} // here\n  }\n}\n', addition,
        {("adapters",): "", ("configurations",): ""},
    )  # fmt: skip
    assert merged == (
        '{\n  "adapters": {\n    "mine": {}, // here\n    "devlaunch": {"port": "1"}\n  },\n'
        '  "configurations": {"c": {"a": 1}}\n}\n'
    )


# --- code ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["", "vim.o.nu = true", "vim.o.nu = true\n", "a\r\nb\r\n"])
def test_a_block_goes_to_the_end_and_is_replaced_there(before: str) -> None:
    first = merge_block(before, "one\n", "--")
    assert first.startswith(before)
    assert merge_block(first, "one\n", "--") == first
    theirs = first + "theirs\n"
    second = merge_block(theirs, "two\nlines\n", "--")
    assert second.startswith(before)
    assert second.endswith("theirs\n")
    assert "one" not in second
    assert re.search(r"begin .*\r?\ntwo\r?\nlines\r?\n-- devlaunch init: end", second)
    assert ("\r\n" in second) == ("\r\n" in before)


@pytest.mark.parametrize("left", ["-- devlaunch init: begin (x)\n", "-- devlaunch init: end\n"])
def test_half_a_block_is_refused(left: str) -> None:
    with pytest.raises(MergeError, match="is missing") as caught:
        merge_block("a\n" + left, "two\n", "--")
    assert caught.value.line == 2


# --- Helix --------------------------------------------------------------------------------------

HELIX = """\
[[language]]
name = "python"

[language.debugger]
name = "devlaunch"
command = "devlaunch"

[[language.debugger.templates]] # a comment
name = "devlaunch"
args = { app = "app:app" }
"""


@pytest.mark.parametrize(
    "before",
    [
        "",
        "# mine\n",
        '[[language]]\nname = "rust"\nauto-format = false # so\n',
        '[[language]]\nname = "python"\nauto-format = true\n[language.formatter]\ncommand = "x"\n',
        '[[language]]\nname = "python"\n[language.debugger]\nname = "debugpy"\n',
        '[language-server.x]\ncommand = "x"',
    ],
)
def test_helix_keeps_what_is_there(before: str) -> None:
    merged = merge_languages(before, HELIX)
    assert merged.startswith(before)
    languages = tomllib.loads(merged)["language"]
    assert languages[-1] == tomllib.loads(HELIX)["language"][0]
    assert languages[:-1] == tomllib.loads(before).get("language", [])
    assert merge_languages(merged, HELIX) == merged


def test_helix_our_debugger_is_brought_up_to_date() -> None:
    own = '[[language]]\nname = "rust"\n\n' + HELIX.replace(
        'name = "python"\n', 'name = "python"\nauto-format = true # mine\n'
    )
    after = '\n[[language]]\nname = "toml"\n'
    merged = merge_languages(own + after, HELIX.replace("app:app", "main:app"))
    assert merged == own.replace("app:app", "main:app") + after


@pytest.mark.parametrize(
    ("before", "line"),
    [("[[language]\n", 1), ("a = 1\nb = = 2\n", 2), ("a = 1\n[[language", 2)],
)
def test_helix_says_where_the_file_is_broken(before: str, line: int) -> None:
    with pytest.raises(MergeError) as caught:
        merge_languages(before, HELIX)
    assert caught.value.line == line


def test_helix_what_is_written_in_another_way_is_refused() -> None:
    before = '[[language]]\nname = "python"\ndebugger = { name = "devlaunch", command = "x" }\n'
    with pytest.raises(MergeError, match="not written as"):
        merge_languages(before, HELIX)


# --- PyCharm ------------------------------------------------------------------------------------

RUN = """\
<component name="ProjectRunConfigurationManager">
  <configuration default="false" name="devlaunch" type="T" factoryName="Python">
    <option name="SDK_HOME" value="" />
    <option name="PARAMETERS" value="app:app" />
    <option name="MODULE_MODE" value="true" />
    <method v="2" />
  </configuration>
</component>
"""
OURS = frozenset({"PARAMETERS", "MODULE_MODE"})


def test_pycharm_keeps_what_was_set_there() -> None:
    before = (
        RUN.replace('SDK_HOME" value=""', 'SDK_HOME" value="/py"')
        .replace("app:app", "&quot;old app&quot;:app")
        .replace('    <option name="MODULE_MODE" value="true" />\n', "    <envs />\n")
    )
    merged = merge_run_configuration(before, RUN, OURS)
    options = {o.get("name"): o.get("value") for o in ElementTree.fromstring(merged).iter("option")}
    assert options == {"SDK_HOME": "/py", "PARAMETERS": "app:app", "MODULE_MODE": "true"}
    assert "<envs />" in merged
    assert merge_run_configuration(merged, RUN, OURS) == merged


def test_pycharm_says_where_the_file_is_broken() -> None:
    with pytest.raises(MergeError, match="mismatched tag") as caught:
        merge_run_configuration("<component>\n</configuration>\n", RUN, OURS)
    assert caught.value.line == 2
