"""What is asked of the classes, and of the gain of a label: gain, quotas, chosen."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rad_fast.kernels.reference.score import Gain

from .arguments import as_float, is_number
from .arrays import FLOATS, Matrix, host_array
from .frames import refuse_by_label
from .points import exclude_mask, refuse_elements
from .shown import are
from .teachers import TeacherLabels

GAIN = 'gain: expected "auto", "label", "margin" or numbers in [0, 1], one per point'
QUOTAS = 'quotas: expected "auto", "equal", "proportional", None, or weights: an array of one per class, or a mapping'

MOST_CHOSEN = 1 << 51  # points chosen before: with the budget they are counted in 52 bits

Weights = str | npt.NDArray[np.float64] | Mapping[int, float] | None


def gain_of(value: Any, teacher: Matrix, student: Matrix | None) -> Gain:
    """Which gain the scoring pass computes; of a given array it is MARGIN, which the array then replaces."""
    if not isinstance(value, str):
        return Gain.MARGIN
    if value not in ("auto", "label", "margin"):
        raise ValueError(f"{GAIN}; got {value!r}")
    if value == "label" and student is None:
        raise ValueError("gain: \"label\" is 1 - the student's probability of the teacher's label: give student_logits")
    alike = student is not None and student.classes == teacher.classes
    if value == "label" and not alike and student is not None:
        raise ValueError(
            f"gain: \"label\" looks up the teacher's label, one of {teacher.classes} classes, in the student's "
            f'probabilities, of {student.classes} classes; use "margin"'
        )
    return Gain.LABEL if alike and value != "margin" else Gain.MARGIN


def unanswered(teacher: Matrix, student: Matrix | None, gain: Any) -> npt.NDArray[np.bool_] | None:
    """Points for which a teacher of labels alone has no answer; refuses labels that say nothing of a gain."""
    said: Any = teacher.data
    if not isinstance(said, TeacherLabels):
        return None
    if student is None and said.confidence is None and isinstance(gain, str):
        raise ValueError(
            f"{teacher.name}: expected confidence= with TeacherLabels, or student_logits=, or numbers as gain=: labels "
            "alone do not say what there is to learn"
        )
    return said.unanswered if said.unanswered.any() else None


def gain_array(value: Any, points: int, exclude: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.float32] | None:
    """Checked gains, one per point, rounded to multiples of 2**-24; None for a gain that is computed."""
    if isinstance(value, str):
        return None
    if value is None or is_number(value):
        raise TypeError(f"{GAIN}; got {value!r}")
    array, dtype, _ = host_array("gain", value)
    check_gain(dtype, array.shape, points)
    if dtype == "bfloat16":
        array = (array.astype(np.uint32) << np.uint32(16)).view(np.float32)
    result = array.astype(np.float64)
    with np.errstate(invalid="ignore"):
        wrong = ~((result >= 0) & (result <= 1))
    if exclude is not None:
        wrong &= ~exclude
    refuse_elements("gain", "numbers in [0, 1]", array, dtype, wrong)
    with np.errstate(invalid="ignore"):
        return (np.floor(result * 2.0**24 + 0.5) * 2.0**-24).astype(np.float32)


def check_gain(dtype: str, shape: tuple[int, ...], points: int) -> None:
    if dtype not in FLOATS and not dtype.startswith(("bool", "int", "uint")):
        raise TypeError(f"{GAIN}; got dtype {dtype}")
    if shape != (points,):
        raise ValueError(f"gain: expected one number per point, shape ({points},), got shape {shape}")


def quotas(value: Any) -> Weights:
    """Checked quotas, as far as they can be checked before the classes are known."""
    if value is None:
        return None
    if isinstance(value, str):
        if value not in ("auto", "equal", "proportional"):
            raise ValueError(f"{QUOTAS}; got {value!r}")
        return value
    if isinstance(value, Mapping):
        for label, weight in value.items():
            if not is_number(label) or not isinstance(label, numbers.Integral) or not is_number(weight):
                raise TypeError(f"quotas: expected a mapping of classes, ints, to weights, got {label!r}: {weight!r}")
        weights = np.array([as_float(weight) for weight in value.values()])
    else:
        if is_number(value):
            raise TypeError(f"{QUOTAS}; got {value!r}")
        refuse_by_label("quotas", value)
        array, dtype, _ = host_array("quotas", value)
        if array.dtype.kind not in "iuf" or dtype == "bfloat16" or array.ndim != 1:
            raise TypeError(f"{QUOTAS}; got dtype {dtype} and shape {array.shape}")
        weights = array.astype(np.float64)
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        raise ValueError(
            f"quotas: expected finite weights of at least 0, {are(int(wrong.sum()))} not, the first: "
            f"{weights[wrong.argmax()]}"
        )
    if not weights.any():
        raise ValueError("quotas: expected a weight above 0, all are 0; None means no quotas")
    with np.errstate(over="ignore"):
        total = float(weights.sum())
    if math.isinf(total):
        raise ValueError("quotas: expected weights whose sum is finite")
    return {int(label): float(weight) for label, weight in value.items()} if isinstance(value, Mapping) else weights


def quotas_of_classes(value: Weights, classes: int) -> None:
    """Refuse weights that are not of these classes."""
    if value is None or isinstance(value, str):
        return
    if isinstance(value, Mapping):
        for label in value:
            if not 0 <= label < classes:
                raise ValueError(f"quotas: expected classes from 0 to {classes - 1}, got {label}")
    elif len(value) != classes:
        raise ValueError(f"quotas: expected a weight for each of {classes} classes, got {len(value)}")


def chosen(value: Any, points: int, classes: int) -> tuple[npt.NDArray[np.bool_] | None, npt.NDArray[np.int64] | None]:
    """What was selected before: a mask of these points, or how many points of each class there are elsewhere."""
    if not isinstance(value, Mapping):
        refuse_by_label("chosen", value)
        return exclude_mask(value, points, "chosen"), None
    counts = [0] * classes
    for label, count in value.items():
        if not isinstance(label, numbers.Integral) or not isinstance(count, numbers.Integral) or not is_number(count):
            raise TypeError(f"chosen: expected a mapping of classes to counts, ints, got {label!r}: {count!r}")
        if not 0 <= int(label) < classes:
            raise ValueError(f"chosen: expected classes from 0 to {classes - 1}, got {label}")
        if count < 0:
            raise ValueError(f"chosen: expected counts of at least 0, got {count} for class {label}")
        counts[int(label)] += int(count)
    if sum(counts) >= MOST_CHOSEN:
        raise ValueError(f"chosen: expected counts of fewer than 2^51 points in all, got {sum(counts)}")
    return None, np.array(counts, np.int64)
