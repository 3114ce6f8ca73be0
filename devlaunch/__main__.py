"""`python -m devlaunch`, and the `devlaunch` command."""

from __future__ import annotations

import os
import sys

if not __package__:
    # `python path/to/devlaunch`: our own directory is on the path, and not the one that holds it.
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def main() -> int:
    """Run the command line; returns the exit status."""
    try:
        # Late, since Ctrl-C may come while the modules load.
        from devlaunch import cli

        return cli.main()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
