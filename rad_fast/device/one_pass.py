"""Scoring and the games in one pass over logits in host memory: those of the compiled extension."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

from rad_fast.kernels.reference.game import Equilibria, Equilibrium, Float64s, Int64s
from rad_fast.kernels.reference.score import Gain, Invalid, Points, Rule

from .backends import CODES, Array, Compiled, Float32s, address, in_place, joined, layout, parameters_of, threads


def scored_in_place(kernels: Any, *matrices: Any) -> bool:
    """Whether rows of these can be scored in one pass: logits that compiled kernels read where they are, in memory."""
    return isinstance(kernels, Compiled) and all(
        isinstance(logits, np.ndarray) and logits.dtype in CODES and in_place(logits) and not mapped(logits)
        for logits in matrices
    )


def mapped(array: Any) -> bool:
    """Whether an array is a file's: looking at some rows beforehand may take as long as reading all of them."""
    while isinstance(array, np.ndarray) and not isinstance(array, np.memmap):
        array = array.base
    return isinstance(array, (np.memmap, mmap.mmap))


class Pass:
    """Points that are added up while they are scored, in boxes around what a sample lets expect."""

    compiled: Any

    def useful(self) -> bool:
        """Whether most points can be decided while they are scored."""
        return bool(self.compiled.useful())

    def appraise(
        self,
        teacher: Array,
        student: Array | None,
        rule: Rule,
        given: Float32s | None,
        left_out: npt.NDArray[np.bool_] | None,
        out: Points | None,
    ) -> tuple[Invalid, Invalid]:
        """As a backend's ``appraise``, of all points. Without ``out`` nothing is kept but what may be selected.

        ``left_out``: which points get the gain NaN.
        """
        of_teacher, of_student = self.compiled.appraise(
            layout(teacher),
            None if student is None else layout(student),
            int(rule.kind),
            parameters_of(rule),
            address(given),
            *((0, 0, 0) if out is None else (address(out.gain), address(out.correctness), address(out.label))),
            rule.gain == Gain.LABEL,
            0 if out is None else address(out.other),
            address(left_out),
        )
        return joined(Invalid(), of_teacher, 0), joined(Invalid(), of_student, 0)


class OneGame(Pass):
    """One game on all points.

    ``stakes``: the budget and the mistakes that are expected. ``sample`` are some of ``size`` points, spread over all.
    ``room``: how many bytes each point may take.
    """

    def __init__(
        self,
        kernels: Compiled,
        sample: Points,
        size: int,
        stakes: tuple[float, float],
        room: float,
        steps: tuple[Any, ...],
        random: npt.NDArray[np.float64],
    ) -> None:
        self.compiled = kernels.module.OneGame(sample[:2], size, *stakes, room, steps, random, threads())

    def conclude(self, budget: float, mistakes: float, running: int) -> tuple[Equilibrium, Int64s] | None:
        """The equilibrium and the indices; None where it is not where it was expected."""
        done = self.compiled.conclude(budget, mistakes, running)
        return None if done is None else (Equilibrium(*done[:4]), done[4])


class OnePass(Pass):
    """A game a class.

    ``stakes``: how many points each of the classes is expected to have, its budget and its mistakes. ``sample`` are
    some of ``size`` points, spread over all.
    """

    def __init__(
        self,
        kernels: Compiled,
        sample: Points,
        size: int,
        stakes: tuple[Int64s, Float64s, Float64s],
        others: int,
        steps: tuple[Any, ...],
        random: npt.NDArray[np.float64],
    ) -> None:
        self.compiled = kernels.module.OnePass(sample[:3], size, *stakes, others, steps, random, threads())

    def counts(self) -> Int64s:
        """As a backend's ``class_counts``, of all points."""
        counts: Int64s = self.compiled.counts()
        return counts

    def conclude(self, budgets: Float64s, mistakes: Float64s, running: int) -> tuple[Equilibria, Int64s] | None:
        """Each class's equilibrium and the indices; None where an answer is not where it was expected."""
        done = self.compiled.conclude(budgets, mistakes, running)
        return None if done is None else (Equilibria(*done[:4]), done[4])
