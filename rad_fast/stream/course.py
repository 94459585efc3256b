"""The game on a window of points, and the ladder of thresholds around its equilibrium.

The ladder says at which threshold more points, or fewer, would be taken: at the adversary's price the player fills the
budget with points by falling effective gain, so a larger budget is the same fill, gone on.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rad_fast.device.backends import Backend
from rad_fast.game.solver import on_grid, solve
from rad_fast.kernels.reference.arrival import LEVELS, Course
from rad_fast.kernels.reference.game import Equilibrium, terms
from rad_fast.kernels.reference.score import Points
from rad_fast.game.pool import ArrayPool

Float64s = npt.NDArray[np.float64]

NOTHING, ALL = 2.0, -2.0  # thresholds beyond any effective gain
# How fast the rate follows the lag. 1 keeps the count closest, 0 leaves it to chance: of 1, 3/4 and 1/2 the second lost
# least of the game's value over slacks of 1, 4 and 16 points, with and without mistakes.
STEERING = 0.75


def boosts() -> Float64s:
    """How many times the rate each level aims at: 0 a whole slack ahead, 1 on course, without end a slack behind."""
    lag = (2.0 * np.arange(LEVELS) + 1.0) / LEVELS - 1.0
    factor: Float64s = ((1.0 + lag) / (1.0 - lag)) ** STEERING
    factor[LEVELS // 2] = 1.0
    return factor


BOOSTS = boosts()


def unknown(classes: int) -> Course:
    """Before the first solution: no point is taken but where the count would fall behind."""
    return Course(np.ones(classes), np.full((classes, LEVELS), NOTHING), np.zeros((classes, LEVELS)))


def solved(points: Points, rate: float, mistakes: float, kernels: Backend) -> Course:
    """The thresholds for a share ``rate`` of points like these; ``mistakes`` for each of them."""
    count = len(points.gain)
    budget = min(count, max(1, round(rate * count)))
    answer = solve(ArrayPool.of([points], kernels), budget, on_grid(mistakes * count))
    threshold, share = ladder(points, answer, max(1.0, rate * count))
    return Course(np.array([answer.price]), threshold[None], share[None])


def moved(points: Points, course: Course, rate: float, mistakes: float, kernels: Backend) -> bool:
    """Whether points like these call for other thresholds.

    An equilibrium fills the budget, and the value's slope in the price is zero. On other points of the same kind both
    come out by chance about a standard error off; only beyond that is there something to solve for.
    """
    middle = LEVELS // 2
    price, threshold, share = course.price[0], course.threshold[0, middle], course.share[0, middle]
    q = kernels.probabilities(points.gain, points.correctness, Equilibrium(price, threshold, share, 0.0))
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


def ladder(points: Points, answer: Equilibrium, budget: float) -> tuple[Float64s, Float64s]:
    """For each level the threshold at which ``BOOSTS`` times the budget is taken, and the share of a point on it."""
    t = terms(points.gain, points.correctness)
    cap = np.where(t.gain <= answer.price, 1.0, np.minimum(1.0, answer.price * t.width))
    order = np.argsort(-t.effective, kind="stable")
    slope, filled = t.effective[order], np.cumsum(cap[order])
    wanted = BOOSTS * budget
    at = np.searchsorted(filled, wanted)
    inside = at < len(slope)
    threshold = np.where(inside, slope[np.minimum(at, len(slope) - 1)], ALL)
    # Points that tie share what is left for them.
    first = np.searchsorted(-slope, -threshold, side="left")
    last = np.searchsorted(-slope, -threshold, side="right")
    running = np.concatenate([[0.0], filled])
    tied = np.maximum(running[last] - running[first], 1e-300)
    share = np.where(inside, np.clip((wanted - running[first]) / tied, 0.0, 1.0), 0.0)
    middle = LEVELS // 2
    above, below = threshold[:middle] > answer.threshold, threshold[middle + 1 :] < answer.threshold
    # The middle is the game's own. What rounding of the budget puts on its wrong side stands on it.
    share[:middle] = np.where(above, share[:middle], answer.share)
    share[middle + 1 :] = np.where(below, share[middle + 1 :], answer.share)
    threshold[:middle] = np.maximum(threshold[:middle], answer.threshold)
    threshold[middle + 1 :] = np.minimum(threshold[middle + 1 :], answer.threshold)
    threshold[middle], share[middle] = answer.threshold, answer.share
    return threshold, share
