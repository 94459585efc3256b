"""The game's arithmetic: exact sums over the points, and what the equilibrium means for one point.

The points come as two float32 arrays, gain g and correctness c, both in [0, 1]. A point left out of the game
has gain NaN: every comparison below is then false, so that it is neither summed nor selected.

All sums are integers, so that they are the same in whatever order, by however many threads, chunks or ranks
they are added:

====================  =========================  ==================================================================
quantity              unit                       why it is an integer in that unit
====================  =========================  ==================================================================
gain g                2**-24                     1 - margin in float32; both of its operands are multiples of it
advantage a = 2c - 1  2**-24                     a float32 in [-1, 1] that was computed from a float32 c
d = a g               2**-48                     the product of the two; exact in float64 (50 bits)
width w = 1/g         2**-38                     *rounded* to it: floor(2**38 / g + 1/2), in float64
====================  =========================  ==================================================================

The width is the only rounding. With g >= 2**-24 it is at most 2**62; with g <= 1 its relative error is at most
2**-39, so that the equilibrium found is that of a game whose gains are off by no more than that.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

GRID_BITS = 24
WIDTH_BITS = 38

Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]
Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]


class Box(NamedTuple):
    """Where the equilibrium is known to lie: the adversary's price and the player's threshold, both ends included."""

    price_low: float = 0.0
    price_high: float = 1.0
    threshold_low: float = -1.0
    threshold_high: float = 1.0


class Sums(NamedTuple):
    """Exact sums over the points that a box decides, in the units of the table above (added with ``add``)."""

    saturated: int = 0  # how many points have q = 1 because their gain is at most the price
    saturated_value: int = 0  # sum of d over them, 2**-48
    full: int = 0  # how many have q = 1 although the adversary answers (threshold below -g)
    full_advantage: int = 0  # sum of a over them, 2**-24
    full_gain: int = 0  # sum of g over them, 2**-24
    priced_advantage: int = 0  # sum of a over the points with q = price / g, 2**-24
    priced_width: int = 0  # sum of 1 / g over them, 2**-38

    def add(self, other: Sums) -> Sums:
        return Sums(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


class Equilibrium(NamedTuple):
    """The solution of the game: two numbers, and the share of a point that lies exactly on the threshold."""

    price: float
    threshold: float
    share: float
    value: float


class Equilibria(NamedTuple):
    """One equilibrium a class: (C,) arrays of price, threshold and share, and of the value of each class's game."""

    price: Float64s
    threshold: Float64s
    share: Float64s
    value: Float64s

    def of(self, label: Int32s) -> Equilibrium:
        """The equilibrium of each point's class, as arrays; ``probabilities`` takes it like a single one."""
        at = np.maximum(label, 0)  # a point without a label is left out: its gain is NaN
        return Equilibrium(self.price[at], self.threshold[at], self.share[at], self.value[at])  # type: ignore[arg-type]


NOTHING = Equilibrium(0.0, 2.0, 0.0, 0.0)  # of a class without a quota: no point pays more than the threshold


class Terms(NamedTuple):
    """What the game needs of each point, as float64 that hold the exact values."""

    gain: Float64s
    advantage: Float64s
    effective: Float64s
    width: Float64s


def terms(gain: Float32s, correctness: Float32s) -> Terms:
    """Gain, advantage 2c - 1, effective gain d and rounded width of every point; the width of a zero gain is 0."""
    g = gain.astype(np.float64)
    a = (np.float32(2) * correctness - np.float32(1)).astype(np.float64)
    positive = g > 0
    width = np.floor(2.0**WIDTH_BITS / np.where(positive, g, 1.0) + 0.5) * positive * 2.0**-WIDTH_BITS
    return Terms(g, a, a * g, width)


def reduce(gain: Float32s, correctness: Float32s, box: Box) -> tuple[Sums, Float32s, Float32s]:
    """Add up the points whose part in the equilibrium is the same for every price and threshold in ``box``.

    Returns the sums and the gain and correctness of the undecided points, in their order.
    """
    t = terms(gain, correctness)
    inside = t.effective > box.threshold_high
    saturated = inside & (t.gain <= box.price_low)
    reacting = inside & (t.gain > box.price_high)
    full = reacting & (-t.gain > box.threshold_high)
    priced = reacting & (-t.gain < box.threshold_low)
    outside = (t.effective < box.threshold_low) | np.isnan(gain)
    undecided = ~(saturated | full | priced | outside)
    sums = Sums(
        saturated=int(saturated.sum()),
        saturated_value=exact_sum(t.effective[saturated], 2 * GRID_BITS),
        full=int(full.sum()),
        full_advantage=exact_sum(t.advantage[full], GRID_BITS),
        full_gain=exact_sum(t.gain[full], GRID_BITS),
        priced_advantage=exact_sum(t.advantage[priced], GRID_BITS),
        priced_width=exact_sum(t.width[priced], WIDTH_BITS),
    )
    return sums, gain[undecided], correctness[undecided]


def class_counts(gain: Float32s, correctness: Float32s, label: Int32s, classes: int) -> Int64s:
    """How many points of each class are not left out, and how many of these have a positive effective gain: (2,
    classes). d = (2c - 1) g > 0 is the same as c > 1/2 and g > 0: nothing is rounded."""
    positive = (gain > 0) & (correctness > 0.5)
    return np.array([np.bincount(label[some], minlength=classes) for some in (~np.isnan(gain), positive)])


def group(
    gain: Float32s,
    correctness: Float32s,
    label: Int32s,
    starts: Int64s,
    out_gain: Float32s,
    out_correctness: Float32s,
) -> Int64s:
    """Bring each class's points together, in their order: those of class k that are not left out go to ``starts[k]``
    and on. Returns where the next ones go."""
    here = np.flatnonzero(~np.isnan(gain))
    here = here[np.argsort(label[here], kind="stable")]
    counts = class_counts(gain, correctness, label, len(starts))[0]
    first = np.cumsum(counts) - counts
    places = np.arange(len(here)) + np.repeat(starts - first, counts)
    out_gain[places], out_correctness[places] = gain[here], correctness[here]
    return starts + counts


def exact_sum(values: Float64s, bits: int, counts: npt.NDArray[np.int64] | None = None) -> int:
    """The sum of ``values``, multiples of 2**-bits below 2**(63 - bits), each ``counts`` times, in that unit.

    Values are added in four limbs of 16 bits, so that no limb's sum overflows int64 below 2**47 points.
    """
    units = (values * 2.0**bits).astype(np.int64)
    total = 0
    for limb in range(4):
        part = units >> (16 * limb)
        if limb < 3:
            part = part & 0xFFFF
        total += int(part.sum() if counts is None else (part * counts).sum()) << (16 * limb)
    return total


def probabilities(gain: Float32s, correctness: Float32s, equilibrium: Equilibrium) -> Float64s:
    """Inclusion probability of every point under an equilibrium.

    A point's first piece, up to q = price / g, pays d per unit of probability; its second piece, the rest up to
    q = 1, pays -g. A piece that pays more than the threshold is taken whole, one that pays less not at all, and one
    that pays just the threshold for the common share.
    """
    t = terms(gain, correctness)
    price, threshold, share, _ = equilibrium
    cap = np.where(t.gain <= price, 1.0, np.minimum(1.0, price * t.width))
    first = taken(t.effective, threshold, share)
    second = taken(-t.gain, threshold, share)
    q: Float64s = first * cap + second * (1.0 - cap)
    return np.where(np.isnan(gain), 0.0, q)


def taken(slope: Float64s, threshold: float, share: float) -> Float64s:
    return np.where(slope > threshold, 1.0, np.where(slope == threshold, share, 0.0))
