from __future__ import annotations

import pytest

from devlaunch.core.debounce import Debounce


@pytest.mark.parametrize(
    ("touches", "due", "batch"),
    [
        pytest.param([(0.0, "a")], 0.025, {"a"}, id="one file soon"),
        pytest.param([(0.0, "a"), (0.02, "a")], 0.045, {"a"}, id="the same again starts anew"),
        pytest.param([(0.0, "a b")], 0.1, {"a", "b"}, id="several later"),
        pytest.param([(0.0, "a"), (0.02, "b")], 0.12, {"a", "b"}, id="a second file"),
        pytest.param(
            [(tick / 20, f"f{tick}") for tick in range(60)],
            2.0,
            {f"f{tick}" for tick in range(60)},
            id="never longer than two seconds",
        ),
    ],
)
def test_a_batch_is_due_when_its_files_are_quiet(touches, due, batch):
    debounce = Debounce()
    for now, paths in touches:
        debounce.touch(paths.split(), now)
    assert debounce.deadline == pytest.approx(due)
    assert debounce.take(due - 0.001) == frozenset()
    assert debounce.take(due + 0.001) == batch
    assert debounce.deadline is None
    assert debounce.take(due + 9.0) == frozenset()


@pytest.mark.parametrize(
    ("touches", "due"),
    [
        pytest.param([(0.0, "a", True)], 0.004, id="complete"),
        pytest.param([(0.0, "a", False), (0.02, "a", True)], 0.024, id="gone, then complete"),
        pytest.param([(0.0, "a", True), (0.005, "a", False)], 0.03, id="complete, then gone"),
        pytest.param([(0.0, "a", True), (0.005, "b", True)], 0.105, id="two files"),
    ],
)
def test_a_complete_file_is_waited_for_less(touches, due):
    debounce = Debounce()
    for now, path, written in touches:
        debounce.touch([path], now, written=written)
    assert debounce.deadline == pytest.approx(due)


def test_touching_nothing_sets_no_deadline():
    debounce = Debounce()
    debounce.touch((), 1.0)
    assert debounce.deadline is None


def test_touching_nothing_does_not_prolong():
    debounce = Debounce()
    debounce.touch(["a"], 0.0)
    debounce.touch(filter(None, [""]), 0.02)
    assert debounce.deadline == pytest.approx(0.025)


def test_the_next_batch_has_its_own_two_seconds():
    debounce = Debounce()
    debounce.touch(["a"], 0.0)
    assert debounce.take(1.0) == {"a"}
    debounce.touch(["b", "c"], 1.99)
    assert debounce.deadline == pytest.approx(2.09)
