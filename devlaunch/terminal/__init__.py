"""What people see, and who has the keyboard.

Begin with `console`, which words each line; `jobs` is job control (POSIX XBD 11.1), for which
`windows` stands in, `stdout` the front's own output. A run and the front import it,
`debuggers.link` and `target.envfile` its console. The terminal is the app's: we say one line for
what happens, and the user's traceback is theirs.
"""

import sys

if sys.platform == "win32":
    from devlaunch.terminal.windows import Terminal
else:
    from devlaunch.terminal.jobs import Terminal

__all__ = ["Terminal"]
