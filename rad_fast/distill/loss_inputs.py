"""Every check of what is given to a loss, and every message about it.

Shapes and kinds are looked at always. Numbers are looked at all together, so that a device is waited for once a call;
not at all where there are none to see: while a graph is compiled, under ``torch.func.vmap``, on the meta device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rad_fast.inputs import is_number
from rad_fast.inputs.shown import are

from .inputs import ENOUGH, SUM_TOLERANCE

LOOKED_AT = 16  # rows of logits, where the question is whether they are any
Finding = tuple[Tensor, Callable[[], Exception]]  # whether something is amiss, and what is said of it then


def logits_tensor(name: str, value: Any, like: Tensor | None = None) -> Tensor:
    """Checked logits of a loss: a floating tensor of shape (n, C); as many rows and columns as ``like``."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        got = f"dtype {value.dtype}" if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"{name}: expected a floating tensor of shape (n, classes), got {got}")
    if value.ndim != 2 or value.shape[1] < 2:
        raise ValueError(f"{name}: expected shape (n, classes) with 2 classes or more, got {tuple(value.shape)}")
    if like is not None and value.shape != like.shape:
        raise ValueError(
            f"{name}: expected shape {tuple(like.shape)} as the student's logits, got {tuple(value.shape)}"
        )
    return value


def targets_tensor(value: Any, like: Tensor) -> Tensor:
    """Checked targets: probabilities of the shape of the logits, or integer labels, one per row."""
    if not isinstance(value, Tensor):
        raise TypeError(f"targets: expected a tensor of probabilities or labels, got {type(value).__name__}")
    if value.is_floating_point():
        return logits_tensor("targets", value, like)
    if value.dtype == torch.bool or value.is_complex():
        raise TypeError(f"targets: expected floating probabilities or integer labels, got dtype {value.dtype}")
    if value.shape != like.shape[:1]:
        raise ValueError(f"targets: expected one label per row, shape ({len(like)},), got {tuple(value.shape)}")
    return value


def per_row(name: str, value: Any, rows: int) -> None:
    """One number for all rows, or a tensor of one per row."""
    if isinstance(value, Tensor):
        if value.shape not in (torch.Size([]), torch.Size([rows])):
            raise ValueError(f"{name}: expected one number, or one per row, shape ({rows},), got {tuple(value.shape)}")
    elif not is_number(value):
        raise TypeError(f"{name}: expected a number or a tensor, got {type(value).__name__}")


# What numbers may be.


def refuse(*findings: Finding) -> None:
    """Raise what is said of the first finding that is true."""
    if torch.compiler.is_compiling() or not findings:
        return
    device = findings[0][0].device
    try:
        found = torch.stack([finding.detach().to(device) for finding, _ in findings]).tolist()
    except RuntimeError:  # no numbers: under vmap, on the meta device
        return
    for amiss, (_, said) in zip(found, findings, strict=True):
        if amiss:
            raise said()


def no_probabilities(name: str, value: Tensor) -> Finding:
    """Logits are none where the rows, two or more, are in [0, 1] and sum to 1; 0 and 1 alone may be logits where they
    are few."""
    few = value.detach()[:LOOKED_AT].float()
    alike = ((few >= 0) & (few <= 1)).all() & ((few.sum(1) - 1).abs() <= tolerance(value)).all()
    if len(few) < 2:
        alike = torch.zeros_like(alike)
    elif len(few) < ENOUGH:
        alike = alike & ~((few == 0) | (few == 1)).all()
    return alike, lambda: ValueError(
        f"{name}: expected logits, got probabilities: the rows are in [0, 1] and sum to 1; give what the model says "
        "before its softmax, or log(p)"
    )


def finite(name: str, value: Tensor) -> Finding:
    """Logits are numbers, or -inf where a class is ruled out; not all of a row."""
    z = value.detach()
    wrong = ~(z < torch.inf).all(1) | (z == -torch.inf).all(1)
    return wrong.any(), lambda: ValueError(
        f"{name}: expected rows of finite numbers or -inf, {are(int(wrong.sum()))} not, with NaN, +inf or nothing "
        f"finite, the first is row {first(wrong)}; leave such points out"
    )


def logits_of(**given: Tensor) -> list[Finding]:
    """What there is to find in logits of models that are not trained here."""
    return [found for name, value in given.items() for found in (no_probabilities(name, value), finite(name, value))]


def some_rows(name: str, value: Tensor) -> None:
    if len(value) == 0:
        raise ValueError(f"{name}: expected at least one row, got shape {tuple(value.shape)}")


def one_hot(name: str, value: Tensor) -> Finding:
    """Where all rows are one-hot nobody knows which class comes next."""
    few = value.detach()[:LOOKED_AT]
    plain = ((few == 0) | (few == 1)).all() & (few.sum(1) == 1).all()
    return plain if len(few) else torch.zeros_like(plain), lambda: ValueError(
        f"{name}: expected logits or probabilities, got one-hot rows, which do not say what the next class is; give "
        "what the model says, before labels are made of it"
    )


def fitted(name: str, value: Any, kind: type, attribute: str) -> Any:
    """What a loss was fitted with."""
    if not isinstance(value, kind):
        raise TypeError(f"{name}: expected a fitted {kind.__name__}, got {type(value).__name__}")
    if not hasattr(value, attribute):
        raise ValueError(f"{name}: expected a fitted {kind.__name__}; call its .fit first")
    return value


def likely_targets(value: Tensor, classes: int) -> Finding:
    """Targets are probabilities that sum to 1 in every row, or classes."""
    if not value.is_floating_point():
        wrong = (value < 0) | (value >= classes)
        return wrong.any(), lambda: ValueError(
            f"targets: expected classes from 0 to {classes - 1}, {are(int(wrong.sum()))} not, the first: "
            f"{int(value[first(wrong)])} in row {first(wrong)}; leave such rows out"
        )
    p = value.detach().float()
    wrong = ~((p >= 0).all(1) & ((p.sum(1) - 1).abs() <= tolerance(value)))
    return wrong.any(), lambda: ValueError(
        f"targets: expected rows of probabilities that sum to 1; {are(int(wrong.sum()))} not, the first is row "
        f"{first(wrong)}; give logits through soft_targets(logits)"
    )


def weights(value: Any) -> Finding:
    """A weight is finite, and at least 0."""
    tensor = torch.as_tensor(value).detach()
    wrong = ~(torch.isfinite(tensor) & (tensor >= 0))
    return wrong.any(), lambda: ValueError(
        f"weight: expected finite weights of at least 0, {are(int(wrong.sum()))} not, the first: "
        f"{float(tensor.reshape(-1)[first(wrong)]):g} in row {first(wrong)}"
    )


def shares(name: str, value: Any) -> Finding:
    """A probability per row, or one for all of them."""
    tensor = torch.as_tensor(value).detach()
    wrong = ~((tensor >= 0) & (tensor <= 1))
    return wrong.any(), lambda: ValueError(
        f"{name}: expected probabilities, from 0 to 1, {are(int(wrong.sum()))} not, the first: "
        f"{float(tensor.reshape(-1)[first(wrong)]):g} in row {first(wrong)}"
    )


def tolerance(value: Tensor) -> float:
    """What the sum of a row may miss 1 by, by the digits of its numbers."""
    return SUM_TOLERANCE if torch.finfo(value.dtype).bits > 16 else 10 * SUM_TOLERANCE


def first(wrong: Tensor) -> int:
    return int(wrong.reshape(-1).int().argmax())
