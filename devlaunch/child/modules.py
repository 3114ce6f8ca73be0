"""Which files run in this process, and which of all files are the user's own.

An audit hook (PEP 578) sees each before its first line runs. What lies in sys.modules at a look
misses a settings file that Flask executes, plug-ins, and modules that replace or remove themselves.
It costs a call for each audit event, 0.2 to 0.3 µs: twice the time in what does little else than
`id()` (`copy.deepcopy` of many small objects), a sixth in what logs much, hardly any in requests,
none in imports of large libraries.

Python processes below the child load this file too, by its location (`below/sitecustomize`). So it
needs nothing that Python has not loaded by then, nor anything newer than CPython 3.8. That is 1 to
2 ms for such a process, and 50 µs for each file of the user's. They find it by PYTHONPATH, which is
set behind `os.environ` (putenv(3)), and in a dict that is handed to `subprocess`. There the caller
sees it: one audit event tells of a start, the environment is built from that dict afterwards, and
there is no later moment to take it out. To replace the functions of `subprocess` would put frames
of ours into the user's stacks, between pydevd's and gevent's own.
"""

from __future__ import annotations

import _socket
import os
import sys
from _imp import extension_suffixes
from os.path import abspath, basename, dirname, join, normcase, realpath

if __package__:
    from . import hide

    hide(__name__)

TYPE_CHECKING = False  # as type checkers know it: typing takes longer to load than all of this
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def _tree(directory: str) -> str:
    """What the paths below it begin with, as `normcase` spells them."""
    return normcase(join(abspath(directory), ""))


# On Windows the extension modules have a directory of their own.
_PYTHONS = (dirname(os.__file__), join(sys.base_prefix, "DLLs"))
_STDLIB = tuple(_tree(spell(each)) for each in _PYTHONS for spell in (abspath, realpath))
_HERE = _tree(dirname(dirname(abspath(__file__))))
_BESIDE = _tree(dirname(abspath(sys.executable)))
# Not where an interpreter was unpacked beside the project's files.
_SCRIPTS = [_BESIDE] if _BESIDE.endswith((f"bin{os.sep}", normcase("Scripts/"))) else []
_PACKAGES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_CACHES = (
    *(f"{os.sep}{name}{os.sep}" for name in (".cache", "archive-v0")),
    normcase("/Library/Caches/"),
)
"""Where installers link packages from, when they are told to."""
_PYTHON = (".py", ".pyw")
_SUFFIXES = (*_PYTHON, *extension_suffixes())

_BELOW = join(dirname(abspath(__file__)), "below")
_VARIABLE = "PYTHONPATH"

PATIENCE = 0.2
"""Seconds for which the launcher may leave a report unread (a few fit into its queue)."""
MOST_FILES = 32
"""In a report: paths of the greatest length (PATH_MAX) still fit."""

_WRITING = os.O_WRONLY | os.O_RDWR

_libraries: list[str] = []
_real: dict[str, str] = {}


def add_library(directory: str) -> None:
    """A further directory that is not the user's: where the debugger was loaded from."""
    _libraries.append(_tree(directory))


def is_users(path: str) -> bool:
    """Whether an absolute file name is neither of the stdlib nor of an installed package.

    What counts is where the file lies: a package may be installed as a link into its project.
    """
    if path.startswith("<"):
        return False
    path = normcase(path)
    if path.startswith((_HERE, *_SCRIPTS, *_libraries)):
        return False
    if any(part in path for part in _PACKAGES):
        real = _real_path(path)
        return not any(part in real for part in (*_PACKAGES, *_CACHES))
    if path.startswith(_STDLIB):
        return False
    real = _real_path(path)
    return not real.startswith(_STDLIB) and not any(part in real for part in _PACKAGES)


def _real_path(path: str) -> str:
    real = _real.get(path)
    if real is None:
        place = dirname(path)
        if place not in _real:
            _real[place] = realpath(place)
        real = join(_real[place], basename(path))
        if os.path.islink(real):
            real = realpath(real)
        _real[path] = real = normcase(real)
    return real


class Reports:
    """Tells the launcher each file of the user's once, before any of its code runs.

    What runs is seen by an audit hook (PEP 578), which may be called in the midst of anything, in
    any thread: it takes no lock, calls no code of the user's, and raises nothing of its own.

    Each report is a datagram to the address in the environment: nothing is open that a program
    could close, or that a forked process would have to share. A forked process goes on reporting;
    one that is started anew finds `below/sitecustomize` on its PYTHONPATH.
    """

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._found: list[str] = []
        self._address = os.environ.get("DEVLAUNCH_REPORTS")
        self._mark = os.environ.get("DEVLAUNCH_RUN", "")
        self._patience = PATIENCE
        self.is_silent = False
        """Without an address: whether a process was started that may be a Python."""

    def start(self) -> None:
        """Report from now on. Without an address what was found waits to be taken."""
        actions: dict[str, Callable[[Any], object]] = {
            "exec": self._executed,
            "compile": self._compiled,
            "import": lambda args: self.add(args[1]),  # an extension module
            "open": lambda args: self._writes(args[0], args[2]),
            "os.rename": lambda args: self._writes(args[1]),
        }
        if sys.platform == "win32" or not self._address:
            # The first is multiprocessing's; for others its command is none (CPython 3.11).
            names = ("_winapi.CreateProcess", "subprocess.Popen", "os.system")
            _install({**actions, **dict.fromkeys(names, self._creates)})
        else:
            path = os.environ.get(_VARIABLE)
            if path:  # the program is to see its own
                os.environ[_VARIABLE] = rest = _without_ours(path)
                if not rest:
                    del os.environ[_VARIABLE]
            self._lead(None)
            lead = dict.fromkeys(("os.system", "os.exec"), lambda _: self._lead(None))
            _install({**actions, **lead, "subprocess.Popen": self._starts})
            os.register_at_fork(after_in_child=self._report)
        for name, module in list(sys.modules.items()):
            if name not in sys.builtin_module_names:
                self.add(_file_of(module))
        self._report()

    def add(self, name: str | None) -> None:
        """A file runs, if it is one; `name` may be relative to the present directory."""
        if not name or name in self._seen:
            return
        path = abspath(name)
        if is_users(path):
            if not os.path.isfile(path):
                return  # it may be away for a moment, as while it is saved
            self._found.append(path)
            self._report()
        self._seen.add(name)

    def take(self, most: int = sys.maxsize) -> list[str]:
        """Absolute paths of what was found and not told yet."""
        files: list[str] = []
        try:
            while len(files) < most:
                files.append(self._found.pop(0))
        except IndexError:  # there are no more
            pass
        return files

    def _executed(self, args: Any) -> None:
        name = args[0].co_filename
        if name not in self._seen and name.endswith(_PYTHON) and name[0] != "<":
            self.add(name)

    def _compiled(self, args: Any) -> None:
        """A file of any name is code when it is compiled as it stands: templates are translated."""
        source, name = args
        if type(name) is not str or name[:1] == "<" or name.endswith(_PYTHON):
            return
        if name not in self._seen and _is_content(source, name):
            self.add(name)

    def _writes(self, name: Any, flags: int = _WRITING) -> None:
        """It opens a file for writing, or renames another over it: told before it is done."""
        if not flags & _WRITING:
            return
        name = name.decode() if type(name) is bytes else name
        if type(name) is str and (name.endswith(_PYTHON) or name in self._seen):
            path = abspath(name)
            if is_users(path):
                self._found.append(f"wrote:{path}")
                self._report()

    def _report(self) -> None:
        """Say that this process reports, and what has been found."""
        files = self.take(MOST_FILES)
        is_sent = False
        try:
            is_sent = self._send(files)
        finally:  # also after a Ctrl-C
            if not is_sent:
                self._found[:0] = files

    def note(self, text: str) -> None:
        """One line for the terminal."""
        self._send([f"note:{text}"])

    def _send(self, words: list[str]) -> bool:
        """Whether it could be sent; else the control channel takes it, or the next report."""
        if sys.platform == "win32" or not self._address:
            return False
        data = b"\0".join(map(os.fsencode, (self._mark, str(os.getpid()), *words)))
        try:
            sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
            try:
                sock.settimeout(self._patience)
                sock.connect(self._address)
                sock.send(data)
            finally:
                sock.close()
        except Exception:
            self._patience = 0.0  # a launcher that is stopped must not hold up each import
            return False
        self._patience = PATIENCE
        return True

    def _starts(self, args: Any) -> None:
        """A process is started; say so if it is a Python that will report nothing."""
        if "devlaunch" in sys.modules:
            return  # one of a devlaunch below, whose processes are its own
        program, words, _, env = args
        is_led = self._lead(env)
        words = [words] if isinstance(words, (str, bytes)) else [*words]
        name = basename(os.fsdecode(program or words[0]))
        if name.startswith("python") and not (is_led and _loads_site(words[1:])):
            self._send(["silent:"])

    def _creates(self, args: Any) -> None:
        """A process of Windows is started, or (with one argument) a shell."""
        program, command = args[:2] if len(args) > 1 else ("cmd", args[0])
        if "devlaunch" not in sys.modules and starts_python(program, command):
            self.is_silent = True

    def _lead(self, env: Any) -> bool:
        """Have the Python that gets this environment, or (None) ours, load our sitecustomize.

        Ours is changed behind os.environ, where the program does not see it. Not one without the
        mark: it was made to be clean, or is that of a devlaunch below. Returns whether it will.
        """
        if env is None:
            os.putenv(_VARIABLE, _below(os.environ.get(_VARIABLE)))
        elif type(env) is dict and env.get("DEVLAUNCH_RUN") == self._mark:
            env[_VARIABLE] = _below(env.get(_VARIABLE))
        else:
            return False
        return True


def _install(actions: dict[str, Callable[[Any], object]]) -> None:
    find = actions.get

    # Some events are frequent (`id` is one) and each costs this call.
    def hook(event: str, args: Any) -> None:
        action = find(event)
        if action is not None:
            try:
                action(args)
            except Exception:  # it would be the program's
                pass

    sys.addaudithook(hook)


def starts_python(program: str | None, command: str | None) -> bool:
    """Whether this starts a Python: by itself, by a console script, or maybe by a shell."""
    line = command or program or ""
    first = program or (line[1:].partition('"')[0] if line[:1] == '"' else line.partition(" ")[0])
    place, _, name = first.replace("\\", "/").lower().rpartition("/")
    if name.startswith(("python", "py.exe")) or name == "py" or place.endswith("/scripts"):
        return True
    return name.startswith("cmd") and "py" in line.lower()


def _loads_site(options: list[Any]) -> bool:
    """Whether an interpreter with these options regards PYTHONPATH and sitecustomize."""
    for word in map(os.fsdecode, options):
        if word[:1] != "-" or word[:2] in ("-c", "-m", "--"):
            break
        if word[:2] not in ("-X", "-W") and {*word} & {*"EIS"}:
            return False
    return True


def _below(path: str | None) -> str:
    rest = _without_ours(path) if path else ""
    return f"{_BELOW}{os.pathsep}{rest}" if rest else _BELOW


def _without_ours(path: str) -> str:
    """Ours is not the first where a shell script has put another before it."""
    return os.pathsep.join([each for each in path.split(os.pathsep) if each != _BELOW])


def _is_content(source: Any, path: str) -> bool:
    data = source.encode() if type(source) is str else source
    size = os.stat(path).st_size
    return type(data) is bytes and size in (len(data), len(data) + data.count(b"\n"))


def namespace_of(module: object) -> dict[str, Any]:
    """The attributes of a module, without running code of its own: a lazy one stays unloaded."""
    try:
        namespace = object.__getattribute__(module, "__dict__")
    except AttributeError:
        return {}
    return namespace if isinstance(namespace, dict) else {}  # typing.io is a class


def _file_of(module: object) -> str | None:
    namespace = namespace_of(module)
    path = namespace.get("__file__") or getattr(namespace.get("__spec__"), "origin", None)
    return path if isinstance(path, str) and path.endswith(_SUFFIXES) else None
