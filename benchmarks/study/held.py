"""What the hold-out is worth as training data: its labels could be learned at once, or when all is chosen."""

from __future__ import annotations

from dataclasses import replace

import torch

from rad_fast.distill import STRATEGIES

from .problem import Problem
from .runs import Arm, Outcome, Start, run

FIRST = ("uniform", "margin", "badge", "llkd", "balanced-top-confidence")  # do without a hold-out: learned at once
LAST = ("rad", "balanced-greedy")  # calibrate on it: learned when nothing is left to choose


def named(strategy: str) -> str:
    return f"{strategy}, hold-out learned"


ARMS = [
    *(Arm(named(name), STRATEGIES[name]) for name in FIRST),
    *(Arm(named(name), STRATEGIES[name], holdout=True) for name in LAST),
]


def outcomes(begin: Start, arms: list[Arm], budget: int, labels: str) -> list[Outcome]:
    first, last = ([arm for arm in arms if arm.holdout == kind] for kind in (False, True))
    found = run(Start(learned(begin.problem)), first, budget, labels) if first else []
    return found + (run(begin, last, budget, labels) if last else [])


def learned(p: Problem) -> Problem:
    """The same with the hold-out's points among the labelled ones."""
    x, y = ({**part, "labelled": torch.cat([part["labelled"], part["holdout"]])} for part in (p.x, p.y))
    return replace(p, x=x, y=y)
