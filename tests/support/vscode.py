"""An IDE with the real debugpy adapter, which behaves like VS Code with Microsoft's extension.

    with VsCode(cwd=tmp_path, breakpoints={"app.py": [3]}) as ide:
        ide.launch(module="devlaunch", args=["app:app"])
        child = ide.adopt()
        stopped = child.wait_event("stopped")

It talks to the adapter over stdio, opens child sessions at the address that the adapter announces,
sends all breakpoints to every session, and has the buttons: `stop`, `restart`, `Session.pause`.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import signal
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from support.adapter import start_adapter
from support.dap import Body, DapClient, RequestFailed
from support.launch import environment, free_port, save
from support.marks import assert_nothing_left
from support.wait import wait_until

if sys.platform == "win32":
    from support.windows_processes import Console as Pty
else:
    from support.pty import Pty

CLIENT = {
    "clientID": "vscode",
    "clientName": "Visual Studio Code",
    "adapterID": "debugpy",
    "pathFormat": "path",
    "linesStartAt1": True,
    "columnsStartAt1": True,
    "supportsVariableType": True,
    "supportsVariablePaging": True,
    "supportsRunInTerminalRequest": True,
    "locale": "en",
    "supportsProgressReporting": True,
    "supportsInvalidatedEvent": True,
    "supportsMemoryReferences": True,
    "supportsArgsCanBeInterpretedByShell": True,
    "supportsMemoryEvent": True,
    "supportsStartDebuggingRequest": True,
    "supportsANSIStyling": True,
}


class Session(DapClient):
    """One debug session: the root's, or that of a child."""

    def __init__(self, ide: VsCode, configuration: Body, **connection: Any) -> None:
        super().__init__(**connection, timeout=20.0)
        self.ide = ide
        self.configuration = configuration
        self.reverse = ide.on_request
        self.capabilities: Body = {}

    def begin(self) -> Self:
        """The handshake, in VS Code's order."""
        client = {k: v for k, v in CLIENT.items() if k not in self.ide.lacks}
        self.capabilities = self.request("initialize", **client)
        request = self.configuration["request"]
        self._start = self.send_request(request, **self.configuration)
        self._read_until(
            lambda: self._start in self._responses or self.has_event("initialized"),
            None,
            "initialized",
        )
        if self._start not in self._responses:
            for path, lines in self.ide.breakpoints.items():
                self.set_breakpoints(path, lines)
            self.request("setFunctionBreakpoints", breakpoints=[])
            self.request("setExceptionBreakpoints", filters=list(self.ide.exceptions))
            self.request("configurationDone")
        response = self.wait_response(self._start)
        if not response["success"]:
            raise RequestFailed(response)
        return self

    @property
    def announced(self) -> int:
        """How many sessions of child processes it has asked for."""
        requests = [m for m in self.messages if m.get("command") == "startDebugging"]
        return len(requests) + len(self.events("debugpyAttach"))

    @property
    def output(self) -> str:
        """What the debug console shows of this session."""
        bodies = self.events("output")
        return "".join(b["output"] for b in bodies if b.get("category") != "telemetry")

    def effective_capabilities(self) -> Body:
        """As announced, with what `capabilities` events have changed."""
        found = dict(self.capabilities)
        for body in self.events("capabilities"):
            found |= body["capabilities"]
        return found

    def pause(self) -> None:
        """The Pause button."""
        self.request("pause", threadId=1)


class VsCode:
    """`breakpoints` are lines by path relative to `cwd`; `lacks` are client capabilities."""

    def __init__(
        self,
        *,
        cwd: Path,
        python: str = sys.executable,
        breakpoints: Mapping[str, Iterable[int]] = {},
        exceptions: Iterable[str] = ("uncaught",),
        lacks: Iterable[str] = (),
        env: Mapping[str, str] = {},
    ) -> None:
        self.cwd = cwd
        self.python = python
        self.breakpoints = {str(cwd / name): list(lines) for name, lines in breakpoints.items()}
        self.exceptions = tuple(exceptions)
        self.lacks = frozenset(lacks)
        self.run_id = f"test-{uuid.uuid4().hex}"
        self.env = environment(DEVLAUNCH_RUN=self.run_id, **env)
        self.port = free_port()
        self.adapter: subprocess.Popen[bytes] | None = None
        self.program: subprocess.Popen[bytes] | None = None
        self.terminal: Pty | None = None
        self.sessions: list[Session] = []
        self._announced: list[Body] = []
        self._taken = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            print(self.text)
        self.close()

    # --- starting --------------------------------------------------------------------------------

    def launch(self, *args: str, **configuration: Any) -> Session:
        """F5 on `devlaunch [args]`; `configuration` is what launch.json says besides."""
        console = configuration.get("console", "internalConsole")
        target = {} if "program" in configuration else {"module": "devlaunch"}
        self.adapter, ours = start_adapter(self.python, cwd=self.cwd, env=self.env)
        complete = {
            "name": "Python: devlaunch",
            "type": "debugpy",
            "request": "launch",
            "args": [*args, "--port", str(self.port)],
            "console": console,
            "cwd": str(self.cwd),
            "python": [self.python],
            "justMyCode": True,
            "showReturnValue": True,
            "subProcess": True,
            "redirectOutput": console == "internalConsole",
            "workspaceFolder": str(self.cwd),
            **target,
            **configuration,
        }
        return self._open(complete, sock=ours)

    def listen(self, *args: str, options: Iterable[str] = (), on_pty: bool = False) -> int:
        """`python -m debugpy --listen 0 [options] -m devlaunch [args]`, by hand; returns the port.

        It is told in a file, as to VS Code. An IDE that finds out by trying can be too early:
        `clients.serve` in debugpy/adapter/clients.py accepts before it has set `clients.listener`,
        and who connects between the two is the last one whom the adapter ever serves.
        """
        endpoints = self.cwd.with_name(f"{self.run_id}.json")
        env = {**self.env, "DEBUGPY_ADAPTER_ENDPOINTS": str(endpoints)}
        words = [
            *(self.python, "-Xfrozen_modules=off", "-m", "debugpy"),
            *("--listen", "127.0.0.1:0", *options),
            *("-m", "devlaunch", *args, "--port", str(self.port)),
        ]
        if on_pty:
            self.terminal = Pty(words, cwd=str(self.cwd), env={**env, "TERM": "xterm"})
        else:
            self.program = subprocess.Popen(words, cwd=self.cwd, env=env, start_new_session=True)
        wait_until(
            lambda: endpoints.exists() and endpoints.read_text().endswith("\n"),
            20,
            "the adapter listens",
        )
        return json.loads(endpoints.read_text())["client"]["port"]

    def attach(self, port: int, **configuration: Any) -> Session:
        """F5 on a configuration with `"request": "attach"`."""
        address = {"host": "127.0.0.1", "port": port}
        complete = {
            "name": "Python: attach",
            "type": "debugpy",
            "request": "attach",
            "connect": address,
            "justMyCode": True,
            "subProcess": True,
            "workspaceFolder": str(self.cwd),
            **configuration,
        }
        return self._open(complete, **address)

    def _open(self, configuration: Body, **connection: Any) -> Session:
        session = Session(self, configuration, **connection)
        self.sessions.append(session)
        return session.begin()

    @property
    def root(self) -> Session:
        """The first session."""
        return self.sessions[0]

    def adopt(self, parent: Session | None = None, timeout: float = 20.0) -> Session:
        """Open the session that the adapter announces next, as VS Code does."""
        return self.open(self.announced(parent, timeout))

    def open(self, configuration: Body) -> Session:
        """Open the session of an announcement."""
        return self._open(configuration, **configuration["connect"])

    def announced(self, parent: Session | None = None, timeout: float = 20.0) -> Body:
        """The configuration of the session that the adapter announces next."""
        session = parent or self.root

        def look() -> bool:
            self._announced = [
                *(r["arguments"] for r in session.messages if r.get("command") == "startDebugging"
                  and r["type"] == "request"),
                *({"configuration": body} for body in session.events("debugpyAttach")),
            ]  # fmt: skip
            return len(self._announced) > session.__dict__.get("_adopted", 0)

        session._read_until(look, timeout, "announcement of a child session")
        number = session.__dict__.get("_adopted", 0)
        session.__dict__["_adopted"] = number + 1
        announcement = self._announced[number]
        return {"request": "attach", **announcement["configuration"]}

    def on_request(self, request: Body) -> bool:
        """What the adapter asks for."""
        if request["command"] == "runInTerminal":
            arguments = request["arguments"]
            env = {**self.env, **{k: v for k, v in arguments.get("env", {}).items() if v}}
            # A shell runs it, as in VS Code's terminals.
            shell = ["bash", "--norc", "-i", "-c", f"{shlex.join(arguments['args'])}; exit $?"]
            self.terminal = Pty(
                arguments["args"] if sys.platform == "win32" else shell,
                cwd=arguments.get("cwd"),
                env={**env, "TERM": "xterm"},
            )
        return True

    # --- the app ---------------------------------------------------------------------------------

    @property
    def text(self) -> str:
        """What is shown in the debug console and the terminal."""
        screen = self.terminal.screen if self.terminal else ""
        return "".join(session.output for session in self.sessions) + screen

    def set_breakpoints(self, name: str, *lines: int) -> None:
        """As the editor does: to every session."""
        path = str(self.cwd / name)
        self.breakpoints[path] = list(lines)
        for session in self.sessions:
            if not session.closed and not session.has_event("terminated"):
                session.set_breakpoints(path, lines)

    def save(self, text: str, name: str = "app.py") -> None:
        """Save a file of the project."""
        save(self.cwd / name, text)

    def get(self, path: str = "/", timeout: float = 20.0) -> str:
        """The body of a GET."""
        url = f"http://127.0.0.1:{self.port}{path}"
        with urllib.request.urlopen(url, timeout=timeout) as response:
            return response.read().decode()

    def wait_served(self, body: str, timeout: float = 20.0) -> None:
        """Until a GET is answered with `body`."""

        def served() -> bool:
            self.drain()
            with contextlib.suppress(urllib.error.URLError, OSError):
                return self.get(timeout=timeout) == body
            return False

        wait_until(served, timeout, lambda: f"{body!r} served; printed:\n{self.text}")

    def wait_text(self, text: str, timeout: float = 20.0) -> None:
        """Until it is shown."""

        def seen() -> bool:
            self.drain()
            return text in self.text

        wait_until(seen, timeout, lambda: f"{text!r} in:\n{self.text}")

    def drain(self, seconds: float = 0.01) -> None:
        """Read what the sessions were sent."""
        for session in self.sessions:
            if not session.closed:
                with contextlib.suppress(OSError):
                    session.drain(seconds)

    # --- buttons ---------------------------------------------------------------------------------

    def stop(self, session: Session, *, restart: bool = False) -> None:
        """The Stop button, with this session in focus."""
        if session.configuration["request"] == "launch":
            session.request("terminate", restart=restart)
        else:
            session.request(
                "disconnect", restart=restart, terminateDebuggee=False, suspendDebuggee=False
            )

    def restart(self, session: Session) -> Session:
        """The Restart button; returns the session that goes on, or the new root."""
        if session.effective_capabilities().get("supportsRestartRequest"):
            session.request("restart", arguments=session.configuration)
            return session
        configuration = session.configuration
        self.stop(session, restart=True)
        self._end_sessions()
        self._end_adapter()
        self._rest = {
            k: v for k, v in configuration.items() if k not in ("args", "name", "type", "request")
        }
        args = configuration["args"]
        return self.launch(*args[: args.index("--port")], **self._rest)

    def wait_all_ended(self, within: float = 3.0) -> None:
        """Nothing of what was launched lives. The adapter may."""
        self._end_sessions()
        self._end_adapter()
        assert_nothing_left(self.run_id, within)

    def close(self) -> None:
        """End everything, and prove that nothing is left."""
        for session in self.sessions:
            if session.configuration["request"] == "launch" and not session.closed:
                with contextlib.suppress(AssertionError, OSError):
                    session.request("terminate")
        self._end_sessions()
        self._end_adapter()
        if self.program is not None:
            if self.program.poll() is None:
                self.program.send_signal(signal.SIGTERM)
            self.program.wait(10)
        if self.terminal is not None:
            self.terminal.close()
        if self.program is not None:
            # Its adapter outlives it for as long as a session lasts.
            wait_until(lambda: not adapters(self.run_id), 10, "end of the adapter")
        assert_nothing_left(self.run_id)

    def _end_sessions(self) -> None:
        for session in reversed(self.sessions):
            if not session.closed:
                with contextlib.suppress(AssertionError, OSError):
                    session.timeout = 5.0
                    session.request("disconnect", restart=False)
            session.close()
        self.sessions.clear()

    def _end_adapter(self) -> None:
        if self.adapter is not None:
            try:
                self.adapter.wait(5)
            except subprocess.TimeoutExpired:
                self.adapter.kill()
                self.adapter.wait()
            self.adapter = None


def adapters(run_id: str) -> list[int]:
    from support.marks import marked

    found = []
    for pid in marked(run_id):
        with contextlib.suppress(OSError):
            if b"debugpy/adapter" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found
