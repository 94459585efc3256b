"""What the game is worth with other budgets and other numbers of mistakes, on all points or on a sample of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from rad_fast.device.backends import Backend
from rad_fast.game.pool import ArrayPool, spread
from rad_fast.game.solver import Counts, on_grid, solve
from rad_fast.kernels.reference.game import Box, Float32s, Float64s, Sums, terms

SOLVED = 100_000  # points in the games: the values err by about a hundredth, which a line hides
STEPS = 8  # values of each axis, besides those of the selection; games of large budgets take longest


def curves(
    gain: Float32s, correctness: Float32s, kernels: Backend, budget: int, mistakes: float, value: float
) -> dict[str, Any]:
    """The two curves around a selection, as JSON can hold them.

    Returns ``points`` (in the games), ``mistakes``, ``value`` and ``greedy`` (the worst case of the points of highest
    effective gain) of one length, ``budgets`` and ``budget_value`` likewise, and ``stops_paying``, the budget of the
    highest value. Where the games are on a sample, the values are scaled to all points; the selection's own is exact.
    """
    possible = len(gain) - int(np.count_nonzero(np.isnan(gain)))
    sample = Sample(gain, correctness, kernels, possible)
    adversary, best = amounts(mistakes, possible), sample.stops_paying(mistakes)
    budgets = labels(budget, best, possible)
    by_mistakes = [value if m == mistakes else sample.value(budget, m) for m in adversary.tolist()]
    by_budget = [value if b == budget else sample.value(b, mistakes) if b else 0.0 for b in budgets.tolist()]
    return {
        "points": sample.points,
        "mistakes": adversary.tolist(),
        "value": by_mistakes,
        "greedy": sample.greedy(budget, adversary).tolist(),
        "budgets": budgets.tolist(),
        "budget_value": by_budget,
        "stops_paying": best,
    }


def amounts(mistakes: float, possible: int) -> Float64s:
    """Numbers of mistakes from none to twice as many; to a tenth of the points where there are none."""
    most = max(mistakes, min(2.0 * mistakes if mistakes > 0 else 0.1 * possible, float(possible)))
    return np.union1d(most * np.linspace(0.0, 1.0, STEPS) ** 2, mistakes)  # the value falls fastest at first


def labels(budget: int, best: int, possible: int) -> npt.NDArray[np.int64]:
    """Budgets from none to where more labels have stopped paying."""
    most = min(math.ceil(1.2 * max(budget, best)), possible)
    return np.union1d(np.linspace(0, most, STEPS).astype(np.int64), [budget, best])


class Sample:
    """Points that can be selected, each standing for ``times`` like it; all of them where they are few."""

    def __init__(self, gain: Float32s, correctness: Float32s, kernels: Backend, possible: int) -> None:
        self.times = math.ceil(len(gain) / SOLVED)
        places = spread(math.ceil(len(gain) / self.times), len(gain))
        gain, correctness = gain[places], correctness[places]
        kept = ~np.isnan(gain)
        self.gain, self.correctness = gain[kept], correctness[kept]
        self.points = len(self.gain)
        self.pool = Repeated(ArrayPool([(self.gain, self.correctness)], kernels), self.times)
        self.scale = possible / max(self.pool.size, 1)  # 1 where all points are here

    def value(self, budget: int, mistakes: float) -> float:
        """The value of the game, scaled to all points."""
        count = min(max(round(budget / self.scale), 1), self.pool.size)
        return solve(self.pool, count, on_grid(mistakes / self.scale)).value * self.scale

    def greedy(self, budget: int, mistakes: Float64s) -> Float64s:
        """What the ``budget`` points of highest effective gain bring at worst, for each number of mistakes."""
        t = terms(self.gain, self.correctness)
        each = self.times * self.scale
        order = np.argsort(-t.effective, kind="stable")[: math.ceil(budget / each)]
        q = np.clip(budget / each - np.arange(len(order)), 0.0, 1.0)  # the last of them in part
        spoiled = order[np.argsort(-(q * t.gain[order]), kind="stable")]  # where a wrong label costs most
        place = np.empty(len(t.gain))
        place[order] = q
        # Correctness cannot be lowered below 0: a point holds so much of the adversary's budget, and no more.
        room = self.correctness[spoiled].astype(np.float64) * each
        spent = np.concatenate([[0.0], np.cumsum(room)])
        lost = np.concatenate([[0.0], np.cumsum(2.0 * place[spoiled] * t.gain[spoiled] * room)])
        left: Float64s = float((q * t.effective[order]).sum()) * each - np.interp(mistakes, spent, lost)
        return left

    def stops_paying(self, mistakes: float) -> int:
        """The budget beyond which another label lowers the value: where the player's price per query is 0.

        Then all points of positive effective gain are taken up to price / gain, and the price is where the advantages
        of those that it binds add up to twice the mistakes.
        """
        t = terms(self.gain, self.correctness)
        pays = t.effective > 0
        order = np.argsort(-t.gain[pays], kind="stable")
        gain, advantage, each = t.gain[pays][order], t.advantage[pays][order], self.times * self.scale
        bound = int(np.searchsorted(np.cumsum(advantage) * each, 2.0 * mistakes, side="right"))
        price = float(gain[bound]) if bound < len(gain) else 0.0
        return round(float(np.minimum(1.0, price / gain).sum()) * each) if len(gain) else 0


class Repeated:
    """A pool in which every point of another stands ``times`` times."""

    def __init__(self, pool: ArrayPool, times: int) -> None:
        self.pool = pool
        self.times = times

    @property
    def size(self) -> int:
        return self.pool.size * self.times

    def peek(self, count: int) -> tuple[Float32s, Float32s]:
        gain, correctness = self.pool.peek(min(count, self.pool.size))
        if count < self.size:
            return gain, correctness
        return np.repeat(gain, self.times), np.repeat(correctness, self.times)

    def reduce(self, box: Box) -> tuple[Sums, Repeated]:
        sums, undecided = self.pool.reduce(box)
        return Sums(*(self.times * value for value in sums)), Repeated(undecided, self.times)

    def distinct(self) -> tuple[Float32s, Float32s, Counts]:
        gain, correctness, counts = self.pool.distinct()
        return gain, correctness, counts * self.times
