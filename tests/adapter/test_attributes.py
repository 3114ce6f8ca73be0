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
    keeper_arguments,
    schema,
)
from devlaunch.adapter.command import schema_text
from devlaunch.adapter.plan import LAUNCHER, attach_address, make_plan
from devlaunch.dap.debuggee import UNUSED_ATTACH_ARGUMENTS
from devlaunch.debuggers.link import Invitation, in_attributes
from devlaunch.errors import UsageError
from devlaunch.target.options import OPTIONS, camel

ROOT = Path(__file__).parents[2]
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


BYTES = pytest.mark.posix("Windows takes any 16 bits for a character")


@pytest.mark.parametrize(
    ("launch", "attribute"),
    [
        ({"program": "app.py", "args": ["a\0b"]}, "args"),
        pytest.param({"program": "app.py", "args": ["\ud800"]}, "args", marks=BYTES),
        ({"program": "x\0.py"}, "program"),
        pytest.param({"module": "a\ud800"}, "module", marks=BYTES),
        ({"command": ["python", "\0"]}, "command"),
        pytest.param({"app": "app:app", "env": {"A": "\ud800"}}, "env", marks=BYTES),
        ({"app": "app:app", "env": {"A\0": "b"}}, "env"),
        pytest.param({"app": "app:app", "cwd": "\ud800"}, "cwd", marks=BYTES),
        pytest.param({"app": "app:app", "watch": ["x", "\ud800"]}, "watch", marks=BYTES),
        ({"app": "app:app", "host": "\0"}, "host"),
    ],
    ids=ascii,
)
def test_text_that_no_process_can_be_given(
    launch: dict[str, Any], attribute: str, tmp_path: Path
) -> None:
    (tmp_path / "app.py").touch()
    with pytest.raises(UsageError, match=f"^{attribute}: .*cannot be given to a process"):
        make_plan(launch, environ={}, directory=str(tmp_path))


def test_bytes_of_a_name_that_is_no_text_can_be_given(tmp_path: Path) -> None:
    (tmp_path / "app.py").touch()
    launch = {"program": "app.py", "args": ["\udcff"]}
    assert make_plan(launch, environ={}, directory=str(tmp_path)).words[-1] == "\udcff"


def test_what_is_refused_may_be_given_when_it_asks_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "app.py").touch()
    nothing = {"pythonArgs": [], "code": "", "sudo": False, "listen": None}
    make_plan({"app": "app:app", **nothing}, environ={}, directory=str(tmp_path))


@pytest.mark.parametrize(
    ("attach", "expected"),
    [
        ({}, ("127.0.0.1", 5678)),
        ({"port": 1}, ("127.0.0.1", 1)),
        ({"host": "h"}, ("h", 5678)),
        ({"connect": {"port": 1}}, ("127.0.0.1", 1)),
        ({"connect": {"host": "h", "port": 1}, "port": 2}, ("h", 1)),
        # What the configuration of a process inherits from the launch.
        (
            {"port": 1, "justMyCode": False, "whilePaused": "wait", "python": ["x"]},
            ("127.0.0.1", 1),
        ),
        ({"port": 1, "__sessionId": "x", "$prot": 1, "aFieldOfTheEditor": 1}, ("127.0.0.1", 1)),
        ({"conect": {"port": 1}}, "conect: there is no such attribute of attach: connect?"),
        ({"prot": 1}, "prot: there is no such attribute of attach: port?"),
        ({"port": 1, "justMycode": True}, "justMycode: there is no such attribute: justMyCode?"),
        ({"connect": {}}, "connect: expected a host and a port, not {}: such as"),
        ({"connect": {"prot": 1}}, "connect: expected a host and a port, not {'prot': 1}: such as"),
        ({"connect": {"host": "h"}}, "connect: expected a host and a port: such as"),
        ({"connect": {"host": 1, "port": 1}}, "connect: expected a host and a port: such as"),
    ],
    ids=str,
)
def test_where_attach_leads(attach: dict[str, Any], expected: tuple[str, int] | str) -> None:
    if isinstance(expected, tuple):
        assert attach_address(attach) == expected
        return
    with pytest.raises(UsageError) as failure:
        attach_address(attach)
    text, _, hint = expected.rpartition(": ")
    assert failure.value.message.startswith(text)
    assert hint in failure.value.hint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("--port: 127.0.0.1:1 is in use\nchoose another: --port 2, or --port 0",
         "port: 127.0.0.1:1 is in use\nchoose another: port 2, or port 0"),
        ("--debug-address [::]:1: …, or add --allow-remote-debug",
         "debugAddress [::]:1: …, or add allowRemoteDebug"),
        ("--portable, x--port, devlaunch --debug-attach and -- celery --port",
         "--portable, x--port, devlaunch --debug-attach and -- celery port"),
    ],
)  # fmt: skip
def test_errors_in_an_editor_name_attributes(text: str, expected: str) -> None:
    assert in_attributes(text) == expected


def test_the_secret_is_not_shown() -> None:
    assert "hidden" not in repr(Invitation("h", 1, "hidden", own_console=True, no_debug=False))


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
