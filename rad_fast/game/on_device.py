"""A selection from arrays in CUDA memory: scored, solved and sampled there, and waited for once.

Where the search on the device does not settle, the host drives it, over points that stay on the device.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rad_fast import inputs
from rad_fast.device.route import Route, Task, refuse
from rad_fast.inputs.typed import Budget
from rad_fast.kernels.reference.game import Equilibrium
from rad_fast.kernels.reference.sample import start

from .solver import on_grid, solve


class Outcome(NamedTuple):
    """A finished selection on the device."""

    indices: Any
    points: Any
    answer: Equilibrium
    budget: int
    mistakes: float
    excluded: int
    invalid: int


def select(
    kernels: Route, asked: Task, budget: Budget, rate: tuple[float, float], seed: int, keep_invalid_out: bool
) -> Outcome:
    """The whole selection; ``rate`` is the mistakes: a count, and a number for each point that can be selected."""
    stages, rows, excluded = kernels.stages, asked.teacher.rows, asked.masks.number
    # A count is known at once; where it is too large, the outcome shows it. A fraction is of the points that can be
    # selected: where they are not known yet, they have to be counted first.
    counted = isinstance(budget, (int, np.integer))
    if counted or (excluded is not None and not keep_invalid_out):
        count = inputs.budget(budget, rows, excluded or 0)
    else:
        count = inputs.budget(budget, rows, rows - valid_of(kernels, kernels.appraised(asked)))
    running = start(seed, count, rows)
    teacher, student, *others = kernels.scoring(asked)
    chosen = stages.select(teacher, count, running, *rate, student, *others)
    account = stages.read(chosen)
    refuse(asked, account.findings, keep_invalid_out)
    points, valid, answer, indices = chosen.points, account.valid, account.equilibrium, chosen.indices
    if answer is None:  # too few points are valid, or the search on the device did not settle: the host drives it
        valid = valid_of(kernels, points)
        if valid == 0:
            raise inputs.none_valid("logits")
        inputs.budget(budget, rows, rows - valid)
        answer = solve(stages.pool(points.gain, points.correctness), count, on_grid(rate[0] + rate[1] * valid))
        indices = stages.sample(points.gain, points.correctness, answer, running, count)
    if excluded is None:
        excluded = rows - valid - account.findings.left_out
    mistakes = rate[0] + rate[1] * valid
    return Outcome(indices, points, answer, count, mistakes, excluded, rows - excluded - valid)


def valid_of(kernels: Route, points: Any) -> int:
    """How many points have a gain. Waits for the device."""
    return int(np.count_nonzero(~np.isnan(kernels.on_host(points.gain))))
