"""Being the debuggee of an IDE's own debug adapter: what that adapter asks besides DAP. Pure.

debugpy's adapter takes a connection to its inner port for one of a process under pydevd: it wants
to see a token, then asks for process ids, and tells the IDE if the parent is being debugged
(`Connection.__init__` in debugpy/adapter/servers.py). An IDE's session on such a connection begins
with the token again, and `attach` has to be answered at once.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field, replace

from devlaunch.dap.messages import arguments_of
from devlaunch.events import Message

NOT_ADOPTED = "the editor opens no debug session for the app"
ENDED = "the editor's debug session has ended"

_STAND_IN = {"adapterID": "debugpy"}
"""What the adapter's own `initialize` says, by which it lets a process run that no IDE wants."""

_LAUNCHES = ("program", "module", "code")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who we say we are, and the tokens by which both sides know each other.

    `pid` is what the IDE attaches to, `ppid` the process that it debugs already. `access_token` is
    what the adapter has to know, if anything, and `client_access_token` what we have to know.
    """

    pid: int
    ppid: int
    access_token: str | None = field(default=None, repr=False)
    client_access_token: str | None = field(default=None, repr=False)

    def of(self, pid: int) -> Identity:
        """That of one of our processes, for a connection of its own."""
        return self if pid == self.pid else replace(self, pid=pid, ppid=self.pid)

    def authorize(self, request: Message) -> Message | None:
        """The body of the answer to `pydevdAuthorize`; None when the adapter is a stranger."""
        if self.access_token is not None:
            shown = str(arguments_of(request).get("debugServerAccessToken"))
            if not hmac.compare_digest(_bytes(shown), _bytes(self.access_token)):
                return None
        return {"clientAccessToken": self.client_access_token}

    def system_info(self) -> Message:
        """The body of the answer to `pydevdSystemInfo`."""
        return {"process": {"pid": self.pid, "ppid": self.ppid}}


def not_joined(reason: str) -> str:
    """That there is no way by an adapter, in words."""
    return f"could not join the editor's debug adapter ({reason})"


def is_stand_in(initialize_arguments: Message) -> bool:
    """Whether there is no IDE behind a session: the adapter lets us run by itself."""
    return initialize_arguments == _STAND_IN


def was_launched(attach_arguments: Message) -> bool:
    """Whether the IDE started devlaunch, and did not attach to it.

    What it attaches to us with is a copy of the configuration it has for devlaunch.
    """
    return any(attach_arguments.get(name) for name in _LAUNCHES)


def without_output(attach_arguments: Message) -> Message:
    """The same for a debuggee whose output somebody reads already: it must not report its own."""
    arguments = {k: v for k, v in attach_arguments.items() if k != "redirectOutput"}
    options = arguments.get("debugOptions")
    if isinstance(options, list):
        arguments["debugOptions"] = [each for each in options if each != "RedirectOutput"]
    return arguments


def _bytes(token: str) -> bytes:
    return token.encode("utf-8", "replace")
