"""The solver of the game: the equilibrium of selector and adversary, in about one pass over the points.

The player takes points with probabilities q that sum to ``budget``; the adversary lowers the correctness c of points
by up to ``mistakes`` in all. With a price on what the adversary spends, the player's optimum is a greedy fill of
pieces: a unit of probability on a point pays d = (2c - 1) g up to q = price / g, and -g beyond it. The player's value
is concave and piecewise linear in the price; where mu is the fill's threshold, its slope is

    sum over {g > price} of (d - max(mu, -g))+ / g   -   2 mistakes

so that the equilibrium is two numbers, price and threshold. Most points are only read once, to add up those that
bounds on the two numbers decide; the bounds come from a sample (as in Floyd and Rivest's selection, 1975), and what
they leave undecided is solved exactly. Where a range of prices is optimal its upper end is taken: without mistakes the
price is 1, and the points of highest d are selected.

Game: Baykal, Trinh, Iliopoulos, Menghani, Vee, Robust Active Distillation, ICLR 2023.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from rad_fast.kernels.reference.game import (
    GRID_BITS,
    WIDTH_BITS,
    Box,
    Equilibrium,
    Float32s,
    Float64s,
    Sums,
    exact_sum,
    terms,
)

# Points that a box is read off, and up to how many points sorting them costs less than finding another box. Five times
# as many of both make the box narrower and the passes fewer, but took 1.5 times as long at 10 million points.
SAMPLE = 4_000
DIRECT = 10_000
# Of a large pool more are looked at, one of so many, up to a most: of 200 million points 3% were then left undecided,
# not 44%, and these take 8 bytes each. Of 100 million it takes as long (0.7 to 1.15 times), of 10 million twice that.
SPARED, MOST_SAMPLED = 5_000, 20_000
DEVIATIONS = (4.0, 12.0)  # standard errors that a box reaches; a miss costs another pass, never the answer
SHRINKS = 0.7  # a box that leaves more than this undecided holds points that are alike: they are counted instead

GRID = 2.0**-GRID_BITS

Counts = npt.NDArray[np.int64]


class Pool(Protocol):
    """The points of a game, wherever they are: in arrays, in chunks, on a device, on many ranks."""

    @property
    def size(self) -> int:
        """How many points there are in all."""

    def peek(self, count: int) -> tuple[Float32s, Float32s]:
        """Gain and correctness of ``count`` points spread over all, the same ones whatever the chunking."""

    def reduce(self, box: Box) -> tuple[Sums, Pool]:
        """The sums over the points that ``box`` decides, and the undecided ones."""

    def distinct(self) -> tuple[Float32s, Float32s, Counts]:
        """The distinct pairs of gain and correctness, in ascending order, and how many points have each."""


def solve(pool: Pool, budget: float, mistakes: float) -> Equilibrium:
    """The equilibrium of the game on the points of ``pool``.

    ``budget`` is above 0 and at most the number of points whose gain is not NaN; ``mistakes`` is at least 0.
    """
    answer = narrow(pool, Sums(), Box(), budget, mistakes)
    if answer is None:
        raise RuntimeError("the game has no equilibrium within its bounds: gains or correctness are outside [0, 1]")
    return answer


def on_grid(mistakes: float) -> float:
    """Mistakes rounded to the unit that all backends count them in: twice as many are a multiple of 2**-24."""
    return math.ldexp(math.floor(math.ldexp(mistakes, GRID_BITS + 1) + 0.5), -GRID_BITS - 1)


def narrow(pool: Pool, known: Sums, box: Box, budget: float, mistakes: float) -> Equilibrium | None:
    """The equilibrium if it lies in ``box``, from the sums over the decided points and the ``pool`` of the others."""
    if pool.size <= DIRECT:
        return Game(*pool.peek(pool.size), None, box).solve(known, budget, mistakes)
    for deviations in DEVIATIONS:
        smaller = estimate(pool, known, box, budget, mistakes, deviations)
        sums, undecided = pool.reduce(smaller)
        if undecided.size > SHRINKS * pool.size:
            break
        answer = narrow(undecided, known.add(sums), smaller, budget, mistakes)
        if answer is not None:
            return answer
    return Game(*pool.distinct(), box).solve(known, budget, mistakes)


def estimate(pool: Pool, known: Sums, box: Box, budget: float, mistakes: float, deviations: float) -> Box:
    """A box that holds the equilibrium but for bad luck: solved on a sample, budget and mistakes moved both ways."""
    game = Game(*pool.peek(max(SAMPLE, min(pool.size // SPARED, MOST_SAMPLED))), None, box)
    part = game.points / pool.size
    if len(game.gain) == 0:
        return box  # nearly all points are left out: adding up within the same box drops them
    base = Base.of(known, part)
    spend = 2.0 * mistakes * part
    middle = game.search(base, budget * part, spend)
    fill, slope = game.spread(middle.price, middle.threshold)
    corners = [
        game.search(base, budget * part + x * deviations * fill, spend + y * deviations * slope, middle.price)
        for x in (-1, 1)
        for y in ((-1, 1) if mistakes else (0,))  # without mistakes the price is 1, whatever the sample
    ]
    prices = [corner.price for corner in (middle, *corners)]
    # Undecided points can have slopes outside the box; only what lies inside it is consistent with the sums so far.
    thresholds = [min(max(corner.threshold, box.threshold_low), box.threshold_high) for corner in (middle, *corners)]
    # A price is often a gain itself: one unit of the grid further out that gain is undecided, and can be the answer.
    low, high = max(min(prices) - GRID, box.price_low), min(max(prices) + GRID, box.price_high)
    return Box(low, high, min(thresholds), max(thresholds))


class Base(NamedTuple):
    """What the decided points add, as real numbers, scaled to the part of the pool that is looked at."""

    whole: float  # points with q = 1
    advantage: float  # what the price's slope gains from them and from the priced ones
    width: float  # sum of 1 / g over the priced ones

    @classmethod
    def of(cls, sums: Sums, part: float) -> Base:
        advantage = math.ldexp(sums.priced_advantage + sums.full_advantage, -GRID_BITS) + sums.full
        width = math.ldexp(sums.priced_width, -WIDTH_BITS)
        return cls((sums.saturated + sums.full) * part, advantage * part, width * part)


class Spot(NamedTuple):
    """An equilibrium as the search sees it; on an end of its box where the equilibrium lies beyond."""

    price: float
    threshold: float
    floor: float  # points with a gain up to it are saturated: the price, or the highest gain below it
    kink: bool  # whether the price is a gain (or an end): some point on the threshold is then taken in part
    inside: bool


class Game:
    """A game on points held in memory, each counted ``counts`` times, whose equilibrium is looked for in ``box``."""

    def __init__(self, gain: Float32s, correctness: Float32s, counts: Counts | None, box: Box) -> None:
        keep = ~np.isnan(gain)
        self.points = len(gain) if counts is None else int(counts.sum())
        self.box = box
        t = terms(gain[keep], correctness[keep])
        n = np.ones(len(t.gain)) if counts is None else counts[keep].astype(np.float64)
        order = np.argsort(-t.effective, kind="stable")
        self.gain, self.advantage, self.effective, self.width = (x[order] for x in t)
        self.counts = n[order]
        self.first = Pieces(self.effective, self.gain, self.counts, self.advantage, self.counts * self.width, True)
        self.both: Pieces | None = None
        kinks = np.unique(self.gain)
        self.kinks = kinks[(kinks > box.price_low) & (kinks < box.price_high)]

    def pieces(self, all_of_them: bool) -> Pieces:
        """The first pieces of the points, or the first and the second, by falling slope."""
        if not all_of_them:
            return self.first
        if self.both is None:
            self.both = self.first.merged_with_second()
        return self.both

    def fill(
        self, base: Base, budget: float, price: float, floor: float, side: str, passes: tuple[bool, ...] = (False, True)
    ) -> float:
        """The slope of the piece that is filled in part; an end of the box where it is none of these points'.

        Second pieces pay at most 0: while the threshold is not negative they need not be looked at.
        """
        start = base.whole + price * base.width
        if start >= budget:
            return self.box.threshold_high
        for all_of_them in passes:
            pieces = self.pieces(all_of_them)
            filled = start + np.cumsum(pieces.extent(price, floor))
            at = int(np.searchsorted(filled, budget, side="left" if side == "right" else "right"))
            if at < len(filled) and (all_of_them or pieces.slope[at] >= 0):
                return float(pieces.slope[at])
            if self.box.threshold_low >= 0:
                break
        return self.box.threshold_low

    def slope(self, base: Base, spend: float, threshold: float, floor: float) -> float:
        """The slope of the value in the price, for points saturated up to the gain ``floor``."""
        return base.advantage - threshold * base.width + float(self.reaction(threshold, floor).sum()) - spend

    def reaction(self, threshold: float, floor: float) -> Float64s:
        """What each point adds to that slope: (d - max(threshold, -g))+ / g where g > floor."""
        end = int(np.searchsorted(-self.effective, -threshold, side="left"))
        gain, advantage = self.gain[:end], self.advantage[:end]
        worth = np.where(-gain > threshold, advantage + 1.0, advantage - threshold * self.width[:end])
        return np.where(gain > floor, worth, 0.0) * self.counts[:end]

    def spread(self, price: float, threshold: float) -> tuple[float, float]:
        """Standard errors of the budget and of twice the mistakes at an equilibrium read off these points."""
        cap = np.where(self.gain <= price, 1.0, price * self.width)
        q = np.where(self.effective > threshold, cap, 0.0) + np.where(-self.gain > threshold, 1.0 - cap, 0.0)
        reaction = np.zeros(len(q))
        part = self.reaction(threshold, price)
        reaction[: len(part)] = part
        root = math.sqrt(max(len(q), 1))
        # One point more or less: a spread of zero would leave out points that merely tie with the middle.
        return float(np.std(q)) * root + 1.0, float(np.std(reaction)) * root + 1.0

    def search(self, base: Base, budget: float, spend: float, near: float | None = None) -> Spot:
        """The equilibrium by bisection over the gains, where the slope's set of saturated points changes.

        ``near`` is a price expected to be close.
        """
        low, high = self.box.price_low, self.box.price_high

        def rises_after(price: float) -> bool:
            # The slope falls with the threshold: where it is not negative at 0, a threshold below need not be found.
            threshold = self.fill(base, budget, price, price, "right", (False,))
            if threshold < 0 and self.slope(base, spend, 0.0, price) < 0:
                threshold = self.fill(base, budget, price, price, "right")
            return self.slope(base, spend, threshold, price) >= 0

        if not rises_after(low):
            return Spot(low, self.fill(base, budget, low, low, "right"), low, True, low == 0.0)
        first, last = self.bracket(near, rises_after)
        while last - first > 1:
            middle = (first + last) // 2
            if rises_after(float(self.kinks[middle])):
                first = middle
            else:
                last = middle
        floor = float(self.kinks[first]) if first >= 0 else low
        ceiling = float(self.kinks[last]) if last < len(self.kinks) else high
        threshold = self.fill(base, budget, ceiling, floor, "left")
        if self.slope(base, spend, threshold, floor) >= 0:
            inside = last < len(self.kinks) or high == 1.0
            return Spot(ceiling, self.fill(base, budget, ceiling, ceiling, "right"), ceiling, True, inside)
        return self.between(base, budget, spend, floor, ceiling)

    def bracket(self, near: float | None, rises_after: Callable[[float], bool]) -> tuple[int, int]:
        """Indices of two gains: the value rises after the first, if there is one, and falls after the last.

        From a price that is near the steps double: a bracket of n gains costs about 2 log n looks, not log of all.
        """
        first, last = -1, len(self.kinks)
        if near is None:
            return first, last
        at, step, upwards = min(int(np.searchsorted(self.kinks, near)), last - 1), 32, None
        while first < at < last:
            rises = rises_after(float(self.kinks[at]))
            first, last = (at, last) if rises else (first, at)
            if upwards is not None and upwards != rises:
                break
            upwards, at, step = rises, at + (step if rises else -step), 4 * step
        return first, last

    def between(self, base: Base, budget: float, spend: float, floor: float, ceiling: float) -> Spot:
        """The equilibrium at a price between two gains: the threshold where the slope is zero, the price that fills.

        This is Dinkelbach's fixed point, found at once from running sums over the pieces.
        """
        for all_of_them in (False, True):
            pieces = self.pieces(all_of_them)
            count, advantage, width = pieces.running(floor)
            count, advantage, width = count + base.whole, advantage + base.advantage - spend, width + base.width
            slopes = np.append(pieces.slope, self.box.threshold_low)
            rises = advantage - slopes * width >= 0
            at = int(np.argmax(rises)) if rises.any() else len(slopes) - 1
            if width[at] <= 0:  # no point is priced, the slope is zero as far as that is so: from the floor on
                inside = floor > self.box.price_low or floor == 0.0
                return Spot(floor, self.fill(base, budget, floor, floor, "right"), floor, True, inside)
            threshold = float(advantage[at] / width[at])
            if threshold >= 0 or self.box.threshold_low >= 0:
                break
        price = float((budget - count[at]) / width[at])
        inside = self.box.threshold_low <= threshold <= self.box.threshold_high
        return Spot(
            min(max(price, floor), ceiling),
            min(max(threshold, self.box.threshold_low), self.box.threshold_high),
            floor,
            False,
            inside,
        )

    def solve(self, known: Sums, budget: float, mistakes: float) -> Equilibrium | None:
        """The equilibrium, from exact sums over the sets that the search found; None where it is not in the box."""
        spot = self.search(Base.of(known, 1.0), float(budget), 2.0 * mistakes)
        if not spot.inside:
            return None
        return (
            self.at_kink(known, budget, mistakes, spot) if spot.kink else self.off_kink(known, budget, mistakes, spot)
        )

    def off_kink(self, known: Sums, budget: float, mistakes: float, spot: Spot) -> Equilibrium | None:
        sums = known.add(self.taken(spot.threshold, spot.floor))
        if sums.priced_width == 0:  # but for rounding no point is priced: as in ``between``
            return self.at_kink(known, budget, mistakes, spot._replace(price=spot.floor))
        width = Fraction(sums.priced_width, 1 << WIDTH_BITS)
        advantage = Fraction(sums.priced_advantage + sums.full_advantage, 1 << GRID_BITS) + sums.full
        threshold = (advantage - 2 * Fraction(mistakes)) / width
        if self.above(float(threshold)) != self.above(spot.threshold):  # on a slope, but for rounding: points share it
            return self.at_kink(known, budget, mistakes, spot)
        price = (Fraction(budget) - sums.saturated - sums.full) / width
        return Equilibrium(float(price), float(threshold), 0.0, float(worth(sums, budget, mistakes, price, threshold)))

    def above(self, threshold: float) -> tuple[int, int]:
        """How many first and second pieces pay more than the threshold."""
        return int(np.count_nonzero(self.effective > threshold)), int(np.count_nonzero(-self.gain > threshold))

    def at_kink(self, known: Sums, budget: float, mistakes: float, spot: Spot) -> Equilibrium | None:
        price = Fraction(spot.price)
        slopes = np.unique(np.concatenate([self.effective, -self.gain]))
        at = int(np.searchsorted(slopes, spot.threshold))
        # The search adds in floating point: it may stop one slope off. Exact sums decide.
        while 0 <= at < len(slopes):
            threshold = float(slopes[at])
            sums = known.add(self.taken(threshold, spot.floor))
            left = Fraction(budget) - sums.saturated - sums.full - price * Fraction(sums.priced_width, 1 << WIDTH_BITS)
            on = self.extent_on(threshold, price, spot.floor)
            if left < 0:
                at += 1
            elif left > on:
                at -= 1
            else:
                share = left / on if on else Fraction(0)
                value = worth(sums, budget, mistakes, price, Fraction(threshold))
                if not self.box.threshold_low <= threshold <= self.box.threshold_high:
                    return None
                return Equilibrium(float(price), threshold, float(share), float(value))
        return None

    def taken(self, threshold: float, floor: float) -> Sums:
        """Exact sums over the points whose pieces pay more than the threshold."""
        first, second = self.effective > threshold, -self.gain > threshold
        free = self.gain > floor
        saturated, full, priced = first & ~free, second & free, first & free & ~second
        return Sums(
            self.count_of(saturated),
            self.sum_of(self.effective, saturated, 2 * GRID_BITS),
            self.count_of(full),
            self.sum_of(self.advantage, full, GRID_BITS),
            self.sum_of(self.gain, full, GRID_BITS),
            self.sum_of(self.advantage, priced, GRID_BITS),
            self.sum_of(self.width, priced, WIDTH_BITS),
        )

    def extent_on(self, threshold: float, price: Fraction, floor: float) -> Fraction:
        """The probability that the pieces on the threshold hold."""
        first, second = self.effective == threshold, -self.gain == threshold
        free = self.gain > floor
        width = self.sum_of(self.width, first & free, WIDTH_BITS) - self.sum_of(self.width, second & free, WIDTH_BITS)
        whole = self.count_of(first & ~free) + self.count_of(second & free)
        return whole + price * Fraction(width, 1 << WIDTH_BITS)

    def count_of(self, mask: npt.NDArray[np.bool_]) -> int:
        return int(self.counts[mask].sum())

    def sum_of(self, values: Float64s, mask: npt.NDArray[np.bool_], bits: int) -> int:
        return exact_sum(values[mask], bits, self.counts[mask].astype(np.int64))


class Pieces:
    """Pieces of points by falling slope: a first piece extends to price / g, a second piece from there to 1."""

    def __init__(
        self, slope: Float64s, gain: Float64s, counts: Float64s, advantage: Float64s, width: Float64s, first: bool
    ) -> None:
        self.slope = slope
        self.gain = gain
        self.counts = counts  # as many alike
        self.advantage = advantage * counts if first else advantage
        self.width = width
        self.is_first = np.ones(len(slope), dtype=bool)

    def merged_with_second(self) -> Pieces:
        """First and second pieces together. A second piece ends what its point's first piece adds to the width, and
        adds 1 to its advantage: (d - max(threshold, -g)) / g is a - threshold / g before it, a + 1 after it."""
        slope = np.concatenate([self.slope, -self.gain])
        order = np.argsort(-slope, kind="stable")  # stable: a point's first piece comes first where both pay the same

        def twice(mine: Float64s, second: Float64s) -> Float64s:
            return np.concatenate([mine, second])[order]

        merged = Pieces(
            slope[order],
            twice(self.gain, self.gain),
            twice(self.counts, self.counts),
            twice(self.advantage, self.counts),
            twice(self.width, -self.width),
            False,
        )
        merged.is_first = (np.arange(2 * len(self.slope)) < len(self.slope))[order]
        return merged

    def extent(self, price: float, floor: float) -> Float64s:
        """How much probability each piece holds at a price."""
        whole = np.where(self.is_first, 0.0, self.counts)
        saturated = np.where(self.is_first, self.counts, 0.0)
        return np.where(self.gain <= floor, saturated, whole + price * self.width)

    def running(self, floor: float) -> tuple[Float64s, Float64s, Float64s]:
        """Running sums before each piece and after the last: points with q = 1, advantage and width of the others."""
        free = self.gain > floor
        count = np.where(free != self.is_first, self.counts, 0.0)
        return (
            np.concatenate([[0.0], np.cumsum(count)]),
            np.concatenate([[0.0], np.cumsum(np.where(free, self.advantage, 0.0))]),
            np.concatenate([[0.0], np.cumsum(np.where(free, self.width, 0.0))]),
        )


def worth(sums: Sums, budget: float, mistakes: float, price: Fraction, threshold: Fraction) -> Fraction:
    """The value of the game, by duality: what the taken pieces pay above the threshold, and the threshold's due."""
    grid, width = 1 << GRID_BITS, Fraction(sums.priced_width, 1 << WIDTH_BITS)
    saturated = Fraction(sums.saturated_value, grid * grid) - threshold * sums.saturated
    priced = price * (Fraction(sums.priced_advantage, grid) - threshold * width)
    full = price * (Fraction(sums.full_advantage, grid) + sums.full) - Fraction(sums.full_gain, grid)
    due = Fraction(budget) * threshold - threshold * sums.full - 2 * Fraction(mistakes) * price
    return due + saturated + priced + full
