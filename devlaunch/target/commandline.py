"""The words of a command line: our options, and the target with all that belongs to it.

click reads the options. Where they end it cannot know: at the first word of a script, behind `-m`
and `--`; an app (`module:attr`) takes no arguments, so that ours may follow it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import click

from devlaunch.config import Option
from devlaunch.errors import UsageError
from devlaunch.target.converters import BadValue, nearest, to_poll
from devlaunch.target.options import OPTIONS, TARGET
from devlaunch.target.words import looks_like_app

_VALUE_OPTIONAL = {option.flag for option in OPTIONS if option.value_optional}
_VALUED = {option.flag for option in OPTIONS if not option.is_switch} - _VALUE_OPTIONAL


class CommandLine(NamedTuple):
    """What it says, by key, as text (`target`: its words), and a subcommand's own flags."""

    given: dict[str, Any]
    flags: set[str]


def read(
    words: Sequence[str], flags: Sequence[Sequence[str]] = (), name: str = "devlaunch"
) -> CommandLine:
    """What these words say; `flags` are allowed, by all their names, and help. Raises UsageError.

    A flag is returned by its long name, without the dashes. `name` is whose words they are.
    """
    own = [click.Option(names, is_flag=True) for names in (("-h", "--help"), *flags)]
    command = click.Command(name, params=[*map(_parameter, OPTIONS), *own], add_help_option=False)
    stops = (
        at
        for at, (before, word) in enumerate(pairwise(["", *words]))
        if (word == "--" or word.startswith("-m")) and before not in _VALUED
    )
    end = next(stops, len(words))
    ours = [_with_value(*pair) for pair in pairwise([*words[:end], ""])]
    context = _parse(command, ours, interspersed=False)
    start = end - len(context.args)
    target = list(words[start:])
    if context.args and looks_like_app(target[0]):
        context = _parse(command, ours[:start] + ours[start + 1 :], interspersed=True)
        target = [target[0], *context.args, *words[end:]]
    given: dict[str, Any] = {}
    for option in OPTIONS:
        value = context.params[option.field]
        if value not in (None, ()):
            given[option.key] = list(value) if option.is_list else value
    if target:
        given[TARGET] = target
    return CommandLine(given, {str(flag.name) for flag in own if context.params[str(flag.name)]})


def _parse(command: click.Command, words: list[str], *, interspersed: bool) -> click.Context:
    """What click makes of them; `args` are those from the first on that is no option."""
    try:
        return command.make_context(
            None, list(words), allow_extra_args=True, allow_interspersed_args=interspersed
        )
    except click.NoSuchOption as error:
        names = [name for option in command.params for name in option.opts if name[:2] == "--"]
        close = nearest(error.option_name, names)
        raise UsageError(
            f"there is no option {error.option_name}",
            hint=f"did you mean {close}?" if close else f"{command.name} --help lists the options",
        ) from None
    except click.UsageError as error:
        text = error.format_message().rstrip(".")
        raise UsageError(
            text[:1].lower() + text[1:], hint=f"{command.name} --help shows how"
        ) from None


def _parameter(option: Option) -> click.Option:
    """One that takes the text only: `settings` converts it, as for the other sources."""
    if option.is_switch:
        names = [f"{option.flag}/--no-{option.key}", *filter(None, [option.short])]
        return click.Option(names, default=None)
    return click.Option([option.flag], multiple=option.is_list)


def _with_value(word: str, following: str) -> str:
    """`--poll` alone is on; what follows is its value only if it can be one."""
    if word in _VALUE_OPTIONAL:
        try:
            to_poll(following)
        except BadValue:
            return f"{word}=on"
    return word
