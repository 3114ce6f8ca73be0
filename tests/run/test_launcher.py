"""What the launcher itself has to get right between its parts."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from pathlib import Path

from support.launch import save
from support.wait import wait_until

from devlaunch.config import Config, Target, TargetKind
from devlaunch.events import StopRequested, TellChild
from devlaunch.run.beginning import begin
from devlaunch.run.launcher import Launcher


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
        launcher = Launcher(config, stack.enter_context(begin(config)), stack)
        # The keeper asked while the child lived; its end was handled first.
        launcher._handle(TellChild(1, {"type": "debug"}))


def test_a_save_when_the_first_child_was_killed_before_it_ran_anything(tmp_path: Path) -> None:
    """It starts while the launcher loads its own modules, and before anything is watched."""
    script, mended = tmp_path / "job.py", tmp_path / "mended"
    script.touch()
    target = Target(TargetKind.SCRIPT, str(script))
    config = Config(target, app_dir=str(tmp_path), quiet=True)
    with contextlib.ExitStack() as stack:
        beginning = stack.enter_context(begin(config))
        os.kill(beginning.child.pid, signal.SIGKILL)
        os.waitid(os.P_PID, beginning.child.pid, os.WEXITED | os.WNOWAIT)
        save(script, f"open({str(mended)!r}, 'w')\n")
        launcher = Launcher(config, beginning, stack)

        def end() -> None:
            with contextlib.suppress(AssertionError):
                wait_until(mended.exists, 20)
            launcher._loop.post(StopRequested())

        threading.Thread(target=end).start()
        launcher.run()
    assert mended.exists()
