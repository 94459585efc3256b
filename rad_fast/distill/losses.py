"""Losses for a student that learns from a teacher's labels: plain functions, and modules that remember their settings.

All take the student's logits (n, C) and reduce over rows. ``targets`` are probabilities (n, C) or integer labels (n,).
``weight`` is one number a row; ``reduction="mean"`` divides by the number of rows, not by the sum of the weights: a
point of small weight then counts for little also where all weights are small.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rad_fast.calibration import Calibrator

from . import inputs

REDUCTIONS = ("mean", "sum", "none")
SMALLEST = 1e-12  # probabilities under a logarithm are held above it
COVERAGE = 0.95  # SLaM: the true class is among the teacher's top k this often


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
        as they are: soften them alike, ``soft_targets(logits, temperature)``.
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
    inputs.logits_tensor("student_logits", student_logits)
    inputs.targets_tensor(targets, student_logits)
    scale = inputs.positive("temperature", temperature)
    logp = F.log_softmax(student_logits / scale, dim=1)
    if targets.is_floating_point():
        loss = -(targets * logp.masked_fill(targets == 0, 0.0)).sum(1)  # 0 log 0 = 0, also where a class is ruled out
    else:
        loss = F.nll_loss(logp, targets.long(), reduction="none")
    return reduced(loss * scale**2, weight, reduction)


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
    inputs.logits_tensor("student_logits", student_logits)
    inputs.logits_tensor("teacher_logits", teacher_logits, student_logits)
    scale = inputs.positive("temperature", temperature)
    logp = F.log_softmax(student_logits / scale, dim=1)
    logt = F.log_softmax(teacher_logits.detach() / scale, dim=1)
    possible = logt > -math.inf
    difference = torch.where(possible, logt - logp, torch.zeros_like(logp))
    return reduced((logt.exp() * difference).sum(1) * scale**2, weight, reduction)


def student_label_mixing(
    student_logits: Tensor,
    targets: Tensor,
    alpha: Tensor | float,
    *,
    k: int | None = None,
    normalize: bool = True,
    weight: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """SLaM: the cross-entropy between the teacher's label and what a teacher as noisy as this one would say if the
    student were right.

    With f = softmax(student_logits), alpha the probability that the teacher's label is right and top the 0/1 mask of
    the teacher's k likeliest classes, the student's prediction is mixed before it meets the label:

        mix = alpha f + (1 - alpha) (1 - f) top / (k - 1)

    Parameters
    ----------
    student_logits : (n, C) floating.
    targets : (n, C) probabilities, or (n,) integer labels; with labels every class may be the true one: k = C.
    alpha : (n,) or one number in [0, 1]: see ``MixingEstimator``.
    k : 2..C; None is C. How many classes the true one is among.
    normalize : divide by k - 1, as the paper's proof does: mix is then the distribution of the teacher's label where
        the truth follows f, so that the loss is least at the truth. False is the paper's experiments (its Remark B.1),
        which found it better; it ignores points on which the student disagrees more readily.
    weight, reduction : as in ``soft_cross_entropy``.

    Returns
    -------
    () or, with "none", (n,).

    References
    ----------
    Kontonis, Iliopoulos, Trinh, Baykal, Menghani, Vee. SLaM: Student-Label Mixing for Distillation with Unlabeled
    Examples. NeurIPS 2023.

    Examples
    --------
    >>> import torch
    >>> z, label = torch.tensor([[0.0, 3.0]]), torch.tensor([0])
    >>> [round(float(student_label_mixing(z, label, a)), 3) for a in (1.0, 0.8)]  # a doubtful label hurts less
    [3.049, 1.476]
    """
    inputs.logits_tensor("student_logits", student_logits)
    inputs.targets_tensor(targets, student_logits)
    inputs.per_row("alpha", alpha, len(student_logits))
    classes = student_logits.shape[1]
    top_k = classes if k is None else min(inputs.positive_int("k", k, 2), classes)
    f = F.softmax(student_logits, dim=1)
    a = torch.as_tensor(alpha, dtype=f.dtype, device=f.device).reshape(-1, 1)
    spread = (1.0 - a) * (1.0 - f) / (top_k - 1 if normalize else 1)
    if targets.is_floating_point():
        if top_k < classes:
            mask = torch.zeros_like(f).scatter_(1, targets.topk(top_k, dim=1).indices, 1.0)
            spread = spread * mask
        mixed = (a * f + spread).clamp_min(SMALLEST)
        loss = -(targets * mixed.log()).sum(1)
    else:
        at = targets.long()[:, None]
        loss = -(a * f.gather(1, at) + spread.gather(1, at)).clamp_min(SMALLEST).log().squeeze(1)
    return reduced(loss, weight, reduction)


def reduced(loss: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    inputs.choice("reduction", reduction, REDUCTIONS)
    if weight is not None:
        inputs.per_row("weight", weight, len(loss))
        loss = loss * weight.to(loss.dtype)
    if reduction == "mean":
        return loss.mean()
    return loss.sum() if reduction == "sum" else loss


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
        inputs.logits_tensor("student_logits", student_logits)
        inputs.logits_tensor("teacher_logits", teacher_logits, student_logits)
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


class MixingEstimator:
    """What SLaM needs to know of a teacher, from labelled points: alpha(point) by isotonic regression of "the teacher
    is right" on its margin, and k, the least that has the true class among the teacher's top k for 95% of them.

    Attributes
    ----------
    k_ : int, at least 2, after ``fit``.

    References
    ----------
    Kontonis, Iliopoulos, Trinh, Baykal, Menghani, Vee. SLaM: Student-Label Mixing for Distillation with Unlabeled
    Examples. NeurIPS 2023.

    Examples
    --------
    >>> import torch
    >>> teacher = torch.tensor([[5.0, 0.0, 1.0], [0.0, 4.0, 1.0], [0.1, 0.0, 0.2], [0.2, 0.0, 0.1]])
    >>> mixing = MixingEstimator().fit(teacher, torch.tensor([0, 1, 0, 0]))
    >>> mixing.k_, mixing.alpha(teacher).tolist()
    (2, [1.0, 1.0, 0.5, 0.5])
    """

    k_: int

    def fit(self, teacher_logits: Tensor, labels: Tensor) -> MixingEstimator:
        """Learn from labelled points: ``teacher_logits`` (n, C), ``labels`` (n,) the true classes."""
        inputs.logits_tensor("teacher_logits", teacher_logits)
        truth = inputs.labels("labels", labels, *teacher_logits.shape)
        host = teacher_logits.detach().float().cpu()
        self._calibrator = Calibrator().fit(host, truth)
        ranks = (host > host.gather(1, torch.from_numpy(truth)[:, None])).sum(1).numpy()
        within = np.cumsum(np.bincount(ranks, minlength=host.shape[1])) / len(truth)
        self.k_ = max(2, int(np.argmax(within >= COVERAGE)) + 1)
        return self

    def alpha(self, teacher_logits: Tensor) -> Tensor:
        """(N,) probability that the teacher is right, of points with ``teacher_logits`` (N, C)."""
        if not hasattr(self, "k_"):
            raise ValueError("alpha: expected a fitted MixingEstimator; call .fit(teacher_logits, labels) first")
        found: Tensor = self._calibrator.predict(teacher_logits.detach().float().cpu())
        return found.to(teacher_logits.device)


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
        self.weights = weights
        self.reduction = inputs.choice("reduction", reduction, REDUCTIONS)

    def forward(self, student_logits: Tensor, teacher_logits: Tensor, earlier_student_logits: Tensor) -> Tensor:
        said = F.softmax(teacher_logits, dim=1) if self.weights.soft else teacher_logits.argmax(1)
        weight = self.weights.predict(earlier_student_logits, teacher_logits)
        return soft_cross_entropy(student_logits, said.detach(), weight=weight, reduction=self.reduction)


class StudentLabelMixing(nn.Module):
    """SLaM (NeurIPS 2023) with a fitted ``MixingEstimator``: loss(student_logits, teacher_logits, weight=None).

    ``soft``: the teacher's soft labels, else its top label.

    References
    ----------
    Kontonis, Iliopoulos, Trinh, Baykal, Menghani, Vee. SLaM: Student-Label Mixing for Distillation with Unlabeled
    Examples. NeurIPS 2023.

    Examples
    --------
    >>> import torch
    >>> teacher = torch.tensor([[5.0, 0.0], [0.0, 5.0]])
    >>> mixing = MixingEstimator().fit(teacher, torch.tensor([0, 1]))  # a teacher that is right
    >>> StudentLabelMixing(mixing, soft=False)(torch.zeros(2, 2), teacher)  # as cross-entropy
    tensor(0.6931)
    """

    def __init__(
        self, mixing: MixingEstimator, *, soft: bool = True, normalize: bool = True, reduction: str = "mean"
    ) -> None:
        super().__init__()
        self.mixing, self.soft, self.normalize = mixing, soft, normalize
        self.reduction = inputs.choice("reduction", reduction, REDUCTIONS)

    def forward(self, student_logits: Tensor, teacher_logits: Tensor, weight: Tensor | None = None) -> Tensor:
        said = F.softmax(teacher_logits.detach(), dim=1)
        settings: dict[str, Any] = {"normalize": self.normalize, "weight": weight, "reduction": self.reduction}
        alpha = self.mixing.alpha(teacher_logits)
        if not self.soft:
            return student_label_mixing(student_logits, said.argmax(1), alpha, **settings)
        return student_label_mixing(student_logits, said, alpha, k=self.mixing.k_, **settings)
