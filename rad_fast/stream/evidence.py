"""Whether points since the last solution of the game call for another one.

Three things are compared with what they were in the window that the game was solved on: how many points each class has,
and what the points that reach the middle threshold add to the budget and to the price's slope. On points of the same
kind they come out about a standard error off. What is ERRORS of them off is taken for a change.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from rad_fast.device.backends import Backend, Compiled
from rad_fast.kernels.reference.arrival import MIDDLE, Course, Reached, reached
from rad_fast.kernels.reference.game import Float64s
from rad_fast.kernels.reference.score import Points

from .window import LOOKS

ERRORS = 3.0
KEPT = 1.0 - 1.0 / LOOKS  # of the evidence, at each look: in the long run as many points as a window has


class Expected(NamedTuple):
    """What the window of the solution says of the points to come: of as many as it has."""

    came: Float64s  # (classes,)
    sums: Float64s  # (2,)
    spread: Float64s  # (2,), variances


def said_by(points: Points, course: Course, kernels: Backend) -> Reached:
    """What points say of the thresholds."""
    if isinstance(kernels, Compiled):
        return kernels.reached(points, course)
    return reached(*points[:3], course.price, course.threshold[:, MIDDLE])


def expected(points: Points, course: Course, kernels: Backend) -> Expected:
    """From the points that the game was solved on."""
    came, sums, squares = said_by(points, course, kernels)
    return Expected(came, sums, np.maximum(squares - sums * sums / max(1, len(points.gain)), 0.0))


class Evidence:
    """What came since the solution, older points counting for less. ``weights``, in windows: how many came, and the
    variance of their sums."""

    def __init__(self, found: Expected) -> None:
        self.found = found
        games = len(found.came)
        self.came, self.sums, self.weights = np.zeros(games), np.zeros(2), np.zeros(2)
        # Of a chi-squared number, by the approximation of Wilson and Hilferty, 1931.
        self.limit = games * (1.0 - 2.0 / (9.0 * games) + ERRORS * math.sqrt(2.0 / (9.0 * games))) ** 3
        self.precision = 1.0 / (found.came + 1.0)

    def changed(self, now: Reached, share: float) -> bool:
        """Whether what comes is of another kind: ``now``, a ``share`` of a window, and what came before."""
        self.came += now.came
        self.sums += now.sums
        self.weights += share
        weight, noise = self.weights.tolist()
        variance = noise + weight * weight  # of the points since, and of those of the solution
        changed = False
        for sum_now, before, spread in zip(*(values.tolist() for values in (self.sums, *self.found[1:])), strict=True):
            changed |= abs(sum_now - weight * before) > ERRORS * math.sqrt(spread * variance) + 1.0
        if len(self.came) > 1 and not changed:
            apart = self.came - weight * self.found.came
            changed = bool(np.cumsum(apart * apart * self.precision)[-1] > self.limit * variance)
        self.came *= KEPT
        self.sums *= KEPT
        self.weights *= [KEPT, KEPT * KEPT]
        return changed

    def state(self) -> list[Any]:
        return [values.copy() for values in (*self.found, self.came, self.sums, self.weights)]

    @classmethod
    def of(cls, state: list[Any]) -> Evidence:
        arrays = [np.array(values) for values in state]
        evidence = cls(Expected(*arrays[:3]))
        evidence.came, evidence.sums, evidence.weights = arrays[3:]
        return evidence
