"""The table of what the rule costs: every part yields rows, and those of parts that are not measured stay."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.cpu import memory, rule
from rad_fast.bench import cpu

pytestmark = pytest.mark.skipif(cpu.compiled() is None, reason="the figures are those of the compiled extension")


def test_a_row_says_whether_its_target_is_met() -> None:
    assert str(rule.share("a", 0.3, 0.31)) == "| a | at least 30% | 31% | met |"
    assert str(rule.share("a", 0.3, 0.29)) == "| a | at least 30% | 29% | **missed** |"
    assert str(rule.most("b", 1.25, 1.3)) == "| b | at most 1.25 times as long | 1.30 times as long | **missed** |"
    assert str(rule.most("b", None, 1.3)) == "| b | | 1.30 times as long | |"


def test_rows_of_other_parts_stay() -> None:
    rows = [str(rule.share(name, 0.5, 0.6)) for name in "abc"]
    page = rule.markdown(rows, 5)
    assert list(rule.kept(page).values()) == rows
    assert list(rule.kept(page)) == ["a", "b", "c"]
    assert rule.kept(rule.markdown([], 5)) == {}


def test_small_calls_are_measured() -> None:
    rows = list(rule.small(1))
    assert [row.figure.split(",")[1] for row in rows] == [" 1", " 10"]
    assert all("ms)" in row.reached for row in rows)


def test_rows_that_overlap_are_selected_from_as_their_copies_are() -> None:
    rows = rule.overlapping(2000, 50)
    assert rows.strides == (28, 4)
    np.testing.assert_array_equal(rule.selecting(rows, 20)(), rule.selecting(rows.copy(), 20)())


def test_points_that_are_alike_are_of_a_thousand_classes() -> None:
    given = memory.alike(5000)
    assert len(set(given.labels.tolist())) > 900
    assert len(set(given.confidence.tolist())) == 1
