"""What `launch` and `attach` take, in one typed table: options of devlaunch, debugpy's, our own.

The options, their kinds and their defaults come from `Config`. `schema` makes the JSON
schema of it (draft-07), which editors use to complete and check a launch configuration.
"""

from __future__ import annotations

import re
from dataclasses import MISSING, dataclass, fields
from typing import Any

from devlaunch.config import Config, Option
from devlaunch.dap.joining import without_output
from devlaunch.dap.proxy import TERMINALS
from devlaunch.events import Message
from devlaunch.target.converters import choices
from devlaunch.target.options import OPTIONS, camel, help_of

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
TEXTS: Schema = {"type": "array", "items": TEXT}


@dataclass(frozen=True, slots=True)
class Attribute:
    """One key of a launch configuration. `schema` is what JSON it takes."""

    name: str
    schema: Schema
    help: str
    default: object = None

    def as_property(self) -> Schema:
        """As a property of the JSON schema."""
        default = {} if self.default is None else {"default": self.default}
        return {**self.schema, "description": self.help, **default}


# --- options of devlaunch -----------------------------------------------------------------------

REFUSED = {
    "debugAttach": 'it is always on in a launch; "noDebug": true runs without a debugger',
    "waitForClient": "it is always on in a launch: breakpoints are set before the app runs",
    "fd": "an editor hands no sockets down; use host and port, or uds",
    "pycharmServer": "the editor that launches is the one that debugs",
    "pythonArgs": "devlaunch takes the interpreter's options from a command: "
    '"command": ["python", "-X", "dev", "app.py"]',
    "code": "devlaunch runs what it can watch: a program, a module or an app",
    "processId": "to debug a process that runs, use debugpy itself",
    "listen": 'devlaunch is connected to; use "connect"',
    "sudo": "start the editor's terminal as that user, run devlaunch --debug-attach there, and "
    "attach",
}
"""What debugpy or the command line takes and `launch` or `attach` does not, and what to do."""

_SHAPES: dict[str, Schema] = {
    "bool": FLAG,
    "Port": {"type": "integer", "minimum": 0, "maximum": 65535},
    "Seconds": {"type": ["number", "string"], "minimum": 0},
    "Interval": {"type": ["boolean", "number", "string"]},
    "Address": {"type": ["string", "integer"]},
}
_DEFAULTS = {f.name: f.default for f in fields(Config) if f.default is not MISSING}
_OWN_DEFAULTS = {"debug-address": "127.0.0.1:0", "app-dir": None, "verbose": False, "quiet": False}
_OWN_HELP = {
    "reload": "Restart the app when its code changes; false: run once, without watching.",
    "watch": "Reload for these too: paths or globs.",
    "ignore": "Never reload for these: paths or globs.",
    "app-dir": "Directory to import the app from, by default cwd.",
    "debug-address": "Where else debuggers may attach; processes that the app starts are debugged "
    "by this address. Port 0: any free one.",
}


def _from_option(option: Option) -> Attribute:
    default = _OWN_DEFAULTS.get(option.key, _DEFAULTS.get(option.field))
    text = _OWN_HELP.get(option.key) or help_of(option)
    return Attribute(
        camel(option.key),
        _shape(option),
        # The default has a place of its own.
        re.sub(r" \[[^\]]*\](?=[.:; ])", "", text),
        list(default) if isinstance(default, tuple) else default,
    )


def _shape(option: Option) -> Schema:
    if option.is_list:
        return {"type": ["array", "string"], "items": TEXT}
    if (kinds := choices(option.kind)) is not None:
        return {"type": "string", "enum": [str(each) for each in kinds]}
    return _SHAPES.get(option.kind, TEXT)


BY_OPTION = {option.key: _from_option(option) for option in OPTIONS if option.is_attribute}

# --- our own ------------------------------------------------------------------------------------

TARGETS = (
    Attribute("app", TEXT, "An ASGI or WSGI app, module:attribute, such as main:app."),
    Attribute("module", TEXT, "A module to run, as python -m does."),
    Attribute("program", TEXT, "A script to run."),
    Attribute(
        "command",
        {"type": ["array", "string"], "items": TEXT},
        'A command written in Python, such as ["celery", "-A", "proj", "worker"].',
    ),
)
OURS = (
    Attribute(
        "args",
        {"type": ["array", "string"], "items": TEXT},
        "Arguments of the module, program or command.",
    ),
    Attribute("cwd", TEXT, "Directory to run in: relative paths and pyproject.toml start there."),
    Attribute(
        "env",
        {"type": "object", "additionalProperties": {"type": ["string", "null"]}},
        "Environment variables for devlaunch and the app; null unsets one.",
    ),
    Attribute(
        "console",
        {"type": "string", "enum": ["internalConsole", *TERMINALS]},
        "Where the output goes; a terminal can be typed into.",
        "internalConsole",
    ),
    Attribute("consoleName", TEXT, "The title of the terminal."),
    Attribute("noDebug", FLAG, "Run without a debugger.", False),
)

# --- debugpy's ----------------------------------------------------------------------------------

_MAPPINGS: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["localRoot", "remoteRoot"],
        "properties": {"localRoot": TEXT, "remoteRoot": TEXT},
    },
}
_RULES: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["include"],
        "properties": {"path": TEXT, "module": TEXT, "include": FLAG},
    },
}
_EXIT_CODES: Schema = {"type": "array", "items": {"type": ["integer", "null", "object"]}}
_PRESENTATION: Schema = {
    "type": "object",
    "additionalProperties": {"type": "string", "enum": ["group", "inline", "hide"]},
}

DEBUGPY = (
    Attribute("justMyCode", FLAG, "Stop in and step through the app's own code only.", True),
    Attribute("stopOnEntry", FLAG, "Stop at the first line of the app, at its first start.", False),
    Attribute("subProcess", FLAG, "Debug the processes that the app starts, too.", True),
    Attribute("showReturnValue", FLAG, "Show what functions returned when stepping.", False),
    Attribute("redirectOutput", FLAG, "Show the app's output in the debug console as well.", False),
    Attribute("pathMappings", _MAPPINGS, "Where the editor's files are for the app."),
    Attribute("rules", _RULES, "What counts as the app's own code, by path or module."),
    Attribute("django", FLAG, "Breakpoints in Django templates.", False),
    Attribute("jinja", FLAG, "Breakpoints in Jinja templates.", False),
    Attribute("gevent", FLAG, "Debug code that gevent has monkey-patched.", False),
    Attribute("breakOnSystemExitZero", FLAG, "Count sys.exit(0) as an uncaught exception.", False),
    Attribute("breakOnSystemExit", _EXIT_CODES, "Exit codes that count as uncaught exceptions."),
    Attribute("maxExceptionStackFrames", {"type": "integer"}, "Frames shown of an exception."),
    Attribute("steppingResumesAllThreads", FLAG, "Let other threads run during a step.", True),
    Attribute("stopAllThreadsOnSuspend", FLAG, "Hold all threads when one stops."),
    Attribute("guiEventLoop", TEXT, "The GUI toolkit to keep alive while paused.", "matplotlib"),
    Attribute("variablePresentation", _PRESENTATION, "How kinds of variables are grouped."),
    Attribute("resolveSymlinks", FLAG, "Report files by the paths that their links lead to."),
    Attribute("debugOptions", TEXTS, "Older names of these, as flags."),
)

STATE_EVENTS = Attribute(
    "stateEvents",
    FLAG,
    "Send the event devlaunchState when the state of the run changes, for a status bar.",
    False,
)

ATTACH = (
    Attribute(
        "connect",
        {
            "type": "object",
            "required": ["port"],
            "properties": {"host": TEXT, "port": _SHAPES["Port"]},
        },
        "Where a devlaunch --debug-attach listens.",
    ),
    Attribute("host", TEXT, "Where a devlaunch --debug-attach listens: the host.", "127.0.0.1"),
    Attribute("port", _SHAPES["Port"], "Where it listens: the port.", 5678),
    Attribute("subProcessId", {"type": "integer"}, "A process of the app; set by devlaunch."),
    STATE_EVENTS,
)

CLIENT = {
    *("name", "type", "request", "preLaunchTask", "postDebugTask", "internalConsoleOptions"),
    *("presentation", "debugServer", "serverReadyAction", "suppressMultipleSessionWarning"),
    *("workspaceFolder", "clientOS", "options", "consoleTitle", "logToFile", "label", "adapter"),
    *("build", "purpose", "restart", "autoReload", "windows", "linux", "osx", "timeout"),
    *("debugAdapterPath", "debugLauncherPath", "debugAdapterPython", "debugLauncherPython"),
    *("onTerminate", "terminateChildProcesses", "envOnly", "processName", "flask"),
}
"""What editors put into a configuration for themselves, or debugpy takes unasked; not an error."""

LAUNCH = (*TARGETS, *OURS, *BY_OPTION.values(), *DEBUGPY, STATE_EVENTS)
NAMES = {attribute.name for attribute in LAUNCH}
_ONLY_OURS = {each.name for each in (*TARGETS, *OURS, *BY_OPTION.values())} - {"noDebug"}


def keeper_arguments(launch: Message) -> Message:
    """Of the arguments of a `launch` what the keeper needs.

    With the internal console all output is read from pipes: the debugger must not send it again.
    """
    arguments = {name: value for name, value in launch.items() if name not in _ONLY_OURS}
    if launch.get("console") in TERMINALS:
        return arguments
    return {**without_output(arguments), "redirectOutput": False, "isOutputRedirected": True}


def matches(value: object, schema: Schema) -> bool:
    """Whether a value is of the JSON type, and one of the words, that the schema allows."""
    kinds = schema["type"]
    allowed = kinds if isinstance(kinds, list) else [kinds]
    if not any(_is_of_type(value, kind) for kind in allowed):
        return False
    if isinstance(value, list) and "items" in schema:
        return all(matches(item, schema["items"]) for item in value)
    return "enum" not in schema or value in schema["enum"]


def _is_of_type(value: object, kind: str) -> bool:
    if isinstance(value, bool) or value is None:
        return kind == ("null" if value is None else "boolean")
    types = {"string": str, "integer": int, "number": (int, float), "array": list, "object": dict}
    return kind in types and isinstance(value, types[kind])  # type: ignore[arg-type]


# --- the schema ---------------------------------------------------------------------------------


def schema() -> Message:
    """What `devlaunch adapter --schema` prints.

    At most one target: without any, the one of pyproject.toml or DEVLAUNCH_TARGET is run.
    """
    names = [each.name for each in TARGETS]
    one = [{"required": [name]} for name in names]
    app = {"required": ["app"]}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Attributes of devlaunch's debug adapter",
        "type": "object",
        "properties": {"request": {"type": "string", "enum": ["launch", "attach"]}},
        "if": {"properties": {"request": {"enum": ["attach"]}}, "required": ["request"]},
        "then": {"$ref": "#/definitions/attach"},
        "else": {"$ref": "#/definitions/launch"},
        "definitions": {
            "launch": _definition(
                LAUNCH,
                oneOf=[*one, {"not": {"anyOf": one}}],
                allOf=[{"if": app, "then": {"not": {"required": ["args"]}}}],
            ),
            "attach": _definition(
                (*ATTACH, *DEBUGPY),
                anyOf=[{"required": ["connect"]}, {"required": ["port"]}, {"not": app}],
            ),
        },
    }


def _definition(attributes: tuple[Attribute, ...], **rules: object) -> Schema:
    known = {attribute.name: attribute.as_property() for attribute in attributes}
    return {
        "type": "object",
        "properties": {**known, **dict.fromkeys(sorted(CLIENT - known.keys()), True)},
        "patternProperties": {"^[_$]": True},
        "additionalProperties": False,
        **rules,
    }
