"""select() with the gain of the label, quotas and what was chosen before; invariants 2 and 3 with quotas."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import rad_fast
from rad_fast import Selector
from rad_fast.device.backends import Backend
from rad_fast.kernels.reference.quotas import sample_weights

N, C, BUDGET = 4000, 7, 150


@pytest.fixture(scope="module")
def teacher() -> np.ndarray:
    rng = np.random.default_rng(1)
    z = rng.normal(0, 2, (N, C)).astype(np.float32)
    z += np.linspace(0, 2.5, C, dtype=np.float32)  # classes of very different frequency
    return z


@pytest.fixture(scope="module")
def student() -> np.ndarray:
    return np.random.default_rng(2).normal(0, 1, (N, C)).astype(np.float32)


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z.astype(np.float64) - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


# ------------------------------------------------------------------------------------------------------------ the gain


def test_the_gain_of_the_label_is_what_the_student_would_learn_from_it(kernels: Backend, teacher, student) -> None:
    label = teacher.argmax(1)
    wanted = 1 - softmax(student)[np.arange(N), label]
    margin = np.sort(softmax(student), axis=1)
    found = {
        name: Selector(10, backend=kernels.name).fit(teacher, student_logits=student, gain=name).gain
        for name in ("label", "auto", "margin")
    }
    np.testing.assert_allclose(found["label"], wanted, atol=1e-6)
    np.testing.assert_array_equal(found["auto"], found["label"])
    np.testing.assert_allclose(found["margin"], 1 - (margin[:, -1] - margin[:, -2]), atol=1e-6)


def test_auto_is_the_margin_where_the_students_classes_are_others_or_there_is_none(teacher, student) -> None:
    for beside in (None, student[:, :3]):
        auto, margin = (Selector(10).fit(teacher, student_logits=beside, gain=name).gain for name in ("auto", "margin"))
        np.testing.assert_array_equal(auto, margin)


def test_a_given_gain_is_taken_on_the_grid_that_sums_are_exact_on(teacher) -> None:
    gain = np.random.default_rng(3).random(N)
    selection = Selector(BUDGET, quotas="auto").fit(teacher, gain=gain)
    np.testing.assert_allclose(selection.gain, gain, atol=2.0**-25)
    assert (selection.gain.astype(np.float64) * 2**24 % 1 == 0).all()


@pytest.mark.parametrize(
    ("gain", "error", "words"),
    [
        ("labels", ValueError, r'gain: expected "auto", "label", "margin" or numbers in \[0, 1\], one per point; got'),
        (None, TypeError, "gain: expected"),
        (0.5, TypeError, "gain: expected"),
        (np.full(N, 1.5), ValueError, "gain: expected numbers in .*, 4000 are not, the first: 1.5 at index 0"),
        (np.full(N, np.nan), ValueError, "gain: expected numbers in"),
        (np.full(N - 1, 0.5), ValueError, r"gain: expected one number per point, shape \(4000,\)"),
        (np.full(N, "x"), TypeError, "gain: expected"),
        ("label", ValueError, "give student_logits"),
    ],
)
def test_a_gain_that_cannot_be_meant_is_refused(teacher, gain, error, words) -> None:
    with pytest.raises(error, match=words):
        rad_fast.select(teacher, 10, gain=gain)


def test_the_gain_of_a_label_needs_a_student_of_the_same_classes(teacher, student) -> None:
    with pytest.raises(ValueError, match='7 classes, in the student\'s probabilities, of 3 classes; use "margin"'):
        rad_fast.select(teacher, 10, student_logits=student[:, :3], gain="label")
    selector = Selector(10).partial_fit(teacher, student_logits=student, gain="label")
    with pytest.raises(ValueError, match="gain: expected one of the label as before"):
        selector.partial_fit(teacher, student_logits=student, gain="margin")


# ---------------------------------------------------------------------------------------------------------- the quotas


@pytest.mark.parametrize("quotas", ["auto", "equal", "proportional", {0: 1.0, 3: 2.5}, np.arange(C)])
def test_each_class_gets_the_floor_or_the_ceiling_of_its_quota(kernels: Backend, teacher, student, quotas) -> None:
    for seed in range(20):
        selector = Selector(BUDGET, quotas=quotas, seed=seed, backend=kernels.name)
        selection = selector.fit(teacher, student_logits=student, gain="label")
        got = np.bincount(selection.labels[selection.indices], minlength=C)
        assert len(selection.indices) == BUDGET
        assert (np.diff(selection.indices) > 0).all()
        assert selection.quotas.sum() == BUDGET
        assert (np.floor(selection.quotas) <= got).all()
        assert (got <= np.ceil(selection.quotas)).all()
    q = selection.probabilities
    np.testing.assert_allclose(np.bincount(selection.labels, q, minlength=C), selection.quotas, atol=1e-9 * BUDGET)
    np.testing.assert_allclose(selection.weights, 1 / q[selection.indices])


def test_frequencies_of_many_samples_match_the_probabilities(teacher, student) -> None:
    some = slice(0, 300)
    seeds, counts = 800, np.zeros(300)
    for seed in range(seeds):
        selection = Selector(30, quotas="auto", seed=seed).fit(
            teacher[some], student_logits=student[some], gain="label"
        )
        counts[selection.indices] += 1
    q = selection.probabilities
    deviation = (counts - seeds * q) / np.sqrt(np.maximum(seeds * q * (1 - q), 1e-9))
    unsure = (q > 0) & (q < 1)
    assert unsure.sum() > 20
    assert np.abs(deviation[unsure]).max() < 4.5
    assert (counts[q == 1] == seeds).all()
    assert (counts[q == 0] == 0).all()


def test_the_indices_are_the_same_in_chunks_of_any_size_and_from_files(
    kernels: Backend, reference: Backend, teacher, student, tmp_path: Path
) -> None:
    given = {"student_logits": student, "gain": "label"}
    expected = Selector(BUDGET, quotas="auto", backend=reference.name).fit(teacher, **given).indices
    np.testing.assert_array_equal(
        Selector(BUDGET, quotas="auto", backend=kernels.name).fit(teacher, **given).indices, expected
    )
    files = Selector(BUDGET, quotas="auto", backend=kernels.name, scores=tmp_path / "scores")
    np.testing.assert_array_equal(files.fit(teacher, **given).indices, expected)
    for size in (1000, 333):
        selector = Selector(BUDGET, quotas="auto", backend=kernels.name)
        for begin in range(0, N, size):
            part = slice(begin, begin + size)
            selector.partial_fit(teacher[part], student_logits=student[part], gain="label")
        np.testing.assert_array_equal(selector.finalize().indices, expected)


def test_the_value_is_the_sum_of_the_values_of_a_game_for_each_class(teacher) -> None:
    whole = Selector(20 * C, quotas="equal", mistakes=200).fit(teacher)
    counts = np.bincount(whole.labels, minlength=C)
    alone = [
        Selector(20, mistakes=float(200 * counts[k] / N)).fit(teacher, exclude=whole.labels != k).value
        for k in range(C)
    ]
    assert whole.quotas.tolist() == [20.0] * C
    assert abs(sum(alone) - whole.value) < 1e-6 * whole.value


@pytest.mark.parametrize(
    ("quotas", "error", "words"),
    [
        ("some", ValueError, 'quotas: expected "auto", "equal", "proportional", None, or weights'),
        (3, TypeError, "quotas: expected"),
        (np.ones((2, C)), TypeError, r"quotas: expected .* got dtype float64 and shape \(2, 7\)"),
        (np.ones(C - 1), ValueError, "quotas: expected a weight for each of 7 classes, got 6"),
        (np.full(C, -1.0), ValueError, "quotas: expected finite weights of at least 0, 7 are not, the first: -1.0"),
        (np.full(C, np.nan), ValueError, "quotas: expected finite weights"),
        (np.zeros(C), ValueError, "quotas: expected a weight above 0, all are 0"),
        ({7: 1.0}, ValueError, "quotas: expected classes from 0 to 6, got 7"),
        ({"a": 1.0}, TypeError, "quotas: expected a mapping of classes"),
        ({0: 0.0}, ValueError, "all are 0"),
    ],
)
def test_quotas_that_cannot_be_meant_are_refused(teacher, quotas, error, words) -> None:
    with pytest.raises(error, match=words):
        rad_fast.select(teacher, 10, quotas=quotas)


def test_a_class_without_points_leaves_its_share_to_the_others_and_the_report_says_so(teacher) -> None:
    without = teacher.copy()
    without[:, 2] = -30
    selection = Selector(BUDGET, quotas="equal").fit(without)
    assert selection.quotas[2] == 0
    assert selection.quotas.sum() == BUDGET
    assert selection.report()["quotas_without_points"] == ["2"]
    assert "classes without points, whose share went to the others: 2" in selection.summary()


def test_with_a_calibrator_the_shares_are_the_labels_as_in_a_sample_of_as_many_points(teacher, student) -> None:
    few = np.arange(60)
    truth = np.where(few % 4, teacher[few].argmax(1), 3)  # whose classes do not count
    calibrator = rad_fast.Calibrator().fit(teacher[few], truth, student[few])
    left = np.delete(np.arange(N), few)
    given = {"student_logits": student, "correctness": calibrator, "exclude": few, "chosen": {0: 9, 5: 4}}
    selection = Selector(BUDGET).fit(teacher, **given)
    points = np.bincount(teacher[left].argmax(1), minlength=C)
    wanted = sample_weights(points * (60 / len(left))) * (BUDGET + 13) - [9, 0, 0, 0, 0, 4, 0]
    assert wanted.min() > 0
    np.testing.assert_allclose(selection.quotas, wanted, atol=1e-6)


def doubted(teacher: np.ndarray) -> np.ndarray:
    """Correctness by which of three classes only every 20th point is more likely right than wrong."""
    return np.where((teacher.argmax(1) < 3) & (np.arange(N) % 20 > 0), 0.4, 0.9)


@pytest.mark.parametrize("quotas", ["auto", "equal", "proportional"])
def test_no_class_is_given_more_than_it_has_points_that_are_likely_right(
    kernels: Backend, reference: Backend, teacher, quotas, tmp_path: Path
) -> None:
    correctness, exclude = doubted(teacher), np.arange(0, N, 40)
    positive = np.bincount(np.delete(teacher.argmax(1), exclude)[np.delete(correctness, exclude) > 0.5], minlength=C)
    given = {"correctness": correctness, "exclude": exclude, "chosen": {5: 30}}
    settings = {"quotas": quotas, "mistakes": 0, "backend": kernels.name}
    selection = Selector(600, **settings).fit(teacher, **given)
    assert selection.quotas.sum() == 600
    assert (selection.quotas <= positive).all()
    assert selection.quotas[0] == positive[0]
    assert (correctness[selection.indices] == 0.9).all()
    np.testing.assert_array_equal(
        selection.indices, Selector(600, **settings | {"backend": reference.name}).fit(teacher, **given).indices
    )
    selector = Selector(600, **settings, scores=tmp_path / "scores")
    for part in (slice(0, 1500), slice(1500, N)):
        left = exclude[(exclude >= part.start) & (exclude < part.stop)] - part.start
        chosen = {5: 30} if part.start == 0 else None
        selector.partial_fit(teacher[part], correctness=correctness[part], exclude=left, chosen=chosen)
    np.testing.assert_array_equal(selector.finalize().indices, selection.indices)
    assert (selection.extend(900).quotas <= positive).all()


def test_where_the_budget_needs_them_the_other_points_are_shared_out_too(teacher) -> None:
    correctness = doubted(teacher)
    positive = np.bincount(teacher.argmax(1)[correctness > 0.5], minlength=C)
    with pytest.warns(UserWarning, match="value"):
        selection = Selector(int(positive.sum()) + 300, mistakes=N).fit(teacher, correctness=correctness)
    beyond = selection.quotas - positive
    assert beyond.min() == 0
    assert abs(beyond.sum() - 300) < 1e-6


def test_weights_of_ones_own_are_an_order(teacher) -> None:
    selection = Selector(70 * C, quotas=np.ones(C), mistakes=0).fit(teacher, correctness=doubted(teacher))
    assert selection.quotas.tolist() == [70.0] * C


def test_of_many_rare_labels_more_are_right_than_without_the_bound() -> None:
    """20,000 answers, 2,500 labels, half of them right: of 1,250 chosen 56% are right, not 48%."""
    rng, rows, classes, held = np.random.default_rng(2), 20_000, 2_500, 1_000
    often = 1 / np.arange(1, classes + 1)
    truth = rng.choice(classes, rows, p=often / often.sum())
    right = rng.random(rows) < 0.5
    label = np.where(right, truth, rng.integers(0, classes, rows))
    confidence = np.where(right, rng.beta(4, 1.5, rows), rng.beta(2.5, 2.5, rows))
    answers = rad_fast.TeacherLabels(label, confidence, n_classes=classes)
    few = rad_fast.TeacherLabels(label[:held], confidence[:held], n_classes=classes)
    given = {"correctness": rad_fast.Calibrator().fit(few, truth[:held]), "exclude": np.arange(held)}
    bounded = Selector(1250).fit(answers, **given)
    assert bounded._shares is not None
    free = Selector(1250, quotas=bounded._shares.weights).fit(answers, **given)
    assert right[bounded.indices].mean() > right[free.indices].mean() + 0.05
    assert bounded.value > 1.8 * free.value


@pytest.mark.parametrize("budget", [1, N])  # less than a point a class; everything
def test_the_ends_of_the_budget(kernels: Backend, teacher, budget: int) -> None:
    selection = Selector(budget, quotas="auto", mistakes=0, backend=kernels.name).fit(teacher)
    assert len(selection.indices) == budget
    if budget == N:
        np.testing.assert_array_equal(selection.indices, np.arange(N))


def test_more_classes_than_fit_a_byte(kernels: Backend, reference: Backend) -> None:
    rng = np.random.default_rng(5)
    wide, beside = rng.normal(0, 3, (2, 2000, 300)).astype(np.float32)
    first, second = (
        Selector(40, quotas="auto", mistakes=20, backend=name).fit(wide, student_logits=beside, gain="label")
        for name in (kernels.name, reference.name)
    )
    np.testing.assert_array_equal(first.indices, second.indices)
    assert first.quotas.max() < 1


# ----------------------------------------------------------------------------------------------- what was chosen before


def test_what_was_chosen_is_not_selected_again_and_counts_for_its_class(teacher) -> None:
    first = Selector(BUDGET, quotas="equal").fit(teacher)
    second = Selector(BUDGET, quotas="equal", seed=1).fit(teacher, chosen=first.indices)
    assert not np.isin(second.indices, first.indices).any()
    both = np.bincount(first.labels[np.concatenate([first.indices, second.indices])], minlength=C)
    assert both.max() - both.min() <= 2
    assert second.n_excluded == BUDGET
    mask = np.zeros(N, bool)
    mask[first.indices] = True
    np.testing.assert_array_equal(
        Selector(BUDGET, quotas="equal", seed=1).fit(teacher, chosen=mask).indices, second.indices
    )
    counted = Counter(first.labels[first.indices].tolist())
    elsewhere = Selector(BUDGET, quotas="equal", seed=1).fit(teacher, chosen=counted, exclude=mask)
    np.testing.assert_array_equal(elsewhere.indices, second.indices)


def test_counts_of_what_was_chosen_add_up_over_chunks(teacher) -> None:
    skewed = Selector(70, quotas="equal").fit(teacher, chosen={0: 30, 1: 10}).quotas
    selector = Selector(70, quotas="equal").partial_fit(teacher[:1000], chosen={0: 30})
    assert (selector.partial_fit(teacher[1000:], chosen={1: 10}).finalize().quotas == skewed).all()
    assert skewed[0] == 0
    assert skewed[1] < skewed[2]


@pytest.mark.parametrize(
    ("chosen", "error", "words"),
    [
        ([N], ValueError, "chosen: expected indices from 0 to 3999"),
        ([-1], ValueError, "chosen: expected indices"),
        (np.zeros(5, bool), ValueError, "chosen: expected a mask of 4000 points"),
        ([0.5], TypeError, "chosen: expected a boolean mask"),
        ({7: 1}, ValueError, "chosen: expected classes from 0 to 6, got 7"),
        ({0: -1}, ValueError, "chosen: expected counts of at least 0"),
        ({0: 0.5}, TypeError, "chosen: expected a mapping of classes to counts"),
    ],
)
def test_chosen_points_that_cannot_be_meant_are_refused(teacher, chosen, error, words) -> None:
    with pytest.raises(error, match=words):
        rad_fast.select(teacher, 10, quotas="equal", chosen=chosen)


def test_without_quotas_and_with_the_margin_the_indices_are_those_of_one_game(teacher) -> None:
    plain = rad_fast.select(teacher, BUDGET, gain="margin", quotas=None, mistakes=0.05)
    assert plain[:6].tolist() == [15, 45, 75, 106, 127, 149]
    assert len(plain) == BUDGET


def test_arguments_are_not_modified(teacher, student) -> None:
    gain, weights, chosen = np.full(N, 0.5), np.ones(C), np.arange(10)
    kept = [array.copy() for array in (teacher, student, gain, weights, chosen)]
    Selector(BUDGET, quotas=weights).fit(teacher, student_logits=student, gain=gain, chosen=chosen)
    for array, before in zip((teacher, student, gain, weights, chosen), kept, strict=True):
        np.testing.assert_array_equal(array, before)


def test_a_selection_with_quotas_can_be_tabled_saved_and_loaded(teacher, tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    selection = Selector(BUDGET, quotas="auto").fit(teacher, chosen={0: 3})
    table = selection.table("pandas")
    assert (table["why"].str.startswith("class")).all()
    np.testing.assert_allclose(table["probability"], selection.probabilities[selection.indices])
    selection.save(tmp_path / "saved.npz")
    loaded = rad_fast.Selection.load(tmp_path / "saved.npz")
    np.testing.assert_array_equal(loaded.probabilities, selection.probabilities)
    assert loaded.report() == selection.report() | {"backend": loaded.backend}
    assert "one per class" in selection._repr_html_()
