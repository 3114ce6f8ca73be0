"""Flags over environment over pyproject.toml, and what is refused on the way."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from devlaunch.config import Config, Isolation, StandbyLevel, TargetKind, WhilePaused
from devlaunch.errors import EX_USAGE, UsageError
from devlaunch.target.converters import DEFAULT_POLL, to_words
from devlaunch.target.envfile import read_env_file
from devlaunch.target.options import BY_KEY, KEYS
from devlaunch.target.settings import resolve

APP = {"target": "app:app"}
NOTHING: Mapping[str, str] = {}


def pyproject(directory: Path, text: str) -> Path:
    path = directory / "pyproject.toml"
    path.write_text(text)
    return path


def config(directory: Path, environ: Mapping[str, str] = NOTHING, **given: object) -> Config:
    flags = {key.replace("_", "-"): value for key, value in given.items()}
    return resolve(APP | flags, environ=environ, directory=str(directory))


# key, then (as written, what Config holds) for flag, environment and file: three different values.
TABLE: list[tuple[str, tuple[object, object], tuple[str, object], tuple[str, object]]] = [
    ("host", ("a", "a"), ("b", "b"), ('"c"', "c")),
    ("port", ("1", 1), ("2", 2), ("3", 3)),
    ("uds", ("a", "{dir}/a"), ("{dir}/b", "{dir}/b"), ('"c"', "{dir}/c")),
    ("fd", ("3", 3), ("4", 4), ("5", 5)),
    ("server", ("uvicorn", "uvicorn"), ("hypercorn", "hypercorn"), ('"wsgiref"', "wsgiref")),
    ("factory", (True, True), ("no", False), ("true", True)),
    ("debug-attach", (True, True), ("off", False), ("true", True)),
    ("debug-address", ("1", ("127.0.0.1", 1)), ("[::1]:2", ("::1", 2)), ("3", ("127.0.0.1", 3))),
    ("wait-for-client", (True, True), ("0", False), ("true", True)),
    ("pycharm-server", ("h:1", ("h", 1)), ("[::1]:2", ("::1", 2)), ("3", ("127.0.0.1", 3))),
    ("allow-remote-debug", (True, True), ("false", False), ("true", True)),
    ("while-paused", ("restart", WhilePaused.RESTART), ("wait", WhilePaused.WAIT),
     ('"restart"', WhilePaused.RESTART)),
    ("app-dir", ("one", "{dir}/one"), ("{dir}/two", "{dir}/two"), ('"three"', "{dir}/three")),
    ("watch", (("one", "*.x"), ("{dir}/one", "{dir}/**/*.x")),
     (f"two{os.pathsep}three", ("{dir}/two", "{dir}/three")), ('["y/*.y"]', ("{dir}/y/*.y",))),
    ("ignore", (("one",), ("one",)), (f"a,b{os.pathsep}c", ("a,b", "c")),
     ('["d", "e"]', ("d", "e"))),
    ("reload", (False, False), ("yes", True), ("false", False)),
    ("poll", ("on", DEFAULT_POLL), ("250ms", 0.25), ("1.5", 1.5)),
    ("grace", ("500ms", 0.5), ("2s", 2.0), ("3", 3.0)),
    ("python", ("python3", "python3"), ("./py", "{dir}/py"), ('"bin/py"', "{dir}/bin/py")),
    ("env-file", ("one.env", "{dir}/one.env"), ("two.env", "{dir}/two.env"),
     ('"three.env"', "{dir}/three.env")),
    ("standby", ("debugger", StandbyLevel.DEBUGGER), ("off", StandbyLevel.OFF),
     ('"full"', StandbyLevel.FULL)),
    ("isolate", ("group", Isolation.GROUP), ("none", Isolation.NONE),
     ('"session"', Isolation.SESSION)),
]  # fmt: skip


def test_the_table_is_complete() -> None:
    assert {key for key, *_ in TABLE} | {"verbose", "quiet"} == set(BY_KEY)


@pytest.mark.parametrize(("key", "flag", "variable", "file"), TABLE, ids=[row[0] for row in TABLE])
def test_flag_over_environment_over_file(
    tmp_path: Path,
    key: str,
    flag: tuple[object, object],
    variable: tuple[str, object],
    file: tuple[str, object],
) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        (tmp_path / f"{name}.env").touch()

    def here(value: object) -> object:
        if isinstance(value, tuple):
            return tuple(map(here, value))
        if type(value) is not str or "{dir}" not in value:
            return value
        return value.replace("{dir}", str(tmp_path)).replace("/", os.sep)

    option = BY_KEY[key]
    # What a flag alone would be refused without.
    needed = {option.needs.replace("-", "_"): True} if option.needs else {}

    def seen(given: dict[str, object], environ: dict[str, str]) -> object:
        return getattr(config(tmp_path, environ, **given), option.field)

    environ = {option.variable: str(here(variable[0]))}
    given = {option.field: flag[0], **needed}
    default = seen({}, {})
    assert seen(given, {}) == here(flag[1])
    assert seen({}, environ) == here(variable[1])
    pyproject(tmp_path, f"[tool.devlaunch]\n{key} = {file[0]}\n")
    assert seen({}, {}) == here(file[1])
    assert seen({}, environ) == here(variable[1])
    assert seen(given, environ) == here(flag[1])
    assert seen({}, {option.variable: ""}) == here(file[1]), "an empty variable is not set"
    pyproject(tmp_path, "[tool.other]\n")
    assert seen({}, {}) == default


@pytest.mark.parametrize(
    ("given", "environ", "file", "verbosity"),
    [
        ({}, {}, "", 0),
        ({"verbose": True}, {}, "", 1),
        ({"quiet": True}, {}, "", -1),
        ({}, {"DEVLAUNCH_QUIET": "1"}, "", -1),
        ({}, {}, "verbose = true", 1),
        ({"quiet": True}, {"DEVLAUNCH_VERBOSE": "1"}, "verbose = true", -1),
        ({}, {"DEVLAUNCH_VERBOSE": "1"}, "quiet = true", 1),
        ({"verbose": False}, {}, "verbose = true", 0),
    ],
)
def test_verbosity(
    tmp_path: Path, given: dict[str, object], environ: dict[str, str], file: str, verbosity: int
) -> None:
    pyproject(tmp_path, f"[tool.devlaunch]\n{file}\n")
    assert config(tmp_path, environ, **given).verbosity == verbosity


def test_a_rival_of_a_higher_source_wins(tmp_path: Path) -> None:
    pyproject(tmp_path, '[tool.devlaunch]\nuds = "s"\n')
    assert config(tmp_path).uds == str(tmp_path / "s")
    assert config(tmp_path, port="1").uds is None
    assert config(tmp_path, {"DEVLAUNCH_FD": "3"}).uds is None


# --- the target ---------------------------------------------------------------------------------


def test_the_target_of_the_file_is_meant_from_its_place(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "tool.py").touch()
    pyproject(tmp_path, "[tool.devlaunch]\ntarget = \"tool.py --x '1 2'\"\n")
    seen = resolve({}, environ={}, directory=str(below))
    assert (seen.target.kind, seen.target.name) == (TargetKind.SCRIPT, str(tmp_path / "tool.py"))
    assert seen.target.args == ("--x", "1 2")
    assert seen.app_dir == str(tmp_path)
    other = resolve(APP, environ={}, directory=str(below))
    assert other.app_dir == str(below)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"app:app"', "app:app"),
        ('"-m pkg.mod --x"', "-m pkg.mod --x"),
        ('["--", "celery", "-A", "p"]', "celery -A p"),
    ],
)
def test_forms_of_a_target_in_the_file(tmp_path: Path, text: str, expected: str) -> None:
    pyproject(tmp_path, f"[tool.devlaunch]\ntarget = {text}\n")
    assert str(resolve({}, environ={}, directory=str(tmp_path)).target) == expected
    environ = {"DEVLAUNCH_TARGET": "other:app"}
    assert resolve({}, environ=environ, directory=str(tmp_path)).target.name == "other:app"


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("toml", "message", "hint"),
    [
        ("port = \n", "pyproject.toml:2:8: invalid value", ""),
        ('port = 1\nhost = "a\n', "pyproject.toml:3:", ""),
        ("prot = 1\n", "pyproject.toml:2: prot: there is no such key", "did you mean port?"),
        ("zzzz = 1\n", "pyproject.toml:2: zzzz: there is no such key", "valid: allow-"),
        ("debug_attach = true\n", "there is no such key", "did you mean debug-attach?"),
        ("[tool.devlaunch.servr]\n", "pyproject.toml:2: servr:", "did you mean server?"),
        ('\nisolate = "sesion"\n', "pyproject.toml:3: isolate: expected session, group or none, "
         "not 'sesion'", "did you mean session?"),
        ("port = true\n", "expected a port from 0 (any free one) to 65535, not true", ""),
        ("port = 65536\n", "not 65536", ""),
        ('reload = "maybe"\n', "pyproject.toml:2: reload: expected true or false, not 'maybe'", ""),
        ("grace = -1\n", "expected a duration such as 2, 0.5, 2s or 500ms, not -1", ""),
        ("grace = inf\n", "not inf", ""),
        ("poll = 0\n", "expected an interval", ""),
        ("watch = [1]\n", "pyproject.toml:2: watch: expected text, not 1", ""),
        ('watch = ["[a"]\n', "expected a path or a glob", "the [ is never closed"),
        ('watch = "no-such"\n', "no-such: ", ""),
        ("target = 3\n", "pyproject.toml:2: target: expected a target", ""),
        ("target = \"a 'b\"\n", "shell's quoting", "no closing quotation"),
        ('target = "app.py:app"\n', "pyproject.toml:2: target: 'app.py:app' does", "mean app:app?"),
        ('app-dir = "no"\n', "app-dir", ""),
        ('env-file = "no"\n', "pyproject.toml:2: env-file", ""),
        ("verbose = true\nquiet = true\n", "exclude each other", "only one"),
        ("uds = 'a'\nport = 1\n", "exclude each other", ""),
    ],
)  # fmt: skip
def test_bad_files(tmp_path: Path, toml: str, message: str, hint: str) -> None:
    pyproject(tmp_path, f"[tool.devlaunch]\n{toml}")
    given = {} if "target" in toml else APP
    with pytest.raises(UsageError) as caught:
        resolve(given, environ={}, directory=str(tmp_path))
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.exit_status == EX_USAGE
    assert str(tmp_path) in caught.value.message


def test_a_file_that_is_no_table_or_no_text(tmp_path: Path) -> None:
    pyproject(tmp_path, "[tool]\ndevlaunch = 3\n")
    with pytest.raises(UsageError, match="is no table"):
        config(tmp_path)
    (tmp_path / "pyproject.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="is not UTF-8") as caught:
        config(tmp_path)
    assert caught.value.hint == "save it as UTF-8"


def test_a_file_with_a_mark_of_utf_8(tmp_path: Path) -> None:
    """As PowerShell 5 and some editors of Windows write it."""
    (tmp_path / "pyproject.toml").write_bytes(b"\xef\xbb\xbf[tool.devlaunch]\nport = 1\n")
    assert config(tmp_path).port == 1


def test_only_the_nearest_file_counts(tmp_path: Path) -> None:
    pyproject(tmp_path, "[tool.devlaunch]\nport = 1\n")
    below = tmp_path / "below"
    below.mkdir()
    assert config(below).port == 1
    pyproject(below, "")
    assert config(below).port == 8000


@pytest.mark.parametrize(
    ("environ", "message", "hint"),
    [
        ({"DEVLAUNCH_PROT": "1"}, "DEVLAUNCH_PROT=1: there is no such setting", "DEVLAUNCH_PORT?"),
        ({"DEVLAUNCH_PORT": "x"}, "DEVLAUNCH_PORT: expected a port from 0", ""),
        ({"DEVLAUNCH_RELOAD": "2"}, "DEVLAUNCH_RELOAD: expected true or false, not '2'", ""),
        ({"DEVLAUNCH_SERVER": "uvicron"}, "not 'uvicron'", "did you mean uvicorn?"),
        ({"DEVLAUNCH_DEBUG_ADDRESS": "::1"}, "expected HOST:PORT", "brackets: [::1]:5678"),
        ({"DEVLAUNCH_DEBUG_ADDRESS": "a:b"}, "expected HOST:PORT", ""),
        ({"DEVLAUNCH_DEBUG_ADDRESS": "a:99999"}, "expected a port", ""),
    ],
)
def test_bad_variables(tmp_path: Path, environ: dict[str, str], message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        config(tmp_path, environ)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_variables_of_our_own_and_of_others_are_left_alone(tmp_path: Path) -> None:
    assert config(tmp_path, {"DEVLAUNCH_RUN": "x", "DEVLAUNCHER": "y"}) == config(tmp_path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"debug-address": ":1"}, "--debug-address does nothing without --debug-attach"),
        ({"wait-for-client": True}, "--wait-for-client does nothing without --debug-attach"),
        ({"target": ["-m", "m"], "port": "1"}, "--port is only for app targets"),
        ({"target": ["-m", "m"], "factory": True}, "--factory is only for app targets"),
        ({"uds": "a", "fd": "3"}, "--uds and --fd exclude each other"),
        ({"uds": "a", "port": "0"}, "--uds and --port exclude each other"),
        ({"target": ["-m", "m"], "port": "0"}, "--port is only for app targets"),
        ({"prot": 1}, "--prot: there is no such option"),
    ],
)
def test_flags_that_would_do_nothing(
    tmp_path: Path, given: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        resolve(APP | given, environ={}, directory=str(tmp_path))


def test_settings_that_do_nothing_here_may_stay(tmp_path: Path) -> None:
    pyproject(tmp_path, "[tool.devlaunch]\nport = 1\nwait-for-client = true\n")
    seen = resolve({"target": ["-m", "m"]}, environ={}, directory=str(tmp_path))
    assert seen.port == 1


@pytest.mark.parametrize("text", ["2", "2s", "2.0", "2000ms", " 2 s", "2."])
def test_durations(tmp_path: Path, text: str) -> None:
    assert config(tmp_path, grace=text).grace == 2.0


@pytest.mark.parametrize("text", ["", "s", "2m", "-2", "1e3", "nan", "2 0", "٢"])
def test_no_durations(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="expected a duration"):
        config(tmp_path, grace=text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("localhost:1", ("localhost", 1)),
        (":0", ("127.0.0.1", 0)),
        ("65535", ("127.0.0.1", 65535)),
        ("[fe80::1%eth0]:1", ("fe80::1%eth0", 1)),
    ],
)
def test_addresses(tmp_path: Path, text: str, expected: tuple[str, int]) -> None:
    assert config(tmp_path, debug_attach=True, debug_address=text).debug_address == expected


def test_keys_are_kebab_case_and_unique() -> None:
    assert len(set(KEYS)) == len(KEYS)
    assert all(key == key.lower() and "_" not in key for key in KEYS)


# --- the env file -------------------------------------------------------------------------------

ENV = r"""
# a comment
PLAIN=1
export EXPORTED = spaced out   # a comment
EMPTY=
NOTHING= # a comment
COLOR=#ff0000
HASH=a#b
RAW='a "b" \n $HOME # not a comment'  # but this is
TEXT="a 'b'\n\t\\ \" # too"
LINES="one
two"
URL=postgres://u:p@h/db?x=1&y=2
FULL=${PLAIN}/${OUTSIDE}
dotted.name=x
PLAIN=2
"""


def test_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTSIDE", "out")
    path = tmp_path / ".env"
    path.write_bytes(b"\xef\xbb\xbf" + ENV.replace("\n", "\r\n").encode())
    found = config(tmp_path, env_file=".env").env
    assert found == {
        "PLAIN": "2",
        "EXPORTED": "spaced out",
        "EMPTY": "",
        "NOTHING": "",
        "COLOR": "#ff0000",
        "HASH": "a#b",
        "RAW": 'a "b" \\n $HOME # not a comment',
        "TEXT": "a 'b'\n\t\\ \" # too",
        "LINES": "one\ntwo",
        "URL": "postgres://u:p@h/db?x=1&y=2",
        "FULL": "1/out",
        "dotted.name": "x",
    }
    code = "import dotenv, os; dotenv.load_dotenv('.env'); print(dict(os.environ))"
    command = [sys.executable, "-c", code]
    needed = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=needed | {"OUTSIDE": "out"},
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    if os.name == "nt":  # where names are without case
        found = {name.upper(): value for name, value in found.items()}
    assert found.items() <= ast.literal_eval(done.stdout).items(), "as python-dotenv has it"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("no_assignment", "there is no KEY= in this line"),
        ("no assignment", "this line cannot be read"),
        ("=x", "this line cannot be read"),
        ("a: b", "this line cannot be read"),
        ("A='x", "this line cannot be read"),
        ('A="x\\"', "this line cannot be read"),
        ("A='x' y", "this line cannot be read"),
        ("'A=B'=x", "equals sign"),
        ("A=x\0y", "NUL"),
    ],
)
def test_broken_env_lines_are_named_but_not_shown(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "x.env"
    path.write_text(f"A=1\n\n\n{line}\nB=2\n")
    with pytest.raises(UsageError) as caught:
        read_env_file(str(path))
    assert caught.value.message.startswith(f"{path}:4: ")
    assert message in caught.value.message


def test_env_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        read_env_file(str(tmp_path / "no"))
    # Windows' word for it is that there is no permission.
    with pytest.raises(UsageError, match=r"is a directory|permission denied"):
        read_env_file(str(tmp_path))
    (tmp_path / "x").write_bytes(b"A=\xff")
    with pytest.raises(UsageError, match="is not UTF-8") as caught:
        read_env_file(str(tmp_path / "x"))
    assert caught.value.hint == "save it as UTF-8"


@pytest.mark.parametrize(
    ("text", "posix", "windows"),
    [
        ("app.py 'a b' \"c d\" # e", *[("app.py", "a b", "c d", "#", "e")] * 2),
        (r"src\app.py", ("srcapp.py",), (r"src\app.py",)),
        (r'"my src\app.py"', (r"my src\app.py",), (r"my src\app.py",)),
        (r"a\ b", ("a b",), ("a\\", "b")),
        ("", (), ()),
    ],
)
def test_a_backslash_quotes_where_it_parts_no_paths(
    text: str, posix: tuple[str, ...], windows: tuple[str, ...]
) -> None:
    assert to_words(text, separator="/") == posix
    assert to_words(text, separator="\\") == windows
