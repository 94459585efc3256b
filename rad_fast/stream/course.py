"""The game on a window of points, and the ladder of thresholds around its equilibrium.

The ladder says at which threshold more points, or fewer, would be taken: at the adversary's price the player fills the
budget with points by falling effective gain, so a larger budget is the same fill, gone on.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rad_fast.device.backends import Backend, Compiled
from rad_fast.game.by_class import play
from rad_fast.game.group import Alone
from rad_fast.game.pool import ArrayPool
from rad_fast.game.quotas import Shares, class_counts, shares
from rad_fast.game.solver import on_grid, solve
from rad_fast.kernels.reference.arrival import LEVELS, Course
from rad_fast.kernels.reference.game import Equilibria, terms
from rad_fast.kernels.reference.score import Points

Int64s = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]

MOVED = 0.08  # of the budget, to other classes than before: twice that cost 1.5% of effective gain
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
    return Course(np.ones(games), np.full((games, LEVELS), NOTHING), np.zeros((games, LEVELS)), np.zeros(games))


class Wanted(NamedTuple):
    """What a stream is after; the same from its first point to its last."""

    rate: float
    slack: float
    mistakes: float  # for each point
    quotas: Any = None  # as ``game.quotas.shares`` takes them; None for one game
    labelled: int | None = None  # points that calibrated correctness


class Solution(NamedTuple):
    """The game on a window: one equilibrium per class, or one for all, and the quotas that they fill."""

    equilibria: Equilibria
    quotas: Float64s


def shared_out(points: Points, wanted: Wanted, chosen: Int64s, kernels: Backend, windows: int = 1) -> Shares:
    """The quotas of points like those to come.

    What classes lack of all that was ``chosen`` before, the next so many ``windows`` make up for.
    """
    counts = class_counts([points], len(chosen), kernels)
    budget = max(1, round(wanted.rate * len(points.gain)))
    found = shares(wanted.quotas, windows * counts, chosen, wanted.labelled, windows * budget)
    return found._replace(quotas=found.quotas / windows, points=counts[0])


def solved(points: Points, wanted: Wanted, kernels: Backend, found: Shares | None = None) -> Solution:
    """The game on points like those to come: each class's where quotas were ``found``, else one for all."""
    count = len(points.gain)
    mistakes = wanted.mistakes * count
    if found is None:
        budget = wanted.rate * count
        answer = solve(ArrayPool.of([points], kernels), budget, on_grid(mistakes))
        return Solution(Equilibria(*np.array(answer)[:, None]), np.array([budget]))
    # What its sample takes is not asked for; without one the call would take as long.
    answers, _ = play([points], found, mistakes, 1, 0, kernels, Alone(), found.points)
    return Solution(answers, found.quotas)


def alike(before: Float64s, now: Float64s) -> bool:
    """Whether quotas moved so little that the thresholds need not be solved for: where a class lags they follow."""
    return len(before) == len(now) and bool(np.abs(now - before).sum() <= 2.0 * MOVED * now.sum())


def course_of(points: Points, solution: Solution, wanted: Wanted, kernels: Backend, by_class: bool) -> Course:
    """The ladders around the equilibria, one for all or one per class."""
    answers, quotas = solution
    course = unknown(len(quotas))
    course.price[:] = answers.price
    k = np.flatnonzero(quotas)
    aims = quotas[k, None] * boosts(wanted.slack)
    if isinstance(kernels, Compiled):
        course.threshold[k], course.share[k] = kernels.ladders(points, answers.price, k, aims, ALL)
    else:
        course.threshold[k], course.share[k] = ladders(points, answers.price, k, aims)
    if by_class:
        course.due[:] = quotas / len(points.gain)
    return course


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
    # By class, and by falling effective gain: lexsort takes twice as long, as it does not count small labels.
    falling = np.argsort(-t.effective, kind="stable")
    small = label[falling].astype(np.uint16 if len(price) <= 1 << 16 else np.int64)
    order = falling[np.argsort(small, kind="stable")]
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
