"""What each part of the default before quotas is worth: 'rad-2026-11' with one of its parts taken away."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rad_fast import Calibrator, Selector
from rad_fast.distill import Choice, Round
from rad_fast.distill.strategies import Strategy
from rad_fast.distill.strategies.game import calibrated, expected_excess, play_spread, spread_order
from rad_fast.distill.strategies.scores import in_proportion

Float64s = npt.NDArray[np.float64]


def parts(r: Round) -> tuple[Float64s, Float64s, npt.NDArray[np.int64], float]:
    """Gain, correctness, the teacher's labels and the adversary's labels of 'rad-2026-11'."""
    calibrator = calibrated(r, "ablation")
    if r.teacher_logits is None:
        raise ValueError("teacher_logits: expected the teacher's logits for the pool")
    correctness = np.asarray(calibrator.predict(r.teacher_logits, r.student_logits), np.float64)
    label = r.teacher_logits.argmax(1)
    gain = 1.0 - r.student[np.arange(len(label)), label]
    return gain, correctness, label, expected_excess(calibrator, len(r.left))


def student_gain(r: Round) -> Choice:
    """The gain is 1 - the student's margin, whatever the teacher says."""
    _, correctness, label, mistakes = parts(r)
    return play_spread(r, 1.0 - r.student_margin, correctness, label, mistakes)


def teacher_alone(r: Round) -> Choice:
    """Correctness is calibrated on the teacher's margin alone."""
    gain, _, label, mistakes = parts(r)
    truth, teacher, _ = r.holdout("ablation")
    correctness = Calibrator().fit(teacher, truth).predict(r.teacher_logits)
    return play_spread(r, gain, np.asarray(correctness, np.float64), label, mistakes)


def standard_error(r: Round) -> Choice:
    """The adversary spoils one standard error of labels instead of the expected excess."""
    gain, correctness, label, _ = parts(r)
    truth, teacher, _ = r.holdout("ablation")
    error = float((teacher.argmax(1) != truth).mean())
    return play_spread(r, gain, correctness, label, len(r.left) * np.sqrt(error * (1 - error) / len(truth)))


def greedy(r: Round) -> Choice:
    """No adversary: the points of highest effective gain."""
    gain, correctness, label, _ = parts(r)
    return play_spread(r, gain, correctness, label, 0.0)


def pool_order(r: Round) -> Choice:
    """Sampled in the order of the pool."""
    gain, correctness, _, mistakes = parts(r)
    selection = Selector(r.budget, mistakes=mistakes / len(r.left), seed=r.seed * 1009 + r.number).fit(
        np.zeros((len(gain), 2), np.float32),
        gain=gain,
        correctness=correctness.astype(np.float32),
        exclude=~r.available,
    )
    return Choice(np.asarray(selection.indices))


def proportional(r: Round) -> Choice:
    """Probability in proportion to the effective gain of 'rad-2026-11', in its order, instead of the equilibrium."""
    gain, correctness, label, _ = parts(r)
    worth = np.where(r.available, np.maximum((2 * correctness - 1) * gain, 0.0), 0.0)
    q = in_proportion(worth, r.available, r.budget)
    order = spread_order(r, label)
    passed = np.floor(np.cumsum(q[order]) * (r.budget / q.sum()) * (1 - 1e-12) + r.rng.random())
    taken = order[np.flatnonzero(np.diff(passed, prepend=0.0) > 0)][: r.budget]
    rest = np.setdiff1d(r.left, taken)
    return Choice(np.sort(np.concatenate([taken, r.rng.choice(rest, r.budget - len(taken), replace=False)])))


ABLATIONS: dict[str, Strategy] = {
    "rad, gain of the student alone": student_gain,
    "rad, calibrated on the teacher": teacher_alone,
    "rad, one standard error": standard_error,
    "rad, no adversary": greedy,
    "rad, order of the pool": pool_order,
    "rad, in proportion": proportional,
}
