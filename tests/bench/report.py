"""What was measured, as Markdown between the marks of docs/performance.md."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from idle import ROLES, Idle
from measure import Times

REFERENCE = "uvicorn --reload"
PATCHES = "jurigged"
"""It starts nothing anew, so that it is no peer in speed."""


@dataclass
class Results:
    """What the parts have found; `ours` is the name that devlaunch has in them."""

    ours: str = "devlaunch"
    saves: dict[str, Times] = field(default_factory=dict)
    seconds: dict[str, Times] = field(default_factory=dict)
    """Of second saves, right after a reload."""
    launches: dict[str, Times] = field(default_factory=dict)
    threads: Times = field(default_factory=dict)
    steps: Times = field(default_factory=dict)
    idle: list[Idle] = field(default_factory=list)
    requests: dict[str, Times] = field(default_factory=dict)

    @classmethod
    def from_json(cls, text: str) -> Results:
        """What an earlier run has measured."""
        fields = json.loads(text)
        return cls(**{**fields, "idle": [Idle(**each) for each in fields["idle"]]})

    def sections(self) -> dict[str, str]:
        """Markdown by the name of its mark, of the parts that were run."""
        found = {
            "save": [save_table(a, t, self.seconds.get(a, {})) for a, t in self.saves.items()],
            "launch": [titled(app, table(times)) for app, times in self.launches.items()],
            "step": [
                titled(title, table(times))
                for title, times in (("`threads`", self.threads), ("A full step", self.steps))
                if times
            ],
            "idle": [idle_table(self.idle)] if self.idle else [],
            "throughput": [titled(a, requests_table(t)) for a, t in self.requests.items()],
            "targets": targets(self),
        }
        return {name: "\n\n".join(parts) for name, parts in found.items() if parts}


def write_between_marks(page: str, sections: dict[str, str]) -> str:
    """The page with these sections in the place of those that it had."""
    for name, text in sections.items():
        begin, end = f"<!-- bench: {name} -->", f"<!-- end: {name} -->"
        page, found = re.subn(
            re.escape(begin) + ".*?" + re.escape(end),
            lambda _, new=f"{begin}\n{text}\n{end}": new,
            page,
            flags=re.DOTALL,
        )
        assert found == 1, f"the page has {found} places for {begin}"
    return page


def titled(title: str, text: str) -> str:
    return f"### {title}\n\n{text}"


def milliseconds(seconds: float) -> str:
    value = seconds * 1000
    return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms"


def spread(values: Sequence[float]) -> str:
    lowest, highest = milliseconds(min(values)), milliseconds(max(values))
    return f"{lowest.removesuffix(' ms')} to {highest}"


def ratio(value: float, reference: float, limit: float = 1.0) -> str:
    """Two digits; bold for a loss."""
    quotient = value / reference
    return f"**{quotient:.2f}**" if quotient > limit else f"{quotient:.2f}"


def code(name: str) -> str:
    """The command of a name as code: `name`, way."""
    command, comma, way = name.partition(",")
    is_command = not command.startswith(("the ", PATCHES, "Flask", "Django"))
    return f"`{command}`{comma}{way}" if is_command else name


def rows(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def table(times: Times) -> str:
    """Ratios are to the first row; ours are bold above 1."""
    reference = median(next(iter(times.values())))
    return rows(
        ("", "median", "lowest to highest", "ratio"),
        [
            (
                code(name),
                milliseconds(median(values)),
                spread(values),
                rated(name, values, reference),
            )
            for name, values in times.items()
        ],
    )


def rated(name: str, values: Sequence[float], reference: float) -> str:
    quotient = median(values) / reference
    return ratio(median(values), reference) if "devlaunch" in name else f"{quotient:.2f}"


def save_table(app: str, times: Times, seconds: Times) -> str:
    """With the second saves in a column of their own."""
    title = f"The {app} app"
    if not any(times.values()):
        return titled(title, "failed")
    first = median(next(values for values in times.values() if values))
    body = []
    for name, values in times.items():
        if not values:
            body.append((code(name), "failed", "", "", ""))
            continue
        again = seconds.get(name)
        body.append(
            (
                code(name),
                milliseconds(median(values)),
                spread(values),
                rated(name, values, first),
                milliseconds(median(again)) if again else "",
            )
        )
    return titled(title, rows(("", "median", "lowest to highest", "ratio", "second save"), body))


def requests_table(times: Times) -> str:
    reference = median(next(iter(times.values())))
    return rows(
        ("", "requests in a second", "lowest to highest", "time of a request: ratio"),
        [
            (
                code(name),
                f"{1 / median(values):.0f}",
                f"{1 / max(values):.0f} to {1 / min(values):.0f}",
                rated(name, values, reference),
            )
            for name, values in times.items()
        ],
    )


def idle_table(found: Sequence[Idle]) -> str:
    """CPU seconds in a minute, and megabytes, of each role; and the save."""

    def cell(idle: Idle, role: str) -> str:
        if not idle.rss[role]:
            return ""
        rss, pss = idle.rss[role] / 1e6, idle.pss[role] / 1e6
        return f"{idle.cpu[role]:.3f} s; {rss:.0f} MB ({pss:.0f})"

    return rows(
        ("", "files", *ROLES, "save to served"),
        [
            (
                code(idle.name),
                f"{idle.files:,}",
                *(cell(idle, role) for role in ROLES),
                milliseconds(median(idle.saves)) if idle.saves else "",
            )
            for idle in found
        ],
    )


# --- the targets ----------------------------------------------------------------------------------


def targets(results: Results) -> list[str]:
    """One table: what was aimed at, and what is; bold where it is missed."""
    body: list[Sequence[str]] = []
    for app, times in results.saves.items():
        middles = {name: median(values) for name, values in times.items() if values}
        body += save_targets(results.ours, app, middles)
    if results.steps:
        body.append(goal("a full step / debugpy's own adapter", results.ours, results.steps, 0.03))
    for app, times in results.launches.items():
        for name in times:
            if name.startswith(results.ours):
                words = f"launch to served, {app}: {code(name)} / {code(REFERENCE)}"
                body.append(goal(words, name, times, 1.1))
    body += idle_targets(results)
    return [rows(("", "target", "measured"), body)] if body else []


def goal(words: str, name: str, times: Times, limit: float) -> Sequence[str]:
    reference = median(next(iter(times.values())))
    return (words, f"{limit:g}", ratio(median(times[name]), reference, limit))


def save_targets(ours: str, app: str, middles: dict[str, float]) -> list[Sequence[str]]:
    attached = f"{ours}, attached"
    # Those that start anew, without a debugger: what a user could take instead.
    others = {
        name: value
        for name, value in middles.items()
        if "," not in name and not name.startswith((ours, PATCHES, "the "))
    }
    fastest = min(others, key=lambda name: others[name], default=REFERENCE)
    pairs = [
        (attached, REFERENCE, {"FastAPI": 0.2, "heavy": 0.1}.get(app)),
        (attached, fastest, {"small": 0.6, "heavy": 0.15}.get(app)),
        (f"{ours}, debugpy launch", f"{REFERENCE}, debugpy launch", 0.1),
        (f"{ours}, PyCharm", f"{REFERENCE}, PyCharm", 0.1),
        (ours, "the floor", 1.5),
        (attached, "the floor", 1.5),
    ]
    return [
        (f"{app}: {code(a)} / {code(b)}", f"{limit:g}", ratio(middles[a], middles[b], limit))
        for a, b, limit in pairs
        if limit is not None and a in middles and b in middles
    ]


def idle_targets(results: Results) -> list[Sequence[str]]:
    found: list[Sequence[str]] = []
    references = {idle.files: idle for idle in results.idle if idle.name == REFERENCE}
    for idle in results.idle:
        if idle.name == results.ours:
            reference = references[idle.files]
            for what, key in (("CPU", "cpu"), ("RSS", "rss"), ("PSS", "pss")):
                ours, theirs = getattr(idle, key), getattr(reference, key)
                words = f"launcher, {idle.files:,} files: {what} / uvicorn's reloader"
                found.append((words, "1", ratio(ours["launcher"], theirs["launcher"])))
    return found
