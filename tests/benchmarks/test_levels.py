"""The table of SIMD levels: every level is measured at its own, and the best is in use again afterwards."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.cpu import levels
from rad_fast.bench import cpu
from rad_fast.bench.timing import Case, Work
from rad_fast.device import backends

pytestmark = pytest.mark.skipif(cpu.compiled() is None, reason="the levels are those of the compiled extension")


def test_each_level_is_measured_at_its_own_and_the_best_is_left_in_use() -> None:
    module, seen = cpu.compiled(), []
    best = module.level()
    seconds = levels.timed(lambda: seen.append(module.level()), lambda: None, 2)
    assert list(levels.ratios(seconds)) == module.levels()
    assert seen == module.levels() * 3  # an uncounted turn, and two
    assert module.level() == best


def test_all_threads_are_measured_at_the_level_aimed_at_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAD_FAST_THREADS", "3")
    module, seen = cpu.compiled(), []
    if levels.AIMED_AT not in module.levels():
        pytest.skip("this processor has no AVX2")

    def peers() -> tuple[Work, Work]:
        return lambda: seen.append((module.level(), backends.threads())), lambda: None

    row = levels.row("that", levels.visited(levels.Figure("that", peers, 1), 1))
    assert list(row.reached) == [*module.levels(), f"{levels.AIMED_AT}, 3 threads"]
    one, all_threads = [(level, 1) for level in module.levels()] * 2, [(levels.AIMED_AT, 3)] * 2
    assert seen == one + all_threads  # an uncounted turn, and one
    assert backends.threads() == 3


def test_a_peer_may_take_turns_at_every_level_too() -> None:
    module, ours, peers = cpu.compiled(), [], []
    levels.timed(lambda: ours.append(module.level()), lambda: peers.append(module.level()), 2, level_by_level=True)
    assert ours == peers == module.levels() * 3


def test_a_figures_turns_are_spread_over_the_visits() -> None:
    seven, once = (levels.Figure("that", lambda: (print, print), 7, visits=visits) for visits in (levels.VISITS, 1))
    assert [levels.turns_of(seven, visit) for visit in range(levels.VISITS)] == [2, 2, 3]
    assert [levels.turns_of(once, visit) for visit in range(levels.VISITS)] == [7, 0, 0]
    taken = {}
    levels.add(taken, {levels.ONE: {levels.NUMPY: [2.0], "x86-64-v3": [1.0]}})
    levels.add(taken, {levels.ONE: {levels.NUMPY: [8.0], "x86-64-v3": [1.0]}})
    assert taken == {levels.ONE: {levels.NUMPY: [2.0, 8.0], "x86-64-v3": [1.0, 1.0]}}
    assert levels.row("that", taken).reached == {"x86-64-v3": pytest.approx(3.2)}  # the fifth lies at 3.2


TABLE = """| figure | target | before | x86-64-v4 | x86-64-v3 |
|---|---|---|---|---|
| scoring float32, C = 10, of a streaming read | 45% | 35% | 30% | **40%** |
| that |  |  | 2.00 times |  |"""


def test_the_table_has_a_column_a_level_and_says_what_misses_its_target() -> None:
    scoring = levels.Row("scoring float32, C = 10, of a streaming read", {"x86-64-v4": 0.3, "x86-64-v3": 0.4})
    that = levels.Row("that", {"x86-64-v4": 2.0})
    assert TABLE in levels.markdown([scoring, that], 5)


def test_the_page_gets_the_table_of_its_section_alone() -> None:
    page = "# Facts\n\n| a |\n|---|\n| 1 |\n\n## SIMD levels\n\nFrom:\n\n{}\n\nMore.\n\n| b |\n|---|\n| 2 |\n"
    assert levels.with_table(page.format("| old |\n|---|\n| 9 |"), TABLE) == page.format(TABLE)
    with pytest.raises(ValueError, match="expected a page with a table"):
        levels.with_table("# Facts\n", TABLE)


def test_every_target_and_earlier_figure_is_one_that_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "timed", lambda *_, **__: {levels.NUMPY: [1.0], "x86-64-v3": [1.0]})
    monkeypatch.setattr(levels.cpu, "logits", lambda dtype, classes, elements: np.zeros((4, classes), np.float32))
    monkeypatch.setattr(
        levels.cpu, "game", lambda points: Case("", 4, {cpu.OURS: lambda: None, cpu.SORT: lambda: None})
    )
    figures = {row.figure for row in levels.rows(1, 100)}
    assert figures >= {*levels.TARGETS, *levels.BEFORE}


def test_the_peer_takes_the_points_of_smallest_margin() -> None:
    logits = cpu.logits("float32", 3, 300)
    logits = logits.copy()
    logits[[7, 90], :] = [2.0, 2.0, -9.0]
    assert sorted(levels.softmax_margins(logits, 2)()) == [7, 90]
