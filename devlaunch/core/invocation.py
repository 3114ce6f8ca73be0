"""What an interpreter was told to run, read from its command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# python(1): options that take a value, in the same word or the next.
_WITH_VALUE = "WX"


@dataclass(frozen=True, slots=True)
class Invocation:
    """A module's name, a script's path or `-c`, and the words after it; empty: interactive."""

    name: str = ""
    is_module: bool = False
    rest: tuple[str, ...] = ()

    @property
    def program(self) -> str:
        """The name without directory, `.py`, `.exe` and `.__main__`."""
        return base_name(self.name).removesuffix(".py")

    def option(self, name: str) -> str:
        """The option with its value as it was given, else its name only."""
        if name not in self.rest:
            return name
        index = self.rest.index(name)
        return " ".join(self.rest[index : index + 2])


def invocation(argv: Sequence[str]) -> Invocation:
    """What a command line such as `sys.orig_argv` runs."""
    words = list(argv[1:])
    while words:
        word = words.pop(0)
        if not word.startswith("-") or word == "-":
            return Invocation(word, rest=tuple(words))
        if word == "--check-hash-based-pycs":
            del words[:1]
        elif not word.startswith("--"):
            found = _short_options(word, words)
            if found is not None:
                return found
    return Invocation()


def _short_options(word: str, words: list[str]) -> Invocation | None:
    """Go through `-Esm name`, and take a value from `words`."""
    for index, letter in enumerate(word[1:], start=2):
        if letter in _WITH_VALUE or letter in "cm":
            value = word[index:] or (words.pop(0) if words else "")
            if letter in _WITH_VALUE:
                return None
            return Invocation(value if letter == "m" else "-c", letter == "m", tuple(words))
    return None


def base_name(path: str) -> str:
    """The last part of a path of any platform, without `.exe`; of a module without `.__main__`."""
    base = path.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return base.removesuffix(".exe").removesuffix(".__main__")
