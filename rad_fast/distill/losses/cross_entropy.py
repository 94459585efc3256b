"""Cross-entropy with a teacher's labels, and the Kullback-Leibler divergence to it: functions, and modules."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rad_fast.distill import inputs, loss_inputs

REDUCTIONS = ("mean", "sum", "none")
SMALLEST = 1e-12  # probabilities under a logarithm are held above it


def soft_cross_entropy(
    student_logits: Tensor,
    targets: Tensor,
    *,
    temperature: float = 1.0,
    weight: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Cross-entropy between a teacher's labels, soft or hard, and the student.

    Parameters
    ----------
    student_logits : (n, C) floating.
    targets : (n, C) probabilities, or (n,) integer labels.
    temperature : the student's logits are divided by it and the loss multiplied by its square, so that gradients keep
        their size (Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, 2015). The targets are taken
        as they are: soften them alike, ``soft_targets(logits, temperature)``, in a distiller with ``labels="soft"``
        and its ``temperature``.
    weight : (n,) or None.
    reduction : "mean", "sum" or "none".

    Returns
    -------
    () or, with "none", (n,).

    Examples
    --------
    >>> import torch
    >>> soft_cross_entropy(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.5, 0.5]]))
    tensor(1.1269)
    """
    loss_inputs.logits_tensor("student_logits", student_logits)
    loss_inputs.targets_tensor(targets, student_logits)
    scale = inputs.positive("temperature", temperature)
    loss_inputs.refuse(
        loss_inputs.no_probabilities("student_logits", student_logits),
        loss_inputs.likely_targets(targets, student_logits.shape[1]),
        *weighting(weight, reduction, len(student_logits)),
    )
    return reduced(cross_entropies(student_logits, targets, scale), weight, reduction)


def cross_entropies(student_logits: Tensor, targets: Tensor, scale: float = 1.0) -> Tensor:
    """(n,) of checked arguments."""
    logp = F.log_softmax(student_logits / scale, dim=1)
    if targets.is_floating_point():
        loss = -(targets * logp.masked_fill(targets == 0, 0.0)).sum(1)  # 0 log 0 = 0, also where a class is ruled out
    else:
        loss = F.nll_loss(logp, targets.long(), reduction="none")
    return loss * scale**2


def distillation_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    temperature: float = 1.0,
    weight: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """T**2 KL(softmax(teacher / T) || softmax(student / T)), Hinton, Vinyals, Dean 2015.

    Parameters
    ----------
    student_logits, teacher_logits : (n, C) floating. No gradient flows into the teacher's.
    temperature, weight, reduction : as in ``soft_cross_entropy``, from which this differs by the teacher's entropy.

    Returns
    -------
    () or, with "none", (n,).

    Examples
    --------
    >>> import torch
    >>> z = torch.tensor([[1.0, 0.0, -1.0]])
    >>> float(distillation_kl(z, z, temperature=4.0))
    0.0
    """
    loss_inputs.logits_tensor("student_logits", student_logits)
    loss_inputs.logits_tensor("teacher_logits", teacher_logits, student_logits)
    scale = inputs.positive("temperature", temperature)
    loss_inputs.refuse(
        loss_inputs.no_probabilities("student_logits", student_logits),
        *loss_inputs.logits_of(teacher_logits=teacher_logits),
        *weighting(weight, reduction, len(student_logits)),
    )
    logp = F.log_softmax(student_logits / scale, dim=1)
    logt = F.log_softmax(teacher_logits.detach() / scale, dim=1)
    possible = logt > -math.inf
    difference = torch.where(possible, logt - logp, torch.zeros_like(logp))
    return reduced((logt.exp() * difference).sum(1) * scale**2, weight, reduction)


def weighting(weight: Any, reduction: str, rows: int) -> list[loss_inputs.Finding]:
    """What there is to find in weights, once their shape and the reduction are right: nothing where there are none."""
    inputs.choice("reduction", reduction, REDUCTIONS)
    if weight is None:
        return []
    loss_inputs.per_row("weight", weight, rows)
    return [loss_inputs.weights(weight)]


def reduced(loss: Tensor, weight: Tensor | float | None, reduction: str) -> Tensor:
    """Of checked weights."""
    if weight is not None:
        loss = loss * (weight.to(loss.dtype) if isinstance(weight, Tensor) else weight)
    if reduction == "mean":
        return loss.mean()
    return loss.sum() if reduction == "sum" else loss


class SoftCrossEntropy(nn.Module):
    """``soft_cross_entropy`` with its settings remembered: loss(student_logits, targets, weight=None).

    Examples
    --------
    >>> import torch
    >>> SoftCrossEntropy()(torch.tensor([[2.0, 0.0]]), torch.tensor([0]))
    tensor(0.1269)
    """

    def __init__(self, temperature: float = 1.0, reduction: str = "mean") -> None:
        super().__init__()
        self.temperature = inputs.positive("temperature", temperature)
        self.reduction = inputs.choice("reduction", reduction, REDUCTIONS)

    def forward(self, student_logits: Tensor, targets: Tensor, weight: Tensor | None = None) -> Tensor:
        return soft_cross_entropy(
            student_logits, targets, temperature=self.temperature, weight=weight, reduction=self.reduction
        )


class DistillationKL(nn.Module):
    """``distillation_kl`` with its settings remembered: loss(student_logits, teacher_logits, weight=None).

    Examples
    --------
    >>> import torch
    >>> z = torch.tensor([[1.0, 0.0]])
    >>> float(DistillationKL(temperature=2.0)(z, z))
    0.0
    """

    def __init__(self, temperature: float = 1.0, reduction: str = "mean") -> None:
        super().__init__()
        self.temperature = inputs.positive("temperature", temperature)
        self.reduction = inputs.choice("reduction", reduction, REDUCTIONS)

    def forward(self, student_logits: Tensor, teacher_logits: Tensor, weight: Tensor | None = None) -> Tensor:
        return distillation_kl(
            student_logits, teacher_logits, temperature=self.temperature, weight=weight, reduction=self.reduction
        )
