"""Processes on Windows: which there are, their marks, and what they print and read by pipes.

There is no terminal: `Console` has pipes, and nothing can be typed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_QUERY_AND_READ = 0x0410
_SYNCHRONIZE = 0x00100000
# Of 64-bit Windows: PEB.ProcessParameters, and in those Environment and EnvironmentSize.
_PARAMETERS, _ENVIRONMENT, _ENVIRONMENT_SIZE = 0x20, 0x80, 0x3F0
_MOST = 16384


def _kernel32() -> Any:
    assert sys.platform == "win32"
    kernel32 = ctypes.WinDLL("kernel32")
    kernel32.OpenProcess.restype = ctypes.c_void_p
    return kernel32


def _processes(kernel32: Any) -> list[int]:
    found, size = (ctypes.c_uint32 * _MOST)(), ctypes.c_uint32()
    kernel32.K32EnumProcesses(found, ctypes.sizeof(found), ctypes.byref(size))
    return found[: size.value // ctypes.sizeof(ctypes.c_uint32)]


def environments() -> Iterator[tuple[int, list[str]]]:
    """The living processes that we may look into, and `NAME=value` of each variable of theirs."""
    assert sys.platform == "win32"
    kernel32 = _kernel32()
    for pid in _processes(kernel32):
        handle = kernel32.OpenProcess(_QUERY_AND_READ | _SYNCHRONIZE, False, pid)
        if handle:
            handle = ctypes.c_void_p(handle)
            try:
                if kernel32.WaitForSingleObject(handle, 0) != 0:
                    yield pid, _environment(kernel32, handle)
            except OSError:
                pass  # it has just ended
            finally:
                kernel32.CloseHandle(handle)


def _environment(kernel32: Any, handle: ctypes.c_void_p) -> list[str]:
    def read(address: int, size: int = 8) -> bytes:
        data = ctypes.create_string_buffer(size)
        if not kernel32.ReadProcessMemory(handle, ctypes.c_void_p(address), data, size, None):
            raise ctypes.WinError()
        return data.raw

    def word(address: int) -> int:
        return int.from_bytes(read(address), "little")

    assert sys.platform == "win32"
    basic = (ctypes.c_size_t * 6)()  # PROCESS_BASIC_INFORMATION; the second is the PEB's address
    size = ctypes.c_ulong(ctypes.sizeof(basic))
    ctypes.WinDLL("ntdll").NtQueryInformationProcess(handle, 0, basic, size, None)
    parameters = word(basic[1] + _PARAMETERS)
    block = read(word(parameters + _ENVIRONMENT), word(parameters + _ENVIRONMENT_SIZE))
    return block.decode("utf-16-le", "replace").split("\0")


class _Entry(ctypes.Structure):
    """PROCESSENTRY32W."""

    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("size", "usage", "pid")),
        ("heap", ctypes.c_size_t),
        *((name, ctypes.c_uint32) for name in ("module", "threads", "parent", "base", "flags")),
        ("exe", ctypes.c_wchar * 260),
    )


def below(pid: int) -> set[int]:
    """The processes that this one, which may have ended, has started, and so on.

    Who is older has only the id of a parent that ended long ago, and whose id this one has now.
    """
    parents: dict[int, int] = {}
    if sys.platform == "win32":
        kernel32 = _kernel32()
        kernel32.CreateToolhelp32Snapshot.restype = ctypes.c_void_p
        snapshot = ctypes.c_void_p(kernel32.CreateToolhelp32Snapshot(2, 0))
        entry = _Entry(size=ctypes.sizeof(_Entry))
        is_found = kernel32.Process32FirstW(snapshot, ctypes.byref(entry))
        while is_found:
            parents[entry.pid] = entry.parent
            is_found = kernel32.Process32NextW(snapshot, ctypes.byref(entry))
        kernel32.CloseHandle(snapshot)
    found, size = {pid}, 0
    while len(found) > size:
        size = len(found)
        found |= {
            each
            for each, parent in parents.items()
            if parent in found and started(each) >= started(parent)
        }
    return found - {pid}


def started(pid: int) -> int:
    """When it was, in units of Windows; 0 of a process that is gone."""
    times = [ctypes.c_uint64() for _ in range(4)]
    if sys.platform == "win32":
        kernel32 = _kernel32()
        handle = ctypes.c_void_p(kernel32.OpenProcess(0x1000, False, pid))  # limited information
        kernel32.GetProcessTimes(handle, *map(ctypes.byref, times))
        kernel32.CloseHandle(handle)
    return times[0].value


def is_alive(pid: int) -> bool:
    """Whether the process has not ended."""
    kernel32 = _kernel32()
    handle = kernel32.OpenProcess(_SYNCHRONIZE, False, pid)
    if not handle:
        return False
    alive = kernel32.WaitForSingleObject(ctypes.c_void_p(handle), 0) != 0
    kernel32.CloseHandle(ctypes.c_void_p(handle))
    return alive


def start_on_socket(
    words: Sequence[str], **options: Any
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start a process; its stdin and stdout are the other end of the socket."""
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)
    ours, inner = socket.socketpair()
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    def write() -> None:
        with inner:
            with contextlib.suppress(OSError), stdin:
                while data := inner.recv(65536):
                    stdin.write(data)
                    stdin.flush()
            reader.join()

    def read() -> None:
        with contextlib.suppress(OSError), stdout:
            while data := os.read(stdout.fileno(), 65536):
                inner.sendall(data)
            inner.shutdown(socket.SHUT_WR)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    threading.Thread(target=write, daemon=True).start()
    return process, ours


class Console:
    """As `pty.Pty`, on pipes. `screen` is all that was printed so far."""

    def __init__(
        self, argv: Sequence[str], *, cwd: str | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        self.process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=env,
        )
        self.pid = self.process.pid
        self.screen = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stdout:
            while data := os.read(stdout.fileno(), 65536):
                self.screen += data.decode(errors="replace")

    def close(self) -> None:
        """End the command if it has not ended."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(10)
