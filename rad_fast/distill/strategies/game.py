"""RAD: the game between gain and mistakes, as the default plays it, and its variants."""

from __future__ import annotations

from typing import Any

import numpy as np

from rad_fast.calibration import Calibrator
from rad_fast.inputs import FEW_LABELLED

from . import neighbours
from .round import Choice, Float32s, Float64s, Int64s, Round, systematic
from .scores import in_proportion


def proportional(r: Round) -> Choice:
    """Probability in proportion to the effective gain (2 c - 1) g, c calibrated on both models: no game."""
    points = r.selector(0.0).fit(
        r.teacher("proportional"),
        student_logits=r.student_logits,
        gain="margin",
        correctness=calibrated(r, "proportional"),
        exclude=~r.available,
    )
    correctness, gain = np.asarray(points.correctness, np.float64), np.asarray(points.gain, np.float64)
    worth = np.where(r.available, np.maximum((2 * correctness - 1) * gain, 0.0), 0.0)
    return systematic(r, in_proportion(worth, r.available, r.budget))


def rad(r: Round) -> Choice:
    """The default. Where the teacher's logits for the pool are known, ``rad_fast.select`` with all it knows: the gain
    of the label, correctness calibrated on both models and on what neighbours agree on, quotas that count the student's
    labelled points and what earlier rounds chose. Before that, 'rad-prior'."""
    if r.teacher_logits is None:
        return rad_prior(r)
    calibrator, among = neighbours.calibrated(r, "rad")
    selection = r.selector(quotas="auto").fit(
        r.teacher_logits,
        student_logits=r.student_logits,
        correctness=calibrator,
        agreement=among,
        chosen=dict(enumerate(neighbours.label_counts(r, r.teacher_logits.argmax(1)).tolist())),
        exclude=~r.available,
    )
    few = calibrator.n_labelled_ < FEW_LABELLED
    promise = None if few else selection.certificate()
    return Choice(np.asarray(selection.indices), value=selection.value, certificate=promise)


def rad_2026_11(r: Round) -> Choice:
    """The default before quotas: one game for all classes, the gain of the label, as many mistakes as one expects
    beyond calibrated correctness (``expected_excess``), sampled in ``spread_order``. Before that, 'rad-prior'."""
    if r.teacher_logits is None:
        return rad_prior(r)
    calibrator = calibrated(r, "rad-2026-11")
    correctness = np.asarray(calibrator.predict(r.teacher_logits, r.student_logits), np.float64)
    label = r.teacher_logits.argmax(1)
    gain = 1.0 - r.student[np.arange(len(label)), label]
    return play_spread(r, gain, correctness, label, expected_excess(calibrator, len(r.left)))


def rad_both(r: Round) -> Choice:
    """The game with the student's gain and correctness calibrated on both models."""
    return play(r, r.teacher("rad-both"), calibrated(r, "rad-both"))


def rad_teacher(r: Round) -> Choice:
    """The game with correctness calibrated on the teacher's margin alone."""
    truth, teacher, _ = r.holdout("rad-teacher")
    return play(r, r.teacher("rad-teacher"), Calibrator().fit(teacher, truth))


def rad_raw(r: Round) -> Choice:
    """The game with the teacher's own confidence as correctness."""
    return play(r, r.teacher("rad-raw"), None)


def rad_average(r: Round) -> Choice:
    """Robust Active Distillation as published (ICLR 2023): c = 1, and as many mistakes as the hold-out shows."""
    truth, teacher, _ = r.holdout("rad-average")
    return play(r, r.student_logits, float((teacher.argmax(1) == truth).mean()))


def rad_prior(r: Round) -> Choice:
    """Before any answer of the teacher for the pool: all points are as likely to be labelled correctly (a correctness
    that is the same for all ranks them alike whatever it is: c = 1), the adversary spoils as many labels as one expects
    beyond the hold-out's error rate, the gain is 1 - the student's margin, sampled in ``spread_order``."""
    truth, teacher, _ = r.holdout("rad-prior")
    excess = expected_excess(Calibrator().fit(teacher, truth), len(r.left))
    sure = np.ones(len(r.student_margin))
    return play_spread(r, 1.0 - r.student_margin, sure, r.student_logits.argmax(1), excess)


EXCESS = 1.0 / np.sqrt(2.0 * np.pi)


def expected_excess(calibrator: Calibrator, points: int) -> float:
    """How many more labels than expected are wrong, on average: E max(0, x) = sd / sqrt(2 pi) for the
    normal error x of the error rate, of which sd is one standard error. None where no label was wrong."""
    error = calibrator.error_
    return float(EXCESS * points * np.sqrt(error * (1.0 - error) / calibrator.n_labelled_))


def spread_order(r: Round, label: Int64s) -> Int64s:
    """Points by label, and within a label along the first principal axis of the student's logits: neighbours in this
    order look alike to the student, and systematic sampling seldom takes both."""
    z = r.student_logits.astype(np.float64)
    z = z - z.mean(1, keepdims=True)
    z = z - z.mean(0)
    axis = np.linalg.eigh(z.T @ z)[1][:, -1]
    return np.lexsort((z @ axis, label)).astype(np.int64)


def play_spread(r: Round, gain: Float64s, correctness: Float64s, label: Int64s, mistakes: float) -> Choice:
    """The game with gain and correctness given for every point, sampled in the order of ``spread_order``."""
    order = spread_order(r, label)
    selection = r.selector(mistakes, len(r.left)).fit(
        np.zeros((len(order), 2), np.float32),  # gain and correctness say all
        gain=gain[order],
        correctness=np.clip(correctness, 0.0, 1.0).astype(np.float32)[order],
        exclude=~r.available[order],
    )
    return Choice(np.sort(order[np.asarray(selection.indices)]), value=selection.value)


def play(r: Round, logits: Float32s, correctness: Any) -> Choice:
    selection = r.selector().fit(
        logits, student_logits=r.student_logits, gain="margin", correctness=correctness, exclude=~r.available
    )
    return Choice(np.asarray(selection.indices), value=selection.value)


def calibrated(r: Round, strategy: str) -> Calibrator:
    truth, teacher, student = r.holdout(strategy)
    return Calibrator().fit(teacher, truth, student)
