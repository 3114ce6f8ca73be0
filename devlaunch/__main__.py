"""`python -m devlaunch`, and the `devlaunch` command."""

from __future__ import annotations

import os
import sys

if not __package__:
    # `python path/to/devlaunch`: our own directory is on the path, and not the one that holds it.
    sys.path[0] = _root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    import devlaunch  # noqa: F401

    # What lies beside it must not go before the standard library.
    del sys.path[0]
    if _root not in sys.path:
        sys.path.append(_root)


def main() -> int:
    """Run the command line; returns the exit status."""
    try:
        from devlaunch.system.hiding import hide_main_thread

        hide_main_thread()
        from devlaunch.terminal.stdout import open_standard

        open_standard()
        # Late, since Ctrl-C may come while the modules load.
        from devlaunch import cli

        return cli.main()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
