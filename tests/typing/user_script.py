"""A user's script: a type checker must accept every line and infer the types that are asserted. It is never run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from typing_extensions import assert_type

import rad_fast

Indices = npt.NDArray[np.int64]


def from_numpy(logits: npt.NDArray[np.float32], student: npt.NDArray[np.float32]) -> Indices:
    indices = rad_fast.select(logits, 100, student_logits=student)
    assert_type(indices, Indices)
    assert_type(rad_fast.select(logits, "5%", mistakes=0.02, random_state=3, invalid="exclude"), Indices)
    return indices[indices > 0]


def from_torch(logits: torch.Tensor) -> torch.Tensor:
    indices = rad_fast.select(logits, 0.01, backend="triton")
    assert_type(indices, torch.Tensor)
    return logits[indices]


def step_by_step(logits: npt.NDArray[np.float32], labels: Indices, path: Path) -> float:
    calibrator = rad_fast.Calibrator(backend="auto").fit(logits, labels)
    selector = rad_fast.Selector(budget=100, seed=1).set_params(budget=200)
    assert_type(selector, rad_fast.Selector)
    selection = selector.fit(logits, correctness=calibrator)
    assert_type(selection, rad_fast.Selection)
    selection.save(path)
    again = rad_fast.Selection.load(path)
    assert_type(again.value, float)
    assert_type(again.summary(), str)
    return again.value
