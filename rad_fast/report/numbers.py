"""Numbers of a selection that are counted over its points."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rad_fast.game.quotas import Shares

BLOCK = 1 << 17  # points at a time, within the cache


def shared_out(shares: Shares) -> dict[str, Any]:
    """The quotas, and the classes that weigh something and have no points: theirs went to the others."""
    given = {str(k): float(shares.quotas[k]) for k in np.flatnonzero(shares.quotas)}
    return {
        "quotas": given,
        "quotas_without_points": [str(k) for k in np.flatnonzero((shares.weights > 0) & (shares.points == 0))],
    }


class Counted(NamedTuple):
    """What is counted over one rank's points, and can be added up over ranks."""

    worth_querying: int
    selected: int
    gain: float  # of the selected, in all
    correctness: float
    labels: dict[int, int]


def counted(indices: npt.NDArray[np.int64], pieces: Sequence[Any], threshold: Any) -> Counted:
    """Count over points in pieces, of which some are selected."""
    worth, gain, correctness, begin = 0, 0.0, 0.0, 0
    labels: Counter[int] = Counter()
    for points in pieces:
        first, last = np.searchsorted(indices, (begin, begin + len(points.gain)))
        at = indices[first:last] - begin
        worth += worth_querying(points, threshold)
        gain += float(points.gain[at].sum(dtype=np.float64))
        correctness += float(points.correctness[at].sum(dtype=np.float64))
        classes, counts = np.unique(points.label[at], return_counts=True)
        labels.update(dict(zip(classes.tolist(), counts.tolist(), strict=True)))
        begin += len(points.gain)
    return Counted(worth, len(indices), gain, correctness, dict(labels))


def told(parts: Sequence[Counted]) -> dict[str, Any]:
    """The numbers of a report from what every rank counted."""
    labels: Counter[int] = Counter()
    for part in parts:
        labels.update(part.labels)
    selected = sum(part.selected for part in parts)
    return {
        "worth_querying": sum(part.worth_querying for part in parts),
        "selected_mean_gain": math.fsum(part.gain for part in parts) / selected,
        "selected_mean_correctness": math.fsum(part.correctness for part in parts) / selected,
        "selected_labels": {str(label): labels[label] for label in sorted(labels)},
    }


def worth_querying(points: Any, threshold: Any) -> int:
    """How many points have an effective gain above the threshold, or that of their class."""
    count = 0
    for begin in range(0, len(points.gain), BLOCK):
        part = slice(begin, begin + BLOCK)
        least = threshold[np.maximum(points.label[part], 0)] if isinstance(threshold, np.ndarray) else threshold
        count += int(np.count_nonzero(effective(points.gain[part], points.correctness[part]) > least))
    return count


def effective(gain: npt.NDArray[np.float32], correctness: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The effective gain d = (2c - 1) g."""
    return (2.0 * correctness.astype(np.float64) - 1.0) * gain
