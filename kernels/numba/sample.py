"""Systematic sampling on CPU: kernels/reference/sample.py, bit for bit and in parallel.

Two looks at the points, 8 bytes each: the first sums the probabilities of each block, which says where the running sum
starts in each block and how many indices the blocks before it take; the second writes the indices at their place, 8
bytes an index.
"""

from __future__ import annotations

from itertools import accumulate

import numba
import numpy as np
import numpy.typing as npt

from rad_fast.kernels.reference.game import Equilibria, Equilibrium, Float32s, Float64s
from rad_fast.kernels.reference.sample import PROBABILITY_BITS, UInt64s
from rad_fast.kernels.reference.score import Points

from . import BLOCK, blocks_of, compiled, launching
from .game import numbers, probability

UNIT = 2.0**PROBABILITY_BITS
HALF = 31  # a block's probabilities are summed in halves of 31 bits: the whole sum takes up to 62 + 14
MODULO = 1 << 64


def mass(gain: Float32s, correctness: Float32s, equilibrium: Equilibrium) -> int:
    """The sum of the probabilities in units of 2**-62, modulo 2**64."""
    return sum(masses(gain, correctness, equilibrium)) % MODULO


def sample(
    gain: Float32s, correctness: Float32s, equilibrium: Equilibrium, running: int
) -> tuple[npt.NDArray[np.int64], int]:
    """Indices taken by a scan that starts at the running sum ``running``, ascending, and the running sum after it."""
    sums = list(accumulate(masses(gain, correctness, equilibrium), initial=running))
    places = np.array([(s >> PROBABILITY_BITS) - (running >> PROBABILITY_BITS) for s in sums], dtype=np.int64)
    starts = np.array([s % MODULO for s in sums], dtype=np.uint64)
    indices = np.empty(places[-1], np.int64)
    with launching(gain.nbytes + correctness.nbytes):
        take(gain, correctness, numbers(equilibrium), starts.view(np.int64), places, indices)
    return indices, int(starts[-1])


def class_probabilities(points: Points, equilibria: Equilibria) -> Float64s:
    """Inclusion probability of every point in the game of its class."""
    q = np.empty(len(points.gain), np.float64)
    with launching(points.gain.nbytes * 3):
        fill_by_class(points.gain, points.correctness, points.label, tuple(equilibria[:3]), q)
    return q


def mass_by_key(points: Points, equilibria: Equilibria, others: int) -> UInt64s:
    """The sums of the probabilities by key, in units of 2**-62 modulo 2**64: (1, keys)."""
    sums = np.zeros(len(equilibria.price) * others, np.int64)
    add_up_keys(*fields(points, others), tuple(equilibria[:3]), others, sums)
    return sums.view(np.uint64)[None]


def sample_by_key(points: Points, equilibria: Equilibria, others: int, running: UInt64s) -> npt.NDArray[np.int64]:
    """Indices taken by a scan along the keys, ascending; ``running`` (1, keys) is where it starts in each."""
    sums = running[0].view(np.int64).copy()
    flags = np.zeros(len(points.gain), np.uint8)
    take_keys(*fields(points, others), tuple(equilibria[:3]), others, sums, flags)
    return np.flatnonzero(flags)


def fields(points: Points, others: int) -> Points:
    """All four arrays; one of no bytes where the key is the label alone."""
    other = np.empty(0, np.uint8) if others == 1 or points.other is None else points.other
    return Points(points.gain, points.correctness, points.label, other)


@compiled()
def units_by_class(gain, correctness, label, equilibria, units):  # type: ignore[no-untyped-def]
    price, threshold, share = equilibria
    for i in range(len(gain)):
        k = label[i] if label[i] > 0 else 0
        units[i] = np.int64(probability(gain[i], correctness[i], price[k], threshold[k], share[k]) * UNIT)


@compiled(parallel=True)
def fill_by_class(gain, correctness, label, equilibria, q):  # type: ignore[no-untyped-def]
    price, threshold, share = equilibria
    for block in numba.prange((len(gain) + BLOCK - 1) // BLOCK):
        for i in range(block * BLOCK, min((block + 1) * BLOCK, len(gain))):
            k = label[i] if label[i] > 0 else 0
            q[i] = probability(gain[i], correctness[i], price[k], threshold[k], share[k])


@compiled()
def add_up_keys(gain, correctness, label, other, equilibria, others, sums):  # type: ignore[no-untyped-def]
    units = np.empty(BLOCK, np.int64)
    for first in range(0, len(gain), BLOCK):
        last = min(first + BLOCK, len(gain))
        units_by_class(gain[first:last], correctness[first:last], label[first:last], equilibria, units)
        for i in range(first, last):
            unit = units[i - first]
            if unit != 0:
                sums[label[i] * others + (other[i] if others > 1 else 0)] += unit


@compiled()
def take_keys(gain, correctness, label, other, equilibria, others, sums, flags):  # type: ignore[no-untyped-def]
    units = np.empty(BLOCK, np.int64)
    for first in range(0, len(gain), BLOCK):
        last = min(first + BLOCK, len(gain))
        units_by_class(gain[first:last], correctness[first:last], label[first:last], equilibria, units)
        for i in range(first, last):
            unit = units[i - first]
            if unit != 0:
                key = label[i] * others + (other[i] if others > 1 else 0)
                before = sums[key]
                sums[key] = before + unit
                flags[i] = ((before ^ sums[key]) >> PROBABILITY_BITS) & 1


def masses(gain: Float32s, correctness: Float32s, equilibrium: Equilibrium) -> list[int]:
    """The sum of the probabilities of every block, in units of 2**-62."""
    halves = np.empty((blocks_of(len(gain)), 2), np.int64)
    with launching(gain.nbytes + correctness.nbytes):
        add_up(gain, correctness, numbers(equilibrium), halves)
    return [(high << HALF) + low for high, low in halves.tolist()]


@compiled()
def units_block(gain, correctness, equilibrium, units):  # type: ignore[no-untyped-def]
    price, threshold, share = equilibrium
    for i in range(len(gain)):
        units[i] = np.int64(probability(gain[i], correctness[i], price, threshold, share) * UNIT)


@compiled()
def sums_of(units):  # type: ignore[no-untyped-def]
    high = low = 0
    for i in range(len(units)):
        high += units[i] >> HALF
        low += units[i] & ((1 << HALF) - 1)
    return high, low


@compiled(parallel=True)
def add_up(gain, correctness, equilibrium, halves):  # type: ignore[no-untyped-def]
    for block in numba.prange(len(halves)):
        first = block * BLOCK
        g = gain[first : first + BLOCK]
        units = np.empty(len(g), np.int64)
        units_block(g, correctness[first : first + BLOCK], equilibrium, units)
        halves[block, 0], halves[block, 1] = sums_of(units)


@compiled()
def take_block(units, start, first, indices):  # type: ignore[no-untyped-def]
    running = start
    at = i = np.uint64(0)
    while at < len(indices):  # without a branch on the point; stops with the block's last index
        after = running + units[i]
        indices[at] = first + np.int64(i)
        # A step is at most 1: where a whole number is passed it is one, and the bit that counts them flips.
        at += np.uint64(((after ^ running) >> PROBABILITY_BITS) & 1)
        running = after
        i += np.uint64(1)


@compiled(parallel=True)
def take(gain, correctness, equilibrium, starts, places, indices):  # type: ignore[no-untyped-def]
    for block in numba.prange(len(starts) - 1):
        first = block * BLOCK
        g = gain[first : first + BLOCK]
        units = np.empty(len(g), np.int64)
        units_block(g, correctness[first : first + BLOCK], equilibrium, units)
        take_block(units, starts[block], first, indices[places[block] : places[block + 1]])
