"""Systematic sampling: exactly ``budget`` distinct points with given inclusion probabilities, in one scan.

Point i is taken where the running sum of probabilities, started at a random fraction, passes an integer. The sum is
kept in fixed point, in units of 2**-62 modulo 2**64: additions are then exact and associative, so that the same points
are taken however the scan is cut into chunks, threads or ranks. As no probability exceeds 1, two bits above the
fraction are enough to see an integer being passed.

The scan goes along an order in which neighbours look alike: by a key, label x others + likeliest other class, and
within a key by index. No point is moved for it: the sums of the probabilities of each key say where the running sum
starts in each, and a second look at the points carries as many running sums as there are keys.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from .game import Equilibria, Equilibrium, Float32s, probabilities
from .score import OTHERS, Points

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


def others_of(classes: int, other_classes: int) -> int:
    """How many keys a label has: one for each other class, or one in all where classes do not fit a byte, and where
    there are two, of which the label says the other."""
    return other_classes if 2 < max(classes, other_classes) <= OTHERS else 1


def keys(points: Points, others: int) -> npt.NDArray[np.int64]:
    """The place of every point in the order; of a point that is left out, anything."""
    label = np.maximum(points.label, 0).astype(np.int64)
    return label if others == 1 or points.other is None else label * others + points.other


def class_probabilities(points: Points, equilibria: Equilibria) -> npt.NDArray[np.float64]:
    """Inclusion probability of every point in the game of its class."""
    return probabilities(points.gain, points.correctness, equilibria.of(points.label))


def mass_by_key(points: Points, equilibria: Equilibria, others: int) -> UInt64s:
    """The sum of the units of the points of each key, modulo 2**64, for each of the parts that the points are cut into:
    (parts, classes x others). A backend cuts them as it likes; here they are one part."""
    sums = np.zeros(len(equilibria.price) * others, np.uint64)
    np.add.at(sums, keys(points, others), units(points.gain, points.correctness, equilibria.of(points.label)))
    return sums[None]


def running_by_key(masses: UInt64s, total: UInt64s, before: UInt64s, running: int) -> UInt64s:
    """Where the running sum starts in each part and key, (parts, keys): at ``running``, and what keys below and parts
    before add. ``total`` is the sum of all parts of all ranks, ``before`` that of the ranks before this one."""
    keys_below = np.cumsum(total, dtype=np.uint64) - total
    parts_before = np.cumsum(masses, axis=0, dtype=np.uint64) - masses
    return parts_before + (keys_below + before + np.uint64(running))


def sample_by_key(points: Points, equilibria: Equilibria, others: int, running: UInt64s) -> npt.NDArray[np.int64]:
    """Indices taken by a scan along the keys, ascending; ``running`` (parts, keys) is where it starts in each."""
    steps = units(points.gain, points.correctness, equilibria.of(points.label))
    key = keys(points, others)
    order = np.argsort(key, kind="stable")
    along, key = steps[order], key[order]
    sums = np.cumsum(along, dtype=np.uint64)
    first = np.searchsorted(key, np.arange(running.shape[1]))
    below = np.concatenate([[np.uint64(0)], sums])[first]  # what the keys below add to the sum over all
    after = sums + (running[0] - below)[key]
    before = after - along
    passed = (after >> np.uint64(PROBABILITY_BITS)) != (before >> np.uint64(PROBABILITY_BITS))
    return np.sort(order[passed])
