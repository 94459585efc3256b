"""A selection from arrays in CUDA memory: scored, solved and sampled there, and waited for once.

Where the search on the device does not settle, the host drives it, over points that stay on the device.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rad_fast import inputs
from rad_fast.device.route import Route, Task, refuse_invalid
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
    stages, rows = kernels.stages, asked.teacher.rows
    counted = isinstance(budget, (int, np.integer))
    excluded = asked.excluded
    if excluded is None:  # a fraction is of the points that are left; too large a count shows in the outcome
        excluded = 0 if counted else kernels.marked(asked.mask)
    data = (asked.teacher.data, None if asked.student is None else asked.student.data)
    if counted or not keep_invalid_out:
        count = inputs.budget(budget, rows, excluded)
    else:  # a fraction of the points that are valid: they have to be counted first
        bad = rows - kernels.valid(stages.appraise(*data, asked.rule, asked.given, asked.mask)) - excluded
        count = inputs.budget(budget, rows, excluded + bad)
    running = start(seed, count, rows)
    chosen = stages.select(data[0], count, running, *rate, data[1], asked.rule, asked.given, asked.mask)
    account = stages.read(chosen)
    if not keep_invalid_out:
        refuse_invalid(asked, account.teacher, account.student)
    inputs.refuse_correctness(kernels.wrong(asked, chosen.points))
    points, valid, answer, indices = chosen.points, account.valid, account.equilibrium, chosen.indices
    if answer is None:  # too few points are valid, or the search on the device did not settle: the host drives it
        valid = kernels.valid(points)
        if valid == 0:
            raise inputs.none_valid("logits")
        inputs.budget(budget, rows, rows - valid)
        answer = solve(stages.pool(points.gain, points.correctness), count, on_grid(rate[0] + rate[1] * valid))
        indices = stages.sample(points.gain, points.correctness, answer, running, count)
    if asked.excluded is None:
        excluded = kernels.marked(asked.mask)
    mistakes = rate[0] + rate[1] * valid
    return Outcome(indices, points, answer, count, mistakes, excluded, rows - excluded - valid)
