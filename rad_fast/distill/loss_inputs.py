"""Every check of what is given to a loss, and every message about it."""

from __future__ import annotations

from typing import Any

import torch

from rad_fast.inputs import is_number


def logits_tensor(name: str, value: Any, like: torch.Tensor | None = None) -> torch.Tensor:
    """Checked logits of a loss: a floating tensor of shape (n, C); as many rows and columns as ``like``."""
    if not isinstance(value, torch.Tensor) or not value.is_floating_point():
        got = f"dtype {value.dtype}" if isinstance(value, torch.Tensor) else type(value).__name__
        raise TypeError(f"{name}: expected a floating tensor of shape (n, classes), got {got}")
    if value.ndim != 2 or value.shape[1] < 2:
        raise ValueError(f"{name}: expected shape (n, classes) with 2 classes or more, got {tuple(value.shape)}")
    if like is not None and value.shape != like.shape:
        raise ValueError(
            f"{name}: expected shape {tuple(like.shape)} as the student's logits, got {tuple(value.shape)}"
        )
    return value


def targets_tensor(value: Any, like: torch.Tensor) -> torch.Tensor:
    """Checked targets: probabilities of the shape of the logits, or integer labels, one per row."""
    if not isinstance(value, torch.Tensor):
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
    if isinstance(value, torch.Tensor):
        if value.shape not in (torch.Size([]), torch.Size([rows])):
            raise ValueError(f"{name}: expected one number, or one per row, shape ({rows},), got {tuple(value.shape)}")
    elif not is_number(value):
        raise TypeError(f"{name}: expected a number or a tensor, got {type(value).__name__}")
