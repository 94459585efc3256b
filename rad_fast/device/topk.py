"""Scores of what is no matrix of logits: the k largest of each row, or labels alone.

kernels/reference/score.py says what they are (``score_top_k``). Here they are made from a backend's scores of the
(rows, k) values, block by block: the sum over all classes in place of the sum over those that are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from rad_fast.inputs.teachers import TeacherLabels, TopKLogits, check_sums, without_padding
from rad_fast.kernels.reference.score import (
    OTHERS,
    Invalid,
    Kind,
    Points,
    Rule,
    Scores,
    correctness,
    likeliest_other,
    record,
    widened,
)

from .backends import Backend, Float32s

Int32s = npt.NDArray[np.int32]
BLOCK = 1 << 19  # values looked at together: all that is made of them stays within the caches


def score(kernels: Backend, logits: Any, given: Int32s | None = None, name: str = "logits") -> Scores:
    """A backend's scores of logits of either kind."""
    if isinstance(logits, TeacherLabels):
        return label_scores(logits)
    if not isinstance(logits, TopKLogits):
        return kernels.score(logits, given)
    blocks = [
        block_scores(kernels, logits[part], None if given is None else given[part], name, part.start)
        for part in blocks_of(logits)
    ]
    fields = [np.concatenate(parts) for parts in zip(*(block[:3] for block in blocks), strict=True)]
    probability = None if given is None else np.concatenate([np.asarray(block[3]) for block in blocks])
    return Scores(fields[0], fields[1], fields[2], probability)


def appraise(
    kernels: Backend, teacher: Any, student: Any, rule: Rule, given: Float32s | None, out: Points, first: int = 0
) -> tuple[Invalid, Invalid]:
    """Gain, correctness and label of every point, from logits of either kind. ``first``: its number, for messages."""
    if not isinstance(teacher, (TopKLogits, TeacherLabels)) and not isinstance(student, TopKLogits):
        if rule.agreement is not None and given is not None:
            return with_agreement(kernels, teacher, student, rule, given, out)
        return kernels.appraise(teacher, student, rule, given, out)
    found = [Invalid(), Invalid()]
    for part in blocks_of(teacher, student):
        of_teacher = part_scores(kernels, teacher, part, None, "logits", first)
        of_student = None
        if student is not None:
            of_student = part_scores(kernels, student, part, of_teacher.label, "student_logits", first)
        values = None if given is None else given[part]
        place = Points(out.gain[part], out.correctness[part], out.label[part])
        bad = record(of_teacher, of_student, rule, values, place)
        if out.other is not None:
            alike = student is None or student.shape[1] == teacher.shape[1]
            out.other[part] = other_classes((teacher if student is None else student)[part], place.label, alike)
        found = [joined(*pair, part.start) for pair in zip(found, bad, strict=True)]
    return found[0], found[1]


def with_agreement(
    kernels: Backend, teacher: Any, student: Any, rule: Rule, agreed: Float32s, out: Points
) -> tuple[Invalid, Invalid]:
    """Points of logits whose correctness asks the neighbours too: it is made from a backend's scores, block by block,
    as no backend's pass over the logits knows of neighbours."""
    bad = kernels.appraise(teacher, student, rule._replace(kind=Kind.CONFIDENCE), None, out)
    for part in blocks_of(teacher, student):
        of_teacher = kernels.score(teacher[part])
        of_student = None if student is None else kernels.score(student[part], of_teacher.label)
        c = correctness(rule, of_teacher, of_student, agreed[part])
        out.correctness[part] = np.where(out.label[part] < 0, np.nan, c)
    return bad


def joined(total: Invalid, part: Invalid, offset: int) -> Invalid:
    return Invalid(total.rows + part.rows, offset + part.first if total.rows == 0 and part.rows else total.first)


def other_classes(logits: Any, label: Int32s, alike: bool) -> npt.NDArray[np.uint8]:
    """The likeliest class of some rows but the label, as far as it is known; 0 where it is not."""
    valid = label >= 0
    if isinstance(logits, TeacherLabels):
        return np.zeros(len(label), np.uint8)
    if not isinstance(logits, TopKLogits):
        return np.where(valid, likeliest_other(logits, label if alike else None), 0).astype(np.uint8)
    logits = logits.on_host()
    values, indices = widened(logits.values), logits.indices
    known = (indices >= 0) & (indices < logits.n_classes)
    if alike:
        known &= indices != label[:, None]
    values = np.where(known & ~np.isnan(values), values, -np.inf)
    best = (values == values.max(axis=1, keepdims=True)) & known
    other = np.where(best, indices, OTHERS).min(axis=1)
    return np.where(valid & (other < OTHERS), other, 0).astype(np.uint8)


def label_scores(given: TeacherLabels) -> Scores:
    """Scores of labels and how likely each is: the other classes share what is left."""
    confidence = given.certainty()
    margin = np.maximum(0.0, confidence - (1.0 - confidence) / (given.n_classes - 1))
    none = given.unanswered
    return Scores(np.where(none, np.nan, margin), np.where(none, np.nan, confidence), given.labels, None)


def part_scores(kernels: Backend, logits: Any, part: slice, given: Int32s | None, name: str, first: int = 0) -> Scores:
    if isinstance(logits, TeacherLabels):
        return label_scores(logits[part])
    if isinstance(logits, TopKLogits):
        return block_scores(kernels, logits[part], given, name, first + part.start)
    return kernels.score(logits[part], given)


def blocks_of(*matrices: Any) -> Iterator[slice]:
    """At least one block, so that there are scores of no rows, too."""
    rows = len(matrices[0])
    given = [logits for logits in matrices if logits is not None]
    wide = max((each.values if isinstance(each, TopKLogits) else each).shape[1] for each in given)
    step = max(1, BLOCK // wide)
    for begin in range(0, max(1, rows), step):
        yield slice(begin, min(rows, begin + step))


def block_scores(kernels: Backend, logits: TopKLogits, given: Int32s | None, name: str, first: int) -> Scores:
    """Scores of some rows; ``first`` is the number of the first one, for messages."""
    logits = logits.on_host()
    stored, indices = without_padding(logits, name, first)
    values = widened(stored) if logits.dtype == "bfloat16" else stored
    rows = np.arange(len(values))
    held = place = None
    if given is not None:
        hits = (indices == given[:, None]) & (indices >= 0)
        held, place = hits.any(axis=1), hits.argmax(axis=1).astype(np.int32)
    kept = kernels.score(stored, place)
    valid = kept.label >= 0
    highest = np.where(valid, kept.label, 0)
    top, label = values[rows, highest], indices[rows, highest].astype(np.int64)
    tied = np.flatnonzero(kept.margin == 0.0)  # of equal logits the lowest class is the label, wherever it is stored
    if len(tied):
        equal = values[tied] == top[tied, None]
        label[tied] = np.where(equal, indices[tied], logits.n_classes).min(axis=1)
    top = np.where(valid, top, 0.0).astype(np.float64)
    share = np.ones(len(values))  # of the k kept in all probability
    if logits.logsumexp is not None:
        sums = widened(logits.logsumexp[:, None])[:, 0]
        valid &= np.isfinite(sums)
        top = np.where(valid, top, 0.0)
        sums = np.where(valid, sums, 0.0)
        excess = top - sums - np.log(np.where(valid, kept.confidence, 1.0))
        check_sums(logits, name, first, np.where(valid, excess, 0.0), top, sums)
        share = np.exp(np.minimum(excess, 0.0))
    nan = np.where(valid, 0.0, np.nan)
    probability = None
    if held is not None and kept.given_probability is not None:
        least = np.where(values > -np.inf, values, np.inf).min(axis=1).astype(np.float64)
        smallest = np.exp(np.where(valid, least, 0.0) - top) * kept.confidence * share
        left = np.maximum(1, logits.n_classes - np.count_nonzero(indices >= 0, axis=1))
        others = np.minimum((1.0 - share) / left, smallest)
        probability = np.where(held, kept.given_probability * share, others) + nan
    margin, confidence = kept.margin * share + nan, kept.confidence * share + nan
    return Scores(margin, confidence, np.where(valid, label, -1).astype(np.int32), probability)
