"""What a standby must not do, and when it must not become the child."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from support.child import ANSWER, Child, Project, Pydevd
from support.wait import wait_until

# --- itself ---------------------------------------------------------------------------------------


def test_a_failure_of_ours_is_a_reason_and_no_traceback(tmp_path: Path) -> None:
    broken = {"record": {"contexts": [["no context"]], "roots": []}}
    with Project(tmp_path, "").child(warm=broken) as child:
        assert "TypeError" in child.wait_for("refused")["reason"]
        assert child.wait() == 0
        assert (child.stdout, child.stderr) == ("", "")


# --- the environment ------------------------------------------------------------------------------

DOTENV = """
from dotenv import load_dotenv
load_dotenv("{directory}/.env")
import reads
import os
value = reads.MODE, os.environ["MODE"]
"""
READS = {"reads.py": "import os\nMODE = os.environ['MODE']\n"}


def dotenv_project(directory: Path) -> Project:
    (directory / ".env").write_text("MODE=blue\n")
    return Project(directory, DOTENV.format(directory=directory), READS)


def test_the_environment_is_the_users_for_the_imports_and_not_before_them(tmp_path: Path) -> None:
    project = dotenv_project(tmp_path)
    assert project.run() == "('blue', 'blue')"
    assert "reads" in project.roots
    code = DOTENV.format(directory=tmp_path).replace("value = ", "value = before, ")
    project.write_app("import os\nbefore = os.environ.get('MODE')\n" + code)
    assert project.promote() == "(None, 'blue', 'blue')"


def test_an_environment_that_has_changed_refuses(tmp_path: Path) -> None:
    project = dotenv_project(tmp_path)
    project.run()
    (tmp_path / ".env").write_text("MODE=green\n")
    assert project.refusal() == "the environment has changed: MODE"
    assert project.unsafe == {"$MODE": "has another value at each start"}
    assert project.run() == "('green', 'green')"
    with project.standby() as child:  # it is left to the app from now on, and python-dotenv is not
        assert child.wait_for("warm")["modules"]
        (tmp_path / ".env").write_text("MODE=red\n")
        assert project.promote(child) == "('red', 'red')"


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("os.environ['START'] = str(os.getpid())", "$START"),
        ("sys.path.insert(0, f'/nowhere/{os.getpid()}')", "sys.path"),
        ("sys.argv.append(f'--pid={os.getpid()}')", "sys.argv"),
        ("os.chdir(tempfile.mkdtemp(dir='.'))", "the working directory"),
    ],
)
def test_what_is_new_each_time_is_left_to_the_app(code: str, what: str, tmp_path: Path) -> None:
    code = f"import os, sys, tempfile\n{code}\nimport csv\nvalue = 1\n"
    project = Project(tmp_path, code)
    project.run()
    assert "changed" in project.refusal()
    assert project.unsafe == {what: "has another value at each start"}
    assert project.promote() == "1"


def test_a_variable_that_was_emptied(tmp_path: Path) -> None:
    project = Project(tmp_path, "import os\nos.environ['MODE'] = ''\nimport csv\nvalue = 1\n")
    project.run()
    project.write_app("import csv\nvalue = 1\n")
    assert project.refusal() == "the environment has changed: MODE"


CHANGES = {
    "the environment": "os.environ['MODE'] = 'x'",
    "sys.path": "sys.path.insert(0, os.path.abspath('below'))",
    "sys.argv": "sys.argv.append('--more')",
    "the working directory": "os.chdir('below')",
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_comes_with_a_later_import_is_needed_by_an_earlier_one(
    change: str, tmp_path: Path
) -> None:
    """The earlier one is left to the app, so that the later one brings it: nothing has changed."""
    trace = tmp_path / "trace"
    packages = {
        "noisy.py": "import shared\nprint('noisy')\n",
        "later.py": "import os\nos.environ['OWN'] = '1'\nimport shared\ndel os.environ['OWN']\n",
        "shared.py": f"""
import os, sys
SEEN = os.environ.get('MODE'), os.environ.get('OWN'), sys.path.copy(), sys.argv.copy(), os.getcwd()
with open({str(trace)!r}, 'a') as file:
    file.write(f"{{SEEN}}\\n")
import below
""",
        "below.py": "",
    }
    (tmp_path / "below").mkdir()
    code = f"import noisy, os, sys\n{CHANGES[change]}\nimport later\nvalue = later.shared.SEEN\n"
    project = Project(tmp_path, code, packages)
    cold = project.run()
    assert project.spoil() == {"noisy": "prints when imported"}
    trace.write_text("")
    for _ in range(2):
        assert project.promote() == cold
    assert trace.read_text() == f"{cold}\n" * 2, "imported more than once, or elsewhere"


def test_what_a_library_sets_is_gone_until_it_is_imported(tmp_path: Path) -> None:
    code = """
import os
before = os.environ.get("SET_BY")
import sets
value = before, os.environ.get("SET_BY")
"""
    project = Project(tmp_path, code, {"sets.py": "import os\nos.environ['SET_BY'] = 'sets'\n"})
    assert project.run() == project.promote() == "(None, 'sets')"


LATE = """
import os
value = {mode!r}
def late():
    os.environ["MODE"] = value
    from package import reads
    return reads.MODE
"""
PACKAGE = {"package/__init__.py": "", "package/reads.py": READS["reads.py"]}


def answered_late(project: Project, child: Child) -> str:
    child.wait_for("serving")
    answer = child.get("/late").text
    project.recorded = child.recorded()
    return answer


def test_what_the_first_requests_import_is_imported_ahead(tmp_path: Path) -> None:
    project = Project(tmp_path, LATE.format(mode="blue"), PACKAGE)
    with project.child() as child:
        assert answered_late(project, child) == "blue"
    assert "package.reads" in project.roots
    with project.standby() as child:
        assert child.wait_for("warm")["modules"]
        child.start()
        child.wait_for("serving")
        (tmp_path / "site-packages/package/reads.py").unlink()
        assert answered_late(project, child) == "blue"


def test_what_is_otherwise_when_the_app_serves_already_is_imported_afresh(tmp_path: Path) -> None:
    project = Project(tmp_path, LATE.format(mode="blue"), PACKAGE)
    with project.child() as child:
        assert answered_late(project, child) == "blue"
    project.write_app(LATE.format(mode="green"))
    with project.standby() as child:
        assert "package.reads" in project.roots
        assert child.wait_for("warm")["modules"]
        child.start()
        assert answered_late(project, child) == "green"
        assert child.get("/late").text == "green"
        assert not child.all("refused")


def test_sys_path_argv_and_cwd_are_the_users(tmp_path: Path) -> None:
    code = """
import os, sys
before = os.getcwd(), list(sys.path), list(sys.argv)
os.makedirs("below", exist_ok=True)
os.chdir("below")
sys.path.insert(0, os.getcwd())
sys.argv.append("--more")
import looks
value = before, looks.SEEN
"""
    looks = "import os, sys\nSEEN = os.getcwd(), list(sys.path), list(sys.argv)\n"
    project = Project(tmp_path, code, {"looks.py": looks})
    assert project.run() == project.promote()
    project.write_app(code.replace("--more", "--less"))
    assert project.refusal() == "sys.argv has changed"


def test_a_directory_that_is_gone_is_left_to_the_app(tmp_path: Path) -> None:
    code = """
import csv, os, tempfile
os.chdir(tempfile.mkdtemp())
import colorsys
os.rmdir(os.getcwd())
value = colorsys.__name__
"""
    project = Project(tmp_path, code)
    project.run()
    with project.standby() as child:
        assert not child.wait_for("warm")["unsafe"]
        child.start()
        child.wait_for("serving")


# --- what is on the disk --------------------------------------------------------------------------

LIB = {"lib/__init__.py": "from lib import part\nVALUE = part.VALUE\n", "lib/part.py": "VALUE = 1"}


def replaced(project: Project) -> str:
    (project.packages / "lib" / "part.py").write_text("VALUE = 2")
    return "lib.part has changed on the disk"


def renamed(project: Project) -> str:
    other = project.packages / "lib" / "part.py.new"
    other.write_text("VALUE = 2")
    os.utime(other, (1, 1))
    other.replace(project.packages / "lib" / "part.py")
    return "lib.part has changed on the disk"


def put_beside(project: Project) -> str:
    (project.packages / "lib" / "part").mkdir()
    (project.packages / "lib" / "part" / "__init__.py").write_text("VALUE = 2")
    return "something beside lib has changed on the disk"


def uninstalled(project: Project) -> str:
    (project.packages / "lib" / "part.py").unlink()
    return "lib.part has changed on the disk"


def moved_away(project: Project) -> str:
    (project.packages / "lib").rename(project.packages / "old")
    return f"{project.packages} has changed"


def installed(project: Project) -> str:
    (project.packages / "plugin.py").touch()
    return f"{project.packages} has changed"


@pytest.mark.parametrize(
    "change", [replaced, renamed, put_beside, uninstalled, moved_away, installed]
)
def test_a_package_that_has_changed_refuses(change: Any, tmp_path: Path) -> None:
    project = Project(tmp_path, "import lib\nvalue = lib.VALUE\n", LIB)
    assert project.run() == "1"
    with project.standby() as child:
        child.wait_for("warm")
        reason = change(project)
        assert project.refusal(child) == reason


def test_a_package_in_an_archive(tmp_path: Path) -> None:
    import zipfile

    project = Project(tmp_path, "import packed\nvalue = packed.VALUE\n", {"other.py": ""})
    archive = project.packages / "packed.egg"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("packed.py", "VALUE = 1")
    project.env["PYTHONPATH"] = str(archive)
    # Its path has to say that it is installed: …/site-packages/packed.egg/packed.py does.
    assert project.run() == "1"
    assert "packed" in project.roots
    assert project.promote() == "1"
    with project.standby() as child:
        child.wait_for("warm")
        os.utime(archive)
        assert "has changed" in project.refusal(child)


def test_a_module_of_the_users_that_shadows_an_installed_one_refuses(tmp_path: Path) -> None:
    project = Project(tmp_path, "import lib\nvalue = lib.VALUE\n", LIB)
    project.run()
    with project.standby() as child:
        child.wait_for("warm")
        project.write("lib.py", "VALUE = 3\n")
        assert project.refusal(child) == f"{tmp_path} has a lib of its own"
    assert project.run() == "3"


def test_a_directory_with_an_old_date_that_shadows_refuses(tmp_path: Path) -> None:
    place = tmp_path / "first"
    code = f"import sys\nsys.path.insert(0, {str(place)!r})\nimport lib\nvalue = lib.VALUE\n"
    project = Project(tmp_path, code, LIB)
    project.write("away/lib.py", "VALUE = 3\n")
    os.utime(tmp_path / "away", (1, 1))
    project.run()
    with project.standby() as child:
        child.wait_for("warm")
        (tmp_path / "away").rename(place)
        assert project.refusal(child) == f"{place} has a lib of its own"


def test_a_new_module_of_the_users_is_found_whatever_its_directory_says(tmp_path: Path) -> None:
    project = Project(tmp_path, "import lib\nvalue = lib.VALUE\n", LIB)
    project.run()
    with project.standby() as child:
        child.wait_for("warm")
        status = tmp_path.stat()
        project.write("mine.py", "VALUE = 4\n")
        project.write_app("import mine, lib\nvalue = lib.VALUE\n")
        os.utime(tmp_path, ns=(status.st_atime_ns, status.st_mtime_ns))  # a clock with long ticks
        assert project.promote(child) == "1"


# --- the user's code never runs -------------------------------------------------------------------

NOT_HERE = (
    "from pathlib import Path\nimport os\nPath({trace!r}).open('a').write(f'{{os.getpid()}}\\n')\n"
)


def test_an_editable_install_is_user_code(tmp_path: Path) -> None:
    """It is on sys.path with the directory in which it is edited, as those of a .pth file are."""
    project = Project(tmp_path, "import edited, lib, on_top\nvalue = lib.VALUE\n", LIB)
    project.write("site-packages/on_top.py", "import edited\n")
    project.write("src/edited/__init__.py", "")
    project.env["PYTHONPATH"] += f":{tmp_path}/src"
    assert project.run() == "1"
    assert "lib" in project.roots
    assert "edited" not in project.roots
    assert project.spoil() == {"on_top": "imports edited, which is yours"}
    assert project.promote() == "1"


def test_a_library_that_needs_the_users_code_is_left_to_the_app(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    code = "import csv\nimport calls_back, on_top\nvalue = calls_back.VALUE\n"
    packages = {
        "calls_back.py": "try:\n    from mine import VALUE\nexcept ImportError:\n    VALUE = 0\n",
        "on_top.py": "import calls_back\n",
    }
    project = Project(tmp_path, code, packages)
    project.write("mine.py", NOT_HERE.format(trace=str(trace)) + "VALUE = 5\n")
    assert project.run() == "5"
    trace.unlink()
    assert project.spoil() == {
        "calls_back": "imports mine, which is yours",
        "on_top": "needs calls_back, which imports mine, which is yours",
    }
    with project.standby() as child:
        child.wait_for("warm")
        assert not trace.exists()
        assert project.promote(child) == "5"
        assert trace.read_text() == f"{child.process.pid}\n"


def test_a_namespace_package_with_a_part_of_the_users_is_user_code(tmp_path: Path) -> None:
    packages = {"shared/theirs.py": "VALUE = 6\n", "lib.py": ""}
    project = Project(tmp_path, "import lib, shared.theirs as t\nvalue = t.VALUE\n", packages)
    project.run()
    assert "shared" in project.roots  # as long as it is all installed
    assert project.promote() == "6"
    project.write("shared/mine.py", "")
    project.run()
    assert "shared" not in project.roots
    assert "shared.theirs" in project.spoil()
    assert project.promote() == "6"


def test_a_part_of_a_namespace_package_that_is_new_refuses(tmp_path: Path) -> None:
    packages = {"shared/theirs.py": "VALUE = 6\n"}
    project = Project(tmp_path, "import shared.theirs as t\nvalue = t.VALUE\n", packages)
    project.run()
    with project.standby() as child:
        child.wait_for("warm")
        project.write("shared/mine.py", "")
        assert project.refusal(child) == f"{tmp_path} has a shared of its own"


def test_django_with_settings_of_the_users(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    code = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "mysettings"
import django
django.setup()
from django.contrib.auth.models import User
value = User.__name__
"""
    settings = "INSTALLED_APPS = ['django.contrib.auth', 'django.contrib.contenttypes']\n"
    project = Project(tmp_path, code)
    project.write("mysettings.py", NOT_HERE.format(trace=str(trace)) + settings)
    assert project.run() == "User"
    trace.unlink()
    assert project.spoil()["django.contrib.auth.models"].endswith("which is yours")
    while project.spoil():
        pass
    assert not trace.exists()
    assert project.promote() == "User"


# --- patches --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patch", "reason"),
    [
        ("import gevent.monkey\ngevent.monkey.patch_all()", "gevent has patched"),
        (
            "import warnings\nwarnings.simplefilter('ignore')\n"
            "import eventlet\neventlet.monkey_patch()",
            "eventlet has patched",
        ),
        (
            "import multiprocessing\nmultiprocessing.set_start_method('spawn')",
            "the multiprocessing start method is set",
        ),
    ],
    ids=["gevent", "eventlet", "multiprocessing"],
)
def test_what_comes_after_a_patch_is_left_to_the_app(
    patch: str, reason: str, tmp_path: Path
) -> None:
    bare = "import colorsys\n{}\nimport csv, requests\nprint('CSV', csv.__name__)\n"
    bare += "print('end', flush=True)\n" + STAY
    code = bare.format(patch)
    project = Project(tmp_path, code, target={"script": "app.py"})
    project.run()
    context = dict(project.recorded["record"]["roots"])["requests"]
    assert reason in str(project.recorded["record"]["contexts"][context][4])
    while project.spoil():
        pass
    assert "CSV csv\nend" in project.promote()
    project.write_app(bare.format(""))
    project.run()
    project.write_app(code)  # it was not patched when the standby imported the rest
    project.unsafe.clear()
    while project.spoil():
        pass
    refusal = project.refusal()  # eventlet imports more when it has patched some, and not yet all
    assert reason in refusal or refusal.endswith("was changed by the app")


def test_a_library_patched_by_the_user_refuses_what_imports_from_it(tmp_path: Path) -> None:
    code = "import base{}\nimport other, on_top\nvalue = on_top.hello()\n"
    packages = {
        "base.py": "def hello():\n    return 'theirs'\n",
        "other.py": "",
        "on_top.py": "from base import hello\n",
    }
    project = Project(tmp_path, code.format("\nbase.hello = lambda: 'mine'"), packages)
    assert project.run() == "mine"
    assert project.refusal() == "base was changed by the app"
    assert project.unsafe == dict.fromkeys(["on_top"], "base was changed by the app")
    assert project.promote() == "mine"


@pytest.mark.parametrize(
    "patch",
    [
        "import bz2, sys\nsys.modules['bz2'] = Fake = type(sys)('bz2')\nFake.compress = 'mine'",
        "import bz2\nbz2.compress = 'mine'",
    ],
    ids=["sys.modules", "attribute"],
)
def test_the_standard_library_patched_by_the_user(patch: str, tmp_path: Path) -> None:
    packages = {"uses.py": "from bz2 import compress\n"}
    project = Project(tmp_path, f"{patch}\nimport uses\nvalue = uses.compress\n", packages)
    assert project.run() == "mine"
    assert project.refusal() == "bz2 was changed by the app"
    assert project.promote() == "mine"


def test_another_module_put_in_the_place_of_one_that_was_imported_ahead(tmp_path: Path) -> None:
    code = """
import sys
import better
sys.modules["plain"] = sys.modules.pop("better")
import uses
value = uses.plain.__name__
"""
    packages = {"plain.py": "", "better.py": "", "uses.py": "import plain\n"}
    project = Project(tmp_path, code, packages)
    assert project.run() == "better"
    assert project.refusal() == "plain was changed by the app"
    assert project.promote() == "better"


def test_a_library_that_patches_another_is_left_to_the_app(tmp_path: Path) -> None:
    code = "import base\nbefore = base.hello\nimport patches\nvalue = before.__name__\n"
    packages = {
        "base.py": "def hello():\n    pass\n",
        "patches.py": "import base\ndef other():\n    pass\nbase.hello = other\n",
    }
    project = Project(tmp_path, code, packages)
    assert project.run() == "hello"
    assert project.spoil() == {"patches": "changes base.hello"}
    assert project.promote() == "hello"


@pytest.mark.parametrize(
    "hook",
    ["sys.meta_path.insert(0, Hook())", "sys.path_hooks.insert(0, Hook())"],
)
def test_what_is_imported_under_a_hook_of_the_users_is_left_to_the_app(
    hook: str, tmp_path: Path
) -> None:
    code = f"""
import sys
class Hook:
    def find_spec(self, name, path=None, target=None):
        pass
    def __call__(self, path):
        raise ImportError
import csv
{hook}
import lib
value = lib.VALUE
"""
    project = Project(tmp_path, code, LIB)
    project.run()
    with project.standby() as child:
        modules = child.wait_for("warm")["modules"]
        assert project.promote(child) == "1"
    project.write_app(code.replace(hook, ""))
    project.run()
    with project.standby() as child:
        assert child.wait_for("warm")["modules"] > modules


# --- what an import must not do -------------------------------------------------------------------

UNSAFE = {
    "starts a thread": "import threading, time\n"
    "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n",
    "opens a file or socket": "import socket\nSOCKET = socket.socket()\n",
    "prints when imported": "import sys\nprint('welcome', file=sys.stderr)\n",
    "sets a signal handler": "import signal\nsignal.signal(signal.SIGTERM, print)\n",
    "sets a timer": "import signal\nsignal.setitimer(signal.ITIMER_REAL, 600)\n",
    "sets the locale": "import locale\nlocale.setlocale(locale.LC_ALL, 'C.UTF-8')\n",
    "sets up logging": "import logging\nlogging.basicConfig()\n",
    "sets the multiprocessing start method": "import multiprocessing as m\n"
    "m.set_start_method('spawn')\n",
    "sets the event loop policy": "import asyncio\n"
    "asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy())\n",
    "sets the socket timeout": "import socket\nsocket.setdefaulttimeout(30)\n",
    "replaces a stream": "import sys, io\nsys.stdin = io.StringIO()\n",
    "sets a hook": "import sys\nsys.excepthook = lambda *_: None\n",
    "changes builtins": "import builtins\nbuiltins.shout = print\n",
    "changes sys.path": "import sys\nsys.path.append('/nowhere')\n",
    "changes sys.argv": "import sys\nsys.argv.append('x')\n",
    "changes the working directory": "import os\nos.chdir('/')\n",
    "sets the recursion limit": "import sys\nsys.setrecursionlimit(5000)\n",
    "patches the standard library": "import gevent.monkey\ngevent.monkey.patch_time()\n",
    "changes the garbage collection": "import gc\ngc.set_threshold(5000)\n",
    "switches bytecode off": "import sys\nsys.dont_write_bytecode = True\n",
    "starts a process": "import subprocess as s\n"
    "import sys\ncode = 'import time; time.sleep(3)'\n"
    "P = s.Popen([sys.executable, '-c', code], stdout=s.DEVNULL, stderr=s.DEVNULL)\n",
    "warns when imported": "import warnings\nwarnings.warn('old', DeprecationWarning)\n",
    "rearranges warnings filters, or seeds random numbers": "import random\nrandom.seed(3)\n",
}


RECORDED = ("patches the standard library", "sets the multiprocessing start method")
"""So what came later is left to the app anyway."""


@pytest.mark.parametrize("reason", UNSAFE)
def test_an_import_that_is_not_safe_is_found_out(reason: str, tmp_path: Path) -> None:
    """And with it all that need it, at once; the rest is imported ahead of time."""
    inner = f"import harmless\n{UNSAFE[reason]}"
    packages = {"inner.py": inner, "outer.py": "import inner\n", "third.py": "import inner\n"}
    packages["harmless.py"] = ""
    code = "import csv, random, locale, socket, asyncio, multiprocessing, subprocess, logging\n"
    project = Project(tmp_path, f"{code}import outer, third, colorsys\nvalue = 1\n", packages)
    project.env |= {"LC_ALL": "C", "PYTHONDONTWRITEBYTECODE": ""}
    project.run()
    found = project.spoil()
    assert found["outer"] == reason
    if reason not in RECORDED:
        assert found == {"outer": reason, "third": f"needs inner, which {reason}"}
    with project.standby() as child:
        child.wait_for("warm")
        assert project.promote(child) == "1"
        assert "welcome" not in child.stderr or reason.startswith("prints")


def test_a_spoiled_standby_is_never_the_child(tmp_path: Path) -> None:
    project = Project(tmp_path, "import loud\nvalue = 1\n", {"loud.py": "print('hello')\n"})
    project.run()
    assert project.refusal() == "loud prints when imported"


def test_what_a_library_keeps_of_a_stream_works(tmp_path: Path) -> None:
    packages = {"keeps.py": "import sys\nwrite = sys.stdout.write\n"}
    code = "import keeps, sys\nkeeps.write('kept\\n')\nsys.stdout.flush()\nvalue = 1\n"
    project = Project(tmp_path, code, packages)
    project.run()
    with project.standby() as child:
        assert project.promote(child) == "1"
        wait_until(lambda: child.stdout.startswith("kept\n"), what=lambda: child.stdout)


def test_messages_logged_by_an_import_that_the_user_wants_to_see(tmp_path: Path) -> None:
    code = "import logging\nlogging.basicConfig(level={level!r})\nimport logs\nvalue = 1\n"
    packages = {"logs.py": "import logging\nlogging.getLogger('logs').debug('loaded')\n"}
    project = Project(tmp_path, code.format(level="INFO"), packages)
    project.run()
    assert project.promote() == "1"
    project.write_app(code.format(level="DEBUG"))
    assert project.refusal() == "logs logs when imported"
    with project.standby() as child:
        assert project.promote(child) == "1"
        wait_until(lambda: "DEBUG:logs:loaded" in child.stderr, what=lambda: child.stderr)


def test_what_fails_alone_is_left_to_the_app(tmp_path: Path) -> None:
    code = "import lib\nlib.READY = True\nimport late\nvalue = late.VALUE\n"
    packages = {**LIB, "late.py": "import lib\nassert lib.READY\nVALUE = 7\n"}
    project = Project(tmp_path, code, packages)
    project.run()
    assert project.spoil() == {"late": "AttributeError when imported alone"}
    assert project.promote() == "7"


# --- what is not imported any more ----------------------------------------------------------------


def test_a_module_that_is_imported_no_more_is_not_there(tmp_path: Path) -> None:
    code = "{}import xml, sys\nvalue = 'xml.dom' in sys.modules, hasattr(xml, 'dom')\n"
    project = Project(tmp_path, code.format("import xml.dom\n"))
    assert project.run() == "(True, True)"
    project.write_app(code.format(""))
    assert project.promote() == "(False, False)"


def test_the_effects_of_a_module_that_is_imported_no_more_are_not_there(tmp_path: Path) -> None:
    code = """
import logging, os, sys, warnings
{}
value = ("six" in sys.modules, [type(each).__name__ for each in sys.meta_path],
    [each[0] for each in warnings.filters], "numpy" in sys.modules, "lib.log" in
    logging.root.manager.loggerDict)
"""
    effects = "import logging\nlogging.getLogger('lib.log')\n"
    packages = {"effects.py": effects}
    project = Project(tmp_path, code.format("import six, numpy, effects"), packages)
    with_all = project.run()
    assert project.promote() == with_all
    with project.standby() as child:
        project.write_app(code.format(""))
        without = project.promote(child)
    assert without == project.run() != with_all


def test_exit_handlers_run_as_they_are_registered(tmp_path: Path) -> None:
    code = """
import atexit
atexit.register(print, "mine")
{}
print("end", flush=True)
import time
time.sleep({})
"""
    packages = {"a.py": "import atexit\natexit.register(print, 'a')\n"}
    packages["b.py"] = "from atexit import register\n@register\ndef end():\n    print('b')\n"
    project = Project(
        tmp_path, code.format("import a, b", 60), packages, target={"script": "app.py"}
    )
    project.run()
    for imports, expected in [("import a, b", "b a mine"), ("import b", "b mine"), ("", "mine")]:
        project.write_app(code.format(imports, 0))
        with project.standby() as child:
            child.wait_for("warm")
            child.start()
            assert child.wait() == 0
            assert child.stdout.split() == ["end", *expected.split()]


# --- ways to import -------------------------------------------------------------------------------

WAYS = {
    "find_spec": (
        "import importlib.util\nspec = importlib.util.find_spec('lib')\n"
        "value = type(spec.loader).__name__, 'lib' in sys.modules\n"
    ),
    "a copy of one's own": (
        "import importlib.util\nspec = importlib.util.find_spec('lib')\n"
        "copy = importlib.util.module_from_spec(spec)\nspec.loader.exec_module(copy)\n"
        "value = copy.VALUE, 'lib' in sys.modules\n"
    ),
    "a lazy module": (
        "import importlib.util\nspec = importlib.util.find_spec('lib')\n"
        "spec.loader = importlib.util.LazyLoader(spec.loader)\n"
        "lib = sys.modules['lib'] = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(lib)\nvalue = lib.VALUE\n"
    ),
    "reload": (
        "import importlib, lib\nbefore = lib.__dict__.copy()\nlib.VALUE = 0\n"
        "value = importlib.reload(lib) is lib, lib.VALUE, lib.__spec__.loader == lib.__loader__\n"
    ),
    "once more": (
        "import lib\nfirst = lib\ndel sys.modules['lib']\nimport lib\n"
        "value = first is lib, first.VALUE, lib.VALUE\n"
    ),
    "blocked": (
        "sys.modules['lib'] = None\n"
        "try:\n    import lib\nexcept ImportError as error:\n    value = str(error)\n"
    ),
    "from the middle": "from lib.part import VALUE as value\n",
    "star": "from stars import *\nvalue = part.VALUE, 'lib.part' in sys.modules\n",
    "import_module": "import importlib\nvalue = importlib.import_module('.part', 'lib').VALUE\n",
    "a plug-in loader": (
        "import importlib, pkgutil, lib\nvalue = [importlib.import_module(f'lib.{each.name}').VALUE"
        " for each in pkgutil.iter_modules(lib.__path__)]\n"
    ),
    "optional": "try:\n    import nothing\nexcept ImportError as error:\n    value = error.name\n",
    "in its own place": (
        "import itself\nvalue = itself.VALUE, type(itself).__name__, vars(itself)\n"
    ),
    "six.moves": (
        "from six.moves import urllib, range\nfrom six.moves.urllib.parse import quote\n"
        "value = sorted(each for each in sys.modules if each.startswith('six')), quote('/ ')\n"
    ),
    "a circle": "import circle.a\nvalue = circle.a.b.a is circle.a\n",
    "an extension module": "import numpy\nvalue = numpy.array([1]).sum()\n",
    "celery's lazy module": "import celery\nvalue = celery.Celery('x').main, celery.__version__\n",
    "pickled by name": (
        "import pickle, lib\nvalue = pickle.loads(pickle.dumps(lib.part.Thing)) is lib.part.Thing\n"
    ),
    "a resource": "import importlib.resources, lib\n"
    "value = importlib.resources.files('lib').joinpath('part.py').read_text()\n",
    "metadata": "import importlib.metadata as m, requests\nvalue = m.version('requests')\n",
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_import_finds_the_same(way: str, tmp_path: Path) -> None:
    packages = {
        **LIB,
        "lib/part.py": "VALUE = 1\nclass Thing:\n    pass\n",
        "needs_lib.py": "import lib\n",
        "stars.py": "import lib.part\nfrom lib import *\nfrom lib import part\n",
        "itself.py": "import sys\nclass Lazy:\n    VALUE = 8\n    def __getattr__(self, name):\n"
        "        raise AttributeError(name)\nsys.modules[__name__] = Lazy()\n",
        "circle/__init__.py": "",
        "circle/a.py": "import circle.b as b\n",
        "circle/b.py": "import circle.a\nfrom circle import a\n",
    }
    first = "import sys\nimport lib, needs_lib\n"  # what the standby is to import
    project = Project(tmp_path, first + WAYS[way], packages)
    project.run()
    recorded = project.recorded
    project.write_app("import sys\n" + WAYS[way])
    cold = project.run()
    project.recorded = recorded
    if way == "a lazy module":  # a copy of one's own as well, but one that others import
        assert project.refusal() == "lib was changed by the app"
    assert project.promote() == cold


def test_modules_wait_until_a_request_imports_them(tmp_path: Path) -> None:
    code = "import sys\nimport lib\nvalue = 'lib' in sys.modules\n"
    project = Project(tmp_path, code, LIB)
    project.run()
    late = "import sys\ndef value():\n    before = 'lib' in sys.modules\n    import lib\n"
    late += "    return before, lib.VALUE, lib.part.VALUE\n"
    project.write_app(late)
    assert project.promote() == "(False, 1, 1)"


THREADS = """
import importlib, sys, threading
names = [f"pack.m{n}" for n in range(60)]
sys.setswitchinterval(1e-6)
barrier = threading.Barrier(6)
seen = []
def load(names):
    barrier.wait()
    for name in names:
        module = importlib.import_module(name)
        exec(f"import {name} as again")
        seen.append((module.NAME, module.before, sys.modules[name] is module))
threads = [threading.Thread(target=load, args=(names[::step],)) for step in (1, -1) * 3]
for each in threads:
    each.start()
for each in threads:
    each.join()
sys.setswitchinterval(0.005)
value = len(seen), all(name in names and same for name, _, same in seen), len({*seen})
"""


def test_several_threads_import_at_once(tmp_path: Path) -> None:
    packages = {
        f"pack/m{n}.py": f"NAME = __name__\nimport pack.m{n - 1}\nbefore = {n}\n" for n in range(60)
    }
    packages |= {"pack/__init__.py": "", "pack/m0.py": "NAME = __name__\nbefore = 0\n"}
    project = Project(tmp_path, THREADS, packages)
    assert project.run() == "(360, True, 60)"
    assert project.promote() == "(360, True, 60)"


# --- its life -------------------------------------------------------------------------------------


def test_the_limit_of_memory(tmp_path: Path) -> None:
    project = Project(tmp_path, "import lib, requests, colorsys\nvalue = 1\n", LIB)
    project.run()
    with project.standby(memory=1) as child:
        assert child.wait_for("warm")["modules"] == 0
    with project.standby() as child:
        warm = child.wait_for("warm")
        assert warm["modules"] > 50
        assert 5_000_000 < warm["memory"] < 500_000_000


class Held:
    """A project whose standby waits in the midst of its imports, in the second of these: `first`,
    `held` and `last`; each says when it is imported."""

    def __init__(self, directory: Path) -> None:
        self._imported, self._go = directory / "imported", directory / "go"
        file = str(self._imported)
        says = f"with open({file!r}, 'a') as file: file.write(__name__ + ' ')\n"
        waits = f"import os, time\nwhile not os.path.exists({str(self._go)!r}): time.sleep(0.01)\n"
        packages = {"first.py": says, "held.py": says + waits, "last.py": says}
        self.project = Project(directory, "import first\nvalue = 1\n", packages)
        self.project.run()
        self._imported.unlink()
        roots = self.project.recorded["record"]["roots"]
        context = next(each[1] for each in roots if each[0] == "first")
        roots += [["held", context], ["last", context]]

    def imported(self) -> list[str]:
        return self._imported.read_text().split() if self._imported.exists() else []

    def wait(self) -> None:
        wait_until(lambda: self.imported() == ["first", "held"], what="held")

    def go(self) -> None:
        self._go.touch()


def test_it_is_promoted_between_two_imports(tmp_path: Path) -> None:
    held = Held(tmp_path)
    with held.project.standby() as child:
        held.wait()
        child.start()
        held.go()
        child.wait_for("serving")
        assert child.get("/").text == "1"
    assert held.imported() == ["first", "held"]


def test_it_ends_with_its_launcher(tmp_path: Path) -> None:
    held = Held(tmp_path)
    with held.project.standby() as child:
        held.wait()
        child.hang_up()
        held.go()
        assert child.wait() == 0
    assert held.imported() == ["first", "held"]
    with held.project.standby(record=None) as child:
        child.wait_for("warm")
        child.hang_up()
        assert child.wait() == 0


@pytest.mark.skipif(not os.path.exists("/proc/self/comm"), reason="needs /proc")
def test_its_name_tells_what_it_is(tmp_path: Path) -> None:
    project = Project(tmp_path, "import lib\nvalue = 1\n", LIB)
    with project.child() as child:
        child.wait_for("serving")
        project.recorded = child.recorded()
        usual = Path(f"/proc/{child.process.pid}/comm").read_text()
    with project.standby() as child:
        name = Path(f"/proc/{child.process.pid}/comm")
        wait_until(lambda: name.read_text() == "devl-standby\n", what="the title")
        child.wait_for("warm")
        assert name.read_text() == "devl-standby\n"
        child.start()
        child.wait_for("serving")
        assert name.read_text() == usual


def test_it_leaves_stdin_and_signals_as_they_are(tmp_path: Path) -> None:
    code = """
import signal, sys
import requests
handlers = [str(signal.getsignal(each)) for each in sorted(signal.valid_signals())]
value = sys.stdin.read(), handlers, signal.pthread_sigmask(signal.SIG_BLOCK, ())
"""
    project = Project(tmp_path, code)
    assert project.run() == project.promote()


def test_a_breakpoint_in_a_library(tmp_path: Path) -> None:
    project = Project(tmp_path, "import lib, colorsys\nvalue = lib.VALUE\n", LIB)
    part = str(project.packages / "lib" / "part.py")
    project.run()
    with project.standby(avoid=[part]) as child:
        assert child.wait_for("warm")["unsafe"] == {
            "lib": "imports lib.part, which has a breakpoint"
        }
    with Pydevd() as peer, project.standby() as child:
        child.wait_for("warm")
        child.start(debug=peer.debug)
        peer.accept({part: [1]}, justMyCode=False)
        assert child.wait_for("refused")["reason"] == "there is a breakpoint in lib.part"
        assert child.wait() == 0


@pytest.mark.parametrize("target", [{"app": "app:app"}, {"script": "app.py"}], ids=str)
def test_a_debugger_that_comes_after_the_standby(target: dict[str, Any], tmp_path: Path) -> None:
    """It needs modules that the standby has imported, in an environment before the user's."""
    code = "import os\nos.environ['MODE'] = 'x'\nimport shares, requests, platform, ctypes\n"
    code += "import xmlrpc.client\nvalue = 1\nprint('end', flush=True)\n"
    shares = (
        "import sys\nsys.modules['_types'] = type(sys)('_types')\nimport stringprep\n"  # as Cython
    )
    project = Project(tmp_path, code, {"shares.py": shares}, target=target)
    project.write("app.py", code + (ANSWER if "app" in target else STAY))
    project.run()
    with Pydevd() as peer, project.standby() as child:
        child.wait_for("warm")
        child.start(debug=peer.debug)
        peer.accept()
        wait_until(lambda: "end" in child.stdout, what=lambda: f"{child.messages}{child.stderr}")
        assert not child.all("refused")
        assert child.wait_for("debugger")["error"] is None


# --- programs -------------------------------------------------------------------------------------

PROGRAM = "import sys\nimport lib\nprint(sys.argv, __name__, lib.VALUE, 'end', flush=True)\n"
STAY = "import time\ntime.sleep(60)\n"


@pytest.mark.parametrize(
    "target",
    [
        {"script": "app.py", "args": ("a", "b")},
        {"module": "app", "args": ("a",)},
        {"command": "python", "args": ("-c", PROGRAM + STAY)},
    ],
    ids=["script", "module", "-c"],
)
def test_programs(target: dict[str, Any], tmp_path: Path) -> None:
    project = Project(tmp_path, PROGRAM + STAY, LIB, target=target)
    cold = project.run()
    assert cold.endswith("__main__ 1 end\n")
    assert "lib" in project.roots
    assert project.promote() == cold


def test_a_module_that_is_installed_is_a_program_too(tmp_path: Path) -> None:
    packages = {**LIB, "tool/__init__.py": "NAME = 'tool'\n", "tool/__main__.py": PROGRAM + STAY}
    packages["tool/__main__.py"] = "import plugin\n" + packages["tool/__main__.py"]
    packages["plugin.py"] = "import tool\nassert tool is __import__('sys').modules['tool']\n"
    project = Project(tmp_path, "", packages, target={"module": "tool"})
    cold = project.run()
    assert {"lib", "plugin"} <= {*project.roots}
    assert project.promote() == cold


MANAGE = """
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysettings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""


def test_django_runserver(tmp_path: Path) -> None:
    port = str(free_port())
    args = ("manage.py", "runserver", f"127.0.0.1:{port}")
    project = Project(tmp_path, "", target={"command": "python", "args": args})
    project.write("manage.py", MANAGE)
    project.write("mysettings.py", "DEBUG = True\nSECRET_KEY = 'x'\nROOT_URLCONF = 'urls'\n")
    project.write("urls.py", "print('urls', flush=True)\nurlpatterns = []\n")
    with project.child() as child:
        project.recorded = child.recorded_when(lambda: "urls" in child.stdout)
        child.wait_for("note")
        assert len(child.all("note")) == 1
    while project.spoil():
        pass
    with project.standby() as child:
        assert child.wait_for("warm")["modules"] > 100
        child.start()
        wait_until(lambda: "urls" in child.stdout, what=lambda: f"{child.messages}{child.stderr}")
        child.wait_for("note")
        (note,) = child.all("note")
        assert note["text"].startswith("the reloader of Django is switched off")
        assert not child.all("refused")


def test_celery(tmp_path: Path) -> None:
    args = ("-A", "tasks", "report")
    project = Project(tmp_path, "", target={"command": "celery", "args": args})
    tasks = "from celery import Celery\napp = Celery('x', broker='memory://')\n"
    tasks += "print('end', flush=True)\n"
    project.write("tasks.py", f"{tasks}{STAY}")
    assert project.run() == "end\n"
    project.write("tasks.py", tasks)
    while project.spoil():
        pass
    with project.standby() as child:
        assert child.wait_for("warm")["modules"] > 100
        child.start()
        assert child.wait() == 0
        assert "software -> celery" in child.stdout
        assert not child.all("refused")


def free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize("name", ["uvicorn", "hypercorn"])
def test_nested_reloaders_are_switched_off_after_a_standby(name: str, tmp_path: Path) -> None:
    port = free_port()
    code = "print('run', __name__, flush=True)\nvalue = 1\n"
    address = ("--bind", f"127.0.0.1:{port}") if name == "hypercorn" else ("--port", str(port))
    project = Project(tmp_path, code)
    project.target = {"command": name, "args": ("app:app", "--reload", *address)}
    with project.child() as child:
        project.recorded = child.recorded_when(lambda: "run app" in child.stdout)
    with project.standby() as child:
        assert child.wait_for("warm")["modules"] > 50
        child.start()
        wait_until(
            lambda: "run app" in child.stdout, what=lambda: f"{child.messages}{child.stderr}"
        )
        child.wait_for("note")
        assert len(child.all("note")) == 1
        assert not child.all("refused")
