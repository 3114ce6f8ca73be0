"""What the launcher itself has to get right between its parts."""

from __future__ import annotations

import contextlib
from pathlib import Path

from devlaunch.beginning import begin
from devlaunch.config import Config, Target, TargetKind
from devlaunch.events import TellChild
from devlaunch.launcher import Launcher


def test_an_attach_in_the_moment_in_which_the_app_has_ended(tmp_path: Path) -> None:
    target = Target(TargetKind.SCRIPT, str(tmp_path / "job.py"))
    config = Config(
        target,
        debug_attach=True,
        debug_address=("127.0.0.1", 0),
        app_dir=str(tmp_path),
        reload=False,
        verbosity=-1,
    )
    with contextlib.ExitStack() as stack:
        launcher = Launcher(config, stack.enter_context(begin(config)), stack)
        # The keeper asked while the child lived; its end was handled first.
        launcher._handle(TellChild(1, {"type": "debug"}))
