"""Which directories are entered, which files are sources, which are asked for by name.

Pure: what lies on the disk (`.gitignore` texts, which directories are virtual environments, where
symbolic links lead) is told to it as data. Paths are absolute, normalized and `/`-separated.

Patterns are gitignore(5) patterns relative to the root: without a slash they match at any depth.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import PathSpec
    from pathspec.patterns.gitignore.basic import GitIgnoreBasicPattern

    Rules = PathSpec[GitIgnoreBasicPattern]

IGNORED_DIRECTORIES = frozenset(
    {
        *(".git", ".hg", ".svn", ".venv", "venv", ".tox", ".nox", "site-packages", "node_modules"),
        *("__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".idea", ".vscode"),
    }
)
"""Directories that are never entered, unless --watch names something inside."""
SOURCE_SUFFIXES = (".py", ".so", ".pyd")
"""What `importlib.machinery` has finders for; `.pyc` is left out: it follows its source."""
_DROPPINGS = (
    *("*~", ".#*", "#*#", "*.swp", "*.swo", "*.swx", ".*.sw?", "4913", "*.tmp", "*.tmp.*", "*.bak"),
    *("*.orig", "*.rej", "*.part", "*.crdownload", "*___jb_tmp___", "*___jb_old___", ".!*!*"),
    *(".goutputstream-*", ".nfs*", ".fuse_hidden*", "*.pyc", "*.pyo"),
)
"""What editors (Vim, Emacs, JetBrains, GNOME) and others leave beside a file while they save it."""
_DROPPING = re.compile("|".join(map(fnmatch.translate, _DROPPINGS)))
_MAGIC = frozenset("*?[")
_UNEXPLAINED = frozenset({".git", ".hg", ".svn", "__pycache__"})
"""Ignored directories in which nobody saves anything."""
GITIGNORE_BEGINS = "# devlaunch: here .gitignore begins, after .git/info/exclude"
"""The line between the two in the text that is handed to `Filters.learn_gitignore`."""


def _spec(lines: Iterable[str]) -> Rules | None:
    """Compile gitignore lines; as in git, a line that is no pattern matches nothing.

    None when there is no pattern: pathspec takes a while to load, and the app waits for us then.
    """
    patterns = [pattern for line in lines if (pattern := _compile(line)) is not None]
    if not patterns:
        return None
    from pathspec import PathSpec

    return PathSpec(patterns)


def _verdict(rules: Rules | None, path: str) -> bool | None:
    """Whether the rules include the path; None when no pattern matches."""
    return None if rules is None else rules.check_file(path).include


def _compile(line: str) -> GitIgnoreBasicPattern | None:
    if not line.strip() or line.startswith("#"):
        return None
    from pathspec.patterns.gitignore import GitIgnorePatternError
    from pathspec.patterns.gitignore.basic import GitIgnoreBasicPattern

    try:
        return GitIgnoreBasicPattern(line)
    except (GitIgnorePatternError, re.error):  # the latter for ranges such as [z-a]
        return None


def is_pattern(text: str) -> bool:
    """Whether the text can be a gitignore pattern."""
    return not text.strip() or text.startswith("#") or _compile(text) is not None


def is_glob(pattern: str) -> bool:
    """Whether a --watch value is a glob; else it is the path of a file or directory."""
    return not _MAGIC.isdisjoint(pattern)


def split_glob(pattern: str) -> tuple[str, str]:
    """Split a pattern into its directory part without magic characters and the rest.

    `src/app/**/*.html` is `("src/app", "**/*.html")`; a plain path is `(path, "")`.
    """
    parts = pattern.split("/")
    magic = [index for index, part in enumerate(parts) if is_glob(part)]
    if not magic:
        return pattern, ""
    base = "/".join(parts[: magic[0]])
    if not base and pattern.startswith("/"):
        base = "/"
    return base, "/".join(parts[magic[0] :])


def is_below(path: str, directory: str) -> bool:
    """Whether `path` is `directory` or lies in its tree."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def is_dropping(path: str) -> bool:
    """Whether an editor or a tool left this file beside the one that was meant."""
    return _DROPPING.match(posixpath.basename(path)) is not None


def is_source(path: str) -> bool:
    """Whether the import system could load this file."""
    name = posixpath.basename(path)
    return name.endswith(SOURCE_SUFFIXES) and name[0] not in ".#" and not is_dropping(name)


class _Watched:
    """One --watch value: a file, a directory (every file below it) or a glob."""

    def __init__(self, pattern: str, root: str) -> None:
        base, rest = split_glob(pattern)
        self.base = posixpath.normpath(posixpath.join(root, base))
        anchored = "/" in rest or bool(base)
        self._is_glob = bool(rest)
        self._rules = _spec([f"/{rest}" if anchored else rest]) if rest else None

    def matches(self, path: str) -> bool:
        if not is_below(path, self.base):
            return False
        if not self._is_glob:
            return True
        return bool(_verdict(self._rules, path[len(self.base.rstrip("/")) + 1 :]))


class Filters:
    """What --watch and --ignore, .gitignore files and custom say about a path.

    `root` is the app's directory; `watch` and `ignore` hold the options' values. Tell it about each
    directory with `learn_…` before its entries are asked for. One thread may tell while others ask:
    what is told replaces values and never changes them, the verdicts made of the old ones included.

    `explains`: people are told why a save does nothing, so that more is worth an event.
    """

    def __init__(
        self,
        root: str,
        watch: Iterable[str] = (),
        ignore: Iterable[str] = (),
        *,
        explains: bool = False,
    ) -> None:
        self.root = root
        self._explains = explains
        self._watched = tuple(_Watched(pattern, root) for pattern in watch)
        self._tops = frozenset((root, *(watched.base for watched in self._watched)))
        self._ignored = tuple(ignore)
        patterns = [_relative(pattern, root) for pattern in self._ignored]
        self._ignore = _spec(patterns)
        # Outside the root there is nothing that an anchored pattern could be relative to.
        self._ignore_anywhere = _spec(line for line in patterns if "/" not in line.rstrip("/"))
        self._gitignores: dict[str, tuple[str, Rules | None]] = {}
        self._environments: frozenset[str] = frozenset()
        self._verdicts: dict[str, bool] = {}
        self._executed: frozenset[str] = frozenset()

    @property
    def roots(self) -> tuple[str, ...]:
        """Where scanning begins: the root, and what --watch names elsewhere or in ignored trees."""
        return (self.root, *dict.fromkeys(w.base for w in self._watched if w.base != self.root))

    @property
    def watches(self) -> bool:
        """Whether --watch names anything."""
        return bool(self._watched)

    def learn_gitignore(self, directory: str, text: str | None) -> bool:
        """Take in what a directory's .gitignore says (None: it has none).

        Returns whether that is news, so that verdicts about the tree below may differ now.
        """
        known = self._gitignores.get(directory)
        if text == (known[0] if known else None):
            return False
        others = {path: value for path, value in self._gitignores.items() if path != directory}
        told = {} if text is None else {directory: (text, _spec(text.splitlines()))}
        self._gitignores = others | told
        self._verdicts = {}
        return True

    def learn_executed(self, paths: Iterable[str]) -> None:
        """Take in that the app runs these files, whatever they are called."""
        self._executed |= {path for path in paths if not is_source(path)}

    def learn_environment(self, directory: str, is_environment: bool) -> bool:
        """Take in whether a directory holds a pyvenv.cfg; returns whether that is news."""
        if is_environment == (directory in self._environments):
            return False
        self._environments ^= {directory}
        self._verdicts = {}
        return True

    def is_environment(self, directory: str) -> bool:
        """Whether the directory was said to hold a pyvenv.cfg."""
        return directory in self._environments

    def follow(self, directory: str) -> None:
        """Take a directory as a top: a symbolic link that is entered leads there."""
        if directory not in self._tops:
            self._tops |= {directory}
            self._verdicts = {}

    def ignores(self, directory: str) -> bool:
        """Whether the directory, or one that it lies in, is an ignored one."""
        verdicts = self._verdicts
        verdict = verdicts.get(directory)
        if verdict is None:
            verdict = directory not in self._tops and (
                self._is_ignored_itself(directory) or self._is_in_ignored(directory)
            )
            verdicts[directory] = verdict
        return verdict

    def is_watched(self, path: str) -> bool:
        """Whether --watch asks for the file, so that a change of it always counts."""
        if any(watched.base == path for watched in self._watched):
            return True
        return (
            any(watched.matches(path) for watched in self._watched)
            and not is_dropping(path)
            and not self.is_excluded(path)
            and not self.ignores(posixpath.dirname(path))
        )

    def is_excluded(self, path: str) -> bool:
        """Whether --ignore names the file, so that it never counts."""
        return bool(self._check_ignore(path, ""))

    def reports(self, path: str) -> bool:
        """Whether an event of this file is worth passing on.

        A source is, also one that never counts: its cached bytecode is stale. So is a file without
        a suffix: a script may have any name.
        """
        if is_source(path) or path in self._executed:
            return True
        if self._explains and not is_dropping(path):
            return True
        if "." not in posixpath.basename(path) and not is_dropping(path):
            return not self.is_excluded(path) or self.is_watched(path)
        return self.is_watched(path)

    def explains(self, directory: str) -> bool:
        """Whether to look into a directory that is ignored, at its files only, to say so."""
        return self._explains and posixpath.basename(directory) not in _UNEXPLAINED

    def why_ignored(self, path: str) -> str:
        """By what the file, or a directory above, is ignored: `by .gitignore:3`; empty if not."""
        if self.is_excluded(path):
            return self._ignored_by(path, "")
        directory = posixpath.dirname(path)
        if not self.ignores(directory):
            return ""
        while self.ignores(posixpath.dirname(directory)):
            directory = posixpath.dirname(directory)
        if self._check_ignore(directory, "/"):
            return self._ignored_by(directory, "/")
        name = posixpath.basename(directory)
        if name in IGNORED_DIRECTORIES:
            return f"by the built-in list ({name})"
        if directory in self._environments:
            return f"as a virtual environment ({name})"
        return self._gitignored_by(directory)

    def _ignored_by(self, path: str, mark: str) -> str:
        """The last --ignore value that matches."""
        inside = is_below(path, self.root)
        subject = (_below(path, self.root) if inside else posixpath.basename(path)) + mark
        rules = ((value, _spec([_relative(value, self.root)])) for value in reversed(self._ignored))
        return "by --ignore " + next(
            (value for value, rule in rules if _verdict(rule, subject)), ""
        )

    def _gitignored_by(self, directory: str) -> str:
        """The last line that matches, of the nearest .gitignore with one."""
        above = posixpath.dirname(directory)
        while above not in self._gitignores or self._check_gitignore(above, directory) is None:
            above = posixpath.dirname(above)
        lines, relative = self._gitignores[above][0].splitlines(), _below(directory, above) + "/"
        count = next(
            n for n in range(len(lines), 0, -1) if _verdict(_spec([lines[n - 1]]), relative)
        )
        file, begins = ".gitignore", 0
        if GITIGNORE_BEGINS in lines:
            begins = lines.index(GITIGNORE_BEGINS) + 1
            if count < begins:
                file, begins = ".git/info/exclude", 0
        name = posixpath.join(_below(above, self.root), file)
        return f"by {name}:{count - begins}"

    def _is_in_ignored(self, directory: str) -> bool:
        parent = posixpath.dirname(directory)
        # Above the tops names mean nothing: a project may well lie below a `.tox`.
        return any(is_below(parent, top) for top in self._tops) and self.ignores(parent)

    def _is_ignored_itself(self, directory: str) -> bool:
        if (asked := self._check_ignore(directory, "/")) is not None:
            return asked
        return (
            posixpath.basename(directory) in IGNORED_DIRECTORIES
            or directory in self._environments
            or bool(self._check_gitignores(directory))
        )

    def _check_ignore(self, path: str, mark: str) -> bool | None:
        """What --ignore says; None when no pattern matches. `mark` is `/` for a directory."""
        if is_below(path, self.root) and path != self.root:
            relative = path[len(self.root.rstrip("/")) + 1 :]
            return _verdict(self._ignore, relative + mark)
        return _verdict(self._ignore_anywhere, posixpath.basename(path) + mark)

    def _check_gitignores(self, directory: str) -> bool | None:
        """What the nearest .gitignore with a matching pattern says, as in gitignore(5)."""
        parent = posixpath.dirname(directory)
        while True:
            verdict = self._check_gitignore(parent, directory)
            if verdict is not None:
                return verdict
            above = posixpath.dirname(parent)
            if above == parent:
                return None
            parent = above

    def _check_gitignore(self, parent: str, directory: str) -> bool | None:
        known = self._gitignores.get(parent)
        return _verdict(known[1], _below(directory, parent) + "/") if known else None


def _below(path: str, directory: str) -> str:
    """The path relative to a directory above; itself when that is none."""
    return path[len(directory.rstrip("/")) + 1 :] if is_below(path, directory) else path


def _relative(pattern: str, root: str) -> str:
    """Make an --ignore value a gitignore pattern relative to the root."""
    prefix = root.rstrip("/") + "/"
    if pattern.startswith(prefix):
        return "/" + pattern[len(prefix) :]
    if pattern.startswith("./"):
        return pattern[1:]
    return pattern
