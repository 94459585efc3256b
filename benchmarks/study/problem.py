"""One problem of the study: a set, a teacher and a seed, cut into its parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

Float32s = npt.NDArray[np.float32]


@dataclass
class Problem:
    """What the student learns from, what the teacher says, and what the student is tested on.

    Attributes
    ----------
    x, y : features (n, D) and people's labels (n,) of "labelled", "holdout", "pool" and "test".
    said : the teacher's logits (n, C) for "holdout" and "pool".
    hidden : units of the student's hidden layer; 0 is a linear student.
    ask : the teacher's logits of any features, where it is a model; None where its answers are all there is.
    """

    source: str
    teacher: str
    classes: int
    hidden: int
    seed: int
    x: dict[str, Tensor]
    y: dict[str, Tensor]
    said: dict[str, Tensor]
    ask: Callable[[Tensor], Tensor] | None = None

    @property
    def right(self) -> float:
        """How often the teacher's label is right in the pool."""
        return float((self.said["pool"].argmax(1) == self.y["pool"]).double().mean())


def principal(x: Float32s, dimensions: int) -> Float32s:
    """The first principal components (no labels used), scaled so that a feature's mean square is 1."""
    x = x - x.mean(0)
    axes = np.linalg.eigh(x.T @ x)[1][:, ::-1][:, :dimensions]
    return scaled(x @ axes)


def scaled(z: npt.NDArray[np.floating]) -> Float32s:
    return (z / np.sqrt((z**2).mean())).astype(np.float32)
