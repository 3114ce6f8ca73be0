"""What devlaunch prints: a short banner, then one line for each thing that happens.

All of it goes to stderr, since stdout is the app's. Each call is one write(2), so that a line is
never torn by the app's own output; a terminal that is gone is no reason to stop.
"""

from __future__ import annotations

import os
import re
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TextIO

from devlaunch.system.seam import here

if TYPE_CHECKING:
    from io import RawIOBase

    from devlaunch.events import Failure

QUIET, NORMAL, VERBOSE = -1, 0, 1

_WRITE_TIMEOUT = 1.0
"""Seconds to wait for a reader when the app has made our common terminal non-blocking."""

_STATUS_WIDTH = len("reloaded in 214 ms")
_ROW_WIDTH = len("watching")
_INDENT = " " * (len("12:00:00") + 2 + _STATUS_WIDTH + 2)

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_ASCII = str.maketrans({"➜": ">", "—": "-", "…": "..."})
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Console:
    """Words and prints devlaunch's own lines.

    `verbosity` is -1 (only errors and failures), 0 or 1. `color` None means: on a terminal, unless
    NO_COLOR (no-color.org), FORCE_COLOR or TERM=dumb say otherwise. Times are seconds.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        verbosity: int = NORMAL,
        color: bool | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        clock: Callable[[], time.struct_time] = time.localtime,
        directory: str | None = None,
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._verbosity = verbosity
        environ = os.environ if environ is None else environ
        self._color = wants_color(self._stream, environ) if color is None else color
        self._clock = clock
        self._directory = directory or _current_directory()
        self._encoding = getattr(self._stream, "encoding", None) or "utf-8"
        self._has_glyphs = _can_encode("➜—…", self._encoding)

    # --- the start ------------------------------------------------------------------------------

    def banner(self, version: str, rows: Sequence[tuple[str, str, str]]) -> None:
        """The name and, aligned, rows of (label, value, remark); an empty remark is left out."""
        title = f"{self._style('devlaunch', 'bold', 'cyan')} {self._style(version, 'cyan')}"
        self._print("\n".join(["", f"  {title}", "", *self._rows(rows), ""]), QUIET + 1)

    def rows(self, rows: Sequence[tuple[str, str, str]]) -> None:
        """More rows, as those of the banner."""
        self._print("\n".join([*self._rows(rows), ""]), QUIET + 1)

    def ready(self, elapsed: float, remark: str = "", word: str = "ready") -> None:
        """The first generation serves; `remark` such as `ASGI, uvicorn`, `word` for a program."""
        extra = f"  {self._style(_plain(remark), 'dim')}" if remark else ""
        self._print(f"  {self._style(f'{word} in {duration(elapsed)}', 'green')}{extra}\n", NORMAL)

    # --- one line for each event ----------------------------------------------------------------

    def reloading(self, paths: Sequence[str]) -> None:
        """A reload begins; only shown to those who asked for more."""
        self._event("reloading", self.changed(paths), "dim", level=VERBOSE)

    def reloaded(self, paths: Sequence[str], elapsed: float, *, is_served: bool = True) -> None:
        """The new generation runs, `elapsed` after the change; no paths: it was asked for.

        A program that nobody is known to serve by has only begun, and is said to be restarted.
        """
        word = "reloaded" if paths and is_served else "restarted"
        self._event(f"{word} in {duration(elapsed)}", self.changed(paths), "green")

    def broken(self, failure: Failure, *, is_last: bool = False) -> None:
        """The app cannot run; the child has printed the traceback."""
        where = ""
        if failure.file:
            line = f":{failure.line}" if failure.line else ""
            where = self._style(f"{self.relative(failure.file)}{line}", "bold") + "  "
        summary = _plain(failure.summary.strip().partition("\n")[0])
        more = [_plain(line) for line in failure.hint.splitlines()]
        if not is_last:
            more.append("waiting for a change")
        self._event("broken", where + summary, "red", more=more)

    def exited(self, status: int, *, is_last: bool = False) -> None:
        """The app ended by itself (`status` as in Popen.returncode); the next change starts it."""
        self._event(
            ending(status), "" if is_last else "waiting for a change", "red" if status else "green",
            level=QUIET if status else NORMAL,
        )  # fmt: skip

    def paused(self, paths: Sequence[str]) -> None:
        """A change waits, since the debugger holds the app."""
        text = f"{self.changed(paths)} changed — paused in the debugger, will reload on continue"
        self._event("waiting", text, "yellow")

    def refused(self, text: str, *more: str) -> None:
        """A file was saved that cannot be used; the app goes on without."""
        self._event("not taken", _plain(text), "red", more=[_plain(each) for each in more])

    def cut_off(self, requests: Sequence[str], after: float) -> None:
        """A stop ended requests that were still open when the grace was over."""
        what = ", ".join(map(_plain, requests))
        noun = "request" if len(requests) == 1 else "requests"
        self._event(
            "closed", f"{len(requests)} open {noun} after {duration(after)}: {what}", "yellow"
        )

    def stopping(self, reason: str = "") -> None:
        """The end has been asked for, by `reason` (`Ctrl-C`, `SIGTERM`, `the editor`)."""
        self._event("stopping", _plain(reason), "dim")

    def note(self, text: str, *, verbose: bool = False) -> None:
        """Something worth knowing, `verbose` when only to those who asked for more."""
        self._event("note", _plain(text), "dim", level=VERBOSE if verbose else NORMAL)

    # --- trouble --------------------------------------------------------------------------------

    def warning(self, text: str, hint: str = "") -> None:
        """Something that works worse than asked for."""
        self._trouble("warning", "yellow", text, hint, NORMAL)

    def error(self, text: str, hint: str = "") -> None:
        """Something that does not work, and (indented) what to do next."""
        self._trouble("error", "red", text, hint, QUIET)

    # --- wording --------------------------------------------------------------------------------

    def changed(self, paths: Sequence[str]) -> str:
        """`app.py`, or `app.py and 3 more`; empty without paths."""
        if not paths:
            return ""
        # A file that a symbolic link leads to is named by both, and is one.
        others = {os.path.realpath(path) for path in paths} - {os.path.realpath(paths[0])}
        return self.relative(paths[0]) + (f" and {len(others)} more" if others else "")

    def relative(self, path: str) -> str:
        """As short as it stays clear: below the current directory, below ~, or absolute."""
        path = os.path.normpath(path)
        same = os.path.normcase
        if same(path) == same(self._directory):
            return "."
        for base, prefix in ((self._directory, ""), (os.path.expanduser("~"), f"~{os.sep}")):
            if base not in ("", "/") and same(path).startswith(same(base) + os.sep):
                return _plain(prefix + path[len(base) + 1 :])
        return _plain(path)

    # --- printing -------------------------------------------------------------------------------

    def _rows(self, rows: Sequence[tuple[str, str, str]]) -> list[str]:
        lines = []
        for label, value, remark in rows:
            arrow = self._style("➜", "green")
            extra = f"  {self._style(_plain(remark), 'dim')}" if remark else ""
            name = self._style(label.ljust(_ROW_WIDTH), "bold")
            text = _plain(value)
            shown = self._style(text, "cyan") if "://" in text else text
            lines.append(f"  {arrow}  {name}  {shown}{extra}")
        return lines

    def _event(
        self,
        status: str,
        text: str,
        style: str,
        *,
        more: Sequence[str] = (),
        level: int | None = None,
    ) -> None:
        if level is None:
            level = QUIET if style == "red" else NORMAL
        stamp = self._style(time.strftime("%H:%M:%S", self._clock()), "dim")
        # Padded before it is styled: escape sequences have no width.
        column = self._style(status.ljust(_STATUS_WIDTH) if text else status, style)
        line = f"{stamp}  {column}  {text}".rstrip()
        self._print("\n".join([line, *(_INDENT + self._style(m, "dim") for m in more)]), level)

    def _trouble(self, kind: str, style: str, text: str, hint: str, level: int) -> None:
        head, *rest = text.splitlines() or [""]
        lines = [f"devlaunch: {self._style(f'{kind}:', 'bold', style)} {_plain(head)}"]
        lines += [f"  {_plain(line)}" for line in (*rest, *hint.splitlines())]
        self._print("\n".join(lines), level)

    def _style(self, text: str, *names: str) -> str:
        if not self._color or not text.strip():
            return text
        return f"\x1b[{';'.join(_STYLES[name] for name in names)}m{text}\x1b[0m"

    def _print(self, text: str, level: int) -> None:
        if self._verbosity < level:
            return
        if not self._has_glyphs:
            text = text.translate(_ASCII)
        try:
            self._write((text + "\n").encode(self._encoding, "backslashreplace"))
        except (OSError, ValueError):
            pass  # the terminal or pipe is gone, or closed; the app goes on

    def _write(self, data: bytes) -> None:
        self._stream.flush()
        # Not by the descriptor: a console of Windows takes bytes for its code page's.
        buffer = getattr(self._stream, "buffer", None)
        raw: RawIOBase | None = getattr(buffer, "raw", buffer)
        if raw is None:
            self._stream.write(data.decode(self._encoding))
            return
        while data:
            written = raw.write(data)
            if written is not None:
                data = data[written:]
            elif not select.select([], [raw], [], _WRITE_TIMEOUT)[1]:
                return


def wants_color(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether to use colour on this stream; NO_COLOR wins over FORCE_COLOR over the terminal."""
    if environ.get("NO_COLOR"):
        return False
    forced = environ.get("FORCE_COLOR", "")
    if forced:
        return forced not in ("0", "false")
    try:
        if not stream.isatty() or environ.get("TERM") == "dumb":
            return False
        return here.takes_escapes(stream.fileno())
    except ValueError:
        return False


def duration(seconds: float) -> str:
    """`214 ms`, `1.24 s`, `12.3 s`, `75 s`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    digits = 2 if seconds < 9.995 else 1 if seconds < 59.95 else 0
    return f"{seconds:.{digits}f} s"


def ending(status: int) -> str:
    """How a process ended, in words; `status` as in Popen.returncode."""
    if status < 0:
        return f"killed by {signal_name(-status)}"
    # Windows' own as they are written; -1, which programs end with, has 32 bits there.
    is_windows = 0xC0000000 <= status < 0xF0000000
    shown = f"0x{status:X}" if is_windows else status - (1 << 32 if status >= 1 << 31 else 0)
    return f"exited (status {shown})" if status else "finished"


def signal_name(number: int) -> str:
    """`SIGKILL`, or `signal 34` for one without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _plain(text: str) -> str:
    """The text on one line, its control characters made visible: it may come from anywhere."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def _current_directory() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""  # removed under us; paths stay absolute then


def _can_encode(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeError, LookupError):
        return False
    return True
