"""The default's correctness asks the neighbours, and its quotas count what the student has learned."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="rad_fast.distill needs torch")

from rad_fast.calibration import Calibrator
from rad_fast.distill import STRATEGIES, Round
from rad_fast.distill.strategies.neighbours import calibrated, label_counts, shares
from rad_fast.kernels.reference.quotas import sample_weights
from rad_fast.selector import Selector

N, HELD, C = 900, 150, 3


def made(seed: int = 0, *, vectors: bool = True, **others) -> Round:
    """A teacher that only names a class, right on 70%, and points that lie around their class's centre; the student
    knows nothing."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, C, N + HELD)
    wrong = rng.random(N + HELD) < 0.3
    label = np.where(wrong, (truth + rng.integers(1, C, N + HELD)) % C, truth)
    teacher = np.log(np.full((N + HELD, C), 0.05) + 0.85 * np.eye(C)[label]).astype(np.float32)
    student = rng.normal(0, 0.1, (N + HELD, C)).astype(np.float32)
    places = (np.eye(C)[truth] * 3 + rng.normal(size=(N + HELD, C))).astype(np.float32)
    settings = {
        "budget": 60,
        "available": np.ones(N, bool),
        "student_logits": student[:N],
        "teacher_logits": teacher[:N],
        "seed": seed,
        "holdout_labels": truth[N:],
        "holdout_teacher": teacher[N:],
        "holdout_student": student[N:],
    }
    if vectors:
        settings |= {"vectors": places[:N], "holdout_vectors": places[N:]}
    r = Round(**{**settings, **others})
    r.memory["right"] = ~wrong[:N]
    return r


def correctness(r: Round, strategy: str) -> np.ndarray:
    calibrator, among = calibrated(r, strategy)
    return calibrator.predict(r.teacher_logits, r.student_logits, agreement=among)


def test_correctness_is_a_logistic_regression_on_five_numbers_written_out():
    linear_model = pytest.importorskip("sklearn.linear_model")
    r = made()

    def described(teacher: np.ndarray, student: np.ndarray, among: np.ndarray) -> np.ndarray:
        p, q = (np.exp(z - z.max(1, keepdims=True).astype(np.float64)) for z in (teacher, student))
        p, q = p / p.sum(1, keepdims=True), q / q.sum(1, keepdims=True)
        margin, of_student = (np.sort(x, 1)[:, -1] - np.sort(x, 1)[:, -2] for x in (p, q))
        columns = (margin, q[np.arange(len(p)), teacher.argmax(1)], (10 * among + 0.5) / 11)
        one, two, three = (np.log(x / (1 - x)) for x in columns)
        return np.column_stack([one, two, of_student, three])

    among, held = shares(r, r.teacher_logits, r.holdout_teacher)
    right = r.holdout_teacher.argmax(1) == r.holdout_labels
    model = linear_model.LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000)
    model.fit(described(r.holdout_teacher, r.holdout_student, held), right)
    expected = model.predict_proba(described(r.teacher_logits, r.student_logits, among))[:, 1]
    expected = np.clip(expected, 0.5 / (HELD + 1), (HELD + 0.5) / (HELD + 1))
    np.testing.assert_allclose(correctness(r, "rad"), expected, rtol=0, atol=1e-5)


def test_the_default_is_a_call_of_the_packages_rule():
    r = made(labelled=np.repeat([0, 1, 2], [40, 5, 5]))
    r.available[::7] = False
    calibrator, among = calibrated(r, "rad")
    selector = Selector(60, seed=r.seed * 1009 + r.number)
    selection = selector.fit(
        r.teacher_logits,
        student_logits=r.student_logits,
        correctness=calibrator,
        agreement=among,
        chosen=dict(enumerate(label_counts(r, r.teacher_logits.argmax(1)).tolist())),
        exclude=~r.available,
    )
    assert np.array_equal(STRATEGIES["rad"](r).indices, selection.indices)
    label = r.teacher_logits.argmax(1)
    counts = np.bincount(label[r.left], minlength=C)
    known = label_counts(r, label)
    lacked = np.maximum(0, sample_weights(counts * HELD / counts.sum()) * (known.sum() + 60) - known)
    assert selection.quotas == pytest.approx(60 * lacked / lacked.sum(), abs=1e-4)


def test_labels_that_neighbours_bear_too_are_right():
    r = made()
    right, c = r.memory["right"], correctness(r, "rad")
    assert c[right].mean() > c[~right].mean() + 0.4
    assert abs(c.mean() - right.mean()) < 0.06
    alone = Calibrator().fit(r.holdout_teacher, r.holdout_labels, r.holdout_student)
    before = np.asarray(alone.predict(r.teacher_logits, r.student_logits))
    assert before[right].mean() < before[~right].mean() + 0.1  # the two models alone cannot tell
    n = HELD
    assert (c >= 0.5 / (n + 1)).all()
    assert (c <= (n + 0.5) / (n + 1)).all()


def test_the_default_chooses_right_labels_where_it_knows_the_neighbours():
    shares = {}
    for vectors in (True, False):
        rounds = [made(seed, vectors=vectors) for seed in range(4)]
        shares[vectors] = np.mean([r.memory["right"][STRATEGIES["rad"](r).indices].mean() for r in rounds])
    assert shares[True] > 0.9
    assert shares[False] < 0.85


def test_without_vectors_neighbours_are_those_of_the_students_logits():
    given = made(vectors=False)
    same = made(vectors=False)
    same.vectors, same.holdout_vectors = given.student_logits, given.holdout_student
    assert np.array_equal(correctness(given, "rad"), correctness(same, "rad"))


def test_neighbours_are_counted_once_where_the_vectors_stay():
    r = made()
    correctness(r, "rad")
    kept = r.memory["neighbours"]
    again = made(student_logits=r.student_logits + 1.0, memory=r.memory)
    correctness(again, "rad")
    assert again.memory["neighbours"] is kept
    moved = made(vectors=False, memory=r.memory)
    correctness(moved, "rad")
    assert moved.memory["neighbours"] is not kept


def test_a_teacher_that_is_always_right_is_taken_as_it_is():
    r = made()
    r.holdout_labels = r.holdout_teacher.argmax(1)
    assert np.ptp(correctness(r, "rad")) == 0.0
    assert correctness(r, "rad")[0] == pytest.approx((HELD + 0.5) / (HELD + 1))


def test_quotas_make_up_for_what_the_student_was_taught():
    """Labelled points of one class count as if they had been chosen: the class gets fewer."""
    r = made(labelled=np.repeat([0, 1, 2], [40, 5, 5]))
    label = r.teacher_logits.argmax(1)
    assert label_counts(r, label).tolist() == [40, 5, 5]
    got = np.bincount(label[STRATEGIES["rad"](r).indices], minlength=C)
    assert got.sum() == 60
    assert got[0] <= 2
    whole = got + label_counts(r, label)
    assert np.ptp(whole[1:]) <= 8
    r.available[STRATEGIES["rad"](r).indices] = False
    assert label_counts(r, label).tolist() == whole.tolist()
