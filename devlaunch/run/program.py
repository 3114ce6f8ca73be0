"""One program of a run: its supervisor decides, its generations, standby and changes obey.

`Program` wires the pure cores of one target to the IO around them and lives in the loop's thread:
`handle` takes what happened to the core that is concerned, `_perform` carries out what the
supervisor decided. What an action brings about is posted to the loop, never handled in between.
"""

from __future__ import annotations

import contextlib
import math
import signal
import time
from functools import partial
from typing import TYPE_CHECKING

from devlaunch import events
from devlaunch.config import Isolation
from devlaunch.core.standby import AppBroke, AppServed
from devlaunch.core.states import PostMortem
from devlaunch.core.status import Status
from devlaunch.core.supervisor import Supervisor
from devlaunch.debuggers import Debugging
from devlaunch.errors import DevlaunchError
from devlaunch.events import What
from devlaunch.run.generation import Generation, Spawner, to_event
from devlaunch.run.reports import WHY_SURVIVED, Reports
from devlaunch.run.standby import Standby
from devlaunch.target.envfile import EnvFile
from devlaunch.watching.reloading import Reloading

if TYPE_CHECKING:
    from devlaunch.run.first_child import FirstChild
    from devlaunch.run.shared import Shared
    from devlaunch.system.channel import Message


class Program:
    """One target of a run, started again and again. What its end has to undo goes on `stack`."""

    def __init__(
        self,
        name: str,
        first: FirstChild,
        shared: Shared,
        stack: contextlib.ExitStack,
        debugging: Debugging | None,
    ) -> None:
        self.outcome: int | DevlaunchError | None = None
        """Its status when it has ended (-n for signal n), or why it could not be ended."""
        self._name = name
        self._config = config = first.config
        self._shared = shared
        self._debugging = debugging
        self._reports = Reports(shared.console, shared.link, reload=config.reload)
        self._reports.debugging = debugging
        self._env_file = EnvFile(config.env_file, config.env, shared.console)
        self._generation: Generation | None = None
        sock = first.app_socket
        self.rows = [("app", str(config.target), first.interpreter.chosen_by)]
        """For the banner: label, value, remark."""
        self.rows += [("url", sock.url, "")] if sock else []
        self.watched = [config.app_dir, *config.watch] if config.reload else []
        self._spawner = Spawner(
            *(config, first.interpreter.command, shared.loop),
            run_id=first.run_id,
            socket_fd=sock.socket.fileno() if sock else None,
            first=first,
            serials=shared.serials,
            datagrams=shared.datagrams,
        )
        self._standby = Standby(
            self._post, self._spawner, debugging=debugging, current=self._asked_for_imports
        )
        stack.callback(self._standby.close)
        self._reloading = (
            Reloading(
                *(config, shared.watcher, self._env_file),
                post=self._post,
                named=shared.console.changed,
                since=first.since,
            )
            if config.reload
            else None
        )
        self._supervisor = Supervisor(
            grace=config.grace, while_paused=config.while_paused, reload=config.reload
        )
        self._status_shown = Status(sock.url if sock else None)

    def _asked_for_imports(self) -> Generation | None:
        # One that has failed did not come as far as the one before it.
        return None if isinstance(self._supervisor.state, PostMortem) else self._generation

    def _post(self, event: object) -> None:
        self._shared.loop.post(events.OfProgram(self._name, event))

    # --- for the launcher -----------------------------------------------------------------------

    @property
    def processes(self) -> list[Generation]:
        """All that are its own: to be reaped by nobody else, and to be stopped by Ctrl-Z."""
        return [*([self._generation] if self._generation else []), *self._standby.living]

    @property
    def deadline(self) -> float | None:
        """When to call `due`."""
        owners = (self._reloading, self._standby, self._generation)
        deadlines = (self._ladder, *(owner.deadline for owner in owners if owner))
        return min((due for due in deadlines if due is not None), default=None)

    @property
    def _ladder(self) -> float | None:
        # Whom the app has left behind has time of its own, counted by the generation.
        is_over = self._generation and self._generation.has_ended
        return None if is_over else self._supervisor.deadline

    def due(self, now: float) -> None:
        """Do what the time has come for."""
        if (self._ladder or math.inf) <= now:
            self._supervise(events.DeadlineReached(), now)
        if self._reloading:
            self._reloading.due(now)
        self._standby.due(now)
        if self._generation and (self._generation.deadline or math.inf) <= now:
            self._generation.due(now)
            self._poll(self._generation)

    def handle(self, event: object, now: float) -> None:
        """Take what happened to this program, or to all, unless it has ended."""
        if self.outcome is not None:
            return
        match event:
            case events.FilesTouched() | events.WatchReady():
                if self._reloading:
                    self._reloading.heard(event, now)
            case events.TellChild(number, message):
                # The child may have ended meanwhile.
                if self._generation and self._generation.number == number:
                    self._generation.send(message)
            case events.ReplaceDebugging(debugging):
                self._debugging = self._reports.debugging = self._standby.debugging = debugging
            case events.LogLine(text, verbose):
                self._shared.console.note(text, verbose=verbose)
            case events.StopRequested():
                self._supervise(event, now)
                self._standby.tell(event, now)
            case _:
                self._supervise(event, now)

    def look(self) -> None:
        """A process of the run has ended: see whether it is one of this program's."""
        self._standby.child_changed()
        if self._generation:
            self._poll(self._generation)

    def was_stopped(self) -> bool:
        """Whether the terminal's Ctrl-Z has stopped it since this was asked last."""
        return self._generation is not None and self._generation.was_stopped()

    def resize(self, signum: int) -> None:
        """Tell it of the terminal's new size, where the terminal does not."""
        if self._generation and not self._shared.terminal.keys_reach(self._config.isolate):
            self._generation.signal_session(signum)

    # --- what its child does --------------------------------------------------------------------

    def _poll(self, generation: Generation) -> None:
        if (status := generation.poll()) is not None:
            self._child_ended(generation, status)

    def _child_ended(self, generation: Generation, status: int) -> None:
        self._reports.overdue(generation.overdue, self._config.grace)
        self._reports.survived(generation.finish())
        self._generation = None
        self._shared.guardian.forget(generation.pid)
        self._shared.terminal.restore()
        if self._debugging:
            self._debugging.tell(events.ChildGone(generation.number))
        if self._standby.has_refused(generation, status):
            self._post(events.ChildRefused(generation.number))
            return
        if self._config.isolate is Isolation.GROUP and generation.was_interrupted(status):
            # In the foreground group Ctrl-C reaches the child instead of us.
            self._shared.loop.post(events.StopRequested(signal.SIGINT))
        self._post(events.ChildExited(generation.number, status))

    def _child_said(self, number: int, message: Message) -> None:
        """What the process of generation `number`, or one below it, says of itself."""
        match message:
            case {"type": "modules", "files": [*files]}:
                if self._reloading:
                    self._reloading.imported(files, time.monotonic())
            case {"type": "silent" | "mute" | "alive"}:
                if self._reloading:
                    self._reloading.count_all_sources()
            case {"type": "hung-up"} if self._debugging:
                self._debugging.tell(events.ChildUnheard(number))
            case {"type": "debugger", "error": error} if self._debugging:
                self._debugging.tell(events.DebuggerReady(number, connected=not error))
            case {"type": "restart"}:
                self._post(events.RestartRequested())
            case _:
                self._standby.heard(message)
                event = to_event(number, message)
                if event:
                    self._post(event)
        self._reports.child_said(message)

    # --- what to do about it --------------------------------------------------------------------

    def _supervise(self, event: object, now: float) -> None:
        actions = self._supervisor.handle(event, now)
        for action in actions:
            self._perform(action, now)
        if self._debugging and (status := self._status_shown.after(self._supervisor, actions)):
            self._debugging.tell(status)

    def _perform(self, action: object, now: float) -> None:
        generation = self._generation
        match action:
            case events.SpawnChild(number, changed):
                self._spawn(number, changed, now)
            case events.AskToStop(_, signum) if generation:
                self._ask_to_stop(generation, signum)
            case events.TerminateSession() if generation:
                generation.signal_session(signal.SIGTERM)
            case events.KillSession() if generation:
                self._kill(generation)
            case events.ReleaseDebuggee() if self._debugging:
                self._debugging.tell(events.ReleaseRequested())
            case events.Report():
                self._report(action)
            case events.Exit(status):
                self.outcome = status

    def _spawn(self, number: int, changed: tuple[str, ...], now: float) -> None:
        if self._reloading:
            self._reloading.generation_started(now)
        env, message = self._env_file.environment(), self._start_message(changed)
        hear = partial(self._child_said, number)
        try:
            self._generation = generation = self._standby.start(number, message, env, hear)
        except DevlaunchError as error:
            # The interpreter may be back in a moment, as when an environment is made anew.
            failure = events.Failure(error.message, hint=error.hint)
            self._post(events.ChildFailed(number, failure))
            self._post(events.ChildExited(number, error.exit_status))
            return
        self._shared.guardian.adopt(generation.pid)
        if self._config.isolate is Isolation.GROUP:
            self._shared.terminal.lend_foreground(generation.pid)
        if self._debugging:
            self._debugging.spawned(number, generation.pid)

    def _start_message(self, changed: tuple[str, ...]) -> Message:
        return {
            "changed": list(changed),
            "debug": self._debugging.start_message() if self._debugging else None,
            "record": self._standby.records,
        }

    def _ask_to_stop(self, generation: Generation, signum: int | None) -> None:
        generation.was_told_to_stop = True
        self._reports.asked_to_stop()
        if signum != signal.SIGINT or not self._shared.terminal.keys_reach(self._config.isolate):
            generation.ask_to_stop(signum)
        self._standby.announce()

    def _kill(self, generation: Generation) -> None:
        if generation.pid in generation.kill():
            text = f"could not end the app (pid {generation.pid})"
            self.outcome = DevlaunchError(text, hint=WHY_SURVIVED)

    def _report(self, report: events.Report) -> None:
        has_served = report.what in (What.READY, What.RELOADED, What.REPLACED)
        if has_served and self._reloading:
            self._reloading.generation_served()  # first: who has read the line may save at once
        self._reports.show(report)
        if has_served:
            self._served()
        elif report.what in (What.BROKEN, What.EXITED):
            self._standby.tell(AppBroke(), time.monotonic())
            if self._reloading:
                self._reloading.generation_ended(report)

    def _served(self) -> None:
        self._standby.tell(AppServed(), time.monotonic())
        if self._generation:
            self._generation.served()
        self._spawner.sweep()
