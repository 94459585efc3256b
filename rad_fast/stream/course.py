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


def unknown(games: int = 1) -> Course:
    """Before the first solution: no point is taken but where the count would fall behind."""
    return Course(np.ones(games), np.full((games, LEVELS), NOTHING), np.zeros((games, LEVELS)))


class Wanted(NamedTuple):
    """What a stream is after; the same from its first point to its last."""

    rate: float
    slack: float
    mistakes: float  # for each point
    quotas: Any = None  # as ``game.quotas.shares`` takes them; None for one game
    labelled: int | None = None  # points that calibrated correctness


class Solution(NamedTuple):
    """The game on a window: one equilibrium per class, or one for all, and the quotas that they fill.

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
    """The ladders around the equilibria, one per class."""
    answers, quotas, _ = solution
    course = unknown(len(quotas))
    course.price[:] = answers.price
    k = np.flatnonzero(quotas)
    aims = quotas[k, None] * boosts(wanted.slack)
    course.threshold[k], course.share[k] = ladders(points, answers.price, k, aims)
    return course


def moved(points: Points, solution: Solution, wanted: Wanted, kernels: Backend) -> bool:
    """Whether points like these call for other thresholds.

    An equilibrium fills its budget, and the value's slope in the price is zero. On other points of the same kind both
    come out by chance about a standard error off; only beyond that is there something to solve for. With quotas only
    the whole budget is looked at, as a window later the games are solved anyhow.
    """
    count, spread = len(points.gain), solution.spread
    budget = wanted.rate * count
    if wanted.quotas is not None:
        filled = float(kernels.class_probabilities(points, solution.equilibria).sum())
        return abs(filled - budget) > spread[0] + 1.0
    filled, slope = residuals(points, solution, kernels)
    slope -= 2.0 * wanted.mistakes * count
    # At a price of 1, the highest, the slope is any number of at least zero.
    beyond = abs(min(slope, 0.0)) if solution.equilibria.price.max() >= 1.0 else abs(slope)
    return abs(filled - budget) > spread[0] + 1.0 or beyond > spread[1] + 1.0


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


def ladders(points: Points, price: Float64s, classes: Int64s, wanted: Float64s) -> tuple[Float64s, Float64s]:
    """For each number of points wanted of a class, the threshold at which so many are taken.

    Parameters
    ----------
    price : (C,), of each class's game, or (1,) of the one game of all.
    classes : (k,), for which; ``wanted`` : (k, LEVELS) points.

    Returns
    -------
    Thresholds (k, LEVELS), and the share that is taken of the points on them.
    """
    t = terms(points.gain, points.correctness)
    label = points.label if len(price) > 1 else np.zeros_like(points.label)
    own = price[label]
    cap = np.where(t.gain <= own, 1.0, np.minimum(1.0, own * t.width))
    order = np.lexsort((-t.effective, label))
    label, slope = label[order], t.effective[order]
    running = np.concatenate([[0.0], np.cumsum(cap[order])])
    begin, end = (np.searchsorted(label, classes, side)[:, None] for side in ("left", "right"))
    target = running[begin] + wanted
    at = np.maximum(np.searchsorted(running[1:], target), begin)
    inside = at < end
    at = np.minimum(at, len(slope) - 1)
    # Points of a class that tie share what is left for them.
    new = np.concatenate([[True], (np.diff(slope) != 0) | (np.diff(label) != 0)])
    ties, edges = np.cumsum(new) - 1, np.append(np.flatnonzero(new), len(slope))
    first, last = running[edges[ties[at]]], running[edges[ties[at] + 1]]
    share = np.clip((target - first) / np.maximum(last - first, 1e-300), 0.0, 1.0)
    return np.where(inside, slope[at], ALL), np.where(inside, share, 0.0)
