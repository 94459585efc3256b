"""Scoring rows too long for the registers of a program: one pass with a running normaliser and a running top two.

Every lane keeps, for its own columns, the largest and the second largest number, the block of columns where the
largest was first seen, and the sum of exponentials relative to it. A block costs a lane one exponential a number:
of exp(z - m) and exp(m - z), where m is the maximum so far, one is known to be 1. The lanes meet once, at the end
of the row. The next block is loaded before the current one is worked on.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .row import NO_LABEL, exponential, finish_row, probability_of, write

# No kernel is for one of these numbers alone.
SIZES = ["points", "class_units", "row_units", "column_stride", "first_row", "asked", "step_count"]


@triton.jit
def load_block(where, column_stride, lanes, start, CLASSES: tl.constexpr):
    columns = start + lanes
    return tl.load(where + columns.to(tl.int64) * column_stride, mask=columns < CLASSES, other=float("-inf"))


@triton.jit(do_not_specialize=SIZES)
def stream_kernel(
    logits, points: tl.int64, row_units: tl.int64, column_stride: tl.int64, first_row: tl.int64,
    given_label, a, b, labels, given_probability, others, given, given_gain, exclude, asked: tl.int32,
    constant, steps, levels, step_count: tl.int32, w0, w1, w2, w3, agreement, lowest, highest, status,
    CLASSES: tl.constexpr, ROW_MULTIPLE: tl.constexpr, DENSE: tl.constexpr, BLOCK: tl.constexpr,
    STAGE: tl.constexpr, KIND: tl.constexpr, OF_LABEL: tl.constexpr, BESIDE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    row_stride = tl.cast(row_units, tl.int64) * ROW_MULTIPLE
    if DENSE:
        column_stride = 1
    lanes = tl.arange(0, BLOCK)
    where = logits + row * row_stride
    wide: tl.constexpr = logits.dtype.element_ty == tl.float64
    compared: tl.constexpr = tl.float64 if wide else tl.float32
    largest = tl.full((BLOCK,), float("-inf"), compared)
    second = largest
    seen = tl.zeros((BLOCK,), tl.int32)
    total = tl.zeros((BLOCK,), tl.float32)
    loaded = load_block(where, column_stride, lanes, 0, CLASSES)
    for start in range(0, CLASSES, BLOCK):
        z = loaded.to(compared)
        loaded = load_block(where, column_stride, lanes, start + BLOCK, CLASSES)
        higher = z > largest
        # Both -inf: their difference is NaN, but what is lost that way is worth 0. Compared, so that a NaN in z stays.
        apart = tl.where(z == largest, 0.0, (z - largest).to(tl.float32))
        power = exponential(-tl.abs(apart))
        total = tl.where(higher, tl.fma(total, power, 1.0), total + power)
        second = tl.maximum(second, tl.where(higher, largest, tl.where(z == z, z, float("-inf"))))
        largest = tl.where(higher, z, largest)
        seen = tl.where(higher, start, seen)
    top = tl.max(largest, 0)
    columns = seen + lanes
    label = tl.min(tl.where(largest == top, columns, NO_LABEL), 0)
    runner_up = tl.max(tl.where(columns == label, second, largest), 0)
    # A lane of nothing but -inf counted them; its weight is exp(-inf) = 0.
    total = tl.sum(total * exponential((largest - top).to(tl.float32)), 0)
    one = tl.zeros((1,), tl.int32)
    scored = finish_row(top + one.to(compared), runner_up + one.to(compared), label + one, total + one.to(tl.float32))
    rows = row + one
    live = rows < points
    probability = scored[3]
    if given_label is not None:
        probability = probability_of(
            given_label, rows, live, logits, row_stride, column_stride, scored[0], scored[2], CLASSES
        )
    out = (a, b, labels, given_probability, others)
    rule = (constant, steps, levels, step_count, w0, w1, w2, w3, agreement, lowest, highest)
    write(
        scored, probability, scored[1], rows, live, first_row, out, (given, given_gain, exclude, asked), rule, status,
        STAGE, KIND, OF_LABEL,
    )  # fmt: skip
