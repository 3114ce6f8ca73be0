"""Ends accepting before a server closes, so that no connection is reset.

What waits in the backlog is for the next generation; what has been accepted has to be answered, and
servers close connections on which no request has arrived yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .. import hide
from . import ASKING
from .loops import leave

hide(__name__)


async def stop_accepting(listener: int, is_expecting: Callable[[], bool]) -> None:
    """Have the running loop leave the listening socket, and wait while `is_expecting` requests."""
    loop = asyncio.get_running_loop()
    leave(listener)
    for _ in range(4):  # a connection is the server's own some turns after it was accepted
        await asyncio.sleep(0)
    deadline = loop.time() + ASKING
    while is_expecting() and loop.time() < deadline:
        await asyncio.sleep(0.002)
