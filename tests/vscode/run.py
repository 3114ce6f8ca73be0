"""Test the extension in a real VS Code: `python run.py [PATTERN…]`; run by `make test-vscode`.

code-server, which is VS Code as a web server, is driven by Playwright in Debian's Chromium. What is
installed goes to build/vscode/e2e, but for the packages of the system that are missing. There are
the server's log and the trace of the debug adapters afterwards, too; the screenshots are in
build/vscode/screenshots. A pattern, a regular expression, chooses scenarios by their names.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE.parent), str(ROOT / "editors" / "vscode")]

import make  # noqa: E402
from support import apt  # noqa: E402
from support.launch import environment, free_port  # noqa: E402
from support.marks import assert_nothing_left  # noqa: E402
from support.wait import wait_until  # noqa: E402

E2E = make.BUILD / "e2e"
WHEELS = E2E / "wheels"
SCREENSHOTS = make.BUILD / "screenshots"
PINNED = ("package.json", "package-lock.json", ".npmrc")

SYSTEM = {
    "chromium": "/usr/bin/chromium",
    "fonts-dejavu-core": "/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf",
    "libkrb5-dev": "/usr/include/krb5.h",
    "build-essential": "/usr/bin/g++",
    "pkg-config": "/usr/bin/pkg-config",
}
"""What has to be there, by Debian's package that brings it. The last three build code-server."""

CONFIG = """\
auth: none
cert: false
disable-telemetry: true
disable-update-check: true
disable-workspace-trust: true
"""
BASHRC = """\
PATH=$PWD/.venv/bin:$PATH
PS1='$ '
"""
"""Of somebody who has activated the project's environment."""
SETTINGS = HERE / "settings.json"
SCENARIOS = HERE / "scenarios.test.js"


# --- what is installed --------------------------------------------------------------------------


def say(text: str) -> None:
    print(f"test-vscode: {text}", flush=True)


def system_packages() -> None:
    """Install what the system lacks. Raises RuntimeError when that takes somebody else."""
    missing = [name for name, path in SYSTEM.items() if not Path(path).exists()]
    if not missing:
        return
    if not apt.can_install():
        raise RuntimeError(f"missing; install them first: sudo apt-get install {' '.join(missing)}")
    say(f"installing with apt: {', '.join(missing)}")
    if problem := apt.install(*missing):
        raise RuntimeError(f"apt-get install {' '.join(missing)}: {problem}")


def node_environment(**extra: str) -> dict[str, str]:
    """Node, npm and npx on PATH, as the scripts of code-server's installation want them."""
    home = make.node_home()
    programs = E2E / "bin"
    programs.mkdir(parents=True, exist_ok=True)
    for name in ("npm", "npx"):
        cli = home / "lib" / "node_modules" / "npm" / "bin" / f"{name}-cli.js"
        words = shlex.join([str(home / "bin" / "node"), str(cli)])
        (programs / name).write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        (programs / name).chmod(0o755)
    path = os.pathsep.join([str(programs), str(home / "bin"), os.environ["PATH"]])
    return environment(PATH=path, npm_config_nodedir=str(home), **extra)


def editor() -> None:
    """Install code-server and Playwright as pinned, unless that is there."""
    texts = b"".join((HERE / name).read_bytes() for name in PINNED)
    wanted = hashlib.sha256(texts).hexdigest()
    stamp = E2E / ".stamp"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    env = node_environment()
    for name in PINNED:
        shutil.copy(HERE / name, E2E / name)
    log = E2E / "npm.log"
    say(f"installing code-server and Playwright with npm: about 4 minutes, 1 GB in {E2E}")
    with log.open("wb") as out:
        done = subprocess.run(
            ["npm", "ci"],
            cwd=E2E,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"npm ci failed:\n{log.read_text(errors='replace')[-4000:]}")
    stamp.write_text(wanted)


def extensions() -> list[Path]:
    """Build ours and the probe."""
    say("building the extension")
    ours = make.package()
    probe = E2E / "probe.vsix"
    vsce = make.MODULES / "@vscode" / "vsce" / "vsce"
    words = ("package", "--no-dependencies", "--skip-license", "--allow-missing-repository")
    make.run(make.node(vsce, *words, "--out", probe, cwd=HERE / "probe"), "vsce package")
    return [ours, probe]


def wheels() -> None:
    """What pip finds during the test: devlaunch as it is here, and what it and the app need."""
    say("building the wheels")
    words = ["-m", "pip", "wheel", "--quiet", "--wheel-dir", WHEELS, ROOT, "fastapi"]
    make.run(make.capture([sys.executable, *words]), "pip wheel")


# --- one run ------------------------------------------------------------------------------------


def server_command(home: Path, *words: str | Path) -> list[str | Path]:
    program = [make.node_home() / "bin" / "node", E2E / "node_modules" / "code-server"]
    places = {"config": "config.yaml", "user-data-dir": "data", "extensions-dir": "extensions"}
    return [*program, *(f"--{option}={home / name}" for option, name in places.items()), *words]


def prepare(home: Path, env: dict[str, str]) -> None:
    """Settings and extensions, for this run only."""
    (home / "config.yaml").write_text(CONFIG)
    # Those of a user are kept by the browser, and each scenario has a new one.
    settings = home / "data" / "Machine" / "settings.json"
    settings.parent.mkdir(parents=True)
    shutil.copy(SETTINGS, settings)
    for vsix in extensions():
        command = server_command(home, "--install-extension", vsix, "--force")
        make.run(make.capture(command, env=env), f"--install-extension {vsix.name}")


@contextlib.contextmanager
def server(home: Path, port: int, env: dict[str, str]) -> Iterator[None]:
    """A running code-server. It is ended by its process group, which is its own."""
    words = ("--bind-addr", f"127.0.0.1:{port}", "--reconnection-grace-time", "3")
    with (E2E / "server.log").open("wb") as log:
        process = subprocess.Popen(
            server_command(home, *words),
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            wait_until(lambda: process.poll() is not None or is_healthy(port), 60, "code-server")
            if process.poll() is not None:
                raise RuntimeError(f"code-server ended; its log: {log.name}")
            yield
        finally:
            end(process)


def is_healthy(port: int) -> bool:
    with contextlib.suppress(OSError):
        return bool(urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5))
    return False


def end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)


def choose(patterns: list[str]) -> list[str]:
    """The scenarios that the patterns mean. Raises RuntimeError when one of them means none.

    Node's test runner takes it for a success that nothing was run.
    """
    names = re.findall(r"^scenario\('(.+?)',", SCENARIOS.read_text(), re.MULTILINE)
    chosen: set[str] = set()
    for pattern in patterns:
        try:
            matching = [name for name in names if re.search(pattern, name)]
        except re.error as error:
            raise RuntimeError(f"{pattern!r} is no regular expression: {error}") from error
        if not matching:
            known = "\n  ".join(names)
            raise RuntimeError(f"no scenario matches {pattern!r}; there are:\n  {known}")
        chosen.update(matching)
    return [name for name in names if name in chosen]


def scenarios(chosen: list[str], env: dict[str, str]) -> int:
    """Run those, or all of them."""
    words = [f"--test-name-pattern=^{re.escape(name)}$" for name in chosen]
    node = make.node_home() / "bin" / "node"
    command = [node, "--test", "--test-reporter=spec", *words, SCENARIOS]
    return subprocess.run(command, env=env, stdin=subprocess.DEVNULL, check=False).returncode


def run(patterns: list[str]) -> int:
    """The status of the scenarios. Raises RuntimeError when they cannot be run."""
    chosen = choose(patterns)
    system_packages()
    editor()
    wheels()
    shutil.rmtree(SCREENSHOTS, ignore_errors=True)
    SCREENSHOTS.mkdir(parents=True)
    trace = E2E / "dap.jsonl"
    trace.write_text("")
    run_id = f"test-{uuid.uuid4().hex}"
    port = free_port()
    # The server's sockets are in there, whose paths must be short.
    place = tempfile.TemporaryDirectory(prefix="devlaunch-vscode-", ignore_cleanup_errors=True)
    with place as name:
        home = Path(name)
        (home / "home").mkdir()
        (home / "home" / ".bashrc").write_text(BASHRC)
        (home / "shop").mkdir()
        env = node_environment(
            HOME=str(home / "home"),
            NODE_PATH=str(E2E / "node_modules"),
            DEVLAUNCH_RUN=run_id,
            DAP_LOG=str(trace),
            E2E_URL=f"http://127.0.0.1:{port}",
            E2E_WORKSPACE=str(home / "shop"),
            E2E_VENV=sys.prefix,
            E2E_SCREENSHOTS=str(SCREENSHOTS),
            E2E_APP_PORT=str(free_port()),
            E2E_DEBUG_PORT=str(free_port()),
            PIP_NO_INDEX="1",
            PIP_FIND_LINKS=WHEELS.as_uri(),
        )
        prepare(home, env)
        began = time.monotonic()
        with server(home, port, env):
            status = scenarios(chosen, env)
        assert_nothing_left(run_id, 10)
    say(f"{time.monotonic() - began:.0f} s; screenshots: {SCREENSHOTS}")
    return status


def main() -> int:
    try:
        return run(sys.argv[1:])
    except RuntimeError as error:
        sys.stderr.write(f"test-vscode: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
