"""Probabilities given for logits: told from a few rows, and refused with the words that help.

Rows that all lie in [0, 1] and sum to 1 are softmax outputs; in [0, 100] and with the sum 100 they are percentages.
Taken for logits they give a margin, a confidence and a selection that look plausible and are wrong. A few rows suffice
to tell: logits miss this by chance in the first row.
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
from .points import warn

ENOUGH = 8  # rows that are all probabilities: of two logits one row in some thousands is, by chance
GIVE = "rad_fast.Probabilities(p)"  # the command line puts its option here
PERCENT = 100.0
MOST_ROUNDED = 5.0  # by how much the sum of percentages that are whole numbers may be off
KEPT = 0.9  # of the probability that the largest hold, where only they are stored


@dataclass(frozen=True)
class Seen:
    """What was given as logits so far.

    Of the rows looked at: how many are probabilities, how many of these are fractions and not 0 and 1 alone (of a few
    rows, those could be logits), whether others are none, and how many are percentages. ``votes``: of how many votes
    the rows of the last chunk may be counts.
    """

    alike: int = 0
    fractions: int = 0
    others: bool = False
    percent: int = 0
    votes: int = 0

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """As plain numbers."""
        return self.alike, self.fractions, int(self.others), self.percent

    def and_also(self, chunk: Seen) -> Seen:
        """With what was seen of one more chunk."""
        sums = (self.alike + chunk.alike, self.fractions + chunk.fractions, self.others or chunk.others)
        return Seen(*sums, self.percent + chunk.percent)

    def after(self, matrix: Matrix, left_out: npt.NDArray[np.bool_] | None) -> Seen:
        """With one more chunk.

        Raises
        ------
        ValueError : its rows, or those of all chunks so far, are probabilities.
        """
        chunk = looked_at(matrix.data, left_out)
        if chunk.votes:
            warn_votes(matrix.name, chunk.votes)
        return self.joined(matrix.name, chunk)

    def joined(self, name: str, chunk: Seen) -> Seen:
        """The same, of rows that were looked at."""
        now = self.and_also(chunk)
        for new, known, error in (
            (chunk.alike, now.alike, probabilities_given),
            (chunk.percent, now.percent, percentages_given),
        ):
            if not chunk.others and new and (new >= ENOUGH or (known >= ENOUGH and not now.others)):
                raise error(name)
        return now


def refuse_all_probabilities(name: str, every: Sequence[Seen]) -> None:
    """Raise ValueError where all of a selection's rows were probabilities, few as they may be."""
    whole = Seen()
    for seen in every:
        whole = whole.and_also(seen)
    if (whole.fractions or whole.alike >= ENOUGH) and not whole.others:
        raise probabilities_given(name)
    if whole.percent > 1 and not whole.others:  # of one row the sum may be 100 by chance
        raise percentages_given(name)


def refuse_probabilities(matrix: Matrix) -> None:
    """Raise ValueError for a whole matrix of probabilities."""
    refuse_all_probabilities(matrix.name, [Seen().after(matrix, None)])


def percentages(values: Any) -> bool:
    """Whether rows, of two or more, are percentages."""
    seen = looked_at(values, None)
    return seen.percent > 1 and not seen.others


def probabilities_given(name: str) -> ValueError:
    return ValueError(
        f"{name}: expected logits, got probabilities: the rows are in [0, 1] and sum to 1; give "
        f"{GIVE}, or their logarithm log(p)"
    )


def percentages_given(name: str) -> ValueError:
    return ValueError(
        f"{name}: expected logits, got percentages: the rows are in [0, 100] and sum to 100; give "
        "rad_fast.Probabilities(p / p.sum(axis=1, keepdims=True))"
    )


def warn_votes(name: str, votes: int) -> None:
    warn(
        f"{name}: the rows are whole numbers with the sum {votes}; if they count votes, they are no logits: give "
        f"rad_fast.Probabilities(p / {votes})",
        UserWarning,
    )


def looked_at(data: Any, left_out: npt.NDArray[np.bool_] | None) -> Seen:
    """Some rows of a chunk, up to the first that is none. Rows left out, or not finite, say nothing."""
    if hasattr(data, "labels"):  # a teacher's answers alone
        return Seen(others=True)
    rows = len(data)
    alike = fractions = percent = 0
    kept = hasattr(data, "n_classes")
    count = min(rows, LOOKED_AT)
    for place in range(count):  # the first row nearly always tells
        at = place * (rows - 1) // max(1, count - 1)
        if left_out is not None and left_out[at]:
            continue
        row = row_of(data, at)
        low, high = float(row.min()), float(row.max())
        if math.isnan(low) or high == math.inf:
            continue
        least = KEPT if kept else 1.0 - SUM_OFF
        if low >= 0.0 and high <= 1.0 + SUM_OFF and least <= row.sum() <= 1.0 + SUM_OFF:
            alike += 1
            fractions += bool(((row > 0.0) & (row < 1.0)).any())
        elif are_percentages(row, low, high, kept):
            percent += bool(((row > low) & (row < PERCENT)).any())  # 100 and 0 alone, or all alike, say nothing
        else:
            votes = votes_of(data, left_out) if low >= 0.0 and high.is_integer() and not kept else 0
            return Seen(alike, fractions, True, percent, votes)
    return Seen(alike, fractions, False, percent)


def are_percentages(row: npt.NDArray[np.float64], low: float, high: float, kept: bool) -> bool:
    if low < 0.0 or high > PERCENT * (1.0 + SUM_OFF):
        return False
    off = PERCENT * SUM_OFF
    if (row == np.floor(row)).all():
        off = max(off, min(MOST_ROUNDED, 0.5 * len(row)))
    least = PERCENT * KEPT if kept else PERCENT - off
    return bool(least <= row.sum() <= PERCENT + off)


def votes_of(data: Any, left_out: npt.NDArray[np.bool_] | None) -> int:
    """Of how many votes rows may be counts: whole numbers of one sum, often of several classes. 0: they are none."""
    places = np.linspace(0, len(data) - 1, LOOKED_AT).astype(np.int64)
    rows = [row_of(data, at) for at in np.unique(places).tolist() if left_out is None or not left_out[at]]
    if len(rows) < ENOUGH:
        return 0
    some = np.array(rows)
    sums = some.sum(axis=1)
    whole = (some >= 0.0) & (some == np.floor(some)) & np.isfinite(some)
    if not whole.all() or sums.min() != sums.max():
        return 0
    shared, distinct = np.count_nonzero(some, axis=1) > 1, len(np.unique(some, axis=0))
    return int(sums[0]) if 2 * shared.sum() >= len(rows) and distinct > 2 and sums[0] > 1.0 else 0


def row_of(data: Any, at: int) -> npt.NDArray[np.float64]:
    row = data.values[at] if hasattr(data, "n_classes") else data[at]
    if hasattr(row, "is_cuda"):
        row = row.float().cpu().numpy()
    elif hasattr(row, "get"):
        row = row.get()
    if row.dtype == np.uint16:  # the bits of bfloat16
        row = (row.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return np.asarray(row, np.float64)
