"""The base of the machines with a table; the tables themselves are tested with their machines."""

from __future__ import annotations

import pytest

from devlaunch.core.machine import Machine, table


def test_a_row_is_for_some_states_and_some_events() -> None:
    stay = Machine._stay
    assert table({(int | str, bool | bytes): stay, (int, str): stay}).keys() == {
        *((int, bool), (int, bytes), (str, bool), (str, bytes)),
        (int, str),
    }


def test_a_pair_in_two_rows_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"more than one entry: .*str.*bool"):
        table({(int | str, bool): Machine._stay, (str, bool | bytes): Machine._stay})
