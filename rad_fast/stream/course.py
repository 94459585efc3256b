"""The game on a window of points, and the ladder of thresholds around its equilibrium.

The ladder says at which threshold more points, or fewer, would be taken: at the adversary's price the player fills the
budget with points by falling effective gain, so a larger budget is the same fill, gone on.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rad_fast.device.backends import Backend
from rad_fast.game.pool import ArrayPool
from rad_fast.game.quotas import ClassPools, Shares, class_counts, shares, solve_by_class
from rad_fast.game.solver import on_grid, solve
from rad_fast.kernels.reference.arrival import LEVELS, Course
from rad_fast.kernels.reference.game import GRID_BITS, WIDTH_BITS, Box, Equilibria, Equilibrium, terms
from rad_fast.kernels.reference.score import Points

from .window import some

Int64s = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]

NOTHING, ALL = 2.0, -2.0  # thresholds beyond any effective gain


def boosts(slack: float) -> Float64s:
    """How many times the rate each level aims at, from a slack ahead to a slack behind.

    With D points left to where one must be taken, and A to where none may be: (1 + 4 / 3D) A / (A + 1), and 0.4 / slack
    of that more. A fit, mostly within a tenth, to the best policy for uniform gains, found by dynamic programming for
    slacks of 1 to 16.
    """
    lag = ((2.0 * np.arange(LEVELS) + 1.0) / LEVELS - 1.0) * slack
    factor: Float64s = (1.0 + 4.0 / (3.0 * (slack - lag))) * (slack + lag) / (slack + lag + 1.0) * (1.0 + 0.4 / slack)
    return factor


def unknown(classes: int) -> Course:
    """Before the first solution: no point is taken but where the count would fall behind."""
    return Course(np.ones(classes), np.full((classes, LEVELS), NOTHING), np.zeros((classes, LEVELS)))


class Wanted(NamedTuple):
    """What a stream is after; the same from its first point to its last."""

    rate: float
    slack: float
    mistakes: float  # for each point
    quotas: Any = None  # as ``game.quotas.shares`` takes them; None for one game
    labelled: int | None = None  # points that calibrated correctness


class Solution(NamedTuple):
    """The game on a window: one equilibrium a class, or one for all, and the quotas that they fill.

    ``spread``: how far chance moves the sum of q and the slope on as many other points, a standard error of each.
    """

    equilibria: Equilibria
    quotas: Float64s
    spread: tuple[float, float] = (0.0, 0.0)


def solved(points: Points, wanted: Wanted, chosen: Int64s, kernels: Backend) -> Solution:
    """The game on points like those to come, of which ``chosen`` were taken of each class."""
    count = len(points.gain)
    mistakes = wanted.mistakes * count
    if wanted.quotas is None:
        budget = wanted.rate * count
        answer = solve(ArrayPool.of([points], kernels), budget, on_grid(mistakes))
        answers, quotas = Equilibria(*np.array(answer)[:, None]), np.array([budget])
    else:
        found = shared(points, wanted, chosen, kernels)
        answers, quotas = solve_by_class(ClassPools([points], len(chosen), kernels), found, mistakes), found.quotas
    q, reaction = parts(points, answers, kernels)
    return Solution(answers, quotas, (float(q.std()) * count**0.5, float(reaction.std()) * count**0.5))


def shared(points: Points, wanted: Wanted, chosen: Int64s, kernels: Backend) -> Shares:
    """How the budget of a window is shared out among the classes."""
    counts = class_counts([points], len(chosen), kernels)
    budget = max(1, round(wanted.rate * len(points.gain)))
    return shares(wanted.quotas, counts, chosen, wanted.labelled, budget)


def course_of(points: Points, solution: Solution, wanted: Wanted) -> Course:
    """The ladders around the equilibria, one a class."""
    answers, quotas, _ = solution
    factors = boosts(wanted.slack)
    course = unknown(len(quotas))
    course.price[:] = answers.price
    order = np.argsort(points.label, kind="stable") if len(quotas) > 1 else np.arange(len(points.gain))
    ends = np.searchsorted(points.label[order], np.arange(len(quotas)), side="right")
    for k in np.flatnonzero(quotas):
        mine = some(points, order[ends[k - 1] if k else 0 : ends[k]]) if len(quotas) > 1 else points
        course.threshold[k], course.share[k] = ladder(mine, float(answers.price[k]), quotas[k] * factors)
    return course


def moved(points: Points, solution: Solution, wanted: Wanted, chosen: Int64s, kernels: Backend) -> bool:
    """Whether points like these call for other thresholds.

    An equilibrium fills its quota, and the value's slope in the price is zero. On other points of the same kind both
    come out by chance about a standard error off; only beyond that is there something to solve for.
    """
    count, spread = len(points.gain), solution.spread
    mistakes = 2.0 * wanted.mistakes * count
    if wanted.quotas is None:
        off, slope = residuals(points, solution, kernels)
        filled, slope = abs(off - wanted.rate * count), slope - mistakes
    else:
        q, reaction = parts(points, solution.equilibria, kernels)
        lacking = np.bincount(points.label, q, len(chosen)) - shared(points, wanted, chosen, kernels).quotas
        filled, slope = float(lacking @ lacking) ** 0.5, float(reaction.sum()) - mistakes
    # At a price of 1, the highest, the slope is any number of at least zero.
    beyond = abs(min(slope, 0.0)) if solution.equilibria.price.max() >= 1.0 else abs(slope)
    return filled > spread[0] + 1.0 or beyond > spread[1] + 1.0


def residuals(points: Points, solution: Solution, kernels: Backend) -> tuple[float, float]:
    """The sum of q, and the slope but for the mistakes, of the one game on other points: in one pass of a kernel."""
    answer = Equilibrium(*(float(field[0]) for field in solution.equilibria))
    box = Box(answer.price, answer.price, answer.threshold, answer.threshold)
    sums, *on_the_threshold = kernels.reduce(points.gain, points.correctness, box)
    width = math.ldexp(sums.priced_width, -WIDTH_BITS)
    filled = sums.saturated + sums.full + answer.price * width
    filled += float(kernels.probabilities(on_the_threshold[0], on_the_threshold[1], answer).sum())
    advantage = math.ldexp(sums.priced_advantage + sums.full_advantage, -GRID_BITS) + sums.full
    return filled, advantage - answer.threshold * width


def parts(points: Points, answers: Equilibria, kernels: Backend) -> tuple[Float64s, Float64s]:
    """What each point adds to the sum of q, and to the slope."""
    if len(answers.price) == 1:
        at = Equilibrium(*(float(field[0]) for field in answers))
        q = kernels.probabilities(points.gain, points.correctness, at)
    else:
        at, q = answers.of(points.label), kernels.class_probabilities(points, answers)
    t = terms(points.gain, points.correctness)
    reacting = (t.effective > at.threshold) & (t.gain > at.price)
    return q, np.where(reacting, t.advantage - np.maximum(at.threshold * t.width, -1.0), 0.0)


def ladder(points: Points, price: float, wanted: Float64s) -> tuple[Float64s, Float64s]:
    """For each number of points wanted the threshold at which so many are taken, and the share of a point on it."""
    t = terms(points.gain, points.correctness)
    cap = np.where(t.gain <= price, 1.0, np.minimum(1.0, price * t.width))
    order = np.argsort(-t.effective, kind="stable")
    slope, filled = t.effective[order], np.cumsum(cap[order])
    at = np.searchsorted(filled, wanted)
    inside = at < len(slope)
    threshold = np.where(inside, slope[np.minimum(at, len(slope) - 1)], ALL)
    # Points that tie share what is left for them.
    first = np.searchsorted(-slope, -threshold, side="left")
    last = np.searchsorted(-slope, -threshold, side="right")
    running = np.concatenate([[0.0], filled])
    tied = np.maximum(running[last] - running[first], 1e-300)
    share = np.where(inside, np.clip((wanted - running[first]) / tied, 0.0, 1.0), 0.0)
    return threshold, share
