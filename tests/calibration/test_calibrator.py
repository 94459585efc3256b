"""The Calibrator: the two regressions against scikit-learn's, and that select uses what it predicts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import rad_fast
from rad_fast.kernels.reference.score import Kind, logit, score

N, C = 2000, 10


@pytest.fixture(scope="module")
def models():
    """A teacher, a weaker student that errs elsewhere, and the truth."""
    rng = np.random.default_rng(3)
    truth = rng.integers(0, C, N)
    teacher, student = rng.normal(size=(N, C)), rng.normal(size=(N, C))
    teacher[np.arange(N), truth] += rng.exponential(3, N)
    student[np.arange(N), truth] += rng.exponential(2, N)
    return teacher.astype(np.float32), student.astype(np.float32), truth


def test_on_the_teacher_alone_it_is_isotonic_regression_on_the_margin(models):
    isotonic = pytest.importorskip("sklearn.isotonic")
    teacher, _, truth = models
    calibrator = rad_fast.Calibrator(backend="reference").fit(teacher, truth)
    scores = score(teacher)
    margin = scores.margin.astype(np.float32)
    theirs = isotonic.IsotonicRegression(out_of_bounds="clip").fit(margin, scores.label == truth).predict(margin)
    theirs = np.clip(theirs, *calibrator.rule_.bounds)
    ours = calibrator.predict(teacher)
    worst = np.abs(ours - theirs).argmax()
    assert np.abs(ours - theirs).max() < 1e-6, f"point {worst}: {ours[worst]} and {theirs[worst]}"
    assert calibrator.rule_.kind == Kind.STEPS
    assert np.all(np.diff(calibrator.rule_.steps) > 0)
    assert np.all(np.diff(calibrator.rule_.levels) > 0)


def test_on_both_models_it_is_logistic_regression_with_a_unit_ridge(models):
    linear_model = pytest.importorskip("sklearn.linear_model")
    teacher, student, truth = models
    calibrator = rad_fast.Calibrator(backend="reference").fit(teacher, truth, student)
    of_teacher = score(teacher)
    of_student = score(student, of_teacher.label)
    features = np.column_stack([logit(of_teacher.margin), logit(of_student.given_probability), of_student.margin])
    theirs = linear_model.LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(features, of_teacher.label == truth)
    ours = np.array(calibrator.rule_.weights)
    np.testing.assert_allclose(ours, [theirs.intercept_[0], *theirs.coef_[0]], rtol=1e-4, atol=1e-5)
    expected = np.clip(theirs.predict_proba(features)[:, 1], *calibrator.rule_.bounds)
    np.testing.assert_allclose(calibrator.predict(teacher, student), expected, rtol=0, atol=1e-5)


def test_the_students_disagreement_tells_more_than_the_teachers_margin(models):
    teacher, student, truth = models
    half = N // 2
    right = score(teacher[half:]).label == truth[half:]

    def loss(c):
        return -np.log(np.where(right, c, 1 - c).clip(1e-6)).mean()

    alone = rad_fast.Calibrator().fit(teacher[:half], truth[:half]).predict(teacher[half:])
    both = rad_fast.Calibrator().fit(teacher[:half], truth[:half], student[:half])
    assert loss(both.predict(teacher[half:], student[half:])) < 0.9 * loss(alone)


@pytest.mark.parametrize("with_student", [False, True])
def test_select_uses_what_it_predicts(models, with_student, kernels):
    teacher, student, truth = models
    beside = student if with_student else None
    calibrator = rad_fast.Calibrator(backend=kernels.name).fit(
        teacher[:500], truth[:500], None if beside is None else beside[:500]
    )
    selection = rad_fast.Selector(50, backend=kernels.name).fit(teacher, student_logits=beside, correctness=calibrator)
    np.testing.assert_array_equal(selection.correctness, calibrator.predict(teacher, beside))
    wrong = calibrator.error_ * 500
    posterior = stats.beta(wrong + 0.5, 500 - wrong + 0.5)
    assert selection.mistakes == pytest.approx(N * posterior.std() / np.sqrt(2 * np.pi), rel=1e-12)


def test_points_of_equal_margin_get_one_level():
    logits = np.array([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0], [0.0, 5.0], [5.0, 0.0]], np.float32)
    truth = np.array([0, 1, 1, 1, 0])  # two of the three narrow ones and both wide ones are right
    calibrator = rad_fast.Calibrator(backend="reference").fit(logits, truth)
    np.testing.assert_allclose(calibrator.predict(logits), [2 / 3, 2 / 3, 2 / 3, 5.5 / 6, 5.5 / 6], atol=1e-7)


def test_neighbouring_margins_are_told_apart():
    margins = np.float32(0.5) + np.arange(4, dtype=np.float32) * np.float32(2.0**-24)
    from rad_fast.calibration.calibrator import steps

    rule = steps(margins.astype(np.float64), np.array([0.0, 0.0, 1.0, 1.0]))
    assert np.float32(rule.steps[0]) == margins[2], "a step between neighbours is the upper one"


@pytest.mark.parametrize("with_student", [False, True])
@pytest.mark.parametrize("always", ["right", "wrong"])
def test_a_teacher_always_right_or_wrong_gives_one_number(models, with_student, always):
    teacher, student, _ = models
    truth = teacher.argmax(axis=1) if always == "right" else (teacher.argmax(axis=1) + 1) % C
    calibrator = rad_fast.Calibrator().fit(teacher, truth, student if with_student else None)
    predicted = calibrator.predict(teacher, student)
    bound = 0.5 / (N + 1)  # what N labelled points cannot exclude
    np.testing.assert_allclose(predicted, 1 - bound if always == "right" else bound, atol=1e-7)
    assert 0 < calibrator.mistakes(1000) < 1


def test_one_labelled_point_is_enough_to_fit():
    calibrator = rad_fast.Calibrator().fit(np.array([[3.0, 1.0]]), np.array([0]))
    assert calibrator.predict(np.array([[1.0, 1.5], [9.0, 0.0]])).tolist() == [0.75, 0.75]


@pytest.mark.parametrize("with_student", [False, True])
def test_what_is_learned_from_few_points_is_never_0_or_1(models, with_student, kernels):
    teacher, student, truth = models
    for n in (1, 5, 30):
        calibrator = rad_fast.Calibrator(backend=kernels.name).fit(
            teacher[:n], truth[:n], student[:n] if with_student else None
        )
        predicted = calibrator.predict(teacher * 1000, student * 1000)
        assert predicted.min() >= np.float32(0.5 / (n + 1))
        assert predicted.max() <= np.float32((n + 0.5) / (n + 1))
        np.testing.assert_array_equal(calibrator.class_counts_, np.bincount(truth[:n], minlength=C))


def test_predictions_are_of_the_library_of_the_logits(models):
    torch = pytest.importorskip("torch")
    teacher, _, truth = models
    calibrator = rad_fast.Calibrator().fit(torch.from_numpy(teacher), torch.from_numpy(truth))
    assert isinstance(calibrator.predict(torch.from_numpy(teacher)), torch.Tensor)
    assert isinstance(calibrator.predict(teacher), np.ndarray)


@pytest.mark.parametrize(
    ("correctness", "share"),
    [(None, 0.02), (0.9, 0.1), ("array", 0.02)],  # raw confidences; (1 - accuracy) N; given numbers count as raw
)
def test_mistakes_by_default(models, correctness, share):
    teacher, _, _ = models
    given = np.full(N, 0.8) if correctness == "array" else correctness
    selection = rad_fast.Selector(50).fit(teacher * 3, correctness=given, exclude=np.arange(100))
    assert selection.mistakes == pytest.approx(share * (N - 100), rel=1e-12)
    if correctness == 0.9:
        assert np.all(selection.correctness == 1.0), "only an average is known: every label counts as right"


def test_a_calibrator_of_other_classes_is_refused():
    """What a margin among six classes says, one among four does not."""
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(0, 3, (300, 6)), rng.integers(0, 6, 300)
    calibrator = rad_fast.Calibrator().fit(logits, labels)
    words = "expected 6 classes, as the labelled points of the Calibrator have, got 4"
    with pytest.raises(ValueError, match=f"teacher_logits: {words}"):
        calibrator.predict(logits[:, :4])
    with pytest.raises(ValueError, match=f"logits: {words}"):
        rad_fast.select(logits[:, :4], 5, correctness=calibrator)
    with pytest.raises(ValueError, match=f"logits: {words}"):
        rad_fast.Selector(5).partial_fit(logits[:, :4], correctness=calibrator)


@pytest.mark.parametrize("both", [False, True])
def test_a_labelled_point_is_judged_by_a_calibration_that_does_not_know_it(both):
    from rad_fast.calibration.calibrator import FOLDS

    rng = np.random.default_rng(3)
    logits = rng.normal(0, 3, (53, 4))
    student = logits + rng.normal(0, 2, logits.shape) if both else None
    labels = np.where(rng.random(53) < 0.7, logits.argmax(1), rng.integers(0, 4, 53))
    found = rad_fast.Calibrator().fit(logits, labels, student).held_out()
    folds = np.arange(53) % FOLDS
    for k in range(FOLDS):
        known, held = folds != k, folds == k
        of_known, of_held = (student[known], student[held]) if both else (None, None)
        others = rad_fast.Calibrator().fit(logits[known], labels[known], of_known)
        np.testing.assert_allclose(found.correctness[held], others.predict(logits[held], of_held), atol=1e-6)
    assert rad_fast.Calibrator().fit(logits[:1], labels[:1]).held_out().correctness.tolist() == [0.5]


def test_the_gain_of_labelled_points_is_the_selection_s():
    rng = np.random.default_rng(4)
    logits, student = rng.normal(0, 3, (40, 4)), rng.normal(0, 3, (40, 4))
    labels = np.where(np.arange(40) % 3 > 0, logits.argmax(1), 0)
    held_out = rad_fast.Calibrator().fit(logits, labels, student).held_out()
    p = np.exp(student) / np.exp(student).sum(1, keepdims=True)

    def margin(z):
        e = np.sort(np.exp(z) / np.exp(z).sum(1, keepdims=True), axis=1)
        return e[:, -1] - e[:, -2]

    expected = {
        "teacher": 1 - margin(logits),
        "student": 1 - margin(student),
        "label": 1 - p[np.arange(40), logits.argmax(1)],
    }
    for kind, gain in expected.items():
        np.testing.assert_allclose(held_out.seen(kind).gain, gain, atol=1e-6)
    assert held_out.seen(None).gain is None
    assert (held_out.seen("label").right == (logits.argmax(1) == labels)).all()


def test_the_bands_of_a_curve_are_wilson_s():
    from scipy.stats import binomtest

    from rad_fast.calibration.calibrator import binned

    predicted = np.repeat([0.2, 0.5, 0.9], [40, 60, 100])
    right = np.concatenate([np.arange(40) < 9, np.arange(60) < 33, np.arange(100) < 93]).astype(float)
    curve = binned(predicted, right)
    assert curve[0] == pytest.approx([0.2, 0.5, 0.9])
    assert curve[1] == pytest.approx([9 / 40, 33 / 60, 0.93])
    assert curve[4].tolist() == [40, 60, 100]
    for at, (k, n) in enumerate([(9, 40), (33, 60), (93, 100)]):
        interval = binomtest(k, n).proportion_ci(0.95, "wilson")
        assert (curve[2][at], curve[3][at]) == pytest.approx((interval.low, interval.high), abs=1e-4)
    even = binned(np.linspace(0, 1, 200), np.ones(200))  # bins of about equal size, the first and the last among them
    assert even[4].sum() == 200
    assert even[4].max() - even[4].min() <= 1


class OnDevice:
    """As CuPy has an array: it says where it is, and hands out a copy in host memory."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape, self.dtype, self.ndim = array, array.shape, array.dtype, array.ndim
        self.__cuda_array_interface__ = {"shape": array.shape, "typestr": array.dtype.str, "data": (0, False)}

    def get(self) -> np.ndarray:
        return self.array


def test_labelled_points_on_a_device_are_brought_to_the_host(models):
    teacher, student, truth = models
    here = rad_fast.Calibrator().fit(teacher, truth, student)
    there = rad_fast.Calibrator().fit(*(OnDevice(array) for array in (teacher, truth, student)))
    assert there.rule_ == here.rule_
    assert there.error_ == here.error_
