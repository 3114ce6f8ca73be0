"""What the launcher itself has to get right between its parts."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

from support.launch import save
from support.marks import assert_nothing_left
from support.wait import wait_until

from devlaunch.config import Config, Target, TargetKind
from devlaunch.core.changes import CLOCK_TICK
from devlaunch.events import OfProgram, StopRequested, TellChild
from devlaunch.run.first_child import FirstChild, spawn_first
from devlaunch.run.launcher import Launcher
from devlaunch.system import process


def test_an_attach_in_the_moment_in_which_the_app_has_ended(tmp_path: Path) -> None:
    target = Target(TargetKind.SCRIPT, str(tmp_path / "job.py"))
    config = Config(
        target,
        debug_attach=True,
        debug_address=("127.0.0.1", 0),
        app_dir=str(tmp_path),
        reload=False,
        quiet=True,
    )
    with contextlib.ExitStack() as stack:
        launcher = Launcher({"": stack.enter_context(spawn_first(config))}, stack)
        # The keeper asked while the child lived; its end was handled first.
        launcher._route(OfProgram("", TellChild(1, {"type": "debug"})))


def test_a_save_when_the_first_child_was_killed_before_it_ran_anything(tmp_path: Path) -> None:
    """It starts while the launcher loads its own modules, and before anything is watched."""
    script, mended = tmp_path / "job.py", tmp_path / "mended"
    script.touch()
    target = Target(TargetKind.SCRIPT, str(script))
    config = Config(target, app_dir=str(tmp_path), quiet=True)
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(spawn_first(config))
        os.kill(first.child.pid, signal.SIGKILL)
        os.waitid(os.P_PID, first.child.pid, os.WEXITED | os.WNOWAIT)
        save(script, f"open({str(mended)!r}, 'w')\n")
        launcher = Launcher({"": first}, stack)

        def end() -> None:
            with contextlib.suppress(AssertionError):
                wait_until(mended.exists, 20)
            launcher._shared.loop.post(StopRequested())

        threading.Thread(target=end).start()
        launcher.run()
    assert mended.exists()


def beside(first: FirstChild, config: Config, stack: contextlib.ExitStack) -> FirstChild:
    """The first child of one more program of the same run."""
    mark = f"{first.run_id}.second"
    command, isolate = first.interpreter.command, config.isolate
    child, channel = process.spawn_controlled(command, run_id=mark, isolate=isolate, env=os.environ)
    stack.callback(child.reap)
    stack.callback(channel.close)
    first.guardian.adopt(child.pid)
    return replace(first, config=config, mark=mark, child=child, channel=channel)


PROGRAM = """\
import signal, {name}_part, common
with open({log!r}, "a") as log:
    log.write("started\\n")
while True:
    signal.pause()
"""


def test_two_programs_in_one_run_are_restarted_by_their_own_files_and_end_together(
    tmp_path: Path,
) -> None:
    """No command line leads here yet; that one more program needs no other mechanism is tested."""
    configs = {}
    for name in ("web", "worker"):
        text = PROGRAM.format(name=name, log=str(tmp_path / f"{name}.log"))
        (tmp_path / f"{name}.py").write_text(text)
        (tmp_path / f"{name}_part.py").touch()
        target = Target(TargetKind.SCRIPT, str(tmp_path / f"{name}.py"))
        configs[name] = Config(target, app_dir=str(tmp_path), quiet=True)
    common = tmp_path / "common.py"
    common.touch()
    # Else they may count as saved during the start, by the grain of a file system's clock.
    wait_until(lambda: time.time() > common.stat().st_ctime + 2 * CLOCK_TICK)

    def starts() -> list[int]:
        logs = [tmp_path / f"{name}.log" for name in configs]
        return [log.read_text().count("\n") if log.exists() else 0 for log in logs]

    seen: list[list[int]] = []
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(spawn_first(configs["web"]))
        second = beside(first, configs["worker"], stack)
        launcher = Launcher({"web": first, "worker": second}, stack)

        def have_said_what_they_run() -> bool:
            """Until then any source file may be one of theirs."""
            views = {name: launcher._programs[name]._reloading for name in configs}
            return all(
                str(tmp_path / f"{name}_part.py") in view._changes._imported
                for name, view in views.items()
            )

        def use() -> None:
            with contextlib.suppress(AssertionError):
                wait_until(lambda: starts() == [1, 1], 20)
                for part, expected in (
                    ("web_part", [2, 1]), ("worker_part", [2, 2]), ("common", [3, 3])
                ):  # fmt: skip
                    wait_until(have_said_what_they_run, 20)
                    save(tmp_path / f"{part}.py", "SAVED = True\n")
                    wait_until(lambda e=expected: starts() == e, 20)
                    seen.append(starts())
            launcher._shared.loop.post(StopRequested(signal.SIGTERM))

        thread = threading.Thread(target=use)
        thread.start()
        assert launcher.run() == -signal.SIGTERM
        thread.join()
    assert seen == [[2, 1], [2, 2], [3, 3]]
    assert starts() == [3, 3]
    assert_nothing_left(first.run_id)
