"""uvicorn issue 239 then and now: the reloader of uvicorn 0.11.3, and devlaunch, under pydevd.

    python reproduce.py [PYTHON3.7]

Makes a virtual environment of Python 3.7 with uvicorn 0.11.3 and PyCharm's debugger of that time,
plays the IDE's part, and tells what happens. With devlaunch and pydevd-pycharm installed in the
Python that runs this file, the same is done to devlaunch. Linux and macOS.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
THEN = ["uvicorn==0.11.3", "pydevd-pycharm==193.6494.30", "click<8", "h11<0.10"]
SAVES = 3


class Ide:
    """PyCharm's side, as small as can be: gives each process a port, and lets it run."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            asking, _ = self.listener.accept()
            with asking, socket.create_server(("127.0.0.1", 0)) as own:
                asking.sendall(f"99\t-1\t{own.getsockname()[1]}\n".encode())
                process, _ = own.accept()
            process.sendall(b"501\t1\t0.1\tUNIX\n101\t3\t\n")
            threading.Thread(target=self._read, args=(process,), daemon=True).start()

    def _read(self, process: socket.socket) -> None:
        try:
            while process.recv(65536):
                pass
        except OSError:
            pass


class Run:
    """The program under the debugger, in a copy of this example."""

    def __init__(self, ide: Ide, python: str, pydevd: str, target: list[str]) -> None:
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="uvicorn-239-"))
        for name in ("app.py", "settings.py"):
            shutil.copy(HERE / name, self.directory)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        where = ["--multiproc", "--client", "127.0.0.1", "--port", str(ide.port)]
        words = [word.format(port=self.port) for word in target]
        kind, words = (["--module"], words[1:]) if words[0] == "-m" else ([], words)
        self.process = subprocess.Popen(
            [python, pydevd, *kind, *where, "--file", *words],
            cwd=self.directory,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PORT": str(self.port)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.text = ""
        threading.Thread(target=self._read, daemon=True).start()
        self.saves = 0

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.text += line.decode(errors="replace")

    def served(self) -> str:
        """What the app answers; empty when nothing does."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=2) as answer:
                return answer.read().decode()
        except OSError:
            return ""

    def wait_served(self, limit: float = 20.0) -> bool:
        """Whether the version saved last is served within `limit` seconds."""
        return wait(lambda: self.served() == f"version {self.saves}", limit)

    def save(self) -> None:
        """Save the settings module with the next version."""
        self.saves += 1
        file = self.directory / "settings.py"
        text = file.read_text().replace(f"version {self.saves - 1}", f"version {self.saves}")
        file.write_text(text)
        later = time.time() + self.saves  # uvicorn compares times
        os.utime(file, (later, later))

    def stop(self) -> str:
        """The IDE's Stop: SIGTERM, and SIGKILL for what has not ended 5 seconds later."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        if wait(lambda: self.process.poll() is not None, 5.0):
            text = f"the parent ends {time.monotonic() - began:.1f} s after SIGTERM"
        else:
            self.process.kill()
            text = "the parent does not end after SIGTERM, and has to be killed"
        self.process.wait()
        left = "" if wait(lambda: not self.served(), 3.0) else "; the app stays, and has the port"
        return text + left

    def close(self) -> None:
        """Leave nothing behind, whatever the program did."""
        listed = subprocess.check_output(["ps", "-eo", "pid=,ppid=,pgid="], text=True)
        rows = [tuple(map(int, line.split())) for line in listed.splitlines()]
        found: set[int] = set()
        top = self.process.pid
        # Its group, which outlives it, and all that descends, in whatever session.
        while new := {p for p, up, group in rows if group == top or up in found | {top}} - found:
            found |= new
        for pid in found:
            with contextlib.suppress(ProcessLookupError):  # it ends at this moment, or was ps
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self.directory)


def wait(condition, limit: float) -> bool:
    """Whether it comes true within `limit` seconds."""
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def reloads(run: Run) -> str:
    """Save, and see whether it is served."""
    for number in range(1, SAVES + 1):
        run.save()
        if not run.wait_served():
            return f"save {number} is not served"
    return f"{SAVES} of {SAVES} saves are served; {run.stop()}"


def signal_reaches_parent(run: Run) -> str:
    """The issue: the signal that ends the child reaches its parent as well."""
    offset = len(run.text)
    run.save()
    wait(lambda: "eloading" in run.text[offset:] or "reloaded" in run.text[offset:], 20.0)
    run.process.send_signal(signal.SIGTERM)
    if wait(lambda: run.process.poll() is not None and not run.served(), 5.0):
        return "the parent takes it for the end: it ends, and so does the app"
    new = "a new child serves" if run.wait_served(5.0) else "the app hangs"
    run.save()
    stuck = "saves are seen" if run.wait_served(5.0) else "no further save is seen"
    return f"the parent hangs in its end, {new}, {stuck}; {run.stop()}"


SCENES = {"three saves": reloads, "signal in the restart": signal_reaches_parent}


def play(name: str, python: str, pydevd: str, target: list[str]) -> None:
    """Run all scenes with one program."""
    ide = Ide()
    for scene, act in SCENES.items():
        run = Run(ide, python, pydevd, target)
        try:
            happened = act(run) if run.wait_served() else f"does not start:\n{run.text}"
            print(f"{name:16} {scene:22} {happened}", flush=True)
        finally:
            run.close()
    ide.listener.close()


def main() -> None:
    """Then, and now."""
    base = sys.argv[1] if len(sys.argv) > 1 else shutil.which("python3.7")
    if not base:
        sys.exit("python3.7 is not on PATH: give it as the argument")
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([base, "-m", "venv", directory], check=True)
        python = os.path.join(directory, "bin", "python")
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *THEN], check=True)
        pydevd = subprocess.check_output(
            [python, "-c", "import pydevd; print(pydevd.__file__)"], text=True
        )
        play("uvicorn 0.11.3", python, pydevd.split()[-1], ["app.py"])
    spec = importlib.util.find_spec("pydevd")
    if spec and spec.origin and importlib.util.find_spec("devlaunch"):
        target = ["-m", "devlaunch", "--port", "{port}", "app:app"]
        play("devlaunch", sys.executable, spec.origin, target)


if __name__ == "__main__":
    main()
