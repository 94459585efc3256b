"""The solver of the game: the equilibrium of selector and adversary, in about one pass over the points.

The player takes points with probabilities q that sum to ``budget``; the adversary lowers the correctness c of points
by up to ``mistakes`` in all. With a price on what the adversary spends, the player's optimum is a greedy fill of
pieces: a unit of probability on a point pays d = (2c - 1) g up to q = price / g, and -g beyond it. The player's value
is concave and piecewise linear in the price; where mu is the fill's threshold, its slope is

    sum over {g > price} of (d - max(mu, -g))+ / g   -   2 mistakes

so that the equilibrium is two numbers, price and threshold. Most points are only read once, to add up those that
bounds on the two numbers decide; the bounds come from a sample (as in Floyd and Rivest's selection, 1975), and what
they leave undecided is searched exactly (``search``). Where a range of prices is optimal its upper end is taken:
without mistakes the price is 1, and the points of highest d are selected.

csrc/cpu/solve.hpp is the same for points in memory. As every decision is one of integers, both give the same answer to
the bit, whatever their samples.

Game: Baykal, Trinh, Iliopoulos, Menghani, Vee, Robust Active Distillation, ICLR 2023.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from fractions import Fraction
from typing import Any, NamedTuple, Protocol, overload

import numpy as np
import numpy.typing as npt

from rad_fast.kernels.reference.game import GRID_BITS, WIDTH_BITS, Box, Equilibrium, Float32s, Sums, terms

from .search import (
    END,
    PROBABILITY_BITS,
    SLOPE_BITS,
    Bounds,
    Demand,
    Points,
    Spot,
    number,
    probed,
    search,
    summed,
    taken,
)

# Points that a box is read off, and up to how many points searching them costs less than another box. Five times as
# many of both make the box narrower and the passes fewer, but took 1.5 times as long at 10 million points.
SAMPLE = 4_000
DIRECT = 10_000
# Of a large pool more are looked at, one of so many, up to a most: of 200 million points 3% were then left undecided,
# not 44%, and these take 8 bytes each. Of 100 million it takes as long (0.7 to 1.15 times), of 10 million twice that.
SPARED, MOST_SAMPLED = 5_000, 20_000
DEVIATIONS = (4.0, 12.0)  # standard errors that a box reaches; a miss costs another pass, never the answer
SHRINKS = 0.7  # a box that leaves more than this undecided holds points that are alike: they are counted instead
ENOUGH = 128  # one of so many sampled points may stay undecided: less than the sample errs by

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


class Ask(NamedTuple):
    """What a search asks of a pool: one of the methods above."""

    pool: Any
    name: str
    arguments: tuple[Any, ...]


Narrowing = Generator[Ask, Any, "Equilibrium | None"]


class Steps(NamedTuple):
    """How the solver goes about it; none of it changes the answer."""

    sample: int
    direct: int
    spared: int
    most_sampled: int
    enough: int
    deviations: tuple[float, ...]
    shrinks: float


def steps() -> Steps:
    return Steps(SAMPLE, DIRECT, SPARED, MOST_SAMPLED, ENOUGH, DEVIATIONS, SHRINKS)


def solve(pool: Pool, budget: float, mistakes: float) -> Equilibrium:
    """The equilibrium of the game on the points of ``pool``.

    ``budget`` is above 0 and at most the number of points whose gain is not NaN; ``mistakes`` is at least 0.
    """
    solved: Callable[[float, float, Steps], Equilibrium | None] | None = getattr(pool, "solved", None)
    if solved is not None:  # points in memory, whose backend may have the solver, too
        found = solved(budget, mistakes, steps())
        if found is not None:
            return found
    return found_in(narrow(pool, Sums(), Box(), budget, mistakes))


def found_in(answer: Equilibrium | None) -> Equilibrium:
    """An answer that is looked for everywhere is found."""
    if answer is None:
        raise RuntimeError("the game has no equilibrium within its bounds: gains or correctness are outside [0, 1]")
    return answer


@overload
def on_grid(mistakes: float) -> float: ...
@overload
def on_grid(mistakes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]: ...
def on_grid(mistakes: Any) -> Any:
    """Mistakes rounded to the unit that all backends count them in: twice as many are a multiple of 2**-24."""
    unit = 2.0 ** -(GRID_BITS + 1)
    if isinstance(mistakes, np.ndarray):
        return np.floor(mistakes / unit + 0.5) * unit
    return math.floor(mistakes / unit + 0.5) * unit


def narrow(pool: Pool, known: Sums, box: Box, budget: float, mistakes: float) -> Equilibrium | None:
    """The equilibrium if it lies in ``box``, from the sums over the decided points and the ``pool`` of the others."""
    steps = narrowing(pool, known, box, budget, mistakes)
    try:
        ask = next(steps)
        while True:
            ask = steps.send(getattr(ask.pool, ask.name)(*ask.arguments))
    except StopIteration as done:
        answer: Equilibrium | None = done.value
        return answer


def narrowing(pool: Any, known: Sums, box: Box, budget: float, mistakes: float) -> Narrowing:
    """The same, step by step: it yields what it asks of a pool and is sent the answer.

    So many games on pools of many ranks can ask together.
    """
    if mistakes == 0:  # the value's slope is never negative
        box = box._replace(price_low=1.0)
    if pool.size <= DIRECT:
        gain, correctness = yield Ask(pool, "peek", (pool.size,))
        return Game(gain, correctness, None, box).solve(known, budget, mistakes)
    for attempt, deviations in enumerate(DEVIATIONS):
        sampled = max(SAMPLE, min(pool.size // SPARED, MOST_SAMPLED))
        gain, correctness = yield Ask(pool, "peek", (sampled,))
        smaller = estimate(gain, correctness, pool.size, known, box, budget, mistakes, deviations, attempt == 0)
        sums, undecided = yield Ask(pool, "reduce", (smaller,))
        if undecided.size > SHRINKS * pool.size:
            break
        answer = yield from narrowing(undecided, known.add(sums), smaller, budget, mistakes)
        if answer is not None:
            return answer
    gain, correctness, counts = yield Ask(pool, "distinct", ())
    return Game(gain, correctness, counts, box).solve(known, budget, mistakes)


def estimate(
    gain: Float32s,
    correctness: Float32s,
    size: int,
    known: Sums,
    box: Box,
    budget: float,
    mistakes: float,
    deviations: float,
    heaviest: bool,
) -> Box:
    """A box that holds the equilibrium but for bad luck: searched on a sample of ``size`` points, budget and mistakes
    moved both ways. ``heaviest``: as in ``error_of_sum``.

    It needs no proof: a search ends where what is undecided is less than the sample errs by.
    """
    points, limits = whole_units(gain, correctness, None), Bounds.of(box)
    if len(points.gain) == 0:
        return box  # nearly all points are left out: adding up within the same box drops them
    part = len(gain) / size
    middle = Demand(*(int(units * part) for units in demand(known, budget, mistakes)))
    spot = search(points, middle, limits)
    errors = spread(points, middle, spot, heaviest)
    fill, slope = (int(deviations * error * 2.0**PROBABILITY_BITS) for error in errors)
    found = [spot.bounds()]
    for x in (-fill, fill):
        for y in (-slope, slope) if mistakes else (0,):  # without mistakes the price is 1, whatever the sample
            corner = middle._replace(budget=middle.budget + x, spend=middle.spend + y)
            corner_at = search(points, corner, limits, max(1, len(points.gain) // ENOUGH), spot)
            found.append(corner_at if isinstance(corner_at, Bounds) else corner_at.bounds())
    low, high, bottom, top = zip(*found, strict=True)
    # A step further out: what lies on a bound is not proved by what lies beyond.
    return Bounds(max(min(low) - 1, limits.low), min(max(high) + 1, limits.high), min(bottom), max(top)).box()


def demand(known: Sums, budget: float, mistakes: float) -> Demand:
    """What the undecided points have to come to."""
    one = 1 << PROBABILITY_BITS
    reacting = known.priced_advantage + known.full_advantage + (known.full << GRID_BITS)
    return Demand(
        int(Fraction(budget) * one) - (known.saturated + known.full) * one,
        int(2 * Fraction(mistakes) * one) - (reacting << WIDTH_BITS),
        known.priced_width,
    )


def whole_units(gain: Float32s, correctness: Float32s, counts: Counts | None) -> Points:
    """The points that are not left out, in the units of their sums."""
    keep = ~np.isnan(gain)
    t = terms(gain[keep], correctness[keep])
    scales = (GRID_BITS, GRID_BITS, SLOPE_BITS, WIDTH_BITS)
    gains, *others = ((field * 2.0**bits).astype(np.int64) for field, bits in zip(t, scales, strict=True))
    if len(t.gain) and not (t.gain.min() >= 0 and t.gain.max() <= 1 and (gains * 2.0**-GRID_BITS == t.gain).all()):
        raise ValueError("gain: expected multiples of 2**-24 from 0 to 1, got others")
    return Points(gains, others[0], others[1], others[2], None if counts is None else counts[keep])


def spread(points: Points, wanted: Demand, spot: Spot, heaviest: bool) -> tuple[float, float]:
    """Standard errors of the budget and of twice the mistakes at an equilibrium read off these points."""
    probe = probed(points, wanted, 2 * spot.floor, spot.threshold)
    price = float(spot.ceiling) if spot.at_gain or probe.width == 0 else probe.left / probe.width
    threshold = spot.threshold * 2.0**-SLOPE_BITS
    whole, priced, full = taken(points, spot.floor, spot.threshold)
    advantage, width = points.advantage * 2.0**-GRID_BITS, points.width * 2.0**-WIDTH_BITS
    q = np.where(priced, price * 2.0**-GRID_BITS * width, np.where(whole | full, 1.0, 0.0))
    reaction = np.where(priced, advantage - threshold * width, np.where(full, advantage + 1.0, 0.0))
    return error_of_sum(q, heaviest), error_of_sum(reaction, heaviest)


def error_of_sum(values: npt.NDArray[np.float64], heaviest: bool) -> float:
    """The standard error of a sum over a sample, and one point more or less: a spread of zero would leave out points
    that merely tie with the middle. Added up in order, as the compiled solver does.

    The one point weighs as much as the ``heaviest`` of the sample, or 1. A budget of 200 of millions is less than one
    point of the sample, though thousands share it: by 1 more or less, the box would hold half of all points. Where
    heavier points were missed the next box, with 1, holds them.
    """
    mean = np.cumsum(values)[-1] / len(values)
    one = float(values.max()) if heaviest else 0.0
    return math.sqrt(float(np.cumsum((values - mean) * (values - mean))[-1])) + (one if one > 0 else 1.0)


class Game:
    """A game on points held in memory, each counted ``counts`` times, whose equilibrium is looked for in ``box``."""

    def __init__(self, gain: Float32s, correctness: Float32s, counts: Counts | None, box: Box) -> None:
        self.points = whole_units(gain, correctness, counts)
        self.box = box

    def solve(self, known: Sums, budget: float, mistakes: float) -> Equilibrium | None:
        """The equilibrium, from exact sums over the sets that the search found; None where it is not in the box."""
        limits = Bounds.of(self.box._replace(price_low=1.0) if mistakes == 0 else self.box)
        wanted = demand(known, budget, mistakes)
        answer = self.concluded(search(self.points, wanted, limits), known, budget, mistakes, limits)
        if answer is None and self.box == Box():
            # Where a set of pieces holds just the budget the rounded widths 1 / g can contradict one another. The price
            # is then known but for that rounding, and what it fills is as good as any.
            spot = search(self.points, wanted, limits)
            at_price = limits._replace(low=2 * spot.ceiling - 1, high=2 * spot.ceiling)
            answer = self.concluded(search(self.points, wanted, at_price), known, budget, mistakes, Bounds())
        return answer

    def concluded(self, spot: Spot, known: Sums, budget: float, mistakes: float, limits: Bounds) -> Equilibrium | None:
        sums = known.add(self.taken(spot))
        wanted = demand(sums, budget, mistakes)
        if spot.at_gain:
            return at_gain(self.points, sums, wanted, spot, budget, mistakes, limits)
        return between(sums, wanted, spot, budget, mistakes)

    def taken(self, spot: Spot) -> Sums:
        """Exact sums over the points whose pieces pay more than the threshold."""
        points, counts = self.points, self.points.counts
        whole, priced, full = taken(points, spot.floor, spot.threshold)
        return Sums(
            number(whole, counts),
            summed(points.effective, whole, counts),
            number(full, counts),
            summed(points.advantage, full, counts),
            summed(points.gain, full, counts),
            summed(points.advantage, priced, counts),
            summed(points.width, priced, counts),
        )


def between(sums: Sums, wanted: Demand, spot: Spot, budget: float, mistakes: float) -> Equilibrium | None:
    """At a price between two gains: the one that fills the budget, and the threshold where the slope is zero.

    In all, ``wanted`` is left by the pieces that pay more than the spot's threshold. None where they show that the
    equilibrium is elsewhere: the bounds that the search began with were wrong.
    """
    left, surplus, width = wanted.budget, -wanted.spend, wanted.width
    slope = surplus << GRID_BITS
    if not spot.threshold * width <= slope < (spot.threshold + 1) * width:
        return None
    if not width * spot.floor < left <= width * spot.ceiling:
        return None
    price = Fraction(left, width << GRID_BITS)
    threshold = Fraction(slope, width << SLOPE_BITS)
    rounded = float(threshold)
    if rounded >= (spot.threshold + 1) * 2.0**-SLOPE_BITS:  # but for rounding below pieces that are taken whole
        rounded = math.nextafter(rounded, -math.inf)
    return Equilibrium(float(price), rounded, 0.0, float(worth(sums, budget, mistakes, price, threshold)))


def at_gain(
    points: Points, sums: Sums, wanted: Demand, spot: Spot, budget: float, mistakes: float, limits: Bounds
) -> Equilibrium | None:
    """At a price that is a gain, or an end of all prices: pieces on the threshold share what is left of the budget."""
    free = points.gain > spot.floor
    first, second = points.effective == spot.threshold, free & (points.second == spot.threshold)
    whole = number(first & ~free, points.counts) + number(second, points.counts)
    width = summed(points.width, first & free, points.counts) - summed(points.width, second, points.counts)
    left = wanted.budget - wanted.width * spot.ceiling
    on = (whole << PROBABILITY_BITS) + width * spot.ceiling
    if not 0 < left <= on:
        return None
    falls = -wanted.spend << GRID_BITS < spot.threshold * wanted.width
    if 2 * spot.ceiling == limits.high < END and not falls:  # nor does anything show that the price is not higher
        return None
    price, threshold = Fraction(spot.ceiling, 1 << GRID_BITS), Fraction(spot.threshold, 1 << SLOPE_BITS)
    share, value = Fraction(left, on), worth(sums, budget, mistakes, price, threshold)
    return Equilibrium(float(price), float(threshold), float(share), float(value))


def worth(sums: Sums, budget: float, mistakes: float, price: Fraction, threshold: Fraction) -> Fraction:
    """The value of the game, by duality: what the taken pieces pay above the threshold, and the threshold's due."""
    grid, width = 1 << GRID_BITS, Fraction(sums.priced_width, 1 << WIDTH_BITS)
    saturated = Fraction(sums.saturated_value, grid * grid) - threshold * sums.saturated
    priced = price * (Fraction(sums.priced_advantage, grid) - threshold * width)
    full = price * (Fraction(sums.full_advantage, grid) + sums.full) - Fraction(sums.full_gain, grid)
    stake = demand(Sums(), budget, mistakes)
    due = (stake.budget * threshold - stake.spend * price) / (1 << PROBABILITY_BITS)
    return due + saturated + priced + full - threshold * sums.full
