"""Quotas: how much of the budget each class gets, and what each class weighs.

A class k lacks max(0, w_k (h + b) - h_k): its share w_k of all that will have been chosen, h before and b now, less
what was chosen of it before. The budget is shared out in proportion to what is lacked, no class getting more than its
n_k points; what is left over goes to the others (water filling).

First no class gets more than it has points with a positive effective gain: each of the others is expected to do more
harm than good. Only where the budget is larger than all of these, the rest is shared out the same way, up to n_k.

Quotas are multiples of a power of two and sum to the budget exactly: in float64 their sums are then exact as well. All
that decides about them are integers, the same on every machine: ranks need not tell each other their quotas.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .game import GRID_BITS

QUOTA_BITS = 24
PART_BITS = 52  # of what is shared out, of what the weights come to, and of what is lacked in all
SURELY = 1.0 + 2.0**-40  # more than float64 errs by
FEW = 32  # classes, of which a loop takes less time than arrays do
LEAST_ALPHA, MOST_ALPHA = 0.05, 1000.0
ALPHA_BITS = 24  # more of alpha than the weights need, fewer than its sums of logarithms are alike to everywhere

Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]


def shares(
    weights: Float64s | str, counts: Int64s, chosen: Int64s, budget: int, bounded: bool, mistakes: float
) -> tuple[Float64s, Float64s, Float64s]:
    """Quotas, weights and mistakes of each class.

    ``weights``: a number a class, or what they are by: "equal", "proportional" to the points, or their "root".
    ``counts`` (2, C): points, and how many of them have a positive effective gain, which counts where ``bounded``. All
    ``mistakes`` are shared out in proportion to the points.
    """
    points, positive = counts
    weights = weights_by(weights, points)
    if not weights[points > 0].any():  # whoever has points takes it all
        weights = np.ones(len(points))
    shared = quotas(weights, points, chosen, budget, positive if bounded else None)
    return shared, weights, shares_of_mistakes(points, mistakes)


def weights_by(basis: Float64s | str, points: Int64s) -> Float64s:
    """Weights as they are given, or by the numbers of points."""
    if not isinstance(basis, str):
        return basis
    by = {"equal": np.ones_like, "proportional": np.array, "root": np.sqrt}
    weights: Float64s = by[basis](points.astype(np.float64))
    return weights


def shares_of_mistakes(points: Int64s, mistakes: float) -> Float64s:
    """The mistakes in each class, in proportion to its points, in the unit that they are counted in."""
    unit = 2.0 ** -(GRID_BITS + 1)
    each: Float64s = np.floor(mistakes * points / points.sum() / unit + 0.5) * unit
    return each


def quotas(weights: Float64s, points: Int64s, chosen: Int64s, budget: int, positive: Int64s | None = None) -> Float64s:
    """The quota of each class, float64, in sum ``budget``.

    ``weights`` (not negative, one above 0), ``points`` that can be selected (at least ``budget`` in all), points
    ``chosen`` before, and how many of ``points`` have a ``positive`` effective gain, one number a class. None: that is
    not asked.
    """
    bits = quota_bits(budget)
    share = whole_numbers(weights)
    lacking = lacked(share, chosen, budget)
    filled, left = np.zeros(len(share), np.int64), budget << bits
    for most in (points,) if positive is None else (positive, points):
        if left == 0:
            break
        room = np.minimum(most, budget) << bits
        # Where those that lack have too few points, the rest goes by weight, and then to whoever has points left.
        for wanted in (lacking, share, points):
            if left > 0:
                filled += poured(wanted, room - filled, left)
                left = (budget << bits) - int(filled.sum())
    return np.ldexp(filled.astype(np.float64), -bits)


def quota_bits(budget: int) -> int:
    """Quotas are multiples of 2**-this: as fine as float64 can add them exactly."""
    return min(QUOTA_BITS, PART_BITS - budget.bit_length())


def whole_numbers(weights: Float64s) -> Int64s:
    """The weights in units of so little that rounding up does not matter: 2**-52 of their sum, or less."""
    _, exponent = np.frexp(weights.max())
    bits = PART_BITS - int(exponent) - len(weights).bit_length()
    return np.ceil(np.ldexp(weights, bits)).astype(np.int64)


def lacked(share: Int64s, chosen: Int64s, budget: int) -> Int64s:
    """max(0, w_k (h + b) - h_k), in units of 2**-52 of h + b, or less."""
    after = int(chosen.sum()) + budget
    bits = PART_BITS - after.bit_length()
    if len(share) <= FEW:
        parts, had = share.tolist(), chosen.tolist()
        total = sum(parts)
        return np.array(
            [max(0, (after << bits) * w // total - (h << bits)) for w, h in zip(parts, had, strict=True)], np.int64
        )
    due, _ = divided(after << bits, share, int(share.sum()))
    return np.maximum(0, due - (chosen.astype(np.int64) << bits))


def poured(wanted: Int64s, room: Int64s, amount: int) -> Int64s:
    """``amount`` units in proportion to ``wanted``, to none more than its ``room``; less only where all are full.

    Each gets min(room, level * wanted). The level is that at which the ones not full take just what is left: it rises
    as long as some fill up. What whole units leave goes to the largest fractions, the first of equals.
    """
    if len(room) <= FEW:
        return np.array(poured_to_few(wanted.tolist(), room.tolist(), amount), np.int64)
    given = np.zeros(len(room), np.int64)
    able = np.flatnonzero((wanted > 0) & (room > 0))
    wanted, room = wanted[able], room[able]
    while len(able):
        total = int(wanted.sum())
        full = wanted * (amount / total) > room * SURELY
        if not full.any():
            due, fraction = divided(amount, wanted, total)
            full = due >= room
            if not full.any():
                given[able] = due + largest(fraction, amount - int(due.sum()))
                break
        given[able[full]] = room[full]
        amount -= int(room[full].sum())
        able, wanted, room = able[~full], wanted[~full], room[~full]
    return given


def poured_to_few(wanted: list[int], room: list[int], amount: int) -> list[int]:
    """The same in Python's integers, which takes a quarter of the time for ten classes."""
    given = [0] * len(room)
    able = [k for k, most in enumerate(room) if most > 0 and wanted[k] > 0]
    while able:
        total = sum([wanted[k] for k in able])
        due = [divmod(amount * wanted[k], total) for k in able]
        full = [k for k, (whole, _) in zip(able, due, strict=True) if whole >= room[k]]
        if not full:
            for k, (whole, _) in zip(able, due, strict=True):
                given[k] = whole
                amount -= whole
            by_fraction = sorted(range(len(able)), key=lambda at: -due[at][1])
            for at in by_fraction[:amount]:
                given[able[at]] += 1
            break
        for k in full:
            given[k] = room[k]
            amount -= room[k]
        able = [k for k in able if given[k] < room[k]]
    return given


def largest(numbers: Int64s, count: int) -> npt.NDArray[np.bool_]:
    """Which of the numbers are the ``count`` largest, the first of equals."""
    if count == 0:
        return np.zeros(len(numbers), bool)
    least = np.partition(numbers, len(numbers) - count)[len(numbers) - count]
    chosen: npt.NDArray[np.bool_] = numbers > least
    chosen[np.flatnonzero(numbers == least)[: count - int(chosen.sum())]] = True
    return chosen


def divided(factor: int, numbers: Int64s, divisor: int) -> tuple[Int64s, Int64s]:
    """factor * numbers // divisor and what remains, for factors up to 2**52 and numbers up to their divisor, of 2**54.

    The quotient in float64 is a few units off. What it leaves is a few times the divisor, and fits 64 bits though the
    products do not: the bits above are lost in both.
    """
    near = np.floor(factor * numbers.astype(np.float64) / divisor).astype(np.int64)
    remains = factor * numbers - near * divisor
    more, remains = np.divmod(remains, divisor)
    return near + more, remains


def sample_weights(counts: npt.NDArray[Any]) -> Float64s:
    """Weights from how often each class comes, or would come, in a sample: (m_k + alpha) / (m + C alpha).

    The counts m_k need not be whole, m is their sum. The classes' frequencies are taken to come from a symmetric
    Dirichlet distribution, whose alpha is that of maximum likelihood (Minka, Estimating a Dirichlet distribution,
    2000): large where the counts look like equal frequencies.
    """
    alpha = likeliest_alpha(counts)
    weights: Float64s = (counts + alpha) / (counts.sum() + len(counts) * alpha)
    return weights


def likeliest_alpha(counts: npt.NDArray[Any]) -> float:
    """The alpha in [0.05, 1000] under which the counts are likeliest; the Dirichlet-multinomial has one maximum."""
    from scipy.optimize import brentq  # here: importing it takes longer than all of rad_fast

    alike = np.unique(counts, return_counts=True)  # most classes are as rare as many others
    if slope(LEAST_ALPHA, *alike) <= 0.0:
        return LEAST_ALPHA
    if slope(MOST_ALPHA, *alike) >= 0.0:
        return MOST_ALPHA
    found = brentq(slope, LEAST_ALPHA, MOST_ALPHA, args=alike, xtol=1e-13, rtol=1e-13)
    mantissa, exponent = np.frexp(found)
    return float(np.ldexp(np.round(np.ldexp(mantissa, ALPHA_BITS)), exponent - ALPHA_BITS))


def slope(alpha: float, counts: npt.NDArray[Any], times: Int64s) -> float:
    """How fast the counts, each of so many classes, grow likelier with alpha: the logarithm's derivative."""
    from scipy.special import digamma

    classes, total = int(times.sum()), float((counts * times).sum())
    each = (times * (digamma(counts + alpha) - digamma(alpha))).sum()
    return float(each - classes * (digamma(total + classes * alpha) - digamma(classes * alpha)))
