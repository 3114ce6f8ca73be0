"""From flags, environment and `[tool.devlaunch]` of the nearest pyproject.toml to one Config.

Flags win over variables over the file. A list of a higher source replaces that of a lower one.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from devlaunch.config import Config, Target, TargetKind
from devlaunch.errors import UsageError
from devlaunch.system.spare import reason_of, working_directory
from devlaunch.target.envfile import read_env_file
from devlaunch.target.options import BY_KEY, INTERNAL_VARIABLES, KEYS, OPTIONS, PREFIX, TARGET
from devlaunch.target.values import BadValue, listed, nearest, split_list, to_words
from devlaunch.target.words import parse_target
from devlaunch.watching.disk import open_shared


@dataclass(frozen=True, slots=True)
class Setting:
    """A value as it was written, and where: `origin` as errors name it, `base` for its paths."""

    value: object
    origin: str
    base: str


Source = dict[str, Setting]


def resolve(
    given: Mapping[str, object],
    *,
    environ: Mapping[str, str] | None = None,
    directory: str | None = None,
    name: Callable[[str], str] = "--{}".format,
    needs_target: bool = True,
) -> Config:
    """Merge and check everything; what `given` says wins over the environment and the file.

    `given` maps keys (`debug-attach`, `target`) to text or values as TOML has them; `name` says how
    errors name them. `directory` is where relative paths start, by default the current one.
    Where no target is needed and none is named, the Config has an app without a name.
    Raises UsageError.
    """
    directory = directory or working_directory()
    flags = {
        key: Setting(value, name(key) if key != TARGET else "TARGET", directory)
        for key, value in given.items()
    }
    for key, setting in flags.items():
        if key not in KEYS:
            raise UsageError(
                f"{setting.origin}: there is no such option", hint=_suggestion(key, KEYS)
            )
    environment = read_environment(os.environ if environ is None else environ, directory)
    file = read_pyproject(directory)
    chosen = merge([flags, environment, file])
    values = {key: _convert(key, setting) for key, setting in chosen.items()}
    target_base = chosen[TARGET].base if TARGET in chosen else directory
    # A target of the file is meant from the file's place, wherever devlaunch was started.
    values.setdefault("app-dir", target_base)
    words = values.pop(TARGET, ())
    try:
        target = (
            parse_target(words, target_base, absolute=target_base != directory)
            if words or needs_target
            else Target(TargetKind.APP, "")
        )
    except UsageError as error:
        if TARGET in chosen and TARGET not in flags:
            error = UsageError(f"{chosen[TARGET].origin}: {error.message}", hint=error.hint)
        raise error from None
    _check_flags(flags, values, for_apps=target.serves, target=str(target))
    _check_paths(values, chosen)
    verbosity = bool(values.pop("verbose", False)) - bool(values.pop("quiet", False))
    fields = {BY_KEY[key].field: value for key, value in values.items()}
    env = (
        read_env_file(values["env-file"], chosen["env-file"].origin) if "env-file" in values else {}
    )
    return Config(target=target, verbosity=verbosity, env=env, **fields)


def merge(sources: Sequence[Source]) -> Source:
    """The highest source that has a key wins, and keeps rivals of it in lower sources out."""
    chosen: Source = {}
    for source in sources:
        taken = set(chosen)
        for key, setting in source.items():
            rivals = BY_KEY[key].rivals if key in BY_KEY else ()
            for rival in rivals:
                if rival in source and _is_on(key, setting) and _is_on(rival, source[rival]):
                    raise UsageError(
                        f"{setting.origin} and {source[rival].origin} exclude each other",
                        hint="give only one of them",
                    )
            if key not in taken and not taken.intersection(rivals):
                chosen[key] = setting
    return chosen


def _is_on(key: str, setting: Setting) -> bool:
    """Whether a setting asks for something; only a switch can be off."""
    return not BY_KEY[key].is_switch or bool(_convert(key, setting))


def _convert(key: str, setting: Setting) -> Any:
    option = BY_KEY.get(key)
    try:
        value: Any = option.convert(setting.value) if option else to_words(setting.value)
    except BadValue as error:
        seen = setting.value if error.item is None else error.item
        raise UsageError(
            f"{setting.origin}: expected {error.expected}, not {_shown(seen)}",
            hint=error.hint,
        ) from None
    if option is None or option.locate is None:
        return value
    if option.is_list:
        return tuple(option.locate(item, setting.base) for item in value)
    return option.locate(value, setting.base)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value)


# --- sources ------------------------------------------------------------------------------------


def read_environment(environ: Mapping[str, str], directory: str) -> Source:
    """The settings among the variables; an empty one counts as not set.

    Lists are parted as PATH is. Raises UsageError for a DEVLAUNCH_ variable that nobody knows.
    """
    variables = {option.variable: option.key for option in OPTIONS} | {PREFIX + "TARGET": TARGET}
    source: Source = {}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX) or variable in INTERNAL_VARIABLES or not text:
            continue
        if variable not in variables:
            raise UsageError(
                f"{variable}={text}: there is no such setting",
                hint=_suggestion(variable, variables),
            )
        key = variables[variable]
        is_list = key in BY_KEY and BY_KEY[key].is_list
        source[key] = Setting(split_list(text) if is_list else text, variable, directory)
    return source


def read_pyproject(directory: str) -> Source:
    """`[tool.devlaunch]` of the nearest pyproject.toml, from `directory` upwards; {} without.

    Raises UsageError, naming file and line, when it is broken or has an unknown key.
    """
    path = os.path.join(directory, "pyproject.toml")
    while not os.path.isfile(path):
        above = os.path.dirname(directory)
        if above == directory:
            return {}
        directory, path = above, os.path.join(above, "pyproject.toml")
    text, document = _load_toml(path)
    tool = document.get("tool", {})
    table = tool.get("devlaunch", {}) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        raise UsageError(f"{path}: [tool.devlaunch] is no table", hint="write [tool.devlaunch]")
    source: Source = {}
    for key, value in table.items():
        line = _line_of(key, text)
        place = f"{path}:{line}: {key}" if line else f"{path}: [tool.devlaunch] {key}"
        if key not in KEYS:
            raise UsageError(f"{place}: there is no such key", hint=_suggestion(key, KEYS))
        source[key] = Setting(value, place, directory)
    return source


def _load_toml(path: str) -> tuple[str, dict[str, Any]]:
    import tomllib

    try:
        with open(path, encoding="utf-8-sig", opener=open_shared) as file:
            text = file.read()
        return text, tomllib.loads(text)
    except UnicodeDecodeError:
        raise UsageError(f"{path}: is not UTF-8 text", hint="save it as UTF-8") from None
    except OSError as error:
        raise UsageError(f"{path}: {reason_of(error)}") from None
    except tomllib.TOMLDecodeError as error:
        what, _, where = str(error).partition(" (at ")
        match = re.match(r"line (\d+), column (\d+)", where)
        place = f"{match[1]}:{match[2]}" if match else str(text.count("\n") + 1)
        raise UsageError(f"{path}:{place}: {what[:1].lower()}{what[1:]}") from None


def _line_of(key: str, text: str) -> int | None:
    """The line that sets the key in a `[tool.devlaunch]` table written in the usual way."""
    header = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if match := re.match(r"\s*\[([^\[\]]*)\]", line):
            header = re.sub(r"[\s\"']", "", match[1])
            if header.startswith(f"tool.devlaunch.{key}"):
                return number
        elif header == "tool.devlaunch" and re.match(
            rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line
        ):
            return number
    return None


def _suggestion(word: str, valid: Sequence[str] | Mapping[str, str]) -> str:
    close = nearest(word, valid)
    return f"did you mean {close}?" if close else f"valid: {listed(sorted(valid), 'and')}"


# --- checks -------------------------------------------------------------------------------------


def _check_flags(flags: Source, values: Mapping[str, Any], *, for_apps: bool, target: str) -> None:
    """Flags that would do nothing are mistakes; in the file or environment they may stay."""
    for key, setting in flags.items():
        option = BY_KEY.get(key)
        if option is None or not _is_on(key, setting):
            continue
        if option.for_apps and not for_apps:
            raise UsageError(
                f"{setting.origin} is only for app targets (module:attr), not for {target}",
                hint="options for the target go after it",
            )
        if option.needs and not values.get(option.needs):
            needed = BY_KEY[option.needs].flag
            raise UsageError(
                f"{setting.origin} does nothing without {needed}", hint=f"add {needed}"
            )


def _check_paths(values: Mapping[str, Any], chosen: Source) -> None:
    if "app-dir" in chosen:
        _check_readable(values["app-dir"], chosen["app-dir"].origin, directory=True)
    for path in values.get("watch", ()):
        if not re.search(r"[*?\[]", path) or os.path.lexists(path):
            _check_readable(path, chosen["watch"].origin)


def _check_readable(path: str, origin: str, *, directory: bool = False) -> None:
    try:
        is_directory = stat.S_ISDIR(os.stat(path).st_mode)
        if directory and not is_directory:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(path, os.R_OK | os.X_OK if is_directory else os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        close = nearest(os.path.basename(path), _names(os.path.dirname(path)))
        hint = f"did you mean {close}?" if close and isinstance(error, FileNotFoundError) else ""
        raise UsageError(f"{origin} {path}: {reason_of(error)}", hint=hint) from None


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []
