"""Scoring: what one row of logits says about its point, and how sure the teacher's label is.

Logits are arrays of shape (rows, classes) in float64, float32, float16 or, as NumPy has no bfloat16, uint16 that holds
the bit patterns of bfloat16. With p = softmax(row), sorted p(1) >= p(2) >= ...:

    margin = p(1) - p(2)     confidence = p(1)     label = the lowest index among equal maxima
    other = the likeliest class but the label, the lowest index among equal ones

A row with NaN, with +inf, or with nothing finite is invalid: its margin and confidence are NaN, its label -1.
-inf is a class that is ruled out.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .agreement import logit_of_share

CLIP_BITS = 20
LOOKED_AT = 16  # rows of a chunk that are looked at for probabilities given as logits, spread over it
SUM_OFF = 0.01  # how far from 1 the sum of such a row may be: two decimals, half precision
OTHERS = 256  # most classes for which the likeliest other class of a point is kept: it takes one byte

Array = npt.NDArray[Any]
Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]
Int32s = npt.NDArray[np.int32]
UInt8s = npt.NDArray[np.uint8]


class Scores(NamedTuple):
    """Per row: margin and confidence, label, and the probability of a given label (0 outside the classes)."""

    margin: Float64s
    confidence: Float64s
    label: Int32s
    given_probability: Float64s | None


class Kind(IntEnum):
    """Where the correctness c of a point comes from."""

    CONFIDENCE = 0  # the teacher's p(1)
    CONSTANT = 1  # one number for all
    GIVEN = 2  # the caller's array
    STEPS = 3  # a step function of the teacher's margin (isotonic regression)
    LOGISTIC = 4  # a logistic model of both models' scores


class Gain(IntEnum):
    """What a student would learn from a label."""

    MARGIN = 0  # 1 - the student's margin; the teacher's where there is no student
    LABEL = 1  # 1 - the student's probability of the teacher's label


class Rule(NamedTuple):
    """How to compute correctness, a kind and what that kind needs, and which gain.

    STEPS: ``levels[k]`` where k of the ascending ``steps`` are at most the margin; one more level than steps.
    LOGISTIC: sigmoid(w0 + w1 logit(teacher's margin) + w2 logit(student's probability of the teacher's label)
    + w3 student's margin), logit(x) of x held within [2**-20, 1 - 2**-20]; the whole held within ``bounds``. Under the
    sigmoid is, too, ``agreement`` times the logit of the share of neighbours that agree, where that is not None; what
    is of the student is left out where there is none.
    """

    kind: Kind = Kind.CONFIDENCE
    constant: float = 1.0
    steps: tuple[float, ...] = ()
    levels: tuple[float, ...] = (1.0,)
    weights: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    bounds: tuple[float, float] = (0.0, 1.0)
    gain: Gain = Gain.MARGIN
    agreement: float | None = None


class Invalid(NamedTuple):
    """How many rows are invalid, and the first of them (-1: none)."""

    rows: int = 0
    first: int = -1


class Findings(NamedTuple):
    """What a scoring pass on a device counts; rows that are excluded are not among them."""

    teacher: Invalid = Invalid()
    student: Invalid = Invalid()
    given: Invalid = Invalid()  # given correctness outside [0, 1]
    gain: Invalid = Invalid()  # given gains outside [0, 1]
    left_out: int = 0  # rows that are invalid for the teacher or the student
    # Of some rows that were looked at: probabilities, those of them that are not 0 and 1 alone, others.
    teacher_rows: tuple[int, int, int] = (0, 0, 0)
    student_rows: tuple[int, int, int] = (0, 0, 0)


class Points(NamedTuple):
    """What selection keeps of each point: 12 bytes, and one more for its likeliest other class where that is asked for.

    Invalid points have gain and correctness NaN, label -1, other 0.
    """

    gain: Float32s
    correctness: Float32s
    label: Int32s
    other: UInt8s | None = None


def empty_points(rows: int, other: bool = False) -> Points:
    byte = np.empty(rows, np.uint8) if other else None
    return Points(np.empty(rows, np.float32), np.empty(rows, np.float32), np.empty(rows, np.int32), byte)


def widened(logits: Array) -> Float64s:
    if logits.dtype == np.uint16:
        logits = (logits.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return logits.astype(np.float64, order="C")  # NumPy's sums depend on how an array lies in memory


def score(logits: Array, given: Int32s | None = None) -> Scores:
    """Margin, confidence and label of every row, and the probability of the label ``given`` for it."""
    z = widened(logits)
    rows, classes = z.shape
    wrong = np.isnan(z) | np.isposinf(z)
    valid: npt.NDArray[np.bool_] = ~np.any(wrong, axis=1) & np.any(np.isfinite(z), axis=1)
    z = np.where(valid[:, None], z, 0.0)
    label = z.argmax(axis=1)
    with np.errstate(over="ignore"):  # a difference beyond float64: e is 0
        e = np.exp(z - z.max(axis=1, keepdims=True))
    total = e.sum(axis=1)
    others = e.copy()
    others[np.arange(rows), label] = 0.0
    margin = np.where(valid, (1.0 - others.max(axis=1)) / total, np.nan)
    confidence = np.where(valid, 1.0 / total, np.nan)
    probability = None
    if given is not None:
        known = (given >= 0) & (given < classes)
        probability = np.where(known, e[np.arange(rows), np.where(known, given, 0)] / total, 0.0)
        probability = np.where(valid, probability, np.nan)
    return Scores(margin, confidence, np.where(valid, label, -1).astype(np.int32), probability)


def likeliest_other(logits: Array, label: Int32s | None) -> UInt8s:
    """The likeliest class of every row that is not its label, the lowest of equals; of all classes without labels.

    ``logits`` have at most 256 columns. 0 for a label of -1.
    """
    z = widened(logits)
    if label is None:
        return z.argmax(axis=1).astype(np.uint8)
    rows = np.arange(len(z))
    valid = label >= 0
    z[rows[valid], label[valid]] = -np.inf
    other = z.argmax(axis=1)
    other += other == label  # the label is class 0, and all others are ruled out
    return np.where(valid, other, 0).astype(np.uint8)


def score_top_k(
    values: Array, indices: Array, classes: int, logsumexp: Array | None = None, given: Int32s | None = None
) -> Scores:
    """Scores of rows of which the k largest logits and their classes are known.

    p = exp(value - logsumexp), logsumexp that of all logits of the row; without it that of the k kept, which gives the
    other classes no probability. The label is the lowest class among equal maxima. A given label that is not kept has
    an equal share of what the kept leave, at most the smallest of theirs. A logsumexp that is not finite is invalid.
    Of a class that is kept twice the first value counts; a class outside of ``classes``, or kept twice, says nothing
    where its value is -inf or NaN.
    """
    z, indices = kept_once(widened(values), indices, classes)
    wrong = np.isnan(z) | np.isposinf(z)
    valid: npt.NDArray[np.bool_] = ~np.any(wrong, axis=1) & np.any(np.isfinite(z), axis=1)
    total = None if logsumexp is None else widened(logsumexp[:, None])
    if total is not None:
        valid &= np.isfinite(total[:, 0])
    z = np.where(valid[:, None], z, 0.0)
    top = z.max(axis=1, keepdims=True)
    e = np.exp(z - top)
    if total is None:
        sums = e.sum(axis=1)
    else:  # never less than the kept, however logsumexp was rounded
        sums = np.maximum(np.exp(np.where(valid[:, None], total, top) - top)[:, 0], e.sum(axis=1))
    p = e / sums[:, None]
    two = -np.sort(-p, axis=1)[:, :2]
    label = np.where(z == top, indices, classes).min(axis=1, initial=classes)
    probability = None
    if given is not None:
        held = (indices == given[:, None]) & (indices >= 0)
        share = (1.0 - e.sum(axis=1) / sums) / np.maximum(1, classes - (indices >= 0).sum(axis=1))
        smallest = np.where(z > -np.inf, p, np.inf).min(axis=1)
        probability = np.where(held.any(axis=1), (p * held).sum(axis=1), np.minimum(share, smallest))
        probability = np.where(valid, probability, np.nan)
    return Scores(
        np.where(valid, two[:, 0] - two[:, 1], np.nan),
        np.where(valid, two[:, 0], np.nan),
        np.where(valid, label, -1).astype(np.int32),
        probability,
    )


def kept_once(z: Float64s, indices: Array, classes: int) -> tuple[Float64s, Array]:
    """Values and classes of which each is there once: the others have the value -inf and the class -1."""
    indices = np.where((indices >= 0) & (indices < classes), indices, -1).astype(np.int64)
    same = indices[:, :, None] == indices[:, None, :]
    told = z > -np.inf
    kept = z.shape[1]
    later = told & (same & np.tri(kept, kept, -1, dtype=bool) & told[:, None, :]).any(axis=2)
    nothing = ~told & ((same.sum(axis=2) > 1) | (indices < 0))
    return np.where(later | nothing, -np.inf, z), np.where(later | nothing, -1, indices)


def correctness(rule: Rule, teacher: Scores, student: Scores | None, given: Float32s | None) -> Float64s:
    """The probability that the teacher's label is right, per row; ``given`` is it, or what neighbours agree on."""
    if rule.kind == Kind.CONSTANT:
        return np.full(len(teacher.margin), rule.constant)
    if rule.kind == Kind.GIVEN and given is not None:
        return given.astype(np.float64)
    if rule.kind == Kind.STEPS:
        at = np.searchsorted(np.array(rule.steps), teacher.margin, side="right")
        return np.array(rule.levels)[np.minimum(at, len(rule.steps))]
    if rule.kind == Kind.LOGISTIC:
        w = rule.weights
        x = w[0] + w[1] * logit(teacher.margin)
        if student is not None and student.given_probability is not None:
            x += w[2] * logit(student.given_probability) + w[3] * student.margin
        if rule.agreement is not None and given is not None:
            x += rule.agreement * logit_of_share(given)
        return np.clip(1.0 / (1.0 + np.exp(-x)), *rule.bounds)
    return teacher.confidence


def logit(p: Float64s) -> Float64s:
    clipped = np.clip(p, 2.0**-CLIP_BITS, 1.0 - 2.0**-CLIP_BITS)
    return np.log(clipped) - np.log1p(-clipped)


def appraise(
    teacher: Array, student: Array | None, rule: Rule, given: Float32s | None, out: Points
) -> tuple[Invalid, Invalid]:
    """Write gain, correctness and label of every point to ``out``; returns the teacher's and the student's bad rows.

    The gain is 1 - margin of the student, or of the teacher where there is no student, or 1 - the student's probability
    of the teacher's label (``rule.gain``). It is computed in float32 and then a multiple of 2**-24, which makes the
    game's sums exact. Where ``out`` has room for it, the student's likeliest class but the label is written there, or
    the teacher's where there is no student. A student of other classes than the teacher's says its likeliest.
    """
    of_teacher = score(teacher)
    of_student = None if student is None else score(student, of_teacher.label)
    bad = record(of_teacher, of_student, rule, given, out)
    if out.other is not None:
        alike = student is None or student.shape[1] == teacher.shape[1]
        out.other[:] = likeliest_other(teacher if student is None else student, out.label if alike else None)
        out.other[out.label < 0] = 0
    return bad


def record(
    of_teacher: Scores, of_student: Scores | None, rule: Rule, given: Float32s | None, out: Points
) -> tuple[Invalid, Invalid]:
    """``appraise`` from the scores on, but for the likeliest other class."""
    c = correctness(rule, of_teacher, of_student, given)
    known = (of_teacher if of_student is None else of_student).margin
    if rule.gain == Gain.LABEL and of_student is not None and of_student.given_probability is not None:
        known = of_student.given_probability
    bad = of_teacher.label < 0
    bad_student = np.zeros_like(bad) if of_student is None else of_student.label < 0
    out.gain[:] = np.float32(1) - np.minimum(known, 1.0).astype(np.float32)  # a rounding may exceed 1
    out.gain[bad | bad_student] = np.nan
    out.correctness[:] = np.where(bad | bad_student, np.nan, c)
    out.label[:] = np.where(bad | bad_student, -1, of_teacher.label)
    return invalid(bad), invalid(bad_student)


def invalid(bad: npt.NDArray[np.bool_]) -> Invalid:
    count = int(bad.sum())
    return Invalid(count, int(bad.argmax()) if count else -1)
