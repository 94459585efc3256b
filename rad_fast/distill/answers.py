"""A teacher's answers that are no logits, as logits: labels, with a confidence or without, and probabilities.

A row of NaN is a point without an answer: it is left out, as nobody can learn from it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rad_fast.inputs import Probabilities, TeacherLabels

from . import inputs

Float32s = npt.NDArray[np.float32]


def is_answer(value: Any) -> bool:
    return isinstance(value, (Probabilities, TeacherLabels))


def logits_of(value: Probabilities | TeacherLabels) -> Float32s:
    """(rows, C): logarithms of probabilities. A label has the probability that is said of it, or 1, and the other
    classes share the rest alike. It is the top class even if less is said of it, or nothing. NaN where there is no
    answer."""
    if isinstance(value, Probabilities):
        return value.logits().astype(np.float32)
    rows, sure = np.flatnonzero(~value.unanswered), value.certainty()
    others = (1.0 - sure) / (value.n_classes - 1)
    with np.errstate(divide="ignore"):
        logits = np.repeat(np.log(others).astype(np.float32)[:, None], value.n_classes, axis=1)
        least = np.nextafter(logits[rows, 0], np.float32(np.inf))  # a tie would be taken for the first class
        logits[rows, value.labels[rows]] = np.maximum(np.log(sure[rows]).astype(np.float32), least)
    logits[value.unanswered] = np.nan
    return logits


def given(name: str, value: Any, rows: int, classes: int) -> Float32s:
    """Checked logits of the teacher that are known before a run; a row of NaN where it has no answer."""
    said = logits_of(value) if is_answer(value) else value
    logits = inputs.matrix(name, said, rows, classes)
    known = ~unanswered(logits) if isinstance(value, TeacherLabels) else np.ones(rows, bool)
    if not known.any():
        raise ValueError(f"{name}: expected an answer of the teacher for some point, there is none")
    inputs.finite_logits(name, logits[known])
    return logits


def unanswered(logits: Float32s) -> npt.NDArray[np.bool_]:
    """Which rows are NaN throughout."""
    none: npt.NDArray[np.bool_] = np.all(np.isnan(logits), axis=1)
    return none
