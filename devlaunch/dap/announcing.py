"""Tell an IDE of a process that the app has started, so that it opens a session for it. Pure."""

from __future__ import annotations

from collections.abc import Callable

from devlaunch.dap.debuggee import Debuggee, Phase
from devlaunch.dap.messages import Outbox
from devlaunch.dap.session import Session
from devlaunch.events import JoinAdapter, Message


def announce(
    debuggee: Debuggee,
    session: Session | None,
    endpoint: tuple[str, int] | None,
    outbox: Outbox,
    *,
    refused: Callable[[Debuggee], None],
) -> None:
    """Announce the process in the way that the IDE of the main `session` knows.

    `endpoint` is where its client attaches. `refused` is called when the IDE says that it will not.
    """
    if session is None or session.attach_arguments.get("subProcess") is False:
        debuggee.deadline = None
    elif session.is_configured and session.identity:
        # Its adapter lets no debuggee ask the IDE for anything, but it announces each itself.
        if not debuggee.has_joined:
            debuggee.has_joined = True
            outbox.add(JoinAdapter(debuggee.pid))
    elif session.is_configured and endpoint:
        configuration = session.grandchild_configuration(debuggee.pid, endpoint)
        if not session.initialize_arguments.get("supportsStartDebuggingRequest"):
            session.event("debugpyAttach", {**configuration, "request": "attach"})
            return

        def answered(response: Message) -> None:
            is_waiting = debuggee.phase is Phase.WAITING and debuggee.session is None
            if is_waiting and not response.get("success"):
                refused(debuggee)

        arguments = {"request": "attach", "configuration": configuration}
        session.request("startDebugging", arguments, answered)
