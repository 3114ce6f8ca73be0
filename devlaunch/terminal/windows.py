"""A console of Windows: it has no job control. In place of `jobs`."""

from __future__ import annotations

import os

from devlaunch.config import Isolation


class Terminal:
    """As `jobs.Terminal`: nothing is lent, so there is nothing to take back."""

    def __init__(self, fd: int = 0) -> None:
        self.is_tty = os.isatty(fd)

    def keys_reach(self, isolate: Isolation) -> bool:
        """Whether a key that signals the launcher signals such a child too: do not forward it."""
        return self.is_tty and isolate is Isolation.NONE

    def restore(self, *_: object) -> None:
        """Do nothing."""

    suspend = lend_foreground = restore
