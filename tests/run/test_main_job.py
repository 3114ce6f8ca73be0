"""The main job: one attach, breakpoints hit before and after every save, nothing left."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.dap import DapClient
from support.interpreters import launchers
from support.launch import HANDLER_LINE, MODULE_LINE, Launch, asgi_app, launched, save

DEBUG = ("--debug-attach", "--debug-address", "127.0.0.1:0", "--port", "0")


@pytest.fixture
def app(tmp_path: Path) -> Path:
    path = tmp_path / "app.py"
    path.write_text(asgi_app("v0"))
    return path


def stop_in_handler(ide: DapClient, launch: Launch, version: str) -> None:
    """One request runs into the breakpoint, shows its variable, and is answered on continue."""
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(launch.get)
        stopped = ide.wait_event("stopped")
        frames = ide.request("stackTrace", threadId=stopped["threadId"])["stackFrames"]
        assert (frames[0]["name"], frames[0]["line"]) == ("handler", HANDLER_LINE)
        value = ide.request("evaluate", expression="VERSION", frameId=frames[0]["id"])
        assert value["result"] == repr(version)
        ide.continue_(stopped["threadId"])
        assert answer.result(20) == version


def pass_module_level(ide: DapClient) -> None:
    """The new generation runs into the breakpoint at module level."""
    stopped = ide.wait_event("stopped", timeout=20)
    assert ide.stop_lines(stopped)[0] == ("<module>", MODULE_LINE)
    ide.continue_(stopped["threadId"])


@pytest.mark.parametrize("python", launchers())
def test_one_attach_serves_every_save(app: Path, python: str) -> None:
    saves = 5
    with launched(*DEBUG, "app:app", cwd=app.parent, python=python) as launch:
        launch.wait_for("ready in")
        with DapClient("127.0.0.1", launch.debug_port, timeout=20) as ide:
            lines = [MODULE_LINE, HANDLER_LINE]
            ide.attach(breakpoints={str(app): lines}, justMyCode=True)
            stop_in_handler(ide, launch, "v0")
            for count in range(1, saves + 1):
                save(app, asgi_app(f"v{count}"))
                pass_module_level(ide)
                stop_in_handler(ide, launch, f"v{count}")
            assert len(ide.events("initialized")) == 1
            assert not ide.has_event("terminated")
        launch.close()
    assert launch.text.count("reloaded in") == saves
