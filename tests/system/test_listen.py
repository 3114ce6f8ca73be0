"""The app's socket and the debugger's: real ones, and each reason why one cannot be had."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from devlaunch.config import Config, Target, TargetKind
from devlaunch.errors import EX_FAILURE, EX_USAGE, DevlaunchError, UsageError
from devlaunch.system.listen import (
    AppSocket,
    bind_debug,
    bind_tcp,
    explain_bind_error,
    open_app_socket,
    resolve,
)

APP = Target(TargetKind.APP, "app:app")


@contextlib.contextmanager
def opened(**options: object) -> Iterator[AppSocket]:
    app = open_app_socket(Config(APP, **options))  # type: ignore[arg-type]
    try:
        yield app
    finally:
        app.close()


@contextlib.contextmanager
def occupied() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


def answers(app: AppSocket) -> bool:
    """Whether a connection reaches the backlog and is taken from there."""
    with socket.socket(app.socket.family, socket.SOCK_STREAM) as client:
        client.connect(app.socket.getsockname())
        peer, _ = app.socket.accept()
        peer.close()
    return True


@pytest.fixture
def short() -> Iterator[str]:
    """A directory whose path leaves room for a socket's name (108 bytes, unix(7))."""
    with tempfile.TemporaryDirectory(dir="/tmp") as path:
        yield path


# --- TCP ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_any_free_port(host: str) -> None:
    with opened(host=host, port=0) as app:
        port = app.socket.getsockname()[1]
        assert app.url == f"http://127.0.0.1:{port}"
        assert answers(app)
        assert not app.socket.get_inheritable()


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
@pytest.mark.parametrize("host", ["::1", "::"])
def test_ipv6(host: str) -> None:
    with opened(host=host, port=0) as app:
        assert app.url == f"http://[::1]:{app.socket.getsockname()[1]}"
        assert answers(app)


def test_the_port_can_be_bound_again_at_once() -> None:
    with opened(port=0) as app:
        port = app.socket.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        peer, _ = app.socket.accept()
        peer.close()  # this side is the one to enter TIME_WAIT
        client.close()
    with opened(port=port) as app:
        assert answers(app)


def test_a_port_in_use() -> None:
    with occupied() as port:
        with pytest.raises(DevlaunchError) as caught:
            bind_tcp("127.0.0.1", port)
        where = f"127.0.0.1:{port}"
        in_use = f"{where} is in use"
        assert caught.value.message.startswith(f"--port: {in_use} by ")
        assert caught.value.message.endswith(f" (pid {os.getpid()})")
        assert caught.value.exit_status == EX_FAILURE
        words = caught.value.hint.split()
        assert words[:3] == ["choose", "another:", "--port"]
        assert caught.value.hint.endswith("--port 0 (any free one)")
        bind_tcp("127.0.0.1", int(words[3].rstrip(","))).close()
        with pytest.raises(DevlaunchError, match="in use"):
            bind_tcp("0.0.0.0", port)
        with pytest.raises(DevlaunchError) as caught:
            bind_debug("127.0.0.1", port, allow_remote=False)
        assert caught.value.message.startswith(f"--debug-address: {in_use} by ")
        assert "--debug-address 127.0.0.1:0 (any free one)" in caught.value.hint


@pytest.mark.posix("SO_REUSEADDR")
def test_a_port_that_is_bound_but_does_not_listen_yet() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        ours = bind_tcp("127.0.0.1", port)
        with pytest.raises(OSError, match="in use"):
            other.listen()
        ours.close()


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 70, "1.2.3.4.5", "\udc80"])
def test_hosts_that_do_not_resolve(host: str) -> None:
    with pytest.raises(UsageError) as caught:
        bind_tcp(host, 0)
    assert caught.value.message.startswith(f"--host {host}: does not resolve (")
    assert caught.value.exit_status == EX_USAGE
    with pytest.raises(UsageError, match=r"--debug-address .*: does not resolve"):
        bind_debug(host, 0, allow_remote=True)


def test_an_address_of_another_machine() -> None:
    with pytest.raises(UsageError, match=r"--host 192\.0\.2\.1: is no address of this machine"):
        bind_tcp("192.0.2.1", 0)


@pytest.mark.parametrize(
    ("number", "port", "status", "message", "hint"),
    [
        (errno.EADDRINUSE, 5, EX_FAILURE, "--port: 127.1:5 is in use", "--port 0 (any free one)"),
        (errno.EACCES, 80, EX_USAGE, "--port: no permission to listen on 127.1:80", "--port 8080"),
        (errno.EACCES, 8000, EX_USAGE, "--port: no permission to listen on 127.1:8", "--port 0"),
        (errno.EADDRNOTAVAIL, 5, EX_USAGE, "--host 127.1: is no address of this", "0.0.0.0"),
        (errno.ENOSPC, 5, EX_FAILURE, "--port: cannot listen on 127.1:5: no space left", ""),
    ],
)
def test_explanations(number: int, port: int, status: int, message: str, hint: str) -> None:
    error = OSError(number, os.strerror(number))
    seen = explain_bind_error(error, "127.1", port, "--port")
    assert seen.message.startswith(message)
    assert hint in seen.hint
    assert ("privileged" in seen.hint) == (hint == "--port 8080" and sys.platform != "win32")
    assert seen.exit_status == status


# --- the debug address --------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost"])
def test_debug_on_loopback(host: str) -> None:
    with bind_debug(host, 0, allow_remote=False) as sock:
        assert sock.getsockname()[0].startswith("127.")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "0", "::ffff:192.0.2.1"])
def test_debug_elsewhere_is_refused(host: str) -> None:
    with pytest.raises(UsageError, match="other machines could reach it") as caught:
        bind_debug(host, 0, allow_remote=False)
    assert "--allow-remote-debug" in caught.value.hint
    assert caught.value.exit_status == EX_USAGE


def test_debug_elsewhere_when_allowed() -> None:
    with bind_debug("0.0.0.0", 0, allow_remote=True) as sock:
        assert sock.getsockname()[0] == "0.0.0.0"


def test_ipv4_comes_first() -> None:
    families = [family for family, _ in resolve("localhost", "--port")]
    assert families == sorted(families)
    assert families[0] == socket.AF_INET


# --- Unix domain sockets ------------------------------------------------------------------------


@pytest.mark.posix("socket files")
def test_a_socket_file_lives_as_long_as_its_socket(short: str) -> None:
    path = f"{short}/s"
    with opened(uds=path) as app:
        assert app.url == f"unix:{path}"
        assert answers(app)
    assert not os.path.exists(path)


@pytest.mark.posix("socket files")
def test_a_stale_socket_file_is_replaced_and_its_mode_kept(short: str) -> None:
    path = f"{short}/s"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(path)
        old.listen()
    os.chmod(path, 0o640)
    with opened(uds=path) as app:
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o640
        assert answers(app)


@pytest.mark.posix("socket files")
@pytest.mark.parametrize("backlog", [0, 5])
def test_a_socket_file_on_which_somebody_answers_is_left_alone(short: str, backlog: int) -> None:
    path = f"{short}/s"
    with contextlib.ExitStack() as stack:
        other = stack.enter_context(socket.socket(socket.AF_UNIX))
        other.bind(path)
        other.listen(backlog)
        if not backlog:  # full: connections beyond it are put off
            for _ in range(3):
                client = stack.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    client.connect(path)
        with pytest.raises(DevlaunchError, match="is in use by another process") as caught:
            open_app_socket(Config(APP, uds=path))
        assert caught.value.exit_status == EX_FAILURE
        assert os.path.exists(path)


@pytest.mark.posix("socket files")
def test_a_file_that_took_our_place_is_not_removed(short: str) -> None:
    path = f"{short}/s"
    with opened(uds=path):
        # Not unlinked first, so that its inode number cannot be given to the new file.
        os.rename(path, f"{short}/old")
        Path(path).touch()
    assert os.path.exists(path)


@pytest.mark.posix("socket files")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("file", "exists and is no socket"),
        ("file/s", "not a directory"),
        ("no/s", "no such file or directory"),
        ("x" * 120, "path too long"),
    ],
)
def test_paths_that_cannot_be_used(short: str, name: str, message: str) -> None:
    Path(short, "file").write_text("mine")
    with pytest.raises(UsageError, match=message):
        open_app_socket(Config(APP, uds=f"{short}/{name}"))
    assert Path(short, "file").read_text() == "mine"


# --- inherited sockets --------------------------------------------------------------------------


@pytest.mark.posix("--fd")
def test_an_inherited_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with opened(fd=server.fileno()) as app:
            assert app.url == f"http://127.0.0.1:{server.getsockname()[1]}"
            assert answers(app)
        assert server.fileno() >= 0
        server.getsockname()  # still open


@pytest.mark.posix("--fd")
def test_descriptors_that_will_not_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--fd 9999: is not open"):
        open_app_socket(Config(APP, fd=9999))
    with (tmp_path / "x").open("w") as file, pytest.raises(UsageError, match="is no socket"):
        open_app_socket(Config(APP, fd=file.fileno()))
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(type=kind) as sock, pytest.raises(UsageError, match="does not listen"):
            open_app_socket(Config(APP, fd=sock.fileno()))
