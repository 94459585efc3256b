"""Systematic sampling: exactly ``budget`` distinct points with given inclusion probabilities, in one scan.

Point i is taken where the running sum of probabilities, started at a random fraction, passes an integer. The sum is
kept in fixed point, in units of 2**-62 modulo 2**64: additions are then exact and associative, so that the same points
are taken however the scan is cut into chunks, threads or ranks. As no probability exceeds 1, two bits above the
fraction are enough to see an integer being passed.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from .game import Equilibrium, Float32s, probabilities

PROBABILITY_BITS = 62

UInt64s = npt.NDArray[np.uint64]


def start(seed: int, budget: int, points: int) -> int:
    """The random start of the running sum, in units of 2**-62.

    A float64 probability carries two roundings (the price's and the product's), its fixed-point form a truncation:
    the sum of all differs from ``budget`` by less than budget * 2**-51 + points * 2**-62. A start at least twice that
    away from both ends passes exactly ``budget`` integers; it shifts an inclusion probability by as little.
    """
    one = 1 << PROBABILITY_BITS
    guard = (budget << (PROBABILITY_BITS - 50)) + 2 * points
    return guard + ((drawn(seed) * (one - 2 * guard)) >> 64)


@lru_cache(maxsize=1024)
def drawn(seed: int) -> int:
    """The generator's first 64 bits; kept, as seeding one takes microseconds that a small selection would notice."""
    return int(np.random.PCG64(seed).random_raw())


def units(gain: Float32s, correctness: Float32s, equilibrium: Equilibrium) -> UInt64s:
    """Inclusion probabilities in units of 2**-62, truncated."""
    scaled = probabilities(gain, correctness, equilibrium) * 2.0**PROBABILITY_BITS
    return scaled.astype(np.uint64)


def mass(gain: Float32s, correctness: Float32s, equilibrium: Equilibrium) -> int:
    """The sum of the units of all points, modulo 2**64: how far a scan over them moves the running sum."""
    return int(np.add.reduce(units(gain, correctness, equilibrium), dtype=np.uint64))


def sample(
    gain: Float32s, correctness: Float32s, equilibrium: Equilibrium, running: int
) -> tuple[npt.NDArray[np.int64], int]:
    """Indices taken by a scan that starts at the running sum ``running``, ascending, and the running sum after it."""
    steps = units(gain, correctness, equilibrium)
    after = np.cumsum(steps, dtype=np.uint64) + np.uint64(running)
    before = after - steps
    passed = (after >> np.uint64(PROBABILITY_BITS)) != (before >> np.uint64(PROBABILITY_BITS))
    return np.flatnonzero(passed), int(after[-1]) if len(after) else running
