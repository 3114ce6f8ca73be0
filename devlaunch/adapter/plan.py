"""From the arguments of `launch` to a command: checked as the command line is, errors included."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from devlaunch.adapter.attributes import (
    ATTACH,
    BY_OPTION,
    CLIENT,
    DEBUGPY,
    NAMES,
    OURS,
    REFUSED,
    STATE_EVENTS,
    TARGETS,
    Attribute,
    matches,
)
from devlaunch.dap.proxy import TERMINALS
from devlaunch.errors import UsageError
from devlaunch.events import Message
from devlaunch.target import options
from devlaunch.target.converters import (
    BadValue,
    listed,
    locate,
    nearest,
    to_address,
    to_bool,
    to_words,
)
from devlaunch.target.options import TARGET_VARIABLE, camel
from devlaunch.target.settings import read_pyproject, resolve

LAUNCHER = (sys.executable, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
"""Not `-m devlaunch`: the app's directory, where it runs, is no place to import modules from."""

_KINDS = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a number",
    "null": "null",
    "number": "a number",
    "object": "an object",
    "string": "text",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """A launcher to be started. `env` are changes to the environment; None unsets a variable."""

    words: tuple[str, ...]
    cwd: str
    env: Mapping[str, str | None]
    terminal: str
    """`integrated`, `external`, or empty for the internal console."""
    title: str
    no_debug: bool
    grace: float
    """Seconds that the app gets to shut down."""

    @property
    def argv(self) -> list[str]:
        """The command."""
        return [*LAUNCHER, *self.words]


def make_plan(arguments: Message, *, environ: Mapping[str, str], directory: str) -> Plan:
    """What a `launch` with these arguments starts. Raises UsageError.

    The options are merged with the environment and pyproject.toml and checked here as the launcher
    will do it, so that an error names the attribute as it was written.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    _check_names(given)
    _check_types(given, (*OURS, *DEBUGPY, *TARGETS, STATE_EVENTS))
    _check_texts(given)
    cwd = _find_cwd(given, directory)
    env = _environment(given)
    chosen = {
        option.key: given[camel(option.key)]
        for option in options.OPTIONS
        if option.key in BY_OPTION and camel(option.key) in given
    }
    merged = {**environ, **env}
    target = _target(given)
    if not target and not merged.get(TARGET_VARIABLE) and options.TARGET not in read_pyproject(cwd):
        raise UsageError(
            "nothing to run: the launch names no target", hint="add app, module, program or command"
        )
    no_debug = given.get("noDebug", False)
    implied: dict[str, object] = {"debug-attach": True, "wait-for-client": not no_debug}
    config = resolve(
        {**chosen, **implied, **({options.TARGET: target} if target else {})},
        environ={name: value for name, value in merged.items() if value is not None},
        directory=cwd,
        name=camel,
    )
    address = {"debug-address": "127.0.0.1:0"}
    return Plan(
        words=(*_words({**implied, **address, **chosen}), *target),
        cwd=cwd,
        env=env,
        terminal=TERMINALS.get(given.get("console", ""), ""),
        title=str(given.get("consoleName") or f"devlaunch: {config.target}"),
        no_debug=no_debug,
        grace=config.grace,
    )


def attach_address(arguments: Message) -> tuple[str, int]:
    """Where the arguments of an `attach` say that a keeper listens. Raises UsageError."""
    given = {name: value for name, value in arguments.items() if value is not None}
    for name in given.keys() & REFUSED.keys() & {"listen", "processId"}:
        raise UsageError(f"{name}: not possible with devlaunch", hint=REFUSED[name])
    # The configuration for a process of the app inherits what its editor knows, which is more.
    _refuse_misspelt([name for name in given if not _is_known(name)])
    _check_types(given, ATTACH)
    where = given.get("connect", {"port": 5678} | given)
    host, port = where.get("host") or "127.0.0.1", where.get("port")
    try:
        if not isinstance(host, str):
            raise BadValue("HOST:PORT")
        return host, to_address(port)[1]
    except BadValue as error:
        raise UsageError(
            f"connect: expected a host and a port, not {where!r}",
            hint='such as {"host": "127.0.0.1", "port": 5678}',
        ) from error


def _refuse_misspelt(names: list[str]) -> None:
    valid = [attribute.name for attribute in (*ATTACH, *DEBUGPY)]
    for name in names:
        close = nearest(name, valid, cutoff=0.7)
        if close and name not in valid:
            text = f"{name}: there is no such attribute of attach"
            raise UsageError(text, hint=f"did you mean {close}?")


def _check_names(given: Message) -> None:
    valid = sorted(NAMES)
    for name in given:
        if name in REFUSED and given[name]:
            raise UsageError(f"{name}: not possible in a launch", hint=REFUSED[name])
        if not _is_known(name):
            close = nearest(name, valid)
            hint = f"did you mean {close}?" if close else f"valid: {listed(valid, 'and')}"
            raise UsageError(f"{name}: there is no such attribute", hint=hint)


def _is_known(name: str) -> bool:
    return name in NAMES | CLIENT | REFUSED.keys() or name[:1] in ("_", "$")


def _check_types(given: Message, attributes: tuple[Attribute, ...]) -> None:
    for attribute in attributes:
        value = given.get(attribute.name)
        if value is None or matches(value, attribute.schema):
            continue
        kinds = attribute.schema["type"]
        named = kinds if isinstance(kinds, list) else [kinds]
        expected = listed(attribute.schema.get("enum") or [_KINDS[kind] for kind in named])
        close = nearest(str(value), attribute.schema.get("enum", ()))
        raise UsageError(
            f"{attribute.name}: expected {expected}, not {value!r}",
            hint=f"did you mean {close}?" if close else "",
        )


def _check_texts(given: Message) -> None:
    """Refuse what no process can be given: execve(2) ends text at a NUL."""
    for attribute in (*TARGETS, *OURS, *BY_OPTION.values()):
        for text in _texts(given.get(attribute.name)):
            try:
                is_possible = b"\0" not in os.fsencode(text)
            except UnicodeError:
                is_possible = False
            if not is_possible:
                raise UsageError(
                    f"{attribute.name}: {text!r} cannot be given to a process",
                    hint="it has a NUL character, or half of a surrogate pair",
                )


def _texts(value: object) -> Iterator[str]:
    """All text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for item in value:
            yield from _texts(item)
        for item in value.values() if isinstance(value, dict) else ():
            yield from _texts(item)


def _find_cwd(given: Message, directory: str) -> str:
    name = "cwd" if "cwd" in given else "workspaceFolder"
    cwd = locate(str(given.get(name, "")), directory)
    if not os.path.isdir(cwd):
        raise UsageError(f"{name} {cwd}: there is no such directory")
    return cwd


def _environment(given: Message) -> dict[str, str | None]:
    env: dict[str, str | None] = {}
    for name, value in given.get("env", {}).items():
        if value is not None and not isinstance(value, str):
            raise UsageError(f"env: {name}: expected text or null, not {value!r}")
        if not name or "=" in name:
            raise UsageError(f"env: {name!r} cannot be the name of a variable")
        env[name] = value
    if given.get("gevent"):
        env["GEVENT_SUPPORT"] = "True"  # as debugpy's extension for VS Code does
    return env


def _target(given: Message) -> tuple[str, ...]:
    names = [attribute.name for attribute in TARGETS if attribute.name in given]
    if len(names) > 1:
        raise UsageError(f"{listed(names, 'and')} exclude each other", hint="give only one of them")
    try:
        args = to_words(given.get("args", ()))
        words = to_words(given["command"]) if names == ["command"] else ()
    except BadValue as error:
        where = "args" if "command" not in given else "command"
        raise UsageError(f"{where}: expected {error.expected}", hint=error.hint) from None
    match names:
        case ["app"]:
            if ":" not in given["app"]:
                text = f"app: expected module:attribute, not {given['app']!r}"
                raise UsageError(text, hint="such as main:app; for a script there is program")
            return (given["app"], *args)
        case ["module"]:
            return ("-m", given["module"], *args)
        case ["program"]:
            return (given["program"], *args)
        case ["command"]:
            return ("--", *words, *args)
    if args:
        raise UsageError("args without a target", hint="add app, module, program or command")
    return ()


def _words(chosen: Mapping[str, object]) -> list[str]:
    """The options as on the command line."""
    words: list[str] = []
    for key, value in chosen.items():
        option = options.BY_KEY[key]
        if option.is_switch:
            words.append(option.flag if to_bool(value) else f"--no-{option.key}")
        elif option.value_optional:
            shown = ("on" if value else "off") if isinstance(value, bool) else value
            words.append(f"{option.flag}={shown}")
        else:
            for item in value if isinstance(value, list | tuple) else [value]:
                words += [option.flag, str(item)]
    return words
