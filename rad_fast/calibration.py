"""Calibrated correctness: how likely the teacher's label is right, learned on a labelled hold-out set."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from . import inputs, topk
from .backends import Backend, backend
from .kernels.reference.score import Kind, Rule, Scores, empty_points, logit

Float64s = npt.NDArray[np.float64]


class Calibrator:
    """Learns the probability that the teacher's label is right from a labelled hold-out set.

    With the teacher's logits alone: isotonic regression of "the teacher is right" on its margin, a step function. With
    the student's too: logistic regression, with a unit ridge on all but the intercept, on the logit of the teacher's
    margin, the logit of the student's probability of the teacher's label, and the student's margin: where the two
    models disagree the teacher is wrong more often than its margin says.

    Parameters
    ----------
    backend : {"auto", "cpp", "numba", "reference"}
        What scores the logits.

    Attributes
    ----------
    rule_ : the fitted rule, evaluated inside the scoring pass of ``select``.
    n_labelled_ : how many labelled points it was fitted on.
    error_ : the teacher's error rate on them.
    needs_student_ : whether ``predict`` and ``select`` need the student's logits.

    Examples
    --------
    >>> import numpy as np, rad_fast
    >>> rng = np.random.default_rng(0)
    >>> logits, labels = rng.normal(size=(500, 10)), rng.integers(0, 10, 500)
    >>> logits[np.arange(500), labels] += rng.exponential(3, 500)
    >>> calibrator = rad_fast.Calibrator().fit(logits, labels)
    >>> correctness = calibrator.predict(logits)
    >>> bool(abs(correctness.mean() - (1 - calibrator.error_)) < 1e-6)
    True
    """

    rule_: Rule
    n_labelled_: int
    error_: float
    needs_student_: bool

    def __init__(self, *, backend: str = "auto") -> None:
        self.backend = backend

    def fit(self, teacher_logits: Any, labels: Any, student_logits: Any = None) -> Calibrator:
        """Learn from labelled points.

        Parameters
        ----------
        teacher_logits : (n, C) array of float64, float32, float16 or bfloat16.
        labels : (n,) integers in 0..C-1, the true classes.
        student_logits : (n, C) array or None; with it the calibration is on both models.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError : naming the argument, what was expected and what came.
        """
        kernels = backend(self.backend)
        teacher = inputs.matrix("teacher_logits", teacher_logits)
        truth = inputs.labels("labels", labels, teacher.rows, teacher.classes)
        student = None if student_logits is None else self.student_of(teacher, student_logits)
        of_teacher = checked_scores(kernels, teacher, None)
        of_student = None if student is None else checked_scores(kernels, student, of_teacher.label)
        right = (of_teacher.label == truth).astype(np.float64)
        self.n_labelled_ = len(right)
        self.error_ = 1.0 - float(right.mean())
        self.needs_student_ = student is not None
        # Where the teacher is always right, or never, both models say that one number.
        if of_student is None or right.min() == right.max():
            self.rule_ = steps(of_teacher.margin, right)
        else:
            self.rule_ = logistic(of_teacher, of_student, right)
        return self

    def predict(self, teacher_logits: Any, student_logits: Any = None) -> Any:
        """The probability that the teacher's label is right, for every point.

        Parameters
        ----------
        teacher_logits : (N, C) array of float64, float32, float16 or bfloat16.
        student_logits : (N, C) array; needed where the calibrator was fitted with it.

        Returns
        -------
        (N,) float32 in [0, 1], of the library of ``teacher_logits``.
        """
        self.check_fitted()
        kernels = backend(self.backend)
        teacher = inputs.matrix("teacher_logits", teacher_logits)
        student = None
        if self.needs_student_:
            student = self.student_of(teacher, student_logits)
        points = empty_points(teacher.rows)
        of_student = None if student is None else student.data
        bad = topk.appraise(kernels, teacher.data, of_student, self.rule_, None, points)
        for name, invalid in zip(("teacher_logits", "student_logits"), bad, strict=True):
            if invalid.rows:
                raise inputs.invalid_rows(name, invalid.rows, invalid.first)
        return teacher.wrap(points.correctness)

    def mistakes(self, points: int) -> float:
        """How many labels an adversary may spoil beyond the calibrated correctness: one standard error of the
        teacher's error rate, which is what the labelled points cannot exclude, in that many points."""
        self.check_fitted()
        return points * math.sqrt(self.error_ * (1.0 - self.error_) / self.n_labelled_)

    def check_fitted(self) -> None:
        if not hasattr(self, "rule_"):
            raise ValueError("correctness: expected a fitted Calibrator; call .fit(teacher_logits, labels) first")

    @staticmethod
    def student_of(teacher: inputs.Matrix, student_logits: Any) -> inputs.Matrix:
        """The student's checked logits: a column for every class of the teacher, whose label is looked up in them."""
        student = None if student_logits is None else inputs.matrix("student_logits", student_logits)
        return inputs.needed_student(teacher, student)


def checked_scores(kernels: Backend, logits: inputs.Matrix, given: npt.NDArray[np.int32] | None) -> Scores:
    scores = topk.score(kernels, logits.data, given, logits.name)
    bad = scores.label < 0
    if bad.any():
        raise inputs.invalid_rows(logits.name, int(bad.sum()), int(bad.argmax()))
    return scores


def steps(margin: Float64s, right: Float64s) -> Rule:
    """Isotonic regression on the margin: equal margins count as one point; steps lie halfway between neighbours."""
    from scipy.optimize import isotonic_regression  # here: importing it takes longer than all of rad_fast

    places, at = np.unique(margin.astype(np.float32), return_inverse=True)
    times = np.bincount(at).astype(np.float64)
    fitted = isotonic_regression(np.bincount(at, weights=right) / times, weights=times)
    first = fitted.blocks[1:-1]
    below, above = places[first - 1], places[first]
    halfway = ((below.astype(np.float64) + above) / 2.0).astype(np.float32)
    halfway = np.where(halfway > below, halfway, above)  # between neighbouring floats there is no halfway
    levels = fitted.x[fitted.blocks[:-1]]
    return Rule(Kind.STEPS, steps=tuple(halfway.tolist()), levels=tuple(np.clip(levels, 0.0, 1.0).tolist()))


def logistic(teacher: Scores, student: Scores, right: Float64s) -> Rule:
    """Logistic regression with a unit ridge, by Newton's method in a trust region."""
    from scipy.optimize import minimize
    from scipy.special import expit, log_expit

    if student.given_probability is None:
        raise ValueError("student: expected its probabilities of the teacher's labels")
    features = np.column_stack(
        [np.ones(len(right)), logit(teacher.margin), logit(student.given_probability), student.margin]
    )
    ridge = np.array([0.0, 1.0, 1.0, 1.0])
    sign = 2.0 * right - 1.0

    def loss(w: Float64s) -> float:
        return float(-log_expit(sign * (features @ w)).sum() + 0.5 * (ridge * w * w).sum())

    def gradient(w: Float64s) -> Float64s:
        slope: Float64s = features.T @ (expit(features @ w) - right) + ridge * w
        return slope

    def curvature(w: Float64s) -> Float64s:
        p = expit(features @ w)
        second: Float64s = (features * (p * (1.0 - p))[:, None]).T @ features + np.diag(ridge)
        return second

    fitted = minimize(loss, np.zeros(4), jac=gradient, hess=curvature, method="trust-exact", options={"gtol": 1e-8})
    w0, w1, w2, w3 = (float(w) for w in fitted.x)
    return Rule(Kind.LOGISTIC, weights=(w0, w1, w2, w3))
