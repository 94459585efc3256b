"""What strategies compute from logits, and how they draw: probabilities, margins, entropies, samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Float64s = npt.NDArray[np.float64]


def softmax(logits: npt.NDArray[Any]) -> Float64s:
    z = logits.astype(np.float64)
    e = np.exp(z - z.max(1, keepdims=True))
    p: Float64s = e / e.sum(1, keepdims=True)
    return p


def margins(p: Float64s) -> Float64s:
    two = np.partition(p, -2, axis=1)[:, -2:]
    return two[:, 1] - two[:, 0]


def entropies(p: Float64s) -> Float64s:
    h: Float64s = -(p * np.log(np.maximum(p, 1e-300))).sum(1)
    return h


def in_proportion(worth: Float64s, available: npt.NDArray[np.bool_], budget: int) -> Float64s:
    """min(1, s worth) that sum to the budget; where too few points are worth anything the others share the rest."""
    positive = worth > 0
    if positive.sum() <= budget:
        others = available & ~positive
        share = (budget - positive.sum()) / max(1, others.sum())
        return np.where(positive, 1.0, np.where(others, share, 0.0))
    full = np.zeros(len(worth), bool)
    while True:
        scale = (budget - full.sum()) / worth[~full].sum()
        over = ~full & (worth * scale > 1.0)
        if not over.any():
            return np.where(full, 1.0, worth * scale)
        full |= over
