"""`devlaunch adapter`: its words, and what it prints."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Container, Sequence

from devlaunch.adapter.attributes import schema
from devlaunch.errors import UsageError
from devlaunch.system.listen import bind_debug, format_address
from devlaunch.target.converters import BadValue, nearest, to_address
from devlaunch.terminal.stdout import print_text

HELP = """\
Usage: devlaunch adapter [OPTIONS]

  Speak the Debug Adapter Protocol with an editor: it launches an app, which restarts when you save
  under one debug session, or attaches to a running devlaunch --debug-attach.

  Without options one editor is served on stdin and stdout, as most of them start an adapter.

Options:
      --listen HOST:PORT          Serve on TCP instead, every editor that connects; port 0: any
                                  free one. The address is printed.
      --allow-remote-debug        Allow an address that other machines can reach.
      --schema                    Print the JSON schema of the launch and attach attributes.
  -h, --help                      Show this text.
"""
TYPED = """\
devlaunch: waiting for an editor on stdin; --listen HOST:PORT serves on TCP; Ctrl-C ends
"""
_FLAGS = ("--listen", "--allow-remote-debug", "--schema", "--help")


def schema_text() -> str:
    """The JSON schema, as it is printed and kept in editors/attributes.schema.json."""
    return json.dumps(schema(), indent=2) + "\n"


def main(words: Sequence[str]) -> int:
    """Run `devlaunch adapter` with these words. Raises DevlaunchError."""
    given = _parse(words)
    if "--help" in given:
        print_text(HELP)
    elif "--schema" in given:
        print_text(schema_text())
    elif "--listen" in given:
        _listen(given["--listen"], allow_remote="--allow-remote-debug" in given)
    else:
        from devlaunch.adapter.server import serve_stdio

        if os.isatty(0):
            sys.stderr.write(TYPED)
        return serve_stdio()
    return 0


def _listen(text: str, *, allow_remote: bool) -> None:
    from devlaunch.adapter.server import serve_socket

    try:
        host, port = to_address(text)
    except BadValue as error:
        raise UsageError(
            f"--listen: expected {error.expected}, not {text!r}", hint=error.hint
        ) from None
    listener = bind_debug(host, port, allow_remote=allow_remote, option="--listen")
    print_text(f"listening on {format_address(*listener.getsockname()[:2])}\n")
    serve_socket(listener)


def _parse(words: Sequence[str]) -> dict[str, str]:
    """The flags, and the value of `--listen`."""
    given: dict[str, str] = {}
    rest = list(words)
    while rest:
        flag, equals, value = rest.pop(0).partition("=")
        flag = "--help" if flag == "-h" else flag
        if flag not in _FLAGS:
            close = nearest(flag, _FLAGS)
            raise UsageError(
                f"devlaunch adapter: unexpected {flag}",
                hint=f"did you mean {close}?" if close else "devlaunch adapter --help shows how",
            )
        if equals and flag != "--listen":
            raise UsageError(f"{flag} takes no value", hint="devlaunch adapter --help shows how")
        if flag == "--listen" and not equals:
            if not rest:
                raise UsageError("--listen: expected HOST:PORT", hint="such as 127.0.0.1:5679")
            value = rest.pop(0)
        given[flag] = value
    _check_together(given)
    return given


def _check_together(given: Container[str]) -> None:
    if "--help" in given:
        return
    if "--allow-remote-debug" in given and "--listen" not in given:
        raise UsageError(
            "--allow-remote-debug does nothing without --listen", hint="add --listen HOST:PORT"
        )
    if "--schema" in given and "--listen" in given:
        raise UsageError("--schema and --listen exclude each other", hint="give only one of them")
