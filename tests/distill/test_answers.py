"""Teachers that only name a class, or say probabilities: known before the run, and asked in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="rad_fast.distill needs torch")

from rad_fast import Probabilities, TeacherLabels  # noqa: E402
from rad_fast.distill import STRATEGIES, ActiveDistiller, BudgetWarning, Round, TeacherError  # noqa: E402
from rad_fast.distill.answers import logits_of  # noqa: E402

from .distill_problem import CLASSES, POINTS, arguments, plane, truth, weights_of  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::rad_fast.UnreliableTeacherWarning")
POOL, HELD = slice(60, POINTS), slice(20, 60)


def labels(rows: slice, every: int = 5) -> np.ndarray:
    """The teacher's labels, without an answer for one in so many."""
    label = truth(plane()[0][rows] + 0.15).argmax(1).numpy()
    return np.where(np.arange(len(label)) % every == 0, -1, label)


def named(rows: slice, **others: Any) -> TeacherLabels:
    return TeacherLabels(labels(rows), n_classes=CLASSES, **others)


def distiller(**others: Any) -> ActiveDistiller:
    return ActiveDistiller(**arguments(**others))


def test_labels_are_logits_of_their_confidence():
    logits = logits_of(TeacherLabels(np.array([2, -1, 0]), np.array([0.7, 0.9, np.nan]), n_classes=3))
    p = np.exp(logits)
    np.testing.assert_allclose(p[[0, 2]], [[0.15, 0.15, 0.7], [1 / 3] * 3], atol=1e-6)
    assert np.isnan(p[1]).all()
    sure = logits_of(TeacherLabels(np.array([1, 0]), n_classes=2))
    assert sure.tolist() == [[-np.inf, 0.0], [0.0, -np.inf]]


@pytest.mark.parametrize("said", [np.nan, 1 / CLASSES, 0.1, 0.0])
def test_a_label_is_learned_as_it_is_however_little_is_said_of_it(said):
    classes = 1000  # their logarithms are far from 0, where float32 is coarse
    many = np.array([0, 999, 500])
    assert logits_of(TeacherLabels(many, np.full(3, said), n_classes=classes)).argmax(1).tolist() == many.tolist()
    sure = np.where(np.arange(180) % 2, 0.9, said)
    answers = TeacherLabels(labels(POOL), sure, n_classes=CLASSES)
    made = distiller(teacher=None, strategy="uniform", pool_logits=answers, holdout_logits=named(HELD), budget=60)
    made.run()
    chosen = [int(target.argmax()) for _, target, _ in made.dataset()][20:]
    assert chosen == labels(POOL)[made.selected].tolist()
    assert len({label for label, at in zip(chosen, made.selected, strict=True) if at % 2 == 0}) == CLASSES


@pytest.mark.parametrize("name", sorted(set(STRATEGIES) - {"unixkd"}))
def test_points_without_an_answer_are_never_chosen(name):
    made = distiller(
        teacher=None, strategy=name, pool_logits=named(POOL), holdout_logits=named(HELD), labels="hard", rounds=3
    )
    made.run()
    assert len(np.unique(made.selected)) == 45
    assert (labels(POOL)[made.selected] >= 0).all()
    chosen = [int(target.argmax()) for _, target, _ in made.dataset()][20:]
    assert chosen == labels(POOL)[made.selected].tolist()


def test_a_run_ends_when_all_that_have_an_answer_are_used_up():
    made = distiller(teacher=None, pool_logits=named(POOL), holdout_logits=named(HELD), budget=100, rounds=4)
    with pytest.warns(BudgetWarning, match="only 44 points are left"):
        made.run()
    assert len(made.selected) == 144
    assert len(made.history) == 3


def test_what_has_no_answer_does_not_count_as_learned():
    seen: list[Round] = []

    def watched(r: Round) -> Any:
        seen.append(r)
        return STRATEGIES["rad"](r)

    made = distiller(strategy=watched, teacher=None, pool_logits=named(POOL), holdout_logits=named(HELD))
    made.run()
    r = seen[0]
    assert len(r.holdout_labels) == len(r.holdout_teacher) == len(r.holdout_student) == len(r.holdout_vectors) == 32
    assert r.unanswered.tolist() == (labels(POOL) < 0).tolist()
    from rad_fast.distill.strategies.neighbours import label_counts

    counts = [label_counts(r, r.teacher_logits.argmax(1)).sum() for r in seen]
    assert counts == [20, 35]  # the labelled points, and those of the first round


def teacher_of_labels(batch: torch.Tensor) -> TeacherLabels:
    """Has no answer where the first coordinate is large."""
    label = truth(batch + 0.15).argmax(1).numpy()
    return TeacherLabels(np.where(batch[:, 0].numpy() > 1.0, -1, label), n_classes=CLASSES)


def test_a_teacher_that_answers_with_labels_is_asked_once_and_may_have_no_answer(tmp_path):
    made = distiller(teacher=teacher_of_labels, budget=60, journal=tmp_path / "run")
    made.run()
    x = plane()[0][POOL]
    none = (x[made.selected, 0] > 1.0).numpy()
    assert none.any()
    assert len(made.dataset()) == 20 + (~none).sum()
    assert made.queries == 40 + 120  # also what has no answer was asked for
    again = distiller(teacher=nobody, budget=60, journal=tmp_path / "run")
    again.run()
    assert np.array_equal(weights_of(again.student), weights_of(made.student))


def nobody(batch: torch.Tensor) -> Any:
    raise AssertionError("asked again")


def test_probabilities_are_as_good_as_their_logarithms():
    x = plane()[0]

    def probabilities(rows: Any) -> Probabilities:
        return Probabilities(truth(rows + 0.15).softmax(1))

    given = {"pool_logits": probabilities(x[POOL]), "holdout_logits": probabilities(x[HELD])}
    known, asked, plain = distiller(**given, teacher=None), distiller(teacher=probabilities), distiller()
    for made in (known, asked, plain):
        made.run()
    logits = {"pool_logits": truth(x[POOL] + 0.15), "holdout_logits": truth(x[HELD] + 0.15)}
    beside = distiller(**logits, teacher=None)
    beside.run()
    assert np.array_equal(known.selected, beside.selected)
    assert np.array_equal(asked.selected, plain.selected)
    np.testing.assert_allclose(weights_of(asked.student), weights_of(plain.student), atol=1e-4)


def test_answers_that_cannot_be_meant_are_refused():
    with pytest.raises(ValueError, match="pool_logits: expected 3 classes, as the student has, got 4"):
        distiller(pool_logits=TeacherLabels(labels(POOL), n_classes=4))
    with pytest.raises(ValueError, match="holdout_logits: expected one row per point, 40, got 180"):
        distiller(holdout_logits=named(POOL))
    silent = TeacherLabels(np.full(40, -1), n_classes=CLASSES)
    with pytest.raises(ValueError, match="holdout_logits: expected an answer of the teacher for some point"):
        distiller(holdout_logits=silent)
    with pytest.raises(TeacherError, match="expected logits of 3 classes"):
        distiller(teacher=lambda batch: TeacherLabels(np.zeros(len(batch), int), n_classes=5)).run()
    with pytest.raises(TeacherError, match="expected a row of logits for each of the 8 points of a batch, got 1"):
        distiller(teacher=lambda batch: TeacherLabels(np.zeros(1, int), n_classes=CLASSES)).run()
    with pytest.raises(ValueError, match="holdout: expected an answer of the teacher for some of the 40 points"):
        distiller(teacher=lambda batch: TeacherLabels(np.full(len(batch), -1), n_classes=CLASSES)).run()
