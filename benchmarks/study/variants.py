"""The default's parts, varied one at a time: quotas, the adversary, the order, calibration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from rad_fast import Calibrator
from rad_fast.distill import STRATEGIES, Choice, Round
from rad_fast.distill.strategies import Strategy
from rad_fast.distill.strategies.classes import in_turn
from rad_fast.distill.strategies.neighbours import calibrated, shares
from rad_fast.distill.strategies.scores import margins, softmax
from rad_fast.kernels.reference.quotas import likeliest_alpha
from rad_fast.kernels.reference.score import logit

from .sorted_game import drawn, pivotal, probabilities, shared_out, shrunk

Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]
Weights = Callable[["Seen"], Float64s]


@dataclass
class Seen:
    """What quotas may be made of: counts (C,) of people's labels in the hold-out, and of the teacher's in the pool."""

    held: Float64s
    pool: Float64s


def of_holdout(seen: Seen) -> Float64s:
    return shrunk(seen.held)


def of_roots(seen: Seen) -> Float64s:
    return np.sqrt(seen.pool)


def of_both(seen: Seen) -> Float64s:
    return np.sqrt(of_holdout(seen) * of_roots(seen))


def of_labels(seen: Seen) -> Float64s:
    return shrunk(seen.pool * (seen.held.sum() / seen.pool.sum()))


def of_labels_shrunk_by_holdout(seen: Seen) -> Float64s:
    """The labels' shares, shrunk as much as the hold-out's true classes ask for."""
    alpha, sample = likeliest_alpha(seen.held), seen.pool * (seen.held.sum() / seen.pool.sum())
    return (sample + alpha) / (sample.sum() + len(sample) * alpha)


def of_mixture(seen: Seen) -> Float64s:
    """Equal shares and the labels', mixed as the hold-out's classes are likeliest."""
    from scipy.optimize import minimize_scalar

    share, alike = seen.pool / seen.pool.sum(), 1.0 / len(seen.pool)

    def unlikely(s: float) -> float:
        return -float((seen.held * np.log((1.0 - s) * alike + s * share + 1e-12)).sum())

    s = float(minimize_scalar(unlikely, bounds=(0.0, 1.0), method="bounded").x)
    return (1.0 - s) * alike + s * share


def equal(seen: Seen) -> Float64s:
    return np.ones_like(seen.pool)


def in_proportion(seen: Seen) -> Float64s:
    return seen.pool


@dataclass(frozen=True)
class Variant:
    """A rule: ``weights`` None plays one game for all classes; ``order`` within a label; ``gamma`` by which mistakes
    are shared among classes, times ``factor``; ``calibration`` of correctness; ``start`` counts labelled points too."""

    weights: Weights | None = of_labels
    order: str = "other"
    gamma: str = "points"
    factor: float = 1.0
    calibration: str = "neighbours"
    start: bool = True
    bounded: bool = True

    def __call__(self, r: Round) -> Choice:
        label = r.teacher("variant").argmax(1)
        gain = 1.0 - r.student[np.arange(len(label)), label]
        left, correctness, classes = r.left, self.correctness(r, label), r.student.shape[1]
        truth, teacher, _ = r.holdout("variant")
        pool = np.bincount(label[left], minlength=classes).astype(np.float64)
        mistakes = self.factor * len(left) * excess(int((teacher.argmax(1) != truth).sum()), len(truth))
        q = np.zeros(len(label))
        if self.weights is None:
            one = np.zeros(len(left), np.int64)
            q[left] = probabilities(
                gain[left], correctness[left], one, np.array([float(r.budget)]), np.array([mistakes])
            )
        else:
            taken = r.memory.setdefault("taken", np.zeros(classes))
            before = taken + (r.memory["labelled"] if self.start else 0.0)
            held = np.bincount(truth, minlength=classes).astype(np.float64)
            w = self.weights(Seen(held, pool))
            lacked = np.maximum(0.0, w / w.sum() * (before.sum() + r.budget) - before)
            positive = left[((2.0 * correctness - 1.0) * gain)[left] > 0.0]
            most = np.bincount(label[positive], minlength=classes) if self.bounded else np.zeros(classes)
            budget = shared_out(lacked, most, min(float(r.budget), most.sum()))
            budget = budget + shared_out(np.maximum(lacked - budget, 0.0), pool - budget, r.budget - budget.sum())
            part = {
                "points": pool,
                "errors": np.bincount(label[left], 1.0 - correctness[left], classes),
                "budget": budget,
            }[self.gamma]
            q[left] = probabilities(gain[left], correctness[left], label[left], budget, mistakes * part / part.sum())
        taken_now = self.sample(r, q, label)
        if self.weights is not None:
            r.memory["taken"] = r.memory["taken"] + np.bincount(label[taken_now], minlength=classes)
        return Choice(taken_now)

    def correctness(self, r: Round, label: Int64s) -> Float64s:
        truth, teacher, student = r.holdout("variant")
        said = r.teacher("variant")
        if self.calibration == "teacher":
            found = np.asarray(Calibrator().fit(teacher, truth).predict(said), np.float64)
        elif self.calibration == "neighbours":
            found = asking_neighbours(r)
        elif self.calibration == "both":
            found = np.asarray(Calibrator().fit(teacher, truth, student).predict(said, r.student_logits), np.float64)
        elif self.calibration == "class":
            found = with_class(r, label)
        else:
            found = with_rate(r, label, asking=self.calibration == "neighbours and rate")
        n = len(truth)
        return np.clip(found, 0.5 / (n + 1), (n + 0.5) / (n + 1))

    def sample(self, r: Round, q: Float64s, label: Int64s) -> Int64s:
        if self.order == "axis of the class":
            second = along_axes(r, label)
        elif self.order == "index":
            second = np.zeros(len(label))
        else:
            others = r.student.copy()
            others[np.arange(len(label)), label] = -1.0
            second = others.argmax(1)
        order = np.lexsort((second, label)).astype(np.int64)
        if self.order == "pivotal" and r.features is not None:
            taken = pivotal(q, order, r.features, r.rng)
        else:
            taken = drawn(q, order, r.budget, r.rng)
        taken = taken[: r.budget]
        rest = np.setdiff1d(r.left, taken)
        return np.sort(np.concatenate([taken, r.rng.choice(rest, r.budget - len(taken), replace=False)]))


def excess(wrong: int, n: int) -> float:
    """The expected excess of the error rate: sd / sqrt(2 pi) of its Beta posterior."""
    a, b = wrong + 0.5, n - wrong + 0.5
    return float(np.sqrt(a * b / ((a + b) ** 2 * (a + b + 1.0)) / (2.0 * np.pi)))


def along_axes(r: Round, label: Int64s) -> Float64s:
    """Every point's place on the first principal axis of its class, in the features."""
    if r.features is None:
        raise ValueError("features: expected where distances are measured")
    place = np.zeros(len(label))
    for k in np.unique(label[r.left]):
        at = r.left[label[r.left] == k]
        x = r.features[at].astype(np.float64)
        x = x - x.mean(0)
        place[at] = x @ np.linalg.eigh(x.T @ x)[1][:, -1]
    return place


def with_class(r: Round, label: Int64s) -> Float64s:
    """Calibration on both models, and an effect of the label, all with a unit ridge but the intercept."""
    from sklearn.linear_model import LogisticRegression

    truth, teacher, student = r.holdout("variant")
    base = Calibrator().fit(teacher, truth, student)
    right = teacher.argmax(1) == truth
    if right.all() or not right.any():
        return np.asarray(base.predict(r.teacher("variant"), r.student_logits), np.float64)
    classes = r.student.shape[1]

    def features(said: npt.NDArray[np.float32], z: npt.NDArray[np.float32]) -> Float64s:
        c = np.clip(np.asarray(base.predict(said, z), np.float64), 1e-4, 1 - 1e-4)
        return np.column_stack([np.log(c / (1 - c)), np.eye(classes)[said.argmax(1)]])

    model = LogisticRegression(C=1.0, max_iter=500).fit(features(teacher, student), right)
    found: Float64s = model.predict_proba(features(r.teacher("variant"), r.student_logits))[:, 1]
    return found


def with_rate(r: Round, label: Int64s, *, asking: bool) -> Float64s:
    """How often each label of the teacher is right in the hold-out (``label_rates``), in a logistic regression beside
    all the default looks at, or beside the teacher's margin alone."""
    from sklearn.linear_model import LogisticRegression

    truth, teacher, student = r.holdout("variant")
    held = teacher.argmax(1)
    right = held == truth
    if asking:
        calibrator, among = calibrated(r, "variant")
        base = np.asarray(calibrator.predict(r.teacher("variant"), r.student_logits, agreement=among), np.float64)
        held_base = np.asarray(
            calibrator.predict(teacher, student, agreement=shares(r, r.teacher("variant"), teacher)[1])
        )
    else:
        base, held_base = (margins(softmax(said)) for said in (r.teacher("variant"), teacher))
    if right.all() or not right.any():
        return np.full(len(label), right.mean())
    rate, left_out = label_rates(held, right, r.student.shape[1])
    model = LogisticRegression(C=1.0, max_iter=500).fit(np.column_stack([logit(held_base), logit(left_out)]), right)
    found: Float64s = model.predict_proba(np.column_stack([logit(base), logit(rate[label])]))[:, 1]
    return found


def label_rates(label: Int64s, right: npt.NDArray[np.bool_], classes: int) -> tuple[Float64s, Float64s]:
    """(C,) how often each label is right, drawn towards the overall rate as far as a beta-binomial distribution of
    maximum likelihood has it; and for each of these points that of its label without the point itself."""
    from scipy.optimize import minimize_scalar
    from scipy.stats import betabinom

    times, hits = np.bincount(label, minlength=classes), np.bincount(label, right, classes)
    overall = right.mean()
    seen = times > 0

    def unlikely(logarithm: float) -> float:
        s = np.exp(logarithm)
        return -float(betabinom.logpmf(hits[seen], times[seen], s * overall, s * (1 - overall)).sum())

    s = float(np.exp(minimize_scalar(unlikely, bounds=(np.log(0.5), np.log(1000.0)), method="bounded").x))
    without = (hits[label] - right + s * overall) / (times[label] - 1 + s)
    return (hits + s * overall) / (times + s), without


def asking_neighbours(r: Round) -> Float64s:
    """The default's correctness."""
    calibrator, among = calibrated(r, "variant")
    found = calibrator.predict(r.teacher("variant"), r.student_logits, agreement=among)
    return np.asarray(found, np.float64)


def without_vectors(r: Round) -> Choice:
    """The default where nothing but the student's logits says which points are neighbours."""
    return STRATEGIES["rad"](replace(r, vectors=None, holdout_vectors=None))


def plain_select(r: Round) -> Choice:
    """``rad_fast.select`` with a ``Calibrator`` of both models, and what was chosen before."""
    truth, teacher, student = r.holdout("select")
    return selected(r, Calibrator().fit(teacher, truth, student), student_logits=r.student_logits)


def with_proportional_quotas(r: Round) -> Choice:
    truth, teacher, student = r.holdout("select")
    calibrator = Calibrator().fit(teacher, truth, student)
    return selected(r, calibrator, quotas="proportional", student_logits=r.student_logits)


def without_student(r: Round) -> Choice:
    """The same from the teacher's logits alone."""
    truth, teacher, _ = r.holdout("select")
    return selected(r, Calibrator().fit(teacher, truth))


def selected(r: Round, calibrator: Calibrator, quotas: str = "auto", **given: Any) -> Choice:
    before = np.flatnonzero(~r.available)
    selection = r.selector(quotas=quotas).fit(
        r.teacher("select"), correctness=calibrator, chosen=before if len(before) else None, **given
    )
    return Choice(np.asarray(selection.indices))


def greedy_with_neighbours(r: Round) -> Choice:
    """Balanced greedy with the default's correctness."""
    label = r.teacher("variant").argmax(1)
    gain = 1.0 - r.student[np.arange(len(label)), label]
    return in_turn(r, label, (2.0 * asking_neighbours(r) - 1.0) * gain)


DEFAULT = Variant()
PARTS = (  # what decides defaults, on more seeds than the others
    "labels' shares, shrunk",
    "labels' shares, shrunk as the hold-out",
    "hold-out's shares, shrunk",
    "square roots",
    "labelled points not counted",
    "calibration: both models, no neighbours",
    "calibration: label's rate",
    "calibration: teacher alone",
    "calibration: teacher and label's rate",
)
VARIANTS: dict[str, Strategy] = {
    "quotas without a bound": replace(DEFAULT, bounded=False),
    "neighbours in the student's logits": without_vectors,
    "balanced greedy with neighbours": greedy_with_neighbours,
    "calibration: both models, no neighbours": replace(DEFAULT, calibration="both"),
    "labels' shares, shrunk": DEFAULT,
    "labels' shares, shrunk as the hold-out": replace(DEFAULT, weights=of_labels_shrunk_by_holdout),
    "hold-out's shares, shrunk": replace(DEFAULT, weights=of_holdout),
    "labels' and equal shares, mixed": replace(DEFAULT, weights=of_mixture),
    "square roots": replace(DEFAULT, weights=of_roots),
    "both's geometric mean": replace(DEFAULT, weights=of_both),
    "equal": replace(DEFAULT, weights=equal),
    "in proportion to labels": replace(DEFAULT, weights=in_proportion),
    "none": replace(DEFAULT, weights=None),
    "labelled points not counted": replace(DEFAULT, start=False),
    "adversary by class errors": replace(DEFAULT, gamma="errors"),
    "adversary by quotas": replace(DEFAULT, gamma="budget"),
    "no adversary": replace(DEFAULT, factor=0.0),
    "half the adversary": replace(DEFAULT, factor=0.5),
    "twice the adversary": replace(DEFAULT, factor=2.0),
    "order: index": replace(DEFAULT, order="index"),
    "order: axis of the class": replace(DEFAULT, order="axis of the class"),
    "order: local pivotal method": replace(DEFAULT, order="pivotal"),
    "calibration: label's effect": replace(DEFAULT, calibration="class"),
    "calibration: label's rate": replace(DEFAULT, calibration="neighbours and rate"),
    "calibration: teacher alone": replace(DEFAULT, calibration="teacher"),
    "calibration: teacher and label's rate": replace(DEFAULT, calibration="rate"),
}
PLAIN: dict[str, Strategy] = {
    "select": plain_select,
    "select, proportional quotas": with_proportional_quotas,
    "select, without the student": without_student,
}
