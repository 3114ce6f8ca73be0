"""What the machine has to spare: time without work, memory, descriptors; and when it has none left.

Times and memory are known on Linux, else a guess. And pairs of sockets as it has them.
"""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from devlaunch.errors import DevlaunchError, UsageError
from devlaunch.system.seam import here

ASSUMED_MEMORY = 4 << 30
"""Bytes, where nobody says how much is available."""


def idle_time(root: str = "/") -> float | None:
    """Seconds in which cores had no work, of all together, since the machine started.

    None where that is not known. proc_stat(5); `root` is where /proc is.
    """
    try:
        return int(_read(root, "proc/stat").split()[4]) / 100  # USER_HZ
    except OSError:
        return None


def available_memory(root: str = "/") -> int:
    """Bytes that processes can still get: of the machine, and of the control group that we are in.

    `root` is where /proc and /sys are.
    """
    return max(0, min([*_of_machine(root), *_of_control_groups(root)], default=ASSUMED_MEMORY))


def _of_machine(root: str) -> Iterator[int]:
    """MemAvailable; proc_meminfo(5)."""
    with suppress(OSError):
        found = re.search(r"^MemAvailable: +(\d+) kB", _read(root, "proc/meminfo"), re.MULTILINE)
        if found:
            yield int(found[1]) * 1024


_CONTROL_GROUPS = {
    "": ("sys/fs/cgroup", "memory.max", "memory.current"),
    "memory": ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
}
"""By controllers: where the groups are, limit and usage; cgroups(7), versions 2 and 1."""


def _of_control_groups(root: str) -> Iterator[int]:
    """What each limit on the way up leaves."""
    lines: list[str] = []
    with suppress(OSError):
        lines = _read(root, "proc/self/cgroup").splitlines()
    for _, controllers, path in (line.split(":", 2) for line in lines):
        base, limit, usage = _CONTROL_GROUPS.get(controllers, ("", "", ""))
        parts = [part for part in path.split("/") if part]
        for length in range(len(parts), -1, -1) if base else ():
            directory = os.path.join(root, base, *parts[:length])
            with suppress(OSError, ValueError):  # `max`: no limit
                most, used = int(_read(directory, limit)), int(_read(directory, usage))
                yield most - used + _reclaimable(directory)


def _reclaimable(directory: str) -> int:
    """The part of a group's usage that is cached files, which make room when it is needed."""
    found = re.search(r"^inactive_file (\d+)", _read(directory, "memory.stat"), re.MULTILINE)
    return int(found[1]) if found else 0


def _read(*parts: str) -> str:
    with open(os.path.join(*parts)) as file:
        return file.read()


def working_directory() -> str:
    """The current directory. Raises UsageError when it has been removed."""
    try:
        return os.getcwd()
    except OSError:
        raise UsageError(
            "the current directory does not exist any more", hint="change to another one"
        ) from None


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets that deliver each message at once. Raises OSError.

    Where they are of TCP, as on Windows, the second of two would wait for the first one's ACK, up
    to 200 ms.
    """
    pair = socket.socketpair()
    for each in pair if pair[0].family == socket.AF_INET else ():
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return pair


def most_files() -> int | None:
    """How many files this process may have open, the standard ones included; None: no limit."""
    most = os.sysconf("SC_OPEN_MAX") if hasattr(os, "sysconf") else -1
    return most if most > 0 else None


def reason_of(error: OSError) -> str:
    """What went wrong, to be put after a colon: in the words of POSIX, where it has some."""
    # What does not resolve has numbers of its own.
    number = None if isinstance(error, socket.gaierror) else here.posix_errno(error)
    return (os.strerror(number) if number else error.strerror or str(error)).lower()


@contextmanager
def shortages() -> Iterator[None]:
    """Make a DevlaunchError of what the system says when something has run out."""
    try:
        yield
    except (OSError, MemoryError, RuntimeError) as error:
        found = shortage(error)
        if found is None:
            raise
        raise found from None


def shortage(error: BaseException) -> DevlaunchError | None:
    """The error to show for one that says that something has run out; None for any other."""
    match error:
        case OSError(errno=errno.EMFILE):
            return DevlaunchError(
                f"too many open files: this process may have {most_files()} (ulimit -n)",
                hint="raise the limit: ulimit -n 1024",
            )
        case OSError(errno=errno.ENFILE):
            return DevlaunchError("too many open files on this machine (fs.file-max)")
        case OSError(errno=errno.ENOMEM | errno.ENOBUFS) | MemoryError():
            return DevlaunchError("out of memory (see also: ulimit -v)")
        case RuntimeError(args=("can't start new thread",)) | OSError(errno=errno.EAGAIN):
            return DevlaunchError("no more processes or threads (see ulimit -u, ulimit -v)")
    return None
