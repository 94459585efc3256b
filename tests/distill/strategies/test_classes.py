"""Strategies that go round the classes."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="rad_fast.distill needs torch")

from rad_fast.distill import STRATEGIES, Round
from rad_fast.distill.strategies.classes import confidence, in_turn


def test_in_turn_takes_the_best_of_every_class_then_the_second():
    label = np.array([0, 0, 0, 1, 1, 2])
    score = np.array([0.1, 0.3, 0.2, 0.5, 0.6, 0.9])
    r = Round(3, np.ones(6, bool), np.zeros((6, 3), np.float32))
    assert in_turn(r, label, score).indices.tolist() == [1, 4, 5]
    r.budget = 5
    assert in_turn(r, label, score).indices.tolist() == [1, 2, 3, 4, 5]
    r.available[1] = False
    r.budget = 3
    again = Round(3, r.available, r.student_logits)
    assert in_turn(again, label, score).indices.tolist() == [2, 4, 5]


def test_balanced_top_confidence_takes_the_surest_of_each_label():
    teacher = np.array([[3, 0], [1, 0], [0, 2], [0, 4], [0, 1]], np.float32)
    r = Round(2, np.ones(5, bool), np.zeros_like(teacher), teacher)
    assert STRATEGIES["balanced-top-confidence"](r).indices.tolist() == [0, 3]
    assert confidence(teacher)[0] == pytest.approx(1 / (1 + np.exp(-3)))


def test_balanced_greedy_prefers_what_the_student_has_not_learned():
    """Where the teacher is always right correctness is the same for all, and the gain alone decides."""
    rng = np.random.default_rng(0)
    teacher = rng.normal(0, 3, (80, 2)).astype(np.float32)
    student = rng.normal(0, 1, (80, 2)).astype(np.float32)
    label = teacher.argmax(1)
    r = Round(
        2, np.ones(40, bool), student[:40], teacher[:40],
        holdout_labels=label[40:], holdout_teacher=teacher[40:], holdout_student=student[40:],
    )  # fmt: skip
    taken = STRATEGIES["balanced-greedy"](r).indices
    gain = 1 - r.student[np.arange(40), label[:40]]
    assert sorted(label[taken]) == [0, 1]
    assert all(gain[at] == gain[label[:40] == label[at]].max() for at in taken)
