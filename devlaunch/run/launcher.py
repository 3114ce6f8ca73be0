"""The launcher: changes and signals go in, the supervisor decides, processes and debuggers obey.

`Launcher` wires the pure cores to the IO around them and lives in the loop's thread only:
`_handle` takes what happened to the core that is concerned, `_perform` carries out what the
supervisor decided. What an action brings about is posted to the loop, never handled in between.
"""

from __future__ import annotations

import contextlib
import math
import signal
import time
from functools import partial
from typing import TYPE_CHECKING

from devlaunch import __version__, events
from devlaunch.config import Config, Isolation, StandbyLevel, TargetKind
from devlaunch.core.standby import AppBroke, AppServed
from devlaunch.core.states import PostMortem
from devlaunch.core.status import Status
from devlaunch.core.supervisor import Supervisor
from devlaunch.debuggers import Debugging, choose
from devlaunch.errors import DevlaunchError
from devlaunch.events import What
from devlaunch.run.beginning import Beginning
from devlaunch.run.descendants import Descendants
from devlaunch.run.generation import Generation, HungUp, Spawner, instructions, to_event
from devlaunch.run.reports import WHY_SURVIVED, Reports
from devlaunch.run.standby import Standby
from devlaunch.system import process
from devlaunch.system.channel import Message
from devlaunch.system.loop import Loop, signals_to_catch
from devlaunch.system.spare import reason_of
from devlaunch.target.envfile import EnvFile
from devlaunch.terminal import Terminal
from devlaunch.terminal.console import Console
from devlaunch.watching.reloading import Changed, Reloading

if TYPE_CHECKING:
    from devlaunch.debuggers.link import Link


def launch(config: Config, beginning: Beginning, link: Link | None = None) -> int:
    """Run the target until it or the user ends it; returns the exit status for a shell.

    `link` leads to the debug adapter that has started this process.

    Raises DevlaunchError when it cannot be started as asked for. Only in the main thread.
    """
    with contextlib.ExitStack() as stack:
        return process.exit_code(Launcher(config, beginning, stack, link).run())


class Launcher:
    """One run of devlaunch. What has to be undone at its end is pushed on `stack`."""

    def __init__(
        self,
        config: Config,
        beginning: Beginning,
        stack: contextlib.ExitStack,
        link: Link | None = None,
    ) -> None:
        self._config = config
        self._link = link
        self._console = (
            link.console(config.verbosity) if link else Console(verbosity=config.verbosity)
        )
        self._status = 0
        self._env_file = EnvFile(config.env_file, config.env, self._console)
        self._generation: Generation | None = None
        self._failure: DevlaunchError | None = None
        self._ended: list[str] = []
        self._reports = Reports(self._console, link, reload=config.reload)
        self._chosen_by = beginning.interpreter.chosen_by
        self._socket = beginning.app_socket
        self._loop = stack.enter_context(Loop())
        self._terminal = Terminal()
        stack.callback(self._terminal.restore)
        self._guardian = beginning.guardian
        self._debugging = self._reports.debugging = self._start_debugging(beginning, stack)
        socket_fd = self._socket.socket.fileno() if self._socket else None
        self._instructions = instructions(config, socket_fd)
        self._spawner = Spawner(
            self._loop,
            beginning.interpreter.command,
            run_id=beginning.run_id,
            isolate=config.isolate,
            grace=config.grace,
            socket_fd=socket_fd,
            first=(beginning.child, beginning.channel),
        )
        self._hung_up = HungUp(self._lives_unheard)
        self._standby = self._make_standby(stack)
        self._reloading = self._start_watching(stack, beginning.since)
        self._descendants = self._hear_descendants(beginning.run_id)
        stack.callback(self._descendants.close)
        self._supervisor = Supervisor(
            grace=config.grace, while_paused=config.while_paused, reload=config.reload
        )
        self._status_shown = Status(self._socket.url if self._socket else None)

    def run(self) -> int:
        """Run until the end; returns the status, -n for signal n."""
        self._loop.catch_signals(signals_to_catch())
        self._print_banner()
        self._loop.post(events.Launched())
        self._loop.post(events.ChildrenChanged())  # it may have ended already
        self._loop.run(self._handle, self._deadline)
        if self._failure:
            raise self._failure
        return self._status

    # --- setting up -----------------------------------------------------------------------------

    def _start_debugging(
        self, beginning: Beginning, stack: contextlib.ExitStack
    ) -> Debugging | None:
        debugging = choose(
            self._config,
            self._loop,
            detection=beginning.detection,
            guardian=self._guardian,
            debugpy_dir=beginning.interpreter.debugpy_dir,
            link=self._link,
        )
        stack.callback(lambda: self._debugging.close(self._status) if self._debugging else None)
        return debugging

    def _make_standby(self, stack: contextlib.ExitStack) -> Standby:
        # With isolate=none it would hear the terminal's Ctrl-C and Ctrl-Z, which are for the app.
        has_one = self._config.reload and self._config.isolate is not Isolation.NONE
        standby = Standby(
            self._config.standby if has_one else StandbyLevel.OFF,
            self._loop,
            self._spawner,
            debugging=self._debugging,
            target=self._instructions["target"],
            current=self._asked_for_imports,
        )
        stack.callback(standby.close)
        return standby

    def _asked_for_imports(self) -> Generation | None:
        # One that has failed did not come as far as the one before it.
        return None if isinstance(self._supervisor.state, PostMortem) else self._generation

    def _hear_descendants(self, run_id: str) -> Descendants:
        return Descendants(
            self._loop,
            run_id,
            self._config.target,
            lambda: self._generation,
            imported=self._imported,
            noted=self._reports.note,
            silent=self._cannot_know,
            reloader=self._reports.runs_again,
        )

    def _start_watching(self, stack: contextlib.ExitStack, since: float) -> Reloading | None:
        if not self._config.reload:
            return None
        reloading = Reloading(self._config, self._loop.post, self._console.changed, since)
        stack.callback(reloading.stop)
        return reloading

    def _print_banner(self) -> None:
        rows = [("app", str(self._config.target), self._chosen_by)]
        if self._socket:
            rows.append(("url", self._socket.url, ""))
        if self._debugging:
            rows += self._debugging.rows
        if self._reloading:
            watched = [self._config.app_dir, *self._config.watch]
            rows.append(("watching", ", ".join(map(self._console.relative, watched)), ""))
        self._console.banner(__version__, rows)

    # --- what happened --------------------------------------------------------------------------

    def _deadline(self) -> float | None:
        owners = (
            *(self._reloading, self._debugging, self._standby),
            *(self._generation, self._hung_up, self._descendants),
        )
        deadlines = (self._ladder, *(owner.deadline for owner in owners if owner))
        return min((due for due in deadlines if due is not None), default=None)

    @property
    def _ladder(self) -> float | None:
        # Whom the app has left behind has time of its own, counted by the generation.
        is_over = self._generation and self._generation.has_ended
        return None if is_over else self._supervisor.deadline

    def _handle(self, event: object) -> None:
        now = time.monotonic()
        match event:
            case events.SignalReceived(signum):
                self._signalled(signum)
            case events.ChildrenChanged():
                self._child_changed()
            case events.DeadlineReached():
                self._deadline_reached(now)
            case events.FilesTouched() | events.WatchReady() if self._reloading:
                self._report_changes(self._reloading.heard(event, now))
            case events.TellChild(number, message):
                # The child may have ended meanwhile.
                if self._generation and self._generation.number == number:
                    self._generation.send(message)
            case events.ReplaceDebugging(debugging):
                self._debugging = self._reports.debugging = self._standby.debugging = debugging
            case events.WatchDegraded() | events.LogLine():
                self._reports.happened(event)
            case events.StopRequested():
                self._supervise(event, now)
                self._standby.tell(event, now)
            case _:
                self._supervise(event, now)

    def _deadline_reached(self, now: float) -> None:
        if (self._ladder or math.inf) <= now:
            self._supervise(events.DeadlineReached(), now)
        if self._reloading:
            self._descendants.read()  # first: what changed may be what they say that they write
            self._report_changes(self._reloading.due(now))
        if self._debugging:
            self._debugging.due(now)
        self._standby.due(now)
        if self._generation and (self._generation.deadline or math.inf) <= now:
            self._poll(self._generation)
        self._hung_up.due(now)
        self._descendants.due(now)

    def _signalled(self, signum: int) -> None:
        match signal.Signals(signum).name:
            case "SIGCHLD":
                self._child_changed()
            case "SIGTSTP":
                self._suspend()
            case "SIGWINCH":
                if self._generation and not self._terminal.keys_reach(self._config.isolate):
                    self._generation.signal_session(signum)
            case _:
                self._loop.post(events.StopRequested(signum))

    def _suspend(self) -> None:
        current = [self._generation] if self._generation else []
        self._terminal.suspend([*current, *self._standby.living], self._loop.forget)

    def _child_changed(self) -> None:
        try:
            self._guardian.ensure()
        except OSError as error:
            self._console.warning(f"there is no new guardian process: {reason_of(error)}")
        generation = self._generation
        ours = [*self._standby.living, *([generation] if generation else [])]
        process.reap_orphans([self._guardian.pid or 0, *(each.pid for each in ours)])
        self._standby.child_changed()
        if generation is None:
            return
        if generation.was_stopped():
            self._suspend()
        self._poll(generation)

    def _poll(self, generation: Generation) -> None:
        if (status := generation.poll()) is not None:
            self._child_ended(generation, status)

    def _child_ended(self, generation: Generation, status: int) -> None:
        self._reports.overdue(generation.overdue, self._config.grace)
        self._descendants.read()
        self._reports.survived(generation.finish())
        self._generation = None
        self._hung_up.ended()
        self._ended.append(generation.mark)
        self._guardian.forget(generation.pid)
        self._terminal.restore()
        if self._debugging:
            self._debugging.tell(events.ChildGone(generation.number))
        if self._standby.has_refused(generation, status):
            self._loop.post(events.ChildRefused(generation.number))
            return
        if self._config.isolate is Isolation.GROUP and self._was_interrupted(generation, status):
            # In the foreground group Ctrl-C reaches the child instead of us.
            self._loop.post(events.StopRequested(signal.SIGINT))
        self._loop.post(events.ChildExited(generation.number, status))

    def _was_interrupted(self, generation: Generation, status: int) -> bool:
        # A server that nobody told to stop ends well at a Ctrl-C only.
        is_server = self._config.target.kind is TargetKind.APP
        ended_well = is_server and status == 0 and not generation.was_told_to_stop
        return status == -signal.SIGINT or ended_well

    def _lives_unheard(self, *, by_exec: bool) -> None:
        self._reports.child_unheard(by_exec=by_exec)
        self._count_all_sources()

    def _report_changes(self, changed: Changed) -> None:
        if changed and self._env_file.accepts(changed):
            self._loop.post(events.FilesChanged(changed))

    def _imported(self, files: list[str]) -> None:
        if self._reloading:
            self._report_changes(self._reloading.imported(files, time.monotonic()))

    def _cannot_know(self, silent: list[int]) -> None:
        self._reports.cannot_know(silent)
        self._count_all_sources()

    def _count_all_sources(self) -> None:
        if self._reloading:
            self._report_changes(self._reloading.count_all_sources())

    def _child_said(self, number: int, message: Message) -> None:
        """A message on the control channel of generation `number`."""
        self._descendants.read()
        match message:
            case {"type": "modules", "files": [*files]}:
                self._imported(files)
            case {"type": "silent"}:
                self._cannot_know([])
            case {"type": "hung-up"}:
                self._hung_up.began(self._generation, time.monotonic())
                if self._debugging:
                    self._debugging.tell(events.ChildUnheard(number))
            case {"type": "debugger", "error": error} if self._debugging:
                self._debugging.tell(events.DebuggerReady(number, connected=not error))
            case {"type": "restart"}:
                self._loop.post(events.RestartRequested())
            case _:
                self._standby.heard(message)
                event = to_event(number, message)
                if event:
                    self._loop.post(event)
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
                self._standby.announce()
            case events.TerminateSession() if generation:
                generation.terminate()
            case events.KillSession() if generation:
                self._kill(generation)
            case events.ReleaseDebuggee() if self._debugging:
                self._debugging.tell(events.ReleaseRequested())
            case events.Report():
                self._report(action)
            case events.Exit(status):
                self._status = status
                self._loop.stop()

    def _spawn(self, number: int, changed: tuple[str, ...], now: float) -> None:
        if self._reloading:
            self._reloading.generation_started(now)
        env, message = self._env_file.environment(), self._start_message(changed)
        deliver = partial(self._child_said, number)
        try:
            generation = self._standby.promote(number, message, env, deliver)
            if generation is None:
                generation = self._spawner.spawn(env)
                generation.start(number, message, deliver)
        except DevlaunchError as error:
            # The interpreter may be back in a moment, as when an environment is made anew.
            failure = events.Failure(error.message, hint=error.hint)
            self._loop.post(events.ChildFailed(number, failure))
            self._loop.post(events.ChildExited(number, error.exit_status))
            return
        self._generation = generation
        if self._reloading and number == 1:
            self._reloading.start()  # not before: the app would have to wait for it
        self._guardian.adopt(generation.pid)
        if self._config.isolate is Isolation.GROUP:
            self._terminal.lend_foreground(generation.pid)
        if self._debugging:
            self._debugging.spawned(number, generation.pid)

    def _kill(self, generation: Generation) -> None:
        if generation.pid in generation.kill():
            text = f"could not end the app (pid {generation.pid})"
            self._failure = DevlaunchError(text, hint=WHY_SURVIVED)
            if self._link:
                self._link.fail(self._failure)
            self._loop.stop()

    def _start_message(self, changed: tuple[str, ...]) -> Message:
        return {
            **self._instructions,
            "changed": list(changed),
            "debug": self._debugging.start_message() if self._debugging else None,
            "record": self._standby.records,
        }

    def _ask_to_stop(self, generation: Generation, signum: int | None) -> None:
        generation.was_told_to_stop = True
        self._reports.asked_to_stop()
        if signum == signal.SIGINT and self._terminal.keys_reach(self._config.isolate):
            return
        if signum is not None and signum != signal.SIGTERM:
            # As from a terminal: to the whole foreground group.
            generation.signal_session(signum)
        elif signum is not None:
            generation.signal(signum)
        elif self._config.target.kind is TargetKind.APP:
            generation.ask_to_stop(self._config.grace)
        else:
            generation.send({"type": "ending", "grace": self._config.grace})
            generation.signal(signal.SIGTERM)

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
                self._report_changes(self._reloading.generation_ended(report))

    def _served(self) -> None:
        self._standby.tell(AppServed(), time.monotonic())
        self._descendants.served()
        for mark in self._ended:  # whom the reaping overlooked, in the midst of an exec
            process.sweep(mark, looks=1)
        self._ended.clear()
