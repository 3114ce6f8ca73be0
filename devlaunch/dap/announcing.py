"""A process that has connected says who it is, and the IDE hears of it. Pure.

Whoever finds the inner port can connect. Our token is in nothing that we send: who connects has yet
to show that they know it, and is a stranger to the sockets until both was said.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable

from devlaunch.dap.debuggee import Debuggee, Phase
from devlaunch.dap.events import JoinAdapter
from devlaunch.dap.framing import MAX_CONTENT
from devlaunch.dap.messages import AdmitPeer, body_of
from devlaunch.dap.session import Session
from devlaunch.events import Message


def introduce(
    debuggee: Debuggee,
    token: str,
    *,
    known: Callable[[Debuggee], None],
    refused: Callable[[Debuggee], None],
) -> None:
    """Ask it for the token and its process; `known` is called when it has said both."""

    def authorized(response: Message) -> None:
        if debuggee.phase is Phase.GONE:
            return
        shown = str(body_of(response).get("clientAccessToken"))
        if not hmac.compare_digest(shown.encode("utf-8", "replace"), token.encode()):
            debuggee.outbox.log("refused a debuggee that does not know the token of this run")
            refused(debuggee)
            return
        debuggee.advance("authorized")
        debuggee.pydevd.request("pydevdSystemInfo", {}, identified)

    def identified(response: Message) -> None:
        process = body_of(response).get("process")
        if not isinstance(process, dict):
            refused(debuggee)
            return
        debuggee.advance("identified")
        debuggee.outbox.add(AdmitPeer(debuggee.peer, MAX_CONTENT))
        debuggee.pid, debuggee.ppid = process.get("pid") or 0, process.get("ppid") or 0
        known(debuggee)

    debuggee.pydevd.request("pydevdAuthorize", {}, authorized)


def announce(
    debuggee: Debuggee,
    session: Session | None,
    endpoint: tuple[str, int] | None,
    *,
    refused: Callable[[Debuggee], None],
) -> None:
    """Tell the IDE of the main `session`, in the way that it knows, to attach to the process.

    `endpoint` is where its client attaches. `refused` is called when the IDE says that it will not.
    """
    if session is None or session.attach_arguments.get("subProcess") is False:
        debuggee.deadline = None
    elif session.is_configured and session.identity:
        # Its adapter lets no debuggee ask the IDE for anything, but it announces each itself.
        if not debuggee.has_joined:
            debuggee.has_joined = True
            debuggee.outbox.add(JoinAdapter(debuggee.pid))
    elif session.is_configured and endpoint:
        configuration = session.grandchild_configuration(debuggee.pid, endpoint)
        if not session.initialize_arguments.get("supportsStartDebuggingRequest"):
            session.ide.event("debugpyAttach", {**configuration, "request": "attach"})
            return

        def answered(response: Message) -> None:
            is_waiting = debuggee.phase is Phase.WAITING and debuggee.session is None
            if is_waiting and session.ide.is_open and not response.get("success"):
                refused(debuggee)

        arguments = {"request": "attach", "configuration": configuration}
        session.ide.request("startDebugging", arguments, answered)
