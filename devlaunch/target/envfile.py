"""The file of `--env-file`: variables for the app, read as python-dotenv does.

Where that skips a line that it cannot read, it is an error here.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence

from devlaunch.errors import DevlaunchError, UsageError
from devlaunch.system.spare import reason_of
from devlaunch.terminal.console import Console
from devlaunch.watching.disk import open_shared


class EnvFile:
    """The app's environment: what `path` sets, read anew for each child; what is set outside wins.

    `values` is what was read already, for the first one.
    """

    def __init__(self, path: str | None, values: Mapping[str, str], console: Console) -> None:
        self._path = path
        self._values = values
        self._console = console
        self._is_read = True
        self._is_told = False

    def environment(self) -> dict[str, str]:
        """All variables for a child."""
        if not self._is_read:
            self._read()
        self._is_read = False
        # As docker compose and python-dotenv.
        return {**self._values, **os.environ}

    def accepts(self, changed: Sequence[str]) -> bool:
        """Whether files that changed are worth a restart: not this one alone if it is broken."""
        path = self._path and os.path.realpath(self._path)
        those = {os.path.realpath(each) for each in changed}
        if path in those:
            self._is_told = False
        return those != {path} or self._read()

    def _read(self) -> bool:
        """Whether it could be read; else its last good values stay, and that is said once."""
        try:
            if self._path:
                self._values = read_env_file(self._path)
        except DevlaunchError as error:
            if not self._is_told:
                self._console.refused(error.message, error.hint, "the values from before stay")
            self._is_told = True
            return False
        return True


def read_env_file(path: str, origin: str = "--env-file") -> dict[str, str]:
    """The variables that the file sets, the last one of a name wins.

    `origin` is how errors name what asked for the file. Raises UsageError, which names the file,
    and the line when one is broken.
    """
    return _parse(read_text(path, f"{origin} {path}"), path)


def read_text(path: str, name: str) -> str:
    """What is in a file, which errors call by `name`. Raises UsageError."""
    try:
        with open(path, encoding="utf-8-sig", opener=open_shared) as file:
            return file.read()
    except UnicodeDecodeError:
        raise UsageError(f"{name}: is not UTF-8 text", hint="save it as UTF-8") from None
    except OSError as error:
        raise UsageError(f"{name}: {reason_of(error)}") from None


def _parse(text: str, path: str) -> dict[str, str]:
    # Late: it takes a while to load, and few runs have such a file.
    from dotenv.main import DotEnv
    from dotenv.parser import parse_stream

    for binding in parse_stream(io.StringIO(text)):
        if binding.error:
            wrong = "this line cannot be read"
        elif binding.key is not None and binding.value is None:
            wrong = "there is no KEY= in this line"
        elif "=" in (binding.key or "") or "\0" in f"{binding.key}{binding.value}":
            wrong = "a name cannot hold an equals sign, nor a value a NUL character"
        else:
            continue
        # The line may hold a secret: only its place is shown.
        blank = len(binding.original.string) - len(binding.original.string.lstrip())
        line = binding.original.line + binding.original.string[:blank].count("\n")
        hint = "a line is KEY=VALUE; quotes around a value are closed, and only a comment follows"
        raise UsageError(f"{path}:{line}: {wrong}", hint=hint)
    values = DotEnv(None, stream=io.StringIO(text), override=False).dict()
    return {key: value for key, value in values.items() if value is not None}
