"""Systematic sampling: DESIGN section 4, invariant 2."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rad_fast.device.backends import Backend
from rad_fast.game import solver
from rad_fast.game.pool import ArrayPool
from rad_fast.kernels.reference.game import Equilibrium
from rad_fast.kernels.reference.sample import PROBABILITY_BITS, start, units

from ..oracle import Game, assert_same, games, on_grid

SEEDS = 4000  # frequencies are then known to about 0.008


def solve(game: Game, kernels: Backend) -> Equilibrium:
    return solver.solve(ArrayPool([(game.gain, game.correctness)], kernels), game.budget, game.mistakes)


def medium_game(points: int = 60, budget: int = 12, mistakes: float = 4.0) -> Game:
    rng = np.random.default_rng(11)
    return Game("medium", on_grid(rng.random(points)), (0.5 + 0.5 * rng.random(points)).astype("f4"), budget, mistakes)


def test_exactly_budget_distinct_ascending_int64_indices_of_points_that_can_be_taken(kernels: Backend) -> None:
    for seed, game in enumerate(games(300, seed=1, most_points=200)):
        answer = solve(game, kernels)
        indices, _ = kernels.sample(game.gain, game.correctness, answer, start(seed, game.budget, len(game.gain)))
        q = kernels.probabilities(game.gain, game.correctness, answer)
        assert indices.dtype == np.int64, str(game)
        assert len(indices) == game.budget, f"{len(indices)} indices in {game}: {answer}"
        assert (np.diff(indices) > 0).all(), f"{indices} in {game}"
        assert (q[indices] > 0).all(), f"{indices[q[indices] == 0]} have q = 0 in {game}"
        sure = np.flatnonzero(q == 1.0)
        assert np.isin(sure, indices).all(), f"{np.setdiff1d(sure, indices)} have q = 1 in {game}"


@pytest.mark.parametrize("points", [1_000_000])  # sums of a million roundings: float32 would be off by whole points
@pytest.mark.parametrize("budget", [1, 999, 123_456, 1_000_000])  # few, odd, caps binding, all
def test_exactly_budget_indices_of_a_million_points(kernels: Backend, points: int, budget: int) -> None:
    rng = np.random.default_rng(budget)
    gain = np.float32(1) - rng.beta(0.6, 0.2, points).astype(np.float32)
    c = (1 - 0.5 * gain).astype(np.float32)
    answer = solve(Game("a million", gain, c, budget, 0.01 * points), kernels)
    for seed in range(3):
        indices, _ = kernels.sample(gain, c, answer, start(seed, budget, points))
        assert len(indices) == budget
        assert (np.diff(indices) > 0).all()


def test_frequencies_of_samples_and_of_points_match_the_probabilities(kernels: Backend) -> None:
    """One random number makes a sample: as it runs through [0, 1) there is one sample between any two neighbouring
    fractional parts of the running sums of q, with the distance as its probability. That is what chi-square tests."""
    game = medium_game()
    answer = solve(game, kernels)
    q = kernels.probabilities(game.gain, game.correctness, answer)
    assert ((q > 0) & (q < 1)).sum() > 20, "the game must leave something to chance"
    counts = np.zeros(len(q))
    firsts: dict[bytes, int] = {}
    for seed in range(SEEDS):
        indices, _ = kernels.sample(game.gain, game.correctness, answer, start(seed, game.budget, len(q)))
        counts[indices] += 1
        firsts[indices.tobytes()] = firsts.get(indices.tobytes(), 0) + 1

    edges = np.unique(np.round(np.concatenate([[0.0, 1.0], (-np.cumsum(q)) % 1.0]), 12))
    expected: dict[bytes, float] = {}
    for low, high in pairwise(edges):
        running = np.floor(np.concatenate([[0.0], np.cumsum(q)]) + (low + high) / 2)
        key = np.flatnonzero(np.diff(running)).astype(np.int64).tobytes()
        expected[key] = expected.get(key, 0.0) + (high - low) * SEEDS
    unexpected = [np.frombuffer(key, np.int64) for key in firsts if key not in expected]
    assert not unexpected, f"samples that systematic sampling cannot draw: {unexpected[:3]}"
    common = {key: times for key, times in expected.items() if times >= 5}  # chi-square's rule of thumb
    observed = np.array([firsts.get(key, 0) for key in common] + [0.0])
    theory = np.array([*common.values(), 0.0])
    observed[-1], theory[-1] = SEEDS - observed.sum(), SEEDS - theory.sum()
    if theory[-1] < 5:
        observed, theory = observed[:-1], theory[:-1] * (observed[:-1].sum() / theory[:-1].sum())
    p = stats.chisquare(observed, theory).pvalue
    assert p > 1e-3, f"p = {p}: observed {observed}, expected {theory}"

    deviation = (counts - SEEDS * q) / np.sqrt(np.maximum(SEEDS * q * (1 - q), 1e-9))
    worst = np.argmax(np.where((q > 0) & (q < 1), np.abs(deviation), 0))
    assert abs(deviation[worst]) < 4.5, f"point {worst}: q = {q[worst]}, taken {counts[worst]} of {SEEDS} times"
    assert_same(counts[q == 1], np.full((q == 1).sum(), float(SEEDS)), "points taken for sure")
    assert_same(counts[q == 0], np.zeros((q == 0).sum()), "points never taken")


@given(seed=st.integers(0, 2**64), budget=st.integers(1, 10**9), more=st.integers(0, 10**10))
def test_a_start_stays_within_its_guard(seed: int, budget: int, more: int) -> None:
    points = budget + more
    one = 1 << PROBABILITY_BITS
    # At least twice what the roundings of all probabilities can add up to.
    guard = 2 * (budget * one // 2**51 + points)
    assert guard <= start(seed, budget, points) <= one - guard
    assert start(seed, budget, points) == start(seed, budget, points)


def test_starts_of_neighbouring_seeds_are_uniform() -> None:
    starts = np.array([start(seed, 10, 100) for seed in range(5000)]) / 2.0**PROBABILITY_BITS
    assert stats.kstest(starts, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(starts[:-1], starts[1:])[0, 1]) < 0.05


@settings(max_examples=50)
@given(cuts=st.lists(st.integers(0, 500), max_size=6), seed=st.integers(0, 10**6), running=st.integers(0, 2**64 - 1))
def test_scans_of_parts_are_the_scan_of_the_whole_and_sums_are_modulo_2_to_64(
    kernels: Backend, cuts: list[int], seed: int, running: int
) -> None:
    rng = np.random.default_rng(seed)
    gain, c = rng.random(500).astype(np.float32), rng.random(500).astype(np.float32)
    gain[rng.random(500) < 0.1] = np.nan
    answer = Equilibrium(float(rng.random()), float(rng.random() - 0.7), float(rng.random()), 0.0)
    whole, after = kernels.sample(gain, c, answer, running)
    steps = [int(u) for u in units(gain, c, answer)]
    assert after == (running + sum(steps)) % 2**64
    assert kernels.mass(gain, c, answer) == sum(steps) % 2**64

    parts, passing, begin = [], running, 0
    for end in [*sorted(cuts), 500]:
        expected = (passing + kernels.mass(gain[begin:end], c[begin:end], answer)) % 2**64
        here, passing = kernels.sample(gain[begin:end], c[begin:end], answer, passing)
        assert passing == expected
        parts.append(here + begin)
        begin = end
    assert_same(np.concatenate(parts), whole, "indices")


def test_neighbours_are_spread_apart(kernels: Backend) -> None:
    """Equal probabilities in index order: between two samples lie as many points as the probability says."""
    gain, c = np.full(1000, 0.5, np.float32), np.ones(1000, np.float32)
    answer = solve(Game("equal", gain, c, 40, 0.0), kernels)
    indices, _ = kernels.sample(gain, c, answer, start(3, 40, 1000))
    assert set(np.diff(indices)) == {25}, indices
