"""The supervisor's table as a diagram and a table for the docs, made by trying every entry.

A diagram drawn by hand says what somebody believed. This one asks the code: each pair of state and
event is handled with samples of both under every setting, and what comes out is what is drawn. Only
where the arrows run is said here; an arrow that no entry leads to, and one that is missing, fail a
test.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from xml.sax.saxutils import escape

from devlaunch import events
from devlaunch.config import WhilePaused
from devlaunch.core import supervisor as core

Edge = tuple[str, str]

_FIRST = core.Cause((), 0.0)
_SAVED = core.Cause(("/p/app.py",), 0.0)
_FAILURE = events.Failure("NameError: name 'x' is not defined", file="/p/app.py", line=3)
_USAGE = events.Failure("there is no such attribute", is_usage=True)

STATES: dict[str, list[core.State]] = {
    "Idle": [core.Idle()],
    "Starting": [core.Starting(_FIRST), core.Starting(_FIRST, _USAGE)],
    "Serving": [core.Serving(), core.Serving(_FAILURE)],
    "Paused": [
        core.Paused(before, pending)
        for before in (core.Starting(_FIRST), core.Serving())
        for pending in (None, _SAVED)
    ],
    "PostMortem": [
        core.PostMortem(before)
        for before in (core.Starting(_FIRST, _FAILURE, is_told=True), core.Serving(is_told=True))
    ],
    "Stopping": [
        core.Stopping(then, _FIRST, deadline, rung=rung, signal=2)
        for then in core.Then
        for rung in core.Rung
        for deadline in (1.0, None)
    ],
    "Broken": [core.Broken()],
    "Ended": [],
}
"""Samples of each state, one for each way in which what it carries can matter."""

EVENTS: dict[str, list[object]] = {
    "Launched": [events.Launched()],
    "ChildServing": [events.ChildServing(3)],
    "ChildFailed": [events.ChildFailed(3, _FAILURE, is_held) for is_held in (False, True)],
    "ChildExited": [events.ChildExited(3, 0), events.ChildExited(3, -9)],
    "ChildRefused": [events.ChildRefused(3)],
    "FilesChanged": [events.FilesChanged(("/p/app.py",))],
    "RestartRequested": [events.RestartRequested()],
    "StopRequested": [events.StopRequested(2), events.StopRequested()],
    "DebuggeePaused": [events.DebuggeePaused()],
    "DebuggeeResumed": [events.DebuggeeResumed()],
    "DeadlineReached": [events.DeadlineReached()],
    "WhilePausedChosen": [events.WhilePausedChosen(value) for value in WhilePaused],
}

WORDS = {
    "Launched": "launched",
    "ChildServing": "serves",
    "ChildFailed": "says why it fails",
    "ChildExited": "process ended",
    "ChildRefused": "standby refused",
    "FilesChanged": "save",
    "RestartRequested": "Restart",
    "StopRequested": "Stop",
    "DebuggeePaused": "breakpoint",
    "DebuggeeResumed": "continue",
    "DeadlineReached": "deadline",
    "WhilePausedChosen": "reload while paused, or not",
}
"""The events as people say them."""


def outcomes() -> dict[tuple[str, str], list[str]]:
    """For each (state, event) of the table: the states that it can lead to, in their order."""
    found: dict[tuple[str, str], set[str]] = {}
    for state_type, event_type in core.TABLE:
        names = state_type.__name__, event_type.__name__
        found[names] = set()
        for state, event, while_paused, reload, generation in itertools.product(
            STATES[names[0]], EVENTS[names[1]], WhilePaused, (True, False), (1, 3)
        ):
            made = core.Supervisor(grace=2.0, while_paused=while_paused, reload=reload)
            made.state, made.generation = state, generation
            made.handle(event, 10.0)
            found[names].add(type(made.state).__name__)
    order = list(STATES)
    return {pair: sorted(after, key=order.index) for pair, after in found.items()}


def edges() -> dict[Edge, list[str]]:
    """For each (state, other state): the events that lead from one to the other."""
    found: dict[Edge, list[str]] = {}
    for (before, event), afters in outcomes().items():
        for after in afters:
            if after != before:
                found.setdefault((before, after), []).append(event)
    return found


# --- the diagram --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Arrow:
    """Where an edge runs: an SVG path, where its label stands, and which events it names.

    `back`: the events of the other direction, which the same line shows.
    """

    path: str
    at: tuple[int, int]
    events: tuple[str, ...]
    anchor: str = "middle"
    back: tuple[str, ...] = ()


SIZE = (860, 450)
NODE = (112, 44)
NODES = {
    "Idle": (70, 170),
    "Starting": (260, 170),
    "Serving": (660, 170),
    "Paused": (460, 270),
    "PostMortem": (70, 46),
    "Stopping": (460, 404),
    "Broken": (460, 46),
    "Ended": (760, 404),
}
ARROWS: dict[Edge, Arrow] = {
    ("Idle", "Starting"): Arrow("M126,170 L198,170", (172, 163), ("Launched",)),
    ("Starting", "Serving"): Arrow("M316,170 L598,170", (457, 160), ("ChildServing",)),
    ("Starting", "Broken"): Arrow("M286,148 Q305,70 398,50", (340, 48), ("ChildExited",)),
    ("Starting", "PostMortem"): Arrow(
        "M210,146 L128,70", (182, 106), ("ChildFailed",), "start", back=("DebuggeeResumed",)
    ),
    ("PostMortem", "Stopping"): Arrow(
        "M112,68 C170,190 66,424 400,424",
        (124, 296),
        ("FilesChanged", "RestartRequested", "StopRequested"),
        "end",
    ),
    ("Broken", "Starting"): Arrow(
        "M430,68 L312,143", (388, 112), ("FilesChanged", "RestartRequested"), "start"
    ),
    ("Serving", "Broken"): Arrow("M645,148 L519,64", (572, 128), ("ChildExited",), "end"),
    ("Starting", "Paused"): Arrow(
        "M304,196 L402,251",
        (366, 216),
        ("DebuggeePaused",),
        "start",
        back=("DebuggeeResumed",),
    ),
    ("Serving", "Paused"): Arrow(
        "M616,196 L518,251", (582, 246), ("DebuggeePaused",), "start", back=("DebuggeeResumed",)
    ),
    ("Paused", "Stopping"): Arrow(
        "M460,292 L460,376",
        (470, 328),
        ("FilesChanged", "DebuggeeResumed", "RestartRequested", "StopRequested"),
        "start",
    ),
    ("Starting", "Stopping"): Arrow(
        "M272,192 Q290,350 400,388",
        (336, 326),
        ("FilesChanged", "RestartRequested", "StopRequested"),
        "start",
    ),
    ("Stopping", "Starting"): Arrow(
        "M404,410 Q235,400 244,198", (238, 252), ("ChildExited",), "end"
    ),
    ("Serving", "Stopping"): Arrow(
        "M664,192 Q660,360 520,391",
        (652, 318),
        ("FilesChanged", "RestartRequested", "StopRequested"),
        "start",
    ),
    ("Stopping", "Ended"): Arrow("M516,412 L698,412", (608, 430), ("ChildExited",)),
    ("Broken", "Ended"): Arrow("M516,46 Q770,50 764,376", (738, 116), ("StopRequested",), "start"),
}
TABLE_ONLY: set[Edge] = {
    ("Idle", "Ended"),
    # Only with --no-reload, or when the first start shows that the command line is at fault:
    ("Starting", "Ended"),
    ("Serving", "Ended"),
    ("Paused", "Ended"),
    # A standby that refuses; a process that dies while the debugger holds it:
    ("Serving", "Starting"),
    ("Paused", "Broken"),
    ("PostMortem", "Broken"),
    ("PostMortem", "Ended"),
    # The pause was the stop of which the child says then why it fails:
    ("Paused", "PostMortem"),
    # As while it starts; only programs fail when they run already:
    ("Serving", "PostMortem"),
    ("PostMortem", "Serving"),
}
"""Edges that the diagram leaves out: they are rare."""

_STYLE = """\
.states { --ink: #24292f; --line: #57606a; --box: #f6f8fa; max-width: 100%; height: auto; }
@media (prefers-color-scheme: dark) { .states { --ink: #e6edf3; --line: #8b949e; --box: #21262d; } }
.states rect { fill: var(--md-code-bg-color, var(--box)); stroke: var(--md-primary-fg-color, var(--line)); stroke-width: 1.5; }
.states .line { fill: none; stroke: var(--md-default-fg-color--light, var(--line)); stroke-width: 1.4; }
.states .tip { fill: var(--md-default-fg-color--light, var(--line)); }
.states text { fill: var(--md-default-fg-color, var(--ink)); font: 13px system-ui, sans-serif; }
.states .name { font-weight: 600; font-size: 14px; text-anchor: middle; }"""  # noqa: E501
_TIP = (
    '<marker id="states-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
    ' orient="auto-start-reverse"><path class="tip" d="M0,0 L8,4 L0,8 z"/></marker>'
)


def svg() -> str:
    """The diagram. It takes the colours of the site when it stands in a page of it."""
    width, height = SIZE
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="states" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}" role="img">',
        "<title>The states of the app's process, and what leads from one to the other</title>",
        f"<style>\n{_STYLE}\n</style>",
        f"<defs>{_TIP}</defs>",
        *itertools.chain.from_iterable(_drawn(arrow) for arrow in ARROWS.values()),
        *(_box(name) for name in NODES),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _box(name: str) -> str:
    (x, y), (width, height) = NODES[name], NODE
    left, top = x - width // 2, y - height // 2
    return (
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}" rx="8"/>'
        f'<text class="name" x="{x}" y="{y + 5}">{name}</text>'
    )


def _drawn(arrow: Arrow) -> list[str]:
    start = ' marker-start="url(#states-tip)"' if arrow.back else ""
    x, y = arrow.at
    rows = [row for events in (arrow.events, arrow.back) for row in _rows(events)]
    return [
        f'<path class="line" d="{arrow.path}"{start} marker-end="url(#states-tip)"/>',
        *(
            f'<text x="{x}" y="{y + 16 * row}" text-anchor="{arrow.anchor}">{escape(text)}</text>'
            for row, text in enumerate(rows)
        ),
    ]


def _rows(names: tuple[str, ...]) -> list[str]:
    """The events as people say them, two in a row."""
    words = ", ".join(WORDS[name] for name in names).split(", ")
    pairs = [", ".join(words[at : at + 2]) for at in range(0, len(words), 2)]
    return [pair + "," for pair in pairs[:-1]] + pairs[-1:]


# --- the table ----------------------------------------------------------------------------------


def table() -> str:
    """Every entry as Markdown: a row for each event, a column for each state."""
    states = [name for name in STATES if any(before == name for before, _ in outcomes())]
    lines = [
        f"| | {' | '.join(states)} |",
        f"|---|{'---|' * len(states)}",
    ]
    found = outcomes()
    for event, words in WORDS.items():
        cells = [_cell(state, found.get((state, event))) for state in states]
        lines.append(f"| {words} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(state: str, afters: list[str] | None) -> str:
    if afters is None:
        return ""
    return " or ".join("*stays*" if after == state else after for after in afters)
