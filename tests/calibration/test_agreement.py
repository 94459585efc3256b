"""rad_fast.agreement: what the reference says it is, of any library; what a Calibrator and select make of it."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import rad_fast
from rad_fast import Calibrator, Selector, TeacherLabels, agreement
from rad_fast.calibration import neighbours
from rad_fast.kernels.reference import agreement as reference
from rad_fast.kernels.reference.score import Kind, logit, score

N, D, C, HELD = 800, 12, 5, 200


@pytest.fixture(scope="module")
def world() -> dict[str, np.ndarray]:
    """A teacher that is right on 70%, points around their class's centre, a student that knows little."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, C, N + HELD)
    label = np.where(rng.random(N + HELD) < 0.3, rng.integers(0, C, N + HELD), truth)
    logits = rng.normal(0, 1, (N + HELD, C)) + 4 * np.eye(C)[label]
    features = 2 * np.eye(C, D)[truth] + rng.normal(0, 0.7, (N + HELD, D))
    return {
        "truth": truth,
        "logits": logits.astype(np.float32),
        "student": (rng.normal(0, 1, (N + HELD, C)) + np.eye(C)[truth]).astype(np.float32),
        "x": features.astype(np.float32),
        "label": logits.argmax(1),
    }


@pytest.fixture(scope="module")
def shares(world) -> tuple[np.ndarray, np.ndarray]:
    """Agreement in the pool, and that of the hold-out with the pool."""
    x, label = world["x"], world["label"]
    return agreement(x[:N], label[:N]), agreement(x[:N], label[:N], x[N:], label[N:])


# --------------------------------------------------------------------------------------------------------- the shares


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize("count", [1, 10, 2000])
def test_it_is_what_the_reference_says(world, library: str, count: int, monkeypatch) -> None:
    monkeypatch.setattr(neighbours, "BLOCK", 97 * N)  # several blocks
    features, label = world["x"], np.where(np.arange(N + HELD) % 11 == 0, -1, world["label"])
    given = features
    if library == "torch":
        given = pytest.importorskip("torch").from_numpy(features)
    for queries in (None, slice(N, None)):
        others = (None, None) if queries is None else (features[queries], label[queries])
        expected = reference.agreement(features[:N], label[:N], *others, neighbours=count)
        beside = (None, None) if queries is None else (given[queries], label[queries])
        found = agreement(given[:N], label[:N], *beside, neighbours=count)
        assert type(found) is type(given)
        assert found.dtype == given.dtype
        np.testing.assert_allclose(np.asarray(found), expected, atol=1e-6)
        assert np.isnan(expected).sum() > 5  # whose label is not known


def test_a_label_that_points_alike_bear_too_is_right_more_often(world, shares) -> None:
    right = world["label"] == world["truth"]
    for share, part in zip(shares, (slice(0, N), slice(N, None)), strict=True):
        assert share[right[part]].mean() > share[~right[part]].mean() + 0.4


def test_no_point_is_its_own_neighbour_and_who_has_none_has_a_half() -> None:
    points, labels = np.eye(4, dtype=np.float32) + 0.1, np.arange(4)
    assert agreement(points, labels, neighbours=3).tolist() == [0.0] * 4
    assert agreement(points[:1], labels[:1]).tolist() == [0.5]
    assert agreement(points, np.array([2, -1, -1, -1]), points[:2], np.array([2, 1])).tolist() == [1.0, 0.0]
    assert np.array_equal(agreement(points, np.full(4, -1)), np.full(4, np.nan), equal_nan=True)


def test_of_many_points_some_are_drawn(world) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 5000)
    points = (np.eye(2)[labels] + rng.normal(0, 0.1, (5000, 2))).astype(np.float32)
    drawn = agreement(points, labels, among=100)
    assert drawn.mean() > 0.99
    assert agreement(points, labels, points[:100], 1 - labels[:100], among=100).mean() < 0.01
    np.testing.assert_array_equal(drawn, agreement(points, labels, among=100))
    label = world["label"][:N]
    few = [agreement(world["x"][:N], label, among=50, seed=seed) for seed in (0, 1)]
    assert not np.array_equal(*few)
    np.testing.assert_array_equal(agreement(world["x"][:N], label, among=None), agreement(world["x"][:N], label))


def test_labels_may_be_a_teachers_answers_and_features_of_any_width(world) -> None:
    x, label = world["x"][:100], world["label"][:100]
    expected = agreement(x, label)
    np.testing.assert_array_equal(agreement(x, TeacherLabels(label, n_classes=C)), expected)
    np.testing.assert_array_equal(agreement(x.astype(np.float64), label.astype(np.uint8)), expected)
    torch = pytest.importorskip("torch")
    rough = torch.from_numpy(x).bfloat16()
    found = agreement(rough, torch.from_numpy(label))
    np.testing.assert_allclose(found, agreement(rough.float(), label))
    assert found.dtype == torch.float32


def test_rows_of_zeros_are_nobodys_neighbours_more_than_others() -> None:
    points = np.zeros((30, 3), np.float32)
    assert agreement(points, np.zeros(30, int)).tolist() == [1.0] * 30


X, Y = np.zeros((6, 3), np.float32), np.arange(6) % 2


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ((X[:, 0], Y), ValueError, r"features: expected 2 dimensions, \(points, features\), got shape \(6,\)"),
        ((X.astype(int), Y), TypeError, "features: expected float64, float32, .*, got int64; texts need an encoder"),
        ((X + np.nan, Y), ValueError, "features: expected finite numbers in every row, 6 rows have others"),
        ((X, Y[:5]), ValueError, r"labels: expected one label per point, shape \(6,\), got shape \(5,\)"),
        ((X, Y / 2), TypeError, "labels: expected integers, the teacher's label of each point, got dtype float64"),
        ((X, Y, X), ValueError, "queries and query_labels: expected both or neither"),
        ((X, Y, X[:, :2], Y), ValueError, "queries: expected 3 columns as in features, got 2"),
        ((X, Y, X, Y[:1]), ValueError, "query_labels: expected one label per point"),
    ],
)
def test_what_cannot_be_meant_is_refused(given, error, words) -> None:
    with pytest.raises(error, match=words):
        agreement(*given)


@pytest.mark.parametrize("settings", [{"neighbours": 0}, {"neighbours": 2.5}, {"among": 0}, {"seed": -1}])
def test_settings_that_cannot_be_meant_are_refused(settings) -> None:
    with pytest.raises((TypeError, ValueError), match=next(iter(settings))):
        agreement(X, Y, **{"among": 3, **settings})


# ---------------------------------------------------------------------------------------- what a Calibrator makes of it


def fitted(world, shares, backend: str = "auto", student: bool = True) -> Calibrator:
    beside = world["student"][N:] if student else None
    calibrator = Calibrator(backend=backend)
    return calibrator.fit(world["logits"][N:], world["truth"][N:], beside, agreement=shares[1])


@pytest.mark.parametrize("student", [True, False])
def test_it_is_logistic_regression_with_the_agreement_as_one_more_number(world, shares, kernels, student) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    calibrator = fitted(world, shares, kernels.name, student)
    z, s = world["logits"], world["student"]

    def described(part: slice, share: np.ndarray) -> np.ndarray:
        teacher = score(z[part])
        beside = score(s[part], teacher.label)
        columns = [logit(teacher.margin), np.log((10 * share + 0.5) / (10.5 - 10 * share))]
        return np.column_stack([*columns, *([logit(beside.given_probability), beside.margin] if student else [])])

    right = world["label"][N:] == world["truth"][N:]
    model = linear_model.LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000)
    model.fit(described(slice(N, None), shares[1].astype(float)), right)
    theirs = np.clip(
        model.predict_proba(described(slice(0, N), shares[0].astype(float)))[:, 1], *calibrator.rule_.bounds
    )
    ours = calibrator.predict(z[:N], s[:N] if student else None, agreement=shares[0])
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5)
    assert calibrator.rule_.kind == Kind.LOGISTIC
    assert calibrator.needs_agreement_
    assert calibrator.needs_student_ is student


@pytest.mark.parametrize("student", [True, False])
def test_it_tells_more_than_the_models_alone(world, shares, student) -> None:
    z, s, right = world["logits"], world["student"], world["label"][:N] == world["truth"][:N]

    def loss(c: np.ndarray) -> float:
        return float(-np.log(np.where(right, c, 1 - c)).mean())

    beside = s[:N] if student else None
    alone = Calibrator().fit(z[N:], world["truth"][N:], s[N:] if student else None).predict(z[:N], beside)
    asked = fitted(world, shares, student=student).predict(z[:N], beside, agreement=shares[0])
    assert loss(asked) < 0.8 * loss(alone)


@pytest.mark.parametrize("student", [True, False])
def test_select_uses_what_it_predicts_at_once_in_chunks_and_from_top_k(world, shares, kernels, student) -> None:
    calibrator = fitted(world, shares, kernels.name, student)
    z, s = world["logits"][:N], world["student"][:N] if student else None
    selector, given = Selector(60, backend=kernels.name), {"student_logits": s, "correctness": calibrator}
    whole = Selector(60, backend=kernels.name).fit(z, **given, agreement=shares[0])
    np.testing.assert_array_equal(whole.correctness, calibrator.predict(z, s, agreement=shares[0]))
    for part in np.array_split(np.arange(N), 3):
        beside = None if s is None else s[part]
        selector.partial_fit(z[part], student_logits=beside, correctness=calibrator, agreement=shares[0][part])
    np.testing.assert_array_equal(selector.finalize().indices, whole.indices)
    everything = rad_fast.TopKLogits(z, np.tile(np.arange(C), (N, 1)), C)
    found = rad_fast.select(everything, 60, **given, agreement=shares[0], backend=kernels.name)
    np.testing.assert_array_equal(found, whole.indices)


def test_the_selection_has_more_right_labels_and_a_certificate(world, shares) -> None:
    z, s, right = world["logits"], world["student"], world["label"][:N] == world["truth"][:N]
    alone = Calibrator().fit(z[N:], world["truth"][N:], s[N:])
    before = Selector(60).fit(z[:N], student_logits=s[:N], correctness=alone)
    after = Selector(60).fit(z[:N], student_logits=s[:N], correctness=fitted(world, shares), agreement=shares[0])
    assert right[after.indices].mean() > right[before.indices].mean()
    promised, came = after.certificate(0.95), after.probabilities * after.gain * np.where(right, 1, -1)
    assert before.certificate(0.95) < promised <= came.sum()


def test_labels_alone_and_points_without_an_answer(world, kernels) -> None:
    label = np.where(np.arange(N + HELD) % 9 == 0, -1, world["label"])
    x = world["x"]
    near, held = agreement(x[:N], label[:N]), agreement(x[:N], label[:N], x[N:], label[N:])
    assert np.isnan(near).any()
    assert np.isnan(held).any()
    teacher = [TeacherLabels(part, n_classes=C) for part in (label[:N], label[N:])]
    calibrator = Calibrator().fit(teacher[1], world["truth"][N:], world["student"][N:], agreement=held)
    assert calibrator.n_labelled_ == (label[N:] >= 0).sum()
    given = {"student_logits": world["student"][:N], "correctness": calibrator, "agreement": near}
    chosen = rad_fast.select(teacher[0], 40, **given, backend=kernels.name)
    np.testing.assert_array_equal(chosen, rad_fast.select(teacher[0], 40, **given, backend="reference"))
    assert (label[chosen] >= 0).all()


def test_agreement_is_asked_for_where_it_was_learned_from_and_refused_elsewhere(world, shares) -> None:
    z, s = world["logits"], world["student"]
    calibrator, near = fitted(world, shares), shares[0]
    alone = Calibrator().fit(z[N:], world["truth"][N:], s[N:])
    missing = "agreement: expected the share of each point's neighbours .*: the calibrator was fitted with it"
    useless = "agreement: expected None, or a Calibrator as correctness that was fitted with it"
    with pytest.raises(ValueError, match=missing):
        rad_fast.select(z[:N], 10, student_logits=s[:N], correctness=calibrator)
    with pytest.raises(ValueError, match=missing):
        calibrator.predict(z[:N], s[:N])
    for correctness in (None, 0.9, near, alone):
        with pytest.raises(ValueError, match=useless):
            rad_fast.select(z[:N], 10, student_logits=s[:N], correctness=correctness, agreement=near)
    with pytest.raises(ValueError, match=useless):
        alone.predict(z[:N], s[:N], agreement=near)
    with pytest.raises(ValueError, match="expected the student's logits: the calibrator was fitted with them"):
        rad_fast.select(z[:N], 10, correctness=calibrator, agreement=near)
    stream = pytest.importorskip("rad_fast.stream")
    with pytest.raises(ValueError, match="fitted without agreement: a stream does not know"):
        stream.StreamSelector(0.1, correctness=calibrator)
    with pytest.raises(ValueError, match="calibrator: expected one fitted with the small model's logits alone"):
        stream.Cascade(None, None, 0.1, fitted(world, shares, student=False))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda a: a[1:], ValueError, r"agreement: expected one number per point, shape \(800,\), got shape \(799,\)"),
        (lambda a: a + np.nan, ValueError, r"agreement: expected numbers in \[0, 1\], 800 are not, the first: nan at"),
        (lambda a: a + 0.5, ValueError, r"agreement: expected numbers in \[0, 1\]"),
        (lambda a: a.astype(int), TypeError, "agreement: expected floats in .* got dtype int64"),
        (lambda a: "near", TypeError, "agreement: expected an array, got str"),
    ],
)
def test_agreement_that_cannot_be_meant_is_refused(world, shares, change, error, words) -> None:
    z, s = world["logits"][:N], world["student"][:N]
    with pytest.raises(error, match=words):
        rad_fast.select(z, 10, student_logits=s, correctness=fitted(world, shares), agreement=change(shares[0]))
    with pytest.raises(error, match=words):
        Calibrator().fit(z, world["truth"][:N], s, agreement=change(shares[0]))


def test_what_is_excluded_may_have_any_agreement(world, shares) -> None:
    z, s, out = world["logits"][:N], world["student"][:N], np.arange(N) < 50
    near = np.where(out, np.nan, shares[0]).astype(np.float32)
    given = {"student_logits": s, "correctness": fitted(world, shares), "exclude": out}
    found = rad_fast.select(z, 30, **given, agreement=near)
    np.testing.assert_array_equal(found, rad_fast.select(z, 30, **given, agreement=shares[0]))


def test_a_calibrator_with_agreement_is_kept_pickled_and_shown(world, shares, tmp_path) -> None:
    calibrator = fitted(world, shares)
    assert calibrator.get_params() == {"backend": "auto"}
    z, s = world["logits"][:N], world["student"][:N]
    expected = calibrator.predict(z, s, agreement=shares[0])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(calibrator)).predict(z, s, agreement=shares[0]), expected)
    assert "neighbours" in calibrator._repr_html_()
    selection = Selector(20).fit(z, student_logits=s, correctness=calibrator, agreement=shares[0])
    selection.save(tmp_path / "kept.npz")
    back = rad_fast.Selection.load(tmp_path / "kept.npz")
    assert back.certificate(0.9) == selection.certificate(0.9)
    np.testing.assert_array_equal(back.calibrator.predict(z, s, agreement=shares[0]), expected)


def test_a_teacher_always_right_is_one_number_with_agreement_too(world, shares) -> None:
    z = world["logits"]
    calibrator = Calibrator().fit(z[N:], world["label"][N:], agreement=shares[1])
    predicted = calibrator.predict(z[:N], agreement=shares[0])
    np.testing.assert_allclose(predicted, (HELD + 0.5) / (HELD + 1), atol=1e-7)
