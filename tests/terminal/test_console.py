"""What devlaunch prints, to the letter; colour on a real terminal."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from support.wait import wait_until

from devlaunch.events import Failure
from devlaunch.terminal.console import (
    NORMAL,
    QUIET,
    VERBOSE,
    Console,
    duration,
    ending,
    wants_color,
)

NOON = time.struct_time((2026, 1, 2, 12, 0, 9, 4, 2, 0))
ROWS = [
    ("app", "app:app", ""),
    ("url", "http://127.0.0.1:8000", ""),
    ("debug", "127.0.0.1:5678", "attach at any time"),
    ("watching", ". and 2 more", ""),
]
WORK = os.path.abspath("/work")
APP = os.path.join(WORK, "app.py")
JOB = os.path.join(WORK, "job.py")
BROKEN = Failure("NameError: name 'x' is not defined", APP, 12)


def native(path: str) -> str:
    """As the system writes it."""
    return path.replace("/", os.sep)


Say = Callable[[Console], None]


def console(
    stream: io.TextIOBase | None, verbosity: int = NORMAL, color: bool | None = None
) -> Console:
    return Console(
        stream, verbosity, color, environ={}, clock=lambda: NOON, directory=WORK  # type: ignore[arg-type]
    )  # fmt: skip


def said(say: Say, verbosity: int = NORMAL, encoding: str = "utf-8", color: bool = False) -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    say(console(stream, verbosity, color))
    stream.flush()
    return raw.getvalue().decode(encoding)


GOLDEN: dict[str, tuple[Say, int, str]] = {
    "banner": (
        lambda c: c.banner("1.2", ROWS), NORMAL, """
  devlaunch 1.2

  ➜  app       app:app
  ➜  url       http://127.0.0.1:8000
  ➜  debug     127.0.0.1:5678  attach at any time
  ➜  watching  . and 2 more

"""),
    "ready": (lambda c: c.ready(0.4123, "ASGI, uvicorn"), NORMAL,
              "  ready in 412 ms  ASGI, uvicorn\n\n"),
    "started": (lambda c: c.ready(0.013, "", "started"), NORMAL, "  started in 13 ms\n\n"),
    "reloading": (lambda c: c.reloading([APP]), VERBOSE,
                  "12:00:09  reloading           app.py\n"),
    "reloaded": (lambda c: c.reloaded([APP], 0.2144), NORMAL,
                 "12:00:09  reloaded in 214 ms  app.py\n"),
    "reloaded, many": (lambda c: c.reloaded([f"{WORK}/a/{n}.py" for n in "xyzw"], 1.237), NORMAL,
                       f"12:00:09  reloaded in 1.24 s  {native('a/x.py')} and 3 more\n"),
    "restarted": (lambda c: c.reloaded([], 0.05), NORMAL, "12:00:09  restarted in 50 ms\n"),
    "restarted, a program": (lambda c: c.reloaded([JOB], 0.05, is_served=False), NORMAL,
                             "12:00:09  restarted in 50 ms  job.py\n"),
    "broken": (lambda c: c.broken(BROKEN), QUIET,
               "12:00:09  broken              app.py:12  NameError: name 'x' is not defined\n"
               "                              waiting for a change\n"),
    "broken, with a hint": (
        lambda c: c.broken(Failure("a sentence\nand more", hint="do this\nor that")), QUIET,
        "12:00:09  broken              a sentence\n"
        "                              do this\n"
        "                              or that\n"
        "                              waiting for a change\n"),
    "exited": (lambda c: c.exited(3), QUIET,
               "12:00:09  exited (status 3)   waiting for a change\n"),
    "broken, and over": (lambda c: c.broken(Failure("no app", hint="do this"), is_last=True), QUIET,
                         "12:00:09  broken              no app\n"
                         "                              do this\n"),
    "exited, and over": (lambda c: c.exited(3, is_last=True), QUIET,
                         "12:00:09  exited (status 3)\n"),
    "finished": (lambda c: c.exited(0), NORMAL,
                 "12:00:09  finished            waiting for a change\n"),
    "killed": (lambda c: c.exited(-11), QUIET,
               "12:00:09  killed by SIGSEGV   waiting for a change\n"),
    "paused": (lambda c: c.paused([APP]), NORMAL,
               "12:00:09  waiting             app.py changed — paused in the debugger, "
               "will reload on continue\n"),
    "refused": (lambda c: c.refused("x.env:1: is wrong", "do this", "the others stay"), QUIET,
                "12:00:09  not taken           x.env:1: is wrong\n"
                "                              do this\n"
                "                              the others stay\n"),
    "cut off": (lambda c: c.cut_off(["GET /stream", "WebSocket /ws"], 2.0), NORMAL,
                "12:00:09  closed              2 open requests after 2.00 s: "
                "GET /stream, WebSocket /ws\n"),
    "cut off, one": (lambda c: c.cut_off(["GET /"], 2.0), NORMAL,
                     "12:00:09  closed              1 open request after 2.00 s: GET /\n"),
    "stopping": (lambda c: c.stopping("Ctrl-C"), NORMAL, "12:00:09  stopping            Ctrl-C\n"),
    "note": (lambda c: c.note("a note"), NORMAL, "12:00:09  note                a note\n"),
    "verbose note": (lambda c: c.note("more", verbose=True), VERBOSE,
                     "12:00:09  note                more\n"),
    "warning": (lambda c: c.warning("it is slow", "so wait"), NORMAL,
                "devlaunch: warning: it is slow\n  so wait\n"),
    "error": (lambda c: c.error("it is wrong", "do this\n  and that"), QUIET,
              "devlaunch: error: it is wrong\n  do this\n    and that\n"),
}  # fmt: skip


@pytest.mark.parametrize(("say", "level", "text"), GOLDEN.values(), ids=GOLDEN)
def test_golden_texts_and_verbosity(say: Say, level: int, text: str) -> None:
    for verbosity in (QUIET, NORMAL, VERBOSE):
        assert said(say, verbosity) == (text if verbosity >= level else "")


@pytest.mark.posix("a link takes no privilege")
def test_a_file_and_the_link_to_it_are_one_change(tmp_path: Path) -> None:
    (tmp_path / "real.py").touch()
    (tmp_path / "link.py").symlink_to("real.py")
    paths = [str(tmp_path / name) for name in ("link.py", "real.py")]
    console = Console(directory=str(tmp_path))
    assert console.changed(paths) == "link.py"
    assert console.changed([*paths, str(tmp_path / "other.py")]) == "link.py and 1 more"


def test_ascii_where_the_encoding_has_no_more() -> None:
    assert "\n  >  app       " in said(lambda c: c.banner("1", ROWS), encoding="ascii")
    assert "changed - paused" in said(
        lambda c: c.paused([os.path.join(WORK, "x")]), encoding="latin-1"
    )
    assert said(lambda c: c.note("na\u00efve \u2713"), encoding="ascii").endswith(
        "na\\xefve \\u2713\n"
    )


def test_text_from_elsewhere_cannot_steer_the_terminal() -> None:
    evil = "\x1b[2J\r\nnew line\x9b"
    for say in (
        lambda c: c.broken(Failure(f"Error: {evil}", f"{WORK}/{evil}.py")),
        lambda c: c.cut_off([evil], 1),
        lambda c: c.reloaded([f"{WORK}/{evil}"], 1),
        lambda c: c.note(evil),
        lambda c: c.banner("1", [("app", evil, evil)]),
        lambda c: c.error(evil, evil),
    ):
        text = said(say)
        assert not set(text) & {"\x1b", "\r", "\x9b"}
        assert "\\x1b" in text


def test_a_lone_surrogate_does_not_stop_us() -> None:
    assert said(lambda c: c.reloaded([os.path.join(WORK, "\udce9.py")], 1)).endswith("\\udce9.py\n")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/work/a/b.py", "a/b.py"),
        ("/work", "."),
        ("/workshop/x.py", "/workshop/x.py"),
        ("/work/../x.py", "/x.py"),
        ("~/x/y.py", "~/x/y.py"),
    ],
)
def test_relative(path: str, expected: str) -> None:
    path = native(path) if path.startswith("~") else os.path.abspath(path)
    if expected.startswith("/"):
        expected = os.path.abspath(expected)
    assert console(None).relative(os.path.expanduser(path)) == native(expected)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 ms"), (0.0004, "0 ms"), (0.214, "214 ms"), (0.9994, "999 ms"), (0.9996, "1.00 s"),
        (9.994, "9.99 s"), (9.996, "10.0 s"), (59.94, "59.9 s"), (59.96, "60 s"), (75.4, "75 s"),
    ],
)  # fmt: skip
def test_duration(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


def test_ending() -> None:
    assert [ending(s) for s in (0, 3, -11, -63, 0xC0000135, 0xFFFFFFFF)] == [
        "finished", "exited (status 3)", "killed by SIGSEGV", "killed by signal 63",
        "exited (status 0xC0000135)", "exited (status -1)",
    ]  # fmt: skip


# --- colour -------------------------------------------------------------------------------------


def test_colour_is_only_decoration() -> None:
    for say, level, text in GOLDEN.values():
        coloured = said(say, level, color=True)
        assert "\x1b[" in coloured
        plain = coloured.replace("\x1b[0m", "")
        for style in ("1;36", "1;31", "1;33", "1", "2", "31", "32", "33", "36"):
            plain = plain.replace(f"\x1b[{style}m", "")
        assert plain == text


@pytest.mark.posix("a pty")
@pytest.mark.parametrize(
    ("environ", "on_terminal", "on_pipe"),
    [
        ({}, True, False),
        ({"TERM": "xterm"}, True, False),
        ({"TERM": "dumb"}, False, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": ""}, True, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, True, True),
        ({"FORCE_COLOR": "0"}, False, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
    ],
)
def test_when_to_use_colour(environ: Mapping[str, str], on_terminal: bool, on_pipe: bool) -> None:
    master, slave = os.openpty()
    with os.fdopen(master), os.fdopen(slave, "w") as terminal:
        assert wants_color(terminal, environ) == on_terminal
    assert wants_color(io.StringIO(), environ) == on_pipe
    closed = io.StringIO()
    closed.close()
    assert wants_color(closed, {}) is False


@pytest.mark.posix("a pty")
def test_a_terminal_gets_colour_in_one_write() -> None:
    master, slave = os.openpty()
    with (
        os.fdopen(master, "rb", buffering=0) as reader,
        os.fdopen(slave, "w", encoding="utf-8") as terminal,
    ):
        console(terminal).reloaded([APP], 0.214)
        expected = b"\x1b[2m12:00:09\x1b[0m  \x1b[32mreloaded in 214 ms\x1b[0m  app.py\r\n"
        assert reader.read(1000) == expected


def test_lines_of_many_writers_are_never_torn() -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as source, os.fdopen(writer, "w", encoding="utf-8") as sink:
        ours = console(sink)
        lines = 300

        def app() -> None:
            for _ in range(lines):
                os.write(writer, b"app\n")

        def launcher() -> None:
            for _ in range(lines):
                ours.broken(BROKEN)

        writers = [threading.Thread(target=each) for each in (app, launcher)]
        for thread in writers:
            thread.start()
        # Meanwhile: a pipe holds 4 KB on some systems.
        text = source.read(lines * (len("app\n") + len(GOLDEN["broken"][2])))
        for thread in writers:
            thread.join()
    rest = text.decode().replace(GOLDEN["broken"][2], "")
    assert rest == "app\n" * lines


# --- streams that fail --------------------------------------------------------------------------


def test_a_broken_pipe_is_no_reason_to_stop() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", encoding="utf-8") as sink:
        console(sink).note("nobody reads this")
    console(sink).note("nor this: the stream is closed")


@pytest.mark.posix("a pipe that does not block")
def test_a_non_blocking_stream_gets_everything() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with os.fdopen(reader, "rb") as source, os.fdopen(writer, "w", encoding="utf-8") as sink:
        ours = console(sink)
        size = 100_000
        thread = threading.Thread(target=ours.note, args=("x" * size,))
        thread.start()
        text = source.read(size)
        thread.join(10)
        assert not thread.is_alive()
        rest = wait_until(lambda: source.read1(1000), what="the end of the line")
    assert (text + rest).endswith(b"x\n")
    assert len(text + rest) == len("12:00:09  note                \n") + size


def test_a_stream_without_a_descriptor() -> None:
    stream = io.StringIO()
    console(stream).note("x")
    assert stream.getvalue() == "12:00:09  note                x\n"
