"""Points whose kind is known, with the compiled kernels: what ``offer`` does, without what it need not do again."""

from __future__ import annotations

from typing import Any

import numpy as np

from rad_fast.device.backends import DTYPE_CODES, Backend, address, parameters_of, threads
from rad_fast.inputs import is_torch
from rad_fast.kernels.reference.score import Gain, Points, Rule, empty_points

CODES = {np.dtype(name): code for name, code in DTYPE_CODES.items() if name != "uint16"}
TORCH_CODES = {f"torch.{name}": code for name, code in {**DTYPE_CODES, "bfloat16": DTYPE_CODES["uint16"]}.items()}
TORCH_CODES.pop("torch.uint16")
READ_BY_ONE = 1 << 17  # numbers: with fewer, a second thread costs more than it saves
KEPT_ROWS = 1 << 16  # room for more is asked for each time


class PointScorer:
    """Scores a stream's NumPy and torch rows, whose kind is known. What else comes is left to the checks of ``offer``.

    The rule, the shapes, and for single points the addresses of what it writes to, are looked up once: of a stream they
    do not change.
    """

    def __init__(self, kernels: Backend, rule: Rule, classes: int, student_classes: int | None) -> None:
        self.appraise: Any = kernels.module.appraise  # type: ignore[attr-defined]
        self.classes, self.student_classes = classes, student_classes
        self.one = empty_points(1)
        self.rule = int(rule.kind), parameters_of(rule), 0
        self.by_label = rule.gain == Gain.LABEL
        self.places = places_of(self.one)
        self.room = room_for(0)

    def score(self, logits: Any, student: Any) -> Points | None:
        """The scored points, of one row or of a matrix; None where they are for ``offer`` to check.

        The next ones may overwrite them.
        """
        dimensions = getattr(logits, "ndim", 0)
        rows = 1 if dimensions == 1 else len(logits) if dimensions == 2 else 0
        teacher = described(logits, dimensions, rows, self.classes)
        if teacher is None or not rows or (student is None) != (self.student_classes is None):
            return None
        beside, numbers = None, self.classes
        if self.student_classes is not None:
            beside, numbers = described(student, dimensions, rows, self.student_classes), numbers + self.student_classes
            if beside is None:
                return None
        points, places, workers = self.one, self.places, 1
        if dimensions == 2:
            points, places = self.room if len(self.room[0].gain) == rows else self._room_for(rows)
            workers = 1 if rows * numbers < READ_BY_ONE else threads()
        (bad, _), (bad_student, _) = self.appraise(
            teacher, beside, rows, *self.rule, *places, self.by_label, 0, workers
        )
        return None if bad or bad_student else points

    def _room_for(self, rows: int) -> tuple[Points, tuple[int, int, int]]:
        """Batches are mostly of one size."""
        room = room_for(rows)
        if rows <= KEPT_ROWS:
            self.room = room
        return room


def room_for(rows: int) -> tuple[Points, tuple[int, int, int]]:
    """Points to be written, in one piece of memory, and where: asking for three, and for their places, takes longer."""
    room = np.empty((3, rows), np.float32)
    first, step = address(room), 4 * rows
    return Points(room[0], room[1], room[2].view(np.int32)), (first, first + step, first + 2 * step)


def places_of(points: Points) -> tuple[int, int, int]:
    """Where gain, correctness and label are written to."""
    gain, correctness, label = (field.ctypes.data for field in points[:3])
    return gain, correctness, label


def described(rows: Any, dimensions: int, count: int, classes: int) -> tuple[int, int, int, int] | None:
    """Address, dtype, classes and stride of rows that can be read where they lie."""
    shape = (classes,) if dimensions == 1 else (count, classes)
    if type(rows) is np.ndarray:
        size = rows.itemsize
        if rows.shape != shape or rows.strides[-1] != size or rows.strides[0] % size:
            return None
        code, address = CODES.get(rows.dtype), rows.__array_interface__["data"][0]
        stride = rows.strides[0] // size if dimensions == 2 else classes
        return None if code is None or address % size else (address, code, classes, stride)
    if not is_torch(rows) or rows.shape != shape or rows.stride(-1) != 1 or rows.device.type != "cpu":
        return None
    code, stride = TORCH_CODES.get(str(rows.dtype)), rows.stride(0) if dimensions == 2 else classes
    return None if code is None or rows.is_neg() else (rows.data_ptr(), code, classes, stride)
