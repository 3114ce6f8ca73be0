"""The watcher against the real file system."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from support.wait import wait_until

from devlaunch.core.filters import Filters
from devlaunch.events import FilesTouched, WatchDegraded, WatchReady
from devlaunch.watching.backends import Observer
from devlaunch.watching.mounts import parse_mountinfo, silent_mount
from devlaunch.watching.tree import Tree
from devlaunch.watching.watcher import Watcher, system_mounts

if sys.platform == "linux":
    from devlaunch.watching.inotify import Inotify

    SystemBackend = Inotify
elif sys.platform == "win32":
    from devlaunch.watching.windows import DirectoryChanges

    SystemBackend = DirectoryChanges
else:
    SystemBackend = Observer


def can_link() -> bool:
    """Whether there are symbolic links: on Windows they need a privilege, and wine has none."""
    with tempfile.TemporaryDirectory() as directory:
        link = Path(directory) / "link"
        try:
            link.symlink_to("nowhere")
        except OSError:
            return False
        return link.is_symlink()


WINE = sys.platform == "win32" and hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")
links = pytest.mark.skipif(not can_link(), reason="no symbolic links here")
not_windows = pytest.mark.skipif(sys.platform == "win32", reason="what macOS has")
windows_only = pytest.mark.skipif(sys.platform != "win32", reason="for Windows")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


class Posted:
    """What a watcher posted; `hold` makes its thread wait in the next post."""

    def __init__(self) -> None:
        self.events: list[object] = []
        self.free = threading.Event()
        self.free.set()
        self.is_held = False

    def __call__(self, event: object) -> None:
        self.events.append(event)
        self.is_held = not self.free.is_set()
        self.free.wait()
        self.is_held = False

    @property
    def touched(self) -> set[str]:
        batches = [event.paths for event in self.events if isinstance(event, FilesTouched)]
        return set().union(*batches)

    def of(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]


def watcher_of(post, filters, extra=(), **options) -> Watcher:
    watcher = Watcher(post=post, **options)
    watcher.watch_for(filters, extra)
    return watcher


class Watched:
    """A running watcher on a directory."""

    def __init__(self, root: Path, watch=(), ignore=(), **options) -> None:
        self.root = root
        self.posted = Posted()
        self.seen: set[str] = set()
        self.filters = Filters(os.path.realpath(root), watch, ignore)
        self.watcher = watcher_of(self.posted, self.filters, **options)

    def start(self) -> Watched:
        self.watcher.start()
        return self

    def ready(self) -> Watched:
        wait_until(lambda: self.posted.of(WatchReady), what="ready")
        return self

    def sees(self, *paths: Path) -> None:
        """Wait until all these have been posted, then forget them."""
        wanted = {str(path) for path in paths}
        wait_until(
            lambda: wanted <= self.posted.touched,
            what=lambda: f"{wanted - self.posted.touched} not in {self.posted.touched}",
        )
        self.forget()

    def settle(self) -> set[str]:
        """Everything posted since the last time, until a file saved now was."""
        probe = self.root / "probe.py"
        probe.write_text(str(time.monotonic_ns()))
        wait_until(lambda: str(probe) in self.posted.touched, what="the probe")
        # A probe in a known directory overtakes scans of new ones: let them finish.
        wait_until(lambda: not self.watcher._tree.busy)
        self.forget()
        seen, self.seen = self.seen, set()
        return seen

    def never_saw(self, *paths: Path) -> None:
        """Nothing was posted of these since the last `settle`."""
        assert self.settle().isdisjoint(map(str, paths))

    def forget(self) -> None:
        self.seen |= self.posted.touched
        self.posted.events = [e for e in self.posted.events if not isinstance(e, FilesTouched)]


@pytest.fixture
def tmp_path(tmp_path: Path) -> Path:
    return Path(os.path.realpath(tmp_path))


@pytest.fixture
def watch(tmp_path):
    """Start watchers of tmp_path/app that are stopped at the end."""
    made: list[Watched] = []
    root = tmp_path / "app"
    root.mkdir()

    def make(*, start=True, **options) -> Watched:
        made.append(Watched(options.pop("root", root), **options))
        return made[-1].start().ready() if start else made[-1]

    yield make
    for watched in made:
        watched.posted.free.set()
        watched.watcher.stop()
    left = [t.name for t in threading.enumerate() if t.name.startswith("devlaunch")]
    assert left == []


# watchdog's own observer warns when a directory comes back while it still has its old watch.
overwritten = pytest.mark.filterwarnings("ignore:Callback with id:RuntimeWarning")


@pytest.fixture(
    params=[
        pytest.param("events", marks=[overwritten, not_windows]),
        "poll",
        "system",
    ]
)
def mode(request):
    """The ways of watching that must behave alike: watchdog's public observer is `events`."""
    return {
        "events": {"backend": Observer},
        "system": {},
        "poll": {"poll": 0.02},
    }[request.param]


def write(path: Path, text: str = "x = 1\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def remove(tree: Path) -> None:
    try:
        shutil.rmtree(tree)
    except OSError:
        if WINE:
            pytest.skip("wine keeps a directory as long as it is watched, and does not tell")
        raise


def inotify_watches() -> int:
    """How many inotify watches this process holds (proc_pid_fdinfo(5))."""
    count = 0
    for fd in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{fd}") == "anon_inode:inotify":
                text = Path(f"/proc/self/fdinfo/{fd}").read_text()
                count += sum(line.startswith("inotify wd:") for line in text.splitlines())
        except FileNotFoundError:
            continue
    return count


# --- saves ----------------------------------------------------------------------------------------


def test_saves_of_every_kind(watch, mode, tmp_path):
    root = tmp_path / "app"
    old = write(root / "pkg" / "old.py")
    watched = watch(**mode)
    new = write(root / "pkg" / "new.py")
    watched.sees(new)
    old.write_text("x = 2\n")
    wait_until(lambda: str(old) in watched.posted.touched, what="the save")
    are_closed = {event.are_closed for event in watched.posted.of(FilesTouched)}
    assert are_closed == {mode == {} and sys.platform == "linux"}
    watched.sees(old)
    with old.open("a") as file:
        file.write("y = 3\n")
    watched.sees(old)
    write(root / "pkg" / ".old.py.tmp").replace(old)
    watched.sees(old)
    old.rename(root / "pkg" / "renamed.py")
    watched.sees(old, root / "pkg" / "renamed.py")
    new.unlink()
    watched.sees(new)


def test_a_save_of_the_same_length_with_the_mtime_restored(watch, mode, tmp_path):
    path = write(tmp_path / "app" / "a.py", "x = 1\n")
    watched = watch(**mode)
    before = path.stat()
    path.write_text("x = 2\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    watched.sees(path)


@links
def test_links_made_in_place_of_a_save(watch, mode, tmp_path):
    root = tmp_path / "app"
    elsewhere = write(tmp_path / "elsewhere" / "a.py")
    watched = watch(**mode)
    (root / "hard.py").hardlink_to(elsewhere)
    watched.sees(root / "hard.py")
    (root / "soft.py").symlink_to(elsewhere)
    watched.sees(root / "soft.py", elsewhere)


def test_only_what_can_matter_is_posted(watch, mode, tmp_path):
    root = tmp_path / "app"
    watched = watch(**mode, watch=["*.html"], ignore=["*_pb2"])
    names = ("a.txt", "a.py~", ".a.py.swp", "x_pb2", "4913")
    noise = [write(root / name) for name in names]
    page, script = write(root / "t" / "a.html"), write(root / "manage")
    watched.sees(page, script)
    watched.never_saw(*noise)


def test_a_line_of_gitignore_that_is_no_pattern(watch, mode, tmp_path):
    root = tmp_path / "app"
    (root / "pkg").mkdir()
    (root / ".gitignore").write_text("[z-a]\n")
    watched = watch(**mode)
    (root / ".gitignore").write_text("build\n[9-1]\n")
    watched.sees(write(root / "pkg" / "a.py"))
    assert watched.posted.of(WatchDegraded) == []


def test_an_extra_file_is_reported_whatever_its_name(watch, mode, tmp_path):
    script = write(tmp_path / "bin" / "run.cgi")
    watched = watch(**mode, extra=[str(script)])
    other = write(tmp_path / "bin" / "other.cgi")
    script.write_text("x = 2\n")
    watched.sees(script)
    watched.never_saw(other)


def test_what_watch_names_outside_the_root(watch, mode, tmp_path):
    conf = write(tmp_path / "conf" / "app.yaml")
    shared = write(tmp_path / "shared" / "deep" / "a.json")
    inside = write(tmp_path / "app" / "node_modules" / "x" / "a.js")
    names = [str(conf), "../shared/**/*.json", "node_modules/x"]
    watched = watch(**mode, watch=names)
    for path in (conf, shared, inside):
        path.write_text("new")
        watched.sees(path)
    contents = {path for path, _, _ in watched.posted.of(WatchReady)[0].contents}
    assert contents == {str(conf), str(shared), str(inside)}


# --- directories ----------------------------------------------------------------------------------


def test_new_trees_are_watched_at_once(watch, mode, tmp_path):
    root = tmp_path / "app"
    watched = watch(**mode)
    made = [write(root / "x" / "y" / f"d{n}" / "a.py") for n in range(20)]
    watched.sees(*made)
    made[7].write_text("again")
    watched.sees(made[7])


def test_a_tree_moved_in_and_out(watch, mode, tmp_path):
    root = tmp_path / "app"
    write(tmp_path / "tree" / "sub" / "a.py")
    watched = watch(**mode)
    (tmp_path / "tree").rename(root / "tree")
    watched.sees(root / "tree" / "sub" / "a.py")
    (root / "tree").rename(root / "other")
    watched.sees(root / "tree" / "sub" / "a.py", root / "other" / "sub" / "a.py")
    write(root / "other" / "sub" / "b.py")
    watched.sees(root / "other" / "sub" / "b.py")
    (root / "other").rename(tmp_path / "gone")
    watched.sees(root / "other" / "sub" / "a.py", root / "other" / "sub" / "b.py")
    watched.settle()
    write(tmp_path / "gone" / "sub" / "a.py", "new")
    watched.never_saw(*(tree / "sub" / "a.py" for tree in (root / "other", tmp_path / "gone")))


def test_trees_that_swap_their_names(watch, mode, tmp_path):
    root = tmp_path / "app"
    for name in "ab":
        write(root / name / "sub" / "x.py", name)
    watched = watch(**mode)
    (root / "a").rename(root / "c")
    (root / "b").rename(root / "a")
    (root / "c").rename(root / "b")
    watched.sees(root / "a" / "sub" / "x.py", root / "b" / "sub" / "x.py")
    watched.settle()
    for name in "ab":
        write(root / name / "sub" / "x.py", "new")
        watched.sees(root / name / "sub" / "x.py")


def test_a_removed_tree_that_comes_back(watch, mode, tmp_path):
    root = tmp_path / "app"
    path = write(root / "pkg" / "sub" / "a.py")
    watched = watch(**mode)
    remove(root / "pkg")
    watched.sees(path)
    write(path)
    watched.sees(path)
    path.write_text("again")
    watched.sees(path)


@pytest.mark.parametrize("way", ["poll", "system"])
def test_the_root_itself_is_replaced(watch, way, tmp_path):
    root = tmp_path / "app"
    path = write(root / "pkg" / "a.py")
    watched = watch(poll=0.02 if way == "poll" else None)
    remove(root)
    watched.sees(path)
    write(path)
    watched.sees(path)
    path.write_text("again")
    watched.sees(path)


@windows_only
def test_a_tree_is_watched_by_one_handle(watch, tmp_path):
    """One on a directory within would keep that from being renamed, and those above it."""
    root = tmp_path / "app"
    delivered = []

    class Counted(SystemBackend):
        def read(self, raw):
            delivered.append(raw)
            return super().read(raw)

    watched = watch(backend=lambda deliver: Counted(deliver, whole_trees=True), ignore=["gen"])
    assert watched.watcher._backend.handles == 1
    # Anew, since wine watches no directory that was there before.
    made, ignored = write(root / "pkg" / "deep" / "a.py"), write(root / "gen" / "sub" / "a.py")
    watched.sees(made)
    made.write_text("new")
    ignored.write_text("new")
    watched.sees(made)
    (root / "pkg").rename(root / "other")
    watched.sees(made, root / "other" / "deep" / "a.py")
    shutil.rmtree(root / "other")
    watched.sees(root / "other" / "deep" / "a.py")
    watched.sees(write(made, "again"))
    watched.watcher.add_directories([str(made.parent), str(tmp_path)])
    watched.settle()
    wait_until(lambda: watched.watcher._backend.handles == 2, what="one for what lies outside")
    watched.sees(write(made, "once more"))
    assert str(ignored) not in delivered


@windows_only
def test_a_watch_that_the_kernel_ends_is_begun_again(watch, tmp_path):
    root = tmp_path / "app"
    watched = watch()
    [opened] = watched.watcher._backend._opened()
    ctypes.WinDLL("kernel32").CancelIoEx(ctypes.c_void_p(opened.handle), None)
    wait_until(lambda: watched.watcher._backend._opened() not in ((opened,), ()), what="another")
    watched.sees(write(root / "a.py"))
    assert watched.posted.of(WatchDegraded) == []


@linux_only
def test_the_root_is_replaced_while_somebody_works_in_it(watch, tmp_path):
    """The kernel tells of no end of a directory that is still in use."""
    root = tmp_path / "app"
    write(root / "a.py")
    watched = watch()
    for number in range(2):
        held = os.open(root, os.O_RDONLY)
        try:
            remove(root)
            root.mkdir()
            (root / f"new{number}.py").write_text("1")
            watched.sees(root / f"new{number}.py")
        finally:
            os.close(held)


@linux_only
def test_watches_of_removed_directories_are_given_back(watch, tmp_path):
    root = tmp_path / "app"
    watched = watch()
    before = inotify_watches()
    for _ in range(3):
        last = [write(root / "x" / f"d{n}" / "a.py") for n in range(30)]
        watched.sees(*last)
        remove(root / "x")
        watched.settle()
    wait_until(lambda: inotify_watches() == before, what=lambda: f"{inotify_watches()} {before}")
    assert len(watched.watcher._tree.directories) == 1


# --- ignored trees --------------------------------------------------------------------------------


@linux_only
def test_the_number_of_watches_does_not_depend_on_ignored_trees(watch, tmp_path):
    root = tmp_path / "app"
    write(root / "pkg" / "a.py")
    write(root / ".gitignore", "/data/\n")
    watch()
    before = inotify_watches()
    for n in range(100):
        for ignored in ("node_modules/x", ".git", "data", "env/lib", "pkg/__pycache__"):
            write(root / ignored / f"d{n}" / "a.py")
    write(root / "env" / "pyvenv.cfg")
    assert before == 2
    again = watch()
    assert again.posted.of(WatchReady)[0].directories == 2
    again.never_saw(write(root / "node_modules" / "y" / "a.py"))
    wait_until(lambda: inotify_watches() == 2 * before, what=lambda: str(inotify_watches()))


@linux_only
def test_a_virtual_environment_made_while_watching_is_left(watch, tmp_path):
    root = tmp_path / "app"
    watched = watch()
    before = inotify_watches()
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", root / "some env"], check=True, timeout=60
    )
    watched.settle()
    wait_until(lambda: inotify_watches() == before, what=lambda: f"{inotify_watches()} {before}")


@links
def test_a_directory_with_links_into_itself_is_left_with_the_link_that_led_there(watch, tmp_path):
    other = write(tmp_path / "other" / "real.py")
    (other.parent / "link.py").symlink_to(other)
    watched = watch()
    before = inotify_watches()
    link = tmp_path / "app" / "link.py"
    link.symlink_to(other)
    wait_until(lambda: inotify_watches() == before + 1)
    link.unlink()
    watched.settle()
    wait_until(lambda: inotify_watches() == before, what=lambda: f"{inotify_watches()} {before}")


def test_gitignore_files_are_followed_as_they_change(watch, mode, tmp_path):
    root = tmp_path / "app"
    write(root / "gen" / "sub" / "a.py")
    write(root / "pkg" / "gen" / "a.py")
    write(root / "pkg" / ".gitignore", "gen\n")
    watched = watch(**mode)
    write(root / "pkg" / "gen" / "a.py", "new")
    write(root / "gen" / "sub" / "a.py", "new")
    watched.sees(root / "gen" / "sub" / "a.py")
    watched.never_saw(root / "pkg" / "gen" / "a.py")
    write(root / ".gitignore", "/gen/\n")
    (root / "pkg" / ".gitignore").unlink()
    watched.sees(root / "pkg" / "gen" / "a.py", root / "gen" / "sub" / "a.py")
    watched.settle()
    write(root / "gen" / "sub" / "a.py", "newer")
    write(root / "pkg" / "gen" / "a.py", "newer")
    watched.sees(root / "pkg" / "gen" / "a.py")
    watched.never_saw(root / "gen" / "sub" / "a.py")


def test_what_the_repository_above_ignores(watch, tmp_path):
    repository = tmp_path / "repo"
    write(repository / ".git" / "info" / "exclude", "private/\n")
    write(repository / ".gitignore", "app/build/\n")
    for name in ("build", "private", "pkg"):
        write(repository / "app" / name / "a.py")
    watched = watch(root=repository / "app")
    assert watched.posted.of(WatchReady)[0].directories == 2


# --- symbolic links -------------------------------------------------------------------------------


@links
def test_a_linked_source_tree_is_followed(watch, mode, tmp_path):
    root, lib = tmp_path / "app", tmp_path / "lib"
    write(lib / "deep" / "a.py")
    (root / "src").symlink_to(lib)
    watched = watch(**mode)
    write(lib / "deep" / "a.py", "new")
    watched.sees(lib / "deep" / "a.py", root / "src" / "deep" / "a.py")
    write(root / "src" / "new" / "b.py")
    watched.sees(lib / "new" / "b.py", root / "src" / "new" / "b.py")


@links
def test_a_glob_matches_through_a_link(watch, mode, tmp_path):
    root, lib = tmp_path / "app", tmp_path / "lib"
    page = write(lib / "t" / "a.html")
    (root / "src").symlink_to(lib)
    watched = watch(**mode, watch=["src/**/*.html"])
    page.write_text("new")
    watched.sees(page, root / "src" / "t" / "a.html")


@links
@pytest.mark.parametrize("known", [False, True], ids=["elsewhere", "in the tree"])
def test_a_link_that_is_set_to_another_tree(watch, mode, tmp_path, known):
    root = tmp_path / "app"
    place = root if known else tmp_path
    old, new = write(place / "v1" / "a.py"), write(place / "v2" / "a.py")
    (root / "current").symlink_to(old.parent)
    watched = watch(**mode)
    (root / "next").symlink_to(new.parent)
    (root / "next").replace(root / "current")
    watched.sees(root / "current" / "a.py", new)
    watched.settle()
    new.write_text("new")
    watched.sees(root / "current" / "a.py", new)
    if not known:
        watched.settle()
        old.write_text("new")
        watched.never_saw(old)


@links
def test_a_link_that_is_set_to_a_tree_that_is_about_to_be_scanned(tmp_path):
    """The app's report of what it imports may come before the event of the link."""
    root, old, new = tmp_path / "app", write(tmp_path / "v1" / "a.py"), tmp_path / "v2" / "a.py"
    root.mkdir()
    write(new)
    (root / "current").symlink_to(old.parent)
    future = time.time_ns() + 10**12  # all is older than the watch
    tree = Tree(Filters(str(root)), lambda path, whole: None, lambda path: None, future)
    tree.add(str(root), recursive=True)
    while tree.busy:
        tree.step()
    (root / "current").unlink()
    (root / "current").symlink_to(new.parent)
    tree.add(str(root / "current"), recursive=False)
    tree.examine(str(root / "current"))
    while tree.busy:
        tree.step()
    assert {str(root / "current" / "a.py"), str(new)} <= tree.touched


@links
def test_a_link_whose_target_goes_while_it_is_followed(tmp_path):
    root, above = tmp_path / "app", tmp_path / "a"
    root.mkdir()
    above.mkdir()
    (root / "src").symlink_to(above / "lib")

    def report(path: str, whole: bool) -> None:
        if path == str(above):
            above.rmdir()
            raise FileNotFoundError(path)

    tree = Tree(Filters(str(root)), report, lambda path: None, 0)
    tree.add(str(root), recursive=True)
    for _ in range(10):
        if tree.busy:
            tree.step()
    assert not tree.busy
    assert str(tmp_path) in tree.directories


def test_a_root_that_comes_and_goes_is_never_taken_for_a_file(tmp_path):
    root = tmp_path / "root"
    tree = Tree(Filters(str(root)), lambda path, whole: None, lambda path: None, 0)
    done = threading.Event()

    def come_and_go() -> None:
        while not done.is_set():
            with contextlib.suppress(OSError):  # on Windows, as it is looked at
                root.mkdir(exist_ok=True)
                root.rmdir()

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for _ in range(2_000 if WINE else 20_000):
            tree.add(str(root), recursive=True)
            while tree.busy:
                tree.step()
    finally:
        done.set()
        thread.join()
    root.mkdir(exist_ok=True)
    tree.retry()
    assert set(tree.directories) == {str(root)}


@links
@pytest.mark.parametrize("recursive", [True, False])
def test_links_that_lead_nowhere_are_no_work(tmp_path, recursive):
    for name in ("src", "a.py"):
        (tmp_path / name).symlink_to("/nowhere/at/all.py")
    tree = Tree(Filters(str(tmp_path / "app")), lambda path, whole: None, lambda path: None, 0)
    tree.add(str(tmp_path), recursive=recursive)
    for _ in range(10):
        if tree.busy:
            tree.step()
    assert not tree.busy


@links
def test_a_link_whose_target_comes_and_goes(watch, mode, tmp_path):
    root, lib = tmp_path / "app", tmp_path / "a" / "b" / "lib"
    (root / "src").symlink_to(lib)
    watched = watch(**mode)
    for _ in range(3):
        path = write(lib / "x.py")
        watched.sees(path, root / "src" / "x.py")
        remove(tmp_path / "a")
        watched.sees(path, root / "src" / "x.py")


@links
def test_links_that_loop_end(watch, mode, tmp_path):
    root = tmp_path / "app"
    path = write(root / "a" / "b" / "x.py")
    (root / "a" / "b" / "up").symlink_to("..")
    (root / "a" / "self").symlink_to(root)
    (root / "above").symlink_to(tmp_path)
    (root / "broken").symlink_to("nowhere")
    watched = watch(**mode)
    assert watched.posted.of(WatchReady)[0].directories == 3
    path.write_text("new")
    watched.sees(path)
    remove(root / "a")
    watched.sees(path)
    wait_until(lambda: len(watched.watcher._tree.directories) == 1)


@links
def test_a_linked_file_is_posted_under_both_names(watch, mode, tmp_path):
    link, real = tmp_path / "app" / "conf.py", write(tmp_path / "etc" / "conf.py")
    link.symlink_to(real)
    watched = watch(**mode)
    real.write_text("new")
    watched.sees(link, real)
    other = write(tmp_path / "etc2" / "other.py")
    link.unlink()
    link.symlink_to(other)
    watched.sees(link, other)
    other.write_text("new")
    watched.sees(link, other)


@links
@pytest.mark.parametrize("pattern", ["*.yaml", ".", "conf.yaml"])
@pytest.mark.parametrize("place", ["elsewhere", "app", "app/node_modules"])
def test_a_link_to_a_file_of_another_name(watch, mode, tmp_path, pattern, place):
    link, real = tmp_path / "app" / "conf.yaml", write(tmp_path / place / "conf.v1")
    link.symlink_to(real)
    watched = watch(**mode, watch=[pattern])
    real.write_text("in place")
    watched.sees(link)
    write(real.with_suffix(".tmp"), "atomic").replace(real)
    watched.sees(link)
    real.unlink()
    watched.sees(link)
    write(real, "made again")
    watched.sees(link)
    real.write_text("and saved")
    watched.sees(link)


@links
def test_a_link_through_links(watch, mode, tmp_path):
    """As Kubernetes mounts a ConfigMap; a release is switched alike."""
    root = tmp_path / "app"
    for version in "123":
        write(root / f"..{version}" / "conf.yaml", version)
    (root / "..data").symlink_to("..1")
    (root / "conf.yaml").symlink_to("..data/conf.yaml")
    (tmp_path / "far.yaml").symlink_to(root / "conf.yaml")
    watched = watch(**mode, watch=["conf.yaml", str(tmp_path / "far.yaml")])
    for version in "23":
        (root / "..next").symlink_to(f"..{version}")
        (root / "..next").rename(root / "..data")
        watched.sees(root / "conf.yaml", tmp_path / "far.yaml")
        write(root / f"..{version}" / "conf.yaml", "edited")
        watched.sees(root / "conf.yaml", tmp_path / "far.yaml")


@links
def test_a_root_that_is_a_link(watch, mode, tmp_path):
    path = write(tmp_path / "real" / "pkg" / "a.py")
    (tmp_path / "link").symlink_to("real")
    watched = watch(**mode, root=tmp_path / "link")
    path.write_text("new")
    watched.sees(path)


# --- nothing is lost ------------------------------------------------------------------------------


def test_saves_while_the_first_scan_runs(watch, mode, tmp_path):
    root = tmp_path / "app"
    files = [write(root / f"d{n}" / "a.py") for n in range(300)]
    watched = watch(start=False, **mode).start()
    for path in files:
        path.write_text("new")
    watched.sees(*files)


def test_the_root_is_watched_when_start_returns(watch, tmp_path):
    watched = watch(start=False)
    watched.posted.free.clear()
    watched.start()
    path = write(tmp_path / "app" / "a.py")
    watched.posted.free.set()
    watched.sees(path)


@pytest.mark.skipif(SystemBackend is Observer, reason="watchdog does not tell")
def test_an_overflow_of_the_queue_of_events(watch, tmp_path):
    root = tmp_path / "app"
    queue = (1 << 16) // 14  # records in a buffer
    if sys.platform == "linux":
        queue = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    victim, doomed = write(root / "pkg" / "victim.py"), write(root / "doomed" / "a.py")
    noise = root / "noise"
    noise.mkdir()
    overflows = []

    class Counted(SystemBackend):
        def read(self, raw):
            overflows.extend([raw] if raw is None else [])
            return super().read(raw)

    capacity = 64
    watched = watch(backend=lambda deliver: Counted(deliver, capacity))
    watched.posted.free.clear()
    write(root / "first.py")
    wait_until(lambda: watched.posted.is_held, what="the thread is held")
    # Three events each: create, close, delete; what fits before is the reader's and our buffer.
    for n in range((queue + 3 * capacity) // 3 + 1000):
        fd = os.open(noise / str(n % 7), os.O_CREAT | os.O_WRONLY)
        os.close(fd)
        os.unlink(noise / str(n % 7))
    victim.write_text("new")
    if not WINE:
        remove(doomed.parent)
    made = write(root / "made" / "deep" / "a.py")
    watched.posted.free.set()
    watched.sees(victim, made, *([] if WINE else [doomed]))
    assert overflows, "the queue did not overflow, so nothing was tested"
    made.write_text("again")
    watched.sees(made)


# --- falling back to polling ----------------------------------------------------------------------


class Limited(SystemBackend):
    """Refuses more than three watches, as the kernel does at max_user_watches."""

    def watch(self, path: str, *, whole: bool) -> str | None:
        if len(self._watches) >= 3:
            raise OSError(errno.ENOSPC, "inotify watch limit reached")
        return super().watch(path, whole=whole)


@linux_only
def test_the_limit_of_watches_in_the_first_scan(watch, tmp_path):
    root = tmp_path / "app"
    files = [write(root / f"d{n}" / "a.py") for n in range(10)]
    watched = watch(backend=Limited)
    [degraded] = watched.posted.of(WatchDegraded)
    assert "fs.inotify.max_user_watches" in degraded.reason
    assert "\n" not in degraded.reason
    for path in files:
        path.write_text("new")
    watched.sees(*files)
    assert inotify_watches() == 0
    assert len(watched.posted.of(WatchDegraded)) == 1


@linux_only
def test_the_limit_of_watches_later(watch, tmp_path):
    root = tmp_path / "app"
    watched = watch(backend=Limited)
    files = [write(root / f"d{n}" / "a.py") for n in range(10)]
    watched.sees(*files)
    assert len(watched.posted.of(WatchDegraded)) == 1
    files[9].write_text("new")
    watched.sees(files[9])


def test_a_failure_that_nobody_thought_of(watch, tmp_path):
    class Failing(SystemBackend):
        def read(self, raw):
            super().read(raw)
            raise RuntimeError("no idea")

    path = write(tmp_path / "app" / "pkg" / "a.py")
    watched = watch(backend=Failing)
    path.write_text("new")
    [degraded] = wait_until(lambda: watched.posted.of(WatchDegraded), what="it is said")
    watched.sees(path)
    assert "every 0.5 s: watching failed (RuntimeError: no idea)" in degraded.reason
    watched.sees(write(tmp_path / "app" / "later" / "b.py"))


def test_a_failure_that_comes_again_and_again(watch, tmp_path):
    class Failing(Filters):
        def learn_gitignore(self, directory, text):
            if directory.endswith("bad"):
                raise RuntimeError(directory)
            return super().learn_gitignore(directory, text)

    write(tmp_path / "app" / "bad" / "a.py")
    path = write(tmp_path / "app" / "good" / "a.py")
    watched = watch(start=False)
    watched.watcher = watcher_of(watched.posted, Failing(str(tmp_path / "app")))
    watched.start().ready()
    for text in ("one", "two"):
        path.write_text(text)
        watched.sees(path)
    assert len(watched.posted.of(WatchDegraded)) == 1


@linux_only
def test_the_limit_of_the_real_kernel(tmp_path):
    """In a user namespace of its own, whose limit is its own too."""
    for n in range(10):
        write(tmp_path / f"d{n}" / "a.py")
    program = """
import sys, threading
from devlaunch.core.filters import Filters
from devlaunch.events import WatchDegraded, WatchReady
from devlaunch.watching.watcher import Watcher
ready = threading.Event()
def post(event):
    if isinstance(event, WatchDegraded):
        print(event.reason)
    if isinstance(event, WatchReady):
        ready.set()
watcher = Watcher(post=post)
watcher.watch_for(Filters(sys.argv[1]))
watcher.start()
ready.wait(10)
watcher.stop()
"""
    limit = "/proc/sys/user/max_inotify_watches"
    script = f'echo 5 > {limit} && exec "$@"'
    done = subprocess.run(
        [
            *("unshare", "--user", "--map-root-user", "sh", "-c", script, "sh"),
            *(sys.executable, "-c", program, str(tmp_path)),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    if done.returncode and "Traceback" not in done.stderr:
        pytest.skip(f"no user namespace here: {done.stderr.strip()}")
    assert done.stderr == ""
    assert "max_user_watches" in done.stdout


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOSYS])
def test_no_events_at_all(watch, tmp_path, number):
    def refuse(deliver):
        raise OSError(number, os.strerror(number))

    watched = watch(backend=refuse)
    [degraded] = watched.posted.of(WatchDegraded)
    assert ("max_user_instances" in degraded.reason) is (number == errno.EMFILE)
    watched.sees(write(tmp_path / "app" / "a.py"))


MOUNTS = """\
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 27 0:40 / /mnt/my\\040share rw - nfs4 server:/x rw
31 27 0:41 / /app rw master:3 - {app} src rw
32 31 0:42 / /app/node_modules rw - 9p x rw
33 31 0:43 / /app/data rw - {data} x rw
"""


@pytest.mark.parametrize(
    ("root", "app", "data", "silent"),
    [
        ("/home/x", "9p", "9p", None),
        ("/app", "ext4", "ext4", None),
        ("/app/pkg", "fuse.grpcfuse", "ext4", ("/app", "fuse.grpcfuse")),
        ("/app", "virtiofs", "ext4", ("/app", "virtiofs")),
        ("/app", "fuseblk", "ext4", None),
        ("/app", "overlay", "cifs", ("/app/data", "cifs")),
        ("/app/pkg", "overlay", "cifs", None),
        ("/mnt/my share/a", "ext4", "ext4", ("/mnt/my share", "nfs4")),
        ("/application", "nfs", "ext4", None),
    ],
)
def test_file_systems_that_report_no_changes(root, app, data, silent):
    mounts = parse_mountinfo(MOUNTS.format(app=app, data=data))
    assert silent_mount(mounts, Filters(root)) == silent


def test_a_network_drive_is_silent():
    share = "\\\\nas\\share"
    mounts = {f"{share}\\": "network drive"}
    assert silent_mount(mounts, Filters(f"{share}\\app")) == (f"{share}\\", "network drive")
    assert silent_mount(mounts, Filters("C:\\app")) is None
    if sys.platform == "win32":
        assert system_mounts(("C:\\app", f"{share}\\app")) == mounts


def test_a_silent_file_system_is_polled(watch, tmp_path):
    watched = watch(mounts=lambda roots: {str(tmp_path): "virtiofs"})
    [degraded] = watched.posted.of(WatchDegraded)
    assert f"{tmp_path} is a file system (virtiofs)" in degraded.reason
    watched.sees(write(tmp_path / "app" / "a.py"))


# --- more directories -----------------------------------------------------------------------------


def test_directories_of_imported_files(watch, mode, tmp_path):
    inside = write(tmp_path / "app" / ".venv" / "src" / "lib" / "a.py")
    outside = write(tmp_path / "lib" / "b.py")
    write(tmp_path / "lib" / "sub" / "c.py")
    watched = watch(**mode)
    for _ in range(2):
        watched.watcher.add_directories([str(inside.parent), str(outside.parent)])
    outside.write_text("new")
    inside.write_text("new")
    watched.sees(inside, outside)
    watched.never_saw(write(tmp_path / "lib" / "sub" / "c.py", "new"))


def test_a_missing_module_appears(watch, mode, tmp_path):
    site = tmp_path / "site-packages"
    write(site / "foolish" / "x.py")
    write(site / "bar.py")
    watched = watch(**mode)
    watched.watcher.watch_for_module("app", [str(site), str(tmp_path / "none")], "foo.sub")
    watched.watcher.watch_for_module("worker", [str(tmp_path / "theirs")], "it")
    watched.settle()
    watched.watcher.watch_for_module("worker", [], "")  # ends none but its own
    other = write(site / "other" / "a.py")
    made = write(site / "foo" / "__init__.py")
    watched.sees(site / "foo", made)
    watched.never_saw(other, other.parent)
    info = site / "Foo-1.0.dist-info"
    info.mkdir()
    watched.sees(info)
    write(info / "RECORD")
    watched.sees(info)
    link = write(site / "__editable__.foo.pth")
    watched.sees(link)
    watched.watcher.watch_for_module("app", [], "")
    watched.settle()
    watched.never_saw(write(site / "foo" / "__init__.py", "new"), write(site / "foo.py"))


def test_a_module_that_appeared_before_it_was_looked_for(watch, mode, tmp_path):
    site = tmp_path / "site-packages"
    write(site / "bar.py")
    watched = watch(**mode)
    made = write(site / "foo" / "__init__.py")
    watched.watcher.watch_for_module("app", [str(site)], "foo")
    watched.sees(site / "foo", made)


def test_a_missing_module_in_the_root(watch, mode, tmp_path):
    root = tmp_path / "app"
    write(root / "pkg" / "a.py")
    watched = watch(**mode)
    watched.watcher.watch_for_module("app", [str(root)], "foo")
    watched.settle()
    watched.sees(write(root / "foo" / "__init__.py"))
    watched.watcher.watch_for_module("app", [], "")
    watched.settle()
    watched.sees(write(root / "foo" / "__init__.py", "new"))


# --- a good guest ---------------------------------------------------------------------------------


def test_threads_are_named_and_hidden_from_debuggers(watch):
    watch()
    threads = [t for t in threading.enumerate() if t.name.startswith("devlaunch")]
    assert len(threads) == (1 if SystemBackend is Observer else 2)
    for thread in threads:
        assert thread.daemon
        assert thread.pydev_do_not_trace
        assert thread.is_pydev_daemon_thread


@linux_only
def test_reading_the_files_is_no_event(watch, tmp_path):
    root = tmp_path / "app"
    path = write(root / "a.py")
    read = []

    class Counted(SystemBackend):
        def read(self, raw):
            read.append(raw)
            return super().read(raw)

    watched = watch(backend=Counted)
    for _ in range(50):
        path.read_text()
        os.listdir(root)
    watched.settle()
    assert {event.name for event in read} == {b"probe.py"}


def test_no_cpu_when_idle(watch, tmp_path):
    for n in range(50):
        write(tmp_path / "app" / f"d{n}" / "a.py")
    watch().settle()
    before, end = time.process_time(), time.monotonic() + 0.5
    while time.monotonic() < end:
        time.sleep(0.1)
    assert time.process_time() - before < 0.05


def test_stop_is_safe_at_any_time(watch, tmp_path):
    for n in range(200):
        write(tmp_path / "app" / f"d{n}" / "a.py")
    fds = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    watch(start=False).watcher.stop()
    watched = watch(start=False)
    watched.start()
    watched.watcher.stop()
    watched.watcher.stop()
    if fds:
        assert len(os.listdir("/proc/self/fd")) == fds


def test_stop_does_not_wait_for_a_thread_that_hangs(watch, tmp_path):
    watched = watch()
    watched.posted.free.clear()
    write(tmp_path / "app" / "a.py")
    wait_until(lambda: watched.posted.is_held, what="the thread hangs")
    began = time.monotonic()
    watched.watcher.stop()
    assert time.monotonic() - began < 5.0


@linux_only
def test_an_unreadable_directory_is_left_out(watch, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    (tmp_path / "app" / "secret").mkdir(mode=0)
    path = write(tmp_path / "app" / "x" / "a.py")
    watched = watch()
    path.write_text("new")
    watched.sees(path)
