"""A teacher's answers alone: labels, with or without how sure it says it is."""

from __future__ import annotations

import numpy as np
import pytest

import rad_fast
from rad_fast import Calibrator, Selector, TeacherLabels, TopKLogits
from rad_fast.device.backends import Backend

N, C = 3000, 6


@pytest.fixture(scope="module")
def said() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Labels, confidences, the student's logits and the truth; the surer the teacher, the more often it is right."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, C, N)
    confidence = rng.uniform(0.3, 1.0, N)
    labels = np.where(rng.random(N) < confidence, truth, rng.integers(0, C, N))
    student = rng.normal(0, 1, (N, C))
    student[np.arange(N), truth] += 1.0
    return labels, confidence, student, truth


def test_labels_and_confidences_are_the_logits_with_these_probabilities(kernels: Backend, said) -> None:
    labels, confidence, student, _ = said
    p = np.repeat((1 - confidence)[:, None] / (C - 1), C, axis=1)
    p[np.arange(N), labels] = confidence
    alone = TeacherLabels(labels, confidence, n_classes=C)
    for given in ({}, {"student_logits": student, "gain": "label"}):
        ours = Selector(60, quotas="auto", backend=kernels.name).fit(alone, **given)
        # Which of equal others is the runner-up, labels alone do not say: without a student the order is another.
        theirs = Selector(60, quotas="auto", backend=kernels.name).fit(np.log(p), **given)
        np.testing.assert_array_equal(ours.labels, theirs.labels)
        np.testing.assert_allclose(ours.correctness, theirs.correctness, atol=1e-6)
        np.testing.assert_allclose(ours.gain, theirs.gain, atol=2e-6)
        np.testing.assert_allclose(ours.value, theirs.value, rtol=1e-4)


def test_points_without_an_answer_are_left_out_counted_and_said(kernels: Backend, said) -> None:
    labels, confidence, student, _ = said
    some = np.where(np.arange(N) % 10 == 3, -1, labels)
    selection = Selector(60, quotas="auto", backend=kernels.name).fit(
        TeacherLabels(some, confidence, n_classes=C), student_logits=student
    )
    assert (some[selection.indices] >= 0).all()
    assert selection.report()["unanswered"] == 300
    assert selection.n_excluded == 300
    assert "300 without an answer" in selection.summary()


def test_labels_alone_need_a_student_or_a_gain(said) -> None:
    labels, _, student, _ = said
    alone = TeacherLabels(labels, n_classes=C)
    with pytest.raises(ValueError, match="logits: expected confidence= with TeacherLabels, or student_logits="):
        rad_fast.select(alone, 10)
    assert len(rad_fast.select(alone, 10, student_logits=student, mistakes=0.1)) == 10
    assert len(rad_fast.select(alone, 10, gain=np.linspace(0, 1, N), mistakes=0.1)) == 10


def test_a_confidence_that_was_not_said_is_as_little_as_a_guess(said) -> None:
    labels, confidence, _, _ = said
    some = np.where(np.arange(N) % 2, confidence, np.nan)
    selection = Selector(60).fit(TeacherLabels(labels, some, n_classes=C))
    np.testing.assert_allclose(selection.correctness[::2], 1 / C, rtol=1e-6)
    assert (selection.indices % 2 == 1).all()


@pytest.mark.parametrize("beside", [False, True])
def test_a_calibrator_learns_from_them_and_leaves_out_what_has_no_answer(kernels: Backend, said, beside: bool) -> None:
    labels, confidence, student, truth = said
    some = np.where(np.arange(N) % 10 == 3, -1, labels)
    given = TeacherLabels(some, confidence, n_classes=C)
    held = slice(0, 500)
    calibrator = Calibrator(backend=kernels.name).fit(given[held], truth[held], student[held] if beside else None)
    assert calibrator.n_labelled_ == 450
    kept = some[held] >= 0
    again = Calibrator(backend=kernels.name).fit(
        given[held][kept], truth[held][kept], student[held][kept] if beside else None
    )
    assert again.rule_ == calibrator.rule_
    predicted = calibrator.predict(given, student)
    np.testing.assert_array_equal(np.isnan(predicted), some < 0)
    right = labels == truth
    sure = predicted > 0.8
    assert right[sure].mean() > right.mean() + 0.1
    selection = Selector(60, quotas="auto", backend=kernels.name).fit(
        given, student_logits=student if beside else None, correctness=calibrator
    )
    np.testing.assert_array_equal(selection.correctness, predicted)


def test_chunks_give_the_same_indices(said) -> None:
    labels, confidence, student, _ = said
    given = TeacherLabels(labels, confidence, n_classes=C)
    selector = Selector(60, quotas="auto")
    for begin in range(0, N, 701):
        part = slice(begin, begin + 701)
        selector.partial_fit(given[part], student_logits=student[part], gain="label")
    whole = Selector(60, quotas="auto").fit(given, student_logits=student, gain="label")
    np.testing.assert_array_equal(selector.finalize().indices, whole.indices)


@pytest.mark.parametrize(
    ("labels", "confidence", "classes", "error", "words"),
    [
        ([0, 3], None, 3, ValueError, "labels: expected classes from 0 to 2, or -1 for no answer; 1 is not"),
        ([0, -2], None, 3, ValueError, "labels: expected classes"),
        ([0.0, 1.0], None, 3, TypeError, "labels: expected .* integers"),
        ([[0], [1]], None, 3, TypeError, "labels: expected"),
        ([0, 1], [0.5], 3, TypeError, r"confidence: expected floats in .* of shape \(2,\)"),
        (
            [0, 1],
            [0.5, 1.5],
            3,
            ValueError,
            "confidence: expected numbers in .* 1 is not, the first: 1.5 at index 1",
        ),
        ([0, 1], None, 1, ValueError, "n_classes"),
    ],
)
def test_what_cannot_be_meant_is_refused(labels, confidence, classes, error, words) -> None:
    with pytest.raises(error, match=words):
        TeacherLabels(np.array(labels), None if confidence is None else np.array(confidence), n_classes=classes)


def test_the_top_k_have_the_likeliest_other_class_of_all_logits(kernels: Backend) -> None:
    rng = np.random.default_rng(4)
    teacher, student = rng.normal(0, 3, (2, 2000, 40))
    kept = [np.argsort(-z, axis=1)[:, :6] for z in (teacher, student)]
    few = [
        TopKLogits(np.take_along_axis(z, at, 1), at, 40, np.log(np.exp(z).sum(1)))
        for z, at in zip((teacher, student), kept, strict=True)
    ]
    for pair in ((few[0], None), (few[0], few[1]), (teacher, few[1]), (few[0], student)):
        whole = (teacher, None if pair[1] is None else student)
        ours, theirs = (
            Selector(50, quotas="auto", backend=kernels.name).fit(a, student_logits=b, correctness=0.9, gain="margin")
            for a, b in (pair, whole)
        )
        np.testing.assert_array_equal(ours._points.other, theirs._points.other)


def test_answers_and_probabilities_show_how_many_there_are() -> None:
    labels, confidence = np.array([0, 2, -1]), np.array([0.9, 0.8, np.nan])
    assert repr(rad_fast.TeacherLabels(labels, n_classes=3)) == (
        "TeacherLabels(3 points, 3 classes, without confidence, 1 without an answer)"
    )
    assert "3 classes, with confidence, 1 without" in repr(rad_fast.TeacherLabels(labels, confidence, n_classes=3))
    assert repr(rad_fast.Probabilities(np.full((1000, 4), 0.25))) == "Probabilities(1,000 points, 4 classes, float64)"


def test_confidences_in_bfloat16_are_the_same_numbers() -> None:
    torch = pytest.importorskip("torch")
    values = np.array([0.5, 0.75, 0.99609375], np.float32)  # bfloat16 has them
    kept = rad_fast.TeacherLabels(np.array([0, 1, 1]), torch.from_numpy(values).bfloat16(), n_classes=2)
    np.testing.assert_array_equal(np.asarray(kept.confidence, np.float32), values)
