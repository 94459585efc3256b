"""Losses: values against formulas written out, gradients against finite differences, limits, and what they refuse."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="rad_fast.distill needs torch")

from rad_fast.distill.losses import (  # noqa: E402
    DebiasingWeights,
    DistillationKL,
    MixingEstimator,
    SoftCrossEntropy,
    StudentLabelMixing,
    WeightedDistillation,
    distillation_kl,
    soft_cross_entropy,
    student_label_mixing,
)
from rad_fast.distill.losses.weighted import margin  # noqa: E402


def numbers(n: int, c: int, seed: int, scale: float = 1.5) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, c, generator=g, dtype=torch.float64) * scale


@pytest.fixture(params=["soft", "hard"])
def targets(request: pytest.FixtureRequest) -> torch.Tensor:
    teacher = numbers(5, 4, seed=1)
    return teacher.softmax(1) if request.param == "soft" else teacher.argmax(1)


WEIGHT = torch.tensor([0.2, 1.0, 0.0, 3.0, 0.7], dtype=torch.float64)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_soft_cross_entropy_gradient(targets, temperature, reduction):
    z = numbers(5, 4, seed=0).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda z: soft_cross_entropy(z, targets, temperature=temperature, weight=WEIGHT, reduction=reduction), z
    )


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_kl_gradient(temperature):
    z, teacher = numbers(5, 4, seed=0).requires_grad_(), numbers(5, 4, seed=1)
    assert torch.autograd.gradcheck(lambda z: distillation_kl(z, teacher, temperature=temperature, weight=WEIGHT), z)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("k", [2, 3, None])
def test_mixing_gradient(targets, k, normalize):
    z = numbers(5, 4, seed=0).requires_grad_()
    alpha = torch.tensor([0.4, 0.6, 0.9, 1.0, 0.75], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda z: student_label_mixing(z, targets, alpha, k=k, normalize=normalize, weight=WEIGHT), z
    )


def test_weighted_distillation_gradient():
    z, teacher, earlier = numbers(6, 3, seed=0), numbers(6, 3, seed=1), numbers(6, 3, seed=2)
    weights = DebiasingWeights(soft=True).fit(earlier, teacher, torch.tensor([0, 1, 2, 0, 1, 2]))
    loss = WeightedDistillation(weights)
    assert torch.autograd.gradcheck(lambda z: loss(z, teacher, earlier), z.requires_grad_())


def test_soft_cross_entropy_is_that_of_torch(targets):
    z = numbers(5, 4, seed=3)
    assert torch.allclose(soft_cross_entropy(z, targets), torch.nn.functional.cross_entropy(z, targets))


def test_kl_differs_from_cross_entropy_by_the_teachers_entropy():
    z, teacher = numbers(5, 4, seed=3), numbers(5, 4, seed=4)
    p = (teacher / 2).softmax(1)
    entropy = -(p * p.log()).sum(1).mean() * 4
    assert torch.allclose(
        distillation_kl(z, teacher, temperature=2.0) + entropy, soft_cross_entropy(z, p, temperature=2.0)
    )


def test_ruled_out_classes_cost_nothing():
    teacher = torch.tensor([[0.0, -math.inf, 1.0]])
    student = torch.tensor([[0.0, -math.inf, 1.0]])
    assert float(distillation_kl(student, teacher)) == pytest.approx(0.0, abs=1e-7)
    assert math.isfinite(float(soft_cross_entropy(student, teacher.softmax(1))))


def test_mixing_with_a_teacher_that_is_always_right_is_cross_entropy(targets):
    z = numbers(5, 4, seed=3)
    assert torch.allclose(student_label_mixing(z, targets, 1.0), soft_cross_entropy(z, targets))


def test_mixing_written_out():
    z, teacher = numbers(5, 4, seed=3), numbers(5, 4, seed=4).softmax(1)
    f, alpha, k = z.softmax(1), 0.7, 3
    top = torch.zeros_like(f).scatter_(1, teacher.topk(k, 1).indices, 1.0)
    for normalize, over in ((True, k - 1), (False, 1)):
        mixed = alpha * f + (1 - alpha) * (1 - f) * top / over
        expected = -(teacher * mixed.log()).sum(1).mean()
        assert torch.allclose(student_label_mixing(z, teacher, alpha, k=k, normalize=normalize), expected)


def test_normalized_mixing_is_least_at_the_truth():
    """The noisy label follows alpha f + (1 - alpha)(1 - f) / (C - 1) exactly where the truth follows f."""
    truth, alpha = torch.tensor([[0.6, 0.3, 0.1]], dtype=torch.float64), 0.8
    noisy = alpha * truth + (1 - alpha) * (1 - truth) / 2
    z = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([z], max_iter=200, tolerance_grad=1e-12, tolerance_change=1e-14)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = student_label_mixing(z, noisy, alpha)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert torch.allclose(z.softmax(1), truth, atol=1e-5)


def test_debiasing_weights_on_the_labelled_points_and_between():
    n = 64
    student, teacher = numbers(n, 3, seed=5), numbers(n, 3, seed=6)
    truth = torch.arange(n) % 3
    weights = DebiasingWeights().fit(student, teacher, truth)
    right = -student.log_softmax(1)[torch.arange(n), truth]
    said = -student.log_softmax(1)[torch.arange(n), teacher.argmax(1)]
    assert torch.allclose(weights.weights_, (right / said).clamp(0, 1))
    assert weights.neighbours_ == 4  # sqrt(64) / 2
    found = weights.predict(student[:1], teacher[:1])
    where = torch.stack([margin(teacher), margin(student)], 1)
    nearest = (where - where[0]).square().sum(1).argsort()[:4]
    assert torch.allclose(found, weights.weights_[nearest].mean().reshape(1))


def test_mixing_estimator_learns_how_often_the_teacher_is_right():
    rng = np.random.default_rng(0)
    teacher = torch.from_numpy(rng.normal(0, 2, size=(4000, 5)))
    p = teacher.softmax(1).numpy()
    truth = torch.from_numpy(np.array([rng.choice(5, p=row) for row in p]))
    mixing = MixingEstimator().fit(teacher, truth)
    alpha = mixing.alpha(teacher)
    right = (teacher.argmax(1) == truth).float()
    assert float((alpha - right).mean()) == pytest.approx(0.0, abs=1e-4)  # never 0 or 1
    sure = torch.tensor([[9.0, 0, 0, 0, 0], [0.1, 0, 0, 0, 0]])
    high, low = mixing.alpha(sure).tolist()
    assert high > 0.95
    assert low < 0.5
    assert 2 <= mixing.k_ <= 5


def test_modules_are_the_functions():
    z, teacher = numbers(5, 4, seed=3).float(), numbers(5, 4, seed=4).float()
    mixing = MixingEstimator().fit(teacher, torch.tensor([0, 1, 2, 3, 0]))
    said = teacher.softmax(1)
    assert torch.equal(SoftCrossEntropy(2.0)(z, said), soft_cross_entropy(z, said, temperature=2.0))
    assert torch.equal(
        DistillationKL(2.0, "sum")(z, teacher), distillation_kl(z, teacher, temperature=2.0, reduction="sum")
    )
    assert torch.equal(
        StudentLabelMixing(mixing, soft=False)(z, teacher),
        student_label_mixing(z, teacher.argmax(1), mixing.alpha(teacher)),
    )
    assert torch.equal(
        StudentLabelMixing(mixing)(z, teacher), student_label_mixing(z, said, mixing.alpha(teacher), k=mixing.k_)
    )


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda z: soft_cross_entropy(z[0], z), ValueError, "student_logits: expected shape"),
        (lambda z: soft_cross_entropy(z.numpy(), z), TypeError, "student_logits: expected a floating tensor"),
        (lambda z: soft_cross_entropy(z, z[:2]), ValueError, "targets: expected shape"),
        (lambda z: soft_cross_entropy(z, torch.zeros(2).long()), ValueError, "targets: expected one label per row"),
        (
            lambda z: soft_cross_entropy(z, z, temperature=0),
            ValueError,
            "temperature: expected a finite number above 0",
        ),
        (lambda z: soft_cross_entropy(z, z, reduction="all"), ValueError, "reduction: expected one of 'mean'"),
        (lambda z: soft_cross_entropy(z, z, weight=torch.ones(3)), ValueError, "weight: expected one number"),
        (lambda z: student_label_mixing(z, z, "high"), TypeError, "alpha: expected a number or a tensor"),
        (lambda z: student_label_mixing(z, z, 0.5, k=1), ValueError, "k: expected an int of at least 2"),
        (lambda z: DebiasingWeights().predict(z, z), ValueError, "call .fit"),
        (lambda z: MixingEstimator().alpha(z), ValueError, "call .fit"),
        (lambda z: MixingEstimator().fit(z, torch.full((5,), 4)), ValueError, "labels: expected labels from 0 to 3"),
    ],
)
def test_wrong_input(call, error, says):
    with pytest.raises(error, match=says):
        call(numbers(5, 4, seed=0))


def test_examples_in_docstrings():
    for module in ("losses", "data", "training", "strategies", "strategies.round", "distiller"):
        name = __import__(f"rad_fast.distill.{module}", fromlist=["x"])
        assert doctest.testmod(name).failed == 0, module
