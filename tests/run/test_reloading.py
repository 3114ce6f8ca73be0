"""Every save is served, once, and no connection is refused meanwhile: the real launcher.

Most apps here are WSGI on wsgiref, since that starts fastest. Each start of an app adds a line to
`starts.log`, so that a restart too many shows however short it was.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.interpreters import launchers
from support.launch import Launch, launched, save
from support.wait import wait_until

from devlaunch.core.repeats import INSISTED, OWN

WSGIREF = ("--port", "0", "--server", "wsgiref", "app:app")

WSGI = """\
import os
with open({log!r}, "a") as log:
    log.write(f"{{os.getpid()}}\\n")
{imports}

def app(environ, start_response):
    start_response("200 OK", [])
    return [str(({value})).encode()]
"""


class Project:
    """An app in `root/app` that answers with the value of an expression."""

    def __init__(self, root: Path) -> None:
        self.root = root / "app"
        self.root.mkdir()
        self.log = root / "starts.log"
        self.log.touch()

    def write(self, imports: str, value: str, **modules: str) -> None:
        for name, text in modules.items():
            save(self.root / f"{name}.py", text)
        save(self.root / "app.py", self.source(imports, value))

    def source(self, imports: str, value: str) -> str:
        return WSGI.format(log=str(self.log), imports=imports, value=value)

    @property
    def starts(self) -> int:
        return len(self.log.read_text().splitlines())


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def reloads(launch: Launch) -> list[str]:
    """What each `reloaded` or `restarted` line names as changed."""
    return re.findall(r"re(?:loaded|started) in \S+ m?s +(.*)", launch.text)


def wait_reloads(launch: Launch, count: int) -> list[str]:
    """What each `reloaded` or `restarted` line names, once there are `count` of them."""
    return wait_until(
        lambda: found if len(found := reloads(launch)) >= count else None, 20, lambda: launch.text
    )


# --- what triggers a reload ---------------------------------------------------------------------

# More of polling in test_watch: what comes after is the same.
BOTH = pytest.mark.parametrize("options", [(), ("--poll", "0.1")], ids=["events", "poll"])


@BOTH
def test_every_way_of_saving_is_served(project: Project, options: tuple[str, ...]) -> None:
    root = project.root
    settings = root / "settings.py"
    project.write("import settings", "settings.VALUE", settings="VALUE = 'first'\n")
    with launched(*options, *WSGIREF, cwd=root) as launch:
        launch.wait_served("first")
        save(settings, "VALUE = 'atomic'\n")
        launch.wait_served("atomic")
        settings.write_text("VALUE = 'in place'\n")
        launch.wait_served("in place")
        settings.unlink()
        settings.write_text("VALUE = 'recreated'\n")
        launch.wait_served("recreated")
        settings.unlink()
        launch.wait_for(r"broken .*app\.py:4 +ModuleNotFoundError: No module named 'settings'")
        settings.write_text("VALUE = 'recreated later'\n")
        launch.wait_served("recreated later")
        settings.rename(root / "renamed.py")
        project.write("import renamed", "renamed.VALUE + ' and renamed'")
        launch.wait_served("recreated later and renamed")
        # A package that did not exist when the watch began.
        (root / "pkg" / "sub").mkdir(parents=True)
        (root / "pkg" / "sub" / "deep.py").write_text("VALUE = 'new package'\n")
        project.write("import pkg.sub.deep", "pkg.sub.deep.VALUE")
        launch.wait_served("new package")
        (root / "pkg" / "sub" / "deep.py").write_text("VALUE = 'changed in it'\n")
        launch.wait_served("changed in it")
        # A directory that is renamed away, and another that is renamed to its place.
        (root / "other" / "sub").mkdir(parents=True)
        (root / "other" / "sub" / "deep.py").write_text("VALUE = 'other directory'\n")
        (root / "pkg").rename(root / "old")
        (root / "other").rename(root / "pkg")
        launch.wait_served("other directory")
        (root / "pkg" / "sub" / "deep.py").write_text("VALUE = 'changed after that'\n")
        launch.wait_served("changed after that")


def test_settings_of_any_name_that_are_executed(project: Project) -> None:
    settings = project.root / "site.cfg"
    save(settings, "VALUE = 'first'\n")
    code = f"compile(open({str(settings)!r}, 'rb').read(), {str(settings)!r}, 'exec')"
    project.write(f"exec({code}, names := {{}})", "names['VALUE']")
    with launched(*WSGIREF, cwd=project.root) as launch:
        launch.wait_served("first")
        settings.write_text("VALUE = 'in place'\n")
        launch.wait_served("in place")
        save(settings, "VALUE = (\n")
        launch.wait_for("broken")
        save(settings, "VALUE = 'mended'\n")
        launch.wait_served("mended")


@BOTH
def test_the_directory_is_made_again(project: Project, options: tuple[str, ...]) -> None:
    """One restart, whether with equal content, which no save of a file tells, or with other."""
    place, copy = project.root, project.root.with_name("copy")
    project.write("", "'first ' + os.getcwd()")
    with launched(*options, *WSGIREF, cwd=place) as launch:
        launch.wait_served(f"first {place}")
        for count, version in enumerate(("first", "first", "second"), 1):
            shutil.copytree(place, copy)
            save(copy / "app.py", project.source("", f"{version!r} + ' ' + os.getcwd()"))
            place.rename(place.with_name(f"old{count}"))  # so quick that it is one change
            copy.rename(place)
            wait_reloads(launch, count)
            launch.wait_served(f"{version} {place}")
        project.write("", "'third'")
        launch.wait_served("third")
        assert project.starts == 5, launch.text
        shutil.rmtree(place)
        shutil.copytree(place.with_name("old1"), place)
        launch.wait_served(f"first {place}")


def test_symlinked_files_and_directories(project: Project) -> None:
    real = project.root.parent / "real"
    other = project.root.parent / "other"
    for directory, value in ((real, "one"), (other, "other")):
        directory.mkdir()
        (directory / "__init__.py").touch()
        (directory / "mod.py").write_text(f"VALUE = {value!r}\n")
    (real / "single.py").write_text("VALUE = 'single'\n")
    (project.root / "pkg").symlink_to(real)
    (project.root / "single.py").symlink_to(real / "single.py")
    project.write("import pkg.mod, single", "pkg.mod.VALUE, single.VALUE")
    with launched(*WSGIREF, cwd=project.root) as launch:
        launch.wait_served("('one', 'single')")
        save(real / "mod.py", "VALUE = 'two'\n")
        launch.wait_served("('two', 'single')")
        (project.root / "pkg" / "mod.py").write_text("VALUE = 'three'\n")
        launch.wait_served("('three', 'single')")
        save(real / "single.py", "VALUE = 'changed'\n")
        launch.wait_served("('three', 'changed')")
        assert wait_reloads(launch, 3) == ["pkg/mod.py", "pkg/mod.py", "single.py"]
        # The link to a directory is switched, as a deployment does; then a file of the new one.
        (project.root / "next").symlink_to(other)
        (project.root / "next").rename(project.root / "pkg")
        launch.wait_served("('other', 'changed')")
        save(other / "mod.py", "VALUE = 'other two'\n")
        launch.wait_served("('other two', 'changed')")
        # The link to a file becomes a file.
        save(project.root / "single.py", "VALUE = 'no link'\n")
        launch.wait_served("('other two', 'no link')")


def test_what_is_imported_counts_wherever_it_lies_and_nothing_else_does(project: Project) -> None:
    root, outside = project.root, project.root.parent / "outside"
    outside.mkdir()
    (root / ".gitignore").write_text("generated/\n")
    (root / ".git").mkdir()
    (root / "generated").mkdir()
    (root / "generated" / "stubs.py").write_text("VALUE = 'ignored'\n")
    (outside / "elsewhere.py").write_text("VALUE = 'outside'\n")
    (root / "unused.py").write_text("VALUE = 1\n")
    project.write(
        "import generated.stubs, elsewhere",
        "generated.stubs.VALUE, elsewhere.VALUE",
    )
    with launched(*WSGIREF, cwd=root, env={"PYTHONPATH": str(outside)}) as launch:
        launch.wait_served("('ignored', 'outside')")
        (root / "generated" / "stubs.py").write_text("VALUE = 'seen'\n")
        launch.wait_served("('seen', 'outside')")
        save(outside / "elsewhere.py", "VALUE = 'seen too'\n")
        launch.wait_served("('seen', 'seen too')")
        # Nothing of this is a change; the one that follows proves that it was looked at.
        app = (root / "app.py").read_text()
        save(root / "app.py", app)
        os.utime(root / "app.py")
        (root / "app.py").write_text(app)
        save(root / "unused.py", "VALUE = 2\n")
        save(root / "new.py", "VALUE = 2\n")
        (root / "generated" / "more.py").write_text("VALUE = 2\n")
        save(outside / "unused.py", "VALUE = 2\n")
        (root / "readme.txt").write_text("text")
        save(root / "app.py", app.replace("[str", "[b'last ' + str"))
        launch.wait_served("last ('seen', 'seen too')")
        ignored, outer, *rest = wait_reloads(launch, 3)
        assert ignored == "generated/stubs.py"
        assert outer.endswith("outside/elsewhere.py")
        assert rest == ["app.py"]
    assert project.starts == 4


def test_watch_and_ignore_name_further_files(project: Project) -> None:
    root = project.root
    (root / "templates" / "mail").mkdir(parents=True)
    (root / "templates" / "mail" / "page.html").write_text("one")
    (root / "config.yaml").write_text("one")
    (root / "vendored.py").write_text("VALUE = 'one'\n")
    project.write(
        "import vendored\n"
        "page = open('templates/mail/page.html').read()\n"
        "config = open('config.yaml').read()",
        "page, config, vendored.VALUE",
    )
    options = ("--watch", "templates", "--watch", "*.yaml", "--ignore", "vendored.py")
    with launched(*options, *WSGIREF, cwd=root) as launch:
        launch.wait_served("('one', 'one', 'one')")
        (root / "templates" / "mail" / "page.html").write_text("two")
        launch.wait_served("('two', 'one', 'one')")
        (root / "vendored.py").write_text("VALUE = 'changed'\n")  # ignored
        (root / "config.yaml").write_text("one")  # the same
        save(root / "templates" / "mail" / "page.html", "two")
        save(root / "config.yaml", "two")
        launch.wait_served("('two', 'two', 'changed')")
        (root / "templates" / "new.html").write_text("new")  # is watched without being read
        names = ["templates/mail/page.html", "config.yaml", "templates/new.html"]
        assert wait_reloads(launch, 3) == names
    assert project.starts == 4


def test_a_save_that_does_nothing_says_why(project: Project) -> None:
    root = project.root
    (root / ".git").mkdir()
    (root / ".gitignore").write_text("# generated\nout/\n")
    for name in ("out", "node_modules"):
        (root / name).mkdir()
    project.write("", "1")
    with launched("-v", "--ignore", "*_pb2.py", *WSGIREF, cwd=root) as launch:
        launch.wait_for("ready in")
        launch.wait_for("watching . directories")

        def said(name: str, why: str) -> None:
            launch.wait_for(rf"note +{re.escape(name)}: {re.escape(why)}\n")

        for _ in range(2):  # said once
            (root / "app.py").write_text((root / "app.py").read_text())
            said("app.py", "content unchanged")
            save(root / "unused.py", f"X = {time.monotonic_ns()}\n")
            said("unused.py", "not imported by the app; --watch it")
            save(root / "page.html", "text")
            said("page.html", "not imported by the app; --watch it")
            save(root / "x_pb2.py", f"X = {time.monotonic_ns()}\n")
            said("x_pb2.py", "ignored by --ignore *_pb2.py")
            save(root / "out" / "x.py", f"X = {time.monotonic_ns()}\n")
            said("out/x.py", "ignored by .gitignore:2")
            save(root / "node_modules" / "x.js", "text")
            said("node_modules/x.js", "ignored by the built-in list (node_modules)")
        project.write("", "2")
        launch.wait_served("2")
        assert len(re.findall("not imported|ignored by|unchanged", launch.text)) == 6, launch.text
    assert project.starts == 2


@BOTH
def test_a_burst_is_one_restart(project: Project, options: tuple[str, ...]) -> None:
    package = project.root / "many"
    package.mkdir()

    def checkout(version: int) -> None:
        for number in range(300):
            (package / f"m{number}.py").write_text(f"VALUE = {version}\n")

    checkout(1)
    project.write(
        "import importlib\n"
        "found = [importlib.import_module(f'many.m{n}').VALUE for n in range(300)]",
        "sum(found)",
    )
    with launched(*options, *WSGIREF, cwd=project.root) as launch:
        launch.wait_for("ready in")
        checkout(2)
        launch.wait_served("600")
        save(package / "m0.py", "VALUE = 1000\n")
        launch.wait_served("1598")
        first, last = wait_reloads(launch, 2)
        assert first == "many/m0.py and 299 more"
        assert last == "many/m0.py"
    assert project.starts == 3


# --- no save is lost ----------------------------------------------------------------------------


def test_saves_during_the_start(project: Project) -> None:
    root = project.root
    gate = (
        "import pathlib, time, settings\n"
        "pathlib.Path('reached').touch()\n"
        "while not pathlib.Path('go').exists(): time.sleep(0.01)\n"
        "import later"
    )
    project.write(gate, "settings.VALUE, later.VALUE", settings="VALUE = 0\n", later="VALUE = 0\n")
    reached, go = root / "reached", root / "go"
    with launched(*WSGIREF, cwd=root) as launch:
        for version in range(1, 4):
            wait_until(reached.exists, 20, lambda: launch.text)
            starts = project.starts
            reached.unlink()
            # Of a module that this start has read, and of one that it will read.
            save(root / "settings.py", f"VALUE = {version}\n")
            save(root / "later.py", f"VALUE = {version}\n")
            if version == 2:  # it comes to serve what it has read, and must not stay with it
                go.touch()
                launch.wait_served("(2, 2)")
                go.unlink()
                reached.unlink()
                save(root / "settings.py", "VALUE = 'again'\n")
            else:
                wait_until(lambda n=starts: project.starts > n, 20, lambda: launch.text)
        go.touch()
        launch.wait_served("(3, 3)")
        assert "broken" not in launch.text


HANGS = {
    "C code": "import re\nre.match(r'(a+)+$', 'a' * 60 + 'b')\n",
    "stopped": "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\n",
}


@pytest.mark.parametrize("hang", HANGS)
@pytest.mark.parametrize("first", [True, False], ids=["first start", "later"])
def test_a_generation_that_hangs_at_import_and_says_nothing(
    project: Project, hang: str, first: bool
) -> None:
    hangs = f"open('reached', 'a').write('x')\n{HANGS[hang]}VALUE = 'never'\n"
    settings, reached = project.root / "settings.py", project.root / "reached"
    project.write(
        "import settings", "settings.VALUE", settings=hangs if first else "VALUE = 'first'\n"
    )
    with launched("--grace", "0.2", *WSGIREF, cwd=project.root) as launch:
        if not first:
            launch.wait_for("ready in")
            save(settings, hangs)
        wait_until(reached.exists, 20, lambda: launch.text)
        settings.unlink()  # in two steps, as some editors do
        settings.write_text("VALUE = 'mended'\n")
        launch.wait_served("mended")
        assert reached.read_text() == "x"
    assert project.starts == (2 if first else 3), launch.text


def test_a_second_save_within_the_second_is_not_served_from_bytecode(project: Project) -> None:
    """A .pyc counts as valid for a source of the same size and whole-second mtime."""
    second = int(time.time()) - 10
    counter = itertools.count(100)

    def write(path: Path, value: int) -> None:
        beside = path.with_suffix(".new")
        beside.write_text(f"VALUE = {value}\n")
        os.utime(beside, (second, second + next(counter) / 1000))
        beside.rename(path)

    (project.root / "pkg").mkdir()
    names = [project.root / "settings.py", project.root / "pkg" / "mod.py"]
    for path in names:
        write(path, 100)
    project.write("import settings, pkg.mod", "settings.VALUE, pkg.mod.VALUE")
    with launched(*WSGIREF, cwd=project.root) as launch:
        launch.wait_served("(100, 100)")
        assert list((project.root / "__pycache__").glob("settings.*.pyc"))
        for value in range(101, 111):
            for path in names:
                write(path, value)
            launch.wait_served(f"({value}, {value})")
            assert {int(path.stat().st_mtime) for path in names} == {second}


def test_bytecode_of_an_ignored_module(project: Project) -> None:
    vendored, second = project.root / "vendored.py", int(time.time()) - 10

    def write(value: int) -> None:
        beside = vendored.with_suffix(".new")
        beside.write_text(f"VALUE = {value}\n")
        os.utime(beside, (second, second))
        beside.rename(vendored)

    write(1)
    project.write("import vendored", "'a', vendored.VALUE")
    with launched("--ignore", "vendored.py", *WSGIREF, cwd=project.root) as launch:
        launch.wait_served("('a', 1)")
        write(2)
        project.write("import vendored", "'b', vendored.VALUE")
        launch.wait_served("('b', 2)")
        assert wait_reloads(launch, 1) == ["app.py"]


def test_bytecode_of_a_module_that_is_imported_later(project: Project) -> None:
    """It was cached by an earlier generation; the running one has not imported it at its save."""
    second = int(time.time()) - 10
    lazy = project.root / "lazy.py"

    def write(value: int) -> None:
        beside = lazy.with_suffix(".new")
        beside.write_text(f"VALUE = {value}\n")
        os.utime(beside, (second, second))
        beside.rename(lazy)

    write(1)
    handler = "__import__('lazy').VALUE if environ['PATH_INFO'] == '/lazy' else settings.VALUE"
    project.write("import settings", handler, settings="VALUE = 1\n")
    with launched(*WSGIREF, cwd=project.root) as launch:
        launch.wait_for("ready in")
        assert launch.get("/lazy") == "1"
        launch.save("VALUE = 2\n", "settings.py")
        launch.wait_served("2")
        write(2)
        # Seen by now: its event came before that of the save which has been served.
        launch.save("VALUE = 3\n", "settings.py")
        launch.wait_served("3")
        assert launch.get("/lazy") == "2"


def test_saves_right_after_served_and_faster_than_reloads(project: Project) -> None:
    settings = project.root / "settings.py"
    project.write("import settings", "settings.VALUE", settings="VALUE = 0\n")
    with launched(*WSGIREF, cwd=project.root) as launch:
        launch.wait_for("ready in")
        for value in range(1, 6):
            save(settings, f"VALUE = {value}\n")
            assert len(wait_reloads(launch, value)) == value
        launch.wait_served("5")
        for value in range(100, 120):
            (save if value % 2 else Path.write_text)(settings, f"VALUE = {value}\n")
            time.sleep(value % 4 * 0.02)  # a rhythm, not a wait
        launch.wait_served("119")


@pytest.mark.parametrize("python", launchers())
def test_a_program_that_closes_what_it_has_inherited(tmp_path: Path, python: str) -> None:
    """It lives, and each source file restarts it: it cannot say what it imports."""
    (tmp_path / "job.py").write_text(
        "import helper, os, time\n"
        "os.closerange(3, 1024)\n"
        "files = [open(f'out{n}', 'a') for n in range(6)]\n"
        "print(f'runs {helper.VALUE}', flush=True)\n"
        "time.sleep(60)\n"
    )
    (tmp_path / "helper.py").write_text("VALUE = 0\n")
    with launched("-v", "job.py", cwd=tmp_path, python=python) as launch:
        launch.wait_for("watching 1 dir")
        for value in range(3):
            launch.wait_for(f"runs {value}")
            launch.save(f"VALUE = {value + 1}\n", "helper.py")
        launch.wait_for("runs 3")
        launch.wait_for("the app has closed the descriptor by which")
        assert launch.text.count("the app has closed the descriptor by which") == 1
        launch.close()
    assert {path.read_text() for path in tmp_path.glob("out?")} == {""}


def test_an_app_that_closes_the_socket_it_is_served_on(project: Project) -> None:
    project.write("os.closerange(3, 1024)", "0")
    with launched(*WSGIREF, cwd=project.root) as launch:
        launch.wait_for("app:app has closed the socket on which it is to be served")
        launch.wait_for("waiting for a change")
        project.write("import sys", "1")
        launch.wait_served("1")
        assert "Traceback" not in launch.text


def test_a_module_that_is_imported_by_a_request(project: Project) -> None:
    lazy = project.root / "lazy.py"
    project.write("", "__import__('lazy').VALUE", lazy="VALUE = 0\n")
    with launched(*WSGIREF, cwd=project.root) as launch:
        launch.wait_for("ready in")
        assert launch.get() == "0"  # imported now, and saved before that can be known
        for value in range(1, 4):
            save(lazy, f"VALUE = {value}\n")
            assert len(wait_reloads(launch, value)) == value
            assert launch.get() == str(value)


# --- no connection is refused -------------------------------------------------------------------

LIFESPAN = """\
import settings

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            with open({log!r}, "a") as log:
                log.write(f"{{message['type']}} {{settings.VALUE}}\\n")
            await send({{"type": message["type"] + ".complete"}})
            if message["type"] == "lifespan.shutdown":
                return
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": settings.VALUE.encode()}})
"""
FLASK = """\
import settings

def create():
    from flask import Flask
    app = Flask(__name__)
    app.get("/")(lambda: settings.VALUE)
    return app
"""


class Hammer(threading.Thread):
    """A client that opens a new connection for each request, all the time."""

    def __init__(self, family: int, address: object) -> None:
        super().__init__()
        self._target = (family, address)
        self._stop_asked = threading.Event()
        self.answers: list[str] = []
        self.failures: list[str] = []

    def run(self) -> None:
        while not self._stop_asked.is_set():
            try:
                self.answers.append(self._ask())
            except Exception as error:
                self.failures.append(repr(error))

    def stop(self) -> None:
        self._stop_asked.set()

    def _ask(self) -> str:
        family, address = self._target
        connection = http.client.HTTPConnection("localhost")
        with socket.socket(family) as sock:
            sock.settimeout(20)
            sock.connect(address)
            connection.sock = sock
            connection.request("GET", "/")
            response = connection.getresponse()
            assert response.status == 200
            return response.read().decode()


@contextlib.contextmanager
def hammering(family: int, address: object) -> Iterator[list[Hammer]]:
    hammers = [Hammer(family, address) for _ in range(2)]
    for hammer in hammers:
        hammer.start()
    try:
        yield hammers
    finally:
        for hammer in hammers:
            hammer.stop()
        for hammer in hammers:
            hammer.join(30)


def reload_while_hammered(
    launch: Launch, project: Project, count: int, family: int, address: object
) -> None:
    with hammering(family, address) as hammers:
        wait_until(lambda: all(hammer.answers for hammer in hammers), what="first answers")
        for number in range(1, count + 1):
            version = f"v{number}"
            save(project.root / "settings.py", f"VALUE = {version!r}\n")
            wait_until(
                lambda version=version: all(
                    version in hammer.answers[-5:] or hammer.failures for hammer in hammers
                ),
                30,
                lambda: f"{[h.answers[-1:] for h in hammers]}\n{launch.text}",
            )
    for hammer in hammers:
        assert hammer.failures == []
        versions = [version for version, _ in itertools.groupby(hammer.answers)]
        assert versions == [f"v{number}" for number in range(count + 1)]


SERVERS = {
    "uvicorn": (LIFESPAN, ("app:app",), 10),
    "hypercorn": (LIFESPAN, ("app:app", "--server", "hypercorn"), 3),
    "flask": (FLASK, ("app:create", "--factory"), 3),
    "wsgiref": ("", ("app:app", "--server", "wsgiref"), 10),
}


@pytest.mark.parametrize("name", SERVERS)
def test_no_connection_is_refused(project: Project, name: str) -> None:
    source, words, count = SERVERS[name]
    project.write("import settings", "settings.VALUE", settings="VALUE = 'v0'\n")
    if source:
        save(project.root / "app.py", source.format(log=str(project.log)))
    with launched("--port", "0", *words, cwd=project.root) as launch:
        launch.wait_for("ready in")
        host, port = launch.url.removeprefix("http://").split(":")
        reload_while_hammered(launch, project, count, socket.AF_INET, (host, int(port)))
    if source == LIFESPAN:
        hooks = [
            f"lifespan.{what} v{number}"
            for number in range(count + 1)
            for what in ("startup", "shutdown")
        ]
        assert project.log.read_text().splitlines() == hooks
    assert "Traceback" not in launch.text


@pytest.mark.parametrize("python", launchers())
def test_no_connection_to_a_unix_socket_is_refused(project: Project, python: str) -> None:
    project.write("import settings", "settings.VALUE", settings="VALUE = 'v0'\n")
    save(project.root / "app.py", LIFESPAN.format(log=str(project.log)))
    path = project.root / "socket"
    with launched("--uds", str(path), "app:app", cwd=project.root, python=python) as launch:
        launch.wait_for("ready in")
        reload_while_hammered(launch, project, 3, socket.AF_UNIX, str(path))
    assert not path.exists()


def test_no_connection_to_an_inherited_socket_is_refused(project: Project) -> None:
    project.write("import settings", "settings.VALUE", settings="VALUE = 'v0'\n")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        words = ("--fd", str(listener.fileno()), "--server", "wsgiref", "app:app")
        with launched(*words, cwd=project.root, pass_fds=(listener.fileno(),)) as launch:
            launch.wait_for("ready in")
            reload_while_hammered(launch, project, 3, socket.AF_INET, listener.getsockname())


# --- what is still open at a reload -------------------------------------------------------------

OPEN = """\
import asyncio
from contextlib import asynccontextmanager
from fastapi import FastAPI, WebSocket
from fastapi.responses import StreamingResponse
import settings

@asynccontextmanager
async def lifespan(app):
    yield
    print("hook: down", settings.VALUE, flush=True)

app = FastAPI(lifespan=lifespan)

@app.get("/")
async def root():
    from fastapi.responses import PlainTextResponse
    return PlainTextResponse(settings.VALUE)

@app.get("/stream")
async def stream():
    async def ticks():
        while True:
            yield "tick"
            await asyncio.sleep(0.02)
    return StreamingResponse(ticks())

@app.websocket("/ws")
async def ws(websocket: WebSocket):
    await websocket.accept()
    await websocket.send_text("hello")
    while True:
        await asyncio.sleep(60)
"""


def test_an_open_stream_and_websocket_delay_a_reload_by_the_grace_at_most(
    project: Project,
) -> None:
    from websockets.sync.client import connect

    save(project.root / "settings.py", "VALUE = 'one'\n")
    save(project.root / "app.py", OPEN)
    options = ("--grace", "1", "--port", "0")
    with launched(*options, "app:app", cwd=project.root) as launch:
        launch.wait_for("ready in")
        address = launch.url.removeprefix("http://")
        with (
            connect(f"ws://{address}/ws") as websocket,
            socket.create_connection(address.split(":"), 20) as stream,
        ):
            assert websocket.recv(20) == "hello"
            stream.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
            received = b""
            while b"tick" not in received:
                received += stream.recv(4096)
            save(project.root / "settings.py", "VALUE = 'two'\n")
            line = launch.wait_for(r"closed +2 open requests after \S+ m?s: (.*)")
            assert sorted(line[1].split(", ")) == ["GET /stream", "WebSocket /ws"]
            launch.wait_served("two")
        assert launch.text.count("hook: down one") == 1
        assert "Traceback" not in launch.text


# --- apps that cannot be run --------------------------------------------------------------------


def failures(launch: Launch) -> list[str]:
    return re.findall(r"^\d\d:\d\d:\d\d +broken +(.*)$", launch.text, re.MULTILINE)


BROKEN = {
    # The text of app.py, the line of the traceback's first frame or place, the broken line.
    "a syntax error": (
        "import settings\ndef broken(:\n    pass\n",
        'File "{root}/app.py", line 2',
        r"app\.py:2 +SyntaxError: .*",
    ),
    "a syntax error in a module": (
        "import settings\nimport bad_syntax\n",
        'File "{root}/app.py", line 2, in <module>',
        r"bad_syntax\.py:1 +SyntaxError: .*",
    ),
    "an exception": (
        "import settings\n\nimport raises\n",
        'File "{root}/app.py", line 3, in <module>',
        r"raises\.py:2 +ZeroDivisionError: division by zero",
    ),
    "a missing attribute": ("import settings\napplication = 1\n", None, "app:app: .* no .*'app'"),
    "no app": ("import settings\napp = 1\n", None, "app:app is an int.*"),
    "an exit": (
        "import settings\nimport sys\nsys.exit(3)\n",
        None,
        r"app\.py:3 .*sys\.exit\(3\).*",
    ),
    "a startup hook": (
        "import fastapi, contextlib, settings\n"
        "@contextlib.asynccontextmanager\n"
        "async def lifespan(app):\n"
        "    raise OSError('no database')\n"
        "    yield\n"
        "app = fastapi.FastAPI(lifespan=lifespan)\n",
        'File "{root}/app.py", line 4, in lifespan',
        r"app\.py:4 +OSError: no database",
    ),
}


def test_an_app_that_cannot_run_is_shown_once_and_waited_for(project: Project) -> None:
    root = project.root
    log = f"open({str(project.log)!r}, 'a').write('start\\n')\n"
    save(root / "settings.py", log)
    save(root / "bad_syntax.py", "x = = 1\n")
    save(root / "raises.py", "def divide():\n    return 1 / 0\n\ndivide()\n")
    good = "import settings\nasync def app(scope, receive, send):\n" + (
        "    assert scope['type'] == 'http'\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "    await send({'type': 'http.response.body', 'body': b'works'})\n"
    )
    save(root / "app.py", good)
    with launched("--port", "0", "app:app", cwd=root) as launch:
        launch.wait_for("ready in")
        for what, (source, frame, broken) in BROKEN.items():
            before, offset = len(failures(launch)), len(launch.text)
            save(root / "app.py", source)
            wait_until(lambda n=before: len(failures(launch)) > n, 20, lambda: launch.text)
            printed = launch.text[offset:]
            assert re.fullmatch(broken, failures(launch)[-1]), what
            assert (
                "waiting for a change" in launch.wait_for("waiting for a change", after=offset)[0]
            )
            if frame is None:
                assert "Traceback" not in printed
            else:
                lines = printed.splitlines()
                places = [line.strip() for line in lines if line.startswith('  File "')]
                assert places[0] == frame.format(root=root), (what, printed)
                assert printed.count(failures(launch)[-1].split("  ", 1)[1]) == 2, printed
                assert printed.count("Traceback (most recent call last)") <= 1
            assert "_devlaunch_child" not in printed
            assert "importlib" not in printed
            assert launch.process.poll() is None
        save(root / "app.py", good)
        launch.wait_served("works")
        assert len(failures(launch)) == len(BROKEN)
    # The first start, one for each broken version but the one that cannot even be compiled, the
    # last: nothing was tried twice.
    assert project.starts == 1 + len(BROKEN) - 1 + 1


def test_a_first_start_that_fails_recovers_too(project: Project) -> None:
    project.write("import settings", "settings.VALUE", settings="VALUE = 1 / 0\n")
    with launched(*WSGIREF, cwd=project.root) as launch:
        launch.wait_for(r"broken +settings\.py:1 +ZeroDivisionError")
        # Not imported, but while the app is broken each source may be what it needs.
        save(project.root / "unused.py", "VALUE = 1\n")
        wait_until(lambda: len(failures(launch)) == 2, 20, lambda: launch.text)
        save(project.root / "settings.py", "VALUE = 'mended'\n")
        launch.wait_served("mended")
    assert project.starts == 3


def wait_quiet(launch: Launch) -> None:
    """Until it has failed, and then printed nothing for as long as several restarts take."""
    launch.wait_for("waiting for a change")
    last, quiet_at = "", 0.0

    def is_quiet() -> bool:
        nonlocal last, quiet_at
        if launch.text != last:
            last, quiet_at = launch.text, time.monotonic() + 0.6
        return time.monotonic() > quiet_at

    wait_until(is_quiet, 20, lambda: launch.text)


GENERATING = "import time\nopen('gen.py', 'w').write(f'T = {time.time()}')\nraise ValueError\n"
LOGGING = "import time\nopen('dbase.log', 'a').write(f'{time.time()}')\nimport dbase\n"
STARTED = "import os\nopen({log!r}, 'a').write('start\\n')\n"


@pytest.mark.parametrize(
    ("target", "source", "again"),
    [
        pytest.param(WSGIREF, GENERATING, OWN, id="a module-app"),
        pytest.param(("app.py",), GENERATING, OWN, id="a module-script"),
        pytest.param(WSGIREF, LOGGING, 0, id="a log-app"),
        pytest.param(("app.py",), LOGGING, 0, id="a log-script"),
    ],
)
def test_what_a_broken_app_writes_does_not_restart_it_for_ever(
    project: Project, target: tuple[str, ...], source: str, again: int
) -> None:
    root = project.root
    started = STARTED.format(log=str(project.log))
    save(root / "app.py", started + source)
    with launched(*target, cwd=root) as launch:
        wait_quiet(launch)
        assert project.starts == 1 + again, launch.text
        for edit in (1, 2):
            save(root / "app.py", f"{started}# {edit}\n{source}")
            wait_until(lambda n=edit: project.starts == 1 + again + n, 20)
            wait_quiet(launch)
        save(root / "app.py", f"{started}print('mend' + 'ed')\napp = print\n")
        launch.wait_for("mended")
    assert project.starts == 1 + again + 2 + 1, launch.text


@pytest.mark.parametrize("pause", [0.3, 1.2])
def test_each_save_of_a_program_soon_after_its_start_counts(tmp_path: Path, pause: float) -> None:
    source = "import time\nprint('gen {}', flush=True)\ntime.sleep(600)\n"
    save(tmp_path / "worker.py", source.format(0))
    with launched("worker.py", cwd=tmp_path) as launch:
        for generation in range(7):
            launch.wait_for(f"gen {generation}")
            time.sleep(pause)  # a rhythm, not a wait
            save(tmp_path / "worker.py", source.format(generation + 1))
        launch.wait_for("gen 7")
        assert "written by the app" not in launch.text


WRITER = """\
import time
with open({log!r}, "a") as log:
    log.write("start\\n")

def write():
    with open("made.py", "a") as file:
        file.write(f"T = {{time.time_ns()}}\\n")
"""
SERVES = """
async def app(scope, receive, send):
    while scope["type"] == "lifespan":
        message = await receive()
        if message["type"] == "lifespan.startup":
            startup()
        await send({"type": message["type"] + ".complete"})
"""
OWN_WRITES = {
    "at import": ("writer.write()\nimport made\nstartup = int", ("app:app",), OWN),
    "at start-up": ("import made\nstartup = writer.write", ("app:app",), OWN),
    "--watch": (
        "import made\nstartup = writer.write",
        ("--watch", "made.py", "app:app"),
        INSISTED,
    ),
    "a program": (
        "import made, time\nwriter.write()\nwhile True: time.sleep(60)",
        ("app.py",),
        OWN,
    ),
}


@pytest.mark.parametrize("name", OWN_WRITES)
def test_what_a_working_app_writes_as_it_starts(project: Project, name: str) -> None:
    source, words, again = OWN_WRITES[name]
    root = project.root
    (root / "made.py").touch()
    save(root / "writer.py", WRITER.format(log=str(project.log)))
    save(root / "app.py", f"import writer\n{source}\n{SERVES}")
    options = ("--port", "0") if "app:app" in words else ()
    with launched(*options, *words, cwd=root) as launch:
        said = launch.wait_for(r"made\.py: written by the app itself; ignored \((.*)\)")
        assert said[1] == ("--ignore it" if name == "--watch" else "--watch to insist")
        after = said.start() if name == "at import" else 0
        launch.wait_for("re(loaded|started|ady) in", after=after)
        for edit in (1, 2):
            # A program is said to be started before it runs its first line.
            wait_until(lambda n=edit: project.starts >= again + n, 20, lambda: launch.text)
            assert project.starts == again + edit, launch.text
            save(root / "app.py", f"import writer\n{source}\n{SERVES}# {edit}\n")
            wait_until(lambda n=edit: reloads(launch)[again:] == ["app.py"] * n, 20)
        assert launch.text.count("written by the app itself") == 1
        # A person's save, once it has started.
        starts, edits = project.starts, itertools.count()

        def is_seen() -> bool:
            save(root / "made.py", f"EDIT = {next(edits)}\n")
            return project.starts > starts

        wait_until(is_seen, 20, lambda: launch.text)


@pytest.mark.parametrize("broken", ["1 / 0\n", "def broken(:\n"], ids=["raises", "syntax"])
@pytest.mark.parametrize("place", ["outside", "ignored"])
def test_a_broken_file_outside_the_watched_tree_is_mended(
    project: Project, place: str, broken: str
) -> None:
    directory = project.root.parent / place if place == "outside" else project.root / place
    directory.mkdir()
    (project.root / ".git").mkdir()
    (project.root / ".gitignore").write_text("ignored/\n")
    (directory / "mylib.py").write_text(broken)
    project.write("import mylib", "mylib.VALUE")
    with launched(*WSGIREF, cwd=project.root, env={"PYTHONPATH": str(directory)}) as launch:
        launch.wait_for(r"broken +\S*mylib\.py:1")
        save(directory / "mylib.py", "VALUE = 'mended'\n")
        launch.wait_served("mended")
    assert project.starts == 2


def test_an_app_that_is_killed_is_reported_and_waits(project: Project) -> None:
    project.write("import settings", "settings.VALUE", settings="VALUE = 0\n")
    with launched(*WSGIREF, cwd=project.root) as launch:
        launch.wait_served("0")
        os.kill(int(project.log.read_text()), 9)
        launch.wait_for(r"killed by SIGKILL +waiting for a change")
        save(project.root / "settings.py", "VALUE = 1\n")
        launch.wait_served("1")
    assert project.starts == 2


@pytest.mark.parametrize("place", ["tree", "package", "site-packages", "pth"])
def test_a_missing_module_that_appears_later(project: Project, place: str) -> None:
    site = project.root.parent / "venv" / "site-packages"
    site.mkdir(parents=True)
    name = "pkg.later" if place == "package" else "later"
    # .pth files count in site directories only; this makes it one.
    (site / "sitecustomize.py").write_text(f"import site; site.addsitedir({str(site)!r})\n")
    (project.root / "pkg").mkdir()
    (project.root / "pkg" / "__init__.py").touch()
    project.write(f"import {name}", f"{name}.VALUE")
    with launched(*WSGIREF, cwd=project.root, env={"PYTHONPATH": str(site)}) as launch:
        launch.wait_for(rf"broken +app\.py:4 +ModuleNotFoundError: No module named '{name}'")
        match place:
            case "tree":
                (project.root / "later.py").write_text("VALUE = 'here'\n")
            case "package":
                (project.root / "pkg" / "later.py").write_text("VALUE = 'here'\n")
            case "site-packages":  # as pip does: a directory, then files in it
                (site / "later").mkdir()
                (site / "later" / "__init__.py").write_text("VALUE = 'here'\n")
            case "pth":
                (project.root.parent / "src").mkdir()
                (project.root.parent / "src" / "later.py").write_text("VALUE = 'here'\n")
                (site / "__editable__later.pth").write_text(str(project.root.parent / "src"))
        launch.wait_served("here")
