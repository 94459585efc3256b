"""Every check of what a student is trained with, and every message about it: trainer, loss, items.

A trainer calls loss(logits, targets, weight). Losses that want something else in one of these places would take it for
that, and say nothing: they are told apart by name.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from . import errors, loss_inputs
from .estimators import SklearnStudent, weight_argument
from .losses import (
    DistillationKL,
    SoftCrossEntropy,
    StudentLabelMixing,
    SubclassDistillation,
    WeightedDistillation,
    distillation_kl,
    self_distillation,
    soft_cross_entropy,
    student_label_mixing,
)

CALLED = "expected loss(logits, targets, weight)"
OWN_LOOP = "train in a loop of your own, which has them"
SOFTEN = 'give SoftCrossEntropy(temperature), which differs by the teacher\'s entropy alone, with labels="soft"'
OTHERS: dict[Any, tuple[str, str]] = {  # what losses want that are not called so, and what to do
    distillation_kl: (
        "its weight by name",
        "give DistillationKL() where the targets are logits, or SoftCrossEntropy()",
    ),
    soft_cross_entropy: ("its weight by name", "give SoftCrossEntropy()"),
    self_distillation: ("the logits of an earlier student", OWN_LOOP),
    SubclassDistillation.forward: ("the teacher's logits and embedding", OWN_LOOP),
    WeightedDistillation.forward: (
        "the logits of the teacher and of an earlier student",
        "give the data set DebiasingWeights.predict(...) as its weights, and SoftCrossEntropy()",
    ),
}
OF_LOGITS = {  # losses that want the teacher's logits for targets, and what to do
    DistillationKL.forward: SOFTEN,
    StudentLabelMixing.forward: (
        "give student_label_mixing, which takes the weights for its alpha: those of a distiller are the probabilities "
        "that its labels are right"
    ),
}
WEIGH = (
    "give SoftCrossEntropy(), or a function that weighs its rows: lambda logits, targets, weight: (weight * "
    'cross_entropy(logits, targets, reduction="none")).mean()'
)


def loss_of_rows(loss: Any) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """A loss that can be called with logits, targets and weight, and means these."""
    if isinstance(loss, type) or not callable(loss):
        instance = f"the class: give {loss.__name__}(...)" if isinstance(loss, type) else repr(loss)
        raise TypeError(f"loss: {CALLED}, got {instance}")
    inner = called(loss)
    if inner in OTHERS:
        what, then = OTHERS[inner]
        raise TypeError(f"loss: {CALLED}; {named(loss)} wants {what}: {then}")
    if (getattr(inner, "__module__", None) or "").startswith("torch.nn"):
        raise TypeError(f"loss: {CALLED}; torch's {named(loss)} takes no weight for each row: {WEIGH}")
    try:
        inspect.signature(loss.forward if isinstance(loss, nn.Module) else loss).bind(None, None, None)
    except TypeError as error:
        raise TypeError(f"loss: {CALLED}; {named(loss)} cannot be called so ({error}): {WEIGH}") from error
    except ValueError:  # compiled: it has no signature
        pass
    if getattr(loss, "reduction", None) == "none":
        raise ValueError(f'loss: expected one number, got {named(loss)} with reduction="none"; give "mean"')
    found: Callable[[Tensor, Tensor, Tensor], Tensor] = loss
    return found


def loss_of_probabilities(loss: Any) -> None:
    """Refuse a loss that takes its targets for logits, where they are probabilities."""
    inner = called(loss)
    if inner in OF_LOGITS:
        raise TypeError(
            f"loss: expected one whose targets are probabilities, as labels are given here; {named(loss)} takes them "
            f"for logits: {OF_LOGITS[inner]}"
        )


def called(loss: Any) -> Any:
    """The function that a loss is, without settings."""
    while isinstance(loss, functools.partial):
        loss = loss.func
    return type(loss).forward if isinstance(loss, nn.Module) else loss


def named(loss: Any) -> str:
    while isinstance(loss, functools.partial):
        loss = loss.func
    return getattr(loss, "__name__", type(loss).__name__)


def doubts(student: Any, loss: Any, strategy: str, labels: str, temperature: float, weights: str | None) -> list[str]:
    """What is to be said of a distiller's loss and student with such labels and weights."""
    found = []
    if isinstance(loss, SoftCrossEntropy) and loss.temperature not in (1.0, temperature):
        targets = "one-hot" if labels == "hard" else f"softened by {temperature:g}"
        found.append(
            f"loss: its temperature of {loss.temperature:g} is for targets that are softened by as much, and these are "
            f'{targets}; give labels="soft", temperature={loss.temperature:g}, or SoftCrossEntropy()'
        )
    if loss is not None and called(loss) is student_label_mixing and weights is None:
        found.append(
            "loss: student_label_mixing takes the weights for its alpha, and with weights=None they are 1: it is the "
            'plain cross-entropy; give weights="correctness"'
        )
    if labels == "soft" and isinstance(student, SklearnStudent) and weight_argument(student.estimator) is None:
        found.append(
            f"labels: soft ones asked for, but fit of {type(student.estimator).__name__} takes no sample_weight, and "
            'it learns the likeliest class alone; give labels="hard", or another estimator'
        )
    if strategy == "unixkd" and labels == "hard":
        found.append(
            'strategy: "unixkd" mixes inputs, and the top class of a mixture says little; give labels="soft", with '
            "which it was published"
        )
    return found


def trained_by_fit(student: Any, own: bool) -> None:
    """``Fit`` trains modules. ``own``: it was not asked for, but is the default."""
    if isinstance(student, nn.Module):
        trainable(student)
        return
    name = type(student).__name__
    if errors.is_estimator(student) or isinstance(student, SklearnStudent):
        raise TypeError(
            f"train: expected None, with which a {name} learns by its own fit, got a Fit: it trains torch modules"
        )
    got = "None: its default trains torch modules" if own else "a Fit: it trains torch modules"
    raise TypeError(f"train: expected a callable (student, dataset) that trains a {name}, got {got}")


def trainable(student: Any) -> None:
    """A module that has parameters, of which some learn."""
    if not isinstance(student, nn.Module):
        raise TypeError(f"student: expected a torch module, got {type(student).__name__}")
    if not any(parameter.requires_grad for parameter in student.parameters()):
        raise ValueError(
            "student: expected parameters to train, got none that requires a gradient; call .requires_grad_() of what "
            "is to learn"
        )


def items(dataset: Any) -> None:
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        raise TypeError(
            f"dataset: expected items (input, target, weight) by their place, as a SoftLabelDataset has, got "
            f"{type(dataset).__name__}"
        )
    if len(dataset) == 0:
        raise errors.nothing_to_learn()


def parts(value: Any) -> tuple[Any, Any, Any]:
    """Inputs, targets and weights of a batch."""
    if not isinstance(value, (tuple, list)) or len(value) != 3:
        got = f"{len(value)} parts" if isinstance(value, (tuple, list)) else type(value).__name__
        raise TypeError(
            f"dataset: expected items (input, target, weight), got {got}; give SoftLabelDataset(inputs, labels, "
            "n_classes=...)"
        )
    return value[0], value[1], value[2]


def logits_of_batch(value: Any) -> Tensor:
    """What a student says of a batch while it learns."""
    if not isinstance(value, Tensor):
        raise TypeError(
            f"student: expected a tensor of logits (n, C), which gradients can flow through, got {type(value).__name__}"
        )
    if value.ndim != 2 or value.shape[1] < 2:
        raise errors.student_classes(tuple(value.shape))
    return value.float()


def numbers(logits: Tensor, targets: Any, weight: Any) -> None:
    """Targets and weights of a batch, for the student's logits of it."""
    loss_inputs.logits_tensor("student", logits)
    loss_inputs.targets_tensor(targets, logits)
    loss_inputs.per_row("weight", weight, len(logits))
    loss_inputs.refuse(loss_inputs.likely_targets(targets, logits.shape[1]), loss_inputs.weights(weight))


def one_number(loss: Any) -> Tensor:
    """What a loss says of a batch."""
    if not isinstance(loss, Tensor) or loss.ndim:
        got = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise TypeError(f"loss: expected one number, a tensor of shape (), got {got}; reduce it, with .mean()")
    if not loss.requires_grad:
        raise ValueError(
            "loss: expected to depend on what the student learns, got a number without gradient; leave out .detach() "
            "and torch.no_grad() between the student's parameters and the loss"
        )
    return loss


def something_counts(total: float) -> None:
    if total == 0.0:
        raise errors.nothing_counts()


def finite(total: float, epoch: int, lr: float, kept: bool) -> bool:
    """Whether training can go on. Where it diverged, the best student so far is ``kept``, or there is none."""
    if math.isfinite(total):
        return True
    if kept:
        return False
    raise RuntimeError(
        f"student: the loss was {total} in epoch {epoch}: training diverged, or inputs are no numbers. Train with a "
        f"smaller lr than {lr:g}, or fix the inputs; a teacher's answers are kept"
    )
