"""What the programs of a run have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from devlaunch.debuggers.link import Link
from devlaunch.run.descendants import Datagrams
from devlaunch.system.guardian import Guardian
from devlaunch.system.loop import Loop
from devlaunch.terminal.console import Console
from devlaunch.terminal.jobs import Terminal
from devlaunch.watching.watcher import Watcher


@dataclass(frozen=True, slots=True)
class Shared:
    """What a run has one of, for all of its programs."""

    loop: Loop
    console: Console
    terminal: Terminal
    guardian: Guardian
    datagrams: Datagrams
    watcher: Watcher
    link: Link | None
    serials: Iterator[int]
    """For the marks of generations."""
