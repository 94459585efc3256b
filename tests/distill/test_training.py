"""What a student is trained with: losses and items that cannot be meant are refused before anything is learned."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="rad_fast.distill needs torch")

from torch.nn import functional  # noqa: E402
from torch.utils.data import ConcatDataset, TensorDataset  # noqa: E402

from rad_fast.distill import (  # noqa: E402
    ActiveDistiller,
    DebiasingWeights,
    DistillationKL,
    Fit,
    MixingEstimator,
    SklearnStudent,
    SoftCrossEntropy,
    SoftLabelDataset,
    StudentLabelMixing,
    SubclassDistillation,
    WeightedDistillation,
    distillation_kl,
    predict,
    self_distillation,
    soft_cross_entropy,
    soft_targets,
    student_label_mixing,
)

from .distill_problem import CLASSES, Student, Teacher, arguments, plane, said_of, truth, weights_of  # noqa: E402

X, Y = plane(60)
LOGITS = truth(X)
DATA = SoftLabelDataset(X, Y, n_classes=CLASSES)
MIXING = MixingEstimator().fit(LOGITS, Y)


def two(logits, targets):
    return soft_cross_entropy(logits, targets)


# Losses.


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        (DistillationKL, r"got the class: give DistillationKL\(...\)"),
        ("kl", "got 'kl'"),
        (MIXING, "got <rad_fast"),
        (soft_cross_entropy, r"soft_cross_entropy wants its weight by name: give SoftCrossEntropy\(\)"),
        (functools.partial(soft_cross_entropy, temperature=2.0), "soft_cross_entropy wants its weight by name"),
        (distillation_kl, r"its weight by name: give DistillationKL\(\) where the targets are logits, or SoftCross"),
        (self_distillation, "wants the logits of an earlier student: train in a loop of your own"),
        (SubclassDistillation(), "wants the teacher's logits and embedding: train in a loop of your own"),
        (
            WeightedDistillation(DebiasingWeights().fit(LOGITS, LOGITS, Y)),
            r"of an earlier student: give the data set DebiasingWeights.predict\(...\) as its weights",
        ),
        (functional.cross_entropy, "torch's cross_entropy takes no weight for each row: give SoftCrossEntropy"),
        (torch.nn.CrossEntropyLoss(), "torch's CrossEntropyLoss takes no weight for each row"),
        (two, r"two cannot be called so \(too many positional arguments\): give SoftCrossEntropy\(\), or a function"),
        (functools.partial(student_label_mixing, alpha=0.9), "student_label_mixing cannot be called so"),
    ],
)
def test_losses_that_are_not_called_so_are_refused(loss, says):
    with pytest.raises(TypeError, match=f"loss: expected loss.logits, targets, weight.(,|;) .*{says}"):
        Fit(loss=loss)


def test_a_loss_is_one_number():
    with pytest.raises(ValueError, match='loss: expected one number, got SoftCrossEntropy with reduction="none"'):
        Fit(loss=SoftCrossEntropy(reduction="none"))
    for loss, error, says in (
        (lambda z, t, w: soft_cross_entropy(z, t, reduction="none"), TypeError, r"got shape \(60,\); reduce it"),
        (lambda z, t, w: 3.0, TypeError, "got float"),
        (lambda z, t, w: soft_cross_entropy(z, t).detach(), ValueError, "a number without gradient"),
    ):
        with pytest.raises(error, match=f"loss: expected .*{says}"):
            Fit(loss=loss)(Student(), DATA)


@pytest.mark.parametrize(
    "loss", [DistillationKL(2.0), StudentLabelMixing(MIXING), StudentLabelMixing(MIXING, soft=False)]
)
@pytest.mark.parametrize("labels", ["hard", "soft"])
def test_a_loss_that_takes_labels_for_logits_is_refused_before_the_teacher_is_asked(loss, labels):
    teacher, fit = Teacher(), Fit(epochs=1, loss=loss)
    with pytest.raises(
        TypeError, match=f"loss: expected one whose targets are .*; {type(loss).__name__} takes them for"
    ):
        ActiveDistiller(**arguments(teacher=teacher, train=fit, labels=labels))
    assert teacher.calls == 0
    for data in (DATA, ConcatDataset([DATA, DATA]), SoftLabelDataset(X[:2], Y[:2], n_classes=CLASSES)):
        with pytest.raises(TypeError, match="loss: expected one whose targets are probabilities"):
            fit(Student(), data)
    student = fit(Student(), TensorDataset(X, LOGITS, torch.ones(60)))  # logits they are
    assert not np.array_equal(weights_of(student), weights_of(Student()))
    with pytest.raises(ValueError, match="teacher_logits: expected logits, got probabilities"):
        fit(Student(), TensorDataset(X, LOGITS.softmax(1), torch.ones(60)))


def test_a_temperature_that_the_labels_do_not_have_is_spoken_of():
    hot = Fit(epochs=1, loss=SoftCrossEntropy(3.0))
    assert said_of(train=hot)[0].startswith(
        "loss: its temperature of 3 is for targets that are softened by as much, an"
    )
    assert 'these are one-hot; give labels="soft", temperature=3, or' in said_of(train=hot)[0]
    assert "these are softened by 2; give" in said_of(train=hot, labels="soft", temperature=2.0)[0]
    assert said_of(train=hot, labels="soft", temperature=3.0) == []
    assert said_of(train=Fit(epochs=1, loss=SoftCrossEntropy())) == []
    assert said_of(train=Fit(epochs=1), labels="soft", temperature=2.0) == []


def test_mixing_takes_the_weights_for_its_alpha():
    mixed = Fit(epochs=1, loss=student_label_mixing)
    assert said_of(train=mixed) == []
    assert said_of(train=mixed, weights=None)[0].startswith(
        "loss: student_label_mixing takes the weights for its alpha"
    )
    doubtful = SoftLabelDataset(X, Y, n_classes=CLASSES, weights=torch.full((60,), 0.7))
    one, other = (Fit(epochs=2, loss=loss)(Student(), doubtful) for loss in (student_label_mixing, None))
    assert not np.array_equal(weights_of(one), weights_of(other))
    with pytest.raises(ValueError, match="alpha: expected probabilities, from 0 to 1"):
        mixed(Student(), SoftLabelDataset(X, Y, n_classes=CLASSES, weights=torch.full((60,), 1.7)))


def test_an_estimator_that_cannot_learn_soft_labels_is_spoken_of():
    neighbours = pytest.importorskip("sklearn.neighbors").KNeighborsClassifier()
    student = SklearnStudent(neighbours)
    said = said_of(student=student, train=None, labels="soft")
    assert said[0].startswith("labels: soft ones asked for, but fit of KNeighborsClassifier takes no sample_weight")
    assert said_of(student=student, train=None) == []


def test_labels_of_mixtures_are_soft():
    assert said_of(strategy="unixkd")[0].startswith('strategy: "unixkd" mixes inputs, and the top class of a mixture')
    assert said_of(strategy="unixkd", labels="soft") == []


# Students.


class Callable:
    def __call__(self, batch):
        return torch.zeros(len(batch), CLASSES)


def test_what_fit_cannot_train_is_refused_before_the_teacher_is_asked():
    teacher = Teacher()
    for others, says in (
        ({"train": None}, r"train: expected a callable \(student, dataset\) that trains a Callable, got None: its"),
        ({"train": Fit()}, "that trains a Callable, got a Fit: it trains torch modules"),
    ):
        with pytest.raises(TypeError, match=says):
            ActiveDistiller(**arguments(teacher=teacher, student=Callable(), **others))
    linear = pytest.importorskip("sklearn.linear_model").LogisticRegression()
    with pytest.raises(TypeError, match="train: expected None, with which a SklearnStudent learns by its own fit"):
        ActiveDistiller(**arguments(teacher=teacher, student=SklearnStudent(linear)))
    assert teacher.calls == 0
    with pytest.raises(TypeError, match="student: expected a torch module, got Callable"):
        Fit()(Callable(), DATA)


def test_a_student_of_which_nothing_learns_is_refused():
    for student in (Student().requires_grad_(False), torch.nn.Identity()):
        with pytest.raises(
            ValueError, match="student: expected parameters to train, got none that requires a gradient"
        ):
            Fit()(student, DATA)
    frozen = Student()
    frozen.layers[0].requires_grad_(False)
    trained = Fit(epochs=1)(frozen, DATA)
    assert torch.equal(trained.layers[0].weight, Student().layers[0].weight)
    assert not torch.equal(trained.layers[2].weight, Student().layers[2].weight)


def test_training_that_diverged_says_so():
    with pytest.raises(
        RuntimeError, match=r"student: the loss was \S+ in epoch 1: training diverged.* smaller lr than"
    ):
        Fit(loss=lambda z, t, w: soft_cross_entropy(z, t) * torch.inf)(Student(), DATA)
    with pytest.raises(RuntimeError, match="student: the loss was nan in epoch 1"):
        Fit()(Student(), SoftLabelDataset(X * torch.nan, Y, n_classes=CLASSES))


def test_where_it_diverges_later_the_best_epoch_on_the_hold_out_stays():
    calls = []

    def loss(z, t, w):
        calls.append(1)
        return soft_cross_entropy(z, t) * (torch.nan if len(calls) > 2 else 1.0)

    student = Fit(epochs=9, loss=loss, holdout=(X, Y))(Student(), DATA)
    assert len(calls) == 3
    assert np.isfinite(weights_of(student)).all()
    assert not np.array_equal(weights_of(student), weights_of(Student()))


def test_a_softmax_is_seen_in_few_points_as_well():
    trained = []
    for ends in ([], [torch.nn.Softmax(1)]):
        student = torch.nn.Sequential(*Student().layers, *ends)
        trained.append(weights_of(Fit(epochs=3, lr=0.05)(student, SoftLabelDataset(X[:5], Y[:5], n_classes=CLASSES))))
    np.testing.assert_allclose(trained[1], trained[0], atol=1e-4)


# Items.


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        (TensorDataset(X, Y), TypeError, r"items \(input, target, weight\), got 2 parts; give SoftLabelDataset"),
        (X, TypeError, "got Tensor; give SoftLabelDataset"),
        ([], ValueError, "at least one point to learn, got none"),
        (iter([]), TypeError, "items .* by their place"),
        (TensorDataset(X, LOGITS, torch.ones(60)), ValueError, "targets: expected rows of probabilities that sum to 1"),
        (TensorDataset(X, Y - 1, torch.ones(60)), ValueError, "targets: expected classes from 0 to 2"),
        (TensorDataset(X, Y + 2, torch.ones(60)), ValueError, "targets: expected classes from 0 to 2"),
        (TensorDataset(X, LOGITS[:, :2].softmax(1), torch.ones(60)), ValueError, r"targets: expected shape \(60, 3\)"),
        (TensorDataset(X, Y, -torch.ones(60)), ValueError, "weight: expected finite weights of at least 0, 60 are not"),
        (TensorDataset(X, Y, torch.full((60,), math.nan)), ValueError, "weight: expected finite weights"),
        (TensorDataset(X, Y, torch.ones(60, 1)), ValueError, "weight: expected one number, or one per row"),
        (TensorDataset(X, Y, torch.zeros(60)), ValueError, "weights of which some are above 0, got 0 for every point"),
    ],
)
def test_items_that_cannot_be_learned_are_refused(data, error, says):
    with pytest.raises(error, match=says):
        Fit(epochs=2)(Student(), data)


def test_items_that_can_be_learned_are():
    weight = torch.tensor([0.0, 1.0]).repeat(30)
    labels = Fit(epochs=2, batch_size=30)(Student(), TensorDataset(X, Y, weight))
    soft = Fit(epochs=2, batch_size=30)(
        Student(), TensorDataset(X, torch.nn.functional.one_hot(Y, CLASSES).float(), weight)
    )
    np.testing.assert_allclose(weights_of(labels), weights_of(soft), atol=1e-6)
    Fit(epochs=1)(Student(), SoftLabelDataset(X, soft_targets(LOGITS)))


@pytest.mark.parametrize(
    ("holdout", "error", "says"),
    [
        ((X[:0], Y[:0]), ValueError, "holdout: expected at least one labelled point, got none"),
        ([], ValueError, "holdout: expected at least one labelled point, got none"),
        (X, TypeError, r"holdout: expected items \(input, label\), got Tensor at 0"),
        ((X, LOGITS), TypeError, "holdout: expected integers"),
        ((X, Y + 1), ValueError, "holdout: expected labels from 0 to 2"),
        (TensorDataset(X, Y - 1), ValueError, "holdout: expected labels from 0"),
    ],
)
def test_a_hold_out_has_labels(holdout, error, says):
    with pytest.raises(error, match=says):
        Fit(epochs=2, holdout=holdout)(Student(), DATA)


def test_a_hold_out_may_have_more_parts_than_its_labels():
    three = Fit(epochs=3, holdout=TensorDataset(X, Y, Y))(Student(), DATA)
    assert np.array_equal(weights_of(three), weights_of(Fit(epochs=3, holdout=(X, Y))(Student(), DATA)))


def test_a_fit_collates_inputs_as_its_distiller_does():
    texts = [f"{a:.3f} {b:.3f}" for a, b in plane()[0].tolist()]

    def collate(rows):
        return torch.tensor([[float(number) for number in row.split()] for row in rows])

    y = plane()[1]
    data = {"labelled": (texts[:20], y[:20]), "holdout": (texts[20:60], y[20:60]), "pool": texts[60:]}
    fit = Fit(epochs=1)
    made = ActiveDistiller(**arguments(collate=collate, train=fit, **data))
    made.run()
    assert len(made.dataset()) == 50
    assert fit.collate is not made.train.collate  # the given one is left as it is


# What a student says.


@pytest.mark.parametrize(
    ("student", "error", "says"),
    [
        (None, TypeError, "another callable of a batch, got None"),
        (Student, TypeError, r"got the class Student; give Student\(...\)"),
        (lambda x: 3.0, ValueError, "a row of numbers for each of 25 inputs of a batch, got a single number"),
        (lambda x: torch.zeros(len(x) + 1, 3), ValueError, "for each of 25 inputs of a batch, got 26"),
        (
            lambda x: torch.zeros(len(x) - (float(x[0, 0]) != float(X[0, 0])), 3),
            ValueError,
            "for each of 25 inputs of a batch, got 24",
        ),
        (lambda x: torch.zeros(0, 3), ValueError, "for each of 25 inputs of a batch, got 0"),
        (lambda x: torch.zeros(len(x), 3 - (len(x) < 25)), ValueError, "3 numbers for each input, .* before, got 2"),
        (lambda x: (x, x), TypeError, "got 2 things at once"),
    ],
)
def test_a_student_says_as_much_of_every_input(student, error, says):
    with pytest.raises(error, match=f"student: expected .*{says}"):
        predict(student, X, batch_size=25)


def test_inputs_beside_their_labels_are_no_inputs():
    with pytest.raises(TypeError, match="data: expected inputs alone, got a pair of arrays"):
        predict(Student(), (X, Y))
    with pytest.raises(TypeError, match="data: expected inputs alone, got a pair of arrays"):
        SoftLabelDataset((X, Y), Y, n_classes=CLASSES)


def test_a_model_that_works_in_place_leaves_the_caller_s_inputs_as_they_are():
    x = X.clone()
    found = predict(lambda batch: batch.mul_(2.0), x, batch_size=25)
    assert torch.equal(x, X)
    np.testing.assert_array_equal(found, 2.0 * X.numpy())


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda student, batch: None, TypeError, r"a tensor of logits \(n, C\), which gradients .*, got NoneType"),
        (lambda student, batch: student(batch).detach().numpy(), TypeError, "got ndarray"),
        (
            lambda student, batch: student(batch)[:, 0],
            ValueError,
            r"2 classes or more, got shape \(60,\); for two classes",
        ),
    ],
)
def test_gradients_flow_through_a_row_of_logits_for_each_point(call, error, says):
    with pytest.raises(error, match=f"student: expected .*{says}"):
        Fit(epochs=1, call=call)(Student(), DATA)


def test_a_frozen_student_is_refused_before_the_teacher_is_asked():
    teacher = Teacher()
    with pytest.raises(ValueError, match="student: expected parameters to train, got none that requires a gradient"):
        ActiveDistiller(**arguments(teacher=teacher, student=Student().requires_grad_(False)))
    assert teacher.calls == 0
