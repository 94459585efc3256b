"""A small problem for the tests: points in the plane, a teacher that is wrong near one border, and counts its calls."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch import nn

POINTS, CLASSES = 240, 3


def plane(points: int = POINTS, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(points, 2, generator=g)
    return x, truth(x).argmax(1)


def truth(x: torch.Tensor) -> torch.Tensor:
    angles = torch.tensor([0.0, 2.1, 4.2])
    return 4.0 * (x[:, :1] * angles.cos() + x[:, 1:] * angles.sin())


class Teacher:
    """Knows the truth, shifted; ``fails`` says for which calls (from 0) it raises; counts points and who they were."""

    def __init__(self, fails: Any = ()) -> None:
        self.fails = fails
        self.calls = self.points = 0
        self.seen: list[tuple[float, ...]] = []

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if (self.calls - 1) in self.fails:
            raise ConnectionError("the line is dead")
        self.points += len(batch)
        self.seen.extend(tuple(row) for row in batch.tolist())
        return truth(batch + 0.15)


class Student(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.layers = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, CLASSES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def arguments(**others: Any) -> dict[str, Any]:
    """Of an ActiveDistiller that takes well under a second."""
    from rad_fast.distill import Fit

    x, y = plane()
    holdout = (x[20:60], y[20:60])
    made: dict[str, Any] = {
        "student": Student(),
        "teacher": Teacher(),
        "labelled": (x[:20], y[:20]),
        "holdout": holdout,
        "pool": x[60:],
        "budget": 15,
        "rounds": 2,
        "train": Fit(epochs=4, lr=0.02),
        "query_batch": 8,
        "sleep": no_sleep,
        "progress": False,
    }
    return {**made, **others}


def said_of(**others: Any) -> list[str]:
    """What is said of such arguments; every warning is of the line that gives them."""
    from rad_fast.distill import ActiveDistiller

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ActiveDistiller(**arguments(**others))
    assert all(one.filename == __file__ for one in caught)
    return [str(one.message) for one in caught]


def no_sleep(seconds: float) -> None:
    """Tests never sleep."""


def weights_of(student: nn.Module) -> np.ndarray:
    return torch.cat([p.detach().flatten() for p in student.parameters()]).numpy()
