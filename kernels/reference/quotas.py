"""Quotas: how much of the budget each class gets, and what each class weighs.

A class k lacks max(0, w_k (h + b) - h_k): its share w_k of all that will have been chosen, h before and b now, less
what was chosen of it before. The budget is shared out in proportion to what is lacked, no class getting more than its
n_k points; what is left over goes to the others (water filling).

First no class gets more than it has points with a positive effective gain: each of the others is expected to do more
harm than good. Only where the budget is larger than all of these, the rest is shared out the same way, up to n_k.

Quotas are multiples of a power of two and sum to the budget exactly: in float64 their sums are then exact as well.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

QUOTA_BITS = 24
SORTED_BITS = 256  # of room / wanted, more than differences between them need
LEAST_ALPHA, MOST_ALPHA = 0.05, 1000.0

Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]


def quotas(weights: Float64s, points: Int64s, chosen: Int64s, budget: int, positive: Int64s | None = None) -> Float64s:
    """The quota of each class, float64, in sum ``budget``.

    ``weights`` (not negative, one above 0), ``points`` that can be selected (at least ``budget`` in all), points
    ``chosen`` before, and how many of ``points`` have a ``positive`` effective gain, one number a class. None: that is
    not asked.
    """
    bits = quota_bits(budget)
    share, before = whole_numbers(weights), chosen.tolist()
    total, after = sum(share), sum(before) + budget
    lacking = [max(0, w * after - h * total) for w, h in zip(share, before, strict=True)]  # times the weights' sum
    filled = [0] * len(share)
    for most in (points,) if positive is None else (positive, points):
        room = [n << bits for n in most.tolist()]
        # Where those that lack have too few points, the rest goes by weight, and then to whoever has points left.
        for wanted in (lacking, share, points.tolist()):
            left = (budget << bits) - sum(filled)
            if left == 0:
                break
            free = [all_of_it - held for all_of_it, held in zip(room, filled, strict=True)]
            filled = [held + more for held, more in zip(filled, poured(wanted, free, left), strict=True)]
    return np.array([math.ldexp(units, -bits) for units in filled])


def quota_bits(budget: int) -> int:
    """Quotas are multiples of 2**-this: as fine as float64 can add them exactly."""
    return min(QUOTA_BITS, 52 - budget.bit_length())


def whole_numbers(weights: Float64s) -> list[int]:
    """The weights times the power of two that leaves no fraction."""
    ratios = [weight.as_integer_ratio() for weight in weights.tolist()]
    scale = max(below for _, below in ratios)
    return [above * (scale // below) for above, below in ratios]


def poured(wanted: list[int], room: list[int], amount: int) -> list[int]:
    """``amount`` units in proportion to ``wanted``, to none more than its ``room``; less only where all are full.

    Each gets min(room, level * wanted). Classes fill up in the order of room / wanted; the level is that at which the
    ones not yet full take just what is left. What whole units leave goes to the largest fractions, the first of equals.
    """
    able = [k for k, w in enumerate(wanted) if w > 0 and room[k] > 0]
    able.sort(key=lambda k: (room[k] << SORTED_BITS) // wanted[k])
    given = [0] * len(wanted)
    left, weight = amount, sum(wanted[k] for k in able)
    for place, k in enumerate(able):
        if left * wanted[k] < room[k] * weight:  # this one is not filled, nor are those after it
            fractions = {}
            for j in able[place:]:
                given[j], fractions[j] = divmod(left * wanted[j], weight)
            rest = left - sum(given[j] for j in fractions)
            for j in sorted(fractions, key=lambda j: (-fractions[j], j))[:rest]:
                given[j] += 1
            break
        given[k] = room[k]
        left, weight = left - room[k], weight - wanted[k]
    return given


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
    from scipy.optimize import minimize_scalar  # here: importing it takes longer than all of rad_fast

    found = minimize_scalar(
        lambda logarithm: -log_likelihood(math.exp(logarithm), counts),
        bounds=(math.log(LEAST_ALPHA), math.log(MOST_ALPHA)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return math.exp(float(found.x))


def log_likelihood(alpha: float, counts: npt.NDArray[Any]) -> float:
    """Of the counts under the Dirichlet-multinomial, but for what does not depend on alpha."""
    from scipy.special import gammaln

    total, classes = float(counts.sum()), len(counts)
    each = gammaln(counts + alpha).sum() - classes * gammaln(alpha)
    return float(gammaln(classes * alpha) - gammaln(total + classes * alpha) + each)
