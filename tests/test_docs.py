"""The docs say what the code does: links, options, the help text, the diagram of states."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

from devlaunch import events
from devlaunch.cli import help_text
from devlaunch.core import supervisor
from devlaunch.options import OPTIONS

ROOT = Path(__file__).parents[1]
OPTIONS_PAGE = ROOT / "docs" / "options.md"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
OF_OTHERS = {
    "--reload", "--debug", "--multiproc", "--multiprocess", "--factory", "--queue", "--listen",
    "--schema", "--runs", "--rate", "--print", "--yes", "--patch-file",
}  # fmt: skip
OPTIONS_HEAD = """\
# Options

What `devlaunch --help` prints. Options that take a value read it from the next word; durations are
seconds unless a unit is given.

"""


def options_page() -> str:
    return f"{OPTIONS_HEAD}```text\n{help_text()}```\n"


def test_the_options_page_is_the_help_text() -> None:
    assert OPTIONS_PAGE.read_text() == options_page(), "run: make format"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if "://" not in link:
            assert (page.parent / link).exists(), f"{page.name}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_that_are_named_exist(page: Path) -> None:
    ours = {option.flag for option in OPTIONS} | {f"--no-{option.key}" for option in OPTIONS}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+[a-z]", page.read_text()))
    assert named <= ours | OF_OTHERS | {"--help", "--version", "--json"}, page.name


@pytest.mark.parametrize("page", ["README.md", "docs/editors.md"])
def test_configurations_can_be_parsed(page: str) -> None:
    blocks = re.findall(r"```(json|toml)\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert blocks
    for language, block in blocks:
        (json if language == "json" else tomllib).loads(block)


def test_the_readme_names_the_commands_of_the_makefile() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = set(re.findall(r"\$ make ([a-z]+)", (ROOT / "README.md").read_text()))
    assert {"demo", "test"} <= named <= set(targets)


def test_the_diagram_shows_entries_of_the_table() -> None:
    text = (ROOT / "docs" / "design.md").read_text()
    arrows = re.findall(r"^ +(\w+) --> (\w+): (.+)$", text, re.MULTILINE)
    assert len(arrows) > 10
    for before, after, label in arrows:
        assert hasattr(supervisor, after), after
        for name in re.findall(r"[A-Z]\w+", label):
            pair = (getattr(supervisor, before), getattr(events, name))
            assert pair in supervisor.TABLE, f"{before}: {name}"


def test_every_state_of_the_supervisor_is_in_the_diagram() -> None:
    text = (ROOT / "docs" / "design.md").read_text()
    for state, _ in supervisor.TABLE:
        assert f" {state.__name__}" in text


def test_the_rings_of_the_design_name_every_module() -> None:
    """Packages by `name/*`; `_posix…` stands for all that begin so."""
    text = (ROOT / "docs" / "design.md").read_text()
    rows = re.findall(r"^\| (?:vocabulary|core|shell|child|front).*", text, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([a-z_]+(?:/\*|…)?)`", row)}
    entries = (ROOT / "devlaunch").iterdir()
    there = {
        path.stem + ("/*" if path.is_dir() else "")
        for path in entries
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    } - {"__init__", "__main__"}
    stems = tuple(name.removesuffix("…") for name in named if name.endswith("…"))
    assert {name for name in there if not name.startswith(stems)} <= named
    assert {name for name in named if not name.endswith("…")} <= there


if __name__ == "__main__":
    OPTIONS_PAGE.write_text(options_page())
    print(f"wrote {OPTIONS_PAGE.relative_to(ROOT)}", file=sys.stderr)
