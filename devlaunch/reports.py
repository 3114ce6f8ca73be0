"""What people read of a run: on the terminal, in the editor's console, in its launch."""

from __future__ import annotations

import signal
import time

from devlaunch import events
from devlaunch.adapter.link import Link
from devlaunch.console import Console
from devlaunch.control import Message
from devlaunch.debuggers import Debugging
from devlaunch.errors import DevlaunchError


class Reports:
    """Words what the supervisor reports and what a child says."""

    def __init__(self, console: Console, link: Link | None) -> None:
        self.debugging: Debugging | None = None
        self._console = console
        self._link = link
        self._began = time.monotonic()
        self._asked_to_stop = 0.0
        self._interface = ""
        self._notes: set[object] = set()

    def asked_to_stop(self) -> None:
        """The child has been asked to stop now."""
        self._asked_to_stop = time.monotonic()

    def child_said(self, message: Message) -> None:
        """Show what of it is meant for people."""
        match message:
            case {"type": "serving"}:
                parts = (message.get("interface"), message.get("server"))
                self._interface = ", ".join(str(part) for part in parts if part)
            case {"type": "open", "requests": [*requests]}:
                after = time.monotonic() - self._asked_to_stop
                self._console.cut_off([str(each) for each in requests], after)
            case {"type": "note", "text": text} if text not in self._notes:
                self._notes.add(text)  # each generation says the same
                self._console.note(str(text))
            case {"type": "debugger", "error": error} if error:
                hint = str(message.get("hint") or "")
                self._console.warning(f"the debugger could not connect: {error}", hint)
            case {"type": "restart", "reason": reason}:
                self._console.note(f"the app is started again: {reason}")

    def show(self, report: events.Report) -> None:
        """Show what the supervisor reports."""
        console, paths = self._console, report.paths
        match report.what:
            case "ready":
                console.ready(time.monotonic() - self._began, self._interface)
            case "reloading":
                console.reloading(paths)
            case "reloaded":
                console.reloaded(paths, report.elapsed or 0.0)
            case "broken" if report.failure:
                console.broken(report.failure, is_last=report.is_last)
            case "exited":
                console.exited(report.status or 0, is_last=report.is_last)
            case "waiting-while-paused":
                console.paused(paths)
                if self.debugging and not (self._link and self._link.shows_lines):
                    text = f"{console.changed(paths)} changed: will reload on continue"
                    self.debugging.tell(events.ConsoleNote(text))
            case "stopping":
                console.stopping(_asked_by(report.status))
        if self._link and report.what in ("ready", "broken", "exited"):
            _tell_link(self._link, report)


def _tell_link(link: Link, report: events.Report) -> None:
    failure = report.failure
    if failure and failure.is_usage and report.is_last:
        link.fail(DevlaunchError(failure.summary, hint=failure.hint))
    else:
        link.started()


def _asked_by(status: int | None) -> str:
    """Who asked for the end, in words."""
    if status is None:
        return "the editor"
    return "Ctrl-C" if status == -signal.SIGINT else signal.Signals(-status).name
