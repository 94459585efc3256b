"""Calibrated correctness: how likely the teacher's label is right, learned on a labelled hold-out set."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rad_fast import inputs
from rad_fast.device import topk
from rad_fast.device.backends import Backend, backend
from rad_fast.device.to_host import fetched
from rad_fast.game.certificate import Labelled
from rad_fast.game.pool import spread
from rad_fast.inputs import shown
from rad_fast.inputs.parameters import Parameters
from rad_fast.kernels.reference.agreement import logit_of_share
from rad_fast.kernels.reference.score import Kind, Rule, Scores, correctness, empty_points, logit

Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]

CURVE_POINTS = 20_000  # labelled points whose scores are kept for the curve: their intervals are narrow enough
CURVE_BINS = 10
MOST_LABELLED = 1 << 22  # float32 would round what more of them can say to 1
FOLDS = 5
NORMAL_95 = 1.959963984540054  # the normal distribution's two-sided 95% point


class Curve(NamedTuple):
    """How often the teacher was right, by the probability that was predicted: (bins,) arrays, float64.

    predicted : the mean predicted probability of a bin, ascending.
    right : how often the teacher's label was right there.
    low, high : the 95% interval of ``right`` (Wilson, 1927).
    points : how many labelled points the bin holds.
    """

    predicted: Float64s
    right: Float64s
    low: Float64s
    high: Float64s
    points: Float64s


class Seen(NamedTuple):
    """What a calibration sees of points: the models' scores and the share of neighbours that agree, as far as known."""

    teacher: Scores
    student: Scores | None
    agreement: Float32s | None

    def rows(self, at: npt.NDArray[np.int64]) -> Seen:
        student = None if self.student is None else rows(self.student, at)
        return Seen(rows(self.teacher, at), student, None if self.agreement is None else self.agreement[at])


def rows(scores: Scores, at: npt.NDArray[np.int64]) -> Scores:
    """The scores of some rows."""
    given = None if scores.given_probability is None else scores.given_probability[at]
    return Scores(scores.margin[at], scores.confidence[at], scores.label[at], given)


class HeldOut(NamedTuple):
    """Labelled points as a calibration sees them that does not know them: scores, (n,) right and correctness."""

    teacher: Scores
    student: Scores | None
    right: Float64s
    correctness: Float64s

    def seen(self, kind: str | None) -> Labelled:
        """As a selection sees them whose gain is of the label, or of the student's or the teacher's margin."""
        gain, student = None, self.student
        if kind == "teacher":
            gain = 1.0 - self.teacher.margin
        elif kind == "student" and student is not None:
            gain = 1.0 - student.margin
        elif kind == "label" and student is not None and student.given_probability is not None:
            gain = 1.0 - student.given_probability
        return Labelled(gain, self.correctness, self.teacher.label, self.right > 0.0)


class Calibrator(Parameters):
    """Learns from a labelled hold-out set how likely it is that the teacher's label is right.

    With only the teacher's logits: isotonic regression of "the teacher is right" on its margin, a step function. With
    the student's too: logistic regression, with a unit ridge on all but the intercept, on the logit of the teacher's
    margin, the logit of the student's probability of the teacher's label, and the student's margin. Where the two
    models disagree, the teacher is wrong more often than its margin suggests. With ``agreement``, the share of a
    point's neighbours that have its label, the logistic regression also uses its logit, with or without a student.

    After n points the result is never 0 or 1: it stays within [1/2, n + 1/2] / (n + 1).

    Parameters
    ----------
    backend : {"auto", "cpp", "numba", "reference"}
        Which kernels score the logits.

    Attributes
    ----------
    rule_ : the fitted rule, evaluated inside the scoring pass of ``select``.
    n_labelled_ : how many labelled points it was fitted on.
    error_ : the teacher's error rate on them.
    class_counts_ : (C,) int64, how many of them are of each true class: weights for ``quotas`` if they are a sample.
    columns_ : the classes' names, where the logits were a table, else ().
    needs_student_, needs_agreement_ : whether ``predict`` and ``select`` need the student's logits, or ``agreement``.

    Examples
    --------
    >>> import numpy as np, rad_fast
    >>> rng = np.random.default_rng(0)
    >>> logits, labels = rng.normal(size=(500, 10)), rng.integers(0, 10, 500)
    >>> logits[np.arange(500), labels] += rng.exponential(3, 500)
    >>> calibrator = rad_fast.Calibrator().fit(logits, labels)
    >>> correctness = calibrator.predict(logits)
    >>> bool(abs(correctness.mean() - (1 - calibrator.error_)) < 1e-3)
    True
    """

    rule_: Rule
    n_labelled_: int
    error_: float
    class_counts_: npt.NDArray[np.int64]
    columns_: tuple[str, ...] = ()
    needs_student_: bool
    needs_agreement_: bool

    def __init__(self, *, backend: str = "auto") -> None:
        self.backend = backend

    def fit(self, teacher_logits: Any, labels: Any, student_logits: Any = None, *, agreement: Any = None) -> Calibrator:
        """Learn from labelled points.

        Parameters
        ----------
        teacher_logits : (n, C) array of float64, float32, float16 or bfloat16, TopKLogits, TeacherLabels (points
            without an answer are left out) or Probabilities.
        labels : (n,) integers in 0..C-1, the true classes.
        student_logits : (n, C) array or None; if given, the calibration is on both models.
        agreement : (n,) array in [0, 1] or None: what ``rad_fast.agreement`` gives with these points as queries.

        Arrays on a GPU are copied to host memory.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError : naming the argument, what was expected and what came.
        """
        kernels = backend(self.backend)
        given = teacher_logits, labels, student_logits, agreement
        teacher_logits, labels, student_logits, agreement = map(fetched, given)
        beside = {"labels": labels, "student_logits": student_logits}
        inputs.refuse_reordered("teacher_logits", teacher_logits, beside)
        teacher = inputs.matrix("teacher_logits", teacher_logits)
        truth = inputs.labels("labels", labels, teacher.rows, teacher.classes)
        student = None if student_logits is None else self.student_of(teacher, student_logits)
        for matrix in (teacher, student):
            if matrix is not None:
                inputs.refuse_probabilities(matrix)
        teacher, student, kept = answered(teacher, student)
        agreed = inputs.agreement_array(agreement, len(truth), None if kept is None else ~kept)
        if kept is not None:
            truth, agreed = truth[kept], None if agreed is None else agreed[kept]
        of_teacher = checked_scores(kernels, teacher, None)
        of_student = None if student is None else checked_scores(kernels, student, of_teacher.label)
        inputs.warn_flags(truth, of_teacher.label)
        right = (of_teacher.label == truth).astype(np.float64)
        self.n_labelled_ = len(right)
        self.class_counts_ = np.bincount(truth, minlength=teacher.classes)
        self.error_ = 1.0 - float(right.mean())
        self.columns_ = teacher.columns or (() if student is None else student.columns)
        self.needs_student_, self.needs_agreement_ = student is not None, agreed is not None
        seen = Seen(of_teacher, of_student, agreed)
        self.rule_ = bounded(fitted(seen, right), len(right))
        some = spread(CURVE_POINTS, len(right))
        self._kept = seen.rows(some), right[some]
        return self

    def predict(self, teacher_logits: Any, student_logits: Any = None, *, agreement: Any = None) -> Any:
        """The probability that the teacher's label is right, for every point.

        Parameters
        ----------
        teacher_logits : (N, C) array of float64, float32, float16 or bfloat16.
        student_logits : (N, C) array; needed where the calibrator was fitted with it.
        agreement : (N,) array in [0, 1]; needed where the calibrator was fitted with it, and then alone.

        Returns
        -------
        (N,) float32 in [0, 1], of the library of ``teacher_logits``; NaN where TeacherLabels have no answer.
        """
        self.check_fitted()
        kernels = backend(self.backend)
        inputs.refuse_reordered("teacher_logits", teacher_logits, {"student_logits": student_logits})
        teacher = inputs.matrix("teacher_logits", teacher_logits)
        self.check_classes("teacher_logits", teacher.classes)
        student = None
        if self.needs_student_:
            student = self.student_of(teacher, student_logits)
        self.check_columns(teacher, student)
        for given in (teacher, student):
            if given is not None and given.rows > 1:  # one row of logits may be in [0, 1] by chance
                inputs.refuse_probabilities(given)
        inputs.agreement_of(agreement, self)
        said: Any = teacher.data
        silent = said.unanswered if isinstance(said, inputs.TeacherLabels) else None
        agreed = inputs.agreement_array(agreement, teacher.rows, silent)
        points = empty_points(teacher.rows)
        of_student = None if student is None else student.data
        bad = topk.appraise(kernels, teacher.data, of_student, self.rule_, agreed, points)
        for name, invalid in zip(("teacher_logits", "student_logits"), bad, strict=True):
            if invalid.rows and not (name == "teacher_logits" and isinstance(teacher_logits, inputs.TeacherLabels)):
                raise inputs.invalid_rows(name, invalid.rows, invalid.first, "fix them, or leave these points out")
        return teacher.wrap(points.correctness)

    def mistakes(self, points: int) -> float:
        """How many labels an adversary may spoil beyond the calibrated correctness, in that many points: as many more
        as one expects to be wrong, E max(0, x) = sd / sqrt(2 pi) for the normal error x of the teacher's error rate.

        sd is that of the Beta(w + 1/2, n - w + 1/2) posterior after w wrong labels in n: above 0 also where w is 0.
        """
        self.check_fitted()
        wrong, n = self.error_ * self.n_labelled_, self.n_labelled_
        variance = (wrong + 0.5) * (n - wrong + 0.5) / ((n + 1.0) ** 2 * (n + 2.0))
        return points * math.sqrt(variance / (2.0 * math.pi))

    def curve(self) -> Curve:
        """How often the teacher was right on the labelled points, against what the calibration says of them.

        Every point is predicted by a calibration fitted on the other folds: on the points that it was fitted on, even
        a poor one agrees with itself. Of more than 20,000 labelled points so many are looked at.
        """
        labelled = self.held_out()
        few = len(labelled.right) <= FOLDS
        predicted = np.full(len(labelled.right), labelled.right.mean()) if few else labelled.correctness
        return binned(predicted, labelled.right)

    def held_out(self) -> HeldOut:
        """The labelled points, each with the correctness that a calibration fitted on the others predicts.

        Of more than 20,000 so many. The one point of a calibrator with no other has 1/2.
        """
        self.check_fitted()
        seen, right = self._kept
        predicted = np.full(len(right), 0.5)
        folds = min(FOLDS, len(right))
        fold = np.arange(len(right)) % folds
        for k in range(folds if len(right) > 1 else 0):
            held, others = np.flatnonzero(fold == k), np.flatnonzero(fold != k)
            rule = bounded(fitted(seen.rows(others), right[others]), len(others))
            predicted[held] = correctness(rule, *seen.rows(held))
        return HeldOut(seen.teacher, seen.student, right, predicted)

    def check_fitted(self) -> None:
        """ValueError where ``fit`` has not been called."""
        if not hasattr(self, "rule_"):
            raise ValueError("correctness: expected a fitted Calibrator; call .fit(teacher_logits, labels) first")

    def check_classes(self, name: str, classes: int) -> None:
        """ValueError where points have other classes than the labelled ones had."""
        if classes != len(self.class_counts_):
            raise ValueError(
                f"{name}: expected {len(self.class_counts_)} classes, as the labelled points of the Calibrator have, "
                f"got {classes}: a margin among other classes says something else; fit one on these"
            )

    def check_columns(self, *given: inputs.Matrix | None) -> None:
        """ValueError where a table has the labelled points' columns in another order."""
        for matrix in given:
            if matrix is not None:
                known = "the labelled points of the Calibrator have them"
                inputs.refuse_other_order(matrix.name, matrix.columns, self.columns_, known)

    def __repr__(self) -> str:
        if not hasattr(self, "rule_"):
            return super().__repr__()
        return f"{super().__repr__()}, fitted on {self.n_labelled_:,} points, error rate {self.error_:.3g}"

    def _repr_html_(self) -> str:
        """As a notebook shows it."""
        if not hasattr(self, "rule_"):
            return shown.card(super().__repr__(), {"state": "not fitted: call .fit(teacher_logits, labels)"})
        models = "the teacher's and the student's" if self.needs_student_ else "the teacher's"
        near = " and the neighbours' agreement" if self.needs_agreement_ else ""
        rows = {"fitted on": f"{self.n_labelled_:,} labelled points", "from": f"{models} logits{near}"}
        return shown.card(super().__repr__(), {**rows, "the teacher's error rate": f"{100 * self.error_:.3g}%"})

    @staticmethod
    def student_of(teacher: inputs.Matrix, student_logits: Any) -> inputs.Matrix:
        """The student's checked logits: a column for every class of the teacher, whose label is looked up in them."""
        student = None if student_logits is None else inputs.matrix("student_logits", student_logits)
        return inputs.needed_student(teacher, student)


def answered(
    teacher: inputs.Matrix, student: inputs.Matrix | None
) -> tuple[inputs.Matrix, inputs.Matrix | None, npt.NDArray[np.bool_] | None]:
    """Without the points for which a teacher of labels alone has no answer; and which are kept, None: all."""
    said: Any = teacher.data
    if not isinstance(said, inputs.TeacherLabels) or not said.unanswered.any():
        return teacher, student, None
    kept = ~said.unanswered
    if not kept.any():
        raise ValueError(f"{teacher.name}: expected an answer for some labelled point, there is none")
    beside = None if student is None else student._replace(data=student.data[kept])
    some: Any = said[kept]
    return teacher._replace(data=some), beside, kept


def checked_scores(kernels: Backend, logits: inputs.Matrix, given: npt.NDArray[np.int32] | None) -> Scores:
    scores = topk.score(kernels, logits.data, given, logits.name)
    bad = scores.label < 0
    if bad.any():
        cure = "fix them, or leave these points and their labels out"
        raise inputs.invalid_rows(logits.name, int(bad.sum()), int(bad.argmax()), cure)
    return scores


def bounded(rule: Rule, labelled: int) -> Rule:
    """The rule within what so many labelled points can say: never 0 or 1 (the posterior mean of none and of all)."""
    n = min(labelled, MOST_LABELLED)
    low, high = 0.5 / (n + 1.0), (n + 0.5) / (n + 1.0)
    levels = tuple(min(max(level, low), high) for level in rule.levels)
    return rule._replace(levels=levels, bounds=(low, high))


def fitted(seen: Seen, right: Float64s) -> Rule:
    """The rule learned from what is seen. Where the teacher is always right, or never, it says that number."""
    if (seen.student is None and seen.agreement is None) or right.min() == right.max():
        return steps(seen.teacher.margin, right)
    return logistic(seen, right)


def binned(predicted: Float64s, right: Float64s) -> Curve:
    """Points in bins of about equal size by what is predicted; equal predictions share a bin."""
    order = np.argsort(predicted, kind="stable")
    ends = np.linspace(0, len(order), min(CURVE_BINS, len(order)) + 1).astype(np.int64)[1:-1]
    starts = np.unique(np.searchsorted(predicted[order], predicted[order][ends], side="left"))
    starts = np.union1d(0, starts)
    points = np.diff(np.append(starts, len(order))).astype(np.float64)
    mean, rate = (np.add.reduceat(values[order], starts) / points for values in (predicted, right))
    z = NORMAL_95**2 / points
    middle, half = (rate + z / 2.0) / (1.0 + z), np.sqrt(z * (rate * (1.0 - rate) + z / 4.0)) / (1.0 + z)
    return Curve(mean, rate, np.clip(middle - half, 0.0, rate), np.clip(middle + half, rate, 1.0), points)


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


def logistic(seen: Seen, right: Float64s) -> Rule:
    """Logistic regression with a unit ridge on all but the intercept, by Newton's method in a trust region."""
    from scipy.optimize import minimize
    from scipy.special import expit, log_expit

    columns = {0: np.ones(len(right)), 1: logit(seen.teacher.margin)}
    if seen.student is not None and seen.student.given_probability is not None:
        columns |= {2: logit(seen.student.given_probability), 3: seen.student.margin}
    if seen.agreement is not None:
        columns |= {4: logit_of_share(seen.agreement)}
    features = np.column_stack(list(columns.values()))
    ridge = np.ones(len(columns))
    ridge[0] = 0.0
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

    start = np.zeros(len(columns))
    fitted = minimize(loss, start, jac=gradient, hess=curvature, method="trust-exact", options={"gtol": 1e-8})
    weight = dict(zip(columns, fitted.x.tolist(), strict=True))
    weights = (weight[0], weight[1], weight.get(2, 0.0), weight.get(3, 0.0))
    return Rule(Kind.LOGISTIC, weights=weights, agreement=weight.get(4))


OF_CONFIDENCE = Rule()


def rule_of(correctness: Any, teacher: inputs.Matrix, student: inputs.Matrix | None) -> Rule:
    """The rule for the scoring pass that ``correctness`` stands for."""
    if correctness is None:
        return OF_CONFIDENCE
    if isinstance(correctness, Calibrator):
        correctness.check_fitted()
        correctness.check_classes("logits", teacher.classes)
        correctness.check_columns(teacher, student)
        if correctness.needs_student_:
            inputs.needed_student(teacher, student)
        return correctness.rule_
    if inputs.is_number(correctness):
        inputs.accuracy(correctness)
        return Rule(Kind.CONSTANT, constant=1.0)
    return Rule(Kind.GIVEN)
