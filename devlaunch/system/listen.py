"""Listening sockets: the app's, bound once for all generations, and the debugger's.

Bound by the launcher and handed down, the app's socket never closes during a reload: connections
wait in its backlog. On POSIX it has SO_REUSEADDR, on Windows SO_EXCLUSIVEADDRUSE: there the former
lets two programs listen on one port, and who sets it (uvicorn, `http.server`) could take ours over.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import sys
from dataclasses import dataclass
from typing import Any

from devlaunch.config import Config
from devlaunch.errors import EX_FAILURE, AddressInUseError, DevlaunchError, UsageError
from devlaunch.system.spare import reason_of

BACKLOG = 2048

_BINDING = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)
_UNIX: Any = getattr(socket, "AF_UNIX", None)

_Address = tuple[int, str]
"""An address family and a numeric address."""


@dataclass(slots=True)
class AppSocket:
    """The app's listening socket; `url` is how people reach it. `close` it at the very end."""

    socket: socket.socket
    url: str
    _file: tuple[str, os.stat_result] | None = None

    def close(self) -> None:
        """Close, and remove the socket file unless another process has replaced it."""
        self.socket.close()
        if self._file is not None:
            path, made = self._file
            with contextlib.suppress(OSError):
                if os.path.samestat(os.lstat(path), made):
                    os.unlink(path)
            self._file = None


def open_app_socket(config: Config) -> AppSocket:
    """Bind (or adopt, for `--fd`) the socket that `config` asks for, and listen.

    Raises DevlaunchError when the port or path is in use, UsageError for what can never work.
    """
    if config.fd is not None:
        sock = adopt(config.fd)
        return AppSocket(sock, url_of(sock))
    if config.uds is not None:
        sock = bind_unix(config.uds)
        return AppSocket(sock, url_of(sock), (config.uds, os.lstat(config.uds)))
    sock = bind_tcp(config.host, config.port)
    return AppSocket(sock, url_of(sock))


def url_of(sock: socket.socket) -> str:
    """What to open in a browser; a wildcard address becomes the loopback one."""
    if sock.family == _UNIX:
        return f"unix:{os.fsdecode(sock.getsockname())}"
    host, port = sock.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{format_address(host, port)}"


def format_address(host: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


# --- TCP ----------------------------------------------------------------------------------------


def bind_tcp(host: str, port: int) -> socket.socket:
    """The app's listening socket, on the first of the host's addresses that this machine has.

    Raises as `open_app_socket`.
    """
    return _bind_addresses(resolve(host, "--port"), host, port, "--port")


def bind_debug(
    host: str, port: int, *, allow_remote: bool, option: str = "--debug-address"
) -> socket.socket:
    """The debugger's listening socket, on loopback only unless `allow_remote`.

    Raises UsageError for a host that other machines may reach (also when only one of its addresses
    is such), else as `open_app_socket`.
    """
    from ipaddress import ip_address  # loading it takes a while

    addresses = resolve(host, option)
    remote = [address for _, address in addresses if not ip_address(address).is_loopback]
    if remote and not allow_remote:
        seen = host if host in remote else f"{host} ({remote[0]})"
        number = port or "PORT"
        raise UsageError(
            f"{option} {seen}: other machines could reach it and run any code here",
            hint=f"use 127.0.0.1 (over ssh: ssh -L {number}:127.0.0.1:{number} …), "
            "or add --allow-remote-debug",
        )
    return _bind_addresses(addresses, host, port, option)


def resolve(host: str, option: str) -> list[_Address]:
    """The host's addresses, IPv4 before IPv6, since that is what clients of a name try.

    Raises UsageError when it has none.
    """
    try:
        infos = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else "not a name"
        raise UsageError(
            f"{_host_option(option)} {host}: does not resolve ({reason})",
            hint="use 127.0.0.1, or an address or name of this machine",
        ) from None
    found = {(int(family), str(address[0])): None for family, _, _, _, address in infos}
    return sorted(found, key=lambda item: item[0] != socket.AF_INET)


def _host_option(option: str) -> str:
    return "--host" if option == "--port" else option


def _bind_addresses(addresses: list[_Address], host: str, port: int, option: str) -> socket.socket:
    failure = OSError()
    for family, address in addresses:
        try:
            return _listen(family, (address, port))
        except OSError as error:
            failure = error
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                break
    raise explain_bind_error(failure, host, port, option) from None


def _listen(family: int, address: Any, mode: int | None = None) -> socket.socket:
    """A socket that listens; `mode` is for its file."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family != _UNIX:
            sock.setsockopt(socket.SOL_SOCKET, _BINDING, 1)
        sock.bind(address)
        if mode is not None:
            os.chmod(address, mode)
        # Linux reports a port in use here when the other one bound it with SO_REUSEADDR too.
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def explain_bind_error(error: OSError, host: str, port: int, option: str) -> DevlaunchError:
    """The error to raise for what bind(2) or listen(2) said about `option`'s host and port."""
    where = format_address(host, port)
    match error.errno:
        case errno.EADDRINUSE:
            from devlaunch.system.process import listening_process

            by = listening_process(host, port)
            return AddressInUseError(
                f"{option}: {where} is in use" + (f" by {by}" if by else ""),
                hint=_other_port(host, port, option),
                exit_status=EX_FAILURE,
            )
        case errno.EACCES | errno.EPERM:
            other = _option_with(option, host, port + 8000 if port < 1024 else 0)
            return UsageError(
                f"{option}: no permission to listen on {where}",
                hint=f"{_why_refused(port)}use {other}",
            )
        case errno.EADDRNOTAVAIL | errno.EAFNOSUPPORT:
            return UsageError(
                f"{_host_option(option)} {host}: is no address of this machine",
                hint="use 127.0.0.1, or 0.0.0.0 for every address",
            )
        case _:
            return DevlaunchError(f"{option}: cannot listen on {where}: {reason_of(error)}")


def _why_refused(port: int) -> str:
    if sys.platform == "win32":
        command = "netsh interface ipv4 show excludedportrange protocol=tcp"
        return f"Windows may have reserved it: `{command}` lists such ports; "
    return "ports below 1024 are privileged; " if port < 1024 else ""


def _other_port(host: str, port: int, option: str) -> str:
    free = _option_with(option, host, 0)
    for candidate in range(port + 1, min(port + 21, 65536)):
        with contextlib.suppress(OSError, UsageError):
            family, address = resolve(host, option)[0]
            _listen(family, (address, candidate)).close()
            return (
                f"choose another: {_option_with(option, host, candidate)}, or {free} (any free one)"
            )
    return f"choose another: {free} (any free one)"


def _option_with(option: str, host: str, port: int) -> str:
    return f"{option} {port if option == '--port' else format_address(host, port)}"


# --- Unix domain sockets and inherited ones -----------------------------------------------------


def bind_unix(path: str) -> socket.socket:
    """A listening Unix domain socket. A file left behind by another run is replaced, mode kept.

    Raises DevlaunchError when somebody answers there, UsageError when the path cannot be used.
    """
    if _UNIX is None:
        raise UsageError("--uds: Python has no Unix domain sockets here", hint="use --port")
    try:
        return _listen(_UNIX, path, _clear_stale(path))
    except OSError as error:
        # "AF_UNIX path too long" has no errno.
        raise UsageError(f"--uds {path}: {reason_of(error)}") from None


def _clear_stale(path: str) -> int | None:
    """Remove a socket file on which nobody answers, and return its mode; None without one."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISSOCK(mode):
        raise UsageError(
            f"--uds {path}: exists and is no socket", hint="remove it, or choose another path"
        )
    if _answers(path):
        raise DevlaunchError(
            f"--uds {path}: is in use by another process",
            hint="stop it, or choose another path",
        )
    os.unlink(path)
    return stat.S_IMODE(mode)


def _answers(path: str) -> bool:
    with socket.socket(_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
        except BlockingIOError:
            pass  # its backlog is full: somebody is there
    return True


def adopt(fd: int) -> socket.socket:
    """The listening socket that was inherited as `fd`, duplicated. Raises UsageError."""
    if sys.platform == "win32":
        raise UsageError("--fd: no descriptor is a socket here", hint="use --port")
    hint = "pass a socket that is bound and listening (systemd's first one is --fd 3)"
    try:
        copy = os.dup(fd)
    except OSError:
        raise UsageError(f"--fd {fd}: is not open", hint=hint) from None
    try:
        sock = socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise UsageError(f"--fd {fd}: is no socket", hint=hint) from None
    is_listening = sock.type == socket.SOCK_STREAM and sock.getsockopt(
        socket.SOL_SOCKET, socket.SO_ACCEPTCONN
    )
    if not is_listening:
        sock.close()
        raise UsageError(f"--fd {fd}: is a socket, but does not listen", hint=hint)
    return sock
