"""mass and sample of every CPU backend, at every SIMD level, against kernels/reference: bit for bit."""

from __future__ import annotations

from functools import cache
from itertools import cycle, pairwise
from typing import Any

import numpy as np
import pytest

from rad_fast.device import backends
from rad_fast.game.pool import ArrayPool
from rad_fast.game.solver import solve
from rad_fast.kernels.reference import sample as specification
from rad_fast.kernels.reference.game import Equilibrium
from rad_fast.kernels.reference.sample import PROBABILITY_BITS, start

from ..oracle import assert_same
from .test_game import BLOCK, EQUILIBRIA, FAMILIES, SIZES, points, threads

ONE = 1 << PROBABILITY_BITS
STARTS = (
    0,  # a whole number: the first point of q = 1 passes the next one
    ONE - 1,  # one unit below a whole number: any q > 0 passes it
    ONE // 3,  # somewhere between
    4 * ONE - 1,  # one unit below 2**64, where the running sum wraps
)


@cache  # the same for every backend
def scans(family: str, size: int) -> dict[str, Any]:
    """Start, indices, end and mass by the reference, for every equilibrium."""
    found, (gain, correctness) = {}, points(family, size)
    for (name, at), running in zip(EQUILIBRIA.items(), cycle(STARTS), strict=False):
        found[name] = (
            running,
            *specification.sample(gain, correctness, at, running),
            specification.mass(gain, correctness, at),
        )
    return found


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", SIZES)
def test_sample_and_mass_equal_the_reference_for_every_equilibrium(
    kernels: backends.Backend, size: int, family: str
) -> None:
    gain, correctness = points(family, size)
    for name, (running, expected, after, total) in scans(family, size).items():
        found, end = kernels.sample(gain, correctness, EQUILIBRIA[name], running)
        assert_same(found, expected, name)
        assert end == after, name
        assert kernels.mass(gain, correctness, EQUILIBRIA[name]) == total, name


@pytest.mark.parametrize("running", STARTS)
def test_sample_equals_the_reference_from_every_start(
    kernels: backends.Backend, reference: backends.Backend, running: int
) -> None:
    gain, correctness = points("smooth", BLOCK + 100)  # a second block takes over the first one's running sum
    for name, equilibrium in EQUILIBRIA.items():
        expected, after = reference.sample(gain, correctness, equilibrium, running)
        found, end = kernels.sample(gain, correctness, equilibrium, running)
        assert_same(found, expected, name)
        assert end == after, name


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_sample_and_mass_do_not_depend_on_the_number_of_threads(
    kernels: backends.Backend, reference: backends.Backend, count: int
) -> None:
    gain, correctness = points("smooth", 13 * BLOCK + 1)  # more blocks than threads, and a last one of one point
    for name, equilibrium in EQUILIBRIA.items():
        expected, after = reference.sample(gain, correctness, equilibrium, STARTS[2])
        with threads(kernels, count):
            found, end = kernels.sample(gain, correctness, equilibrium, STARTS[2])
            total = kernels.mass(gain, correctness, equilibrium)
        assert_same(found, expected, name)
        assert (end, total) == (after, (after - STARTS[2]) % (1 << 64)), name


@pytest.mark.parametrize("cuts", [(1,), (8,), (511, 512), (BLOCK,), (BLOCK + 3, BLOCK + 3, 2 * BLOCK)])
def test_sample_in_chunks_takes_the_same_points_with_the_running_sum_carried_over(
    kernels: backends.Backend, cuts: tuple[int, ...]
) -> None:
    # Cut within a vector, at one, around a piece of 512, at a block, and with an empty chunk between.
    gain, correctness = points("smooth", 2 * BLOCK + 100)
    edges = (0, *cuts, len(gain))
    for name, equilibrium in EQUILIBRIA.items():
        whole, after = kernels.sample(gain, correctness, equilibrium, STARTS[3])
        running, parts = STARTS[3], []
        for begin, end in pairwise(edges):
            moved = (running + kernels.mass(gain[begin:end], correctness[begin:end], equilibrium)) % (1 << 64)
            part, running = kernels.sample(gain[begin:end], correctness[begin:end], equilibrium, running)
            assert running == moved, f"{name}: mass of points {begin} to {end}"
            parts.append(part + begin)
        assert_same(np.concatenate(parts), whole, name)
        assert running == after, name


@pytest.mark.parametrize("family", ["smooth", "ties", "left out", "zero gains", "hopeless", "alike"])
def test_sample_takes_exactly_every_budget_from_1_to_all(kernels: backends.Backend, family: str) -> None:
    gain, correctness = points(family, 41)  # small enough for every budget; no multiple of a vector
    pool = ArrayPool([(gain, correctness)], kernels)
    players = np.flatnonzero(~np.isnan(gain))
    for budget in range(1, len(players) + 1):  # thresholds above 0 for small budgets, below 0 for large ones
        for mistakes in (0.0, 2.5):
            equilibrium = solve(pool, budget, mistakes)
            indices, _ = kernels.sample(gain, correctness, equilibrium, start(budget, budget, len(gain)))
            assert len(indices) == budget, f"{len(indices)} of {budget}, {mistakes} mistakes, {equilibrium}"
            assert np.isin(indices, players).all(), f"points left out are taken: {indices}"
            assert (np.diff(indices) > 0).all(), f"not ascending: {indices}"


def test_sample_of_probability_one_takes_every_point_once(kernels: backends.Backend) -> None:
    gain, correctness = points("smooth", 4 * BLOCK + 17)  # a last block in part, and a thread or more
    for running in STARTS:
        indices, _ = kernels.sample(gain, correctness, Equilibrium(1.0, -1.0, 1.0, 0.0), running)
        assert_same(indices, np.arange(len(gain)), f"start {running}")
