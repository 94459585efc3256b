"""One unit of the study, from its name to its rows."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

import torch

from . import data, held, made, real, subclasses
from .plan import MULTIPLES, Key, Unit, arms
from .runs import ROUNDS, Start, run

COLUMNS = ("block", "set", "teacher", "student", "labels", "size", "budget", "seed", "strategy", "loss",
           *(f"round{n}" for n in range(ROUNDS + 1)), "right", "milliseconds", "teacher_right")  # fmt: skip
Found = tuple[list[list[Any]], float]  # rows, and seconds of CPU


def rows_of(units: list[tuple[Unit, set[Key]]]) -> list[tuple[Unit, Found]]:
    return [(unit, rows(unit, names)) for unit, names in units]


def rows(unit: Unit, names: set[Key] | None = None) -> Found:
    """A row (``COLUMNS``) for each arm, or for those named, and the seconds of CPU that it took."""
    torch.set_num_threads(1)
    spent = time.process_time()
    if unit.block == "subclasses":
        return of_subclasses(unit), time.process_time() - spent
    begin = start(*unit.problem)
    problem, old = begin.problem, data.SETUPS.get(unit.source)
    budget = old.budgets[unit.size] if old else MULTIPLES[unit.size] * problem.classes
    found = []
    some = [arm for arm in arms(unit.block) if names is None or (arm.strategy, arm.loss) in names]
    measure = held.outcomes if unit.block == "held" else run
    for outcome in measure(begin, some, budget, unit.labels):
        cell = [unit.block, unit.source, unit.teacher, unit.student, unit.labels, unit.size, budget, unit.seed]
        accuracy = [round(value, 3) for value in outcome.accuracy]
        right, ms = 100 * sum(outcome.right) / ROUNDS, 1000 * sum(outcome.seconds) / ROUNDS
        arm = outcome.arm
        measured = [round(right, 2), round(ms, 2), round(100 * problem.right, 2)]
        found.append([*cell, arm.strategy, arm.loss, *accuracy, *measured])
    return found, time.process_time() - spent


@lru_cache(maxsize=1)
def start(source: str, teacher: str, seed: int, student: str) -> Start:
    """The budgets of a problem follow one another: they begin with the same student."""
    if source in data.SETUPS:
        return Start(data.problem(source, teacher, seed))
    if source in made.SETS:
        return Start(made.problem(source, teacher, seed))
    return Start(real.problem(source, teacher, seed, student))


def of_subclasses(unit: Unit) -> list[list[Any]]:
    """LELP's rows: three sizes in the places of the rounds, no choice that could be timed."""
    outcomes, right = subclasses.outcomes(unit.teacher, unit.seed)
    largest = subclasses.SIZES[-1]
    cell = [unit.block, unit.source, unit.teacher, unit.student, unit.labels, unit.size, largest, unit.seed]
    return [
        [*cell, "uniform", loss, *(round(value, 3) for value in accuracy), round(right, 2), 0.0, round(right, 2)]
        for loss, accuracy in outcomes
    ]
