"""The Windows half behind its seam, with a fake kernel32: the order of the calls, not Windows."""

from __future__ import annotations

import ctypes
import errno
import importlib
import inspect
import os
import socket
import struct
import sys
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from devlaunch.child import modules
from devlaunch.config import Isolation
from devlaunch.system import _windows, _windows_kernel, process, seam

JOB = 0x1_0000_0004  # wider than 32 bits, as a handle may be


class FakeKernel:
    """Writes down each call; `failing` is the name of the one that fails."""

    def __init__(self, calls: list[Any], failing: str = "") -> None:
        self.calls = calls
        self.failing = failing
        self.jobs = 0

    def _call(self, name: str, *args: Any) -> None:
        self.calls.append((name, *args))
        if name == self.failing:
            raise OSError(f"{name} failed")

    def create_job(self, flags: int) -> int:
        self._call("create_job", flags)
        self.jobs += 1
        return JOB + self.jobs - 1

    def limit(self, job: int, flags: int) -> None:
        self._call("limit", job, flags)

    def members(self, job: int) -> set[int]:
        self._call("members", job)
        return set()

    def assign(self, job: int, pid: int) -> None:
        self._call("assign", job, pid)

    def resume(self, pid: int) -> None:
        self._call("resume", pid)

    def terminate_job(self, job: int, status: int) -> None:
        self._call("terminate_job", job, status)

    def close(self, handle: int) -> None:
        self._call("close", handle)


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


def test_what_is_no_kill_is_asked_for_over_the_control_channel() -> None:
    calls: list[Any] = []
    child, _ = start(calls)
    child.signal(15)
    child.signal_session(2)
    assert calls == []
    assert not child.takes_signals


def test_a_kill_and_a_reap_end_the_job_once() -> None:
    calls: list[Any] = []
    child, _ = start(calls)
    child.signal(9)
    assert child.kill() == set()
    assert child.reap() == 1
    assert child.reap() == 1
    ends_all = [("terminate_job", JOB, 1), ("members", JOB)]
    assert calls == [
        ("terminate_job", JOB, 1),
        *[*ends_all, *ends_all],
        ("wait",),
        ("close", JOB),
        ("wait",),
    ]


def test_who_has_left_the_job_of_its_child_ends_with_the_run() -> None:
    calls: list[Any] = []
    kernel = FakeKernel(calls)
    _windows.guard("run", kernel)
    _windows.Child(FakePopen(calls, [], creationflags=0), kernel)
    assert _windows.sweep("run.1", kernel=kernel) == set(), "its job has ended with it"
    assert _windows.sweep("run", kernel=kernel) == set()
    assert _windows.sweep("run", kernel=kernel) == set(), "it is over"
    kill_on_job_close = 0x2000
    outermost, run, childs = JOB, JOB + 1, JOB + 2
    assert calls == [
        ("create_job", kill_on_job_close),
        ("create_job", kill_on_job_close),
        ("assign", outermost, os.getpid()),
        ("popen", [], 0),
        ("create_job", KILL_ON_JOB_CLOSE_AND_BREAKAWAY_OK),
        ("assign", run, 77),
        ("assign", childs, 77),
        ("resume", 77),
        ("terminate_job", run, 1),
        ("members", run),
        ("close", run),
        ("limit", outermost, 0),
        ("close", outermost),
    ]


def test_of_more_processes_than_can_be_listed_some_are() -> None:
    def query(_job: Any, _kind: int, found: Any, *_: Any) -> int:
        struct.pack_into("@2I2N", found, 0, 5000, 2, 7, 8)
        return 0  # ERROR_MORE_DATA

    library = SimpleNamespace(
        CreateJobObjectW=lambda: None, OpenProcess=lambda: None, QueryInformationJobObject=query
    )
    kernel = _windows_kernel.Kernel(library, library)
    assert kernel.members(JOB) == {7, 8}


@pytest.mark.parametrize(
    ("ended", "status", "exit_code"),
    [
        (0, 0, 0),
        (3, 3, 3),
        (0xC000013A, -2, 130),
        (0xC0000005, -11, 139),
        (0xC0000135, 0xC0000135, 0xC0000135 - (1 << 32)),  # a library is missing
        (0xFFFFFFFF, 0xFFFFFFFF, -1),
    ],
)
def test_what_ended_a_process(ended: int, status: int, exit_code: int) -> None:
    child, popen = start([])
    assert child.poll() is None
    popen.status = ended
    assert child.poll() == status
    assert process.exit_code(status) == exit_code


def test_the_limits_have_the_size_that_windows_expects() -> None:
    if ctypes.sizeof(ctypes.c_void_p) != 8:
        pytest.skip("figures of 64-bit Windows")
    assert _windows_kernel.LIMITS.size == 144


@pytest.mark.posix("the kernel is there")
def test_the_real_kernel_is_for_windows_only() -> None:
    with pytest.raises(OSError, match="part of Windows"):
        _windows_kernel.Kernel()


HALVES = pytest.mark.parametrize(
    "half", ["_windows", pytest.param("_posix", marks=pytest.mark.posix("its half"))]
)


@HALVES
@pytest.mark.parametrize("name", [n for n in vars(seam.System) if not n.startswith("_")])
def test_both_halves_give_what_a_system_has_to(half: str, name: str) -> None:
    module = importlib.import_module(f"devlaunch.system.{half}")
    _, *wanted = inspect.signature(getattr(seam.System, name)).parameters
    given = list(inspect.signature(getattr(module, name)).parameters)
    assert given[: len(wanted)] == wanted, "more, with defaults, for tests"


@HALVES
def test_both_halves_have_all_that_a_child_has(half: str) -> None:
    child = importlib.import_module(f"devlaunch.system.{half}").Child
    methods = {name for name in vars(seam.Child) if not name.startswith("_")}
    assert methods <= {name for name in vars(child) if not name.startswith("_")}
    signals = {"signal", "signal_session", "kill"}
    looks = {"poll", "when_ended", "stopped", "look", "image", "pythons", "watcher"}
    assert methods == {*looks, "dismiss", "reap", *signals}


@pytest.mark.parametrize(
    ("program", "command", "is_python"),
    [
        (None, r'"C:\\Program Files\\Python311\\python.exe" -m x', True),
        (r"C:\env\Scripts\pythonw.exe", None, True),
        (None, "Python3.11.exe x.py", True),
        (None, "py -3 x.py", True),
        (None, r"C:\env\Scripts\celery.exe worker", True),
        (r"C:\Windows\system32\cmd.exe", r'cmd.exe /c "python x.py"', True),
        ("cmd", "celery & python x.py", True),
        (None, r"git -C C:\python status", False),
        (None, "pyright --version", False),
    ],
)
def test_a_python_that_reports_nothing_is_known(
    program: str | None, command: str | None, is_python: bool
) -> None:
    assert modules.starts_python(program, command) is is_python


class FakeNetwork:
    """An iphlpapi of a machine on which some processes listen: address, port, process."""

    def __init__(self, *listeners: tuple[str, int, int]) -> None:
        self._listeners = listeners

    def GetExtendedTcpTable(  # noqa: N802
        self, table: Any, size: Any, _is_sorted: bool, family: int, *_: int
    ) -> int:
        rows = [
            self._row(*each)
            for each in self._listeners
            if (":" in each[0]) == (family != socket.AF_INET)
        ]
        data = struct.pack("<I", len(rows)) + b"".join(rows) + b"what the buffer had before"
        room, size._obj.value = len(table), len(data)
        if room < len(data):
            return 122  # ERROR_INSUFFICIENT_BUFFER
        table[: len(data)] = data
        return 0

    @staticmethod
    def _row(host: str, port: int, pid: int) -> bytes:
        number = socket.htons(port)
        if ":" in host:
            address = socket.inet_pton(socket.AF_INET6, host)
            return struct.pack("<16s2I16s4I", address, 0, number, b"", 0, 0, 2, pid)
        return struct.pack("<I4s4I", 2, socket.inet_aton(host), number, 0, 0, pid)


class NamingKernel(_windows_kernel.Kernel):
    """One of a system that tells the names of programs, but not of its own."""

    def image(self, pid: int) -> str:
        if pid == 4:
            raise OSError("the system's own")
        return "C:\\Python\\python.exe"


NETWORK = FakeNetwork(
    ("127.0.0.1", 18000, 7),
    ("127.0.0.2", 8000, 8),
    ("127.0.0.1", 8000, 1234),
    ("0.0.0.0", 9000, 4),
    ("::1", 8000, 5),
    ("::", 9001, 6),
)


@pytest.mark.parametrize(
    ("host", "port", "holder"),
    [
        ("127.0.0.1", 8000, "python.exe (pid 1234)"),
        ("::1", 8000, "python.exe (pid 5)"),
        ("127.0.0.1", 9000, "unknown (pid 4)"),
        ("::1", 9001, "python.exe (pid 6)"),
        ("0.0.0.0", 18000, "python.exe (pid 7)"),
        ("127.0.0.1", 8001, None),
        ("127.0.0.3", 8000, None),
        ("no such host", 8000, None),
    ],
)
def test_the_holder_of_a_port(host: str, port: int, holder: str | None) -> None:
    library = SimpleNamespace(CreateJobObjectW=lambda: None, OpenProcess=lambda: None)
    kernel = NamingKernel(library, library, NETWORK)
    find = partial(_windows.listening_process, kernel=kernel)
    assert process.listening_process(host, port, SimpleNamespace(listening_process=find)) == holder


@pytest.mark.skipif(sys.platform == "win32", reason="there it is known")
def test_a_holder_that_cannot_be_known() -> None:
    assert _windows.listening_process(bool, 8000) is None


@pytest.mark.parametrize(
    ("number", "winerror", "expected"),
    [
        (errno.ENOENT, 3, errno.ENOENT),
        (errno.ENOEXEC, _windows.ERROR_BAD_EXE_FORMAT, errno.ENOEXEC),
        (errno.EINVAL, _windows.ERROR_EXE_MACHINE_TYPE_MISMATCH, errno.ENOEXEC),
        (errno.EINVAL, 1450, None),
        (errno.EACCES, _windows.ERROR_SHARING_VIOLATION, None),
        (10061, 10061, None),
        (errno.EACCES, None, errno.EACCES),
    ],
)
def test_numbers_of_posix(number: int, winerror: int | None, expected: int | None) -> None:
    error = OSError(number, "%1", __file__)
    error.winerror = winerror  # type: ignore[attr-defined,unused-ignore]
    assert _windows.posix_errno(error) == expected


def test_a_directory_in_place_of_a_file() -> None:
    error = OSError(errno.EACCES, "access denied", os.path.dirname(__file__))
    assert _windows.posix_errno(error) == errno.EISDIR
