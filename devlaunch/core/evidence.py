"""What is known of a process before it is judged: the input of `core.detection`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Hook:
    """A trace or profile function, by names.

    `owners` are the classes of the object it is bound to, bases included: `pdb.Pdb`, `bdb.Bdb`.
    """

    module: str
    name: str
    owners: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.owners[0] if self.owners else f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True)
class Pydevd:
    """What a loaded pydevd knows. `setup` is its `SetupHolder.setup`, None before it is set."""

    file: str = ""
    has_debugger: bool = False
    """A PyDB exists, is connected or listening, and has not been disposed."""
    is_client_attached: bool | None = None
    """A DAP client has finished its configuration; None: this fork does not say."""
    is_pycharms: bool = False
    """JetBrains' fork."""
    setup: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Debugpy:
    """What a loaded debugpy knows."""

    version: str = ""
    has_listened: bool = False
    """`debugpy.listen` was called."""
    has_adapter: bool = False
    """It started an adapter for that, and does not speak DAP by itself."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known of a process. `argv` is `sys.orig_argv`, with the interpreter's options.

    `tools` are the names under which `sys.monitoring` tools are registered, by id (PEP 669).
    `parent` is the parent's command line, empty where it cannot be had.
    """

    argv: tuple[str, ...] = field(default=(), repr=False)
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    modules: frozenset[str] = field(default=frozenset(), repr=False)
    parent: tuple[str, ...] = field(default=(), repr=False)
    pydevd: Pydevd | None = None
    debugpy: Debugpy | None = None
    trace: Hook | None = None
    threading_trace: Hook | None = None
    profile: Hook | None = None
    threading_profile: Hook | None = None
    tools: Mapping[int, str] = field(default_factory=dict)
