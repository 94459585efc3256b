"""Labels that are set right before a student learns from them: partial labels, and self-distillation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from rad_fast.distill import inputs, loss_inputs

from .cross_entropy import reduced, soft_cross_entropy, weighting


def partial_labels(logits: Tensor, k: int = 2) -> Tensor:
    """The k likeliest classes as one label: each of them 1/k, the others 0. Where the top class is wrong the true one
    is often the next, and no class is claimed above it.

    Parameters
    ----------
    logits : (n, C) floating, of a teacher, or of a student that was trained on the same labels before. Probabilities
        will do, but not one-hot targets, which do not say what the next class is.
    k : 1..C.

    Returns
    -------
    (n, C) targets for ``soft_cross_entropy``.

    References
    ----------
    Jeong, Chung. Rethinking Self-Distillation: Label Averaging and Enhanced Soft Label Refinement with Partial Labels.
    ICLR 2025.

    Examples
    --------
    >>> import torch
    >>> partial_labels(torch.tensor([[3.0, 1.0, 2.0]]))
    tensor([[0.5000, 0.0000, 0.5000]])
    """
    loss_inputs.logits_tensor("logits", logits)
    top = min(inputs.positive_int("k", k), logits.shape[1])
    unclear = [loss_inputs.one_hot("logits", logits)] if 1 < top < logits.shape[1] else []
    loss_inputs.refuse(loss_inputs.finite("logits", logits), *unclear)
    found = torch.zeros_like(logits).scatter_(1, logits.topk(top, dim=1).indices, 1.0 / top)
    return found.detach()


def self_distillation(
    student_logits: Tensor,
    targets: Tensor,
    earlier_student_logits: Tensor,
    *,
    xi: float = 1.0,
    weight: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Cross-entropy with (1 - xi) times the given labels and xi times what a student said that had learned them before.

    Parameters
    ----------
    student_logits, earlier_student_logits : (n, C) floating. No gradient flows into the earlier student's.
    targets : (n, C) probabilities, or (n,) integer labels: those that the earlier student was trained on.
    xi : 0 is the given label, 1 the earlier student alone. Above 1 the given label is counted *against*: where labels
        are noisy enough that is the best there is. The loss then has no lower bound; weight decay holds it.
    weight, reduction : as in ``soft_cross_entropy``.

    Returns
    -------
    () or, with "none", (n,).

    References
    ----------
    Das, Sanghavi. Understanding Self-Distillation in the Presence of Label Noise. ICML 2023.

    Examples
    --------
    >>> import torch
    >>> z, label = torch.tensor([[0.0, 1.0]]), torch.tensor([0])
    >>> [round(float(self_distillation(z, label, z, xi=xi)), 3) for xi in (0.0, 1.0, 1.5)]
    [1.313, 0.582, 0.217]
    """
    loss_inputs.logits_tensor("earlier_student_logits", earlier_student_logits, student_logits)
    share = inputs.positive("xi", xi, zero=True)
    loss_inputs.refuse(
        *loss_inputs.logits_of(earlier_student_logits=earlier_student_logits),
        *weighting(weight, reduction, len(earlier_student_logits)),
    )
    given = soft_cross_entropy(student_logits, targets, reduction="none")
    before = F.softmax(earlier_student_logits.detach(), dim=1)
    said = soft_cross_entropy(student_logits, before, reduction="none")
    return reduced((1.0 - share) * given + share * said, weight, reduction)
