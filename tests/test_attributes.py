"""The attributes of a launch configuration: their table, JSON schema, and the command they make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from devlaunch.adapter.attributes import (
    ATTACH,
    BY_OPTION,
    DEBUGPY,
    LAUNCH,
    REFUSED,
    camel,
    keeper_arguments,
    schema,
)
from devlaunch.adapter.command import schema_text
from devlaunch.adapter.plan import LAUNCHER, make_plan
from devlaunch.dap.debuggee import UNUSED_ATTACH_ARGUMENTS
from devlaunch.errors import UsageError
from devlaunch.options import OPTIONS

ROOT = Path(__file__).parents[1]
VALIDATOR = jsonschema.Draft7Validator(schema())


def test_the_schema_is_one() -> None:
    jsonschema.Draft7Validator.check_schema(schema())


def test_the_copy_is_the_schema() -> None:
    copy = ROOT / "editors" / "attributes.schema.json"
    assert copy.read_text() == schema_text(), "run: make format"


def test_every_option_is_an_attribute_or_refused() -> None:
    for option in OPTIONS:
        assert (option.key in BY_OPTION) != (camel(option.key) in REFUSED), option.key


@pytest.mark.parametrize("attributes", [LAUNCH, (*ATTACH, *DEBUGPY)], ids=["launch", "attach"])
def test_every_attribute_is_described_and_takes_its_default(attributes: Any) -> None:
    names = [attribute.name for attribute in attributes]
    assert len(names) == len(set(names))
    for attribute in attributes:
        assert attribute.help.endswith("."), attribute.name
        assert "[" not in attribute.help or "such as" in attribute.help, attribute.name
        if attribute.default is not None:
            jsonschema.validate(attribute.default, attribute.schema)


LAUNCHES: list[tuple[dict[str, Any], bool]] = [
    ({"app": "app:app"}, True),
    ({"app": "app:app", "type": "devlaunch", "name": "x", "request": "launch"}, True),
    ({"program": "app.py", "args": ["--one"]}, True),
    ({"command": ["celery", "-A", "proj"], "watch": ["data", "*.sql"], "poll": True}, True),
    ({"module": "http.server", "args": "8000", "grace": "500ms", "__sessionId": "1"}, True),
    ({"port": 8000}, True),  # the target of pyproject.toml
    ({"app": "app:app", "env": {"A": "1", "B": None}, "rules": [{"include": False}]}, True),
    ({"app": "app:app", "module": "app"}, False),
    ({"app": "app:app", "args": ["x"]}, False),
    ({"app": "app:app", "prot": 1}, False),
    ({"app": "app:app", "port": 70000}, False),
    ({"app": "app:app", "env": {"A": 1}}, False),
    ({"app": "app:app", "console": "window"}, False),
    ({"app": "app:app", "whilePaused": "never"}, False),
    ({"app": "app:app", "justMyCode": "no"}, False),
    ({"app": "app:app", "waitForClient": True}, False),
]


@pytest.mark.parametrize(("launch", "is_valid"), LAUNCHES, ids=str)
def test_the_schema_and_the_adapter_agree(
    launch: dict[str, Any], is_valid: bool, tmp_path: Path
) -> None:
    assert VALIDATOR.is_valid(launch) is is_valid
    (tmp_path / "pyproject.toml").write_text("[tool.devlaunch]\ntarget = 'app:app'\n")
    (tmp_path / "app.py").touch()
    (tmp_path / "data").touch()
    if is_valid:
        make_plan(launch, environ={}, directory=str(tmp_path))
    else:
        with pytest.raises(UsageError):
            make_plan(launch, environ={}, directory=str(tmp_path))


@pytest.mark.parametrize(
    ("attach", "is_valid"),
    [
        ({"connect": {"host": "127.0.0.1", "port": 5678}}, True),
        ({"host": "127.0.0.1", "port": 5678, "justMyCode": False}, True),
        ({"connect": {"port": 5678}, "subProcessId": 7, "type": "devlaunch", "name": "x"}, True),
        ({"connect": "127.0.0.1:5678"}, False),
        ({"processId": 1}, False),
        ({"app": "app:app"}, False),
    ],
    ids=str,
)
def test_the_schema_of_attach(attach: dict[str, Any], is_valid: bool) -> None:
    assert VALIDATOR.is_valid({"request": "attach", **attach}) is is_valid


@pytest.mark.parametrize(
    ("launch", "words"),
    [
        ({"app": "app:app"}, ["app:app"]),
        ({"module": "app", "args": ["a b", "-c"]}, ["-m", "app", "a b", "-c"]),
        ({"program": "app.py", "args": "a 'b c'"}, ["app.py", "a", "b c"]),
        ({"command": "python app.py", "args": ["x"]}, ["--", "python", "app.py", "x"]),
        ({"app": "app:app", "reload": False}, ["--no-reload", "app:app"]),
        ({"app": "app:app", "reload": True}, ["--reload", "app:app"]),
        ({"app": "app:app", "poll": True}, ["--poll=on", "app:app"]),
        ({"app": "app:app", "poll": 2.5}, ["--poll=2.5", "app:app"]),
        ({"app": "app:app", "port": 0, "host": None}, ["--port", "0", "app:app"]),
        (
            {"app": "app:app", "ignore": ["a", "b*"], "whilePaused": "restart"},
            ["--while-paused", "restart", "--ignore", "a", "--ignore", "b*", "app:app"],
        ),
    ],
    ids=str,
)
def test_the_command(launch: dict[str, Any], words: list[str], tmp_path: Path) -> None:
    (tmp_path / "app.py").touch()
    plan = make_plan(launch, environ={}, directory=str(tmp_path))
    debug = ["--debug-attach", "--wait-for-client", "--debug-address", "127.0.0.1:0"]
    assert plan.argv == [*LAUNCHER, *debug, *words]
    assert (plan.cwd, plan.terminal, plan.env) == (str(tmp_path), "", {})


def test_what_the_debuggee_is_told() -> None:
    launch = {
        "type": "t",
        "name": "n",
        "request": "launch",
        "app": "a:b",
        "port": 1,
        "host": "h",
        "env": {"SECRET": "x"},
        "cwd": "/",
        "args": [],
        "console": "internalConsole",
        "justMyCode": False,
        "redirectOutput": True,
        "debugOptions": ["RedirectOutput", "X"],
    }
    expected = {
        "type": "t",
        "name": "n",
        "request": "launch",
        "justMyCode": False,
        "redirectOutput": False,
        "isOutputRedirected": True,
        "debugOptions": ["X"],
    }
    assert keeper_arguments(launch) == expected
    in_terminal = keeper_arguments({**launch, "console": "integratedTerminal"})
    assert in_terminal["redirectOutput"] is True
    assert in_terminal["debugOptions"] == ["RedirectOutput", "X"]
    assert not UNUSED_ATTACH_ARGUMENTS & (expected.keys() - {"request"})


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    from devlaunch.cli import main

    assert main(["adapter", "--schema"]) == 0
    assert json.loads(capsys.readouterr().out) == schema()
