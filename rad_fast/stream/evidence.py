"""Whether points since the last solution of the game call for another one.

Three things are compared with what they were in the window that the game was solved on: how many points each class has,
and what the points that reach the middle threshold add to the budget and to the price's slope. On points of the same
kind they come out about a standard error off. What is ERRORS of them off is taken for a change.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from rad_fast.kernels.reference.arrival import MIDDLE, Course, Standing
from rad_fast.kernels.reference.game import Float64s, terms
from rad_fast.kernels.reference.score import Points

from .window import LOOKS

ERRORS = 3.0
KEPT = 1.0 - 1.0 / LOOKS  # of the evidence, at each look: in the long run as many points as a window has


class Expected(NamedTuple):
    """What the window of the solution says of the points to come: of as many as it has."""

    came: Float64s  # (classes,)
    reached: Float64s  # (2,)
    spread: Float64s  # (2,), variances


def expected(points: Points, course: Course) -> Expected:
    """From the points that the game was solved on."""
    games = len(course.price)
    label = points.label if games > 1 else np.zeros_like(points.label)
    t, price, middle = terms(points.gain, points.correctness), course.price[label], course.threshold[label, MIDDLE]
    at = t.effective >= middle
    dear = at & (t.gain > price)
    width = np.where(dear, t.width, 1.0)
    both = np.stack([np.where(dear, price * width, at), np.where(dear, t.advantage - middle * width, 0.0)])
    came = np.bincount(label, minlength=games).astype(np.float64)
    return Expected(came, both.sum(1), both.var(1) * len(label))


class Evidence:
    """What came since the solution, older points counting for less. ``weight`` and ``noise`` are in windows: how many
    came, and the variance of their sums."""

    def __init__(self, found: Expected) -> None:
        self.found = found
        self.weight = self.noise = 0.0
        games = len(found.came)
        # Of a chi-squared number, by the approximation of Wilson and Hilferty, 1931.
        self.limit = games * (1.0 - 2.0 / (9.0 * games) + ERRORS * math.sqrt(2.0 / (9.0 * games))) ** 3
        self.precision = 1.0 / (found.came + 1.0)

    def changed(self, standing: Standing, share: float) -> bool:
        """Whether they are of another kind; ``share`` of a window came since this was last asked."""
        self.weight += share
        self.noise += share
        variance = self.noise + self.weight * self.weight  # of the points since, and of those of the solution
        found, came, reached = self.found, standing.came, standing.reached
        changed = False
        for now, before, spread in zip(reached.tolist(), found.reached.tolist(), found.spread.tolist(), strict=True):
            changed |= abs(now - self.weight * before) > ERRORS * math.sqrt(spread * variance) + 1.0
        if len(came) > 1 and not changed:
            apart = came - self.weight * found.came
            changed = float(np.dot(apart * apart, self.precision)) > self.limit * variance
        came *= KEPT
        reached *= KEPT
        self.weight *= KEPT
        self.noise *= KEPT * KEPT
        return changed

    def state(self) -> list[Any]:
        return [*(values.copy() for values in self.found), self.weight, self.noise]

    @classmethod
    def of(cls, state: list[Any]) -> Evidence:
        evidence = cls(Expected(*(np.array(values) for values in state[:3])))
        evidence.weight, evidence.noise = float(state[3]), float(state[4])
        return evidence
