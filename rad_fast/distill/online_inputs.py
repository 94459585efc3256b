"""Every check of what is given to OnlineBatches alone, and every message about it."""

from __future__ import annotations

from typing import Any

import torch

from rad_fast.inputs import is_number


def share(name: str, value: Any) -> float:
    if not is_number(value) or not 0.0 < float(value) <= 1.0:
        kind = TypeError if not is_number(value) else ValueError
        raise kind(f"{name}: expected a number in (0, 1], the share of a batch to keep, got {value!r}")
    return float(value)


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
        raise ValueError(f"{name}: expected scores that are numbers, {int(found.isnan().sum())} of {rows} are NaN")
    return found


def state(value: Any, seed: int) -> dict[str, Any]:
    """What ``state_dict`` returned, of batches with this seed."""
    if not isinstance(value, dict) or not {"seed", "step"} <= value.keys():
        got = f"a dictionary with {sorted(value)}" if isinstance(value, dict) else type(value).__name__
        raise ValueError(f"state: expected what state_dict() returned, got {got}")
    if value["seed"] != seed:
        raise ValueError(f"state: expected one of batches with seed {seed}, got seed {value['seed']}")
    return value
