"""torch and CuPy arrays in CUDA memory: scored by Triton's kernels, game and sample by the compiled ones.

By count (benchmarks/FACTS.md) the faster way for short rows; on an H200 it was not. Exactly what the parts give: the
compiled game and sample of Triton's points. What each has counted comes to the host in one copy.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from rad_fast.kernels.reference.game import Equilibrium
from rad_fast.kernels.reference.score import Findings, Rule
from rad_fast.kernels.triton import by_class, score

from . import arrays, cuda, cuda_classes, on_cuda, on_triton
from .arrays import Room
from .cuda_classes import Int64s


class Selected(NamedTuple):
    """A selection on the device, not waited for (see ``read``)."""

    indices: torch.Tensor  # int64, ascending; meaningless unless the outcome is "solved"
    points: score.Points
    solution: cuda.Solution


def select(
    teacher: torch.Tensor,
    budget: int,
    running: int,
    mistakes: float,
    mistakes_each: float = 0.0,
    student: torch.Tensor | None = None,
    rule: Rule | score.DeviceRule | None = None,
    given: torch.Tensor | None = None,
    exclude: torch.Tensor | None = None,
    gains: torch.Tensor | None = None,
) -> Selected:
    """Enqueue a selection; arguments as those of the Triton kernels' ``select``."""
    points = score.appraise(teacher, student, rule, given, exclude, gains)
    solution = cuda.solve(points.gain, points.correctness, budget, mistakes, mistakes_each)
    indices = cuda.sample(points.gain, points.correctness, solution, running, budget)
    return Selected(indices, points, solution)


def read(selected: Selected) -> cuda.Account:
    """Waits for the device, once."""
    findings, account = both(selected.points.status, selected.solution.room)
    four, status, _, valid = arrays.kernels().solution(cuda.solution_of(account))
    return cuda.Account(findings, valid, status, Equilibrium(*four) if status == "solved" else None)


def tally(points: score.Points, classes: int, chosen: torch.Tensor | None = None) -> tuple[Findings, Int64s, Int64s]:
    """As ``cuda_classes.tally``. Waits."""
    findings, found = both(points.status, cuda_classes.counted(points, classes, chosen, 0))
    counts, before, _ = arrays.kernels().class_counts(found, classes)
    return findings, counts, before


def appraise_by_class(
    teacher: torch.Tensor, *scoring: Any, others: bool, chosen: torch.Tensor | None = None
) -> by_class.Appraised:
    """As ``cuda_classes.appraise_by_class``. Waits."""
    points = score.appraise(teacher, *scoring, others=others)
    findings, counts, before = tally(points, teacher.shape[1], chosen)
    return by_class.Appraised(points, findings, counts, before, int(counts[0].sum()))


def both(status: torch.Tensor, room: Room) -> tuple[Findings, bytes]:
    """What Triton's scoring has counted, and what the compiled kernels left in ``room``. Waits for the device, once."""
    found = torch.cat([status.view(torch.uint8), room.owner]).cpu().numpy().tobytes()
    numbers = np.frombuffer(found, np.int64, len(status)).tolist()
    return score.findings_of(numbers), found[status.nbytes :]


class Kernels(on_triton.Kernels):
    """Triton's scores, the compiled game and sample."""

    name = "triton+cuda"
    stages = on_cuda.Kernels.stages._replace(
        appraise=score.appraise,
        findings=score.findings,
        select=select,
        read=read,
        appraise_by_class=appraise_by_class,
        tally=tally,
    )

    def __init__(self) -> None:
        arrays.kernels()  # raises where they were not built
