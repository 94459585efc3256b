"""Active distillation with PyTorch: the loop, its strategies, data sets of soft labels, and losses.

``rad_fast.distill`` needs torch (``pip install "rad_fast[torch]"``); ``import rad_fast`` does not.
"""

from __future__ import annotations

try:
    import torch as torch  # for the message alone
except ImportError as error:
    raise ImportError('rad_fast.distill needs torch: pip install "rad_fast[torch]"') from error

from .data import SelectionSampler, SoftLabelDataset, soft_targets
from .distiller import ActiveDistiller
from .estimators import SklearnStudent
from .inputs import BudgetWarning, TeacherError
from .losses import (
    DebiasingWeights,
    DistillationKL,
    MixingEstimator,
    SoftCrossEntropy,
    StudentLabelMixing,
    SubclassDistillation,
    WeightedDistillation,
    distillation_kl,
    partial_labels,
    self_distillation,
    soft_cross_entropy,
    student_label_mixing,
)
from .online import OnlineBatches
from .round_report import RoundReport
from .strategies import STRATEGIES, Choice, Round
from .training import Fit, predict

__all__ = [
    "STRATEGIES",
    "ActiveDistiller",
    "BudgetWarning",
    "Choice",
    "DebiasingWeights",
    "DistillationKL",
    "Fit",
    "MixingEstimator",
    "OnlineBatches",
    "Round",
    "RoundReport",
    "SelectionSampler",
    "SklearnStudent",
    "SoftCrossEntropy",
    "SoftLabelDataset",
    "StudentLabelMixing",
    "SubclassDistillation",
    "TeacherError",
    "WeightedDistillation",
    "distillation_kl",
    "partial_labels",
    "predict",
    "self_distillation",
    "soft_cross_entropy",
    "soft_targets",
    "student_label_mixing",
]
