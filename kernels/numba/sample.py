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

from rad_fast.kernels.reference.game import Equilibrium, Float32s
from rad_fast.kernels.reference.sample import PROBABILITY_BITS

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
