"""The example of uvicorn issue 239 leaves nothing behind."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from support.scripts import load_script
from support.wait import wait_until

FILE = Path(__file__).parents[2] / "docs" / "examples" / "uvicorn_239" / "reproduce.py"
PARENT = """
import subprocess, sys, time
code = "import time; time.sleep(60)"
pids = [
    subprocess.Popen([sys.executable, "-c", code], start_new_session=alone).pid
    for alone in (False, True)
]
print(*pids, "all", flush=True)
time.sleep(60)
"""


class Ide:
    port = 1


@pytest.fixture
def reproduce() -> Any:
    return load_script(FILE)


def is_running(pid: int) -> bool:
    """Ended ones may stay as zombies where nobody reaps orphans."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("ended", [False, True])
def test_close_ends_what_was_started(reproduce: Any, tmp_path: Path, ended: bool) -> None:
    fake = tmp_path / "pydevd.py"
    fake.write_text(PARENT)
    run = reproduce.Run(Ide(), sys.executable, str(fake), ["app.py"])
    wait_until(lambda: "all" in run.text, what="the children")
    of_group, alone = map(int, run.text.split()[:2])
    try:
        if ended:
            os.kill(alone, signal.SIGKILL)
            run.process.kill()
            run.process.wait()
        run.close()
        wait_until(lambda: not is_running(of_group) and not is_running(alone), what="their end")
    finally:
        for pid in filter(is_running, (of_group, alone)):
            os.kill(pid, signal.SIGKILL)
        run.process.stdout.close()
    assert not run.directory.exists()
