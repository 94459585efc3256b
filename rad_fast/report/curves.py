"""What the game is worth with other budgets and other numbers of mistakes, on all points or on a sample of them.

With quotas each class has a game of its own, another budget is shared out among the classes anew, and the points of
highest effective gain are those of each class.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rad_fast.device.backends import Backend
from rad_fast.game.pool import ArrayPool, spread
from rad_fast.game.quotas import Shares
from rad_fast.game.solver import Counts, on_grid, solve
from rad_fast.kernels.reference.game import Box, Float32s, Float64s, Sums, terms
from rad_fast.kernels.reference.score import Points

SOLVED = 100_000  # points in the games: the values err by about a hundredth, which a line hides
CLASSES = 1_000  # with more than this many games a point of a curve takes longer than the selection
STEPS = 8  # values of each axis, besides those of the selection; games of large budgets take longest


class Games(Protocol):
    """A game, or one a class, on some of the points."""

    points: int

    def value(self, budget: int, mistakes: float) -> float:
        """What it is worth, scaled to all points."""

    def greedy(self, budget: int, mistakes: Float64s) -> Float64s:
        """What the points of highest effective gain bring at worst, for each number of mistakes."""

    def stops_paying(self, mistakes: float) -> int:
        """The budget beyond which another label lowers the value."""


def curves(games: Games, possible: int, budget: int, mistakes: float, value: float) -> dict[str, Any]:
    """The two curves around a selection from ``possible`` points, as JSON can hold them.

    Returns ``points`` (in the games), ``mistakes``, ``value`` and ``greedy`` (the worst case of the points of highest
    effective gain) of one length, ``budgets`` and ``budget_value`` likewise, and ``stops_paying``, the budget of the
    highest value. Where the games are on a sample, the values are scaled to all points; the selection's own is exact.
    """
    adversary, best = amounts(mistakes, possible), games.stops_paying(mistakes)
    budgets = labels(budget, best, possible)
    by_mistakes = [value if m == mistakes else games.value(budget, m) for m in adversary.tolist()]
    by_budget = [value if b == budget else games.value(b, mistakes) if b else 0.0 for b in budgets.tolist()]
    return {
        "points": games.points,
        "mistakes": adversary.tolist(),
        "value": by_mistakes,
        "greedy": games.greedy(budget, adversary).tolist(),
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
        pool = ArrayPool([(self.gain, self.correctness)], kernels)  # which the compiled solver may take as it is
        self.pool: ArrayPool | Repeated = pool if self.times == 1 else Repeated(pool, self.times)
        self.scale = possible / max(self.pool.size, 1)  # 1 where all points are here

    def value(self, budget: int, mistakes: float) -> float:
        """The value of the game, scaled to all points."""
        return self.worth(max(round(budget / self.scale), 1), mistakes)

    def worth(self, count: float, mistakes: float) -> float:
        """The same, with a budget that is this many of the points here."""
        return solve(self.pool, min(count, self.pool.size), on_grid(mistakes / self.scale)).value * self.scale

    def greedy(self, budget: float, mistakes: Float64s) -> Float64s:
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


class ClassSamples:
    """The same for each class that may get a quota; of points that are many, some spread over all."""

    def __init__(self, points: Points, shares: Shares, kernels: Backend) -> None:
        places = spread(SOLVED, len(points.gain))
        gain, correctness, label = points.gain[places], points.correctness[places], points.label[places]
        order = np.argsort(label, kind="stable")
        ends = np.searchsorted(label[order], np.arange(len(shares.points)), side="right")
        self.shares, self.possible = shares, int(shares.points.sum())
        self.classes: dict[int, Sample] = {}
        for k in np.flatnonzero(shares.points).tolist():
            here = order[ends[k - 1] if k else np.searchsorted(label[order], 0) : ends[k]]
            here = here[~np.isnan(gain[here])]
            if len(here):
                self.classes[k] = Sample(gain[here], correctness[here], kernels, int(shares.points[k]))
        self.points = sum(sample.points for sample in self.classes.values())

    def of_class(self, k: int, mistakes: Any) -> Any:
        """A class's part of the mistakes: in proportion to its points."""
        return mistakes * int(self.shares.points[k]) / self.possible

    def value(self, budget: int, mistakes: float) -> float:
        quotas = self.shares.of(budget)
        return math.fsum(
            sample.worth(quotas[k] / sample.scale, self.of_class(k, mistakes))
            for k, sample in self.classes.items()
            if quotas[k] > 0
        )

    def greedy(self, budget: int, mistakes: Float64s) -> Float64s:
        quotas = self.shares.of(budget)
        parts = [s.greedy(quotas[k], self.of_class(k, mistakes)) for k, s in self.classes.items() if quotas[k] > 0]
        return np.sum(parts, axis=0) if parts else np.zeros(len(mistakes))

    def stops_paying(self, mistakes: float) -> int:
        """Looked for among budgets a third apart, and then between the neighbours of the best."""
        tried = np.unique(np.geomspace(1, self.possible, 2 + round(3.5 * math.log10(self.possible))).astype(np.int64))
        values = [self.value(budget, mistakes) for budget in tried.tolist()]
        best = int(np.argmax(values))
        low, high = int(tried[max(best - 1, 0)]), int(tried[min(best + 1, len(tried) - 1)])
        while high - low > max(2, low // 200):
            third = (high - low) // 3
            left, right = low + third, high - third
            low, high = (left, high) if self.value(left, mistakes) < self.value(right, mistakes) else (low, right)
        last = (low + high) // 2
        return last if max(self.value(last, mistakes), values[best]) > 0 else 0


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
