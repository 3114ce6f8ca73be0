"""What keeps pydevd away from devlaunch, as far as it shows without an IDE (else test_joining)."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
from support.interpreters import launchers

from devlaunch.system.hiding import hidden, hide_thread, plain_processes

PATCHED = """\
import subprocess, sys
import pydevd
from _pydev_bundle import pydev_monkey
from devlaunch.system.hiding import plain_processes

class Silent:
    def __getattr__(self, name):
        return lambda *args, **kwargs: None

pydevd.SetupHolder.setup = {"client": "127.0.0.1", "port": 1, "multiprocess": True}
pydev_monkey.patch_new_process_functions()
command = [sys.executable, "-c", "import sys; print('pydevd' in sys.modules, end=' ')"]
def ask():
    print(subprocess.run(command, capture_output=True, text=True).stdout or "patched", end=" ")
ask()
with plain_processes():
    ask()
    with plain_processes():
        pass
    ask()
ask()
"""


@pytest.mark.parametrize("python", launchers())
def test_pydevd_does_not_rewrite_the_processes_of_devlaunch(python: str) -> None:
    """But all others, before and after."""
    code = "import debugpy; import debugpy.server.api\n" + PATCHED
    done = subprocess.run(
        [python, "-Xfrozen_modules=off", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["patched", "False", "False", "patched"]


def test_without_pydevd_nothing_is_loaded() -> None:
    code = (
        "import sys; from devlaunch.system import hiding; before = set(sys.modules); "
        "hiding.hide_main_thread()\n"
        "with hiding.plain_processes(): pass\n"
        "print(set(sys.modules) - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_thread_is_hidden_for_a_while() -> None:
    thread = threading.current_thread()
    with hidden():
        assert vars(thread)["pydev_do_not_trace"]
        with hidden():
            pass
        assert vars(thread)["pydev_do_not_trace"]
        # It has to stay one of the program: pydevd ends its session when none is left.
        assert "is_pydev_daemon_thread" not in vars(thread)
    assert "pydev_do_not_trace" not in vars(thread)


def test_a_helper_thread_is_hidden_for_good() -> None:
    thread = threading.Thread()
    hide_thread(thread)
    assert vars(thread)["pydev_do_not_trace"]
    assert vars(thread)["is_pydev_daemon_thread"]


@pytest.mark.posix("fork")
def test_what_is_not_patched_stays_as_it_is() -> None:
    before = subprocess._fork_exec
    with plain_processes():
        assert subprocess._fork_exec is before
    assert subprocess._fork_exec is before
