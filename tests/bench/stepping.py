"""What an editor waits for at a breakpoint: a request, and a full step, by debugpy and by us."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from ides import connect
from measure import Times
from processes import MARK, end, new_mark
from support.dap import DapClient
from support.launch import environment, free_port

LOOP = """\
import time

count = 0
while True:
    count += 1
    time.sleep(0.001)
"""
LOOP_LINE = 5


@contextlib.contextmanager
def stopped(command: Sequence[str], port: int, path: Path) -> Iterator[DapClient]:
    """The program, held at a breakpoint by an editor that is attached."""
    mark = new_mark()
    process = subprocess.Popen(
        [sys.executable, *command], cwd=path.parent, env=environment(**{MARK: mark}),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        with connect(port) as ide:
            # debugpy takes no attach without arguments.
            ide.attach(breakpoints={str(path): [LOOP_LINE]}, justMyCode=True)
            ide.wait_event("stopped")
            ide.set_breakpoints(str(path), [])
            yield ide
    finally:
        end(process, mark)


def round_trips(ours: Sequence[tuple[str, Sequence[str]]], runs: int) -> tuple[Times, Times]:
    """Seconds for `threads` and for a full step; `ours` are names and options of devlaunch."""
    threads: Times = {}
    steps: Times = {}
    port = free_port()
    commands = {"debugpy": (port, ("-m", "debugpy", "--listen", str(port), "loop.py"))}
    for name, options in ours:
        port = free_port()
        address = ("--debug-attach", "--debug-address", f"127.0.0.1:{port}")
        commands[name] = (port, ("-m", "devlaunch", *options, *address, "loop.py"))
    with tempfile.TemporaryDirectory() as base, contextlib.ExitStack() as stack:
        path = Path(base) / "loop.py"
        path.write_text(LOOP)
        clients = {
            name: stack.enter_context(stopped(command, port, path))
            for name, (port, command) in commands.items()
        }
        for _ in range(runs):
            for name, ide in clients.items():
                began = time.perf_counter()
                ide.request("threads")
                threads.setdefault(name, []).append(time.perf_counter() - began)
                steps.setdefault(name, []).append(step(ide))
    return threads, steps


def step(ide: DapClient) -> float:
    """Seconds for what an editor does on F10."""
    thread = ide.events("stopped")[-1]["threadId"]
    began = time.perf_counter()
    ide.request("next", threadId=thread)
    ide.wait_event("stopped")
    ide.request("threads")
    frame = ide.request("stackTrace", threadId=thread)["stackFrames"][0]["id"]
    scope = ide.request("scopes", frameId=frame)["scopes"][0]["variablesReference"]
    ide.request("variables", variablesReference=scope)
    return time.perf_counter() - began
