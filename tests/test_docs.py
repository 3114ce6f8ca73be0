"""The docs say what the code does: links, options, help texts, every code block, the states."""

from __future__ import annotations

import contextlib
import functools
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
import yaml
from support import states
from support.launch import environment
from support.states import ARROWS, TABLE_ONLY

from devlaunch import DISTRIBUTION, cli, doctor
from devlaunch.adapter import command as adapter
from devlaunch.adapter.attributes import schema
from devlaunch.config import Option
from devlaunch.core import supervisor
from devlaunch.init import command as init
from devlaunch.target.commandline import read
from devlaunch.target.options import OPTIONS, help_of
from devlaunch.target.settings import resolve

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
OPTIONS_PAGE = DOCS / "options.md"
DIAGRAM = DOCS / "images" / "supervisor.svg"
STATES_PAGE = DOCS / "how-it-works.md"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
OF_OTHERS = {
    *("--reload", "--no-reload", "--noreload", "--debug", "--app", "--factory"),
    *("--reload-dir", "--reload-exclude", "--exclude-patterns", "--timeout-graceful-shutdown"),
    *("--ssl-keyfile", "--ssl-certfile", "--pool", "--loglevel", "--queue", "--rate", "--init"),
    *("--patch-file", "--multiproc", "--multiprocess", "--listen", "--schema", "--runs"),
    *("--print", "--yes", "--only", "--add", "--write", "--no-deps", "--wheel-dir", "--find-links"),
}
"""Of other programs, of the examples, and of our subcommands."""
OPTIONS_HEAD = """\
# Options

Each option is a flag, a variable and a key of `[tool.devlaunch]` in `pyproject.toml`:
`--debug-attach`, `DEVLAUNCH_DEBUG_ATTACH=1`, `debug-attach = true`. Flags win over variables over
the file. Durations are seconds unless a unit is given (`500ms`).

"""
HELP_OF_COMMANDS = {
    "doctor": doctor.HELP,
    "adapter": adapter.HELP,
    "init": init.help_text(),
}


def options_page() -> str:
    groups = dict.fromkeys(option.group for option in OPTIONS)
    parts = [OPTIONS_HEAD, *(f"{options_table(group)}\n" for group in groups)]
    helps = {"--help": cli.help_text()}
    helps |= {f"{name} --help": text for name, text in HELP_OF_COMMANDS.items()}
    parts += [f"## devlaunch {words}\n\n```text\n{text}```\n\n" for words, text in helps.items()]
    return "".join(parts).rstrip() + "\n"


def options_table(group: str) -> str:
    rows = [f"| {flags_of(o)} | {help_of(o)} |" for o in OPTIONS if o.group == group]
    return "\n".join([f"## {group}\n", "| | |", "|---|---|", *rows]) + "\n"


def flags_of(option: Option) -> str:
    if option.key == "reload":
        return "`--no-reload`"
    value = f" {option.metavar}" if option.metavar else ""
    flags = [option.short, option.flag + value, option.off_help and f"--no-{option.key}"]
    return ", ".join(f"`{flag}`" for flag in flags if flag)


def states_page() -> str:
    """The page with its table as it has to be."""
    return re.sub(
        "(?<=<!-- states: table -->\n).*(?=<!-- end: table -->)",
        lambda _: f"\n{states.table()}\n",
        STATES_PAGE.read_text("utf-8"),
        flags=re.DOTALL,
    )


GENERATED = {OPTIONS_PAGE: options_page, DIAGRAM: states.svg, STATES_PAGE: states_page}


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_what_is_generated_is_up_to_date(path: Path) -> None:
    assert path.read_text("utf-8") == GENERATED[path](), "run: make format"


def test_the_help_of_each_command_is_shown() -> None:
    assert {"run", *HELP_OF_COMMANDS} <= set(cli.COMMANDS)
    for name in set(cli.COMMANDS) - {"run"}:
        assert f"devlaunch {name}" in OPTIONS_PAGE.read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8")):
        if "://" not in link:
            assert (page.parent / link).exists(), f"{page.name}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_that_are_named_exist(page: Path) -> None:
    ours = {option.flag for option in OPTIONS} | {f"--no-{option.key}" for option in OPTIONS}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+[a-z]", page.read_text("utf-8")))
    assert named <= ours | OF_OTHERS | {"--help", "--version", "--json"}, page.name


INSTALLS = re.compile(r"\b(?:pip|pipx|uv|uvx)\b.*?\binstall\b.*")


def test_what_installs_devlaunch_names_the_distribution() -> None:
    """`devlaunch` on PyPI is another project."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["name"] == DISTRIBUTION
    sources = [*ROOT.glob("editors/*/*"), *ROOT.glob("editors/vscode/src/**/*.ts")]
    texts = [path.read_text("utf-8") for path in [*PAGES, *sources] if path.is_file()]
    commands = [command for text in texts for command in INSTALLS.findall(text)]
    assert any(DISTRIBUTION in command for command in commands)
    for command in commands:
        assert not re.search(r"(?<![\w/-])devlaunch(?![\w/:-])", command), command


# --- code blocks --------------------------------------------------------------------------------

Block = tuple[str, str, str]
"""Where it stands (`page:line`), its language, its text."""


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text("utf-8")
    for match in re.finditer(r"^```([^\n]*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        line = text.count("\n", 0, match.start()) + 1
        yield f"{page.relative_to(ROOT)}:{line}", match[1], match[2]


BLOCKS = [block for page in PAGES for block in blocks(page)]


def of_language(*languages: str) -> Any:
    chosen = [block for block in BLOCKS if block[1] in languages]
    return pytest.mark.parametrize("block", chosen, ids=lambda block: block[0])


def load_jsonc(text: str) -> object:
    """JSON with comments and commas at the end, as VS Code reads it."""
    string = r'"(?:[^"\\]|\\.)*"'
    text = re.sub(rf"({string})|//[^\n]*|/\*.*?\*/", r"\1", text, flags=re.DOTALL)
    return json.loads(re.sub(rf"({string})|,(?=\s*[\]}}])", r"\1", text))


LOADERS: dict[str, Callable[[str], object]] = {
    "json": json.loads,
    "jsonc": load_jsonc,
    "python": functools.partial(compile, filename="<docs>", mode="exec", dont_inherit=True),
    "toml": tomllib.loads,
    "xml": ElementTree.fromstring,
    "yaml": lambda text: list(yaml.safe_load_all(text)),
}
NOT_PARSED = {"console", "dockerfile", "elisp", "lua", "powershell", "text", "vim"}
"""Console blocks have a test of their own; the editors' languages are run in those editors."""


def test_every_block_has_a_language() -> None:
    assert {language for _, language, _ in BLOCKS} <= LOADERS.keys() | NOT_PARSED


@of_language(*LOADERS)
def test_configurations_and_sources_can_be_parsed(block: Block) -> None:
    _, language, text = block
    LOADERS[language](text)


PLACEHOLDERS = {"HOST:PORT": "localhost:5678", "BUILD": "263", "EDITOR": "vscode"}


@contextlib.contextmanager
def directory_with(directory: Path, words: list[str]) -> Iterator[None]:
    """The current directory, in which the files that the words name exist."""
    for word in words:
        if re.fullmatch(r"[\w./-]+\.(py|ya?ml|env|json)", word):
            path = directory / word
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    with contextlib.chdir(directory):
        yield


def check_words(words: list[str], directory: Path) -> None:
    """Raise what devlaunch would say to these words, without running anything."""
    words = [PLACEHOLDERS.get(word, word) for word in words]
    name, rest = (words[0], words[1:]) if words and words[0] in cli.COMMANDS else ("run", words)
    with directory_with(directory, rest):
        if name == "adapter":
            adapter._parse(rest)
        elif name == "doctor":
            assert resolve(read(rest, doctor.FLAGS).given, needs_target=False)
        elif name == "init":
            rest = init.split_editor(rest)[1]
            assert resolve(read(rest, init.FLAGS).given, needs_target=False)
        elif not {"--help", "--version"} & set(rest):
            # Without a target it is that of pyproject.toml.
            assert resolve({"target": ["app:app"], **read(rest).given})


def command_lines(text: str) -> Iterator[list[str]]:
    """The words after `devlaunch` of each command in a console block that runs it."""
    for line in re.findall(r"^(?:\$|PS>) (.+)$", text.replace("\\\n", " "), re.MULTILINE):
        words = shlex.split(line.replace("\\", "/"), comments=True)
        while words and re.match(r"[A-Z_]+=", words[0]):
            words.pop(0)
        if words[:1] == ["devlaunch"]:
            yield words[1:]
        elif words[1:3] == ["-m", "devlaunch"]:
            yield words[3:]


@of_language("console", "powershell")
def test_command_lines_are_understood(block: Block, tmp_path: Path) -> None:
    prompt = r"\$ " if block[1] == "console" else "PS> "
    assert re.match(prompt, block[2]), "console blocks begin with a command"
    for words in command_lines(block[2]):
        check_words(words, tmp_path)


def test_command_lines_in_running_text_are_understood(tmp_path: Path) -> None:
    found = 0
    for page in PAGES:
        for code in re.findall(r"(?<!`)`(devlaunch [^`\n]*[\w])`(?!`)", page.read_text("utf-8")):
            words = shlex.split(code)[1:]
            if len(words) > 1 and not re.search(r"[…\[]", code):
                check_words(words, tmp_path)
                found += 1
    assert found > 10


@of_language("json", "jsonc")
def test_launch_configurations_are_understood(block: Block, tmp_path: Path) -> None:
    for each in objects(load_jsonc(block[2])):
        if each.get("module") == "devlaunch":
            check_words(each.get("args", []), tmp_path)
        if each.get("type") == "devlaunch":
            jsonschema.validate(each, schema())


@of_language("yaml", "toml")
def test_commands_in_other_files_are_understood(block: Block, tmp_path: Path) -> None:
    loaded = LOADERS[block[1]](block[2])
    for text in strings(loaded):
        for part in re.findall(r"(?:^|exec )devlaunch (.*)", text):
            check_words(shlex.split(part), tmp_path)
    for each in objects(loaded):
        ours = each.get("devlaunch")
        if isinstance(ours, dict):
            (tmp_path / "pyproject.toml").write_text(block[2])
            with contextlib.chdir(tmp_path):
                assert resolve({}, needs_target="target" in ours)


def objects(value: object) -> Iterator[dict[str, Any]]:
    """Every object in it, at any depth."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value_items(value):
        yield from objects(inner)


def strings(value: object) -> Iterator[str]:
    """Every text in it, at any depth."""
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value_items(value):
        yield from strings(inner)


def value_items(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def test_a_configuration_is_the_same_wherever_it_is_shown() -> None:
    shown = [text for where, language, text in BLOCKS if language == "json"]
    in_readme = [text for where, _, text in BLOCKS if where.startswith("README.md:")]
    for text in in_readme:
        if text.startswith("{"):
            assert shown.count(text) == 2, "README.md and docs/start/vscode.md"
    patch = (ROOT / "editors" / "k8s" / "devlaunch.k8s.yaml").read_text("utf-8")
    assert f"```yaml\n{patch}```" in (DOCS / "recipes" / "kubernetes.md").read_text("utf-8")


# --- the site -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly: no page without a place, no link or anchor that leads nowhere."""
    pytest.importorskip("mkdocs", reason="mkdocs is missing: pip install --group dev")
    directory = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(directory)]
    env = environment(NO_MKDOCS_2_WARNING="1")
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return directory


def test_every_page_is_in_the_site(site: Path) -> None:
    for page in DOCS.rglob("*.md"):
        if "examples" not in page.parts:
            assert (site / page.relative_to(DOCS).with_suffix(".html")).is_file()
    assert (site / "contributing.html").is_file()
    assert not (site / "examples").exists()


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    loads = re.compile(r"<(?:script|img|iframe|link)[^>]+(?:src|href)=\"?(?:https?:)?//[^\s>]+")
    for page in site.rglob("*.html"):
        found = [
            text for text in loads.findall(page.read_text("utf-8")) if "rel=canonical" not in text
        ]
        assert not found, page.name
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(\"?(?:https?:)?//|@import", style.read_text("utf-8")), (
            style.name
        )


def test_the_site_finds_what_people_search_for(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text("utf-8"))
    titles = " ".join(entry["title"] for entry in index["docs"]).lower()
    for phrase in (
        "breakpoint not hit after reload",
        "address already in use",
        "waiting for client",
        "stopping reloader process",
        "timed out waiting for",
        "frozen modules",
    ):
        assert phrase in titles, phrase


# --- the rest -----------------------------------------------------------------------------------


def test_the_readme_names_the_commands_of_the_makefile() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    named = set(re.findall(r"\$ make ([a-z]+)", (ROOT / "README.md").read_text("utf-8")))
    assert {"demo", "test"} <= named <= set(targets)


@pytest.mark.parametrize("file", [".ci/run", ".github/workflows/check.yml"])
def test_ci_runs_targets_of_the_makefile(file: str) -> None:
    makefile, text = (ROOT / "Makefile").read_text("utf-8"), (ROOT / file).read_text("utf-8")
    assert file.startswith(".ci") or yaml.safe_load(text)["jobs"]
    run = set(re.findall(r"^\s*(?:- run: )?make ([a-z-]+)", text, re.MULTILINE))
    assert {"check", "test"} <= run <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


def test_the_diagram_shows_what_the_table_leads_to() -> None:
    edges = states.edges()
    both_ways = {(after, before) for (before, after), arrow in ARROWS.items() if arrow.back}
    drawn = ARROWS.keys() | both_ways
    assert edges.keys() == drawn | TABLE_ONLY
    assert not drawn & TABLE_ONLY
    for (before, after), arrow in ARROWS.items():
        assert set(arrow.events) <= set(edges[before, after]), (before, after)
        assert set(arrow.back) <= set(edges.get((after, before), [])), (after, before)


def test_every_state_and_event_has_samples_and_words() -> None:
    assert {state.__name__ for state, _ in supervisor.TABLE} | {"Ended"} == set(states.STATES)
    assert {event.__name__ for _, event in supervisor.TABLE} == set(states.EVENTS)
    assert set(states.WORDS) == set(states.EVENTS)
    assert set(states.NODES) == set(states.STATES)
    assert all(states.outcomes().values())


def test_the_rooms_of_the_design_are_all_there_are() -> None:
    """Rooms by `name/*`, modules at the top by their names."""
    text = (ROOT / "docs" / "design.md").read_text()
    rows = re.findall(r"^\| (?:vocabulary|core|shell|child|front) \| ([^|]*)\|", text, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([a-z_]+(?:/\*)?)`", row)}
    there = {
        path.stem + ("/*" if path.is_dir() else "")
        for path in (ROOT / "devlaunch").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    } - {"__init__", "__main__"}
    assert named == there


@pytest.mark.parametrize("page", ["docs/design.md", "CONTRIBUTING.md"])
def test_what_the_map_names_is_there(page: str) -> None:
    """The lives lead from function to function: `room/module.Class.method`."""
    path = r"`(?!(?:build|devlaunch|docs|editors|tests)/)([a-z]+(?:/\w+)+)((?:\.\w+)*)`"
    found = re.findall(path, (ROOT / page).read_text("utf-8"))
    assert len(found) > 5
    for module, names in found:
        source = (ROOT / "devlaunch" / f"{module}.py").read_text("utf-8")
        for name in names.split(".")[1:]:
            defined = rf"^\s*(?:def |class )?{name}\b"
            assert re.search(defined, source, re.MULTILINE), f"{module}{names}"


if __name__ == "__main__":
    for path, make in GENERATED.items():
        path.write_text(make())
        print(f"wrote {path.relative_to(ROOT)}", file=sys.stderr)
