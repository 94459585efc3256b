"""What is given of points' neighbours: the share of them that bears a point's label."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .arrays import FLOATS, host_array
from .points import refuse_elements


def agreement_of(value: Any, correctness: Any) -> None:
    """Refuse what neighbours agree on where nothing has learned from it, and its absence where something has."""
    wanted = hasattr(correctness, "predict") and getattr(correctness, "needs_agreement_", False)
    if wanted and value is None:
        raise ValueError(
            "agreement: expected the share of each point's neighbours that bear its label, as rad_fast.agreement gives "
            "it: the calibrator was fitted with it"
        )
    if value is not None and not wanted:
        raise ValueError(
            "agreement: expected None, or a Calibrator as correctness that was fitted with it: "
            "Calibrator().fit(..., agreement=rad_fast.agreement(features, labels, held_out, held_out_labels))"
        )


def agreement_array(value: Any, points: int, exclude: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.float32] | None:
    """Checked shares of neighbours that agree, one per point; what is excluded may hold anything."""
    if value is None:
        return None
    array, dtype, _ = host_array("agreement", value)
    check_agreement(dtype, array.shape, points)
    if dtype == "bfloat16":
        array = (array.astype(np.uint32) << np.uint32(16)).view(np.float32)
    with np.errstate(invalid="ignore"):
        wrong = ~((array >= 0) & (array <= 1))
    if exclude is not None:
        wrong &= ~exclude
    refuse_elements("agreement", "numbers in [0, 1]", array, dtype, wrong)
    return np.ascontiguousarray(array, dtype=np.float32)


def check_agreement(dtype: str, shape: tuple[int, ...], points: int) -> None:
    if dtype not in FLOATS:
        raise TypeError(f"agreement: expected floats in [0, 1], one per point, got dtype {dtype}")
    if shape != (points,):
        raise ValueError(f"agreement: expected one number per point, shape ({points},), got shape {shape}")
