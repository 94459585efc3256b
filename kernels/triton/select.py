"""The whole selection on the device: scores, equilibrium and sample enqueued one after the other, nothing waited for.

Bytes: those of the three stages (score.py, game.py, sample.py): each logit once, then some 9 + 16 bytes a point.
Memory: 12 bytes a point for gain, correctness and label, 6 for undecided points, 8 for each selected one.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from rad_fast.kernels.reference.game import Equilibrium
from rad_fast.kernels.reference.score import Findings, Rule

from .equilibrium import Shape, solve
from .sample import sample
from .score import DeviceRule, Points, appraise, findings_of
from .solver import FEW, SOLVED


class Selected(NamedTuple):
    """All on the device."""

    indices: torch.Tensor  # int64, ascending; meaningless unless the outcome is "solved"
    points: Points
    equilibrium: torch.Tensor  # float64: price, threshold, share, value
    outcome: torch.Tensor  # int64: how the search for the equilibrium ended, valid points


class Account(NamedTuple):
    """What the host needs to know of a selection."""

    findings: Findings
    valid: int  # points whose gain is not NaN; where the outcome is "unsolved" it may be an estimate
    outcome: str  # "solved"; "few" (valid points for the budget), or "unsolved" (here)
    equilibrium: Equilibrium | None


def select(
    teacher: torch.Tensor,
    budget: int,
    running: int,
    mistakes: float,
    mistakes_each: float = 0.0,
    student: torch.Tensor | None = None,
    rule: Rule | DeviceRule | None = None,
    given: torch.Tensor | None = None,
    exclude: torch.Tensor | None = None,
    gains: torch.Tensor | None = None,
    shape: Shape | None = None,
) -> Selected:
    """Enqueue a selection. The mistakes are ``mistakes + mistakes_each * (number of valid points)``.

    ``running``: kernels.reference.sample.start(seed, budget, points). Other arguments as in ``appraise``. In a CUDA
    graph's capture give a rule that ``prepare`` has put on the device.
    """
    points = appraise(teacher, student, rule, given, exclude, gains)
    solution = solve(points.gain, points.correctness, budget, mistakes, mistakes_each, shape)
    indices = sample(points.gain, points.correctness, solution.equilibrium, running, budget)
    return Selected(indices, points, solution.equilibrium, solution.outcome)


def read(selected: Selected) -> Account:
    """Waits for the device, once."""
    packed = torch.cat([selected.outcome, selected.points.status, selected.equilibrium.view(torch.int64)]).cpu()
    (outcome, valid), status = packed[:2].tolist(), packed[2:-4].tolist()
    if outcome != SOLVED.value:
        return Account(findings_of(status), valid, "few" if outcome == FEW.value else "unsolved", None)
    return Account(findings_of(status), valid, "solved", Equilibrium(*packed[-4:].view(torch.float64).tolist()))
