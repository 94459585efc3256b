"""LELP: what is projected off, along what classes are split, and that splitting leaves the classes as they were."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="rad_fast.distill needs torch")

from rad_fast.distill import SubclassDistillation, soft_cross_entropy  # noqa: E402
from rad_fast.distill.losses.subclass import corners  # noqa: E402


def embeddings(n: int = 300, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two classes told apart by the first axis; the first class is two clusters along the third, the second along the
    second. The classifier sees the first axis alone."""
    g = torch.Generator().manual_seed(seed)
    label = torch.randint(0, 2, (n,), generator=g)
    part = torch.randint(0, 2, (n,), generator=g) * 2.0 - 1.0
    x = torch.randn(n, 4, generator=g, dtype=torch.float64) * 0.1
    x[:, 0] += 5.0 * (label * 2.0 - 1.0) + 3.0 * torch.randn(n, generator=g)  # what varies most, and is seen
    x[label == 0, 2] += part[label == 0]
    x[label == 1, 1] += part[label == 1]
    return x, label, part


CLASSIFIER = torch.tensor([[-1.0, 0, 0, 0], [1.0, 0, 0, 0]], dtype=torch.float64)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_corners_of_a_regular_simplex(count):
    at = corners(count)
    inner = at @ at.T
    expected = torch.full((count, count), -1.0 / (count - 1), dtype=torch.float64).fill_diagonal_(1.0)
    assert torch.allclose(inner, expected, atol=1e-12)
    assert at.sum(0).abs().max() < 1e-12


def test_classes_are_split_along_what_the_classifier_does_not_see():
    x, label, part = embeddings()
    split = SubclassDistillation(2).fit(x, label, CLASSIFIER)
    assert (split.directions_ @ CLASSIFIER.T).abs().max() < 1e-9
    target = split.targets(x @ CLASSIFIER.T, x).unflatten(1, (2, 2))
    for k in range(2):
        first = target[label == k, k]
        side = (first[:, 0] > first[:, 1]).double() * 2 - 1
        assert (side * part[label == k]).mean().abs() > 0.99  # the two clusters, whichever comes first


def test_splitting_keeps_the_probability_of_every_class():
    x, label, _ = embeddings()
    for subclasses in (2, 3, 4):
        split = SubclassDistillation(subclasses).fit(x, label, CLASSIFIER)
        teacher = x @ CLASSIFIER.T
        target = split.targets(teacher, x)
        assert torch.allclose(target.unflatten(1, (2, subclasses)).sum(2), teacher.softmax(1))
        student = torch.randn(len(x), 2 * subclasses, dtype=torch.float64)
        merged = student.softmax(1).unflatten(1, (2, subclasses)).sum(2)
        assert torch.allclose(split.merge(student).softmax(1), merged)


def test_the_loss_is_cross_entropy_with_the_targets_and_has_its_gradient():
    x, label, _ = embeddings(8)
    split = SubclassDistillation(2).fit(x, label, CLASSIFIER)
    z = torch.randn(8, 4, dtype=torch.float64, requires_grad=True)
    assert torch.allclose(split(z, x @ CLASSIFIER.T, x), soft_cross_entropy(z, split.targets(x @ CLASSIFIER.T, x)))
    assert torch.autograd.gradcheck(lambda z: split(z, x @ CLASSIFIER.T, x), z)


def test_a_class_without_points_is_split_evenly():
    x, label, _ = embeddings()
    split = SubclassDistillation(2).fit(x, torch.zeros_like(label), classes=3)
    target = split.targets(torch.tensor([[0.0, 0.0, 50.0]], dtype=torch.float64), x[:1])
    assert target[0, 4:].tolist() == pytest.approx([0.5, 0.5])
    alone = SubclassDistillation(3).fit(x[:1], label[:1], classes=2)  # one point has no direction
    assert alone.directions_.abs().max() == 0.0


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda x, y: SubclassDistillation(1), "subclasses: expected an int of at least 2"),
        (lambda x, y: SubclassDistillation().targets(x, x), "call .fit"),
        (lambda x, y: SubclassDistillation().fit(x, y, CLASSIFIER[:, :3]), "classifier: expected rows of 4"),
        (lambda x, y: SubclassDistillation().fit(x, y).targets(x, x), "embedding: expected 300 rows of 4"),
        (lambda x, y: SubclassDistillation().fit(x, y).merge(x[:, :3]), "student_logits: expected a multiple of 2"),
        (lambda x, y: SubclassDistillation().fit(x, y + 1, classes=2), "labels: expected labels from 0 to 1"),
    ],
)
def test_wrong_input(call, says):
    x, label, _ = embeddings()
    with pytest.raises(ValueError, match=says):
        call(x, label)
