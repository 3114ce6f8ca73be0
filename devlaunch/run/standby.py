"""The standby: spawns, promotes and ends the process that its policy wants.

It is a child that got `warm` as its first message. When the next generation is to start it gets the
usual `start`, and is that generation; or it is no use any more, and is killed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from devlaunch import events
from devlaunch.config import Isolation, StandbyLevel
from devlaunch.core.standby import (
    AppStarted,
    AskForImports,
    DebuggerChanged,
    ImportsKnown,
    KillStandby,
    Ready,
    SpawnStandby,
    StandbyDue,
    StandbyLost,
    StandbyPolicy,
    StandbyWarmed,
)
from devlaunch.debuggers import Debugging
from devlaunch.errors import DevlaunchError
from devlaunch.run.generation import Deliver, Generation, Spawner
from devlaunch.system.channel import Message
from devlaunch.system.spare import available_memory, idle_time
from devlaunch.terminal.console import ending, signal_name

LEAST_MEMORY = 256 << 20
"""Bytes that a standby may always take; else a quarter of what is available."""

CRASHES = {"SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGFPE"}
"""How a promoted standby ends when an import that was made ahead of time was not safe."""

Env = dict[str, str]


@dataclass(slots=True)
class _Waiting:
    """A standby, and what it was started with."""

    generation: Generation
    env: Env
    directory: object
    debug: Message | None
    is_prepared: bool
    """Whether it has said that its debugger is ready, or failed; nothing to say without one."""


class Standby:
    """Lives in the loop's thread. `current` gives the generation that runs, if one does."""

    def __init__(
        self,
        post: Callable[[object], None],
        spawner: Spawner,
        *,
        debugging: Debugging | None,
        current: Callable[[], Generation | None],
    ) -> None:
        config = spawner.config
        # With isolate=none it would hear the terminal's Ctrl-C and Ctrl-Z, which are for the app.
        has_one = config.reload and config.isolate is not Isolation.NONE
        self._policy = StandbyPolicy(config.standby if has_one else StandbyLevel.OFF)
        self._post = post
        self._spawner = spawner
        self.debugging = debugging
        """The way of now."""
        self._current = current
        self._env: Env = {}
        self._imports: Message = {"record": None, "avoid": []}
        self._unsafe: dict[str, str] = {}
        self._suspected: set[str] = set()
        self._present: _Waiting | None = None
        self._dying: list[Generation] = []
        self._on_trial: Generation | None = None
        self._refused: Generation | None = None
        self._idle_since = (0.0, idle_time())

    # --- for the launcher -----------------------------------------------------------------------

    @property
    def records(self) -> bool:
        """Whether a generation that starts now is to note what it imports."""
        return self._policy.imports

    @property
    def living(self) -> list[Generation]:
        """The processes that are no generation: to be reaped by nobody else, and to be stopped."""
        return [*self._dying, *([self._present.generation] if self._present else [])]

    @property
    def deadline(self) -> float | None:
        """When to call `due`, in monotonic seconds: at once when the debugger has changed."""
        return 0.0 if self._has_other_debugger() else self._policy.deadline

    def due(self, now: float) -> None:
        """Do what the time has come for."""
        if self._has_other_debugger():
            self.tell(DebuggerChanged(), now)
        due = self._policy.deadline
        if due is not None and due <= now:
            self.tell(StandbyDue(self._idle(now)), now)

    def tell(self, event: object, now: float) -> None:
        """`AppServed`, `AppBroke`, `StopRequested`: hand it to the policy, do as it says."""
        before = self._policy.deadline
        for action in self._policy.handle(event, now):
            match action:
                case AskForImports():
                    self._ask(now)
                case SpawnStandby(imports):
                    self._spawn(now, imports=imports)
                case KillStandby():
                    self._kill()
                case events.LogLine():
                    self._post(action)
        if self._policy.deadline not in (None, before):
            self._idle_since = (now, idle_time())

    def announce(self) -> None:
        """The generation is to stop: `promote` follows, in most cases a moment later."""
        if self._present and isinstance(self._policy.state, Ready):
            self._present.generation.send({"type": "check"})

    def start(self, number: int, message: Message, env: Env, deliver: Deliver) -> Generation:
        """Generation `number`, by its start message; a cold one unless there is a fit standby.

        Raises DevlaunchError.
        """
        generation = self.promote(number, message, env, deliver)
        if generation is None:
            generation = self._spawner.spawn(env)
            generation.start(number, message, deliver)
        return generation

    def promote(
        self, number: int, message: Message, env: Env, deliver: Deliver
    ) -> Generation | None:
        """Make the standby generation `number`, by its start message; None: start one cold."""
        now = time.monotonic()
        self.child_changed()
        self._env = env
        waiting = self._present
        reason = self._unfit(waiting, message, env) if waiting else ""
        if waiting is None or reason:
            self.tell(AppStarted(by_promotion=False), now)
            if reason:
                self._note(f"started cold: {reason}")
            return None
        self._present = None
        self.tell(AppStarted(by_promotion=True), now)
        waiting.generation.start(number, message, _without_preparation(waiting, deliver))
        self._on_trial = waiting.generation
        return waiting.generation

    def heard(self, message: Message) -> None:
        """Something that the generation said: `imports`, `serving`, `refused` and others."""
        match message:
            case {"type": "imports", "record": record, "avoid": avoid}:
                self._imports = {"record": record, "avoid": avoid}
                self.tell(ImportsKnown(), time.monotonic())
            case {"type": "warm", "unsafe": unsafe}:  # said right before the promotion
                self._learn(unsafe)
            case {"type": "refused", "reason": reason, "unsafe": unsafe}:
                self._refused = self._current()
                # Once, it may come of an edit of the user's; two times is a habit.
                self._learn({root: unsafe[root] for root in self._suspected & unsafe.keys()})
                self._suspected |= unsafe.keys()
                self._note(f"started cold: {reason}")
            case {"type": "serving"}:
                self._on_trial = None

    def has_refused(self, generation: Generation, status: int) -> bool:
        """Whether a generation that ended with this status has to be started again, cold."""
        refused = generation is self._refused
        if not refused and generation is self._on_trial and not generation.was_told_to_stop:
            refused = status < 0 and signal_name(-status) in CRASHES
            if refused:
                self._note(f"started cold: the standby was {ending(status)}")
        self._refused = self._on_trial = None
        if refused:
            self.tell(events.ChildRefused(generation.number), time.monotonic())
        return refused

    def child_changed(self) -> None:
        """At SIGCHLD: see who has ended."""
        for generation in [each for each in self._dying if each.poll() is not None]:
            self._dying.remove(generation)
            generation.finish()
        waiting = self._present
        status = waiting.generation.poll() if waiting else None
        if waiting and status is not None:
            self._note(f"the standby has ended: {ending(status)}")
            self._lose(waiting)
            waiting.generation.finish()

    def close(self) -> None:
        """End all, at once; returns when it is done."""
        if self._present:
            self._kill()
        for generation in self._dying:
            generation.finish()
        self._dying.clear()

    # --- the standby's own words ----------------------------------------------------------------

    def _said(self, waiting: _Waiting, message: Message) -> None:
        if waiting is not self._present:
            return
        match message:
            case {"type": "warm", "modules": modules, "memory": memory, "unsafe": unsafe}:
                self._learn(unsafe)
                if not unsafe:
                    size = f", {memory / 1e6:.0f} MB" if memory else ""
                    self._note(f"standby ready: {modules} modules{size}")
                warmed = StandbyWarmed(is_spoiled=bool(unsafe))
                self.tell(warmed, time.monotonic())
            case {"type": "refused", "reason": reason}:
                self._note(f"standby: {reason}")
            case {"type": "debugger", "error": error}:
                waiting.is_prepared = True
                if error:
                    self._note(f"standby: the debugger could not be loaded: {error}")
                    self._dying.append(waiting.generation)
                    waiting.generation.begin_to_kill()
                    self._lose(waiting)

    def _learn(self, unsafe: dict[str, str]) -> None:
        for root, reason in unsafe.items():
            if root not in self._unsafe:
                self._note(f"standby: {root} is left to the app ({reason})")
        self._unsafe |= unsafe

    # --- what the policy wants ------------------------------------------------------------------

    def _ask(self, now: float) -> None:
        generation = self._current()
        if generation:
            generation.send({"type": "imports"})
        else:
            self.tell(ImportsKnown(), now)

    def _spawn(self, now: float, *, imports: bool) -> None:
        debug = self.debugging.standby_message() if self.debugging else None
        try:
            generation = self._spawner.spawn(self._env)
        except DevlaunchError as error:
            self._note(f"there is no standby: {error.message}")
            self.tell(StandbyLost(), now)
            return
        place = self._spawner.place()
        waiting = _Waiting(generation, self._env, place, debug, is_prepared=debug is None)
        self._present = waiting
        if self.debugging:
            self.debugging.standby_spawned(generation.pid)
        known = self._imports if imports else {"record": None, "avoid": []}
        message = {
            "level": StandbyLevel.FULL if known["record"] else StandbyLevel.DEBUGGER,
            "target": self._spawner.instructions["target"],
            "debug": debug,
            **known,
            "unsafe": self._unsafe,
            "memory": max(LEAST_MEMORY, available_memory() // 4),
        }
        generation.warm(message, lambda said: self._said(waiting, said))

    def _kill(self) -> None:
        waiting = self._present
        assert waiting
        self._forget(waiting)
        self._dying.append(waiting.generation)
        waiting.generation.begin_to_kill()

    def _lose(self, waiting: _Waiting) -> None:
        self._forget(waiting)
        self.tell(StandbyLost(), time.monotonic())

    def _forget(self, waiting: _Waiting) -> None:
        self._present = None
        if self.debugging:
            self.debugging.standby_gone(waiting.generation.pid)

    # --- looking --------------------------------------------------------------------------------

    def _unfit(self, waiting: _Waiting, message: Message, env: Env) -> str:
        """Why it cannot become the next generation; empty when it can."""
        if waiting.env != env:
            return "the environment has changed"
        if waiting.directory != self._spawner.place():
            return "the working directory has been made anew"
        if waiting.debug is None:
            return ""
        has_changed = message["debug"] is None or self._has_other_debugger()
        return "the debugger has changed" if has_changed else ""

    def _has_other_debugger(self) -> bool:
        waiting, debugging = self._present, self.debugging
        return bool(waiting and debugging and debugging.standby_message() != waiting.debug)

    def _idle(self, now: float) -> float | None:
        """How many cores had no work since the policy's deadline was set."""
        since, before = self._idle_since
        idle = idle_time()
        return None if idle is None or before is None else (idle - before) / (now - since)

    def _note(self, text: str) -> None:
        self._post(events.LogLine(text, verbose=True))


def _without_preparation(waiting: _Waiting, deliver: Deliver) -> Deliver:
    """`deliver`, but for what the standby said of its debugger and we had not read yet."""

    def deliver_rest(message: Message) -> None:
        if message.get("type") == "debugger" and not waiting.is_prepared:
            waiting.is_prepared = True
        else:
            deliver(message)

    return deliver_rest
