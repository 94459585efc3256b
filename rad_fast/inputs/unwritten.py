"""Rows at the end that are 0 in every class: room that was made for them, and was never written to.

A writer that makes room for all rows and ends before it has filled it leaves a file of the right size.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .points import warn

FEW = 8  # rows at the end that may be 0 without a word


def first_unwritten(data: Any) -> int | None:
    """From which row on there is nothing but 0, where that is so of the last 8 rows and not of the first; else None."""
    rows = int(data.shape[0])
    if rows <= FEW or not empty(data[rows - 1]) or not empty(data[rows - FEW :]) or empty(data[0]):
        return None
    low, high = 0, rows - FEW
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if empty(data[middle]) else (middle, high)
    return high


def warn_unwritten(name: str, first: int | None) -> None:
    if first is not None:
        cure = "was it written to its end? If not, leave them out"
        warn(f"{name}: its last rows, from row {first} on, are 0 in every class; {cure}", UserWarning)


def empty(rows: Any) -> bool:
    return not np.asarray(rows).any()
