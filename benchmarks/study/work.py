"""One unit of the study, from its name to its rows."""

from __future__ import annotations

import time
from typing import Any

import torch

from . import data, real, subclasses
from .plan import MULTIPLES, Key, Unit, arms
from .runs import ROUNDS, run

COLUMNS = ("block", "set", "teacher", "student", "labels", "size", "budget", "seed", "strategy", "loss",
           *(f"round{n}" for n in range(ROUNDS + 1)), "right", "milliseconds", "teacher_right")  # fmt: skip


def rows(unit: Unit, names: set[Key] | None = None) -> tuple[list[list[Any]], float]:
    """A row (``COLUMNS``) for each arm, or for those named, and the seconds of CPU that it took."""
    torch.set_num_threads(1)
    spent = time.process_time()
    if unit.block == "subclasses":
        return of_subclasses(unit), time.process_time() - spent
    if unit.source in data.SETUPS:
        problem = data.problem(unit.source, unit.teacher, unit.seed)
        budget = data.SETUPS[unit.source].budgets[unit.size]
    else:
        problem = real.problem(unit.source, unit.teacher, unit.seed, unit.student)
        budget = MULTIPLES[unit.size] * problem.classes
    found = []
    some = [arm for arm in arms(unit.block) if names is None or (arm.strategy, arm.loss) in names]
    for outcome in run(problem, some, budget, unit.labels, {}):
        cell = [unit.block, unit.source, unit.teacher, unit.student, unit.labels, unit.size, budget, unit.seed]
        accuracy = [round(value, 3) for value in outcome.accuracy]
        right, ms = 100 * sum(outcome.right) / ROUNDS, 1000 * sum(outcome.seconds) / ROUNDS
        arm = outcome.arm
        measured = [round(right, 2), round(ms, 2), round(100 * problem.right, 2)]
        found.append([*cell, arm.strategy, arm.loss, *accuracy, *measured])
    return found, time.process_time() - spent


def of_subclasses(unit: Unit) -> list[list[Any]]:
    """LELP's rows: three sizes in the places of the rounds, no choice that could be timed."""
    outcomes, right = subclasses.outcomes(unit.teacher, unit.seed)
    largest = subclasses.SIZES[-1]
    cell = [unit.block, unit.source, unit.teacher, unit.student, unit.labels, unit.size, largest, unit.seed]
    return [
        [*cell, "uniform", loss, *(round(value, 3) for value in accuracy), round(right, 2), 0.0, round(right, 2)]
        for loss, accuracy in outcomes
    ]
