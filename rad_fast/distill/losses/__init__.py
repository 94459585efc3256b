"""Losses for a student that learns from a teacher's labels: plain functions, and modules that remember their settings.

All take the student's logits (n, C) and reduce over rows. ``targets`` are probabilities (n, C) or integer labels (n,).
``weight`` is one number per row; ``reduction="mean"`` divides by the number of rows, not by the sum of the weights: a
point of small weight then counts for little also where all weights are small.

Refused are probabilities for logits, targets that do not sum to 1 or are no classes, weights below 0, NaN and infinite
ones. Looking for them waits for a device once a call.

>>> import torch
>>> soft_cross_entropy(torch.zeros(2, 4), torch.tensor([0, 3]), weight=torch.tensor([1.0, 0.0]))
tensor(0.6931)
"""

from __future__ import annotations

from .cross_entropy import DistillationKL, SoftCrossEntropy, distillation_kl, soft_cross_entropy
from .mixing import MixingEstimator, StudentLabelMixing, student_label_mixing
from .refined import partial_labels, self_distillation
from .subclass import SubclassDistillation
from .weighted import DebiasingWeights, WeightedDistillation

__all__ = [
    "DebiasingWeights",
    "DistillationKL",
    "MixingEstimator",
    "SoftCrossEntropy",
    "StudentLabelMixing",
    "SubclassDistillation",
    "WeightedDistillation",
    "distillation_kl",
    "partial_labels",
    "self_distillation",
    "soft_cross_entropy",
    "student_label_mixing",
]
