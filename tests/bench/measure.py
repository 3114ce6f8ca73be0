"""Save to served, and launch to served: peers take turns, and each has its turn in calm."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from apps import App, token
from client import wait_served
from peers import FLOOR_PEER, Peer, Running, Started, start
from processes import wait_calm

Times = dict[str, list[float]]
"""Seconds by the peer's name; an empty list for one that failed."""


def say(text: str, end: str = "\n") -> None:
    """Progress, for who waits."""
    print(text, end=end, flush=True, file=sys.stderr)


@contextlib.contextmanager
def all_running(peers: Sequence[Peer], app: App) -> Iterator[list[Running]]:
    """Those of the peers that can be started, side by side: they use nothing while they wait."""
    with tempfile.TemporaryDirectory() as base, contextlib.ExitStack() as stack:
        found: list[Running] = []
        for index, peer in enumerate(peers):
            try:
                running = start(peer, app, Path(base) / str(index))
            except (AssertionError, OSError) as error:
                say(f"{peer.name}: {error}")
                continue
            stack.callback(running.close)
            found.append(running)
        yield found


def timed_save(running: Running, app: App, count: int) -> float:
    """Seconds from the save of version `count` until it is served."""
    began = time.perf_counter()
    running.save(app.text(count))
    return wait_served(running.port, token(count)) - began


def save_to_served(app: App, peers: Sequence[Peer], runs: int) -> tuple[Times, Times]:
    """Seconds for each peer: of a save in calm, and of one right after the reload before it.

    The first save of each warms up. The second saves are of those that are known to lose none:
    devlaunch and the reference.
    """
    first: Times = {peer.name: [] for peer in peers}
    second: Times = {}
    with all_running(peers, app) as group:
        marks = [running.mark for running in group]
        for turn in range(runs + 1):
            for running in list(group):
                name = running.peer.name
                try:
                    running.prepare()
                    if not wait_calm(marks):
                        say("(no calm)", end=" ")
                    seconds = timed_save(running, app, 2 * turn + 1)
                    if turn > 0:
                        first[name].append(seconds)
                    if is_saved_twice(running.peer):
                        again = timed_save(running, app, 2 * turn + 2)
                        if turn > 0:
                            second.setdefault(name, []).append(again)
                except (AssertionError, OSError) as error:
                    say(f"{name}: {error}")
                    group.remove(running)
                    first[name] = []
            say(".", end="")
    say("")
    return first, second


def is_saved_twice(peer: Peer) -> bool:
    """Whether each save is followed by a second one at once."""
    return peer is not FLOOR_PEER and (peer.is_ours or peer.name.startswith("uvicorn"))


def launch_to_served(app: App, peers: Sequence[Peer], runs: int) -> Times:
    """Seconds from the start of the command; an IDE that attaches is not waited for."""
    times: Times = {peer.name: [] for peer in peers}
    with tempfile.TemporaryDirectory() as base:
        for turn in range(runs + 1):
            for index, peer in enumerate(peers):
                # The same directory each time: its bytecode is there, as it is for users.
                directory = Path(base) / str(index)
                wait_calm([], at_least=0.8)
                began = time.perf_counter()
                running = Started(peer, app, directory)
                try:
                    served = wait_served(running.port, token(0))
                finally:
                    running.close()
                if turn > 0:
                    times[peer.name].append(served - began)
            say(".", end="")
    say("")
    return times
