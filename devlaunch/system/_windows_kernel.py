"""The calls of kernel32 and ntdll that jobs are made of; tests have a fake in their place."""

from __future__ import annotations

import ctypes
import sys
from typing import Any, Protocol

JOB_OBJECT_BASIC_PROCESS_ID_LIST = 3
JOB_OBJECT_EXTENDED_LIMIT_INFORMATION = 9
PROCESS_ALL_ACCESS = 0x001FFFFF
MOST_MEMBERS = 4096
JOB_OBJECT_LIMIT_BREAKAWAY_OK = 0x00000800
JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE = 0x00002000


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


class ProcessIds(ctypes.Structure):
    """JOBOBJECT_BASIC_PROCESS_ID_LIST."""

    _fields_ = (
        ("NumberOfAssignedProcesses", ctypes.c_uint32),
        ("NumberOfProcessIdsInList", ctypes.c_uint32),
        ("ProcessIdList", ctypes.c_size_t * MOST_MEMBERS),
    )


class Kernel(Protocol):
    """The calls that are needed of kernel32 and ntdll; each raises OSError when it fails."""

    def create_job(self, flags: int) -> int:
        """CreateJobObjectW and `limit`; the job's handle."""

    def limit(self, job: int, flags: int) -> None:
        """SetInformationJobObject."""

    def members(self, job: int) -> set[int]:
        """QueryInformationJobObject: the ids of the processes that live."""

    def assign(self, job: int, pid: int) -> None:
        """AssignProcessToJobObject."""

    def resume(self, pid: int) -> None:
        """NtResumeProcess."""

    def terminate_job(self, job: int, status: int) -> None:
        """TerminateJobObject."""

    def close(self, handle: int) -> None:
        """CloseHandle."""


def _library(name: str) -> Any:
    if sys.platform != "win32":
        raise OSError(f"{name} is a part of Windows")
    return ctypes.WinDLL(name, use_last_error=True)


class Kernel32:
    """The real one, with the libraries of the system unless others are given."""

    def __init__(self, kernel32: Any = None, ntdll: Any = None) -> None:
        self._kernel32: Any = kernel32 or _library("kernel32")
        self._ntdll: Any = ntdll or _library("ntdll")
        # Handles are pointers: ctypes would cut them to 32 bits.
        self._kernel32.CreateJobObjectW.restype = ctypes.c_void_p
        self._kernel32.OpenProcess.restype = ctypes.c_void_p

    def create_job(self, flags: int) -> int:
        """A new job with these limits."""
        job = int(self._check(self._kernel32.CreateJobObjectW(None, None)))
        self.limit(job, flags)
        return job

    def limit(self, job: int, flags: int) -> None:
        """Set the limits of a job, in place of those that it has."""
        limits = ExtendedLimits()
        limits.BasicLimitInformation.LimitFlags = flags
        self._check(
            self._kernel32.SetInformationJobObject(
                ctypes.c_void_p(job),
                JOB_OBJECT_EXTENDED_LIMIT_INFORMATION,
                ctypes.byref(limits),
                ctypes.sizeof(limits),
            )
        )

    def members(self, job: int) -> set[int]:
        """Who lives in the job, or in one that is nested in it; of very many only some."""
        ids = ProcessIds()
        is_all = self._kernel32.QueryInformationJobObject(
            ctypes.c_void_p(job),
            JOB_OBJECT_BASIC_PROCESS_ID_LIST,
            ctypes.byref(ids),
            ctypes.sizeof(ids),
            None,
        )
        if not ids.NumberOfProcessIdsInList:  # else it is ERROR_MORE_DATA
            self._check(is_all)
        return set(ids.ProcessIdList[: ids.NumberOfProcessIdsInList])

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
