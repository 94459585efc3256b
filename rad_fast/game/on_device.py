"""A selection from arrays in CUDA memory: scored, solved and sampled there.

One game is waited for once. With quotas the host first has to know how many points each class has, to share the budget
out: that is waited for twice. Where the search on the device does not settle the host drives it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rad_fast import inputs
from rad_fast.device.backends import backend
from rad_fast.device.route import Route, Task, refuse, refuse_probabilities
from rad_fast.inputs.typed import Budget
from rad_fast.kernels.reference.game import Equilibria, Equilibrium
from rad_fast.kernels.reference.sample import start

from .quotas import ClassPools, Shares, shares_and_mistakes
from .solver import on_grid, solve


class Outcome(NamedTuple):
    """A finished selection on the device."""

    indices: Any
    points: Any
    answer: Equilibrium | Equilibria
    budget: int
    mistakes: float
    excluded: int
    invalid: int
    found: Shares | None = None


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
        count = inputs.budget(budget, rows, rows - valid_of(kernels, kernels.appraised(asked), asked.teacher.classes))
    running = start(seed, count, rows)
    teacher, student, *others = kernels.scoring(asked)
    chosen = stages.select(teacher, count, running, *rate, student, *others)
    account = stages.read(chosen)
    refuse(asked, account.findings, keep_invalid_out)
    refuse_probabilities(account.findings)
    points, valid, answer, indices = chosen.points, account.valid, account.equilibrium, chosen.indices
    if answer is None:  # too few points are valid, or the search on the device did not settle: the host drives it
        valid = valid_of(kernels, points, asked.teacher.classes)
        if valid == 0:
            raise inputs.none_valid("logits")
        inputs.budget(budget, rows, rows - valid)
        answer = solve(stages.pool(points.gain, points.correctness), count, on_grid(rate[0] + rate[1] * valid))
        indices = stages.sample(points.gain, points.correctness, answer, running, count)
    if excluded is None:
        excluded = rows - valid - account.findings.left_out
    mistakes = rate[0] + rate[1] * valid
    return Outcome(indices, points, answer, count, mistakes, excluded, rows - excluded - valid)


def select_by_class(
    kernels: Route,
    asked: Task,
    quotas: Any,
    labelled: int | None,
    budget: Budget,
    rate: tuple[float, float],
    seed: int,
    keep_invalid_out: bool,
) -> Outcome:
    """The whole selection with a game a class; ``quotas`` and ``labelled`` as in ``quotas.shares``."""
    stages, rows, classes, others = kernels.stages, asked.teacher.rows, asked.teacher.classes, asked.others
    points, findings, counts, before, possible = stages.appraise_by_class(
        *kernels.scoring(asked), others=others > 1, chosen=asked.masks.chosen
    )
    refuse(asked, findings, keep_invalid_out)
    refuse_probabilities(findings)
    if possible == 0:
        raise inputs.none_valid("logits")
    count = inputs.budget(budget, rows, rows - possible)
    mistakes = rate[0] + rate[1] * possible
    chosen = before if asked.elsewhere is None else asked.elsewhere
    found, each = shares_and_mistakes(quotas, counts, chosen, labelled, count, mistakes, backend("auto"))
    running = start(seed, count, rows)
    drawn = stages.select_by_class(points, counts[0], found.quotas, each, others, running, count)
    answers, settled, taken = stages.read_by_class(drawn)
    indices = drawn.indices
    if np.count_nonzero(settled) < classes:  # the host solves these classes' games
        pools = ClassPools([kernels.points_on_host(points)], classes, backend("auto"), counts[0])
        for k in np.flatnonzero(~settled):
            answer = solve(pools.of(int(k)), float(found.quotas[k]), float(each[k]))
            for field, number in zip(answers, answer, strict=True):
                field[k] = number
        indices = stages.sample_by_class(points, answers, others, running, count)
    elif taken != count:
        raise RuntimeError(f"the sample has {taken} points, not {count}: please report this as a bug")
    excluded = asked.masks.number
    if excluded is None:
        excluded = rows - possible - findings.left_out
    return Outcome(indices, points, answers, count, mistakes, excluded, rows - excluded - possible, found)


def valid_of(kernels: Route, points: Any, classes: int) -> int:
    """How many points have a gain. Waits for the device."""
    return int(kernels.stages.tally(points, classes)[1][0].sum())
