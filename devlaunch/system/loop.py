"""The launcher's event loop: the one owner of all state.

Helper threads and signal handlers only enqueue and wake; everything else happens here, one event
after the other, so that no component needs a lock.
"""

from __future__ import annotations

import errno
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from types import FrameType
from typing import TYPE_CHECKING, Self

from devlaunch.events import DeadlineReached, LogLine, SignalReceived
from devlaunch.system.spare import most_files, shortage, socket_pair

if TYPE_CHECKING:
    from _typeshed import HasFileno

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGBREAK", "SIGTSTP", "SIGWINCH")
"""Besides SIGCHLD. Which of them are ignored, as nohup(1) has it for SIGHUP, stay so."""


def signals_to_catch() -> list[int]:
    """Those that mean something to a run, for `Loop.catch_signals`."""
    found = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    heard = [signum for signum in found if signal.getsignal(signum) is not signal.SIG_IGN]
    return heard + ([signal.SIGCHLD] if hasattr(signal, "SIGCHLD") else [])


Callback = Callable[[], None]

REST_SECONDS = 0.5
"""How long nobody is accepted after there was no descriptor for one."""


class Loop:
    """A selector, an inbox and deadlines.

    `post` may be called from any thread; every other method only from the thread that runs.
    """

    def __init__(self, wakeup: tuple[socket.socket, socket.socket] | None = None) -> None:
        """`wakeup` are the connected sockets, reader first, that `post` wakes the loop by."""
        self._selector = selectors.DefaultSelector()
        self._inbox: deque[object] = deque()
        self._callbacks: dict[int, tuple[Callback | None, Callback | None]] = {}
        self._wake_reader, self._wake_writer = wakeup or socket_pair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        self._previous_handlers: dict[int, object] = {}
        self._previous_wakeup_fd: int | None = None
        self._running = False
        self._wakeup_pending = False
        self._forgotten: dict[int, int] = {}
        self._resting: list[tuple[float, socket.socket, Callback | None]] = []
        self._has_refused = False
        self.watch(self._wake_reader, readable=self._drain_wakeups)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def post(self, event: object) -> None:
        """Enqueue an event and wake the loop. Safe from any thread."""
        self._inbox.append(event)
        # One byte is enough: with more, signals would find the socket full and be lost.
        if self._wakeup_pending:
            return
        self._wakeup_pending = True
        try:
            self._wake_writer.send(b"\0")
        except OSError:
            # Full: a wakeup is pending anyway. Closed: nobody is left to wake. No memory: the next
            # post tries again.
            self._wakeup_pending = False

    def watch(
        self,
        fileobj: HasFileno,
        *,
        readable: Callback | None = None,
        writable: Callback | None = None,
    ) -> None:
        """Call back when `fileobj` is ready; replaces what was watched on it before."""
        fd = fileobj.fileno()
        mask = (selectors.EVENT_READ if readable else 0) | (
            selectors.EVENT_WRITE if writable else 0
        )
        if not mask:
            self.unwatch(fileobj)
            return
        if fd in self._callbacks:
            self._selector.modify(fd, mask)
        else:
            self._selector.register(fd, mask)
        self._callbacks[fd] = (readable, writable)

    def unwatch(self, fileobj: HasFileno) -> None:
        """Stop watching; call it before the file is closed. Unknown files are ignored."""
        fd = fileobj.fileno()
        if self._callbacks.pop(fd, None) is not None:
            self._selector.unregister(fd)

    def accept(self, listener: socket.socket, spare: int) -> socket.socket | None:
        """A connection to a listener that is watched; None when there is none to have.

        So many descriptors are left for the run itself: a reload needs some, and strangers may hold
        all others. Where there is no descriptor at all the connection stays where it is, and would
        have the listener ready all the time: it rests for a moment.
        """
        try:
            sock, _ = listener.accept()
        except OSError as error:
            if shortage(error) and not isinstance(error, BlockingIOError):
                until = time.monotonic() + REST_SECONDS
                self._resting.append((until, listener, self._callbacks[listener.fileno()][0]))
                self.unwatch(listener)
                self._refuse(error)
            return None
        most = most_files()
        if most is None or sock.fileno() < most - spare:
            return sock
        sock.close()
        self._refuse(OSError(errno.EMFILE, ""))
        return None

    def catch_signals(self, signals: Iterable[int]) -> None:
        """Turn these signals into `SignalReceived` events, until `close`.

        Only in the main thread, as signal(7) handlers of Python demand (ValueError elsewhere).
        """
        self._previous_wakeup_fd = signal.set_wakeup_fd(
            self._wake_writer.fileno(), warn_on_full_buffer=False
        )
        for signum in signals:
            self._previous_handlers[signum] = signal.signal(signum, _ignore)

    def forget(self, signum: int) -> None:
        """Hand out none of this signal that was caught until now. Only in the loop's thread."""
        self._drain_wakeups()
        self._forgotten[signum] = list(self._inbox).count(SignalReceived(signum))

    def run(self, handle: Callable[[object], None], deadline: Callable[[], float | None]) -> None:
        """Hand events to `handle` until `stop`; `DeadlineReached` when `deadline()` has passed.

        Times are `time.monotonic()` seconds.
        """
        self._running = True
        while self._running:
            self._poll(deadline())
            # What these bring about has to wait its turn, so that sockets and deadlines get theirs.
            for _ in range(len(self._inbox)):
                if self._running and not self._is_forgotten(event := self._inbox.popleft()):
                    handle(event)
            due = deadline()
            if self._running and due is not None and due <= time.monotonic():
                handle(DeadlineReached())

    def stop(self) -> None:
        """Make `run` return after the current event."""
        self._running = False

    def close(self) -> None:
        """Give signals back and close; the loop cannot be used again."""
        if self._previous_wakeup_fd is not None:
            for signum, handler in self._previous_handlers.items():
                signal.signal(signum, handler)  # type: ignore[arg-type]
            signal.set_wakeup_fd(self._previous_wakeup_fd)
            self._previous_wakeup_fd = None
        self._selector.close()
        self._wake_reader.close()
        self._wake_writer.close()

    def _refuse(self, error: OSError) -> None:
        if not self._has_refused:
            self._has_refused = True
            self.post(LogLine(f"connections are refused: {shortage(error)}"))

    def _wake_resting(self) -> float | None:
        """Watch those again that have rested; returns when the next one has."""
        resting, self._resting = self._resting, []
        for each in resting:
            until, listener, readable = each
            if until > time.monotonic():
                self._resting.append(each)
            elif listener.fileno() != -1:  # not closed meanwhile
                self.watch(listener, readable=readable)
        return min((until for until, *_ in self._resting), default=None)

    def _poll(self, due: float | None) -> None:
        if self._resting and (rested := self._wake_resting()) is not None:
            due = rested if due is None else min(due, rested)
        timeout = 0.0 if self._inbox else None
        if due is not None and timeout is None:
            # epoll_wait(2) takes at most 24 days.
            timeout = min(max(0.0, due - time.monotonic()), 3600.0)
        for key, mask in self._selector.select(timeout):
            readable, writable = self._callbacks.get(key.fd, (None, None))
            if mask & selectors.EVENT_READ and readable:
                readable()
            # The first callback may have unwatched the file.
            if mask & selectors.EVENT_WRITE and writable and key.fd in self._callbacks:
                writable()

    def _is_forgotten(self, event: object) -> bool:
        if not isinstance(event, SignalReceived) or not self._forgotten.get(event.signal):
            return False
        self._forgotten[event.signal] -= 1
        return True

    def _drain_wakeups(self) -> None:
        # Read first, then clear the flag; the inbox is looked at after both. A post that comes
        # - before the read: its byte is read, its event is in the inbox;
        # - between the two: its event is in the inbox, and it may leave the byte out;
        # - after both, or (its flag set, its byte not sent) around both: its byte wakes the loop.
        # The other way round the byte of a post in between is read and its flag stays: no later
        # post would wake the loop.
        try:
            data = self._wake_reader.recv(4096)
        except OSError:  # empty, or no memory
            data = b""
        self._wakeup_pending = False
        # signal.set_wakeup_fd writes the number of each signal that has a handler in Python as one
        # byte: those of the caller's own are none of ours. 0 is `post`'s.
        self._inbox.extend(SignalReceived(byte) for byte in data if byte in self._previous_handlers)


def _ignore(signum: int, frame: FrameType | None) -> None:
    """Exist, so that the wakeup fd is written to; do nothing else."""
