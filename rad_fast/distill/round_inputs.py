"""Every check of what comes back in a round, from strategies, trainers and evaluations, and every message about it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from torch import nn

from . import errors
from .inputs import BudgetWarning, indices
from .strategies import Choice


def fewer_left(number: int, budget: int, left: int) -> BudgetWarning:
    return BudgetWarning(
        f"round {number}: the budget is {budget}, but only {left} points are left: all of them are taken"
    )


CHANCE = 10  # points of a hold-out that can tell a teacher from one that guesses


def doubtful_teacher(said: npt.NDArray[np.float32], truth: npt.NDArray[np.int64]) -> str | None:
    """What is to be said of a teacher that is right on the hold-out no more often than a guess; None of others."""
    points, classes = said.shape
    label = said.argmax(1)
    right = int((label == truth).sum())
    if points < CHANCE or right * classes > points:
        return None
    times = np.zeros((classes, classes), np.int64)
    np.add.at(times, (truth, label), 1)
    _, order = linear_sum_assignment(times, maximize=True)
    then = int(times[np.arange(classes), order].sum())
    better = then > max(2 * right, points // 2, times.sum(1).max())  # than by saying the same of all of them, too
    return errors.no_better_than_chance(right, points, classes, order.tolist() if better else None, then)


def choice_of(choice: Any, available: npt.NDArray[np.bool_], budget: int) -> Choice:
    """What a strategy chose: as many distinct points as asked for, all of them still there, and with whom to mix."""
    if not isinstance(choice, Choice):
        raise TypeError(f"strategy: expected a Choice, got {type(choice).__name__}; return Choice(indices)")
    checked = indices("strategy: its indices", choice.indices, len(available))
    distinct, before = len(np.unique(checked)), int((~available[checked]).sum())
    if len(checked) != budget or distinct != budget or before:
        raise ValueError(
            f"strategy: expected {budget} distinct points that are still available, got {len(checked)}, {distinct} of "
            f"them distinct, {before} chosen before"
        )
    if choice.partners is None and choice.shares is None:
        return dataclasses.replace(choice, indices=checked)
    if choice.partners is None or choice.shares is None:
        raise ValueError("strategy: expected partners and shares, or neither; got one of them")
    partners = indices("strategy: its partners", choice.partners, len(available), flags=False)
    shares = np.asarray(choice.shares, np.float64)
    if partners.shape != checked.shape or shares.shape != checked.shape:
        raise ValueError(
            f"strategy: expected a partner and a share for each of {budget} points, got shapes {partners.shape} and "
            f"{shares.shape}"
        )
    wrong = ~((shares >= 0.0) & (shares <= 1.0))
    if wrong.any():
        raise ValueError(
            f"strategy: expected shares from 0 to 1, {int(wrong.sum())} of {budget} are not, the first: "
            f"{shares[wrong.argmax()]:g} at {int(wrong.argmax())}"
        )
    return dataclasses.replace(choice, indices=checked, partners=partners, shares=shares)


def trained(found: Any, student: Any) -> Any:
    """What a trainer returned: the trained student, or None where it is the one it was given."""
    if found is None:
        return student
    if not isinstance(found, nn.Module) if isinstance(student, nn.Module) else type(found) in (int, float, bool, str):
        raise TypeError(
            f"train: expected the trained student, or None where it was trained in place, got {type(found).__name__}; "
            "return the student"
        )
    return found


def measured(value: Any) -> dict[str, float]:
    """What ``evaluate`` returned, as it is written down."""
    if not isinstance(value, dict):
        raise TypeError(f"evaluate: expected a dictionary of numbers, got {type(value).__name__}")
    try:
        return {str(name): float(number) for name, number in value.items()}
    except (TypeError, ValueError) as error:
        raise TypeError(f"evaluate: expected a dictionary of numbers ({error})") from error


def of_classes(found: npt.NDArray[np.float32], classes: int) -> None:
    """A student that was trained still has the classes of the one that was given."""
    if len(found) and found.shape[1] != classes:
        raise ValueError(
            f"train: expected a student of {classes} classes, as the one given, got one of {found.shape[1]}"
        )
