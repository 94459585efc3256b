"""What the chosen points count for in training: the losses that the study compares, as targets and weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from rad_fast import Calibrator
from rad_fast.distill import DebiasingWeights, MixingEstimator, partial_labels, student_label_mixing

from .problem import Problem

PLAIN, WEIGHTED, DEBIASED = "plain", "weighted", "weighted distillation"
SLAM = "SLaM"
PARTIAL, PARTIAL_SELF, SELF = "partial labels", "partial labels of the student", "self-distillation, xi 1.5"
LOSSES = (WEIGHTED, DEBIASED, SLAM, PARTIAL, PARTIAL_SELF, SELF)
MIXED = (SLAM,)  # needs a gradient of its own
XI = 1.5


class Label:
    """Turns a teacher's logits into targets and weights, for one problem and one kind of labels."""

    def __init__(self, problem: Problem, labels: str) -> None:
        self.problem, self.hard = problem, labels == "hard"
        self.labelled = len(problem.x["labelled"])
        self.mixing = MixingEstimator().fit(problem.said["holdout"], problem.y["holdout"])
        self.mixing_k = self.mixing.k_

    def of(self, loss: str, said: Tensor, student: Tensor, holdout: Tensor) -> tuple[Tensor, Tensor]:
        """Targets (n, C) and weights (n,) of points with the teacher's and the student's logits; judged with a student
        that has not learned these labels yet."""
        hot = torch.nn.functional.one_hot(said.argmax(1), self.problem.classes).float()
        targets = hot if self.hard else said.softmax(1)
        weight = torch.ones(len(said))
        if loss == PARTIAL:
            targets = partial_labels(said)
        elif loss == SLAM:
            weight = self.mixing.alpha(said)
        elif loss == DEBIASED:
            weights = DebiasingWeights().fit(holdout, self.problem.said["holdout"], self.problem.y["holdout"])
            weight = weights.predict(student, said)
        elif loss == WEIGHTED:
            held = self.problem.said["holdout"].numpy(), self.problem.y["holdout"].numpy(), holdout.numpy()
            weight = torch.from_numpy(np.asarray(Calibrator().fit(*held).predict(said.numpy(), student.numpy())))
        return targets, weight

    @staticmethod
    def refines(loss: str) -> bool:
        return loss in (PARTIAL_SELF, SELF)

    def refined(self, loss: str, targets: Tensor, earlier: Tensor) -> Tensor:
        """Targets set right by a student that has learned them; people's labels stay."""
        n = self.labelled
        mended = partial_labels(earlier) if loss == PARTIAL_SELF else (1 - XI) * targets + XI * earlier.softmax(1)
        return torch.cat([targets[:n], mended[n:]])


def slam_gradient(k: int, hard: bool) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Of SLaM's loss in the logits; alpha comes in the weights' place, and is 1 for people's labels."""

    def gradient(z: Tensor, targets: Tensor, alpha: Tensor) -> Tensor:
        flat = z.reshape(-1, z.shape[2]).detach().requires_grad_()
        rows = targets.reshape(flat.shape)
        said = rows.argmax(1) if hard else rows
        loss = student_label_mixing(flat, said, alpha.reshape(-1), k=None if hard else k, reduction="sum")
        return torch.autograd.grad(loss, flat)[0].reshape(z.shape)

    return gradient
