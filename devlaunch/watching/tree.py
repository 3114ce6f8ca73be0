"""A picture of the watched directories: what lies in them, and how symbolic links lead there.

One thread owns a Tree. Events of the OS only say where to look again (`examine`); polling and an
overflow of the OS's queue look everywhere again (`refresh_all`). Both compare with the picture, so
that they post the same paths. Work is cut into steps of one directory.

Directories are known by their real path and entered once, however many links lead there; `holders`
are the entries because of which one is watched, and with the last of them it is dropped.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Iterable

from devlaunch.core.changes import is_module_entry
from devlaunch.core.filters import Filters
from devlaunch.core.paths import is_below
from devlaunch.watching.contents import real_path
from devlaunch.watching.entries import (
    Child,
    Directory,
    Stamp,
    has_identity,
    identity_of,
    kind_of,
    mode_of,
    nearest_directory,
    read_gitignore,
    spellings,
    stamp_of,
)

_TOP, _MODULE = "", "module"


class Tree:
    """The picture, and the work that is still to do on it.

    `watch` and `unwatch` are those of `Backend`. Files that changed after `since_ns`
    (`time.time_ns()`) are touched when a first scan finds them, because no event may tell.
    """

    def __init__(
        self,
        filters: Filters,
        watch: Callable[[str, bool], str | None],
        unwatch: Callable[[str], None],
        since_ns: int,
    ) -> None:
        self.directories: dict[str, Directory] = {}
        self.touched: set[str] = set()
        self.lost: set[str] = set()
        """Tops that vanished, whose return no event will tell: see `retry`."""
        self._filters = filters
        self._watch = watch
        self._unwatch = unwatch
        self._since_ns = since_ns
        self._opened: list[Directory] = []
        self._pending: deque[tuple[str, int]] = deque()
        self._unreported: set[str] = set()
        self.tops: dict[str, bool] = {}
        self._files: set[str] = set()
        self._links: dict[str, str] = {}
        self._dangling: dict[str, str] = {}
        self._is_relinked = False
        self._by_identity: dict[tuple[int, int], str] = {}
        self._modules = self._module_directories = frozenset[str]()

    # --- what the watcher asks for --------------------------------------------------------------

    def add(self, path: str, *, recursive: bool) -> None:
        """Watch a directory, or the directory of a file, which then is reported whatever its name.

        One that does not exist is waited for.
        """
        self._add(path, recursive, self._since_ns)

    def look_for(self, search_path: Iterable[str], modules: Iterable[str]) -> None:
        """Report entries of these directories that may make one of the modules importable."""
        self.stop_looking()
        self._modules = frozenset(modules)
        self._module_directories = frozenset(map(real_path, search_path))
        for path in sorted(self._module_directories):
            if self._enter(Child(path, recursive=False), _MODULE, self._since_ns):
                self._pending.append((path, self._since_ns))

    def stop_looking(self) -> None:
        """Leave the directories that are watched because of `look_for` only."""
        directories, self._module_directories = self._module_directories, frozenset()
        for path in directories:
            if (directory := self.directories.get(path)) is None:
                continue
            for name in [n for n in directory.files if not self._is_wanted(path, n, ())]:
                del directory.files[name]
                if child := directory.children.pop(name, None):
                    self._release(child, os.path.join(path, name), silent=True)
            self._release(Child(path, recursive=False), _MODULE, silent=True)

    @property
    def busy(self) -> bool:
        """Whether there are directories to scan."""
        return bool(self._pending) or self._is_relinked

    def step(self) -> None:
        """Scan the next directory and compare it with the picture."""
        if not self._pending:
            self._follow_links()
            return
        path, since_ns = self._pending.popleft()
        if (directory := self.directories.get(path)) is not None:
            self._refresh(directory, since_ns)

    def pack(self) -> None:
        """Give back the memory that looking at directories took."""
        while self._opened:
            self._opened.pop().pack()

    def refresh_all(self, *, rewatch: bool = False) -> None:
        """Scan everything again; `rewatch` because the news that a directory went may be lost."""
        if rewatch:
            self._unreported.update(self.directories)
        self._pending.clear()
        self._pending.extend((path, 0) for path in self.directories)

    def retry(self) -> None:
        """Look whether what vanished is back."""
        for path in sorted(self.lost):
            self.lost.discard(path)
            self._add(path, self.tops[path], 0)

    def examine(self, path: str, *, is_new: bool = False) -> None:
        """Look at an entry again, because an event named it.

        `is_new`: it was only created. A regular file is then still to be written and closed, unless
        it is a hard link to one that has been.
        """
        self._follow_dangling(path)
        parent, name = os.path.split(path)
        if (directory := self.directories.get(parent)) is None:
            return
        if name == ".gitignore":
            self._pending.append((parent, 0))
        elif name == "pyvenv.cfg" and self._learn_environment(parent):
            self.examine(parent)
        if parent not in self.directories:
            return
        try:
            status = os.lstat(path)
        except OSError:
            self._apply(directory, name, None, None, since_ns=0, is_event=True)
            return
        if is_new and stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
            return
        stamp, child = self._classify(directory, name, status, spellings(parent, self._links)[1:])
        self._apply(directory, name, stamp, child, since_ns=0, is_event=True)

    def recheck(self, path: str) -> None:
        """Look what has become of a directory that went; another may have its path and inode."""
        if (directory := self.directories.get(path)) is not None:
            self._unwatch(path)
            self._unreported.add(path)
            self._refresh(directory, 0)

    # --- directories ----------------------------------------------------------------------------

    def _add(self, path: str, recursive: bool, since_ns: int) -> None:
        real = real_path(path)
        # Looked at once: a directory may come into being meanwhile.
        mode = mode_of(real)
        if mode is not None and not stat.S_ISDIR(mode):
            self._files |= {path, real}
            if path != real:
                self._add(os.path.dirname(real), recursive=False, since_ns=since_ns)
            real, recursive = real_path(os.path.dirname(path)), False
        elif real != path:
            self._links[path] = real
        if recursive:
            self._filters.follow(real)
        self.tops[real] = recursive or self.tops.get(real, False)
        if not self._enter(Child(real, recursive), _TOP, since_ns):
            self.lost.add(real)

    def _enter(self, child: Child, holder: str, since_ns: int) -> bool:
        """Watch a directory and put its scan on the list; says whether it is watched now."""
        if known := self.directories.get(child.path):
            if os.path.dirname(holder) != child.path:  # else it would hold itself for ever
                known.holders.add(holder)
            if child.recursive and not known.recursive:
                known.recursive = True
                self._unreported.add(child.path)
                self._pending.append((child.path, since_ns))
            return True
        try:
            identity = identity_of(child.path)
            if self._is_entered_elsewhere(child.path, identity):
                return True
            self._report(child.path, whole=child.recursive)
        except OSError:
            return False
        self._by_identity[identity] = child.path
        new = Directory(child.path, identity, child.recursive, {holder}, self._opened)
        self.directories[child.path] = new
        self._pending.append((child.path, since_ns))
        return True

    def _is_entered_elsewhere(self, path: str, identity: tuple[int, int]) -> bool:
        """Whether a bind mount shows the same directory under another path."""
        other = self._by_identity.get(identity, path)
        if other == path or not has_identity(other, identity):
            return False
        self._links[path] = other
        return True

    def _report(self, path: str, *, whole: bool) -> None:
        """Have the entries of a directory reported (OSError: impossible)."""
        moved = self._watch(path, whole)
        self._unreported.discard(path)
        if moved is not None and moved in self.directories:
            # What lay there lies here now; another may have taken its place.
            self._unreported.add(moved)
            self._pending.append((moved, 0))

    def _release(self, child: Child, holder: str, *, silent: bool = False) -> None:
        if directory := self.directories.get(child.path):
            directory.holders.discard(holder)
            if not directory.holders:
                self._drop(directory, silent=silent)

    def _drop(self, directory: Directory, *, silent: bool = False) -> None:
        """Forget a directory, and those that are watched because of it."""
        dropped = [directory]
        while dropped:
            directory = dropped.pop()
            if self.directories.pop(directory.path, None) is None:
                continue
            if self._by_identity.get(directory.identity) == directory.path:
                del self._by_identity[directory.identity]
            self._unwatch(directory.path)
            self._unreported.discard(directory.path)
            for name in () if silent else directory.files:
                self._touch(os.path.join(directory.path, name))
            for name, child in directory.children.items():
                entry = os.path.join(directory.path, name)
                self._links.pop(entry, None)
                self._dangling.pop(entry, None)
                if held := self.directories.get(child.path):
                    held.holders.discard(entry)
                    if not held.holders:
                        dropped.append(held)

    def _lose(self, directory: Directory) -> None:
        """The directory is gone, whoever holds it."""
        if _TOP in directory.holders:
            self.lost.add(directory.path)
        # A link that led here dangles now, so that it holds another directory.
        links = [os.path.dirname(h) for h in directory.holders if self._links.get(h)]
        self._pending.extend((path, 0) for path in links)
        self._drop(directory)

    def _refresh(self, directory: Directory, since_ns: int) -> None:
        try:
            identity = identity_of(directory.path)
            if directory.path in self._unreported:
                if self._is_entered_elsewhere(directory.path, identity):
                    self._drop(directory)
                    return
                self._report(directory.path, whole=directory.recursive)
            if identity != directory.identity:
                self._replace(directory, identity)
            with os.scandir(directory.path) as scan:
                entries = {entry.name: entry for entry in scan}
        except OSError:
            self._lose(directory)
            return
        has_rules = ".gitignore" in entries or ".git" in entries
        text = read_gitignore(directory.path) if has_rules else None
        if self._filters.learn_gitignore(directory.path, text):
            self._refresh_below(directory.path)
        self._follow_dangling(directory.path)
        others = spellings(directory.path, self._links)[1:]
        known = directory.files.keys() | directory.children.keys()
        for name in known | entries.keys():
            if name not in known and self._is_beside(directory.path, entries[name], others):
                continue
            entry = entries.get(name)
            stamp, child = self._classify(directory, name, entry, others) if entry else (None, None)
            self._apply(directory, name, stamp, child, since_ns)

    def _replace(self, directory: Directory, identity: tuple[int, int]) -> None:
        """Another directory has taken the place of this one, and of all that lay below."""
        self._report(directory.path, whole=directory.recursive)
        if self._by_identity.get(directory.identity) == directory.path:
            del self._by_identity[directory.identity]
        self._by_identity[identity] = directory.path
        directory.identity = identity
        self._refresh_below(directory.path)

    def _follow_dangling(self, path: str) -> None:
        """Scan links again when more of the way to where they lead exists now."""
        for link, target in self._dangling.items():
            parent, name = os.path.split(link)
            if is_below(target, path) and parent in self.directories:
                held = self.directories[parent].children.get(name)
                nearest = Child(nearest_directory(target), recursive=False)
                if os.path.exists(target) or held != nearest:
                    self._pending.append((parent, 0))

    def _follow_links(self) -> None:
        """Scan links again that lead through another one, or a directory, which has changed."""
        self._is_relinked = False
        stale = {link for link, target in self._links.items() if real_path(link) != target}
        self._pending.extend((path, 0) for path in {os.path.dirname(link) for link in stale})

    def _refresh_below(self, path: str) -> None:
        below = (other for other in self.directories if is_below(other, path) and other != path)
        self._pending.extend((other, 0) for other in below)

    # --- entries --------------------------------------------------------------------------------

    def _classify(
        self,
        directory: Directory,
        name: str,
        entry: os.DirEntry[str] | os.stat_result,
        others: Iterable[str],
    ) -> tuple[Stamp | None, Child | None]:
        """What to remember of an entry, and which directory to watch because of it."""
        path = os.path.join(directory.path, name)
        is_directory, is_link = kind_of(entry)
        leads_to = real_path(path) if is_link else path
        # Looked at once: it may come into being meanwhile.
        mode = mode_of(leads_to) if is_link else None
        wanted, child = self._is_module_entry(directory.path, name), None
        if is_directory or (mode is not None and stat.S_ISDIR(mode)):
            if directory.recursive and self._enters(path, leads_to):
                child = Child(leads_to, recursive=True)
                if is_link:
                    self._filters.follow(leads_to)
            elif wanted or (directory.recursive and not is_link and self._filters.explains(path)):
                child = Child(leads_to, recursive=False)
        else:
            wanted = wanted or self._is_wanted(directory.path, name, others)
            if wanted and is_link:
                self._files.add(leads_to)
                child = Child(os.path.dirname(leads_to), recursive=False)
        self._dangling.pop(path, None)
        if is_link and directory.recursive and mode is None:
            self._dangling[path] = leads_to
            child = Child(nearest_directory(leads_to), recursive=False)
        if child and is_link:
            self._links[path] = leads_to
        return (stamp_of(path) if wanted else None), child

    def _apply(
        self,
        directory: Directory,
        name: str,
        stamp: Stamp | None,
        child: Child | None,
        since_ns: int,
        *,
        is_event: bool = False,
    ) -> None:
        """Bring the picture of one entry up to date, and touch what differs."""
        path = os.path.join(directory.path, name)
        files = directory.files
        old, new = files.get(name), stamp.fingerprint if stamp else None
        if is_event:
            is_touched = new is not None or old is not None
        else:
            is_touched = new != old and (stamp is None or stamp.changed_ns >= since_ns)
        if is_touched:
            self._touch(path)
        if is_event and self._is_module_entry(*os.path.split(directory.path)):
            self._touch(directory.path)
        if new is not None:
            files[name] = new
        else:
            files.pop(name, None)
        self._apply_child(directory, name, child, since_ns, is_event=is_event)

    def _apply_child(
        self, directory: Directory, name: str, child: Child | None, since_ns: int, *, is_event: bool
    ) -> None:
        path = os.path.join(directory.path, name)
        old_child = directory.children.get(name)
        if old_child is not None and old_child != child:
            self._is_relinked = True
            del directory.children[name]
            self._release(old_child, path)
        if child is None:
            self._links.pop(path, None)
            self._dangling.pop(path, None)
            return
        directory.children[name] = child
        is_known = child.path in self.directories
        is_entered = self._enter(child, path, since_ns)
        if directory.recursive and not is_entered and not os.path.isdir(child.path):
            self._pending.append((directory.path, 0))  # gone just now: a link leads elsewhere
        if is_known and is_event:
            self._pending.append((child.path, 0))
        if is_known and child != old_child and child.recursive and not since_ns:
            # Already in the picture under another path, so no scan will find the files new.
            self._touch_below(child.path)

    def _touch_below(self, path: str) -> None:
        """Touch the files of a tree: those in the picture, and what scans are still to find."""
        self._pending = deque(
            (other, 0 if is_below(other, path) else since_ns) for other, since_ns in self._pending
        )
        for directory in self.directories.values():
            if is_below(directory.path, path):
                for name in directory.files:
                    self._touch(os.path.join(directory.path, name))

    def _touch(self, path: str) -> None:
        self.touched.add(path)
        self.touched.update(spellings(self._links.get(path, path), self._links))

    def _is_wanted(self, directory: str, name: str, others: Iterable[str]) -> bool:
        path = os.path.join(directory, name)
        return (
            path in self._files
            or self._filters.reports(path)
            or any(self._filters.is_watched(os.path.join(other, name)) for other in others)
        )

    def _is_beside(self, path: str, entry: os.DirEntry[str], others: Iterable[str]) -> bool:
        """Whether a new entry is a file that nobody asks for, as most are in large trees."""
        if not entry.is_file(follow_symlinks=False) or self._is_module_entry(path, entry.name):
            return False
        return not self._is_wanted(path, entry.name, others)

    def _is_module_entry(self, directory: str, name: str) -> bool:
        return directory in self._module_directories and is_module_entry(name, self._modules)

    def _enters(self, path: str, leads_to: str) -> bool:
        if self._filters.ignores(path):
            return False
        if path != leads_to and any(is_below(top, leads_to) for top in self._filters.app_dirs):
            return False  # a link to a directory above the root would make all of that ours
        if leads_to not in self.directories:
            self._learn_environment(leads_to)
        return not self._filters.is_environment(leads_to)

    def _learn_environment(self, path: str) -> bool:
        return self._filters.learn_environment(path, os.path.exists(f"{path}/pyvenv.cfg"))
