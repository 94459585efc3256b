"""The game on a window of points, and the ladder of thresholds around its equilibrium.

The ladder says at which threshold more points, or fewer, would be taken: at the adversary's price the player fills the
budget with points by falling effective gain, so a larger budget is the same fill, gone on.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rad_fast.device.backends import Backend
from rad_fast.game.pool import ArrayPool
from rad_fast.game.solver import on_grid, solve
from rad_fast.kernels.reference.arrival import LEVELS, Course
from rad_fast.kernels.reference.game import Equilibrium, terms
from rad_fast.kernels.reference.score import Points

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


def solved(points: Points, rate: float, slack: float, mistakes: float, kernels: Backend) -> tuple[Course, Equilibrium]:
    """The game for a share ``rate`` of points like these, ``mistakes`` for each of them, and its ladder."""
    count = len(points.gain)
    budget = min(count, max(1, round(rate * count)))
    answer = solve(ArrayPool.of([points], kernels), budget, on_grid(mistakes * count))
    threshold, share = ladder(points, answer, max(1.0, rate * count) * boosts(slack))
    return Course(np.array([answer.price]), threshold[None], share[None]), answer


def moved(points: Points, answer: Equilibrium, rate: float, mistakes: float, kernels: Backend) -> bool:
    """Whether points like these call for other thresholds.

    An equilibrium fills the budget, and the value's slope in the price is zero. On other points of the same kind both
    come out by chance about a standard error off; only beyond that is there something to solve for.
    """
    price, threshold = answer.price, answer.threshold
    q = kernels.probabilities(points.gain, points.correctness, answer)
    root = len(q) ** 0.5
    if abs(float(q.sum()) - rate * len(q)) > float(q.std()) * root + 1.0:
        return True
    t = terms(points.gain, points.correctness)
    reacting = (t.effective > threshold) & (t.gain > price)
    reaction = np.where(reacting, t.advantage - np.maximum(threshold * t.width, -1.0), 0.0)
    slope = float(reaction.sum()) - 2.0 * mistakes * len(q)
    # At a price of 1, the highest, the slope is any number of at least zero.
    off = abs(min(slope, 0.0)) if price >= 1.0 else abs(slope)
    return bool(off > float(reaction.std()) * root + 1.0)


def ladder(points: Points, answer: Equilibrium, wanted: Float64s) -> tuple[Float64s, Float64s]:
    """For each number of points wanted the threshold at which so many are taken, and the share of a point on it."""
    t = terms(points.gain, points.correctness)
    cap = np.where(t.gain <= answer.price, 1.0, np.minimum(1.0, answer.price * t.width))
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
