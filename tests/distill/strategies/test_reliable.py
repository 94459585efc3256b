"""Strategies that ask both models: each against its definition, written out."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="rad_fast.distill needs torch")

from rad_fast.distill import STRATEGIES, Round
from rad_fast.distill.strategies.reliable import adaptive
from rad_fast.distill.strategies.scores import softmax


def logits_of(p: np.ndarray) -> np.ndarray:
    return np.log(np.asarray(p)).astype(np.float32)


def round_of(teacher: np.ndarray, student: np.ndarray, budget: int, **others) -> Round:
    available = np.ones(len(teacher), bool)
    return Round(budget, available, logits_of(student), logits_of(teacher), **others)


def test_adaptive_thresholds_written_out():
    value, label = np.array([0.9, 0.7, 0.4, 0.2]), np.array([0, 0, 2, 2])
    # class means 0.8 and 0.3, the overall mean 0.55
    assert adaptive(value, label) == pytest.approx([0.55, 0.55, 0.55 * 3 / 8, 0.55 * 3 / 8])


def test_llkd_takes_sure_teachers_and_unsure_students_first():
    teacher = [[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4], [0.1, 0.9], [0.4, 0.6]]
    student = [[0.5, 0.5], [0.99, 0.01], [0.5, 0.5], [0.99, 0.01], [0.5, 0.5], [0.5, 0.5]]
    assert STRATEGIES["llkd"](round_of(teacher, student, 2)).indices.tolist() == [0, 4]


def test_adaptive_thresholds_keep_out_no_class_where_all_are_equally_sure():
    for classes in range(2, 40):  # some of their sums are rounded up
        label = np.repeat(np.arange(classes), np.arange(1, classes + 1))
        value = np.full(len(label), 0.9)
        assert (value >= adaptive(value, label)).all()


def test_conformal_is_uniform_where_all_labels_are_equally_sure():
    """A model that only names a class: which one says nothing of how sure it is, not even by rounding."""
    classes, n = 21, 420
    label = np.arange(n) % classes
    teacher = np.full((n, classes), np.log(0.1 / 20), np.float32)
    teacher[np.arange(n), label] = np.log(0.9)
    held = {"holdout_labels": (label[:40] + 1) % classes, "holdout_teacher": teacher[:40]}
    times = np.zeros(classes)
    for seed in range(100):
        r = Round(
            210, np.ones(n, bool), np.zeros_like(teacher), teacher, seed=seed, holdout_student=teacher[:40], **held
        )
        times += np.bincount(label[STRATEGIES["conformal"](r).indices], minlength=classes)
    assert times == pytest.approx(np.full(classes, 1000), abs=4 * np.sqrt(500))


def test_learnability_is_the_ratio_of_probabilities():
    teacher = [[0.8, 0.2], [0.8, 0.2], [0.3, 0.7], [0.1, 0.9]]
    student = [[0.4, 0.6], [0.8, 0.2], [0.9, 0.1], [0.1, 0.9]]  # ratios 2, 1, 7, 1
    assert STRATEGIES["learnability-top"](round_of(teacher, student, 2)).indices.tolist() == [0, 2]
    times = np.zeros(4)
    for seed in range(2000):
        times[STRATEGIES["learnability"](round_of(teacher, student, 1, seed=seed)).indices] += 1
    assert times / 2000 == pytest.approx(np.array([2, 1, 7, 1]) / 11, abs=0.04)


def test_conformal_keeps_the_share_of_false_labels():
    """Where wrong labels look alike in hold-out and pool, at most a tenth of what is certified is wrong."""
    rng = np.random.default_rng(0)
    shares = []
    for seed in range(1000):
        right = rng.random(1500) < 0.7
        sure = np.where(right, rng.beta(9, 1.2, 1500), rng.beta(4, 4, 1500)) * 0.5 + 0.5
        p = np.column_stack([sure, 1 - sure])
        truth = np.where(right, 0, 1)
        held = {"holdout_labels": truth[:500], "holdout_teacher": logits_of(p[:500]), "holdout_student": p[:500]}
        r = round_of(p[500:], p[500:], 50, seed=seed, **held)
        taken = STRATEGIES["conformal"](r).indices
        shares.append(np.mean(truth[500:][taken] == 1))
    assert 0.08 < np.mean(shares) < 0.105  # the level is used up: a tenth, and the error of 1,000 draws
    assert np.mean(truth) > 0.25  # it has something to do


def test_conformal_without_any_certified_label_takes_the_least_p_values():
    teacher = np.array([[0.6, 0.4], [0.9, 0.1], [0.7, 0.3]])
    held = {"holdout_labels": np.array([1, 1]), "holdout_teacher": logits_of([[0.99, 0.01], [0.95, 0.05]])}
    r = round_of(teacher, teacher, 2, holdout_student=np.zeros((2, 2), np.float32), **held)
    assert len(STRATEGIES["conformal"](r).indices) == 2


def test_confident_learning_drops_what_the_student_is_sure_is_another_class():
    teacher = [[0.9, 0.1]] * 3 + [[0.1, 0.9]] * 3
    student = [[0.9, 0.1], [0.8, 0.2], [0.05, 0.95], [0.2, 0.8], [0.3, 0.7], [0.97, 0.03]]
    for seed in range(10):  # the third and the last are errors; thresholds are 0.58 and 0.51
        assert STRATEGIES["confident-learning"](round_of(teacher, student, 4, seed=seed)).indices.tolist() == [
            0,
            1,
            3,
            4,
        ]
    assert (
        2 in STRATEGIES["confident-learning"](round_of(teacher, student, 6)).indices
    )  # only where nothing else is left


@pytest.mark.parametrize("name", ["llkd", "learnability", "learnability-top", "confident-learning", "balanced-greedy"])
def test_without_the_teachers_logits_they_say_so(name):
    r = Round(1, np.ones(3, bool), np.zeros((3, 2), np.float32))
    with pytest.raises(ValueError, match=f"{name}.*the teacher's logits for the pool"):
        STRATEGIES[name](r)


def test_rows_are_probabilities():
    assert softmax(logits_of([[0.2, 0.8]]))[0] == pytest.approx([0.2, 0.8])
