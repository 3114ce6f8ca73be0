"""Measure devlaunch against its peers, in turns in one run; print medians and ratios.

    make bench            (or: python tests/bench/bench.py [--runs N])

Two tables. *Save to served*: the time from the save of a changed file until a request is answered
by the new version; peers run side by side, each save goes to one after the other. *Debugger round
trip*: a request (`threads`) and a full step (next, stopped, threads, stackTrace, scopes, variables)
through devlaunch's keeper and through debugpy's own adapter.

Absolute times are this machine's; the ratios are what is worth comparing. Medians, with the
lowest and highest in brackets.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.dap import DapClient
from support.launch import asgi_app, environment, free_port, save
from support.wait import wait_until

PROGRESS = sys.stderr
WAYS = ("uvicorn --reload", "devlaunch", "devlaunch, debugger attached")
FASTAPI_APP = """\
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

app = FastAPI()


@app.get("/", response_class=PlainTextResponse)
def handler() -> str:
    return {version!r}
"""
LOOP = """\
import time

count = 0
while True:
    count += 1
    time.sleep(0.001)
"""
LOOP_LINE = 5
APPS: dict[str, Callable[[str], str]] = {
    "small ASGI app": asgi_app,
    "FastAPI app": lambda version: FASTAPI_APP.format(version=version),
}


def fetch(port: int) -> str | None:
    """The body of GET /, None when nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as response:
            return response.read().decode()
    except (urllib.error.URLError, OSError):
        return None


@contextlib.contextmanager
def running(command: list[str], directory: Path) -> Iterator[None]:
    """The command runs while the block does."""
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=directory,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(15)


def connect(port: int) -> DapClient:
    """A client, as soon as somebody listens."""

    def attempt() -> DapClient | None:
        with contextlib.suppress(ConnectionRefusedError):
            return DapClient("127.0.0.1", port, timeout=20)
        return None

    return wait_until(attempt, 20, "debug port")


def start(way: str, directory: Path, stack: contextlib.ExitStack) -> int:
    """Start one way of reloading; returns the app's port once version 0 is served."""
    port, debug_port = free_port(), free_port()
    address = ["--host", "127.0.0.1", "--port", str(port), "app:app"]
    command = {
        "uvicorn --reload": ["-m", "uvicorn", "--reload", *address],
        "devlaunch": ["-m", "devlaunch", *address],
        "devlaunch, debugger attached": [
            *("-m", "devlaunch", "--debug-attach"),
            *("--debug-address", f"127.0.0.1:{debug_port}", *address),
        ],
    }[way]
    stack.enter_context(running(command, directory))
    wait_until(lambda: fetch(port) == "v0", 30, way)
    if "debugger" in way:
        ide = stack.enter_context(connect(debug_port))
        ide.attach(breakpoints={str(directory / "app.py"): [1]})
        # Nothing may stop: the breakpoint is there to be replayed, not to be hit.
        ide.set_breakpoints(str(directory / "app.py"), [{"line": 1, "condition": "False"}])
        stack.enter_context(draining(ide))
    return port


@contextlib.contextmanager
def draining(ide: DapClient) -> Iterator[None]:
    """Read what the debugger sends, as an IDE would."""
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(lambda: ide.drain(100_000))
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                ide.sock.shutdown(socket.SHUT_RDWR)
            reader.result(10)


def save_to_served(source: Callable[[str], str], runs: int) -> dict[str, list[float]]:
    """Seconds for each way, in turns."""
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as base, contextlib.ExitStack() as stack:
        ports, files = {}, {}
        for index, way in enumerate(WAYS):
            directory = Path(base) / str(index)
            directory.mkdir()
            files[way] = directory / "app.py"
            files[way].write_text(source("v0"))
            ports[way] = start(way, directory, stack)
        for count in range(1, runs + 2):
            for way in WAYS:
                began = time.perf_counter()
                save(files[way], source(f"v{count}"))
                wait_until(lambda way=way, v=f"v{count}": fetch(ports[way]) == v, 60, way)
                if count > 1:  # the first one warms up
                    times[way].append(time.perf_counter() - began)
            print(".", end="", flush=True, file=PROGRESS)
    print(file=PROGRESS)
    return times


def round_trips(runs: int) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Seconds for `threads` and for a full step, through debugpy's adapter and the keeper."""
    threads: dict[str, list[float]] = {}
    steps: dict[str, list[float]] = {}
    ports = {"debugpy": free_port(), "devlaunch": free_port()}
    commands = {
        "debugpy": ["-m", "debugpy", "--listen", f"{ports['debugpy']}", "loop.py"],
        "devlaunch": [
            *("-m", "devlaunch", "--debug-attach"),
            *("--debug-address", f"127.0.0.1:{ports['devlaunch']}", "loop.py"),
        ],
    }
    with tempfile.TemporaryDirectory() as base, contextlib.ExitStack() as stack:
        path = Path(base) / "loop.py"
        path.write_text(LOOP)
        clients = {}
        for name, command in commands.items():
            stack.enter_context(running(command, path.parent))
            clients[name] = ide = stack.enter_context(connect(ports[name]))
            # debugpy takes no attach without arguments.
            ide.attach(breakpoints={str(path): [LOOP_LINE]}, justMyCode=True)
            ide.wait_event("stopped")
            ide.set_breakpoints(str(path), [])
            threads[name], steps[name] = [], []
        for _ in range(runs):
            for name, ide in clients.items():
                began = time.perf_counter()
                ide.request("threads")
                threads[name].append(time.perf_counter() - began)
                steps[name].append(step(ide))
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


def table(title: str, times: dict[str, list[float]]) -> None:
    """A Markdown table; ratios are to the first row."""
    reference = statistics.median(next(iter(times.values())))
    print(f"\n### {title}\n\n| | median | lowest to highest | ratio |\n|---|---:|---:|---:|")
    for name, values in times.items():
        middle = statistics.median(values)
        spread = f"{min(values) * 1000:.1f} to {max(values) * 1000:.1f} ms"
        print(f"| {name} | {middle * 1000:.1f} ms | {spread} | {middle / reference:.2f} |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="devlaunch against its peers")
    parser.add_argument("--runs", type=int, default=8, help="measured saves of each way")
    runs = parser.parse_args().runs
    for name, source in APPS.items():
        table(f"Save to served: {name}", save_to_served(source, runs))
    threads, steps = round_trips(runs * 5)
    table("Debugger round trip: threads", threads)
    table("Debugger: a full step", steps)


if __name__ == "__main__":
    main()
