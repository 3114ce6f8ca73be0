"""The options, as `config.Config` has them. `settings` merges their sources, `cli` makes the help.

Each is a flag (`--key`), a variable (`DEVLAUNCH_KEY`) and a key of `[tool.devlaunch]`.
"""

from __future__ import annotations

from dataclasses import Field, fields, replace

from devlaunch.config import PREFIX, Config, Option
from devlaunch.target.converters import choices, listed

ADAPTER = PREFIX + "ADAPTER"
"""Names the file by which a launcher finds the adapter that has started it (`debuggers.link`)."""
INTERNAL_VARIABLES = frozenset((ADAPTER, *(PREFIX + name for name in ("RUN", "REPORTS", "KEEP"))))


def _option(field: Field[object]) -> Option:
    """With what the field's declaration says by itself, such as `tuple[Glob, ...]`."""
    kind = str(field.type).removesuffix(" | None")
    item = kind.removeprefix("tuple[").removesuffix(", ...]")
    option: Option = field.metadata["option"]
    return replace(option, field=field.name, kind=item, is_list=item != kind)


OPTIONS = tuple(_option(field) for field in fields(Config) if field.metadata)
BY_KEY = {option.key: option for option in OPTIONS}
TARGET = "target"
TARGET_VARIABLE = PREFIX + "TARGET"
KEYS = (*BY_KEY, TARGET)


def help_of(option: Option) -> str:
    """Its help, with the values of its type. Only when it is shown: for them files are read."""
    valid = choices(option.kind)
    return option.help.replace("{choices}", listed(valid)) if valid else option.help


def camel(key: str) -> str:
    """`whilePaused` of `while-paused`: as in an editor's launch."""
    head, *tail = key.split("-")
    return head + "".join(word.capitalize() for word in tail)
