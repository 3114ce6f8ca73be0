from __future__ import annotations

import pytest

from devlaunch.core.changes import Changes, is_module_entry
from devlaunch.core.filters import Filters
from devlaunch.core.repeats import INSISTED, OWN, SHARED, UNKNOWN

A, B, C = "/root/a.py", "/root/b.py", "/root/c.py"
PAGE = "/root/templates/page.html"
SITE = "/env/site-packages"


def make(*, serves_at_once=False, **options) -> Changes:
    """Changes of an app that started at 100 and has been serving since 101; it imported A."""
    changes = Changes(Filters("/root", **options), serves_at_once=serves_at_once)
    changes.generation_started(100.0)
    assert changes.imported([A], 100.5).to_digest == (A,)
    assert not changes.record(A, "a1", 50.0)
    changes.generation_served(101.0)
    return changes


@pytest.mark.parametrize(
    ("digests", "changed"),
    [
        pytest.param({A: "a1"}, (), id="same bytes"),
        pytest.param({A: "a2"}, (A,), id="imported"),
        pytest.param({A: None}, (A,), id="imported and deleted"),
        pytest.param({B: "b1"}, (), id="not imported"),
        pytest.param({B: None}, (), id="never known and gone"),
        pytest.param({PAGE: "p1"}, (PAGE,), id="watched"),
        pytest.param({PAGE: None, A: "a2", B: "b2"}, (A, PAGE), id="a batch, sorted"),
    ],
)
def test_what_counts_while_serving(digests, changed):
    changes = make(watch=["templates"])
    assert changes.touched(digests, 200.0) == changed
    assert changes.touched(digests, 201.0) == (), "the same content is no change"


@pytest.mark.parametrize(
    ("path", "why"),
    [
        (A, "content unchanged"),
        (PAGE, "content unchanged"),
        (B, "not imported by the app; --watch it"),
        ("/root/x.yaml", "not imported by the app; --watch it"),
        ("/root/x_pb2.py", "ignored by --ignore *_pb2.py"),
        ("/root/.a.py.swp", ""),
    ],
)
def test_why_a_save_does_nothing(path, why):
    changes = make(watch=["templates"], ignore=["*_pb2.py"])
    assert changes.why_not(path) == why
    changes.generation_started(200.0)
    assert changes.why_not(path) == "", "it may yet be imported"


def test_a_change_back_counts():
    changes = make()
    assert changes.touched({A: "a2"}, 200.0) == (A,)
    assert changes.touched({A: "a1"}, 200.1) == (A,)


@pytest.mark.parametrize(
    ("path", "interesting"),
    [
        *((A, True), (B, True), (PAGE, True), ("/root/templates/page.html~", False)),
        *(("/root/.a.py.swp", False), ("/root/x.txt", False), ("/root/x_pb2.py", False)),
        *(("/root/manage", False), (f"{SITE}/foo", False)),
    ],
)
def test_what_is_worth_digesting(path, interesting):
    changes = make(watch=["templates"], ignore=["*_pb2.py"])
    assert changes.interesting(path) is interesting


def test_an_imported_file_counts_whatever_its_name():
    changes = make()
    changes.imported(["/root/manage", "/root/app.cgi"], 102.0)
    assert changes.interesting("/root/manage")
    assert changes.interesting("/root/app.cgi")
    assert changes.touched({"/root/app.cgi": "x"}, 103.0) == ("/root/app.cgi",)


def test_an_ignored_file_does_not_count_although_imported():
    changes = make(ignore=["*_pb2.py"])
    report = changes.imported(["/root/x_pb2.py"], 102.0)
    assert report.to_digest == report.changed == ()
    assert not changes.interesting("/root/x_pb2.py")


UNTIL = [
    # What the generation does after it has started; whether the last one's imports count then.
    pytest.param([], True, id="nothing: it hangs, or is stopped"),
    pytest.param(["imports B"], True, id="a report, and then it hangs"),
    pytest.param(["imports B", "serves"], False, id="it has said all"),
    pytest.param(["serves"], False, id="it serves, and has imported nothing"),
    pytest.param(["imports B", "starts"], True, id="the next one hangs too"),
    pytest.param(["imports B", "fails", "starts"], True, id="it fails, the next one hangs"),
    pytest.param(["imports B", "serves", "starts"], False, id="the next but one"),
]
UNTIL_OF_PROGRAMS = [
    pytest.param(["serves"], True, id="it has not begun"),
    pytest.param(["imports B", "serves"], True, id="only its file is known"),
    pytest.param(["serves", "imports B"], False, id="it has said something"),
]


@pytest.mark.parametrize(
    ("serves_at_once", "then", "counts"),
    [pytest.param(False, *case.values, id=case.id) for case in UNTIL]
    + [pytest.param(True, *case.values, id=f"program: {case.id}") for case in UNTIL_OF_PROGRAMS],
)
def test_how_long_the_imports_of_the_generation_before_count(serves_at_once, then, counts):
    changes = make(serves_at_once=serves_at_once)
    changes.imported([], 101.1)
    changes.generation_started(200.0)
    for now, event in enumerate(then, 201):
        match event:
            case "imports B":
                changes.imported([B], now)
            case "serves":
                changes.generation_served(now)
            case "fails":
                assert changes.generation_failed(now) == ()
            case "starts":
                changes.generation_started(now)
    assert changes.interesting("/root/a.py")
    assert changes.touched({A: "a2"}, 300.0) == ((A,) if counts else ())


def test_a_file_of_any_name_counts_until_the_next_generation_has_said_what_it_imported():
    changes = make()
    changes.imported(["/root/app.cgi"], 102.0)
    changes.generation_started(200.0)
    assert changes.interesting("/root/app.cgi")
    changes.generation_served(201.0)
    assert not changes.interesting("/root/app.cgi")


def test_any_source_counts_until_the_first_report_of_all():
    changes = Changes(Filters("/root", ignore=["c.py"]))
    for start in (100.0, 200.0):
        changes.generation_started(start)
        assert changes.touched({B: f"b {start}", "/root/x.txt": f"{start}"}, start + 1) == (B,)
        assert not changes.interesting(C)
    changes.imported([A], 203.0)
    assert changes.touched({"/root/d.py": "d1"}, 204.0) == ()


@pytest.mark.parametrize("seen", ["before", "after"])
@pytest.mark.parametrize("child", ["lives", "lives, and says nothing", "dies", "dies later"])
def test_a_save_while_the_first_child_was_being_made(child, seen):
    changes = Changes(Filters("/root"), since=90.0)
    changes.generation_started(100.0)
    saved = ({A: "a1"}, 100.2, {A: 95.0})
    changed = changes.touched(*saved) if seen == "before" else ()
    if child in ("lives", "dies later"):
        changed += changes.imported([A], 100.3).changed
    if child.startswith("dies"):
        changed += changes.generation_failed(101.0)
    if seen == "after":
        changed += changes.touched(*saved)
    is_lost = child == "dies" or (child == "dies later" and seen == "after")
    assert changed == ((A,) if is_lost else ())


def test_what_is_worked_on_counts_although_its_import_has_failed_and_the_app_serves():
    changes = make()
    changes.imported([B], 102.0)
    for start in range(200, 240, 10):
        digests = {A: f"bad at {start}", C: "not imported"}
        assert changes.touched(digests, float(start - 1)) == (A,)
        changes.generation_started(float(start))
        changes.imported([B], start + 0.5)
        changes.generation_served(start + 1.0)
    # … until it starts for another reason, and has still not imported it.
    assert changes.touched({B: "b2"}, 250.0) == (B,)
    changes.generation_started(251.0)
    changes.generation_served(252.0)
    assert changes.touched({A: "a3", C: "c3"}, 260.0) == ()


def test_a_save_during_a_start_is_one_restart_whatever_is_reported_later():
    changes = make()
    changes.generation_started(200.0)
    assert changes.touched({A: "a2"}, 201.0) == (A,)
    changes.generation_started(201.1)
    assert changes.touched({A: "a2"}, 201.2) == ()
    assert changes.imported([A], 201.3).changed == ()
    changes.generation_served(201.4)
    assert changes.generation_failed(500.0) == ()


def test_a_save_before_the_start_has_been_read():
    changes = make()
    assert changes.touched({A: "a2", B: "b2"}, 199.0) == (A,)
    changes.generation_started(199.0)
    report = changes.imported([A, B], 199.3)
    assert (report.to_digest, report.changed) == ((), ())


@pytest.mark.parametrize(
    ("saved", "is_changed"),
    [
        pytest.param(99.9, False, id="before the start"),
        pytest.param(99.995, None, id="at the start, as far as the kernel's clock tells"),
        pytest.param(100.1, True, id="during the start, before any report"),
        pytest.param(104.0, True, id="after the report before"),
        pytest.param(103.9, True, id="while that report was under way"),
        pytest.param(103.0, False, id="long before that report, which did not name it"),
    ],
)
@pytest.mark.parametrize("seen", ["as an event", "by the baseline"])
def test_a_save_during_a_start_is_not_lost(saved, is_changed, seen):
    changes = Changes(Filters("/root"))
    changes.touched({B: "b0"}, 50.0)
    changes.generation_started(100.0)
    if saved >= 103.0:
        changes.imported([A], 104.0)
    if is_changed is None:
        is_changed = seen == "by the baseline"
    if seen == "as an event":
        changes.touched({B: "b1"}, saved)
        assert changes.imported([B], 105.0).changed == ((B,) if is_changed else ())
    else:
        assert changes.imported([C], 105.0).to_digest == (C,)
        assert changes.record(C, "c1", saved) is is_changed


@pytest.mark.parametrize(("edited", "is_changed"), [(300.0, False), (309.5, True)])
def test_a_late_import_of_a_file_edited_long_before_does_not_count(edited, is_changed):
    changes = make()
    changes.touched({B: "b2"}, edited)
    assert changes.imported([B], 310.0).changed == ((B,) if is_changed else ())


def test_an_event_that_comes_after_the_baseline_was_read_is_no_second_change():
    changes = make()
    changes.imported([B], 102.0)
    assert changes.record(B, "b2", 101.9), "saved after the import, maybe"
    assert changes.touched({B: "b2"}, 102.1) == ()


def test_record_keeps_what_a_change_recorded():
    changes = make()
    changes.imported([B], 102.0)
    assert changes.touched({B: "b2"}, 102.1) == (B,)
    assert not changes.record(B, "b1", 0.0)
    assert changes.touched({B: "b2"}, 102.3) == ()


def test_a_file_that_cannot_be_read_has_not_changed():
    changes = make()
    inside_zip = "/root/app.zip/x.py"
    assert changes.imported([inside_zip], 102.0).to_digest == (inside_zip,)
    assert not changes.record(inside_zip, None, None)


def test_a_watched_file_saved_as_it_was_before_is_no_change():
    changes = make(watch=["templates"])
    assert not changes.record(PAGE, "p1", 60.0)
    assert changes.touched({PAGE: "p1"}, 200.0) == ()
    assert changes.touched({PAGE: "p2"}, 201.0) == (PAGE,)


def test_a_watched_file_saved_after_the_start_is_a_change():
    assert make(watch=["templates"]).record(PAGE, "p1", 100.2)


def test_nothing_is_late_before_the_first_generation():
    changes = Changes(Filters("/root", watch=["templates"]))
    assert not changes.record(PAGE, "p1", 10.0)


def test_both_spellings_of_a_symlinked_file_count():
    changes = make()
    link, real = "/root/conf.py", "/elsewhere/conf.py"
    for path in changes.imported([link, real], 102.0).to_digest:
        changes.record(path, "c1", 0.0)
    assert changes.touched({link: "c2", "/other/conf.py": "c2"}, 103.0) == (link,)
    assert changes.touched({real: "c3"}, 104.0) == (real,)


def test_any_source_counts_once_what_runs_cannot_be_known():
    changes = make()
    assert changes.touched({B: "b1"}, 90.0) == ()
    assert changes.touched({C: "c1"}, 102.0) == ()
    assert changes.count_all_sources(102.5) == (C,), "in the time of this generation"
    assert changes.touched({B: "b2", PAGE: "p2"}, 103.0) == (B,)
    changes.generation_started(104.0)
    assert changes.touched({B: "b3"}, 105.0) == (B,), "what it was started for"
    assert changes.touched({"/root/d.py": "d"}, 106.0) == ()


# --- broken ---------------------------------------------------------------------------------------


def test_any_source_counts_while_broken():
    changes = make()
    changes.generation_started(200.0)
    assert changes.generation_failed(200.5) == ()
    assert changes.touched({B: "b1", "/root/new.py": "n"}, 210.0) == (B, "/root/new.py")
    assert changes.touched({B: "b1"}, 211.0) == ()
    changes.generation_started(212.0)
    assert changes.touched({C: "c2"}, 213.0) == ()
    assert changes.touched({B: "b2"}, 213.0) == (B,), "it is what the start is for"


def test_a_source_saved_while_a_start_failed_counts():
    changes = make()
    changes.touched({B: "b1", C: "c1"}, 199.0)
    changes.generation_started(200.0)
    changes.touched({B: "b2"}, 200.4)
    assert changes.generation_failed(209.0) == (B,), "however long the start took"


@pytest.mark.parametrize(("edited", "may_be_why"), [(102.0, False), (498.5, True)])
def test_a_crash_is_not_followed_by_a_start_for_what_was_edited_long_before(edited, may_be_why):
    changes = make()
    assert changes.touched({B: "b1"}, edited) == ()
    assert changes.generation_failed(500.0) == ((B,) if may_be_why else ())
    assert changes.touched({B: "b2"}, 501.0) == (B,)


def test_what_each_start_generates_alike_restarts_once():
    changes = make()
    restarts = 0
    for start in range(200, 210):
        changes.generation_started(float(start))
        changed = changes.touched({B: "generated"}, start + 0.1)
        changed += changes.imported([B], start + 0.3).changed
        changes.generation_served(start + 0.4)
        restarts += bool(changed)
    assert restarts == 1


# --- what the app writes itself -------------------------------------------------------------------


def starts(changes, count, writes, *, kind="import", first=1000, by="the app"):
    """How often it restarts when each start writes these: path and seconds after its beginning.

    `kind` is what the start does with it: see below. It takes 0.3 s, and a write is seen 0.03 s
    after it, or when the start is over.
    """
    restarts = 0
    for start in range(first, first + 100 * count, 100):
        changes.generation_started(float(start))
        if kind == "program":
            changes.generation_served(start + 0.05)
        changed, is_over = (), False
        for path, offset in writes:
            if offset > 0.3 and not is_over:
                changed, is_over = changed + end(changes, kind, start, writes), True
            if by == "the app":
                changes.app_writes([path], start + offset)
            digests, written = {path: f"at {start}"}, {path: start + offset}
            changed += changes.touched(digests, start + offset + 0.03, written)
        if not is_over:
            changed += end(changes, kind, start, writes)
        restarts += bool(changed)
    return restarts


def end(changes, kind, start, writes) -> tuple[str, ...]:
    if kind == "goes on":
        return ()
    if kind == "fails":
        return changes.generation_failed(start + 0.3)
    files = [path for path, _ in writes] if kind == "import" else []
    found = changes.imported([A, *files], start + 0.3).changed
    if kind != "program":
        changes.generation_served(start + 0.3)
    return found


WRITES = [
    pytest.param("import", [(B, 0.1)], OWN, id="and imports"),
    pytest.param("import", [(A, 0.1)], OWN, id="that was imported always"),
    pytest.param("fails", [(B, 0.1)], OWN, id="and fails"),
    pytest.param("fails", [(B, 0.29)], OWN, id="as the last thing before it fails"),
    pytest.param("import", [(A, 0.1), (B, 0.1)], OWN, id="several files"),
    pytest.param("program", [(A, 0.5)], OWN, id="a program"),
    pytest.param("import", [(A, 0.5)], OWN, id="in a thread, or the first request"),
    pytest.param("import", [(A, 5.0)], OWN, id="a while later"),
    pytest.param("goes on", [(A, 20.0)], OWN, id="in a start that takes long"),
    pytest.param("import", [(PAGE, 0.1)], INSISTED, id="that --watch names"),
    pytest.param("import", [(PAGE, 5.0)], INSISTED, id="that --watch names, later"),
]


@pytest.mark.parametrize(("kind", "writes", "restarts"), WRITES)
def test_what_the_app_writes_does_not_restart_it_for_ever(kind, writes, restarts):
    changes = make(serves_at_once=kind == "program", watch=["templates"])
    changes.imported([A], 103.0)
    assert starts(changes, restarts + 10, writes, kind=kind) == restarts
    own = tuple((path, path == PAGE) for path, _ in writes)
    assert (changes.written_by_app(), changes.written_by_app()) == (own, ())
    # A person's save, at any other time, is seen however often it comes …
    for save in range(20):
        for path, _ in writes:
            assert changes.touched({path: f"by hand {save}"}, 200_000.0 + save) == (path,)
    # … and what the starts write stays known, until one of them does not.
    assert starts(changes, 5, writes, kind=kind, first=300_000) == 0
    assert changes.written_by_app() == ()


def test_what_starts_do_not_write_any_more_is_not_the_apps():
    changes = make()
    for first in (1000, 3000):
        assert starts(changes, 5, [(B, 0.1)], first=first) == OWN
        assert changes.written_by_app() == ((B, False),)
        assert starts(changes, 1, [], first=first + 1000) == 0


@pytest.mark.parametrize("kind", ["import", "fails", "program", "goes on"])
@pytest.mark.parametrize("offset", [0.1, 0.5, 5.0])
def test_saves_in_each_of_many_starts_are_all_seen(kind, offset):
    changes = make(serves_at_once=kind == "program")
    changes.imported([A], 103.0)
    assert starts(changes, UNKNOWN, [(A, offset)], kind=kind, by="a person") == UNKNOWN
    assert changes.written_by_app() == ()


@pytest.mark.parametrize("kind", ["import", "fails", "program"])
def test_what_others_write_in_each_start_ends_some_time(kind):
    changes = make(serves_at_once=kind == "program")
    changes.imported([A], 103.0)
    assert starts(changes, UNKNOWN + 9, [(A, 0.1)], kind=kind, by="a compiler") == UNKNOWN
    assert changes.written_by_app() == ((A, False),)


@pytest.mark.parametrize(("pause", "restarts"), [(0.1, UNKNOWN), (5.0, UNKNOWN + 9)])
def test_a_directory_that_is_made_again(pause, restarts):
    """It counts, but not in each start for ever: something that the app runs may do it."""
    changes, count = make(), 0
    for start in range(1000, 1000 + 10 * (UNKNOWN + 9), 10):
        changes.generation_started(float(start))
        changes.generation_served(start + 0.4)
        count += changes.replaced({"/root": start + pause}, start + 6.0) == ("/root",)
    assert count == restarts


def test_two_that_write_the_same_do_not_restart_each_other_for_ever():
    changes = make()
    changes.imported([A], 103.0)
    assert starts(changes, 200, [(A, 0.1)]) == OWN
    restarts = 0
    for start in range(50_000, 50_000 + 100 * (SHARED + 9), 100):
        restarts += starts(changes, 1, [(A, 0.1)], first=start)
        restarts += bool(changes.touched({A: f"the other's {start}"}, start + 5.0))
    assert restarts == SHARED


def test_a_save_while_the_app_starts_of_what_it_writes_later():
    changes = make()
    changes.imported([A], 103.0)
    assert starts(changes, 5, [(A, 5.0)]) == OWN
    changes.generation_started(2000.0)
    assert changes.touched({A: "by hand"}, 2000.2) == (A,)


def test_what_the_app_writes_as_it_stops_does_not_restart_for_ever():
    changes = make()
    changes.imported([B], 102.0)
    restarts, now = 0, 200.0
    changed = changes.touched({B: "by hand"}, now)
    while changed and restarts < 20:
        restarts += 1
        changes.app_writes([A], now + 0.02)
        changes.touched({A: f"first at {now}"}, now + 0.02)  # which is seen as it stops …
        written = {A: now + 0.03}  # … and once it has stopped
        now += 0.05
        changes.generation_started(now)
        changed = changes.touched({A: f"then at {now}"}, now + 0.02, written)
        changes.generation_served(now + 0.3)
        now += 0.4
    assert restarts == 1


def test_saves_during_one_long_start_all_count():
    changes = make()
    changes.generation_started(200.0)
    changes.imported([B], 201.0)
    for save in range(20):
        assert changes.touched({B: f"{save}"}, 202.0 + save) == (B,)


# --- a missing module -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        *(
            ("foo", True),
            ("foo.py", True),
            ("foo.cpython-311.so", True),
            ("foo-1.0.dist-info", True),
        ),
        *(("foo.so", True), ("foo.log", False), ("foo.sqlite3", False), ("food", False)),
        *(("Foo_Bar-1.0.dist-info", True), ("__editable__.x.pth", True), ("x.egg-link", True)),
        *(("bar", False), ("xfoo.txt", False)),
    ],
)
def test_the_missing_module_appears(name, counts):
    changes = make()
    changes.generation_started(200.0)
    changes.generation_failed(200.5, "foo", [SITE])
    path = f"{SITE}/{name}"
    assert changes.interesting(path) is counts
    assert changes.touched({path: "x"}, 201.0) == ((path,) if counts else ())
    assert changes.touched({f"/else/{name}.d": "x"}, 201.0) == ()


def test_the_missing_module_appears_while_the_next_start_fails_for_it():
    changes = make()
    changes.generation_started(200.0)
    changes.generation_failed(200.5, "foo", [SITE])
    changes.generation_started(201.0)
    path = f"{SITE}/foo-1.0.dist-info"
    assert changes.interesting(path)
    assert changes.touched({path: "x"}, 201.1) == ()
    assert changes.generation_failed(201.5, "foo", [SITE]) == (path,)


def test_the_missing_module_is_forgotten_when_the_app_runs():
    changes = make()
    changes.generation_started(200.0)
    changes.generation_failed(200.5, "foo", [SITE])
    changes.generation_started(201.0)
    changes.generation_served(201.5)
    assert not changes.interesting(f"{SITE}/foo-1.0.dist-info")


def test_a_submodule_is_looked_for_by_its_last_name_too():
    assert is_module_entry("bar.py", ["foo", "bar"])
    assert not is_module_entry("baz.py", ["foo", "bar"])
    assert not is_module_entry("bars.py", ["foo", "bar"])


# --- Windows --------------------------------------------------------------------------------------


def test_paths_of_windows():
    changes = Changes(Filters(r"C:\root", ["*.html"]))
    changes.generation_started(100.0)
    changes.imported([r"C:\root\a.py"], 100.5)
    changes.generation_served(101.0)
    assert changes.touched({r"C:\root\a.py": "a", r"C:\root\b.py": "b"}, 102.0) == (
        r"C:\root\a.py",
    )
    assert changes.touched({r"C:\root\pages\A.HTML": "a"}, 103.0)
    assert not changes.interesting(r"C:\root\.venv\x.py")
    changes.generation_failed(104.0, "foo", [r"D:\env\Lib\site-packages"])
    assert changes.interesting(r"D:\env\Lib\site-packages\foo.pyd")
    assert not changes.interesting(r"D:\env\Lib\foo.txt")
