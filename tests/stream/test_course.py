"""The ladder of thresholds: compiled, it is that of NumPy bit for bit, ties and empty classes included."""

from __future__ import annotations

import numpy as np
import pytest

from rad_fast.device import backends
from rad_fast.kernels.reference.arrival import LEVELS, MIDDLE, Course, reached
from rad_fast.kernels.reference.score import Points, empty_points
from rad_fast.stream.course import ALL, boosts, ladders
from rad_fast.stream.window import Window


def points(rng: np.random.Generator, count: int, classes: int, kinds: int) -> Points:
    """Of so many ``kinds`` of gain; fewer than points means ties. The last class has none."""
    gain = (rng.integers(0, kinds, count) / kinds).astype(np.float32)
    correctness = (rng.integers(0, kinds, count) / kinds).astype(np.float32)
    return Points(gain, correctness, rng.integers(0, max(1, classes - 1), count).astype(np.int32))


@pytest.fixture(scope="module")
def compiled():
    try:
        return backends.load("cpp")
    except ImportError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("kinds", [2, 9, 1 << 24])
@pytest.mark.parametrize(("count", "classes", "games"), [(1, 1, 1), (500, 7, 1), (500, 7, 7), (3000, 60, 60)])
def test_a_compiled_ladder_is_that_of_numpy(compiled, rng, count, classes, games, kinds):
    given, price = points(rng, count, classes, kinds), rng.random(games)
    k = np.flatnonzero(rng.random(games) < 0.8) if games > 1 else np.zeros(1, np.int64)
    wanted = rng.uniform(0.0, 0.3 * count / games, len(k))[:, None] * boosts(2.0)
    threshold, share = compiled.ladders(given, price, k, wanted, ALL)
    assert threshold.shape == (len(k), LEVELS)
    for found, expected in zip((threshold, share), ladders(given, price, k, wanted), strict=True):
        assert np.array_equal(found, expected)


def test_a_compiled_ladder_refuses_labels_that_have_no_price(compiled, rng):
    given = points(rng, 20, 7, 9)
    with pytest.raises(ValueError, match="label: expected 0 to 1"):
        compiled.ladders(given, np.ones(2), np.zeros(1, np.int64), np.ones((1, LEVELS)), ALL)
    with pytest.raises(ValueError, match="classes: expected 0 to 0, got 3"):
        compiled.ladders(given, np.ones(1), np.array([3]), np.ones((1, LEVELS)), ALL)


def test_points_decided_at_once_are_kept_as_a_window_keeps_them(compiled, rng):
    """Whole parts and single points, past the end of the ring."""
    from rad_fast.stream import StreamSelector

    decider, window = StreamSelector(0.1, window=64, quotas=None, backend="cpp")._decider, Window(64, 0.1)
    for count in (1, 20, 0, 43, 64, 1, 30, 5):
        given = points(rng, count, 3, 1 << 24)
        decider.decide(given)
        window.put(given)
    for found, expected in zip(decider.window.held()[:3], window.held()[:3], strict=True):
        assert np.array_equal(found, expected)
    assert decider.window.kept == window.kept == 164


def test_a_ring_without_room_is_refused(compiled, rng):
    from rad_fast.stream import StreamSelector

    stream = StreamSelector(0.1, backend="cpp")._decider
    arrivals = compiled.arrivals(
        stream.course, stream.pace, stream.standing, empty_points(4), np.array([0, 16]), (64, 32, 1 << 62)
    )
    given, taken = points(rng, 5, 1, 9), np.zeros(5, np.bool_)
    with pytest.raises(ValueError, match="ring: expected room for the points"):
        arrivals.decide(*given[:3], taken, 0)
    with pytest.raises(ValueError, match="label: expected 5"):
        arrivals.decide(given.gain, given.correctness, given.label[:4], taken, 0)


@pytest.mark.parametrize(("count", "classes"), [(0, 1), (1, 1), (999, 1), (1001, 7), (3200, 100)])
def test_what_points_say_of_the_thresholds_is_the_same_compiled(compiled, rng, count, classes):
    """Counts that leave each number of points over from four."""
    given = points(rng, count, classes + 1, 50)
    threshold = -np.sort(-rng.uniform(-0.2, 0.8, (classes, LEVELS)), axis=1)
    course = Course(rng.random(classes), threshold, np.zeros((classes, LEVELS)), np.zeros(classes))
    expected = reached(*given[:3], course.price, course.threshold[:, MIDDLE])
    for found, values in zip(compiled.reached(given, course), expected, strict=True):
        assert np.array_equal(found, values)
    assert expected.came.sum() == count
