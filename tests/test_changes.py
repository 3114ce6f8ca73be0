from __future__ import annotations

import pytest

from devlaunch.core.changes import GENERATED_AFTER, STARTS_CHANGED, Changes, is_module_entry
from devlaunch.core.filters import Filters

A, B, C = "/root/a.py", "/root/b.py", "/root/c.py"
PAGE = "/root/templates/page.html"
SITE = "/env/site-packages"


def make(**options) -> Changes:
    """Changes of an app that started at 100 and has been serving since 101; it imported A."""
    changes = Changes(Filters("/root", **options))
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


def test_an_imported_file_of_the_generation_before_does_not_count():
    changes = make()
    changes.generation_started(200.0)
    assert changes.touched({A: "a2"}, 201.0) == ()
    # … but when the new one turns out to have imported it, maybe before:
    assert changes.imported([A], 201.2).changed == (A,)


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
    assert changes.count_all_sources() == (C,), "in the time of this generation"
    assert changes.touched({B: "b2", PAGE: "p2"}, 103.0) == (B,)
    changes.generation_started(104.0)
    assert changes.touched({B: "b3"}, 105.0) == (B,)


# --- broken ---------------------------------------------------------------------------------------


def test_any_source_counts_while_broken():
    changes = make()
    changes.generation_started(200.0)
    assert changes.generation_failed(200.5) == ()
    assert changes.touched({B: "b1", "/root/new.py": "n"}, 210.0) == (B, "/root/new.py")
    assert changes.touched({B: "b1"}, 211.0) == ()
    changes.generation_started(212.0)
    assert changes.touched({B: "b2"}, 213.0) == ()


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


@pytest.mark.parametrize("seen", [0.1, 0.5], ids=["before it failed", "after it failed"])
@pytest.mark.parametrize("kind", ["app", "program"])
def test_what_each_failing_start_writes_anew_does_not_restart_for_ever(seen, kind):
    changes = make()
    restarts = 0

    def fail(start: int) -> bool:
        changes.generation_started(float(start))
        if kind == "program":
            changes.generation_served(start + 0.05)
        digests, written = {B: f"at {start}"}, {B: start + 0.09}
        changed = changes.touched(digests, start + seen, written) if seen < 0.3 else ()
        changed += changes.generation_failed(start + 0.3)
        return bool(changed or changes.touched(digests, start + seen, written))

    restarts = sum(fail(start) for start in range(200, 200 + 3 * GENERATED_AFTER))
    assert restarts == GENERATED_AFTER
    # A save by a person is told by its time, and seen however often it comes.
    for save in range(3 * GENERATED_AFTER):
        assert changes.touched({B: f"by hand {save}"}, 300.0 + save) == (B,)
    assert fail(400), "after a save by hand it is counted anew"


def test_what_each_start_writes_anew_and_imports_does_not_restart_for_ever():
    changes = make()
    restarts = 0
    for start in range(200, 200 + 2 * STARTS_CHANGED):
        changes.generation_started(float(start))
        changes.touched({B: f"at {start}"}, start + 0.1)
        restarts += changes.imported([B], start + 0.3).changed == (B,)
    assert restarts == STARTS_CHANGED


def test_saves_during_one_long_start_all_count():
    changes = make()
    changes.generation_started(200.0)
    changes.imported([B], 201.0)
    for save in range(2 * STARTS_CHANGED):
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
