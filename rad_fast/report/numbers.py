"""Numbers of a selection that are counted over its points."""

from __future__ import annotations

from typing import Any

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
