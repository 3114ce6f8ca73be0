"""The calls of Windows that `_windows` is made of; tests have a fake in their place.

Written from Microsoft's documentation, by the names that are told here. What netstat prints is
translated, and has no process ids under wine.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

JOB_OBJECT_BASIC_PROCESS_ID_LIST = 3
JOB_OBJECT_EXTENDED_LIMIT_INFORMATION = 9
JOB_OBJECT_LIMIT_BREAKAWAY_OK = 0x00000800
JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE = 0x00002000
PROCESS_ALL_ACCESS = 0x001FFFFF
PROCESS_QUERY_LIMITED_INFORMATION = 0x1000
TCP_TABLE_OWNER_PID_LISTENER = 3
ERROR_INSUFFICIENT_BUFFER = 122
MOST_MEMBERS = 4096
LONGEST_PATH = 32768

LIMITS = struct.Struct("@2q I 2N I N 2I 6Q 4N")
"""JOBOBJECT_EXTENDED_LIMIT_INFORMATION; the third field is LimitFlags."""

TCP_ROWS = {
    socket.AF_INET: struct.Struct("<4x4sI8xI"),  # MIB_TCPROW_OWNER_PID
    socket.AF_INET6: struct.Struct("<16s4xI28xI"),  # MIB_TCP6ROW_OWNER_PID
}
"""Of each row the local address, the local port, and who owns it."""


class Kernel:
    """The calls with the libraries of the system; each raises OSError when it fails."""

    def __init__(self, kernel32: Any = None, ntdll: Any = None, iphlpapi: Any = None) -> None:
        """The libraries of the system are taken where none are given."""
        self._kernel32: Any = kernel32 or _library("kernel32")
        self._ntdll: Any = ntdll or _library("ntdll")
        self._iphlpapi = iphlpapi
        # Handles are pointers: ctypes would cut them to 32 bits.
        self._kernel32.CreateJobObjectW.restype = ctypes.c_void_p
        self._kernel32.OpenProcess.restype = ctypes.c_void_p

    def create_job(self, flags: int) -> int:
        """CreateJobObjectW: the handle of a new job with these limits."""
        job = int(self._check(self._kernel32.CreateJobObjectW(None, None)))
        self.limit(job, flags)
        return job

    def limit(self, job: int, flags: int) -> None:
        """SetInformationJobObject: the limits of a job, in place of those that it has."""
        limits = LIMITS.pack(0, 0, flags, *[0] * 16)
        self._check(
            self._kernel32.SetInformationJobObject(
                ctypes.c_void_p(job), JOB_OBJECT_EXTENDED_LIMIT_INFORMATION, limits, len(limits)
            )
        )

    def members(self, job: int) -> set[int]:
        """Who lives in the job, or in one that is nested in it; of very many only some."""
        # JOBOBJECT_BASIC_PROCESS_ID_LIST: two numbers, the second of the ids that follow.
        found = ctypes.create_string_buffer(struct.calcsize(f"@2I{MOST_MEMBERS}N"))
        is_all = self._kernel32.QueryInformationJobObject(
            ctypes.c_void_p(job), JOB_OBJECT_BASIC_PROCESS_ID_LIST, found, len(found), None
        )
        _, count = struct.unpack_from("@2I", found)
        if not count:  # else it is ERROR_MORE_DATA
            self._check(is_all)
        return set(struct.unpack_from(f"@2I{count}N", found)[2:])

    def assign(self, job: int, pid: int) -> None:
        """AssignProcessToJobObject."""
        with self._opened(pid, PROCESS_ALL_ACCESS) as process:
            self._check(self._kernel32.AssignProcessToJobObject(ctypes.c_void_p(job), process))

    def resume(self, pid: int) -> None:
        """NtResumeProcess: let a process that was created suspended run."""
        with self._opened(pid, PROCESS_ALL_ACCESS) as process:
            if self._ntdll.NtResumeProcess(process) < 0:
                raise OSError(f"NtResumeProcess failed for process {pid}")

    def terminate_job(self, job: int, status: int) -> None:
        """TerminateJobObject: end all processes of the job."""
        self._check(self._kernel32.TerminateJobObject(ctypes.c_void_p(job), status))

    def close(self, handle: int) -> None:
        """CloseHandle; the last one of a job ends the job."""
        self._kernel32.CloseHandle(ctypes.c_void_p(handle))

    def listeners(self, family: socket.AddressFamily) -> Iterator[tuple[bytes, int, int]]:
        """GetExtendedTcpTable: by address and port which process listens there."""
        self._iphlpapi = self._iphlpapi or _library("iphlpapi")
        size = ctypes.c_uint32()
        error = ERROR_INSUFFICIENT_BUFFER
        while error == ERROR_INSUFFICIENT_BUFFER:  # it may grow between two calls
            table = ctypes.create_string_buffer(size.value)
            error = self._iphlpapi.GetExtendedTcpTable(
                table, ctypes.byref(size), False, int(family), TCP_TABLE_OWNER_PID_LISTENER, 0
            )
        if error:
            raise OSError(error, "GetExtendedTcpTable")
        (count,) = struct.unpack_from("<I", table)
        row = TCP_ROWS[family]
        for address, port, pid in row.iter_unpack(table.raw[4 : 4 + count * row.size]):
            yield address, socket.ntohs(port & 0xFFFF), pid

    def image(self, pid: int) -> str:
        """QueryFullProcessImageNameW: the path of a process's program."""
        path = ctypes.create_unicode_buffer(LONGEST_PATH)
        size = ctypes.c_uint32(LONGEST_PATH)
        with self._opened(pid, PROCESS_QUERY_LIMITED_INFORMATION) as process:
            self._check(
                self._kernel32.QueryFullProcessImageNameW(process, 0, path, ctypes.byref(size))
            )
        return path.value

    @contextmanager
    def _opened(self, pid: int, access: int) -> Iterator[ctypes.c_void_p]:
        handle = self._check(self._kernel32.OpenProcess(access, False, pid))
        try:
            yield ctypes.c_void_p(handle)
        finally:
            self.close(handle)

    @staticmethod
    def _check(result: Any) -> Any:
        if sys.platform == "win32" and not result:
            raise ctypes.WinError(ctypes.get_last_error())
        return result


def _library(name: str) -> Any:
    if sys.platform != "win32":
        raise OSError(f"{name} is a part of Windows")
    return ctypes.WinDLL(name, use_last_error=True)
