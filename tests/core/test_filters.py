from __future__ import annotations

from typing import Any

import pytest
from support.paths import FLAVOURS, Native

from devlaunch.core.filters import (
    IGNORED_DIRECTORIES,
    AnyOf,
    Filters,
    is_dropping,
    is_source,
    split_glob,
)
from devlaunch.target.converters import BadValue, to_pattern


class Told:
    """Filters that are told of paths of one system, in tests that write them as POSIX has them."""

    def __init__(self, native: Native, filters: Filters) -> None:
        self._native = native
        self._filters = filters

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._filters, name)
        if not callable(value):
            return value
        return lambda path, *rest: value(self._native(path), *rest)


class Make:
    def __init__(self, native: Native) -> None:
        self.native = native

    def __call__(self, root: str, watch=(), ignore=(), **options: bool) -> Told:
        watch, ignore = map(self.native, watch), map(self.native, ignore)
        return Told(self.native, Filters(self.native(root), watch, ignore, **options))


@pytest.fixture(params=FLAVOURS)
def make(request: pytest.FixtureRequest) -> Make:
    return Make(request.param)


@pytest.mark.parametrize("name", sorted(IGNORED_DIRECTORIES))
@pytest.mark.parametrize("parent", ["/root", "/root/a/b"])
def test_these_directories_are_never_entered(make, name, parent):
    filters = make("/root")
    assert filters.ignores(f"{parent}/{name}")
    assert filters.ignores(f"{parent}/{name}/deep/below")
    assert not filters.ignores(f"{parent}/x{name}")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/root/a.py", ""),
        ("/root/a_pb2.py", "by --ignore *_pb2.py"),
        ("/root/x/a_pb2.py", "by --ignore *_pb2.py"),
        ("/else/a_pb2.py", "by --ignore *_pb2.py"),
        ("/root/old/x/a.py", "by --ignore /root/old"),
        ("/root/venv/a.py", "by the built-in list (venv)"),
        ("/root/node_modules/x/venv/a.js", "by the built-in list (node_modules)"),
        ("/root/env/a.py", "as a virtual environment (env)"),
        ("/root/gen/a.py", "by .gitignore:4"),
        ("/root/gen/deep/a.py", "by .gitignore:4"),
        ("/root/scratch/a.py", "by .git/info/exclude:2"),
        ("/root/sub/out/a.py", "by sub/.gitignore:1"),
        ("/root/top/a.py", "by /.gitignore:1"),
    ],
)
def test_why_a_file_is_ignored(make, path, why):
    filters = make("/root", ignore=["*_pb2.py", "/root/old", "/root/new"])
    filters.learn_environment("/root/env", True)
    filters.learn_gitignore("/", "top/")
    filters.learn_gitignore("/root", "\nge*/\n*.log\ngen/", "# of mine\nscratch")
    filters.learn_gitignore("/root/sub", "out/")
    assert filters.why_ignored(path) == " ".join(map(make.native, why.split(" ")))


def test_names_above_the_root_do_not_matter(make):
    filters = make("/home/u/.tox/venv/app")
    assert not filters.ignores("/home/u/.tox/venv/app")
    assert not filters.ignores("/home/u/.tox/venv/app/pkg")


def test_an_environment_is_not_entered(make):
    filters = make("/root")
    assert not filters.ignores("/root/myenv/lib")
    assert filters.learn_environment("/root/myenv", True)
    assert not filters.learn_environment("/root/myenv", True)
    assert filters.ignores("/root/myenv")
    assert filters.ignores("/root/myenv/lib")
    assert filters.learn_environment("/root/myenv", False)
    assert not filters.ignores("/root/myenv/lib")


@pytest.mark.parametrize(
    ("gitignores", "ignored", "entered"),
    [
        ({"/root": "build/"}, ["/root/build", "/root/a/build/x"], ["/root/builder"]),
        ({"/root": "/build"}, ["/root/build"], ["/root/a/build"]),
        ({"/root": "# build\n\nout\r\n"}, ["/root/out"], ["/root/build"]),
        ({"/root": "*\n!*/\n!*.py"}, [], ["/root/pkg", "/root/pkg/sub"]),
        ({"/root": "data/*\n!data/keep/"}, ["/root/data/x"], ["/root/data", "/root/data/keep"]),
        ({"/root": "gen/", "/root/a": "!gen/"}, ["/root/gen"], ["/root/a/gen"]),
        ({"/root/a": "gen"}, ["/root/a/gen", "/root/a/b/gen"], ["/root/gen"]),
        ({"/": "out"}, ["/root/out"], ["/root/x"]),
        ({"/root": "docs/**/out"}, ["/root/docs/x/y/out"], ["/root/docs", "/root/out"]),
        ({"/root": "\\\n[bad\nbuild"}, ["/root/build"], ["/root/bad"]),
    ],
)
def test_what_gitignore_files_ignore(make, gitignores, ignored, entered):
    filters = make("/root")
    for directory, text in gitignores.items():
        assert filters.learn_gitignore(directory, text)
        assert not filters.learn_gitignore(directory, text)
    assert [path for path in ignored if not filters.ignores(path)] == []
    assert [path for path in entered if filters.ignores(path)] == []
    for directory in gitignores:
        assert filters.learn_gitignore(directory, None)
    assert [path for path in ignored if filters.ignores(path)] == []


@pytest.mark.parametrize(
    ("pattern", "directory", "verdict"),
    [
        ("docs", "/root/docs", True),
        ("docs", "/root/a/docs/b", True),
        ("./docs", "/root/docs", True),
        ("./docs", "/root/a/docs", False),
        ("/root/docs", "/root/docs", True),
        ("/root/docs/", "/root/a/docs", False),
        ("a/migrations", "/root/a/migrations", True),
        ("a/migrations", "/root/b/a/migrations", False),
        ("!venv", "/root/venv", False),
        ("docs", "/elsewhere/docs", True),
        ("a/docs", "/elsewhere/a/docs", False),
    ],
)
def test_ignore_patterns_name_directories(make, pattern, directory, verdict):
    assert make("/root", ignore=[pattern]).ignores(directory) is verdict


@pytest.mark.parametrize(
    ("pattern", "path", "verdict"),
    [
        ("*_pb2.py", "/root/a/x_pb2.py", True),
        ("*_pb2.py", "/root/a/x.py", False),
        ("a/x.py", "/root/a/x.py", True),
        ("/root/a/x.py", "/root/a/x.py", True),
        ("gen", "/root/gen/x.py", True),
        ("*_pb2.py", "/elsewhere/x_pb2.py", True),
    ],
)
def test_ignore_patterns_name_files(make, pattern, path, verdict):
    filters = make("/root", ignore=[pattern])
    assert filters.is_excluded(path) is verdict
    assert filters.reports(path), "its bytecode may be stale"


@pytest.mark.parametrize("line", ["[z-a]", "x/[9-1].py", "\\", "!"])
def test_what_is_no_pattern(make, line):
    filters = make("/root", ignore=[line])
    assert filters.learn_gitignore("/root", f"{line}\nbuild")
    assert filters.ignores("/root/build")
    with pytest.raises(BadValue, match="a path or a glob") as caught:
        to_pattern(line, separator="/")
    assert "[a-z]" in caught.value.hint


@pytest.mark.parametrize("text", ["/", ".", "..", "./x", "!x", "a b", "[a-z]*.py", "**/x"])
def test_what_is_a_pattern(text):
    assert to_pattern(text) == text


@pytest.mark.parametrize(
    ("watch", "yes", "no"),
    [
        ("templates", ["/root/templates/a.html", "/root/templates/x/b"], ["/root/templates2/a"]),
        ("conf.yaml", ["/root/conf.yaml"], ["/root/a/conf.yaml", "/root/conf.yaml2"]),
        (".", ["/root/x.html", "/root/a/b.css"], ["/other/x", "/root/.git/index", "/root/a~"]),
        ("*.yaml", ["/root/a.yaml", "/root/b/c/a.yaml"], ["/other/a.yaml", "/root/.venv/a.yaml"]),
        ("a/*.yaml", ["/root/a/x.yaml"], ["/root/a/b/x.yaml", "/root/b/a/x.yaml"]),
        ("a/**/*.html", ["/root/a/x.html", "/root/a/b/c/x.html"], ["/root/x.html"]),
        ("../shared/*.json", ["/shared/x.json"], ["/root/x.json", "/shared/a/x.json"]),
        ("/etc/app", ["/etc/app/x", "/etc/app"], ["/etc/apple"]),
        ("/etc/*.conf", ["/etc/a.conf"], ["/root/etc/a.conf"]),
        ("node_modules/x", ["/root/node_modules/x/a.js"], ["/root/node_modules/y/a.js"]),
        ("build/**/*.js", ["/root/build/a.js"], ["/root/build/node_modules/a.js"]),
        ("a[12].txt", ["/root/a1.txt", "/root/b/a2.txt"], ["/root/a3.txt"]),
        ("/", ["/x", "/root/y"], []),
    ],
)
def test_watch_names_files_directories_and_globs(make, watch, yes, no):
    filters = make("/root", watch=[watch])
    filters.learn_gitignore("/root", "build/")
    assert [path for path in yes if not filters.is_watched(path)] == []
    assert [path for path in no if filters.is_watched(path)] == []
    assert [path for path in yes if not filters.reports(path)] == []


def test_watch_names_a_dropping_or_an_ignored_file_exactly(make):
    filters = make("/root", watch=["notes.tmp", "drop", "x.gen"], ignore=["*.gen"])
    assert filters.is_watched("/root/notes.tmp")
    assert not filters.is_watched("/root/drop/notes.tmp")
    assert filters.is_watched("/root/x.gen")


def test_scanning_begins_at_the_root_and_what_watch_names(make):
    filters = make("/root", watch=["*.x", "../shared/**/y", "build/gen", "."])
    assert filters.roots == tuple(map(make.native, ("/root", "/shared", "/root/build/gen")))


def test_a_followed_link_leads_to_a_tree_that_is_not_ignored(make):
    filters = make("/root")
    assert filters.ignores("/root/.venv/src/lib/pkg")
    filters.follow("/root/.venv/src/lib")
    assert not filters.ignores("/root/.venv/src/lib/pkg")
    assert filters.ignores("/root/.venv/src/lib/__pycache__")
    assert filters.ignores("/root/.venv/src/other")


@pytest.mark.parametrize(
    "name",
    [
        *(
            "a.py~",
            ".#a.py",
            "#a.py#",
            ".a.py.swp",
            "4913",
            "a.py.tmp",
            "a.py.tmp.1.2",
            ".a.py.swx",
        ),
        *(
            "a.py___jb_tmp___",
            ".goutputstream-AB12",
            ".!123!a.py",
            ".nfs0001",
            "a.pyc",
            "a.py.orig",
        ),
    ],
)
def test_what_editors_leave_is_a_dropping_and_no_source(make, name):
    assert is_dropping(make.native(f"/root/{name}"))
    assert not is_source(make.native(f"/root/{name}"))
    assert not make("/root", watch=["."]).reports(f"/root/{name}")


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        *(("a.py", True), ("a.cpython-311-x86_64-linux-gnu.so", True), ("a.pyd", True)),
        *(("a.pyi", False), ("a.txt", False), (".a.py", False), ("py", False), ("tmp.py", True)),
    ],
)
def test_sources_are_what_can_be_imported(make, name, verdict):
    assert is_source(make.native(f"/root/{name}")) is verdict


def test_a_script_may_have_no_suffix(make):
    filters = make("/root")
    assert filters.reports("/root/manage")
    assert not filters.reports("/root/data.bin")
    assert not make("/root", ignore=["manage"]).reports("/root/manage")


@pytest.mark.parametrize(
    ("pattern", "parts"),
    [
        *(("a/b", ("a/b", "")), ("*.x", ("", "*.x")), ("/a/*/b", ("/a", "*/b"))),
        *(
            ("/*", ("/", "*")),
            ("C:/*/b", ("C:/", "*/b")),
            ("//server/share/*", ("//server/share", "*")),
        ),
    ],
)
def test_split_glob(pattern, parts):
    assert split_glob(pattern) == parts


@pytest.mark.parametrize(
    ("root", "watch", "yes", "no"),
    [
        (r"C:\root", r"A\*.HTML", r"C:\root\a\x.html", r"C:\root\x.html"),
        (r"C:\root", r".\a", r"C:\root\A\x.html", r"C:\root\ab"),
        (r"C:\root", "c:/ROOT/x.yaml", r"C:\root\x.yaml", r"C:\root\a\x.yaml"),
        (r"C:\root", r"\\?\C:\root\x.yaml", r"C:\root\x.yaml", r"C:\x.yaml"),
        (r"C:\root", r"D:\a\**\*.x", r"D:\a\b\c.x", r"C:\root\c.x"),
        (r"C:\root", r"D:\*.x", r"D:\a.x", r"D:\a\b.x"),
        (r"C:\root", r"\\server\share\*.x", r"\\server\share\a.x", r"\\server\other\a.x"),
        (r"C:\root", r"\\?\UNC\server\share", r"\\server\share\a\b", r"\\server\x"),
        (r"\\server\share", "a", r"\\server\share\a\b", r"\\server\share\b"),
        ("C:\\", "a", r"C:\a\b", r"C:\b"),
    ],
)
def test_watch_takes_what_people_write_on_windows(root, watch, yes, no):
    filters = Filters(root, watch=[watch])
    assert filters.is_watched(yes)
    assert not filters.is_watched(no)


@pytest.mark.parametrize(
    ("ignore", "gitignore", "path"),
    [
        (["build\\"], "", r"C:\root\a\Build"),
        ([r"a\build"], "", r"C:\root\a\build"),
        ([r".\a\build"], "", r"C:\root\a\build"),
        ([r"c:\Root\A\build"], "", r"C:\root\a\build"),
        ([r"\\?\C:\root\a\build"], "", r"C:\root\a\build"),
        ([], "/a/Build/", r"C:\root\a\build"),
        ([], "", r"C:\root\a\Node_Modules"),
        ([], "", r"C:\root\a\__pycache__"),
    ],
)
def test_what_is_ignored_on_windows(ignore, gitignore, path):
    filters = Filters(r"C:\root", ignore=ignore)
    filters.learn_gitignore(r"C:\root", gitignore)
    assert filters.ignores(path)
    assert filters.ignores(path + r"\deep\below")
    assert not filters.ignores(path + "x")
    assert filters.why_ignored(path + r"\a.py")
    for text in ignore:
        assert to_pattern(text, separator="\\") == text


def test_posix_tells_case_and_backslashes_apart():
    filters = Filters("/root", watch=["a.TXT"], ignore=["Gen", r"\#x"])
    assert not filters.is_watched("/root/a.txt")
    assert not filters.ignores("/root/gen")
    assert filters.ignores("/root/#x")


def test_several_programs_are_watched_for_by_what_one_of_them_asks_for():
    web, worker = Filters("/src", ["/data/*.toml"]), Filters("/src/worker", ignore=["made"])
    both = AnyOf()
    both.programs += [web, worker]
    assert (both.app_dirs, both.roots) == (
        ("/src", "/src/worker"), ("/src", "/data", "/src/worker")
    )  # fmt: skip
    assert both.watches
    assert both.learn_gitignore("/src", "build/\n")
    assert both.learn_environment("/src/env", is_environment=True)
    assert not both.learn_environment("/src/env", is_environment=True)
    for ask, yes, no in (
        ("ignores", ("/src/build", "/src/env", "/src/.git"), ("/src/worker/made", "/src/a")),
        ("is_environment", ("/src/env",), ("/src",)),
        ("is_watched", ("/data/a.toml",), ("/data/a.ini", "/src/a.py")),
        ("reports", ("/data/a.toml", "/src/a.py"), ("/data/a.ini",)),
        ("explains", (), ("/src/build",)),
    ):
        assert [path for path in (*yes, *no) if getattr(both, ask)(path)] == [*yes], ask
    assert worker.ignores("/src/worker/build"), "each is told"
    both.follow("/src/build")
    assert not both.ignores("/src/build")
