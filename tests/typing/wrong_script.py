"""What a type checker must refuse: each line that is marked, and no other. It is never run."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

import rad_fast


def misspelt(logits: npt.NDArray[np.float32]) -> None:
    rad_fast.select(logits, 100, backend="gpu")  # refused
    rad_fast.select(logits, 100, invalid="drop")  # refused
    rad_fast.select(logits, 100, sed=3)  # refused
    rad_fast.Selector(100, backend="gpu")  # refused
    rad_fast.Selector(100).fit(logits).save()  # refused
