"""Rows whose kind is known, for the compiled kernels: how they are scored, and where they lie."""

from __future__ import annotations

from typing import Any

import numpy as np

from rad_fast.device.backends import DTYPE_CODES, parameters_of, threads
from rad_fast.inputs import is_torch
from rad_fast.kernels.reference.score import Gain, Rule

CODES = {np.dtype(name): code for name, code in DTYPE_CODES.items() if name != "uint16"}
TORCH_CODES = {f"torch.{name}": code for name, code in {**DTYPE_CODES, "bfloat16": DTYPE_CODES["uint16"]}.items()}
TORCH_CODES.pop("torch.uint16")
READ_BY_ONE = 1 << 17  # numbers: with fewer, a second thread costs more than it saves


def scoring(rule: Rule, classes: int, student_classes: int | None) -> tuple[Any, ...]:
    """What ``rad_fast._cpu.Arrivals.score`` takes."""
    by_label = rule.gain == Gain.LABEL
    return int(rule.kind), parameters_of(rule), by_label, classes, student_classes or 0, READ_BY_ONE, threads()


def rows_at(logits: Any, student: Any, classes: int, student_classes: int | None) -> tuple[Any, Any, int] | None:
    """Where rows of NumPy or torch lie, and how many there are; None where they cannot be read there."""
    dimensions = getattr(logits, "ndim", 0)
    rows = 1 if dimensions == 1 else len(logits) if dimensions == 2 else 0
    teacher = described(logits, dimensions, rows, classes)
    if teacher is None or not rows or (student is None) != (student_classes is None):
        return None
    beside = None if student_classes is None else described(student, dimensions, rows, student_classes)
    return None if beside is None and student_classes is not None else (teacher, beside, rows)


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
