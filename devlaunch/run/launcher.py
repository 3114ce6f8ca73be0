"""The launcher: what happens goes in, to the program that is concerned or to all of them.

`Launcher` is the host of a run: it owns what there is one of (loop, guardian, watcher, debugging,
terminal, console) and its programs, by name. It lives in the loop's thread only.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Mapping
from itertools import count
from typing import TYPE_CHECKING

from devlaunch import __version__, events
from devlaunch.debuggers import choose
from devlaunch.errors import DevlaunchError
from devlaunch.run.descendants import Datagrams
from devlaunch.run.program import Program
from devlaunch.run.shared import Shared
from devlaunch.system import process
from devlaunch.system.loop import Loop, signals_to_catch
from devlaunch.system.spare import reason_of
from devlaunch.terminal.console import Console
from devlaunch.terminal.jobs import Terminal
from devlaunch.watching.watcher import Watcher

if TYPE_CHECKING:
    from devlaunch.debuggers.link import Link
    from devlaunch.run.first_child import FirstChild
    from devlaunch.run.generation import Generation


def launch(first: FirstChild, link: Link | None = None) -> int:
    """Run the target until it or the user ends it; returns the exit status for a shell.

    `link` leads to the debug adapter that has started this process.

    Raises DevlaunchError when it cannot be started as asked for. Only in the main thread.
    """
    with contextlib.ExitStack() as stack:
        return process.exit_code(Launcher({"": first}, stack, link).run())


class Launcher:
    """One run of devlaunch: `programs` by name, each with its first child.

    Of the options that are the run's the first program's count. What has to be undone at the end
    is pushed on `stack`.
    """

    def __init__(
        self,
        programs: Mapping[str, FirstChild],
        stack: contextlib.ExitStack,
        link: Link | None = None,
    ) -> None:
        first = next(iter(programs.values()))
        config = first.config
        loop, terminal = stack.enter_context(Loop()), Terminal()
        stack.callback(terminal.restore)
        console = link.console(config.verbosity) if link else Console(verbosity=config.verbosity)
        self._programs: dict[str, Program] = {}
        self._debugging = choose(
            *(config, loop),
            detection=first.detection,
            guardian=first.guardian,
            debugpy_dir=first.interpreter.debugpy_dir,
            link=link,
        )
        stack.callback(lambda: self._debugging.close(self._status) if self._debugging else None)
        datagrams = Datagrams(loop, first.run_id)
        stack.callback(datagrams.close)
        watcher = Watcher(post=loop.post, poll=config.poll, since=first.since)
        stack.callback(watcher.stop)
        self._shared = shared = Shared(
            *(loop, console, terminal, first.guardian, datagrams, watcher, link, count(1))
        )
        for name, each in programs.items():
            self._programs[name] = Program(name, each, shared, stack, self._debugging)

    def run(self) -> int:
        """Run until the end; returns the status, -n for signal n."""
        self._shared.loop.catch_signals(signals_to_catch())
        self._print_banner()
        self._route(events.Launched())
        if self._watched():
            self._shared.watcher.start()  # not before: the apps would have to wait for it
        self._shared.loop.post(events.ChildrenChanged())  # one may have ended already
        self._shared.loop.run(self._route, self._deadline)
        for program in self._programs.values():
            if isinstance(failure := program.outcome, DevlaunchError):
                if self._shared.link:
                    self._shared.link.fail(failure)
                raise failure
        return self._status

    def _print_banner(self) -> None:
        rows = [row for program in self._programs.values() for row in program.rows]
        if self._debugging:
            rows += self._debugging.rows
        if watched := self._watched():
            rows.append(("watching", ", ".join(map(self._shared.console.relative, watched)), ""))
        self._shared.console.banner(__version__, rows)

    @property
    def _status(self) -> int:
        """Of the first program that has not ended well."""
        outcomes = (each.outcome for each in self._programs.values())
        return next((each for each in outcomes if each and isinstance(each, int)), 0)

    def _watched(self) -> list[str]:
        every = (path for program in self._programs.values() for path in program.watched)
        return list(dict.fromkeys(every))

    def _deadline(self) -> float | None:
        deadlines = [each.deadline for each in self._programs.values()]
        deadlines += [self._debugging.deadline] if self._debugging else []
        return min((due for due in deadlines if due is not None), default=None)

    def _route(self, event: object) -> None:
        now = time.monotonic()
        match event:
            case events.OfProgram(name, of_program):
                self._programs[name].handle(of_program, now)
            case events.SignalReceived(signum):
                self._signalled(signum)
            case events.ChildrenChanged():
                self._children_changed()
            case events.DeadlineReached():
                self._deadline_reached(now)
            case events.LogLine(text, verbose):
                self._shared.console.note(text, verbose=verbose)
            case events.WatchDegraded(reason):
                self._shared.console.warning(reason)
            case _:
                self._route_to_all(event, now)
        outcomes = [each.outcome for each in self._programs.values()]
        if None not in outcomes or any(isinstance(each, DevlaunchError) for each in outcomes):
            self._shared.loop.stop()

    def _route_to_all(self, event: object, now: float) -> None:
        match event:
            case events.ReplaceDebugging(debugging):
                self._debugging = debugging
            case events.WatchReady(directories):
                self._shared.console.note(f"watching {directories} directories", verbose=True)
        for program in self._programs.values():
            program.handle(event, now)

    def _deadline_reached(self, now: float) -> None:
        self._shared.datagrams.read()  # first: what changed may be what they say that they write
        if self._debugging:
            self._debugging.due(now)
        for program in self._programs.values():
            program.due(now)

    def _signalled(self, signum: int) -> None:
        match signal.Signals(signum).name:
            case "SIGCHLD":
                self._children_changed()
            case "SIGTSTP":
                self._suspend()
            case "SIGWINCH":
                for program in self._programs.values():
                    program.resize(signum)
            case _:
                self._shared.loop.post(events.StopRequested(signum))

    def _children(self) -> list[Generation]:
        return [child for program in self._programs.values() for child in program.processes]

    def _suspend(self) -> None:
        self._shared.terminal.suspend(self._children(), self._shared.loop.forget)

    def _children_changed(self) -> None:
        guardian = self._shared.guardian
        try:
            guardian.ensure()
        except OSError as error:
            self._shared.console.warning(f"there is no new guardian process: {reason_of(error)}")
        process.reap_orphans([guardian.pid or 0, *(child.pid for child in self._children())])
        if True in [program.was_stopped() for program in self._programs.values()]:
            self._suspend()
        for program in self._programs.values():
            program.look()
