"""SLaM (NeurIPS 2023): the student's prediction is made as noisy as the teacher before the two meet."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rad_fast.calibration import Calibrator
from rad_fast.distill import inputs, loss_inputs

from .cross_entropy import REDUCTIONS, SMALLEST, reduced, weighting

COVERAGE = 0.95  # SLaM: the true class is among the teacher's top k this often


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
    loss_inputs.logits_tensor("student_logits", student_logits)
    loss_inputs.targets_tensor(targets, student_logits)
    loss_inputs.per_row("alpha", alpha, len(student_logits))
    classes = student_logits.shape[1]
    top_k = classes if k is None else min(inputs.positive_int("k", k, 2), classes)
    loss_inputs.refuse(
        loss_inputs.no_probabilities("student_logits", student_logits),
        loss_inputs.likely_targets(targets, classes),
        loss_inputs.shares("alpha", alpha),
        *weighting(weight, reduction, len(student_logits)),
    )
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
    >>> mixing.k_, [round(alpha, 2) for alpha in mixing.alpha(teacher).tolist()]
    (2, [0.9, 0.9, 0.5, 0.5])
    """

    k_: int

    def fit(self, teacher_logits: Tensor, labels: Tensor) -> MixingEstimator:
        """Learn from labelled points: ``teacher_logits`` (n, C), ``labels`` (n,) the true classes."""
        loss_inputs.logits_tensor("teacher_logits", teacher_logits)
        loss_inputs.refuse(loss_inputs.no_probabilities("teacher_logits", teacher_logits))
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
        loss_inputs.logits_tensor("teacher_logits", teacher_logits)
        loss_inputs.refuse(loss_inputs.no_probabilities("teacher_logits", teacher_logits))
        found: Tensor = self._calibrator.predict(teacher_logits.detach().float().cpu())
        return found.to(teacher_logits.device)


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
        self.mixing = loss_inputs.fitted("mixing", mixing, MixingEstimator, "k_")
        self.soft, self.normalize = soft, normalize
        self.reduction = inputs.choice("reduction", reduction, REDUCTIONS)

    def forward(self, student_logits: Tensor, teacher_logits: Tensor, weight: Tensor | None = None) -> Tensor:
        loss_inputs.logits_tensor("student_logits", student_logits)
        loss_inputs.logits_tensor("teacher_logits", teacher_logits, student_logits)
        alpha = self.mixing.alpha(teacher_logits)
        said = F.softmax(teacher_logits.detach(), dim=1)
        settings: dict[str, Any] = {"normalize": self.normalize, "weight": weight, "reduction": self.reduction}
        if not self.soft:
            return student_label_mixing(student_logits, said.argmax(1), alpha, **settings)
        return student_label_mixing(student_logits, said, alpha, k=self.mixing.k_, **settings)
