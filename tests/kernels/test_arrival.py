"""Decisions on arrival: every backend is the specification bit for bit, and the two hard rules hold."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rad_fast.device import backends
from rad_fast.kernels.reference.arrival import (
    LEVELS,
    MIDDLE,
    MOST_ALIKE,
    MOST_PULL,
    PULL,
    SLACK_ALIKE,
    Course,
    Pace,
    Standing,
)

# As many as one call and several hold; a single class, and more than one.
CASES = [(1, 1), (700, 1), (1500, 3), (1500, 40)]


def points(rng: np.random.Generator, count: int, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    gain = np.float32(1) - rng.random(count, dtype=np.float32)
    gain[rng.random(count) < 0.1] = 0.0  # nothing to learn: saturated at any price
    return gain, rng.random(count, dtype=np.float32), rng.integers(0, classes, count).astype(np.int32)


def course(rng: np.random.Generator, classes: int) -> Course:
    threshold = -np.sort(-rng.uniform(-0.5, 1.0, (classes, LEVELS)), axis=1)
    due = rng.random(classes) * (0.2 / classes)
    return Course(rng.random(classes), threshold, rng.random((classes, LEVELS)), due)


def standing(rng: np.random.Generator, classes: int) -> Standing:
    return Standing(np.array([0, 0, 0, MIDDLE]), rng.random(classes), rng.normal(size=classes))


@pytest.mark.parametrize(
    "pace",
    [
        Pace(0.1, 1.0, 2.5, math.inf, math.inf),
        Pace(0.01, 1.0, 1.0, math.inf, math.inf),
        Pace(90.0, 1500.0, 4.0, 90.0, 1500.0),
    ],
)
@pytest.mark.parametrize(("count", "classes"), CASES)
def test_a_backend_decides_as_the_specification(kernels, reference, rng, count, classes, pace):
    given, held = points(rng, count, classes), course(rng, classes)
    ours = standing(rng, classes)
    theirs = Standing(*(values.copy() for values in ours))
    taken = kernels.decide(*given, held, pace, ours)
    assert taken.dtype == np.bool_
    assert np.array_equal(taken, reference.decide(*given, held, pace, theirs))
    for after, expected in zip(ours, theirs, strict=True):
        assert np.array_equal(after, expected)


def test_points_on_a_threshold_are_taken_by_its_share(kernels, reference, rng):
    gain, correctness = np.full(400, 0.5, np.float32), np.full(400, 0.75, np.float32)
    held = Course(np.ones(1), np.full((1, LEVELS), 0.25), np.full((1, LEVELS), 0.125), np.zeros(1))
    label, loose = np.zeros(400, np.int32), Pace(0.125, 1.0, 50.0, math.inf, math.inf)
    taken = kernels.decide(gain, correctness, label, held, loose, standing(rng, 1))
    assert np.array_equal(np.diff(np.flatnonzero(taken)), np.full(49, 8))


def test_the_compiled_ladder_has_as_many_levels():
    try:
        constants = backends.load("cpp").module.constants()
    except ImportError as error:
        pytest.skip(str(error))
    names = ("levels", "pull", "most_pull", "most_alike", "slack_alike")
    found = [constants[f"arrival_{name}"] for name in names]
    assert found == [LEVELS, PULL, MOST_PULL, MOST_ALIKE, SLACK_ALIKE]


def test_the_compiled_function_copies_nothing_that_it_changes(rng):
    try:
        module = backends.load("cpp").module
    except ImportError as error:
        pytest.skip(str(error))
    given, held = points(rng, 5, 1), course(rng, 1)
    counts = np.zeros(4, np.int64)
    with pytest.raises(TypeError):  # float32 would be copied, and the phase stand still
        module.decide(*given, *held, (0.1, 1.0, 1.0, 9.0, 9.0), counts, np.zeros(1, np.float32), np.zeros(1))
    label, numbers = np.full(5, 7, np.int32), (counts, *np.zeros((2, 2)))
    with pytest.raises(ValueError, match="label: expected 0 to 1, got 7"):
        module.decide(given[0], given[1], label, *course(rng, 2), (0.1, 1.0, 1.0, 9.0, 9.0), *numbers)


@pytest.mark.parametrize("kinds", [7, 1 << 24])
@pytest.mark.parametrize("pace", [Pace(0.01, 1.0, 1.0, 30.0, math.inf), Pace(0.2, 1.0, 6.4, math.inf, 9_000.0)])
@pytest.mark.parametrize("classes", [1, 5])
def test_a_long_stream_in_cuts_is_decided_as_the_specification_decides_the_whole(
    kernels, reference, rng, classes, pace, kinds
):
    """Few kinds of points lie on thresholds; a budget is used on the way, or the end comes near."""
    gain, correctness = (((rng.integers(0, kinds, 6000) + 0.5) / kinds).astype(np.float32) for _ in range(2))
    label = rng.integers(0, classes, 6000).astype(np.int32)
    threshold = np.quantile((2 * correctness - 1) * gain, np.linspace(1.0, 0.6, LEVELS))
    held = Course(
        np.full(classes, 0.02), np.tile(threshold, (classes, 1)), rng.random((classes, LEVELS)), np.full(classes, 0.002)
    )
    start = Standing(np.array([100, 3, 60, MIDDLE]), rng.random(classes), np.zeros(classes))
    ours, theirs = (Standing(*(values.copy() for values in start)) for _ in range(2))
    parts = np.split(np.arange(6000), [1, 2, 13, 14, 140, 141, 1000, 1001, 4000])
    taken = [kernels.decide(gain[at], correctness[at], label[at], held, pace, ours) for at in parts]
    expected = reference.decide(gain, correctness, label, held, pace, theirs)
    assert np.array_equal(np.concatenate(taken), expected)
    assert expected.sum() > 20
    for after, values in zip(ours, theirs, strict=True):
        assert np.array_equal(after, values)


def test_after_the_budget_is_used_only_the_points_are_counted(kernels, rng):
    given, held = points(rng, 50, 2), course(rng, 2)
    now = standing(rng, 2)
    now.counts[1] = 9
    before = [values.copy() for values in now]
    assert not kernels.decide(*given, held, Pace(0.5, 1.0, 1.0, 9.0, math.inf), now).any()
    assert now.counts[0] == 50
    assert all(np.array_equal(*both) for both in zip(now[1:], before[1:], strict=True))
