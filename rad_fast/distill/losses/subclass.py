"""LELP: classes are split where the teacher's embedding splits them, and the student learns the parts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rad_fast.distill import inputs, loss_inputs

from .cross_entropy import REDUCTIONS, soft_cross_entropy


class SubclassDistillation(nn.Module):
    """Learning Embedding Linear Projections: for few classes, whose labels say little, every class is split into
    pseudo-subclasses along the directions in which the teacher's embedding of it varies most.

    ``fit`` learns, for every class, the mean and the S - 1 first principal directions of the embeddings of its points,
    after what the teacher's classifier sees has been projected off: its logits say that already. A point's coordinates
    along them, in standard deviations, are held against the S corners of a regular simplex; the softmax of that splits
    the class's probability. The student has C x S outputs, class by class; ``merge`` gives the logits of the classes.

    Parameters
    ----------
    subclasses : S, at least 2.
    temperature : of the split: the larger, the softer.
    reduction : "mean", "sum" or "none".

    Attributes
    ----------
    means_, directions_ : (C, D), (C, S - 1, D), after ``fit``; a direction is divided by the standard deviation along
        it. Classes with too few points for a direction have zeros there, and are split evenly along it.

    References
    ----------
    Loo, Iliopoulos, Hu, Vee. Linear Projections of Teacher Embeddings for Few-Class Distillation. 2024
    (arXiv:2409.20449).

    Examples
    --------
    >>> import torch
    >>> embedding = torch.tensor([[-2.0, 1.0], [2.0, 1.0], [0.0, -3.0], [0.0, -1.0]])
    >>> loss = SubclassDistillation(subclasses=2).fit(embedding, torch.tensor([0, 0, 1, 1]))
    >>> teacher = torch.tensor([[9.0, -9.0]])
    >>> split = loss.targets(teacher, torch.tensor([[-2.0, 1.0]]))
    >>> split.shape, round(float(split[0, :2].max()), 2), round(float(split[0, 2:].sum()), 2)
    (torch.Size([1, 4]), 0.88, 0.0)
    >>> student = torch.zeros(1, 4, requires_grad=True)
    >>> loss(student, teacher, torch.tensor([[-2.0, 1.0]])).backward()
    >>> loss.merge(student).shape
    torch.Size([1, 2])
    """

    means_: Tensor
    directions_: Tensor

    def __init__(self, subclasses: int = 2, *, temperature: float = 1.0, reduction: str = "mean") -> None:
        super().__init__()
        self.subclasses = inputs.positive_int("subclasses", subclasses, 2)
        self.temperature = inputs.positive("temperature", temperature)
        self.reduction = inputs.choice("reduction", reduction, REDUCTIONS)

    def fit(
        self, embedding: Tensor, labels: Tensor, classifier: Tensor | None = None, *, classes: int | None = None
    ) -> SubclassDistillation:
        """Learn the directions.

        Parameters
        ----------
        embedding : (n, D) floating, the teacher's last layer.
        labels : (n,) the classes of these points: the teacher's top class will do.
        classifier : (C, D), the rows that make the teacher's logits of an embedding, or None.
        classes : C, where neither the classifier nor the labels show all of them.
        """
        loss_inputs.logits_tensor("embedding", embedding)
        loss_inputs.some_rows("embedding", embedding)
        loss_inputs.refuse(loss_inputs.finite("embedding", embedding))
        if classifier is not None:
            loss_inputs.logits_tensor("classifier", classifier)
            if classifier.shape[1] != embedding.shape[1]:
                raise ValueError(
                    f"classifier: expected rows of {embedding.shape[1]} numbers, as the embedding has, got "
                    f"{classifier.shape[1]}"
                )
        shown = int(torch.as_tensor(labels).max()) + 1 if len(labels) else 0
        count = len(classifier) if classifier is not None else shown if classes is None else classes
        truth = torch.from_numpy(inputs.labels("labels", labels, len(embedding), max(2, count)))
        x = embedding.detach().double()
        if classifier is not None:
            seen = torch.linalg.svd(classifier.detach().double(), full_matrices=False)
            basis = seen.Vh[1e-9 * seen.S.max() < seen.S]
            x = x - (x @ basis.T) @ basis
        means = torch.zeros(max(2, count), x.shape[1], dtype=torch.float64, device=x.device)
        directions = torch.zeros(len(means), self.subclasses - 1, x.shape[1], dtype=torch.float64, device=x.device)
        for k in range(len(means)):
            rows = x[truth.to(x.device) == k]
            if len(rows) == 0:
                continue
            means[k] = rows.mean(0)
            found = torch.linalg.svd(rows - means[k], full_matrices=False)
            spread = found.S / len(rows) ** 0.5
            kept = min(self.subclasses - 1, int((spread > 1e-9 * max(float(spread.max()), 1e-300)).sum()))
            directions[k, :kept] = found.Vh[:kept] / spread[:kept, None]
        self.means_, self.directions_ = means.to(embedding.dtype), directions.to(embedding.dtype)
        return self

    def targets(self, teacher_logits: Tensor, embedding: Tensor) -> Tensor:
        """(n, C S) probabilities: those of the classes, each split by the embedding (n, D)."""
        self._check_fitted()
        loss_inputs.logits_tensor("teacher_logits", teacher_logits)
        loss_inputs.refuse(*loss_inputs.logits_of(teacher_logits=teacher_logits))
        if teacher_logits.shape[1] != len(self.means_) or embedding.shape != (
            len(teacher_logits),
            *self.means_[0].shape,
        ):
            raise ValueError(
                f"embedding: expected {len(teacher_logits)} rows of {self.means_.shape[1]} numbers and logits of "
                f"{len(self.means_)} classes, as fitted, got {tuple(embedding.shape)} and {tuple(teacher_logits.shape)}"
            )
        means, directions = self.means_.to(embedding), self.directions_.to(embedding)
        # (n, C, S - 1) coordinates; the directions lie off the classifier's rows, so that x needs no projection.
        along = torch.einsum("nd,csd->ncs", embedding.detach(), directions)
        along = along - torch.einsum("cd,csd->cs", means, directions)
        split = F.softmax(along @ corners(self.subclasses).to(along).T / self.temperature, dim=2)
        found: Tensor = (F.softmax(teacher_logits.detach(), dim=1)[:, :, None] * split).flatten(1)
        return found

    def forward(
        self, student_logits: Tensor, teacher_logits: Tensor, embedding: Tensor, weight: Tensor | None = None
    ) -> Tensor:
        """Cross-entropy of the student's (n, C S) logits with ``targets``; ``weight`` (n,) or None."""
        target = self.targets(teacher_logits, embedding).to(student_logits.dtype)
        return soft_cross_entropy(student_logits, target, weight=weight, reduction=self.reduction)

    def merge(self, student_logits: Tensor) -> Tensor:
        """(n, C) logits of the classes from the student's (n, C S): probabilities of subclasses add up."""
        loss_inputs.logits_tensor("student_logits", student_logits)
        if student_logits.shape[1] % self.subclasses:
            raise ValueError(
                f"student_logits: expected a multiple of {self.subclasses} columns, one a subclass, got "
                f"{student_logits.shape[1]}"
            )
        merged: Tensor = student_logits.reshape(len(student_logits), -1, self.subclasses).logsumexp(2)
        return merged

    def _check_fitted(self) -> None:
        if not hasattr(self, "means_"):
            raise ValueError("targets: expected a fitted SubclassDistillation; call .fit(embedding, labels) first")


def corners(count: int) -> Tensor:
    """(count, count - 1) the corners of a regular simplex around 0, each of length 1, float64."""
    centred = torch.eye(count, dtype=torch.float64) - 1.0 / count
    flat = torch.linalg.svd(centred).U[:, : count - 1]
    found: Tensor = flat * (count / (count - 1)) ** 0.5
    return found
