"""How long a request takes under load, with the debugger and without."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from apps import App
from measure import Times, all_running, say
from peers import UVICORN, Peer
from processes import wait_calm

LOAD = Path(__file__).with_name("load.py")
CONNECTIONS = 8
WITHOUT_ACCESS_LOG = """
import logging
logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
"""
"""Else the terminals are measured, too."""
REFERENCE = Peer("uvicorn, debugpy launch", ("-m", "uvicorn", "app:app"), ide="launch")
WITHOUT = Peer("uvicorn", UVICORN)


def seconds_per_request(
    app: App, ours: Sequence[Peer], runs: int, each: float
) -> dict[str, list[float]]:
    """For each peer in turns of `each` seconds; the inverse of requests per second."""
    app = replace(app, source=app.source + WITHOUT_ACCESS_LOG)
    chosen = [peer for peer in ours if peer.ide in ("", "launch", "attach")]
    times: Times = {}
    with all_running([REFERENCE, *chosen, WITHOUT], app) as group:
        for turn in range(runs + 1):
            for running in group:
                wait_calm([other.mark for other in group], at_least=0.5)
                done = subprocess.run(
                    [sys.executable, str(LOAD), str(running.port), str(CONNECTIONS), str(each)],
                    check=True, capture_output=True, text=True,
                )  # fmt: skip
                if turn > 0:
                    times.setdefault(running.peer.name, []).append(1 / float(done.stdout))
            say(".", end="")
    say("")
    return times
