"""The table of SIMD levels: every level is measured at its own, and the best is in use again afterwards."""

from __future__ import annotations

import pytest

from benchmarks.cpu import levels
from rad_fast.bench import cpu

pytestmark = pytest.mark.skipif(cpu.compiled() is None, reason="the levels are those of the compiled extension")


def test_each_level_is_measured_at_its_own_and_the_best_is_left_in_use() -> None:
    module, seen = cpu.compiled(), []
    best = module.level()
    ratios = levels.alternated(lambda: seen.append(module.level()), lambda: None, 2)
    assert list(ratios) == module.levels()
    assert seen == module.levels() * 3  # an uncounted turn, and two
    assert module.level() == best


def test_the_table_has_a_column_a_level() -> None:
    found = [levels.Row("this", {"a": "1%", "b": "2%"}), levels.Row("that", {"a": "3%", "b": "4%"})]
    assert "| figure | a | b |\n|---|---|---|\n| this | 1% | 2% |\n| that | 3% | 4% |\n" in levels.markdown(found, 5)


def test_the_peer_takes_the_points_of_smallest_margin() -> None:
    logits = cpu.logits("float32", 3, 300)
    logits = logits.copy()
    logits[[7, 90], :] = [2.0, 2.0, -9.0]
    assert sorted(levels.softmax_margins(logits, 2)()) == [7, 90]
