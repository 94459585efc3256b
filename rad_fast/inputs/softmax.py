"""Probabilities given for logits: told from a few rows, and refused with the words that help.

Rows that all lie in [0, 1] and sum to 1 are softmax outputs. Taken for logits they give a margin, a confidence and a
selection that look plausible and are wrong. A few rows suffice to tell: logits miss this by chance in the first row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rad_fast.kernels.reference.score import LOOKED_AT, SUM_OFF

from .arrays import Matrix

ENOUGH = 8  # rows that are all probabilities: of two logits one row in some thousands is, by chance
GIVE = "rad_fast.Probabilities(p)"  # the command line puts its option here
KEPT = 0.9  # of the probability that the largest hold, where only they are stored


@dataclass(frozen=True)
class Seen:
    """What was given as logits so far.

    Of the rows looked at: how many are probabilities, how many of these are fractions and not 0 and 1 alone (of a few
    rows, those could be logits), and whether others are none.
    """

    alike: int = 0
    fractions: int = 0
    others: bool = False

    @property
    def counts(self) -> tuple[int, int, int]:
        """As plain numbers."""
        return self.alike, self.fractions, int(self.others)

    def after(self, matrix: Matrix, left_out: npt.NDArray[np.bool_] | None) -> Seen:
        """With one more chunk.

        Raises
        ------
        ValueError : its rows, or those of all chunks so far, are probabilities.
        """
        return self.joined(matrix.name, looked_at(matrix.data, left_out))

    def joined(self, name: str, chunk: Seen) -> Seen:
        """The same, of rows that were looked at."""
        now = Seen(self.alike + chunk.alike, self.fractions + chunk.fractions, self.others or chunk.others)
        if not chunk.others and chunk.alike and (chunk.alike >= ENOUGH or (now.alike >= ENOUGH and not now.others)):
            raise probabilities_given(name)
        return now


def refuse_all_probabilities(name: str, every: Sequence[Seen]) -> None:
    """Raise ValueError where all of a selection's rows were probabilities, few as they may be."""
    alike, fractions = sum(seen.alike for seen in every), sum(seen.fractions for seen in every)
    if (fractions or alike >= ENOUGH) and not any(seen.others for seen in every):
        raise probabilities_given(name)


def refuse_probabilities(matrix: Matrix) -> None:
    """Raise ValueError for a whole matrix of probabilities."""
    refuse_all_probabilities(matrix.name, [looked_at(matrix.data, None)])


def probabilities_given(name: str) -> ValueError:
    return ValueError(
        f"{name}: expected logits, got probabilities: the rows are in [0, 1] and sum to 1; give "
        f"{GIVE}, or their logarithm log(p)"
    )


def looked_at(data: Any, left_out: npt.NDArray[np.bool_] | None) -> Seen:
    """Some rows of a chunk, up to the first that is none. Rows left out, or not finite, say nothing."""
    if hasattr(data, "labels"):  # a teacher's answers alone
        return Seen(others=True)
    rows = len(data)
    alike = fractions = 0
    count = min(rows, LOOKED_AT)
    for place in range(count):  # the first row nearly always tells
        at = place * (rows - 1) // max(1, count - 1)
        if left_out is not None and left_out[at]:
            continue
        row = row_of(data, at)
        low, high = float(row.min()), float(row.max())
        if math.isnan(low) or high == math.inf:
            continue
        least = KEPT if hasattr(data, "n_classes") else 1.0 - SUM_OFF
        if not (low >= 0.0 and high <= 1.0 + SUM_OFF and least <= row.sum() <= 1.0 + SUM_OFF):
            return Seen(alike, fractions, True)
        alike += 1
        fractions += bool(((row > 0.0) & (row < 1.0)).any())
    return Seen(alike, fractions, False)


def row_of(data: Any, at: int) -> npt.NDArray[np.float64]:
    row = data.values[at] if hasattr(data, "n_classes") else data[at]
    if hasattr(row, "is_cuda"):
        row = row.float().cpu().numpy()
    elif hasattr(row, "get"):
        row = row.get()
    if row.dtype == np.uint16:  # the bits of bfloat16
        row = (row.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return np.asarray(row, np.float64)
