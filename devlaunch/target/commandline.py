"""The words of a command line: our options, and the target with all that belongs to it.

Ours end where the target does, which is at the first word of a script, behind `-m` and `--`; an app
(`module:attr`) takes no arguments, so that ours may follow it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from devlaunch.config import Option
from devlaunch.errors import UsageError
from devlaunch.target.converters import BadValue, nearest, to_poll
from devlaunch.target.options import OPTIONS, TARGET
from devlaunch.target.words import looks_like_app

_BY_FLAG = {option.flag: (option, True) for option in OPTIONS}
_BY_FLAG |= {f"--no-{option.key}": (option, False) for option in OPTIONS if option.is_switch}
_SHORT = {option.short: option.flag for option in OPTIONS if option.short}
_SHORT |= {"-h": "--help", "-y": "--yes"}


@dataclass(frozen=True, slots=True)
class CommandLine:
    """`given` is what it says by key, as text (`target`: its words). `ours` are the words of that.

    `flags` are a subcommand's own, in their long form.
    """

    given: dict[str, object] = field(default_factory=dict)
    ours: list[str] = field(default_factory=list)
    flags: set[str] = field(default_factory=set)

    @property
    def target(self) -> list[str]:
        """Empty without one."""
        found: list[str] = self.given.get(TARGET, [])  # type: ignore[assignment]
        return found


def read(words: Sequence[str], flags: Collection[str] = ()) -> CommandLine:
    """What these words say; `flags` are allowed, and `--help`. Raises UsageError."""
    line = CommandLine()
    rest = list(words)
    target: list[str] = []
    while rest:
        word = rest.pop(0)
        if word == "--" or (word.startswith("-m") and not target):
            target += [word, *rest]
            break
        if word.startswith("-") and word != "-":
            _read_option(word, rest, line, {*flags, "--help"})
            continue
        target.append(word)
        if len(target) == 1 and not looks_like_app(word):
            target += rest
            break
    if target:
        line.given[TARGET] = target
    return line


def _read_option(word: str, rest: list[str], line: CommandLine, flags: Collection[str]) -> None:
    """Read one of ours, and take its value from `rest`."""
    if re.fullmatch(r"-[a-z]{2,}", word):
        rest[:0] = [f"-{letter}" for letter in word[1:]]
        return
    name, equals, value = word.partition("=")
    flag = _SHORT.get(name, name)
    option, is_on = _BY_FLAG.get(flag, (None, True))
    if option is None and flag not in flags:
        close = nearest(name, [*flags, *_BY_FLAG])
        hint = f"did you mean {close}?" if close else "devlaunch --help lists the options"
        raise UsageError(f"there is no option {name}", hint=hint)
    if equals and (option is None or option.is_switch):
        raise UsageError(f"{name} takes no value", hint="--help shows how")
    if option is None:
        line.flags.add(flag)
        return
    line.ours.append(word)
    if option.is_switch:
        line.given[option.key] = is_on
        return
    if not equals:
        value = _take_value(option, rest, line.ours)
    before = line.given.get(option.key, [])
    line.given[option.key] = [*before, value] if option.is_list else value  # type: ignore[misc]


def _take_value(option: Option, rest: list[str], ours: list[str]) -> str:
    if option.value_optional:
        try:
            to_poll(rest[0] if rest else "")
        except BadValue:
            return "on"
    elif not rest:
        raise UsageError(f"{option.flag} needs a value", hint="--help shows how")
    ours.append(rest.pop(0))
    return ours[-1]
