"""Who may import whom: vocabulary <- pure core <- IO shell <- front; the child stands alone."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

import devlaunch

PACKAGE = Path(devlaunch.__file__).parent
TESTS = Path(__file__).parent
VOCABULARY = {"errors", "events", "config"}
IMPURE = {
    "asyncio", "ctypes", "fcntl", "multiprocessing", "os", "pathlib", "random", "select",
    "selectors", "shutil", "signal", "socket", "subprocess", "tempfile", "termios", "threading",
    "time",
}  # fmt: skip
PURE_LIBRARIES = {"pathspec"}


FRONT = {"cli", "api", "doctor", "init", "adapter"}
"""Where people, programs and editors come in: nobody else imports it."""


def room(module: str) -> str:
    return module.partition(".")[0]


def is_core(module: str) -> bool:
    return module.startswith("core") or (module.startswith("dap") and module != "dap.sockets")


def modules() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
        for path in PACKAGE.rglob("*.py")
    }


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    tree = ast.parse(path.read_text("utf-8"))
    for_types_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types_only:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 or "child" in path.parts, f"{path}: relative import"
            if node.level == 0 and node.module:
                found.add(node.module)
    return found


def ours(names: set[str]) -> set[str]:
    return {name.removeprefix("devlaunch.") for name in names if name.startswith("devlaunch.")}


def foreign(names: set[str]) -> set[str]:
    tops = {name.partition(".")[0] for name in names}
    return tops - set(sys.stdlib_module_names) - {"devlaunch"}


def problems(module: str, names: set[str]) -> list[str]:
    """What in these imports breaks the rule of the ring that `module` is in."""
    if module in VOCABULARY:
        return [f"vocabulary imports {n}" for n in (ours(names) - VOCABULARY) | foreign(names)]
    if is_core(module):
        return [
            f"core imports {n}"
            for n in {o for o in ours(names) if o not in VOCABULARY and not is_core(o)}
            | {n for n in names if n.partition(".")[0] in IMPURE}
            | (foreign(names) - PURE_LIBRARIES)
        ]
    found = []
    if "click" in foreign(names) and module != "target.commandline":
        found.append("click outside target.commandline")
    if room(module) not in {*FRONT, "__main__", "__init__"}:
        found += [f"the shell imports {n} of the front" for n in ours(names) if room(n) in FRONT]
    return found


@pytest.mark.parametrize(
    ("module", "path"), [(m, p) for m, p in modules().items() if not m.startswith("child")]
)
def test_ring(module: str, path: Path) -> None:
    assert problems(module, imports(path)) == []


@pytest.mark.parametrize("path", sorted((PACKAGE / "child").rglob("*.py")), ids=str)
def test_the_child_imports_nothing_of_devlaunch(path: Path) -> None:
    assert not [n for n in imports(path) if n.partition(".")[0] == "devlaunch"]


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("errors", {"devlaunch.system.loop"}),
        ("events", {"click"}),
        ("core.supervisor", {"time"}),
        ("core.supervisor", {"devlaunch.system.loop"}),
        ("dap.keeper", {"socket"}),
        ("dap.keeper", {"devlaunch.dap.sockets"}),
        ("cli", {"click"}),
        ("system.loop", {"click"}),
        ("run.launcher", {"devlaunch.adapter.plan"}),
    ],
)
def test_the_test_can_fail(module: str, names: set[str]) -> None:
    assert problems(module, names)


def test_no_import_cycle() -> None:
    graph = {
        module: {o for o in ours(imports(path)) if o in modules()} - {module}
        for module, path in modules().items()
        if module != "devlaunch"
    }
    done: set[str] = set()
    while ready := {m for m, needs in graph.items() if m not in done and needs <= done}:
        done |= ready
    assert set(graph) - done == set()


def test_modules_and_functions_stay_small() -> None:
    for module, path in modules().items():
        source = path.read_text("utf-8")
        assert source.count("\n") <= 450, f"{module} has {source.count(chr(10))} lines"
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno
                assert length <= 50, f"{module}.{node.name} has {length} lines"


DURATION = re.compile(r"\b(monotonic|perf_counter|process_time|time)(_ns)?\(\) *-|\btimeit\b")


def test_no_test_measures_time() -> None:
    """On a busy machine it takes any time: tests count, or poll until a deadline."""
    assert DURATION.search("assert time.monotonic() - began < 2")
    sources = [path for path in TESTS.rglob("test_*.py") if path != Path(__file__)]
    assert [path.name for path in sources if DURATION.search(path.read_text("utf-8"))] == []
