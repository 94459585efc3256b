"""The search for the equilibrium among points in memory, by decisions on integers alone.

Two numbers are sought. The price is a step u of a ladder: step 2k is the price k 2**-24 seen from above (gains up to k
are saturated), step 2k + 1 the price (k + 1) 2**-24 seen from below (gains of k + 1 are not yet). The value's slope in
the price falls along the ladder; the answer's step u* is the last one where it is not negative. If u* is odd the price
is the gain (u* + 1) / 2, if even it lies above u* / 2 and at most at u* / 2 + 1. The threshold t is in units of 2**-48.
The budget is taken to be less than it is by less than any sum can show, so that no set of pieces holds just the budget.

A probe (u, t) sums over the pieces that pay more than t, and answers two questions: do they hold the budget (covers)?
Is their reaction to the price, less twice the mistakes, not negative (rises)? Each of the four answers moves a bound:

    covers, not rises    the fill's threshold at u is above t, where the slope is negative:    u* <  u
    rises, not covers    the fill's threshold at u is at most t, where it is not:              u* >= u
    both                 the answer's threshold is above t    (t at least, where u* is even)
    neither              the answer's threshold is at most t  (below t, where u* is even)

The last two rest on the fill's threshold rising and the slope falling with the price: at prices below u the slope at t
is the higher, at prices above it the fill's threshold is. Probes are placed in turn by the fixed-point iteration of the
sums themselves (Dinkelbach, 1967), which lands within a few steps, and where it does not halve a bound by medians of
the undecided points, which do. Each iterates on its own: a median's sums would set the iteration back.
"""

from __future__ import annotations

from typing import NamedTuple, overload

import numpy as np
import numpy.typing as npt

from rad_fast.kernels.reference.game import GRID_BITS, WIDTH_BITS, Box

SLOPE_BITS = 2 * GRID_BITS
PROBABILITY_BITS = GRID_BITS + WIDTH_BITS
SPEND_BITS = WIDTH_BITS  # from the unit of advantages to that of budget and spend

END = 1 << (GRID_BITS + 1)  # the step of the price 1 seen from above: every u* is below
MOST = 1 << SLOPE_BITS  # no piece pays more
LOOKED_AT = 64  # points that a median is taken of
NARROWED = 3  # probes between two looks for points that the bounds decide: such a look costs as much as two probes

Integers = npt.NDArray[np.int64]


class Bounds(NamedTuple):
    """low <= u* < high; pieces that pay more than top are taken, those that pay bottom or less are not."""

    low: int = -1
    high: int = END
    bottom: int = -MOST - 1
    top: int = MOST

    @classmethod
    def of(cls, box: Box) -> Bounds:
        """Of a box whose ends are whole units."""
        low, high = int(box.price_low * 2.0**GRID_BITS), int(box.price_high * 2.0**GRID_BITS)
        bottom, top = int(box.threshold_low * 2.0**SLOPE_BITS), int(box.threshold_high * 2.0**SLOPE_BITS)
        step = 2 * high - 1 if low == high else 2 * low  # between the two there is a gain, or just one price
        return cls(step if low else -1, 2 * high, bottom - 1, top)

    @property
    def pinned(self) -> bool:
        """To the gain high / 2: that the price is."""
        return self.high - self.low == 1 and self.low % 2 == 1

    @property
    def floor(self) -> int:
        """Gains up to it are saturated."""
        return self.high >> 1 if self.pinned else max(self.low, 0) >> 1

    @property
    def ceiling(self) -> int:
        """Gains above it react to the price."""
        return (self.high + 1) >> 1

    def box(self) -> Box:
        return Box(
            self.floor * 2.0**-GRID_BITS,
            self.ceiling * 2.0**-GRID_BITS,
            (self.bottom + 1) * 2.0**-SLOPE_BITS,
            self.top * 2.0**-SLOPE_BITS,
        )


class Demand(NamedTuple):
    """What the pieces that are taken have to come to."""

    budget: int  # how much probability, 2**-62
    spend: int  # how much reaction: twice the mistakes, 2**-62
    width: int  # what decided points add to the sum of 1 / g, 2**-38


class Points(NamedTuple):
    """Points in whole units, in arrays; ``counts``: how many are alike, or None."""

    gain: Integers  # 2**-24
    advantage: Integers  # 2**-24
    effective: Integers  # 2**-48
    width: Integers  # 2**-38
    counts: Integers | None

    def where(self, mask: npt.NDArray[np.bool_]) -> Points:
        gain, advantage, effective, width = (field[mask] for field in self[:4])
        return Points(gain, advantage, effective, width, None if self.counts is None else self.counts[mask])

    @property
    def second(self) -> Integers:
        """What a point's second piece pays, -g, 2**-48."""
        return -(self.gain << GRID_BITS)


class Spot(NamedTuple):
    """Where a search ended: the price at the gain ``ceiling``, or between ``floor`` and ``ceiling``.

    Sums over the pieces that pay more than the threshold, gains up to ``floor`` saturated, say whether that is so.
    """

    at_gain: bool
    floor: int
    ceiling: int
    threshold: int

    def bounds(self) -> Bounds:
        if self.at_gain:
            return Bounds(2 * self.ceiling - 1, 2 * self.ceiling, self.threshold - 1, self.threshold)
        return Bounds(2 * self.floor, 2 * self.ceiling - 1, self.threshold, self.threshold + 1)


class Probe(NamedTuple):
    """A probe's sums, as what they leave of the demand."""

    step: int
    left: int  # of the budget, 2**-62
    surplus: int  # of reaction, 2**-62
    width: int  # 2**-38

    @property
    def covers(self) -> bool:
        return self.left <= self.width * ((self.step + 1) >> 1)

    def rises(self, threshold: int) -> bool:
        return self.surplus << GRID_BITS >= threshold * self.width

    def price_within(self, floor: int, ceiling: int) -> bool:
        return self.width * floor < self.left <= self.width * ceiling


def total(values: Integers, counts: Integers | None = None) -> int:
    """The exact sum of numbers below 2**63, each so many times; of fewer than 2**31 numbers, or 2**47 in all."""
    if counts is None:
        return (int((values >> 32).sum()) << 32) + int((values & 0xFFFFFFFF).sum())
    limbs = (values & 0xFFFF, values >> 16 & 0xFFFF, values >> 32 & 0xFFFF, values >> 48)
    return sum(int((limb * counts).sum()) << (16 * k) for k, limb in enumerate(limbs))


def number(mask: npt.NDArray[np.bool_], counts: Integers | None) -> int:
    return int(np.count_nonzero(mask)) if counts is None else int(counts[mask].sum())


@overload
def search(points: Points, demand: Demand, bounds: Bounds) -> Spot: ...
@overload
def search(points: Points, demand: Demand, bounds: Bounds, enough: int, near: Spot) -> Spot | Bounds: ...
def search(points: Points, demand: Demand, bounds: Bounds, enough: int = 0, near: Spot | None = None) -> Spot | Bounds:
    """Where the equilibrium is, or the bounds that leave at most ``enough`` points undecided.

    ``near``: where it may be. By default the middle of bounds that were read off a sample.
    """
    low, high, bottom, top = bounds
    step, threshold = ((low + high) >> 1, (bottom + top) >> 1) if low >= 0 else (0, 0)  # where the iteration stands
    if near is not None:
        step, threshold = 2 * near.ceiling - 1, near.threshold
    by_medians = False
    probes = 0
    while True:
        now = Bounds(low, high, bottom, top)
        if probes % NARROWED == 0:
            points, demand = narrowed(points, demand, now)
            if len(points.gain) <= enough > 0:
                return now
        probes += 1
        pinned = now.pinned  # to a gain: its fill is left
        apart = not pinned and low >= 0 and high % 2 == 1  # from gains, if there is none in between
        between = apart and middle(low, high + 1, 2 * points.gain) is None  # then the threshold alone is left
        if top - bottom == 1 and (pinned or between):
            return Spot(pinned, now.floor, now.ceiling, top if pinned else bottom)
        u, t = step, threshold
        if pinned or by_medians:
            slope, gain = middle(bottom, top, points.effective, points.second), middle(low, high + 1, 2 * points.gain)
            if pinned and slope is None:
                bottom = top - 1
                continue
            t = (bottom + top) // 2 if slope is None else slope
            u = gain if gain is not None else (high - 1 if low >= 0 else 0)
            u = u if u < high else u - 1
        if pinned or between:
            u = high if pinned else high - 1
        u = u if pinned else min(max(u, low + 1 - between), high - 1)
        t = min(max(t, bottom + 1), top - 1) if top - bottom > 1 else top
        probe = probed(points, demand, u, t)
        covers, rises = probe.covers, probe.rises(t)
        floor, ceiling = (now.floor, now.ceiling) if between else (u >> 1, (u >> 1) + 1)
        if not pinned and rises and not probe.rises(t + 1) and probe.price_within(floor, ceiling):
            return Spot(False, floor, ceiling, t)
        if pinned or between:
            bottom, top = (t, top) if (covers if pinned else rises) else (bottom, t)
        elif covers != rises:
            low, high = (u, high) if rises else (low, u)
        elif top - bottom > 1:
            bottom, top = (t, top) if rises else (bottom, t)
        else:  # the threshold lies between neighbours: the fill's at u is the upper one, or the lower one
            low, high = (low, u) if probed(points, demand, u, bottom).covers else (u, high)
        halved = 2 * (high - low) <= now.high - now.low or 2 * (top - bottom) <= now.top - now.bottom
        away = not bottom < threshold < top or not (between or low < step < high)
        if probe.width > 0 and probe.left > 0 and not pinned and (away or not by_medians):
            step = 2 * min(probe.left // probe.width, END)
            threshold = min(max((probe.surplus << GRID_BITS) // probe.width, -MOST), MOST)
        by_medians = not halved and not by_medians


def middle(low: int, high: int, *fields: Integers) -> int | None:
    """The median of the numbers between two others that at most 64 points, spread over all, have.

    Of those that all points have where these have none; None where all have none.
    """
    for stride in (max(1, -(-len(fields[0]) // LOOKED_AT)), 1):
        values = np.concatenate([field[::stride] for field in fields])
        values = np.sort(values[(values > low) & (values < high)])
        if len(values):
            return int(values[len(values) // 2])
    return None


def probed(points: Points, demand: Demand, step: int, threshold: int) -> Probe:
    """What the pieces that pay more than the threshold leave of the demand."""
    whole, priced, full = taken(points, step >> 1, threshold)
    count = number(whole, points.counts) + number(full, points.counts)
    return Probe(
        step,
        demand.budget - (count << PROBABILITY_BITS),
        (reaction(points, priced, full) << SPEND_BITS) - demand.spend,
        demand.width + summed(points.width, priced, points.counts),
    )


def taken(points: Points, floor: int, threshold: int) -> tuple[npt.NDArray[np.bool_], ...]:
    """The points that are saturated, those whose first piece is taken, and those of whom both are."""
    first, second, free = points.effective > threshold, points.second > threshold, points.gain > floor
    return first & ~free, first & free & ~second, second & free


def reaction(points: Points, priced: npt.NDArray[np.bool_], full: npt.NDArray[np.bool_]) -> int:
    """What the slope gains from them, 2**-24: (d + g) / g is a + 1 for a point of whom both pieces are taken."""
    both = number(full, points.counts) << GRID_BITS
    return summed(points.advantage, priced | full, points.counts) + both


def summed(values: Integers, mask: npt.NDArray[np.bool_], counts: Integers | None) -> int:
    return total(values[mask], None if counts is None else counts[mask])


def narrowed(points: Points, demand: Demand, bounds: Bounds) -> tuple[Points, Demand]:
    """The points that the bounds leave undecided, and what is left of the demand for them."""
    inside = points.effective > bounds.top
    whole = inside & (points.gain <= bounds.floor)
    reacting = inside & (points.gain > bounds.ceiling)
    full = reacting & (points.second > bounds.top)
    priced = reacting & (points.second <= bounds.bottom)
    count = number(whole, points.counts) + number(full, points.counts)
    left = Demand(
        demand.budget - (count << PROBABILITY_BITS),
        demand.spend - (reaction(points, priced, full) << SPEND_BITS),
        demand.width + summed(points.width, priced, points.counts),
    )
    return points.where(~(whole | full | priced) & (points.effective > bounds.bottom)), left
