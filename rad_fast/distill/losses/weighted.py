"""Weighted distillation (NeurIPS 2022): labels count as much as they are worth."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rad_fast.distill import inputs, loss_inputs

from .cross_entropy import REDUCTIONS, SMALLEST, soft_cross_entropy


def margin(logits: Tensor) -> Tensor:
    """(n,) difference of the two largest probabilities of (n, C) logits."""
    two = F.softmax(logits.float(), dim=1).topk(2, dim=1).values
    return two[:, 0] - two[:, 1]


class DebiasingWeights:
    """Weights of weighted distillation: how much less the student would lose with the truth than with the teacher's
    label, learned on labelled points and carried to others by their neighbours.

    On a labelled point w = min(1, loss(truth, student) / loss(teacher's label, student)). Elsewhere w is the mean over
    the k nearest labelled points in the plane (teacher's margin, student's margin), k = sqrt(n) / 2 rounded.
    Judge points with a student that knows the teacher's ways but has not learned the labels of these very points, that
    of the round before: once it has, it agrees with them, and all weights are 1.

    Parameters
    ----------
    soft : the loss of the teacher's label is that of its soft label.

    Attributes
    ----------
    weights_ : (n,) in [0, 1], of the labelled points, after ``fit``.

    References
    ----------
    Iliopoulos, Kontonis, Baykal, Menghani, Trinh, Vee. Weighted Distillation with Unlabeled Examples. NeurIPS 2022.

    Examples
    --------
    >>> import torch
    >>> g = torch.Generator().manual_seed(0)
    >>> student, teacher = torch.randn(40, 3, generator=g), torch.randn(40, 3, generator=g)
    >>> weights = DebiasingWeights().fit(student, teacher, teacher.argmax(1))
    >>> bool((weights.predict(student, teacher) == 1).all())  # a teacher that is always right needs none
    True
    """

    weights_: Tensor

    def __init__(self, *, soft: bool = False) -> None:
        self.soft = soft

    def fit(self, student_logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> DebiasingWeights:
        """Learn from labelled points: logits (n, C) of both models, ``labels`` (n,) the true classes.

        With ``soft`` the loss of the teacher's label is that of its soft label.
        """
        loss_inputs.logits_tensor("student_logits", student_logits)
        loss_inputs.some_rows("student_logits", student_logits)
        loss_inputs.logits_tensor("teacher_logits", teacher_logits, student_logits)
        loss_inputs.refuse(*loss_inputs.logits_of(student_logits=student_logits, teacher_logits=teacher_logits))
        truth = inputs.labels("labels", labels, len(student_logits), student_logits.shape[1])
        said = F.softmax(teacher_logits, dim=1) if self.soft else teacher_logits.argmax(1)
        right = soft_cross_entropy(student_logits, torch.from_numpy(truth).to(student_logits.device), reduction="none")
        loss = soft_cross_entropy(student_logits, said, reduction="none")
        self.weights_ = (right / loss.clamp_min(SMALLEST)).clamp(0.0, 1.0).detach()
        self.weights_[right == loss] = 1.0
        self._places = torch.stack([margin(teacher_logits), margin(student_logits)], dim=1).detach()
        self.neighbours_ = max(1, round(math.sqrt(len(truth)) / 2))
        return self

    def predict(self, student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
        """(N,) weights in [0, 1] of points with logits (N, C) of both models."""
        if not hasattr(self, "weights_"):
            raise ValueError("weights: expected fitted DebiasingWeights; call .fit(student, teacher, labels) first")
        loss_inputs.logits_tensor("student_logits", student_logits)
        loss_inputs.logits_tensor("teacher_logits", teacher_logits, student_logits)
        loss_inputs.refuse(*loss_inputs.logits_of(student_logits=student_logits, teacher_logits=teacher_logits))
        places = torch.stack([margin(teacher_logits), margin(student_logits)], dim=1).to(self._places)
        found = []
        for begin in range(0, len(places), 4096):  # (4096, n) distances at a time
            nearest = (
                torch.cdist(places[begin : begin + 4096], self._places)
                .topk(self.neighbours_, dim=1, largest=False)
                .indices
            )
            found.append(self.weights_[nearest].mean(1))
        return torch.cat(found)


class WeightedDistillation(nn.Module):
    """Weighted distillation (NeurIPS 2022): cross-entropy on the teacher's labels, each row weighted by fitted
    ``DebiasingWeights``, evaluated at given logits of a student trained before.

    loss(student_logits, teacher_logits, earlier_student_logits), each (n, C); ``soft`` as in the weights.

    References
    ----------
    Iliopoulos, Kontonis, Baykal, Menghani, Trinh, Vee. Weighted Distillation with Unlabeled Examples. NeurIPS 2022.

    Examples
    --------
    >>> import torch
    >>> teacher, student = torch.tensor([[2.0, 0.0], [0.0, 2.0]]), torch.zeros(2, 2)
    >>> weights = DebiasingWeights().fit(student, teacher, torch.tensor([0, 1]))
    >>> WeightedDistillation(weights)(student, teacher, student)
    tensor(0.6931)
    """

    def __init__(self, weights: DebiasingWeights, reduction: str = "mean") -> None:
        super().__init__()
        self.weights = loss_inputs.fitted("weights", weights, DebiasingWeights, "weights_")
        self.reduction = inputs.choice("reduction", reduction, REDUCTIONS)

    def forward(self, student_logits: Tensor, teacher_logits: Tensor, earlier_student_logits: Tensor) -> Tensor:
        said = F.softmax(teacher_logits, dim=1) if self.weights.soft else teacher_logits.argmax(1)
        weight = self.weights.predict(earlier_student_logits, teacher_logits)
        return soft_cross_entropy(student_logits, said.detach(), weight=weight, reduction=self.reduction)
