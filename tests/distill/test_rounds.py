"""What comes back in a round: from strategies, trainers, students and teachers; what it cannot be is refused."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="rad_fast.distill needs torch")

from rad_fast.distill import ActiveDistiller, Choice, TeacherError  # noqa: E402
from rad_fast.distill.round_inputs import doubtful_teacher  # noqa: E402

from .distill_problem import CLASSES, Student, Teacher, arguments, plane, truth, weights_of  # noqa: E402

X, Y = plane()


def distiller(**others) -> ActiveDistiller:
    return ActiveDistiller(**arguments(**{"rounds": 1, **others}))


# Strategies.


def at(value, points=15, partners=None):
    """A strategy that mixes its points with these partners, by these shares."""

    def mixes(r):
        with_whom = r.left[:points] if partners is None else partners
        return Choice(r.left[: r.budget], with_whom, value)

    return mixes


@pytest.mark.parametrize(
    ("strategy", "error", "says"),
    [
        (lambda r: r.left[: r.budget], TypeError, r"a Choice, got ndarray; return Choice\(indices\)"),
        (lambda r: None, TypeError, "a Choice, got NoneType"),
        (
            lambda r: Choice(r.left[:14]),
            ValueError,
            "15 distinct points .*, got 14, 14 of them distinct, 0 chosen before",
        ),
        (lambda r: Choice(r.left[[0, *range(14)]]), ValueError, "got 15, 14 of them distinct, 0 chosen before"),
        (at(np.ones(16)), ValueError, r"got shapes \(15,\) and \(16,\)"),
        (at(np.ones(15), 16), ValueError, r"got shapes \(16,\) and \(15,\)"),
        (at(None), ValueError, "partners and shares, or neither; got one of them"),
        (lambda r: Choice(r.left[: r.budget], None, np.ones(15)), ValueError, "partners and shares, or neither"),
        (at(np.ones(3), 3), ValueError, r"a share for each of 15 points, got shapes \(3,\) and \(3,\)"),
        (at(np.ones(14)), ValueError, r"got shapes \(15,\) and \(14,\)"),
        (at(np.full(15, 1.5)), ValueError, "shares from 0 to 1, 15 of 15 are not, the first: 1.5 at 0"),
        (at(np.full(15, np.nan)), ValueError, "shares from 0 to 1"),
        (at(np.ones(15), partners=np.full(15, -1)), ValueError, "its partners: expected indices from 0 to 179, got -1"),
        (at(np.ones(15), partners=np.full(15, 180)), ValueError, "indices from 0 to 179, got 180 at 0"),
        (at(np.ones(15), partners=np.full(15, 0.5)), TypeError, "its partners: expected integers"),
    ],
)
def test_what_a_strategy_returns_is_a_choice(strategy, error, says):
    made = distiller(strategy=strategy)
    with pytest.raises(error, match=f"strategy: .*{says}"):
        made.run()
    assert made.queries == 40  # nothing of the pool


def test_a_choice_of_lists_serves():
    made = distiller(strategy=lambda r: Choice([3, 1, *range(10, 23)], [0, 1] * 7 + [0], [0.0, 1.0] * 7 + [0.5]))
    made.run()
    assert made.selected.tolist() == [3, 1, *range(10, 23)]
    pool = X[60:]
    assert torch.equal(made.pool[1], pool[1])
    assert torch.equal(made.pool[22], 0.5 * pool[22] + 0.5 * pool[0])


# Trainers and students.


def test_a_trainer_returns_a_student_or_nothing():
    for found in (0.5, True, "done", [1.0], {"loss": 0.5}):
        with pytest.raises(
            TypeError, match=f"train: expected the trained student, or None .*, got {type(found).__name__}"
        ):
            distiller(train=lambda student, data, found=found: found).run()
    with pytest.raises(ValueError, match="train: expected a student of 3 classes, as the one given, got one of 5"):
        distiller(train=lambda student, data: torch.nn.Linear(2, 5)).run()

    def plain(batch):
        return torch.zeros(len(batch), CLASSES)

    with pytest.raises(TypeError, match=r"train: expected the trained student.* got float"):
        distiller(student=plain, train=lambda student, data: 0.5).run()
    distiller(student=plain, train=lambda student, data: plain).run()


class Outputs(torch.nn.Module):
    def __init__(self, shaped, width=6):
        super().__init__()
        self.layer, self.shaped = torch.nn.Linear(2, width), shaped

    def forward(self, x):
        return self.shaped(self.layer(x))


@pytest.mark.parametrize(
    ("student", "error", "says"),
    [
        (Outputs(lambda z: z, 1), ValueError, r"2 classes or more, got shape \(1, 1\); for two classes .* two outputs"),
        (Outputs(lambda z: z[:, 0]), ValueError, r"got shape \(1,\); for two classes the student needs two outputs"),
        (Outputs(lambda z: z.reshape(-1, 2, 3)), ValueError, r"got shape \(1, 2, 3\); flatten or choose in call="),
        (Outputs(lambda z: (z, z)), ValueError, r"got 2 things at once; .* student\(batch\)\[0\]"),
        (Student, TypeError, r"got the class Student; give Student\(...\)"),
        (None, TypeError, "another callable of a batch, got None"),
    ],
)
def test_a_student_gives_a_row_of_logits_for_each_point(student, error, says):
    teacher = Teacher()
    with pytest.raises(error, match=f"student: expected .*{says}"):
        distiller(student=student, teacher=teacher)
    assert teacher.calls == 0


@pytest.mark.parametrize("name", ["call", "collate", "sleep"])
def test_callables_are_callable(name):
    with pytest.raises(TypeError, match=f"{name}: expected a callable .*, got int"):
        distiller(**{name: 3})


@pytest.mark.parametrize("path", [5, "", True])
def test_a_journal_has_a_path(path):
    with pytest.raises(TypeError, match="journal: expected None or the path of a file, got"):
        distiller(journal=path)


def test_any_seed_serves_and_the_generators_of_others_are_left_alone():
    before, numpys = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    runs = []
    for seed in (2**62, 2**62, 2**70):
        made = distiller(seed=seed, train=None, labelled=(X[:60], Y[:60]), holdout=None, pool=X[60:])
        runs.append((weights_of(made.run()), made.selected))
    assert np.array_equal(runs[0][0], runs[1][0])
    assert np.array_equal(runs[0][1], runs[1][1])
    assert not np.array_equal(runs[0][1], runs[2][1])
    assert torch.equal(torch.random.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpys)  # noqa: NPY002


# Teachers.


@pytest.mark.parametrize("kind", [lambda y: y, lambda y: y.numpy(), lambda y: y.tolist()])
def test_labels_are_no_logits(kind):
    says = r"one whole number a row; if these are labels, return rad_fast.TeacherLabels\(labels, n_classes=3\)"
    with pytest.raises(TeacherError, match=f"teacher: expected logits of 3 classes, got {says}"):
        distiller(teacher=lambda batch: kind(truth(batch).argmax(1))).run()
    with pytest.raises(ValueError, match=r"pool_logits: expected 2 dimensions.* of labels give rad_fast.TeacherLabels"):
        distiller(pool_logits=kind(truth(X[60:]).argmax(1)))


@pytest.mark.parametrize(
    "said", [lambda z: z > 0, lambda z: (z > 0).numpy(), lambda z: None, lambda z: ["yes"] * len(z)]
)
def test_what_is_no_logits_is_told_what_is(said):
    with pytest.raises(TeacherError, match=r"teacher: .*; return logits \(rows, C\), TeacherLabels or Probabilities"):
        distiller(teacher=lambda batch: said(truth(batch))).run()


def test_a_round_without_an_answer_is_spoken_of():
    made = distiller(
        teacher=lambda batch: truth(batch) * torch.nan, holdout_logits=truth(X[20:60]), invalid="skip", rounds=2
    )
    with pytest.warns(UserWarning, match="the teacher answered for none of its 15 points") as caught:
        made.run()
    assert [str(one.message)[:8] for one in caught] == ["round 1:", "round 2:"]
    assert len(made.dataset()) == 20


def warned(**others) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        distiller(**others).run()
    assert all(one.filename == __file__ for one in caught)
    return [str(one.message) for one in caught]


def test_a_teacher_that_only_guesses_is_spoken_of():
    (said,) = warned(teacher=lambda batch: truth(batch)[:, [2, 0, 1]])  # column k says class k - 1
    assert said.startswith("teacher: right on 0 of 40 points of the hold-out, no more than a guess among 3 classes")
    assert said.endswith(
        "with its columns in the order [1, 2, 0] it would be right on 40: map its classes to those of the labels"
    )
    (said,) = warned(
        teacher=lambda batch: torch.tensor([9.0, 0.0, 0.0]).repeat(len(batch), 1), holdout=(X[20:60], Y[20:60].clamp(1))
    )
    assert said.endswith("nothing good can be learned from it; look at what it says of some points")
    assert warned() == []
    assert (
        warned(teacher=lambda batch: truth(batch)[:, [2, 0, 1]], holdout=(X[20:29], Y[20:29])) == []
    )  # too few to tell


@pytest.mark.parametrize(
    ("truth_", "label", "says"),
    [
        ([0] * 12 + [1] * 4 + [2] * 4, [1, 2] * 6 + [2] * 4 + [1] * 4, "look at what it says"),  # no order is better
        ([0, 1] * 10, [1, 0] * 10, "in the order [1, 0, 2] it would be right on 20"),
        ([0, 1] * 10, [1, 0] * 5 + [2] * 10, "look at what it says"),  # half of them
        ([0] * 10 + [1] * 10, [1] * 6 + [2] * 4 + [0] * 6 + [2] * 4, "in the order [1, 0, 2] it would be right on 12"),
        ([0, 1, 2, 0, 1, 2, 0, 1, 2], [1, 2, 0] * 3, None),  # too few points
        ([0] * 10 + [1] * 11, [0] * 8 + [1] * 2 + [0] * 11, None),  # 8 of 21 are more than a third
        ([0] * 10 + [1] * 11, [0] * 7 + [1] * 3 + [0] * 11, "right on 7 of 21 points"),
    ],
)
def test_when_a_teacher_only_guesses(truth_, label, says):
    found = doubtful_teacher(np.eye(3, dtype=np.float32)[label], np.array(truth_))
    assert (found is None) == (says is None)
    assert found is None or says in found


def test_with_its_columns_in_that_order_it_is_right():
    """As the message says."""
    wrong = truth(X[20:60])[:, [2, 0, 1]]
    assert torch.equal(wrong[:, [1, 2, 0]].argmax(1), Y[20:60])
