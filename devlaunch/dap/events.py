"""What the keeper is told (past-tense nouns), and what it wants done (verbs)."""

from __future__ import annotations

from dataclasses import dataclass

from devlaunch.events import Message


@dataclass(frozen=True, slots=True)
class FrontConnected:
    """A client (an IDE) connected to the debug address; or it has launched this run."""

    peer: int
    has_launched: bool = False


@dataclass(frozen=True, slots=True)
class FrontJoined:
    """We connected to an IDE's own debug adapter, as the process `pid` below devlaunch."""

    peer: int
    pid: int


@dataclass(frozen=True, slots=True)
class BackConnected:
    """A debuggee (pydevd in a child or a grandchild) connected to the keeper's inner port."""

    peer: int


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A whole DAP message came from a peer."""

    peer: int
    message: Message


@dataclass(frozen=True, slots=True)
class PeerClosed:
    """A peer's connection ended; `reason` is set when it was dropped for not speaking DAP."""

    peer: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ChildSpawned:
    """A new generation has been started; its pydevd may connect from now on.

    `debugging` says whether it was told to connect before it runs any user code.
    """

    generation: int
    pid: int
    debugging: bool


@dataclass(frozen=True, slots=True)
class StandbySpawned:
    """A process has been started that may become the next child: `ChildSpawned` with its pid."""

    pid: int


@dataclass(frozen=True, slots=True)
class StandbyGone:
    """The standby is being killed or has ended; it never was a child."""

    pid: int


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The whole run is over. `status` as in `Popen.returncode`: -n for signal n."""

    status: int


@dataclass(frozen=True, slots=True)
class SendMessage:
    """Send to a peer. `seq` is set; actions carried out in order keep the numbers in order."""

    peer: int
    message: Message


@dataclass(frozen=True, slots=True)
class ClosePeer:
    """Close after what was sent before has been flushed."""

    peer: int


@dataclass(frozen=True, slots=True)
class ConnectDebuggee:
    """Tell the running child, over its control channel, to connect its debugger now."""

    generation: int


@dataclass(frozen=True, slots=True)
class JoinAdapter:
    """Connect to the IDE's own debug adapter once more: the process `pid` is below the app."""

    pid: int


@dataclass(frozen=True, slots=True)
class NoSession:
    """The IDE that devlaunch runs under has no session for the app, and begins none; and why."""

    why: str
