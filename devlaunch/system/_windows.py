"""Children on Windows: a job object for each, which ends all of it when its handle is closed.

The kernel closes the launcher's handles however it ends, so no guardian is needed. Around these
jobs is one of the whole run, with who has left them by CREATE_BREAKAWAY_FROM_JOB, which takes the
part of DEVLAUNCH_KEEP: kept over restarts, not beyond the end. The outermost holds the launcher as
well, and so a child that is in no other yet. Jobs nest since Windows 8, so all of this may run in
another one, as of an IDE or of CI.

Sources: Microsoft's documentation, "Job Objects", "Nested Jobs", "Process Creation Flags".
"""

from __future__ import annotations

import atexit
import ctypes
import errno
import json
import ntpath
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from devlaunch.config import Isolation
from devlaunch.core.invocation import Running
from devlaunch.system._windows_kernel import (
    JOB_OBJECT_LIMIT_BREAKAWAY_OK,
    JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
    TCP_ROWS,
    Kernel,
)
from devlaunch.system.hiding import hide_thread
from devlaunch.system.terms import SIGKILL

CREATE_SUSPENDED = 0x00000004
CREATE_NEW_PROCESS_GROUP = 0x00000200
ENABLE_VIRTUAL_TERMINAL_PROCESSING = 0x0004
KILLED_STATUS = 1
ENDING_SECONDS = 2.0
"""That the processes of a job may take to be gone; most are at once."""
GENERIC_READ = 0x80000000
FILE_SHARE_ALL = 0x7
OPEN_EXISTING = 3
ERROR_SHARING_VIOLATION = 32
ERROR_LOCK_VIOLATION = 33
ERROR_BAD_EXE_FORMAT = 193
ERROR_EXE_MACHINE_TYPE_MISMATCH = 216

WHY_NOT_EXECUTED = {
    errno.ENOEXEC: "it is no program; name the one that runs it first, such as python {}",
}
_SIGNALS = {
    0xC000013A: -signal.SIGINT,  # STATUS_CONTROL_C_EXIT
    0xC0000005: -signal.SIGSEGV,  # STATUS_ACCESS_VIOLATION
    0xC00000FD: -signal.SIGSEGV,  # STATUS_STACK_OVERFLOW
    0xC0000409: -signal.SIGABRT,  # STATUS_STACK_BUFFER_OVERRUN: what abort() ends with
}


class Child:
    """A child process in a job of its own."""

    takes_signals = False

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        kernel: Kernel,
        before_start: Callable[[], None] = lambda: None,
    ) -> None:
        self._process = process
        self._kernel = kernel
        self.pid = process.pid
        self.survivors: set[int] = set()
        self._job = 0
        try:
            self._job = kernel.create_job(
                JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE | JOB_OBJECT_LIMIT_BREAKAWAY_OK
            )
            if _jobs:
                kernel.assign(_jobs[1], self.pid)
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
        # The open handle keeps the process id from being used again.
        status = self._process.poll()
        return status if status is None else _SIGNALS.get(status, status)

    def when_ended(self, call: Callable[[], object]) -> None:
        def wait() -> None:
            self._process.wait()
            call()

        thread = threading.Thread(target=wait, name="devlaunch-child", daemon=True)
        hide_thread(thread)
        thread.start()

    def stopped(self) -> bool:
        return False  # there is no Ctrl-Z

    def look(self) -> None:
        pass  # the job knows its members

    def image(self) -> None:
        pass  # there is no exec that keeps the process

    def pythons(self) -> dict[int, Running]:
        return {}

    def watcher(self, ran: Mapping[int, Collection[str]]) -> None:
        pass

    def signal(self, sig: int) -> None:
        # CTRL_BREAK, all that a process group can be sent, needs a console, and ends programs that
        # do not know it at once.
        if sig == SIGKILL and self._job:
            self._kernel.terminate_job(self._job, KILLED_STATUS)

    signal_session = signal

    def dismiss(self) -> list[str]:
        return []  # there is no asking a process that is in no group of ours: the job ends it

    def kill(self) -> set[int]:
        if self._job:
            self.signal(SIGKILL)
            # The next generation may need what they hold.
            self.survivors = _wait_for_end(self._kernel, self._job)
        return self.survivors

    def reap(self) -> int:
        self.kill()
        status = self._process.wait()
        self._close_job()
        return _SIGNALS.get(status, status)

    def _close_job(self) -> None:
        job, self._job = self._job, 0
        if job:
            self._kernel.close(job)


def _wait_for_end(kernel: Kernel, job: int) -> set[int]:
    """Wait until all of a job have ended; returns who did not."""
    until = time.monotonic() + ENDING_SECONDS
    while (left := kernel.members(job)) and time.monotonic() < until:
        time.sleep(0.002)
    return left


_jobs: tuple[int, int] | None = None
"""What the jobs of the children are in: with this process, and so all that it starts; the run's."""


def guard(run_id: str, kernel: Kernel | None = None) -> None:  # noqa: ARG001
    """Have the kernel end all that this process starts from now on together with it."""
    global _jobs
    with suppress(OSError):  # the jobs of the children are left
        kernel = kernel or Kernel()
        outermost, run = (kernel.create_job(JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE) for _ in range(2))
        kernel.assign(outermost, os.getpid())
        _jobs = outermost, run


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
    """Start a child; `pass_fds` are handles of sockets."""
    flags = CREATE_SUSPENDED
    if isolate is not Isolation.NONE:
        flags |= CREATE_NEW_PROCESS_GROUP
    options: dict[str, Any] = {"creationflags": flags}
    argv, env = _without_redirector(argv, env)
    if sys.platform != "win32" or not pass_fds:
        return Child(popen(argv, env=env, cwd=cwd, **options), kernel or Kernel())
    import msvcrt

    # Winsock hands sockets to another process by WSADuplicateSocket, which has to know its id. So
    # all that is inherited is a pipe; what to make of it is in `child/descriptors`.
    reader, writer = os.pipe()
    try:
        handle = msvcrt.get_osfhandle(reader)
        os.set_handle_inheritable(handle, True)
        options["startupinfo"] = subprocess.STARTUPINFO(lpAttributeList={"handle_list": [handle]})
        # Beside such a list nothing else is sure to be inherited, unless it is named.
        for fd, name in enumerate(("stdin", "stdout", "stderr")):
            with suppress(OSError):  # it is closed, as in a program without a console
                os.fstat(fd)
                options[name] = fd
        process = popen([*argv, str(handle)], env=env, cwd=cwd, **options)
        return Child(process, kernel or Kernel(), lambda: _share(pass_fds, process.pid, writer))
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
    directory, name = os.path.split(argv[0])
    for place in (directory, os.path.dirname(directory)):
        home = _home(os.path.join(place, "pyvenv.cfg"))
        for program in (name, "python.exe"):
            base = os.path.join(home, program)
            if home and os.path.isfile(base) and not os.path.samefile(base, argv[0]):
                return [base, *argv[1:]], {**env, "__PYVENV_LAUNCHER__": argv[0]}
    return argv, env


def _home(config: str) -> str:
    """The directory of the interpreter that a virtual environment is of; empty without one."""
    try:
        with open(config, encoding="utf-8", errors="replace") as file:
            pairs = (line.partition("=") for line in file)
            return {key.strip().lower(): value.strip() for key, _, value in pairs}.get("home", "")
    except OSError:
        return ""


def reports_address(run_id: str) -> str:  # noqa: ARG001
    return ""  # there are no such sockets: only the child says what it runs


def sweep(
    run_id: str,
    *,
    looks: int = 2,  # noqa: ARG001
    grace: float = 0.0,  # noqa: ARG001 - nobody here can be asked
    kernel: Kernel | None = None,
) -> set[int]:
    """At the end of a run: end who has left its child's job; the job of each generation is gone."""
    global _jobs
    if not _jobs or "." in run_id:
        return set()
    kernel = kernel or Kernel()
    (outermost, run), _jobs = _jobs, None
    kernel.terminate_job(run, KILLED_STATUS)
    left = _wait_for_end(kernel, run)
    kernel.close(run)
    # This process cannot leave it, and others that it has started may outlive the run.
    kernel.limit(outermost, 0)
    kernel.close(outermost)
    return left


def reap_orphans(keep: Collection[int]) -> None:
    pass  # there are no zombies


def listening_process(
    is_meant: Callable[[bytes], bool], port: int, kernel: Kernel | None = None
) -> str | None:
    with suppress(OSError):
        kernel = kernel or Kernel()
        for family in TCP_ROWS:
            for address, its_port, pid in kernel.listeners(family):
                if its_port == port and is_meant(address):
                    name = "unknown"
                    with suppress(OSError):  # the system's own, or another user's
                        name = ntpath.basename(kernel.image(pid))
                    return f"{name} (pid {pid})"
    return None


def takes_escapes(fd: int) -> bool:
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
    before, wanted = mode.value, mode.value | ENABLE_VIRTUAL_TERMINAL_PROCESSING
    if before == wanted:
        return True
    if not kernel32.SetConsoleMode(handle, wanted):
        return False
    # It is the console's, for the app's colours too, and for whoever uses it after us.
    atexit.register(kernel32.SetConsoleMode, handle, before)
    return True


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


def posix_errno(error: OSError) -> int | None:
    # Windows' own words are in its language, and have `%1` in them.
    number = getattr(error, "winerror", None)
    if number in (ERROR_BAD_EXE_FORMAT, ERROR_EXE_MACHINE_TYPE_MISMATCH):
        return errno.ENOEXEC
    # EINVAL stands for all that C has no number for; numbers of sockets have no words in C.
    if is_sharing_violation(error) or error.errno == errno.EINVAL or (error.errno or 0) >= 10000:
        return None
    # It has no other for a directory that is opened as a file.
    if error.errno == errno.EACCES and error.filename and os.path.isdir(error.filename):
        return errno.EISDIR
    return error.errno


def has_no_reader(error: OSError) -> bool:
    return error.errno in (errno.EPIPE, errno.EINVAL)  # C makes EINVAL of ERROR_NO_DATA


def is_sharing_violation(error: OSError) -> bool:
    """Whether a program keeps others from the file, or a part of it, as long as it has it open."""
    return getattr(error, "winerror", None) in (ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION)
