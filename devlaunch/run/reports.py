"""What people read of a run: on the terminal, in the editor's console, in its launch."""

from __future__ import annotations

import signal
import time

from devlaunch import events
from devlaunch.debuggers import Debugging
from devlaunch.debuggers.link import Link
from devlaunch.errors import DevlaunchError
from devlaunch.events import What
from devlaunch.system.channel import Message
from devlaunch.terminal.console import Console, duration

WHY_SURVIVED = "it belongs to another user, or hangs in the kernel"


class Reports:
    """Words what the supervisor reports and what a child says."""

    def __init__(self, console: Console, link: Link | None, *, reload: bool) -> None:
        """`reload`: devlaunch restarts the app; else what that needs is nothing to speak of."""
        self.debugging: Debugging | None = None
        self._console = console
        self._link = link
        self._reload = reload
        self._began = time.monotonic()
        self._asked_to_stop = 0.0
        self._interface = ""
        self._notes: set[str] = set()

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
            case {"type": "held", "threads": [*names]}:
                what = "thread" if len(names) == 1 else "threads"
                listed = ", ".join(map(str, names))
                self._console.note(f"the end of the app waits for its {what} {listed} (no daemon)")
            case {"type": "note", "text": text}:
                self._note_once(text, text)  # as each generation says the same
            case {"type": "silent" | "mute" | "reloader" | "alive"}:
                self._child_escapes(message)
            case {"type": "debugger", "error": error} if error:
                hint = str(message.get("hint") or "")
                self._console.warning(f"the debugger could not connect: {error}", hint)
            case {"type": "restart", "reason": reason}:
                self._console.note(f"the app is started again: {reason}")

    def overdue(self, processes: list[str], grace: float) -> None:
        """Name whom the app has started, and who had to be killed after `grace` seconds."""
        if processes:
            self._console.note(
                f"killed {', '.join(processes)}: started by the app, and did not end by"
                f" SIGTERM within {grace:g} s"
            )

    def survived(self, pids: set[int]) -> None:
        """Name who has survived SIGKILL."""
        if pids:
            text = f"could not end process {', '.join(map(str, sorted(pids)))}"
            self._console.warning(text, hint=WHY_SURVIVED)

    def _child_escapes(self, message: Message) -> None:
        """Say once of what it has done that keeps us from knowing it all."""
        match message:
            case {"type": "alive", "by_exec": by_exec}:
                cut = (
                    "the app has replaced its process by exec: a reloader of its own? Switch that"
                    " off: devlaunch restarts the app"
                    if by_exec
                    else "the app has closed the descriptor by which devlaunch hears of it"
                )
                self._note_of_reload(cut, f"{cut}; now every source file counts")
            case {"type": "reloader", "pid": pid, "by": by}:
                seen = (
                    f"process {by} of the app watches files that process {pid} below it runs"
                    if by
                    else f"process {pid} runs the command line of the app again"
                )
                self._note_of_reload(
                    "runs again",
                    f"{seen}: a reloader of its own? Switch it off, or run what it restarts:"
                    " devlaunch restarts the app",
                )
            case _:
                pids = message["processes"] if message["type"] == "mute" else ()
                named = f"process {', '.join(map(str, pids))}" if pids else "a Python process"
                text = f"{named} of the app cannot say what it runs: each source file counts"
                self._note_of_reload("cannot know", f"{text} from now on")

    def _note_of_reload(self, key: str, text: str) -> None:
        if self._reload:
            self._note_once(key, text)

    def _note_once(self, key: str, text: str) -> None:
        if key not in self._notes:
            self._notes.add(key)
            self._console.note(text)

    def show(self, report: events.Report) -> None:
        """Show what the supervisor reports."""
        console, paths = self._console, report.paths
        match report.what:
            case What.READY:
                # A program may have far to go from here; what it will be to others is not known.
                word = "ready" if self._interface else "started"
                console.ready(time.monotonic() - self._began, self._interface, word)
            case What.RELOADING:
                console.reloading(paths)
            case What.RELOADED:
                is_served = bool(self._interface)
                console.reloaded(paths, report.elapsed or 0.0, is_served=is_served)
            case What.BROKEN if report.failure:
                console.broken(report.failure, is_last=report.is_last)
            case What.EXITED:
                console.exited(report.status or 0, is_last=report.is_last)
            case What.WAITING_WHILE_PAUSED:
                self._show_paused(paths)
            case What.OVERDUE:
                after = duration(report.elapsed or 0.0)
                console.note(f"the app did not end within {after} (--grace): it is made to")
            case What.STOPPING:
                console.stopping(_asked_by(report.status))
        if self._link and report.what in (What.READY, What.BROKEN, What.EXITED):
            _tell_link(self._link, report)

    def _show_paused(self, paths: tuple[str, ...]) -> None:
        self._console.paused(paths)
        if self.debugging and not (self._link and self._link.shows_lines):
            text = f"{self._console.changed(paths)} changed: will reload on continue"
            self.debugging.tell(events.ConsoleNote(text))


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
