"""What programs may call: `devlaunch.run`."""

from __future__ import annotations

import sys
from typing import Any

from devlaunch.errors import DevlaunchError, UsageError
from devlaunch.run.first_child import spawn_first
from devlaunch.run.launcher import launch
from devlaunch.system.hiding import hidden
from devlaunch.system.spare import shortages
from devlaunch.target.settings import resolve
from devlaunch.terminal.console import Console
from devlaunch.terminal.stdout import open_standard


def run(target: str, *args: str, **options: Any) -> int:
    """Run a target as the command `devlaunch` does, and return the exit status.

    `options` are the command's, with underscores: `devlaunch.run("app:app", port=9000)`. An error
    of the user's is printed as by the command. The module that calls this may hold the app itself
    when the call stands under `if __name__ == "__main__":`. Only in the main thread.
    """
    open_standard()
    try:
        if "_devlaunch_child" in sys.modules:
            raise UsageError(
                "devlaunch.run() was called by the app that devlaunch runs",
                hint='put the call under `if __name__ == "__main__":`',
            )
        given = {key.replace("_", "-"): value for key, value in options.items()}
        with hidden(), shortages():
            config = resolve({**given, "target": [target, *args]})
            with spawn_first(config) as first:
                return launch(first)
    except DevlaunchError as error:
        Console().error(error.message, error.hint)
        return error.exit_status
