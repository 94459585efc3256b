"""Partial labels and self-distillation against their definitions."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="rad_fast.distill needs torch")

from rad_fast.distill import partial_labels, self_distillation, soft_cross_entropy  # noqa: E402


def numbers(n: int, c: int, seed: int) -> torch.Tensor:
    return torch.randn(n, c, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 1.5


def test_partial_labels_are_the_top_k_alike():
    z = numbers(20, 5, 0)
    for k in (1, 2, 5, 9):
        target = partial_labels(z, k)
        assert torch.allclose(target.sum(1), torch.ones(20, dtype=torch.float64))
        assert ((target > 0).sum(1) == min(k, 5)).all()
        assert (z[target > 0].reshape(20, -1).min(1).values >= z.masked_fill(target > 0, -9e9).max(1).values).all()
    assert torch.equal(partial_labels(z, 1).argmax(1), z.argmax(1))


@pytest.mark.parametrize("xi", [0.0, 0.5, 1.0, 1.5])
def test_self_distillation_is_cross_entropy_with_the_mixed_label(xi):
    z, earlier, label = numbers(6, 4, 0), numbers(6, 4, 1), torch.tensor([0, 1, 2, 3, 0, 1])
    mixed = (1 - xi) * torch.nn.functional.one_hot(label, 4) + xi * earlier.softmax(1)
    expected = -(mixed * z.log_softmax(1)).sum(1)
    assert torch.allclose(self_distillation(z, label, earlier, xi=xi, reduction="none"), expected)


def test_self_distillation_gradient_stops_at_the_earlier_student():
    z, earlier = numbers(5, 3, 0).requires_grad_(), numbers(5, 3, 1).requires_grad_()
    label, weight = torch.tensor([0, 1, 2, 0, 1]), torch.tensor([1.0, 0.0, 2.0, 0.5, 1.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda z: self_distillation(z, label, earlier.detach(), xi=1.5, weight=weight), z)
    self_distillation(z, label, earlier, xi=1.5).backward()
    assert earlier.grad is None


def test_without_xi_it_is_the_earlier_student_alone():
    z, earlier, label = numbers(5, 3, 0), numbers(5, 3, 1), torch.tensor([0, 1, 2, 0, 1])
    assert torch.allclose(self_distillation(z, label, earlier), soft_cross_entropy(z, earlier.softmax(1)))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda z: partial_labels(z, 0), "k: expected an int of at least 1"),
        (lambda z: self_distillation(z, z.argmax(1), z[:2]), "earlier_student_logits: expected shape"),
        (
            lambda z: self_distillation(z, z.argmax(1), z, xi=-1.0),
            "xi: expected a finite number of at least 0",
        ),
    ],
)
def test_wrong_input(call, says):
    with pytest.raises(ValueError, match=says):
        call(numbers(5, 4, 0))
