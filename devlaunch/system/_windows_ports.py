"""Which process listens on a TCP port, on Windows.

Written from Microsoft's documentation ("GetExtendedTcpTable", "QueryFullProcessImageNameW"); what
netstat prints is translated, and has no process ids under wine.
"""

from __future__ import annotations

import ctypes
import ntpath
import socket
import struct
import sys
from typing import Any, Protocol

TCP_TABLE_OWNER_PID_LISTENER = 3
ERROR_INSUFFICIENT_BUFFER = 122
PROCESS_QUERY_LIMITED_INFORMATION = 0x1000
LONGEST_PATH = 32768

_ROWS = {
    socket.AF_INET: struct.Struct("<4x4sI8xI"),  # MIB_TCPROW_OWNER_PID
    socket.AF_INET6: struct.Struct("<16s4xI28xI"),  # MIB_TCP6ROW_OWNER_PID
}
"""Of each row the local address, the local port, and who owns it."""


class System(Protocol):
    """The calls that are needed of iphlpapi and kernel32; each raises OSError when it fails."""

    def listeners(self, family: int) -> bytes:
        """GetExtendedTcpTable: a number of rows, and the rows."""

    def image(self, pid: int) -> str:
        """QueryFullProcessImageNameW."""


class Windows:
    """The real one."""

    def __init__(self) -> None:
        if sys.platform != "win32":
            raise OSError("iphlpapi is a part of Windows")
        self._iphlpapi: Any = ctypes.WinDLL("iphlpapi")
        self._kernel32: Any = ctypes.WinDLL("kernel32")
        self._kernel32.OpenProcess.restype = ctypes.c_void_p

    def listeners(self, family: int) -> bytes:
        """The table of an address family."""
        size = ctypes.c_uint32()
        while True:  # it may grow between two calls
            table = ctypes.create_string_buffer(size.value)
            error = self._iphlpapi.GetExtendedTcpTable(
                table, ctypes.byref(size), False, family, TCP_TABLE_OWNER_PID_LISTENER, 0
            )
            if error != ERROR_INSUFFICIENT_BUFFER:
                break
        if error:
            raise OSError(error, "GetExtendedTcpTable")
        return table.raw

    def image(self, pid: int) -> str:
        """The path of a process's program."""
        process = self._kernel32.OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, False, pid)
        if not process:
            raise OSError(f"process {pid} cannot be opened")
        handle = ctypes.c_void_p(process)
        path = ctypes.create_unicode_buffer(LONGEST_PATH)
        size = ctypes.c_uint32(LONGEST_PATH)
        try:
            if not self._kernel32.QueryFullProcessImageNameW(handle, 0, path, ctypes.byref(size)):
                raise OSError(f"process {pid} has no name")
        finally:
            self._kernel32.CloseHandle(handle)
        return path.value


def listening_process(host: str, port: int, system: System | None = None) -> str | None:
    """`name (pid N)` of the process that listens there; see `process.listening_process`."""
    try:
        system = system or Windows()
        pid = _owner(system, host, port)
    except OSError:
        return None
    if pid is None:
        return None
    try:
        name = ntpath.basename(system.image(pid))
    except OSError:  # the system's own, or another user's
        name = "unknown"
    return f"{name} (pid {pid})"


def _owner(system: System, host: str, port: int) -> int | None:
    for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if (row := _ROWS.get(family)) is None:
            continue
        asked = socket.inet_pton(family, str(address[0]).partition("%")[0])
        every = bytes(len(asked))
        table = system.listeners(family)
        (count,) = struct.unpack_from("<I", table)
        for bound, number, pid in row.iter_unpack(table[4 : 4 + count * row.size]):
            if socket.ntohs(number & 0xFFFF) == port and (
                bound == asked or every in (bound, asked)
            ):
                return int(pid)
    return None
