"""Students that are estimators of scikit-learn: their logits, what they learn, and the whole loop with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from sklearn.ensemble import RandomForestClassifier  # noqa: E402
from sklearn.feature_extraction.text import CountVectorizer  # noqa: E402
from sklearn.linear_model import LogisticRegression, RidgeClassifier  # noqa: E402
from sklearn.neighbors import KNeighborsClassifier  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from rad_fast.distill import ActiveDistiller, SklearnStudent, SoftLabelDataset  # noqa: E402

rng = np.random.default_rng(0)
X = rng.normal(size=(600, 5)).astype(np.float32)
Y = (X @ rng.normal(size=(5, 3))).argmax(1)
LOGITS = 8.0 * np.eye(3, dtype=np.float32)[Y] + rng.normal(0, 2, (600, 3)).astype(np.float32)
ESTIMATORS = {
    "logistic regression": LogisticRegression(),
    "pipeline": make_pipeline(StandardScaler(), LogisticRegression()),
    "forest": RandomForestClassifier(20, random_state=0),
    "without sample weights": KNeighborsClassifier(3),
    "without probabilities": RidgeClassifier(),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_whole_loop_trains_an_estimator(name: str) -> None:
    estimator = ESTIMATORS[name]
    distiller = ActiveDistiller(
        SklearnStudent(estimator),
        None,
        labelled=(X[:30], Y[:30]),
        holdout=(X[30:100], Y[30:100]),
        pool=X[100:500],
        pool_logits=LOGITS[100:500],
        holdout_logits=LOGITS[30:100],
        budget=60,
        rounds=2,
        progress=False,
    )
    student = distiller.run()
    assert isinstance(student, SklearnStudent)
    assert (student(X[500:]).argmax(1) == Y[500:]).mean() > 0.6
    assert not hasattr(estimator, "classes_"), "what was given is not fitted"
    assert repr(distiller) == "ActiveDistiller(2 of 2 rounds done, 120 of 400 points, 0 queries)"
    assert "120 of 400 points" in distiller._repr_html_()
    assert repr(student).endswith(", fitted)")


def test_a_run_that_was_killed_goes_on_with_an_estimator(tmp_path: Any) -> None:
    given = {
        "labelled": (X[:30], Y[:30]),
        "holdout": (X[30:100], Y[30:100]),
        "pool": X[100:500],
        "pool_logits": LOGITS[100:500],
        "holdout_logits": LOGITS[30:100],
        "budget": 40,
        "rounds": 2,
        "progress": False,
        "journal": tmp_path / "journal",
    }
    first = ActiveDistiller(SklearnStudent(LogisticRegression()), None, **given).run()
    again = ActiveDistiller(SklearnStudent(LogisticRegression()), None, **given)
    assert len(again.history) == 3
    np.testing.assert_array_equal(again.run()(X[500:]), first(X[500:]))


def test_soft_labels_and_weights_are_learned_as_weighted_rows() -> None:
    """A point that is 70% one class and 30% another is as two rows of these weights; one of weight 0 is as none."""
    targets = np.tile([0.7, 0.3, 0.0], (20, 1)).astype(np.float32)
    targets[10:] = [0.0, 0.0, 1.0]
    weights = np.ones(20, np.float32)
    weights[10:12] = 0.0
    data = SoftLabelDataset(torch.from_numpy(X[:20]), torch.from_numpy(targets), weights=torch.from_numpy(weights))
    student = SklearnStudent(LogisticRegression(), 3).learn(data)
    rows = np.concatenate([X[:10], X[:10], X[12:20]])
    labels, weight = np.repeat([0, 1, 2], [10, 10, 8]), np.repeat([0.7, 0.3, 1.0], [10, 10, 8])
    expected = LogisticRegression().fit(rows, labels, sample_weight=weight)
    np.testing.assert_allclose(student.estimator.predict_proba(X), expected.predict_proba(X), atol=1e-3)


def test_a_class_that_was_not_seen_is_unlikely_and_not_ruled_out() -> None:
    data = SoftLabelDataset(X[:40], np.where(Y[:40] == 2, 0, Y[:40]), n_classes=4)
    logits = SklearnStudent(LogisticRegression(), 4).learn(data)(X[:5])
    assert logits.shape == (5, 4)
    assert np.isfinite(logits).all()
    assert np.all(logits[:, 2:] == logits.min())


def test_before_it_has_learned_anything_all_classes_are_alike() -> None:
    assert np.all(SklearnStudent(LogisticRegression(), 3)(X[:4]) == 0.0)
    with pytest.raises(ValueError, match="n_classes: expected a number"):
        SklearnStudent(LogisticRegression())(X[:4])


def test_texts_are_given_to_a_pipeline_as_they_are() -> None:
    texts = ["good food", "bad food", "good place", "bad place"] * 5
    labels = np.array([1, 0, 1, 0] * 5)
    student = SklearnStudent(make_pipeline(CountVectorizer(), LogisticRegression()), 2)
    student = student.learn(SoftLabelDataset(texts, labels, n_classes=2))
    np.testing.assert_array_equal(student(["good", "bad"]).argmax(1), [1, 0])


@pytest.mark.parametrize(
    "wrong", [LogisticRegression, object(), StandardScaler()], ids=["a class", "anything", "no classifier"]
)
def test_what_is_no_classifier_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="estimator: expected a classifier"):
        SklearnStudent(wrong)


def test_a_classifier_in_place_of_student_or_teacher_is_told_how_to_be_one() -> None:
    given = {"labelled": (X[:40], Y[:40]), "pool": X[100:], "budget": 10}
    with pytest.raises(TypeError, match=r"student: .* got LogisticRegression; wrap .* SklearnStudent\(Logistic"):
        ActiveDistiller(LogisticRegression(), lambda batch: batch, **given)
    with pytest.raises(TypeError, match=r"teacher: .* got LogisticRegression; .*\(model\.predict_proba\(batch\)\)"):
        ActiveDistiller(SklearnStudent(LogisticRegression()), LogisticRegression(), **given)


def test_lightgbm_is_such_an_estimator() -> None:
    lightgbm = pytest.importorskip("lightgbm")
    estimator = lightgbm.LGBMClassifier(n_estimators=20, min_child_samples=5, verbose=-1, n_jobs=1)
    student = SklearnStudent(estimator, 3).learn(SoftLabelDataset(X[:500], Y[:500], n_classes=3))
    assert (student(X[500:]).argmax(1) == Y[500:]).mean() > 0.7


def test_an_estimator_that_fails_is_named() -> None:
    student = SklearnStudent(LogisticRegression(), 3)
    alike = SoftLabelDataset(X[:20], np.zeros(20, np.int64), n_classes=3)
    with pytest.raises(
        ValueError, match="student: LogisticRegression cannot learn 20 rows of 1 of 3 classes: ValueError"
    ):
        student.learn(alike)
    learned = student.learn(SoftLabelDataset(X, Y, n_classes=3))
    with pytest.raises(
        ValueError, match=r"student: LogisticRegression cannot say what 5 inputs are: ValueError: .*NaN"
    ):
        learned(X[:5] * np.nan)


@pytest.mark.parametrize("estimator", [LogisticRegression(), KNeighborsClassifier(3)])
def test_what_says_nothing_is_not_learned(estimator: Any) -> None:
    student = SklearnStudent(estimator, 3)
    for data, says in (
        (SoftLabelDataset(X[:0], Y[:0], n_classes=3), "dataset: expected at least one point to learn, got none"),
        (SoftLabelDataset(X, Y, n_classes=3, weights=np.zeros(600)), "dataset: .* got 0 for every point"),
        (SoftLabelDataset(X, Y, n_classes=4), "dataset: expected labels of 3 classes, as the student has, got 4"),
    ):
        with pytest.raises(ValueError, match=says):
            student.learn(data)
    assert SklearnStudent(estimator).learn(SoftLabelDataset(X, Y, n_classes=4))(X[:2]).shape == (2, 4)


def test_a_decision_function_of_pairs_is_none_of_classes() -> None:
    from sklearn.svm import SVC

    for estimator in (SVC(decision_function_shape="ovo"), make_pipeline(SVC(decision_function_shape="ovo"))):
        with pytest.raises(
            ValueError, match=r"estimator: expected a decision function of the classes, got .*'ovo', .*'ovr'"
        ):
            SklearnStudent(estimator)
    learned = SklearnStudent(SVC()).learn(SoftLabelDataset(X, Y, n_classes=3))
    assert (learned(X).argmax(1) == Y).mean() > 0.9


@pytest.mark.parametrize(("n_classes", "error"), [("3", TypeError), (1, ValueError), (2.0, TypeError)])
def test_a_number_of_classes_is_one(n_classes: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="n_classes: expected an int of at least 2, got"):
        SklearnStudent(LogisticRegression(), n_classes)


@pytest.mark.parametrize("which", ["pool_logits", "holdout_logits", "neither"])
def test_classes_are_as_many_as_the_teacher_has(which: str) -> None:
    """Though the labels show two of three."""
    two = np.flatnonzero(Y < 2)
    given = {"pool_logits": LOGITS[300:], "holdout_logits": LOGITS[two[20:60]], "neither": None}
    distiller = ActiveDistiller(
        SklearnStudent(LogisticRegression()),
        lambda batch: LOGITS[: len(batch)],
        labelled=(X[two[:20]], Y[two[:20]]),
        holdout=(X[two[20:60]], Y[two[20:60]]),
        pool=X[300:],
        budget=5,
        progress=False,
        **({} if which == "neither" else {which: given[which]}),
    )
    assert distiller.classes == (2 if which == "neither" else 3)
    if which == "neither":
        with pytest.raises(
            RuntimeError, match=r"logits of 2 classes.*give a student that has them \(n_classes= of a Skl"
        ):
            distiller.run()
