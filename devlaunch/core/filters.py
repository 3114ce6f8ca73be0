"""Which directories are entered, which files are sources, which are asked for by name.

Pure: what lies on the disk (`.gitignore` texts, which directories are virtual environments, where
symbolic links lead) is told to it as data. Paths are real ones, of any system: see `core.paths`.

Patterns are gitignore(5) patterns relative to the root: without a slash they match at any depth.
On Windows they match in any case, as git has it there, and options may have backslashes.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from devlaunch.core.paths import basename, below, dirname, fold, is_below, resolve, slashed

if TYPE_CHECKING:
    from pathspec.patterns.gitignore.basic import GitIgnoreBasicPattern

Rules = Callable[[str], str | None]
"""Why a relative path, `/` after a directory's, is included, by the last pattern that matches.

Empty when that excludes it; None when there is none.
"""

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
Gitignore = tuple[str | None, str | None]
"""What is in a directory's .gitignore, and in its .git/info/exclude; None where there is none."""


def _rules(lines: Iterable[tuple[str, str]], root: str) -> Rules:
    """Compile gitignore lines, each with what to say of it; one that is no pattern matches nothing.

    Without any pattern pathspec is not loaded: that takes a while, and the app waits for us then.
    """
    compiled = ((_compile(fold(line, root)), why) for line, why in lines)
    known = [(pattern, why) for pattern, why in compiled if pattern is not None]
    if not known:
        return lambda _: None
    from pathspec import PathSpec

    spec = PathSpec([pattern for pattern, _ in known])

    def ask(path: str) -> str | None:
        found = spec.check_file(fold(path, root))
        if found.index is None:
            return None
        return known[found.index][1] if found.include else ""

    return ask


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
    if magic[0] == 1 and base in ("", pattern[:1] + ":"):  # the top of all, or of a drive
        base += "/"
    return base, "/".join(parts[magic[0] :])


def is_dropping(path: str) -> bool:
    """Whether an editor or a tool left this file beside the one that was meant."""
    return _DROPPING.match(basename(path)) is not None


def is_source(path: str) -> bool:
    """Whether the import system could load this file."""
    name = basename(path)
    return name.endswith(SOURCE_SUFFIXES) and name[0] not in ".#" and not is_dropping(name)


class _Watched:
    """One --watch value: a file, a directory (every file below it) or a glob."""

    def __init__(self, pattern: str, root: str) -> None:
        base, rest = split_glob(slashed(pattern, root))
        self.base = resolve(base, root)
        self._folded = fold(self.base, root)
        anchored = "/" in rest or bool(base)
        glob = f"/{rest}" if anchored else rest
        self._rules = _rules([(glob, glob)], root) if rest else None

    def is_at(self, path: str) -> bool:
        """Whether it names exactly this file."""
        return fold(path, self.base) == self._folded

    def matches(self, path: str) -> bool:
        folded = fold(path, self.base)
        if not is_below(folded, self._folded):
            return False
        return self._rules is None or bool(self._rules(below(folded, self._folded)))


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
        patterns = [(_relative(pattern, root), f"by --ignore {pattern}") for pattern in ignore]
        self._ignore = _rules(patterns, root)
        # Outside the root there is nothing that an anchored pattern could be relative to.
        names = (each for each in patterns if "/" not in each[0].rstrip("/"))
        self._ignore_anywhere = _rules(names, root)
        self._gitignores: dict[str, tuple[Gitignore, Rules]] = {}
        self._environments: frozenset[str] = frozenset()
        self._verdicts: dict[str, str] = {}
        self._executed: frozenset[str] = frozenset()

    @property
    def app_dirs(self) -> tuple[str, ...]:
        """The root, as a `.gitignore` and a symbolic link above it mean something else."""
        return (self.root,)

    @property
    def roots(self) -> tuple[str, ...]:
        """Where scanning begins: the root, and what --watch names elsewhere or in ignored trees."""
        return (self.root, *dict.fromkeys(w.base for w in self._watched if w.base != self.root))

    @property
    def watches(self) -> bool:
        """Whether --watch names anything."""
        return bool(self._watched)

    def learn_gitignore(self, directory: str, text: str | None, exclude: str | None = None) -> bool:
        """Take in what git ignores in a directory: see `Gitignore`.

        Returns whether that is news, so that verdicts about the tree below may differ now.
        """
        known, _ = self._gitignores.get(directory, ((None, None), None))
        if (text, exclude) == known:
            return False
        told = {path: value for path, value in self._gitignores.items() if path != directory}
        if (text, exclude) != (None, None):
            lines = [
                (line, f"by {below(resolve(file, directory), self.root)}:{number}")
                for file, content in ((".git/info/exclude", exclude), (".gitignore", text))
                for number, line in enumerate((content or "").splitlines(), start=1)
            ]
            told[directory] = (text, exclude), _rules(lines, self.root)
        self._gitignores = told
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
        return bool(self._why(directory))

    def is_watched(self, path: str) -> bool:
        """Whether --watch asks for the file, so that a change of it always counts."""
        if any(watched.is_at(path) for watched in self._watched):
            return True
        return (
            any(watched.matches(path) for watched in self._watched)
            and not is_dropping(path)
            and not self.is_excluded(path)
            and not self.ignores(dirname(path))
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
        may_be_script = "." not in basename(path) and not self.is_excluded(path)
        if (self._explains or may_be_script) and not is_dropping(path):
            return True
        return self.is_watched(path)

    def explains(self, directory: str) -> bool:
        """Whether to look into a directory that is ignored, at its files only, to say so."""
        return self._explains and self._key(directory) not in _UNEXPLAINED

    def why_ignored(self, path: str) -> str:
        """By what the file, or a directory above, is ignored: `by .gitignore:3`; empty if not."""
        return self._check_ignore(path, "") or self._why(dirname(path))

    def _why(self, directory: str) -> str:
        """By what the directory, or the topmost ignored one that it lies in, is ignored."""
        verdicts = self._verdicts
        why = verdicts.get(directory)
        if why is None:
            why = ""
            if directory not in self._tops:
                why = self._why_above(directory) or self._why_itself(directory)
            verdicts[directory] = why
        return why

    def _why_above(self, directory: str) -> str:
        parent = dirname(directory)
        # Above the tops names mean nothing: a project may well lie below a `.tox`.
        is_below_top = parent != directory and any(is_below(parent, top) for top in self._tops)
        return self._why(parent) if is_below_top else ""

    def _why_itself(self, directory: str) -> str:
        if (asked := self._check_ignore(directory, "/")) is not None:
            return asked
        if self._key(directory) in IGNORED_DIRECTORIES:
            return f"by the built-in list ({basename(directory)})"
        if directory in self._environments:
            return f"as a virtual environment ({basename(directory)})"
        return self._check_gitignores(directory) or ""

    def _check_ignore(self, path: str, mark: str) -> str | None:
        """What --ignore says. `mark` is `/` for a directory."""
        if is_below(path, self.root) and path != self.root:
            return self._ignore(below(path, self.root) + mark)
        return self._ignore_anywhere(basename(path) + mark)

    def _check_gitignores(self, directory: str) -> str | None:
        """What the nearest .gitignore with a matching pattern says, as in gitignore(5)."""
        verdict, parent, above = None, directory, dirname(directory)
        while verdict is None and above != parent:
            parent, above = above, dirname(above)
            if known := self._gitignores.get(parent):
                verdict = known[1](below(directory, parent) + "/")
        return verdict

    def _key(self, directory: str) -> str:
        """Its name, as it stands in the lists of names."""
        return fold(basename(directory), self.root)


def _of_each(name: str, combine: Callable[[list[bool]], bool]) -> Any:
    """A method that asks all programs, and tells them the same."""

    def ask(filters: AnyOf, *args: Any, **options: Any) -> bool:
        return combine([getattr(each, name)(*args, **options) for each in filters.programs])

    return ask


class AnyOf(Filters):
    """What one program or another asks for, as the one watcher of all has to know it."""

    def __init__(self) -> None:
        self.programs: list[Filters] = []

    learn_gitignore = _of_each("learn_gitignore", any)
    learn_environment = _of_each("learn_environment", any)
    is_environment = _of_each("is_environment", any)
    follow = _of_each("follow", any)
    ignores = _of_each("ignores", all)
    is_watched = _of_each("is_watched", any)
    reports = _of_each("reports", any)
    explains = _of_each("explains", any)

    @property
    def app_dirs(self) -> tuple[str, ...]:
        """The root of each."""
        return tuple(dict.fromkeys(each.root for each in self.programs))

    @property
    def roots(self) -> tuple[str, ...]:
        """Where scanning begins."""
        return tuple(dict.fromkeys(root for each in self.programs for root in each.roots))

    @property
    def watches(self) -> bool:
        """Whether a --watch names anything."""
        return any(each.watches for each in self.programs)


def _relative(pattern: str, root: str) -> str:
    """Make an --ignore value a gitignore pattern relative to the root."""
    pattern, prefix = slashed(pattern, root), slashed(root, root).rstrip("/") + "/"
    if fold(pattern, root).startswith(fold(prefix, root)):
        return "/" + pattern[len(prefix) :]
    if pattern.startswith("./"):
        return pattern[1:]
    return pattern
