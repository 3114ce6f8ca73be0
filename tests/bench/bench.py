"""Measure devlaunch against its peers, in turns in one run; print tables of medians and ratios.

    make bench                  everything; writes docs/performance.md and docs/performance.svg
    python tests/bench/bench.py --only save --apps FastAPI --runs 3
    python tests/bench/bench.py --only save --apps heavy --add --write      measure that once more
    python tests/bench/bench.py --devlaunch-options "" --devlaunch-options "--standby off"

Parts: save (save to served, and a second save right after), launch (launch to served), step (the
debugger's round trips), idle (processor time and memory in big trees), throughput (requests).

Absolute times are this machine's; the ratios are what is worth comparing. Nothing else should run
on the machine: before each measurement the benchmark waits until all that it has started is calm.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import chart
import idle
import stepping
import throughput
from apps import APPS
from measure import launch_to_served, save_to_served, say
from peers import FLOOR_PEER, OTHERS, REFERENCE, Peer, ours
from report import Results, write_between_marks

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
RAW = PAGE.parents[1] / ".bench.json"
"""What was measured, in full: for looking closer, and against a crash."""
CHARTED = ("small", "FastAPI", "heavy")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="devlaunch against its peers")
    add = parser.add_argument
    add("--only", type=names(PARTS), default=list(PARTS), help="parts, with commas between them")
    add("--apps", type=names([app.name for app in APPS]), help="their names, with commas")
    add("--peers", default="", help="only those with one of these words, commas between them")
    add("--runs", type=int, default=5, help="measured saves of each peer [5]")
    add("--quick", action="store_true", help="few runs of few peers: to see that it works")
    add("--add", action="store_true", help="to what the last run has measured, in the place of it")
    add("--write", action="store_true", help="write docs/performance.md and its chart")
    add(
        "--devlaunch-options",
        action="append",
        metavar="OPTIONS",
        help='measure devlaunch with these, such as "--standby off"; repeatable',
    )
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.runs = 1
        chosen.apps = chosen.apps or ["FastAPI"]
        chosen.peers = chosen.peers or f"devlaunch,{REFERENCE.name},{FLOOR_PEER.name},granian"
    chosen.apps = chosen.apps or [app.name for app in APPS]
    return chosen


def names(known: object) -> Callable[[str], list[str]]:
    """Parses names with commas between them."""
    each = list(known)  # type: ignore[call-overload]

    def parse(text: str) -> list[str]:
        wrong = [name for name in text.split(",") if name not in each]
        if wrong:
            raise argparse.ArgumentTypeError(f"{wrong[0]!r} is none of {', '.join(each)}")
        return text.split(",")

    return parse


class Benchmark:
    """The parts, each of which adds to `results`."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        self.chosen = chosen
        self.options = [shlex.split(text) for text in chosen.devlaunch_options or [""]]
        self.ours = [peer for options in self.options for peer in ours(options)]
        self.asgi = [peer for peer in self.ours if peer.framework == "asgi"]
        self.apps = [app for app in APPS if app.name in chosen.apps]
        self.results = Results(ours=self.ours[0].name)
        if chosen.add and RAW.exists():
            self.results = Results.from_json(RAW.read_text())

    def save(self) -> None:
        words = [word for word in self.chosen.peers.split(",") if word]
        for app in self.apps:
            say(f"save to served, {app.name}: ", end="")
            peers = [
                peer
                for peer in (*OTHERS, *self.ours, FLOOR_PEER)
                if peer.framework == app.framework
                and (not words or any(word in peer.name for word in words))
            ]
            saves, seconds = save_to_served(app, peers, self.chosen.runs)
            self.results.saves[app.name] = saves
            self.results.seconds[app.name] = seconds

    def launch(self) -> None:
        peers = [REFERENCE, *(peer for peer in self.asgi if not peer.ide)]
        # Nobody attaches: that is not what is waited for.
        peers += [unattended(peer) for peer in self.asgi if peer.ide == "attach"]
        for app in self.apps:
            if app.framework == "asgi":
                say(f"launch to served, {app.name}: ", end="")
                times = launch_to_served(app, peers, self.chosen.runs)
                self.results.launches[app.name] = times

    def step(self) -> None:
        say("debugger's round trips")
        named = [("devlaunch " + shlex.join(each)).strip() for each in self.options]
        runs = self.chosen.runs * 5
        pairs = list(zip(named, self.options, strict=True))
        self.results.threads, self.results.steps = stepping.round_trips(pairs, runs)

    def idle(self) -> None:
        seconds, saves = (5, 1) if self.chosen.quick else (30, 3)
        self.results.idle = []
        for files in (20_000,) if self.chosen.quick else (20_000, 100_000):
            say(f"idle with {files:,} files: ", end="")
            self.results.idle += idle.in_tree(files, self.asgi, seconds, saves)

    def throughput(self) -> None:
        each, runs = (0.3, 2) if self.chosen.quick else (0.7, 7)
        for app in self.apps:
            if app.name in ("small", "FastAPI"):
                say(f"requests, {app.name}: ", end="")
                found = throughput.seconds_per_request(app, self.asgi, runs, each)
                self.results.requests[app.name] = found


def unattended(peer: Peer) -> Peer:
    """With the debug port open, and nobody there."""
    return Peer(f"{peer.name.partition(',')[0]} --debug-attach", peer.command, is_ours=True)


PARTS: dict[str, Callable[[Benchmark], None]] = {
    "save": Benchmark.save,
    "launch": Benchmark.launch,
    "step": Benchmark.step,
    "idle": Benchmark.idle,
    "throughput": Benchmark.throughput,
}


def main() -> None:
    """Measure, print, and write where that is wanted."""
    chosen = arguments()
    benchmark = Benchmark(chosen)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the peers end with it
    for part in chosen.only:
        began = time.monotonic()
        PARTS[part](benchmark)
        RAW.write_text(json.dumps(dataclasses.asdict(benchmark.results), indent=1))
        say(f"({part}: {time.monotonic() - began:.0f} s)")
    sections = benchmark.results.sections()
    for name, text in sections.items():
        print(f"\n## {name}\n\n{text}")
    if chosen.write:
        write(benchmark.results, sections)


def write(results: Results, sections: dict[str, str]) -> None:
    """Into the page, and the picture beside it, what was measured this time."""
    panels = [(f"{name} app", results.saves[name]) for name in CHARTED if name in results.saves]
    if panels:
        picture = PAGE.with_suffix(".svg")
        picture.write_text(chart.draw(panels))
        sections = sections | {"chart": f"![Save to served]({picture.name})"}
    PAGE.write_text(write_between_marks(PAGE.read_text(), sections))


if __name__ == "__main__":
    main()
