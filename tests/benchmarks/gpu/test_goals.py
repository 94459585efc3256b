"""Ratios, bandwidths and the table of goals, from hand-made figures."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest

from benchmarks.gpu.goals import MET, MISSED, REHEARSED, UNMEASURED, Goal, goals
from benchmarks.gpu.results import Measured, cases


def by_name(found: dict[str, Any], what: str, backend: str) -> Goal:
    return next(goal for goal in goals(found) if goal.what.startswith(what) and goal.backend == backend)


def test_bandwidth_counts_what_is_read_and_what_is_written(found: dict[str, Any]) -> None:
    case = next(cases(found, "scoring"))
    assert case.bandwidth("rad_fast triton").median == pytest.approx((10_000_000 + 12_000) / 0.0026 / 1e9)
    assert case.of_read("rad_fast triton").median == pytest.approx(0.0025 / 0.0026 * 10_012_000 / 10_000_000)
    assert math.isnan(case.bandwidth("torch eager").median)
    assert math.isnan(case.of_read("torch eager").median)


def test_ratios_are_turn_by_turn() -> None:
    case = Measured("one", 1, {}, {}, {"rad_fast a": [1.0, 2.0, 4.0], "peer": [2.0, 2.0, 2.0]})
    ratio = case.faster("rad_fast a", "peer")
    assert (ratio.median, ratio.low, ratio.high) == pytest.approx((1.0, 0.7, 1.6))
    assert case.backends() == ["rad_fast a"]


def test_met_and_missed(found: dict[str, Any]) -> None:
    assert by_name(found, "scoring, C ≥ 100", "triton").verdict == MET
    assert by_name(found, "select() at 20 GB: reads", "triton") == Goal(
        "select() at 20 GB: reads of the logits",
        "triton",
        "≤ 1.10 ×",
        "1.10 × (1.09 × to 1.11 ×)",
        "select, 20 GB",
        MET,
    )
    assert by_name(found, "select() at 20 GB: reads", "cuda").verdict == MISSED
    assert by_name(found, "select() at 20 GB, against torch eager", "cuda").verdict == MET
    assert by_name(found, "game and sample", "triton").reached == "1.100 ms"
    assert by_name(found, "game and sample", "triton").verdict == MISSED
    assert by_name(found, "select() of 10,000 points", "triton").verdict == MET
    memory = [goal.verdict for goal in goals(found) if goal.what.startswith("extra memory")]
    assert memory == [MET, MISSED]


def test_the_worst_counts(found: dict[str, Any]) -> None:
    slow = found["groups"]["scores"]["cases"][-1]  # 1000 classes, float32
    slow["seconds"] = {"streaming read": [0.0025] * 3, "rad_fast triton": [0.0050] * 3}
    goal = by_name(found, "scoring, C ≥ 100", "triton")
    assert (goal.reached, goal.verdict) == ("50.1%", MISSED)
    assert goal.where == "scoring, 1000 classes, float32, the worst of 4"
    assert by_name(found, "scoring, C = 10", "triton").verdict == MET


def test_what_was_not_measured_is_not_met(found: dict[str, Any]) -> None:
    assert by_name(found, "select() at 20 GB, against torch.compile", "triton").verdict == UNMEASURED
    empty = {**found, "groups": {}}
    assert [goal.verdict for goal in goals(empty)] == [UNMEASURED] * 8
    assert all(goal.reached == "–" for goal in goals(empty))


def test_a_part_of_a_stage_is_no_contender(found: dict[str, Any]) -> None:
    assert "triton, the game alone" not in {goal.backend for goal in goals(found)}


def test_a_rehearsal_is_no_verdict(found: dict[str, Any]) -> None:
    rehearsed = copy.deepcopy(found) | {"rehearsal": True}
    assert {goal.verdict for goal in goals(rehearsed)} == {REHEARSED, UNMEASURED}


def test_a_small_selection_is_none_of_20_gb(found: dict[str, Any]) -> None:
    found["groups"]["selections"]["cases"][0]["traffic"] = {"rad_fast triton": 1_000_000}
    assert by_name(found, "select() at 20 GB: reads", "any").verdict == UNMEASURED
