"""Children on Windows: a job object for each, which ends all of it when its handle is closed.

Written from Microsoft's documentation ("Job Objects", "Process Creation Flags",
"GenerateConsoleCtrlEvent"), tested against a fake kernel32 only: it has not been run on Windows.
The kernel closes the launcher's handles however it ends, so no guardian is needed.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from devlaunch.config import Isolation
from devlaunch.hiding import hide_thread

CREATE_SUSPENDED = 0x00000004
CREATE_NEW_PROCESS_GROUP = 0x00000200
JOB_OBJECT_EXTENDED_LIMIT_INFORMATION = 9
JOB_OBJECT_LIMIT_BREAKAWAY_OK = 0x00000800
JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE = 0x00002000
PROCESS_ALL_ACCESS = 0x001FFFFF
ENABLE_VIRTUAL_TERMINAL_PROCESSING = 0x0004
KILLED_STATUS = 1
GENERIC_READ = 0x80000000
FILE_SHARE_ALL = 0x7
OPEN_EXISTING = 3
ERROR_SHARING_VIOLATION = 32
ERROR_LOCK_VIOLATION = 33

_SIGNALS = {
    0xC000013A: -signal.SIGINT,  # STATUS_CONTROL_C_EXIT
    0xC0000005: -signal.SIGSEGV,  # STATUS_ACCESS_VIOLATION
    0xC00000FD: -signal.SIGSEGV,  # STATUS_STACK_OVERFLOW
    0xC0000409: -signal.SIGABRT,  # STATUS_STACK_BUFFER_OVERRUN: what abort() ends with
}
SIGKILL = 9


class BasicLimits(ctypes.Structure):
    """JOBOBJECT_BASIC_LIMIT_INFORMATION."""

    _fields_ = (
        ("PerProcessUserTimeLimit", ctypes.c_int64),
        ("PerJobUserTimeLimit", ctypes.c_int64),
        ("LimitFlags", ctypes.c_uint32),
        ("MinimumWorkingSetSize", ctypes.c_size_t),
        ("MaximumWorkingSetSize", ctypes.c_size_t),
        ("ActiveProcessLimit", ctypes.c_uint32),
        ("Affinity", ctypes.c_size_t),
        ("PriorityClass", ctypes.c_uint32),
        ("SchedulingClass", ctypes.c_uint32),
    )


class ExtendedLimits(ctypes.Structure):
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION."""

    _fields_ = (
        ("BasicLimitInformation", BasicLimits),
        ("IoInfo", ctypes.c_uint64 * 6),
        ("ProcessMemoryLimit", ctypes.c_size_t),
        ("JobMemoryLimit", ctypes.c_size_t),
        ("PeakProcessMemoryUsed", ctypes.c_size_t),
        ("PeakJobMemoryUsed", ctypes.c_size_t),
    )


class Kernel(Protocol):
    """The calls that are needed of kernel32 and ntdll; each raises OSError when it fails."""

    def create_job(self, limits: ExtendedLimits) -> int:
        """CreateJobObjectW and SetInformationJobObject; the job's handle."""

    def assign(self, job: int, pid: int) -> None:
        """AssignProcessToJobObject."""

    def resume(self, pid: int) -> None:
        """NtResumeProcess."""

    def terminate_job(self, job: int, status: int) -> None:
        """TerminateJobObject."""

    def close(self, handle: int) -> None:
        """CloseHandle."""


class Kernel32:
    """The real one."""

    def __init__(self) -> None:
        if sys.platform != "win32":
            raise OSError("kernel32 is a part of Windows")
        self._kernel32: Any = ctypes.WinDLL("kernel32", use_last_error=True)
        self._ntdll: Any = ctypes.WinDLL("ntdll")
        # Handles are pointers: ctypes would cut them to 32 bits.
        self._kernel32.CreateJobObjectW.restype = ctypes.c_void_p
        self._kernel32.OpenProcess.restype = ctypes.c_void_p

    def create_job(self, limits: ExtendedLimits) -> int:
        """A new job with these limits."""
        job = int(self._check(self._kernel32.CreateJobObjectW(None, None)))
        size = ctypes.sizeof(limits)
        self._check(
            self._kernel32.SetInformationJobObject(
                ctypes.c_void_p(job),
                JOB_OBJECT_EXTENDED_LIMIT_INFORMATION,
                ctypes.byref(limits),
                size,
            )
        )
        return job

    def assign(self, job: int, pid: int) -> None:
        """Put a process into the job."""
        process = self._open(pid)
        try:
            self._check(
                self._kernel32.AssignProcessToJobObject(
                    ctypes.c_void_p(job), ctypes.c_void_p(process)
                )
            )
        finally:
            self.close(process)

    def resume(self, pid: int) -> None:
        """Let a process that was created suspended run."""
        process = self._open(pid)
        try:
            if self._ntdll.NtResumeProcess(ctypes.c_void_p(process)) < 0:
                raise OSError(f"NtResumeProcess failed for process {pid}")
        finally:
            self.close(process)

    def terminate_job(self, job: int, status: int) -> None:
        """End all processes of the job."""
        self._check(self._kernel32.TerminateJobObject(ctypes.c_void_p(job), status))

    def close(self, handle: int) -> None:
        """Close a handle; the last one of a job ends the job."""
        self._kernel32.CloseHandle(ctypes.c_void_p(handle))

    def _open(self, pid: int) -> int:
        return int(self._check(self._kernel32.OpenProcess(PROCESS_ALL_ACCESS, False, pid)))

    @staticmethod
    def _check(result: Any) -> Any:
        if sys.platform == "win32" and not result:
            raise ctypes.WinError(ctypes.get_last_error())
        return result


class Process(Protocol):
    """What is needed of a `subprocess.Popen`."""

    pid: int

    def poll(self) -> int | None:
        """The status, or None."""

    def wait(self) -> int:
        """The status."""

    def kill(self) -> None:
        """TerminateProcess."""


class Child:
    """A child process in a job of its own; see `process.Child` for the contract."""

    takes_signals = False

    def __init__(
        self, process: Process, kernel: Kernel, before_start: Callable[[], None] = lambda: None
    ) -> None:
        self._process = process
        self._kernel = kernel
        self.pid = process.pid
        self.survivors: set[int] = set()
        limits = ExtendedLimits()
        limits.BasicLimitInformation.LimitFlags = (
            JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE | JOB_OBJECT_LIMIT_BREAKAWAY_OK
        )
        self._job = 0
        try:
            self._job = kernel.create_job(limits)
            kernel.assign(self._job, self.pid)
            before_start()
            kernel.resume(self.pid)
        except OSError:
            # Suspended and in no job, it would stay for ever.
            process.kill()
            process.wait()
            self._close_job()
            raise

    def poll(self) -> int | None:
        """The status; the open handle keeps the process id from being used again."""
        status = self._process.poll()
        return status if status is None else _as_signal(status)

    def when_ended(self, call: Callable[[], object]) -> None:
        """Call from a thread of its own once the main process has ended: there is no SIGCHLD."""

        def wait() -> None:
            self._process.wait()
            call()

        thread = threading.Thread(target=wait, name="devlaunch-child", daemon=True)
        hide_thread(thread)
        thread.start()

    def stopped(self) -> bool:
        """Never: Windows has no Ctrl-Z."""
        return False

    def look(self) -> None:
        """The job knows its members; there is nothing to note."""

    def image(self) -> None:
        """Not known: there is no exec that keeps the process."""

    def pythons(self) -> set[int]:
        """Not known."""
        return set()

    def signal(self, sig: int) -> None:
        """SIGKILL ends the job.

        CTRL_BREAK, all that a process group can be sent, needs a console, and ends programs that do
        not know it at once.
        """
        if sig == SIGKILL:
            self.kill()

    signal_session = signal

    def dismiss(self) -> list[str]:
        """Nothing here asks a process to end that is in no group of ours: the job ends them."""
        return []

    def kill(self) -> set[int]:
        """End the job."""
        if self._job:
            self._kernel.terminate_job(self._job, KILLED_STATUS)
        return self.survivors

    def reap(self) -> int:
        """End what is left, then let go of the handles."""
        self.kill()
        status = self._process.wait()
        self._close_job()
        return _as_signal(status)

    def _close_job(self) -> None:
        job, self._job = self._job, 0
        if job:
            self._kernel.close(job)


def _as_signal(status: int) -> int:
    """What ended the process, as `process.Child.poll` says it; a status that fits an int."""
    return _SIGNALS.get(status, status if status < 1 << 31 else status - (1 << 32))


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: str | None,
    isolate: Isolation,
    mark: str,  # noqa: ARG001 - the job takes the mark's part
    pass_fds: Collection[int],
    kernel: Kernel | None = None,
    popen: Any = subprocess.Popen,
) -> Child:
    """Start a child; see `process.spawn`. `pass_fds` are handles of sockets. Raises OSError."""
    flags = CREATE_SUSPENDED
    if isolate is not Isolation.NONE:
        flags |= CREATE_NEW_PROCESS_GROUP
    options: dict[str, Any] = {"creationflags": flags}
    argv, env = _without_redirector(argv, env)
    if sys.platform != "win32" or not pass_fds:
        return Child(popen(argv, env=env, cwd=cwd, **options), kernel or Kernel32())
    import msvcrt

    # Winsock hands sockets to another process by WSADuplicateSocket, which has to know its id. So
    # all that is inherited is a pipe; what to make of it is in `child/inherited`.
    reader, writer = os.pipe()
    try:
        handle = msvcrt.get_osfhandle(reader)
        os.set_handle_inheritable(handle, True)
        options["startupinfo"] = subprocess.STARTUPINFO(lpAttributeList={"handle_list": [handle]})
        process = popen([*argv, str(handle)], env=env, cwd=cwd, **options)
        return Child(process, kernel or Kernel32(), lambda: _share(pass_fds, process.pid, writer))
    finally:
        os.close(reader)
        os.close(writer)


def _share(handles: Collection[int], pid: int, writer: int) -> None:
    """Tell a suspended process how to get at these sockets. It fits in the pipe's buffer."""
    if sys.platform == "win32":
        shared = {}
        for handle in handles:
            sock = socket.socket(fileno=handle)
            try:
                shared[handle] = sock.share(pid).hex()
            finally:
                sock.detach()
        os.write(writer, json.dumps(shared).encode())


def _without_redirector(
    argv: Sequence[str], env: Mapping[str, str]
) -> tuple[Sequence[str], Mapping[str, str]]:
    """The command that a virtual environment's `python.exe` would run, as multiprocessing does it.

    That is a program of its own, which starts the interpreter as a child: another process id than
    the one that sockets are shared with, and that the debugger reports.
    """
    config = os.path.join(os.path.dirname(os.path.dirname(argv[0])), "pyvenv.cfg")
    try:
        with open(config, encoding="utf-8", errors="replace") as file:
            pairs = (line.partition("=") for line in file)
            keys = {key.strip().lower(): value.strip() for key, _, value in pairs}
    except OSError:
        return argv, env
    base = os.path.join(keys.get("home", ""), os.path.basename(argv[0]))
    if not os.path.isfile(base):
        return argv, env
    return [base, *argv[1:]], {**env, "__PYVENV_LAUNCHER__": argv[0]}


def reports_address(run_id: str) -> str:  # noqa: ARG001
    """There are no such sockets: only the child says what it runs, over its control channel."""
    return ""


def sweep(run_id: str, within: float, looks: int, grace: float) -> set[int]:  # noqa: ARG001
    """Nothing is left to do: each child's job ended with its handle."""
    return set()


def reap_orphans(keep: Collection[int]) -> None:
    """Windows has no zombies."""


def listening_process(host: str, port: int, run: Any = subprocess.run) -> str | None:  # noqa: ARG001
    """`name (pid N)` of the process that listens there; see `process.listening_process`."""
    try:
        pid = _netstat_pid(_output(run, ["netstat", "-ano", "-p", "TCP"]), port)
        if pid is None:
            return None
        row = _output(run, ["tasklist", "/FI", f"PID eq {pid}", "/FO", "CSV", "/NH"])
    except (OSError, subprocess.TimeoutExpired):
        return None
    name = row.strip().split(",")[0].strip('"') or "unknown"
    return f"{name} (pid {pid})"


def enable_escapes(fd: int) -> bool:
    """Have a console interpret escape sequences; whether it does (Windows 10 and later)."""
    if sys.platform != "win32":
        return False
    import msvcrt

    kernel32 = ctypes.WinDLL("kernel32")
    try:
        handle = ctypes.c_void_p(msvcrt.get_osfhandle(fd))
    except OSError:
        return False
    mode = ctypes.c_uint32()
    if not kernel32.GetConsoleMode(handle, ctypes.byref(mode)):
        return False
    wanted = mode.value | ENABLE_VIRTUAL_TERMINAL_PROCESSING
    return bool(mode.value == wanted or kernel32.SetConsoleMode(handle, wanted))


def open_shared(path: str, flags: int) -> int:
    """Open a file for reading, as an `opener` of `open`. Raises OSError.

    Others may rename, remove and replace it meanwhile (ReplaceFile, or a rename with the semantics
    of POSIX; MoveFileEx replaces no file that is open at all), which `open` keeps them from.
    """
    if sys.platform != "win32":
        raise OSError("this is for Windows")
    import _winapi
    import msvcrt

    try:
        handle = _winapi.CreateFile(path, GENERIC_READ, FILE_SHARE_ALL, 0, OPEN_EXISTING, 0, 0)
    except OSError as error:
        number = error.errno or 0
        raise OSError(number, os.strerror(number), path, error.winerror) from None
    return msvcrt.open_osfhandle(handle, flags)


def is_sharing_violation(error: OSError) -> bool:
    """Whether a program keeps others from the file, or a part of it, as long as it has it open."""
    return getattr(error, "winerror", None) in (ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION)


def _netstat_pid(text: str, port: int) -> int | None:
    """From lines like `  TCP    127.0.0.1:8000    0.0.0.0:0    LISTENING    1234`."""
    for line in text.splitlines():
        words = line.split()
        # The word LISTENING is translated, the foreign port 0 is not.
        if len(words) == 5 and words[1].endswith(f":{port}") and words[2].endswith(":0"):
            return int(words[4])
    return None


def _output(run: Any, command: list[str]) -> str:
    done = run(command, capture_output=True, text=True, errors="replace", check=False, timeout=5)
    return str(done.stdout)
