"""The search for the equilibrium and the passes around it: their parts, and how few steps they take."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rad_fast.device.backends import Backend
from rad_fast.game import pool, search, solver
from rad_fast.game.pool import ArrayPool
from rad_fast.game.search import END, MOST, Bounds, Demand, Points
from rad_fast.kernels.reference.game import GRID_BITS, Box, Sums

from ..oracle import games
from .test_solver import large_game

KINDS = ("confident", "independent", "bad teacher", "clusters", "sorted")


def points_of(kind: str, count: int = 1000) -> Points:
    game = large_game(kind, count, 0.1, 0.1)
    return solver.whole_units(game.gain, game.correctness, None)


# -------------------------------------------------------------------------------------------------------- how few steps


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of points of each probe."""
    seen: list[int] = []
    probed = search.probed

    def counted(points: Points, *others: Any) -> search.Probe:
        seen.append(len(points.gain))
        return probed(points, *others)

    monkeypatch.setattr(search, "probed", counted)
    return seen


@pytest.mark.parametrize(("kind", "most", "points"), [
    ("confident", 112, 140_000), ("independent", 124, 145_000), ("bad teacher", 142, 200_000),
    ("clusters", 62, 128_000), ("sorted", 119, 138_000),
])  # fmt: skip
def test_a_search_takes_a_few_dozen_probes_of_ever_fewer_points(
    probes: list[int], kind: str, most: int, points: int
) -> None:
    """Decisions are of integers, so that the numbers are the same everywhere."""
    for budget, mistakes in ((0.01, 0.05), (0.1, 0.0), (0.5, 0.05), (0.9, 0.3)):
        game = large_game(kind, 4000, budget, mistakes)
        assert solver.Game(game.gain, game.correctness, None, Box()).solve(Sums(), game.budget, game.mistakes)
    assert len(probes) <= most, len(probes)
    assert sum(probes) <= points, sum(probes)


def test_a_small_game_takes_twenty_probes(probes: list[int]) -> None:
    for game in games(200, seed=1):
        solver.Game(game.gain, game.correctness, None, Box()).solve(Sums(), game.budget, game.mistakes)
    assert len(probes) <= 4000, len(probes)


@pytest.mark.parametrize("kind", KINDS)
def test_one_pass_leaves_few_points_undecided(reference: Backend, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    passes: list[tuple[int, int]] = []
    reduce = ArrayPool.reduce

    def watched(self: ArrayPool, box: Box) -> tuple[Sums, ArrayPool]:
        sums, left = reduce(self, box)
        passes.append((self.size, left.size))
        return sums, left

    monkeypatch.setattr(ArrayPool, "reduce", watched)
    for budget, mistakes, most in ((0.01, 0.05, 1), (0.1, 0.0, 1), (0.5, 0.05, 2)):
        passes.clear()
        game = large_game(kind, 100_000, budget, mistakes)
        answer = solver.narrow(
            ArrayPool([(game.gain, game.correctness)], reference), Sums(), Box(), game.budget, game.mistakes
        )
        assert answer is not None
        assert len(passes) <= most, passes
        assert all(left <= 0.26 * size for size, left in passes), passes


# ------------------------------------------------------------------------------------------------------------ its parts


def test_a_middle_is_the_median_of_what_lies_strictly_between() -> None:
    values = np.array([5, 1, 9, 3, 7])
    assert search.middle(0, 10, values) == 5
    assert search.middle(1, 9, values) == 5
    assert search.middle(3, 9, values) == 7  # the upper one of two
    assert search.middle(7, 9, values) is None
    assert search.middle(3, 7, values, 10 * values) == 5
    assert search.middle(9, 60, values, 10 * values) == 30


def test_where_the_points_looked_at_have_no_middle_all_are_looked_at() -> None:
    values = np.zeros(1000, np.int64)
    values[777] = 5
    assert search.middle(0, 10, values) == 5
    values[::16] = 3  # one of 16 of a thousand is looked at: 63 of the most that may be
    assert search.middle(0, 10, values) == 3
    values[1::16] = 7
    assert search.middle(0, 10, values) == 3
    assert search.middle(3, 10, values) == 7


@pytest.mark.parametrize("counted", [False, True])
def test_sums_are_exact_beyond_64_bits(rng: np.random.Generator, counted: bool) -> None:
    values = rng.integers(-(2**62), 2**62, 500)
    values[:4] = 2**63 - 1, -(2**63), -1, 0
    counts = rng.integers(1, 1000, 500) if counted else None
    times = counts if counts is not None else np.ones(500, np.int64)
    assert search.total(values, counts) == sum(int(v) * int(t) for v, t in zip(values, times, strict=True))
    assert search.total(np.full(300, 2**62)) == 300 * 2**62
    mask = values > 0
    assert search.number(mask, counts) == int(times[mask].sum())
    assert search.summed(values, mask, counts) == search.total(values[mask], None if counts is None else counts[mask])


@pytest.mark.parametrize(
    ("bounds", "pinned", "floor", "ceiling"),
    [
        (Bounds(), False, 0, END // 2),
        (Bounds(7, 8), True, 4, 4),  # the price is the gain 4
        (Bounds(8, 9), False, 4, 5),  # between 4 and the next
        (Bounds(8, 10), False, 4, 5),
        (Bounds(-1, 0), True, 0, 0),
        (Bounds(-1, 1), False, 0, 1),
        (Bounds(6, 11), False, 3, 6),
    ],
)
def test_bounds_say_which_gains_are_saturated(bounds: Bounds, pinned: bool, floor: int, ceiling: int) -> None:
    assert (bounds.pinned, bounds.floor, bounds.ceiling) == (pinned, floor, ceiling)
    box = bounds.box()
    assert box == Box(floor * 2.0**-24, ceiling * 2.0**-24, (bounds.bottom + 1) * 2.0**-48, bounds.top * 2.0**-48)


def test_a_box_has_the_bounds_that_it_is_of() -> None:
    assert Bounds.of(Box()) == Bounds()
    unit = 2.0**-GRID_BITS
    assert Bounds.of(Box(3 * unit, 5 * unit, 0.25, 0.5)) == Bounds(6, 10, 2**46 - 1, 2**47)
    assert Bounds.of(Box(4 * unit, 4 * unit, 0.0, 0.0)) == Bounds(7, 8, -1, 0)
    assert Bounds.of(Box(0.0, 4 * unit, -1.0, 1.0)) == Bounds(-1, 8, -MOST - 1, MOST)


@pytest.mark.parametrize(
    ("spot", "bounds"),
    [
        (search.Spot(True, 3, 5, 17), Bounds(9, 10, 16, 17)),
        (search.Spot(False, 3, 5, 17), Bounds(6, 9, 17, 18)),
    ],
)
def test_the_bounds_of_where_a_search_ended(spot: search.Spot, bounds: Bounds) -> None:
    assert spot.bounds() == bounds


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("counted", [False, True])
def test_points_that_bounds_decide_change_no_probe_within_them(
    rng: np.random.Generator, kind: str, counted: bool
) -> None:
    points = points_of(kind)
    if counted:
        points = points._replace(counts=rng.integers(1, 9, len(points.gain)))
    low, high = np.sort(rng.choice(points.gain, 2, replace=False))
    bottom, top = np.sort(rng.choice(points.effective, 2, replace=False))
    bounds = Bounds(2 * int(low), 2 * int(high), int(bottom), int(top))
    wanted = Demand(10**20, 10**19, 10**12)
    fewer, left = search.narrowed(points, wanted, bounds)
    undecided = len(fewer.gain)
    assert 0 < undecided < 950
    for step in rng.integers(bounds.low, bounds.high, 20).tolist():
        for threshold in rng.integers(bounds.bottom + 1, bounds.top + 1, 5).tolist():
            assert search.probed(fewer, left, step, threshold) == search.probed(points, wanted, step, threshold)
    again, same = search.narrowed(fewer, left, bounds)
    assert (len(again.gain), same) == (undecided, left)


def test_a_probe_counts_each_piece_once() -> None:
    """By hand: 2**-24 of gain and advantage, 2**-48 of what a piece pays, 2**-38 of width."""
    gain, advantage = np.array([2, 4, 6, 8]), np.array([3, 1, -2, 5])
    points = Points(gain, advantage, gain * advantage, np.array([70, 60, 50, 40]), None)
    probe = search.probed(points, Demand(1 << 70, 11, 1000), 8, -100)  # gains up to 4 are saturated
    assert probe.step == 8
    assert probe.left == (1 << 70) - (2 << search.PROBABILITY_BITS)
    assert probe.width == 1000 + 50 + 40
    assert probe.surplus == ((-2 + 5) << search.SPEND_BITS) - 11
    low = -(7 << GRID_BITS)  # the second piece of a gain of 6 pays more, that of 8 less
    probe = search.probed(points, Demand(1 << 70, 11, 1000), 8, low)
    assert probe.left == (1 << 70) - (3 << search.PROBABILITY_BITS)
    assert probe.width == 1000 + 40
    assert probe.surplus == ((-2 + 5 + (1 << GRID_BITS)) << search.SPEND_BITS) - 11
    assert search.Probe(8, 40, 0, 10).covers
    assert not search.Probe(8, 41, 0, 10).covers
    assert search.Probe(7, 40, 0, 10).covers
    assert not search.Probe(6, 40, 0, 10).covers
    assert search.Probe(0, 0, 5, 10).rises(1 << 23)
    assert not search.Probe(0, 0, 5, 10).rises((1 << 23) + 1)
    assert search.Probe(0, 31, 0, 10).price_within(3, 4)
    assert not search.Probe(0, 30, 0, 10).price_within(3, 4)
    assert search.Probe(0, 40, 0, 10).price_within(3, 4)
    assert not search.Probe(0, 41, 0, 10).price_within(3, 4)


def test_one_place_of_each_stretch_is_looked_at() -> None:
    for count, size in ((1, 10), (7, 100), (1000, 12_345), (99, 100)):
        places = pool.spread(count, size)
        assert (np.floor(places * (count / size) + 1e-9).astype(int) <= np.arange(count)).all()
        assert (places + 1 > np.arange(count) * (size / count)).all()
        assert (np.diff(places) >= 0).all()
        assert places.max() < size
    assert pool.spread(10, 10).tolist() == pool.spread(11, 10).tolist() == list(range(10))
    assert pool.spread(9, 10).tolist() != list(range(9))
    assert np.diff(pool.spread(1000, 10**6)).std() > 200  # within a stretch at random: never in step with the data
    assert (pool.drawn(100)[:10] == pool.drawn(10)).all()


def test_pairs_are_counted_in_parts_as_in_one(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    gain, correctness = rng.integers(0, 4, (2, 1000)).astype(np.float32) / 4
    keys, counts = np.unique(np.stack([gain, correctness]), axis=1, return_counts=True)
    for at_once in (1 << 20, 64, 999):
        monkeypatch.setattr(pool, "COUNTED", at_once)
        chunks = zip(np.array_split(gain, 3), np.array_split(correctness, 3), strict=True)
        found = ArrayPool(list(chunks), None).distinct()
        np.testing.assert_array_equal(found[:2], keys)
        np.testing.assert_array_equal(found[2], counts)
    assert [len(part) for part in pool.counted([])] == [0, 0, 0]


def test_points_are_found_in_chunks_by_their_place_in_the_whole(rng: np.random.Generator) -> None:
    gain, correctness = rng.random((2, 100)).astype(np.float32)
    cuts = [0, 0, 3, 50, 50, 99]
    chunked = ArrayPool(list(zip(np.split(gain, cuts), np.split(correctness, cuts), strict=True)), None)
    assert chunked.size == 100
    places = np.array([0, 2, 3, 49, 50, 98, 99])
    np.testing.assert_array_equal(chunked.at(places), [gain[places], correctness[places]])
    assert len(chunked.at(places[:0])[0]) == 0
    np.testing.assert_array_equal(chunked.peek(100), [gain, correctness])
    np.testing.assert_array_equal(chunked.peek(10), chunked.at(pool.spread(10, 100)))
