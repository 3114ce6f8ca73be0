"""The file of `--env-file`: variables for the app, read as python-dotenv does.

Where that skips a line that it cannot read, it is an error here.
"""

from __future__ import annotations

import io

from devlaunch.errors import UsageError


def read_env_file(path: str, origin: str = "--env-file") -> dict[str, str]:
    """The variables that the file sets, the last one of a name wins.

    `origin` is how errors name what asked for the file. Raises UsageError, which names the file,
    and the line when one is broken.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read()
    except UnicodeDecodeError:
        raise UsageError(f"{origin} {path}: is not UTF-8 text") from None
    except OSError as error:
        raise UsageError(f"{origin} {path}: {(error.strerror or str(error)).lower()}") from None
    return _parse(text, path)


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
