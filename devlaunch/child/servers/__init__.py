"""The servers for apps: a module here that declares what it `SERVES` is one, of that name.

`SERVES` says for each interface (asgi, wsgi) in which turn the server is tried where none is named;
None: not at all. Its `run(service)` returns when the server has ended. Begin to read in `serving`.
"""

from __future__ import annotations

import os
import re
from ast import literal_eval

from .. import hide

hide(__name__)

AUTO = "auto"
"""The name that leaves the choice to the app's interface."""

_DECLARATION = re.compile(r"^SERVES = (\{.*\})$", re.MULTILINE)


def declared() -> dict[str, dict[str, int | None]]:
    """What each server `SERVES`, by its name. None is imported for that: the launcher asks, too."""
    here = os.path.dirname(__file__)
    found = {}
    for file in sorted(os.listdir(here)):
        if file.endswith(".py"):
            with open(os.path.join(here, file), encoding="utf-8") as source:
                match = _DECLARATION.search(source.read())
            if match:
                found[file[:-3]] = literal_eval(match[1])
    return found
