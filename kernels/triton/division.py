"""Quotients of whole numbers that are too long for float64, as float64 rounds them.

A number is high * 2^31 + low, as elsewhere. It and its quotients are held as the sum of two float64 numbers, which have
some 100 bits between them: what is rounded to one at the end is the exact quotient's neighbour in all but one of some
2^45 cases, as a host's exact fractions give it. Products and sums are split after Dekker (1971) and Knuth.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .game import HALF_MASK, HALF_SHIFT

HALF_ONE = tl.constexpr(2.0**31)
ONE = tl.constexpr(2.0**62)
SPLIT = tl.constexpr(2.0**27 + 1)


@triton.jit
def two_sum(a, b):
    total = a + b
    of_b = total - a
    return total, (a - (total - of_b)) + (b - of_b)


@triton.jit
def two_product(a, b):
    product = a * b
    a1 = a * SPLIT - (a * SPLIT - a)
    b1 = b * SPLIT - (b * SPLIT - b)
    a0, b0 = a - a1, b - b1
    return product, ((a1 * b1 - product) + a1 * b0 + a0 * b1) + a0 * b0


@triton.jit
def doubled(high, low):
    """high * 2^31 + low, 0 <= low < 2^31, in two float64."""
    upper = (high >> HALF_SHIFT).to(tl.float64) * ONE
    total, rest = two_sum(upper, (high & HALF_MASK).to(tl.float64) * HALF_ONE)
    return two_sum(total, rest + low.to(tl.float64))


@triton.jit
def quotient(a_high, a_low, b_high, b_low):
    """The quotient of two numbers of two float64 each, rounded to one; the second is above 0."""
    first = a_high / b_high
    product, rest = two_product(first, b_high)
    left = (a_high - product) - rest + (a_low - first * b_low)
    return first + left / b_high


@triton.jit
def ratio(a_high, a_low, b_high, b_low):
    """(a_high * 2^31 + a_low) / (b_high * 2^31 + b_low), 1 where the second is not above 0."""
    above, below = doubled(a_high, a_low)
    by, by_rest = doubled(b_high, b_low)
    safe = by > 0.0
    return tl.where(safe, quotient(above, below, tl.where(safe, by, 1.0), tl.where(safe, by_rest, 0.0)), 1.0)
