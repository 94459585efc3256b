"""The game's sums on CPU: kernels/reference/game.py, reduce and probabilities, bit for bit and in parallel.

Two looks at the points: the first, 8 bytes a point, adds up the decided ones and counts the undecided ones of each
block, so that the second, 8 bytes a point again, writes every undecided point at its place in an array of just the
right size: 8 bytes an undecided point. (A list per thread would need as much again while it is put together.)
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from rad_fast.kernels.reference.game import (
    GRID_BITS,
    WIDTH_BITS,
    Box,
    Equilibrium,
    Float32s,
    Float64s,
    Int32s,
    Int64s,
    Sums,
)

from . import BLOCK, blocks_of, compiled, launching

GRID = 2.0**GRID_BITS
GRID_SQUARED = 2.0 ** (2 * GRID_BITS)
WIDTH = 2.0**WIDTH_BITS
WIDTH_UNIT = 2.0**-WIDTH_BITS
LOW = 0xFFFFFFFF

# What a block adds up. Its sum of d, of 48 + 14 bits, fits int64; a width of 62 bits goes in two halves.
SATURATED, VALUE, FULL, FULL_ADVANTAGE, FULL_GAIN, ADVANTAGE, WIDTH_HIGH, WIDTH_LOW, UNDECIDED = range(9)
FIELDS = 9


def reduce(gain: Float32s, correctness: Float32s, box: Box) -> tuple[Sums, Float32s, Float32s]:
    """Sums over the points that ``box`` decides; gain and correctness of the others, in their order."""
    edges = (float(box.price_low), float(box.price_high), float(box.threshold_low), float(box.threshold_high))
    parts = np.empty((blocks_of(len(gain)), FIELDS), np.int64)
    with launching(gain.nbytes + correctness.nbytes):
        add_up(gain, correctness, edges, parts)
    ends = np.cumsum(parts[:, UNDECIDED])
    count = int(ends[-1]) if len(ends) else 0
    rest_gain, rest_correctness = np.empty(count, np.float32), np.empty(count, np.float32)
    with launching(gain.nbytes + correctness.nbytes):
        compact(gain, correctness, edges, ends - parts[:, UNDECIDED], ends, rest_gain, rest_correctness)
    return total(parts), rest_gain, rest_correctness


def total(parts: npt.NDArray[np.int64]) -> Sums:
    sums = [int(x) for x in parts.sum(axis=0)]
    value = (int((parts[:, VALUE] >> 32).sum()) << 32) + int((parts[:, VALUE] & LOW).sum())
    return Sums(
        saturated=sums[SATURATED],
        saturated_value=value,
        full=sums[FULL],
        full_advantage=sums[FULL_ADVANTAGE],
        full_gain=sums[FULL_GAIN],
        priced_advantage=sums[ADVANTAGE],
        priced_width=(sums[WIDTH_HIGH] << 32) + sums[WIDTH_LOW],
    )


def class_counts(gain: Float32s, correctness: Float32s, label: Int32s, classes: int) -> Int64s:
    """How many points of each class are not left out, and how many of these have a positive effective gain."""
    counts = np.zeros((2, classes), np.int64)
    count_labels(gain, correctness, label, counts)
    return counts


def group(
    gain: Float32s,
    correctness: Float32s,
    label: Int32s,
    starts: Int64s,
    out_gain: Float32s,
    out_correctness: Float32s,
) -> Int64s:
    """Each class's points that are not left out to ``starts[class]`` and on, in order; where the next ones go."""
    after = starts.copy()
    move(gain, correctness, label, after, out_gain, out_correctness)
    return after


def probabilities(gain: Float32s, correctness: Float32s, equilibrium: Equilibrium) -> Float64s:
    """Inclusion probability of every point."""
    q = np.empty(len(gain), np.float64)
    with launching(gain.nbytes + correctness.nbytes):
        fill(gain, correctness, numbers(equilibrium), q)
    return q


def numbers(equilibrium: Equilibrium) -> tuple[float, float, float]:
    return float(equilibrium.price), float(equilibrium.threshold), float(equilibrium.share)


@compiled()
def advantage_of(c):  # type: ignore[no-untyped-def]
    """2c - 1, rounded to float32 as the reference rounds it."""
    return np.float32(2) * c - np.float32(1)


@compiled()
def width_units(g):  # type: ignore[no-untyped-def]
    """1 / g in units of 2**-38, rounded."""
    return np.floor(WIDTH / g + 0.5)


@compiled()
def decide(g, d, edges):  # type: ignore[no-untyped-def]
    """Whether a point of gain g and effective gain d is saturated, full, priced, undecided."""
    price_low, price_high, threshold_low, threshold_high = edges
    inside = d > threshold_high
    saturated = inside & (g <= price_low)
    reacting = inside & (g > price_high)
    full = reacting & (-g > threshold_high)
    priced = reacting & (-g < threshold_low)
    decided = saturated | full | priced | (d < threshold_low) | (g != g)
    return saturated, full, priced, not decided


@compiled()
def count_labels(gain, correctness, label, counts):  # type: ignore[no-untyped-def]
    for i in range(len(gain)):
        if gain[i] == gain[i]:
            counts[0, label[i]] += 1
            counts[1, label[i]] += (gain[i] > 0) & (correctness[i] > 0.5)


@compiled()
def move(gain, correctness, label, at, out_gain, out_correctness):  # type: ignore[no-untyped-def]
    for i in range(len(gain)):
        if gain[i] == gain[i]:
            place = at[label[i]]
            at[label[i]] = place + 1
            out_gain[place] = gain[i]
            out_correctness[place] = correctness[i]


# The loops over points run over whole slices from 0 on: of any other index numba asks, each time, if it is negative.
@compiled()
def add_up_block(gain, correctness, edges, part):  # type: ignore[no-untyped-def]
    saturated_count = value = full_count = full_advantage = full_gain = 0
    advantage = width_high = width_low = undecided_count = 0
    for i in range(len(gain)):
        g = np.float64(gain[i])
        a = advantage_of(correctness[i])
        d = np.float64(a) * g
        saturated, full, priced, undecided = decide(g, d, edges)
        a_units = np.int64(a * np.float32(GRID))
        w = np.int64(width_units(g if priced else 1.0))
        saturated_count += saturated
        value += np.int64(d * GRID_SQUARED) if saturated else 0
        full_count += full
        full_advantage += a_units if full else 0
        full_gain += np.int64(g * GRID) if full else 0
        advantage += a_units if priced else 0
        width_high += w >> 32 if priced else 0
        width_low += w & LOW if priced else 0
        undecided_count += undecided
    part[SATURATED] = saturated_count
    part[VALUE] = value
    part[FULL] = full_count
    part[FULL_ADVANTAGE] = full_advantage
    part[FULL_GAIN] = full_gain
    part[ADVANTAGE] = advantage
    part[WIDTH_HIGH] = width_high
    part[WIDTH_LOW] = width_low
    part[UNDECIDED] = undecided_count


@compiled(parallel=True)
def add_up(gain, correctness, edges, parts):  # type: ignore[no-untyped-def]
    for block in numba.prange(len(parts)):
        first = block * BLOCK
        add_up_block(gain[first : first + BLOCK], correctness[first : first + BLOCK], edges, parts[block])


@compiled()
def decide_block(gain, correctness, edges, undecided):  # type: ignore[no-untyped-def]
    for i in range(len(gain)):
        g = np.float64(gain[i])
        undecided[i] = decide(g, np.float64(advantage_of(correctness[i])) * g, edges)[3]


@compiled()
def compact_block(gain, correctness, undecided, rest_gain, rest_correctness):  # type: ignore[no-untyped-def]
    at = i = np.uint64(0)
    while at < len(rest_gain):  # without a branch on the point; stops with the block's last undecided one
        rest_gain[at] = gain[i]
        rest_correctness[at] = correctness[i]
        at += np.uint64(undecided[i])
        i += np.uint64(1)


@compiled(parallel=True)
def compact(gain, correctness, edges, starts, ends, rest_gain, rest_correctness):  # type: ignore[no-untyped-def]
    for block in numba.prange(len(starts)):
        first, at, end = block * BLOCK, starts[block], ends[block]
        g, c = gain[first : first + BLOCK], correctness[first : first + BLOCK]
        undecided = np.empty(len(g), np.uint8)
        decide_block(g, c, edges, undecided)
        compact_block(g, c, undecided, rest_gain[at:end], rest_correctness[at:end])


@compiled()
def taken(slope, threshold, share):  # type: ignore[no-untyped-def]
    return 1.0 if slope > threshold else (share if slope == threshold else 0.0)


@compiled()
def probability(gain, correctness, price, threshold, share):  # type: ignore[no-untyped-def]
    """Inclusion probability of one point: the reference's operations in its order."""
    g = np.float64(gain)
    d = np.float64(advantage_of(correctness)) * g
    priced = price * (width_units(g) * WIDTH_UNIT)
    cap = priced if g > price and priced < 1.0 else 1.0
    q = taken(d, threshold, share) * cap + taken(-g, threshold, share) * (1.0 - cap)
    return q if g == g else 0.0


@compiled()
def fill_block(gain, correctness, equilibrium, q):  # type: ignore[no-untyped-def]
    price, threshold, share = equilibrium
    for i in range(len(gain)):
        q[i] = probability(gain[i], correctness[i], price, threshold, share)


@compiled(parallel=True)
def fill(gain, correctness, equilibrium, q):  # type: ignore[no-untyped-def]
    for block in numba.prange((len(gain) + BLOCK - 1) // BLOCK):
        first = block * BLOCK
        last = first + BLOCK
        fill_block(gain[first:last], correctness[first:last], equilibrium, q[first:last])
