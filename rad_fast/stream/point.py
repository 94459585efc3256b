"""One point at a time with the compiled kernels: what ``offer`` does, without what a single row does not need."""

from __future__ import annotations

from typing import Any

import numpy as np

from rad_fast.device.backends import DTYPE_CODES, Backend, parameters_of
from rad_fast.inputs import is_torch
from rad_fast.kernels.reference.score import Gain, Rule, empty_points

CODES = {np.dtype(name): code for name, code in DTYPE_CODES.items() if name != "uint16"}


TORCH_CODES = {f"torch.{name}": code for name, code in {**DTYPE_CODES, "bfloat16": DTYPE_CODES["uint16"]}.items()}
TORCH_CODES.pop("torch.uint16")


class PointScorer:
    """Scores a stream's NumPy and torch rows, whose kind is known. What else comes is left to the checks of ``offer``.

    The addresses of what it writes to, the rule and the shapes are looked up once: of a stream they do not change.
    """

    def __init__(self, kernels: Backend, rule: Rule, classes: int, student_classes: int | None) -> None:
        self.appraise: Any = kernels.module.appraise  # type: ignore[attr-defined]
        self.classes, self.student_classes = classes, student_classes
        self.points = empty_points(1)
        self.rule = int(rule.kind), parameters_of(rule), 0
        self.places = *(field.ctypes.data for field in self.points[:3]), rule.gain == Gain.LABEL, 0, 1

    def score(self, logits: Any, student: Any) -> bool:
        """Whether the row was scored, and is valid: ``points`` holds it."""
        teacher = described(logits, self.classes)
        if teacher is None or (student is None) != (self.student_classes is None):
            return False
        beside = None
        if self.student_classes is not None:
            beside = described(student, self.student_classes)
            if beside is None:
                return False
        (bad, _), (bad_student, _) = self.appraise(teacher, beside, 1, *self.rule, *self.places)
        return not (bad or bad_student)


def described(row: Any, classes: int) -> tuple[int, int, int, int] | None:
    """Address, dtype, classes and stride of a row that can be read where it lies."""
    if type(row) is np.ndarray:
        if row.shape != (classes,) or row.strides != (row.itemsize,):
            return None
        code, address = CODES.get(row.dtype), row.__array_interface__["data"][0]
        return None if code is None or address % row.itemsize else (address, code, classes, classes)
    if not is_torch(row) or row.ndim != 1 or len(row) != classes or row.stride(0) != 1 or row.device.type != "cpu":
        return None
    code = TORCH_CODES.get(str(row.dtype))
    return None if code is None or row.is_neg() else (row.data_ptr(), code, classes, classes)
