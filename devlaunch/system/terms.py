"""Names that more than one side has to spell alike: so little that the guardian may import it."""

MARK = "DEVLAUNCH_RUN"
"""The environment variable that every process of a run inherits."""

KEEP = "DEVLAUNCH_KEEP"
"""The variable that a helper of the app is given, to live on over restarts, until the run ends."""

SIGKILL = 9
"""The signal, which the signal module of Windows does not name."""
