"""Strategies that go round the classes: every class in turn, the best of each first."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rad_fast.calibration import Calibrator

from .round import Choice, Float64s, Int64s, Round, chosen


def balanced(r: Round) -> Choice:
    """Uniform within each class, all classes equally often as far as they last.

    The class of a point is the teacher's label where it is known, the student's otherwise.
    """
    logits = r.student_logits if r.teacher_logits is None else r.teacher_logits
    return in_turn(r, logits.argmax(1), np.zeros(len(logits)))


def balanced_greedy(r: Round) -> Choice:
    """The highest (2 c - 1) g of every label of the teacher in turn: c calibrated on both models, g what the student
    would learn from the label, 1 - its probability of it. The strongest simple rule that we know of."""
    teacher = r.teacher("balanced-greedy")
    truth, held_teacher, held_student = r.holdout("balanced-greedy")
    calibrator = Calibrator().fit(held_teacher, truth, held_student)
    correctness = np.asarray(calibrator.predict(teacher, r.student_logits), np.float64)
    label = teacher.argmax(1)
    gain = 1.0 - r.student[np.arange(len(label)), label]
    return in_turn(r, label, (2.0 * correctness - 1.0) * gain)


def balanced_top_confidence(r: Round) -> Choice:
    """The teacher's most confident points of every label in turn; those of equal confidence at random. This is how
    pseudo-labels are often picked, as many a class (Huang, Chu, Wei: Unsupervised Prompt Learning, 2022)."""
    teacher = r.teacher("balanced-top-confidence")
    return in_turn(r, teacher.argmax(1), confidence(teacher))


def in_turn(r: Round, label: Int64s, score: Float64s) -> Choice:
    """The highest score of every label, then the second of every label, and so on; equal ones at random."""
    order = r.rng.permutation(r.left)
    by_class = order[np.lexsort((-score[order], label[order]))]
    rank = np.arange(len(by_class)) - np.searchsorted(label[by_class], label[by_class])
    last = r.rng.random(len(by_class))  # who is left out of the last turn is chance
    return chosen(by_class[np.lexsort((last, rank))[: r.budget]])


def confidence(logits: npt.NDArray[np.float32]) -> Float64s:
    """(N,) the probability of the top class; summed by size, so that equally confident labels are equal to the last
    bit, whichever class they name."""
    z = np.sort(logits.astype(np.float64), axis=1)
    top: Float64s = 1.0 / np.exp(z - z[:, -1:]).sum(1)
    return top
