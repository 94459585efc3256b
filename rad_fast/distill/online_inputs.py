"""Every check of what is given to OnlineBatches alone, and every message about it."""

from __future__ import annotations

from typing import Any

import torch

from rad_fast.inputs import is_number
from rad_fast.inputs.shown import are


def share(name: str, value: Any) -> float:
    if not is_number(value) or not 0.0 < float(value) <= 1.0:
        kind = TypeError if not is_number(value) else ValueError
        raise kind(f"{name}: expected a number in (0, 1], the share of a batch to keep, got {value!r}")
    return float(value)


def labels_of(value: Any) -> torch.Tensor:
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"labels: expected integers, or probabilities (n, C), got {type(value).__name__} ({error}); use split= to "
            "make them of a batch"
        ) from error


def class_labels(value: torch.Tensor, rows: int, classes: int) -> torch.Tensor:
    """Checked labels of a batch as classes (rows,): integers, or the likeliest class of probabilities (rows, C)."""
    if value.ndim == 2 and value.is_floating_point():
        if value.shape != (rows, classes):
            raise ValueError(f"labels: expected probabilities of shape ({rows}, {classes}), got {tuple(value.shape)}")
        if bool(value.isnan().any()):
            raise ValueError(f"labels: expected probabilities, {int(value.isnan().any(1).sum())} rows have NaN")
        return value.argmax(1)
    if value.ndim != 1 or value.is_floating_point() or value.dtype == torch.bool:
        raise TypeError(
            f"labels: expected integers of shape ({rows},) or probabilities of shape ({rows}, {classes}), got "
            f"{value.dtype} of shape {tuple(value.shape)}"
        )
    wrong = (value < 0) | (value >= classes)
    if bool(wrong.any()):
        at = int(wrong.int().argmax())
        raise ValueError(
            f"labels: expected classes from 0 to {classes - 1}, {are(int(wrong.sum()))} not, the first: "
            f"{int(value[at])} in row {at} of the batch; leave such rows out of the loader"
        )
    return value.long()


def rows_alike(labels: int, student: torch.Tensor, reference: torch.Tensor | None) -> None:
    """A batch's labels and both models' logits are of the same rows and classes."""
    if labels != len(student):
        raise ValueError(f"labels: expected one for each of the student's {len(student)} rows, got {labels}")
    if reference is not None and reference.shape != student.shape:
        raise ValueError(
            f"reference: expected logits of shape {tuple(student.shape)}, as the student's, got "
            f"{tuple(reference.shape)}"
        )


def scores(name: str, value: Any, rows: int) -> torch.Tensor:
    """One score per row, none of them NaN."""
    try:
        found = torch.as_tensor(value).detach().float().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name}: expected one score per row, got {type(value).__name__} ({error})") from error
    if found.shape != (rows,):
        raise ValueError(f"{name}: expected one score per row, shape ({rows},), got {tuple(found.shape)}")
    if bool(found.isnan().any()):
        raise ValueError(
            f"{name}: expected scores that are numbers, {int(found.isnan().sum())} of {rows} are NaN: "
            "training diverged, or the inputs are no numbers"
        )
    return found


def state(value: Any, seed: int) -> dict[str, Any]:
    """What ``state_dict`` returned, of batches with this seed."""
    if not isinstance(value, dict) or not {"seed", "step"} <= value.keys():
        got = f"a dictionary with {sorted(value)}" if isinstance(value, dict) else type(value).__name__
        raise ValueError(f"state: expected what state_dict() returned, got {got}")
    if value["seed"] != seed:
        raise ValueError(f"state: expected one of batches with seed {seed}, got seed {value['seed']}")
    return value
