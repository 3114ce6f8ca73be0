"""Modules that were imported ahead of time, out of sight until somebody imports them.

While they lie here they are not in sys.modules, and what their imports did elsewhere is undone, so
that a program which imports less than the last one did is none the wiser. Restoring a module
restores what it needs, in the order in which all that was imported.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping
from importlib.machinery import ExtensionFileLoader
from types import ModuleType
from typing import Any

from .. import hide
from ..modules import namespace_of
from .contexts import Context
from .effects import Effect, Face, Ledger, State, take_logged

hide(__name__)


class Group:
    """What one import brought: the root, and what had not been imported before it."""

    def __init__(self, root: str, names: list[str]) -> None:
        self.root = root
        self.names = names
        self.logged: list[tuple[Any, int]] = []
        """The loggers that were used, and at which levels."""


class Stash:
    """Filled group by group, then `put_away`, then emptied by `restore`."""

    def __init__(self, roots: Collection[str] = ()) -> None:
        """`roots` are those that were recorded."""
        self._roots = frozenset(roots)
        self.modules: dict[str, Any] = {}
        self.needs: dict[str, set[str]] = {}
        """By the name of the module that imports them; names of what is no module do no harm."""
        self.contexts: dict[str, Context] = {}
        """In which each module was imported."""
        self.ledger = Ledger()
        self._before = State.now()
        self._places = set(sys.path_importer_cache)
        self._faces = {name: Face(module) for name, module in sys.modules.items()}
        self._seen: dict[str, Any] = {}
        self._imported: dict[str, set[str]] = {}
        self._links: dict[str, set[str]] = {}
        self._baseline = set(sys.modules)
        self._groups: dict[str, Group] = {}
        self._order: dict[str, int] = {}
        self._bound: dict[str, tuple[dict[str, Any], str]] = {}

    def arrivals(self, context: Context) -> list[str]:
        """What has come into sys.modules since the last call, in `context`."""
        known = self.contexts
        names = [
            name for name in [*sys.modules] if name not in known and name not in self._baseline
        ]
        known.update(dict.fromkeys(names, context))
        return names

    def add(self, root: str) -> str | None:
        """Note what the import of `root` has brought; returns what else it has done, in words."""
        known = self._groups
        names = [each for each in sys.modules.copy() if each in self.contexts and each not in known]
        group = Group(root, names)
        changes = {name: face.change() for name, face in self._faces.items()}
        changed = [name for name, attribute in changes.items() if attribute]
        self._groups.update(dict.fromkeys(group.names, group))
        self._faces.update((name, Face(sys.modules.get(name))) for name in (*group.names, *changed))
        group.logged = take_logged()
        if changed:
            return f"changes {changed[0]}.{changes[changed[0]]}"
        return None

    def needing(self, culprits: Collection[str]) -> dict[str, str]:
        """Which roots need one of these modules, and which. Only before `put_away`."""
        self._link()
        found = {}
        for root in self._roots:
            for culprit in _reached([root], self._links, self._groups).intersection(culprits):
                found[root] = culprit
        return found

    def put_away(self) -> None:
        """Take all out of sight."""
        self._link()
        self._before.restore()
        self._seen = sys.modules.copy()
        for index, name in enumerate(self._groups):
            module = sys.modules.pop(name, None)
            if module is not None:
                self.modules[name] = module
                self._order[name] = index
        for name, module in self.modules.items():
            parent, _, child = name.rpartition(".")
            namespace = namespace_of(self._seen.get(parent))
            if namespace.get(child) is module:
                del namespace[child]
                self._bound[name] = namespace, child
        for place in sys.path_importer_cache.keys() - self._places:
            del sys.path_importer_cache[place]  # it may be listed anew within one tick of its clock

    def group(self, name: str) -> Group | None:
        """What a module that is still here came with."""
        return self._groups.get(name) if name in self.modules else None

    def find(self, name: str) -> Any:
        """A module that is here, or that another thread has just restored; None if neither."""
        module = self.modules.get(name)
        if module is None and name in self._groups:
            module = self._seen[name]
            return module if sys.modules.get(name) is module else None
        return module

    def coming_with(self, name: str) -> list[str]:
        """What `restore` has to bring for a module that is still here, in order."""
        group = self._groups[name]
        return self._closure(group.names if group.root == name else [name])

    def changed_for(self, names: Collection[str]) -> str | None:
        """What these modules found otherwise when they were imported; None: nothing."""
        present, seen, faces = sys.modules, self._seen, self._faces
        for each in present.keys() & names:
            mine = self.modules[each]
            is_loaded = namespace_of(mine).get("__spec__") is not None  # unlike cython_runtime
            if is_loaded and present[each] is not mine:
                return each
        for each in set().union(*map(self._imported.__getitem__, names)).difference(names):
            if present.get(each) is not seen[each] or faces[each].change():
                return each
        return None

    def needing_directly(self, name: str) -> list[str]:
        """The roots that are still here and have to do with this module."""
        found = []
        for root in self._roots.intersection(self.modules):
            names = self.coming_with(root)
            if name in names or any(name in self._imported[each] for each in names):
                found.append(root)
        return found

    def restore(self, names: list[str]) -> list[Effect]:
        """Put modules that come together where they belong; the effects are to be applied."""
        effects = self.ledger.take(names)
        if any(effect.loggers for effect in effects) and "logging" in self.modules:
            names = self._closure([*names, "logging"])
            effects += self.ledger.take(names)
        for each in names:
            sys.modules.setdefault(each, self.modules.pop(each))
            if each in self._bound:
                namespace, child = self._bound.pop(each)
                namespace[child] = sys.modules[each]
        return effects

    def give_up(self) -> None:
        """Restore nothing any more: what is still here is imported as if it had never been."""
        self.modules.clear()

    def _closure(self, names: Iterable[str]) -> list[str]:
        """These and what they need, as far as it is still here, in order."""
        return sorted(_reached(names, self._links, self.modules), key=self._order.__getitem__)

    def _link(self) -> None:
        """Bring `needs` down to modules, and complete it."""
        for name in self._groups:
            needs = self.needs.get(name, set()) | {name.rpartition(".")[0]}
            namespace = namespace_of(sys.modules.get(name))
            if isinstance(namespace.get("__loader__"), ExtensionFileLoader):  # imports unseen
                values = [each for each in namespace.values() if isinstance(each, ModuleType)]
                needs.update(each.__name__ for each in values)
            self._imported[name] = {
                each for each in needs & sys.modules.keys() if each in self._faces
            }
            self._links[name] = {each for each in needs if each in self._groups}


def _reached(
    names: Iterable[str], links: Mapping[str, Iterable[str]], within: Collection[str]
) -> set[str]:
    todo = [name for name in names if name in within]
    found = set(todo)
    while todo:
        for each in links[todo.pop()]:
            if each in within and each not in found:
                found.add(each)
                todo.append(each)
    return found
