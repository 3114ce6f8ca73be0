"""The Windows half behind its seam, with a fake kernel32: the order of the calls, not Windows."""

from __future__ import annotations

import ctypes
import inspect
import subprocess
from types import SimpleNamespace
from typing import Any

import pytest

from devlaunch import _posix, _windows, process
from devlaunch.config import Isolation

JOB = 0x1_0000_0004  # wider than 32 bits, as a handle may be


class FakeKernel:
    """Writes down each call; `failing` is the name of the one that fails."""

    def __init__(self, calls: list[Any], failing: str = "") -> None:
        self.calls = calls
        self.failing = failing

    def _call(self, name: str, *args: Any) -> None:
        self.calls.append((name, *args))
        if name == self.failing:
            raise OSError(f"{name} failed")

    def create_job(self, limits: _windows.ExtendedLimits) -> int:
        self._call("create_job", limits.BasicLimitInformation.LimitFlags)
        return JOB

    def assign(self, job: int, pid: int) -> None:
        self._call("assign", job, pid)

    def resume(self, pid: int) -> None:
        self._call("resume", pid)

    def terminate_job(self, job: int, status: int) -> None:
        self._call("terminate_job", job, status)

    def close(self, handle: int) -> None:
        self._call("close", handle)

    def send_break(self, pid: int) -> None:
        self._call("send_break", pid)


class FakePopen:
    """A process that ends when it is told to."""

    def __init__(self, calls: list[Any], argv: list[str], **options: Any) -> None:
        self.calls = calls
        self.pid = 77
        self.status: int | None = None
        calls.append(("popen", argv, options["creationflags"]))

    def poll(self) -> int | None:
        return self.status

    def wait(self) -> int:
        self.calls.append(("wait",))
        self.status = self.status if self.status is not None else 1
        return self.status

    def kill(self) -> None:
        self.calls.append(("kill",))


def start(
    calls: list[Any], failing: str = "", isolate: Isolation = Isolation.SESSION
) -> tuple[_windows.Child, FakePopen]:
    made: list[FakePopen] = []

    def popen(argv: list[str], **options: Any) -> FakePopen:
        made.append(FakePopen(calls, argv, **options))
        return made[0]

    child = _windows.spawn(
        ["python"],
        env={},
        cwd=None,
        isolate=isolate,
        mark="run",
        pass_fds=(),
        kernel=FakeKernel(calls, failing),
        popen=popen,
    )
    calls.clear()
    return child, made[0]


KILL_ON_JOB_CLOSE_AND_BREAKAWAY_OK = 0x2800
SUSPENDED, NEW_PROCESS_GROUP = 0x4, 0x200


@pytest.mark.parametrize(
    ("isolate", "flags"),
    [
        (Isolation.SESSION, SUSPENDED | NEW_PROCESS_GROUP),
        (Isolation.GROUP, SUSPENDED | NEW_PROCESS_GROUP),
        (Isolation.NONE, SUSPENDED),
    ],
)
def test_a_child_is_in_its_job_before_it_runs(isolate: Isolation, flags: int) -> None:
    calls: list[Any] = []
    _windows.spawn(
        ["python"],
        env={},
        cwd=None,
        isolate=isolate,
        mark="run",
        pass_fds=(),
        kernel=FakeKernel(calls),
        popen=lambda argv, **options: FakePopen(calls, argv, **options),
    )
    assert calls == [
        ("popen", ["python"], flags),
        ("create_job", KILL_ON_JOB_CLOSE_AND_BREAKAWAY_OK),
        ("assign", JOB, 77),
        ("resume", 77),
    ]


@pytest.mark.parametrize("failing", ["create_job", "assign", "resume"])
def test_a_child_that_cannot_be_guarded_does_not_stay_suspended(failing: str) -> None:
    calls: list[Any] = []
    with pytest.raises(OSError, match=failing):
        start(calls, failing)
    rest = calls[[call[0] for call in calls].index(failing) + 1 :]
    job_is_closed = [] if failing == "create_job" else [("close", JOB)]
    assert rest == [("kill",), ("wait",), *job_is_closed]


def test_a_soft_stop_is_ctrl_break() -> None:
    calls: list[Any] = []
    child, popen = start(calls)
    child.signal(15)
    child.signal_session(2)
    assert calls == [("send_break", 77), ("send_break", 77)]
    popen.status = 0
    child.signal(15)
    assert len(calls) == 2, "it has ended: the id is not signalled"


def test_no_console_is_no_error() -> None:
    calls: list[Any] = []
    child, _ = start(calls, failing="send_break")
    child.signal(15)
    assert calls == [("send_break", 77)]


def test_a_kill_and_a_reap_end_the_job_once() -> None:
    calls: list[Any] = []
    child, _ = start(calls)
    child.signal(9)
    assert child.kill() == set()
    assert child.reap() == 1
    assert child.reap() == 1
    assert calls == [
        *[("terminate_job", JOB, 1)] * 3,
        ("wait",),
        ("close", JOB),
        ("wait",),
    ]


def test_the_structures_have_the_size_that_windows_expects() -> None:
    if ctypes.sizeof(ctypes.c_void_p) != 8:
        pytest.skip("figures of 64-bit Windows")
    assert ctypes.sizeof(_windows.BasicLimits) == 64
    assert ctypes.sizeof(_windows.ExtendedLimits) == 144


def test_the_real_kernel_is_for_windows_only() -> None:
    with pytest.raises(OSError, match="part of Windows"):
        _windows.Kernel32()


@pytest.mark.parametrize("name", ["spawn", "sweep", "reap_orphans", "listening_process"])
def test_both_halves_take_the_same_arguments(name: str) -> None:
    windows = list(inspect.signature(getattr(_windows, name)).parameters)
    posix = list(inspect.signature(getattr(_posix, name)).parameters)
    assert windows[: len(posix)] == posix, "more, with defaults, for tests"


@pytest.mark.parametrize("half", [_windows, _posix])
def test_both_halves_have_all_that_a_child_has(half: Any) -> None:
    methods = {name for name in vars(process.Child) if not name.startswith("_")}
    assert methods <= {name for name in vars(half.Child) if not name.startswith("_")}
    signals = {"signal", "signal_session", "kill"}
    looks = {"poll", "stopped", "look", "image", "pythons", "watcher"}
    assert methods == {*looks, "dismiss", "reap", *signals}


NETSTAT = """
Active Connections

  Proto  Local Address          Foreign Address        State           PID
  TCP    0.0.0.0:135            0.0.0.0:0              LISTENING       900
  TCP    127.0.0.1:8000         127.0.0.1:51000        ESTABLISHED     4321
  TCP    127.0.0.1:8000         0.0.0.0:0              ABHÖREN         1234
  TCP    127.0.0.1:18000        0.0.0.0:0              LISTENING       5555
"""
ANSWERS = {"netstat": NETSTAT, "tasklist": '"python.exe","1234","Console","1","9,000 K"\n'}


def test_the_holder_of_a_port_is_read_from_netstat() -> None:
    def run(command: list[str], **_: Any) -> SimpleNamespace:
        return SimpleNamespace(stdout=ANSWERS[command[0]])

    assert _windows.listening_process("127.0.0.1", 8000, run) == "python.exe (pid 1234)"
    assert _windows.listening_process("127.0.0.1", 8001, run) is None


@pytest.mark.parametrize("error", [FileNotFoundError(), subprocess.TimeoutExpired("netstat", 5)])
def test_a_holder_that_cannot_be_known(error: Exception) -> None:
    def run(command: list[str], **_: Any) -> SimpleNamespace:
        raise error

    assert _windows.listening_process("127.0.0.1", 8000, run) is None
