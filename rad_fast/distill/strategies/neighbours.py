"""What the default knows beyond both models: the labels of a point's neighbours, and what the student has learned.

The teacher's labels for the whole pool are known, so that asking the neighbours costs no answer. It is what most helps
against a teacher that only names a class (docs/study.md).
"""

from __future__ import annotations

import numpy as np

from rad_fast.calibration import Calibrator, agreement

from .round import Float32s, Int64s, Round


def calibrated(r: Round, strategy: str) -> tuple[Calibrator, Float32s]:
    """A ``Calibrator`` of both models and of the neighbours' agreement, and that agreement in the pool."""
    truth, held_teacher, held_student = r.holdout(strategy)
    among, held_among = shares(r, r.teacher(strategy), held_teacher)
    return Calibrator().fit(held_teacher, truth, held_student, agreement=held_among), among


def shares(r: Round, teacher: Float32s, held_teacher: Float32s) -> tuple[Float32s, Float32s]:
    """Of every point, and of every point of the hold-out: how many of the nearest points of the pool bear its label.

    Looked for in ``vectors``; in the student's logits where there are none. What does not change from round to round is
    computed once.
    """
    points, held = r.student_logits, r.holdout_student
    if r.vectors is not None and r.holdout_vectors is not None:
        points, held = r.vectors, r.holdout_vectors
    kept = r.memory.get("neighbours")
    if kept is None or not np.array_equal(kept[0], points):
        label = teacher.argmax(1)
        if r.unanswered is not None:
            label = np.where(r.unanswered, -1, label)
        inside = agreement(points, label, seed=r.seed)
        outside = agreement(points, label, held, held_teacher.argmax(1), seed=r.seed)
        kept = r.memory["neighbours"] = (points, inside, outside)
    return kept[1], kept[2]


def label_counts(r: Round, label: Int64s) -> Int64s:
    """(C,) how often the student has learned each class: its labelled points, and what was chosen before."""
    classes = r.student_logits.shape[1]
    before = ~r.available if r.unanswered is None else ~(r.available | r.unanswered)
    chosen = np.bincount(label[before], minlength=classes)
    return chosen if r.labelled is None else chosen + np.bincount(r.labelled, minlength=classes)
