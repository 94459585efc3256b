"""Correctness that asks the neighbours: a label that points alike bear too is right more often than its margin says.

The teacher's labels for the whole pool are known, so that this costs no answer. It is what most helps against a teacher
that only names a class (docs/study.md).
"""

from __future__ import annotations

import numpy as np

from rad_fast.calibration import Calibrator
from rad_fast.distill.geometry import agreement

from .round import Float32s, Float64s, Int64s, Round
from .scores import margins, softmax

NEIGHBOURS = 10
RIDGE = np.array([0.0, 1.0, 1.0, 1.0, 1.0])  # a unit ridge on all but the intercept, as the Calibrator has
SMALLEST = 1e-6  # probabilities under a logit are held above it


def correctness(r: Round, strategy: str) -> Float64s:
    """(N,) probability that the teacher's label is right: logistic regression, on the hold-out, on the three numbers of
    a ``Calibrator`` of both models and on the logit of the share of the ten nearest points that bear the same label.

    Held within [1/2, n + 1/2] / (n + 1) of the n points. Where the teacher is always right there, or never, or nothing
    is known of where points lie, it is the Calibrator's.
    """
    teacher = r.teacher(strategy)
    truth, held_teacher, held_student = r.holdout(strategy)
    right = held_teacher.argmax(1) == truth
    if right.all() or not right.any():
        calibrator = Calibrator().fit(held_teacher, truth, held_student)
        return np.asarray(calibrator.predict(teacher, r.student_logits), np.float64)
    among, held_among = shares(r, teacher, held_teacher)
    weights = fitted(described(held_teacher, held_student, held_among), right)
    from scipy.special import expit

    n = len(truth)
    found: Float64s = expit(described(teacher, r.student_logits, among) @ weights)
    return np.clip(found, 0.5 / (n + 1), (n + 0.5) / (n + 1))


def shares(r: Round, teacher: Float32s, held_teacher: Float32s) -> tuple[Float64s, Float64s]:
    """Of every point, and of every point of the hold-out: how many of the nearest points of the pool bear its label.

    Looked for in ``vectors``; in the student's logits where there are none. What does not change from round to round is
    computed once.
    """
    points, held = r.student_logits, r.holdout_student
    if r.vectors is not None and r.holdout_vectors is not None:
        points, held = r.vectors, r.holdout_vectors
    if held is None:
        raise ValueError("holdout_student: expected the student's logits of the hold-out")
    kept = r.memory.get("neighbours")
    if kept is None or not np.array_equal(kept[0], points):
        label = teacher.argmax(1)
        rng = np.random.default_rng(r.seed)
        inside = agreement(points, label, points, label, NEIGHBOURS, rng)
        outside = agreement(points, label, held, held_teacher.argmax(1), NEIGHBOURS, rng)
        kept = r.memory["neighbours"] = (points, inside, outside)
    return kept[1], kept[2]


def described(teacher: Float32s, student: Float32s, among: Float64s) -> Float64s:
    """(rows, 5): 1, the logits of the teacher's margin and of the student's probability of its label, the student's
    margin, the logit of the neighbours' agreement."""
    label, p = teacher.argmax(1), softmax(student)
    of_label = p[np.arange(len(label)), label]
    agreed = (NEIGHBOURS * among + 0.5) / (NEIGHBOURS + 1.0)
    columns = [np.ones(len(label)), logit(margins(softmax(teacher))), logit(of_label), margins(p), logit(agreed)]
    return np.column_stack(columns)


def fitted(features: Float64s, right: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Float64s:
    """Weights of the logistic regression, by Newton's method in a trust region."""
    from scipy.optimize import minimize
    from scipy.special import expit, log_expit

    sign = 2.0 * right - 1.0

    def loss(w: Float64s) -> float:
        return float(-log_expit(sign * (features @ w)).sum() + 0.5 * (RIDGE * w * w).sum())

    def gradient(w: Float64s) -> Float64s:
        slope: Float64s = features.T @ (expit(features @ w) - right) + RIDGE * w
        return slope

    def curvature(w: Float64s) -> Float64s:
        p = expit(features @ w)
        second: Float64s = (features * (p * (1.0 - p))[:, None]).T @ features + np.diag(RIDGE)
        return second

    start = np.zeros(len(RIDGE))
    found = minimize(loss, start, jac=gradient, hess=curvature, method="trust-exact", options={"gtol": 1e-8})
    weights: Float64s = found.x
    return weights


def logit(p: Float64s) -> Float64s:
    held = np.clip(p, SMALLEST, 1.0 - SMALLEST)
    z: Float64s = np.log(held) - np.log1p(-held)
    return z


def label_counts(r: Round, label: Int64s) -> Int64s:
    """(C,) how often the student has learned each class: its labelled points, and what was chosen before."""
    classes = r.student_logits.shape[1]
    chosen = np.bincount(label[~r.available], minlength=classes)
    return chosen if r.labelled is None else chosen + np.bincount(r.labelled, minlength=classes)
