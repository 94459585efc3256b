"""A few rows, evenly spaced: whether they are probabilities and no logits, as rad_fast/inputs/softmax.py means it.

A program a row; some 16 rows are read once more.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from rad_fast.kernels.reference.score import LOOKED_AT, SUM_OFF

from .row import FIRST_LOOK

BLOCK = 1024


@triton.jit(
    do_not_specialize=["rows", "row_stride", "column_stride", "classes", "excludes"],
    do_not_specialize_on_alignment=["logits", "exclude", "status"],  # few rows: one kernel for all views
)
def look_kernel(
    logits, rows: tl.int64, row_stride: tl.int64, column_stride: tl.int64, classes: tl.int64,
    exclude, excludes: tl.int32, status, off, BLOCK: tl.constexpr,
):  # fmt: skip
    """Adds to three numbers of ``status``: probabilities, those of them that are not 0 and 1 alone, others."""
    row = tl.program_id(0).to(tl.int64) * (rows - 1) // tl.maximum(1, tl.num_programs(0) - 1)
    total, unknown, outside, fractions = 0.0, 0, 0, 0
    start = tl.cast(0, tl.int64)
    while start < classes:
        columns = start + tl.arange(0, BLOCK)
        live = columns < classes
        z = tl.load(logits + row * row_stride + columns * column_stride, mask=live, other=0.0).to(tl.float32)
        total += tl.sum(tl.where(z == z, z, 0.0))
        unknown += tl.sum((live & ((z != z) | (z == float("inf")))).to(tl.int32))
        outside += tl.sum((live & ~((z >= 0.0) & (z <= 1.0 + off))).to(tl.int32))
        fractions += tl.sum((live & (z > 0.0) & (z < 1.0)).to(tl.int32))
        start += BLOCK
    told = (unknown == 0) & (tl.load(exclude + row, mask=excludes != 0, other=0) == 0)
    alike = told & (outside == 0) & (tl.abs(total - 1.0) <= off)
    tl.atomic_add(status, alike.to(tl.int64))
    tl.atomic_add(status + 1, (alike & (fractions > 0)).to(tl.int64))
    tl.atomic_add(status + 2, (told & ~alike).to(tl.int64))


def look(logits: torch.Tensor, exclude: torch.Tensor | None, status: torch.Tensor, place: int) -> None:
    """Enqueue a look at some rows; ``place``: 0 for the teacher's, 1 for the student's."""
    rows = len(logits)
    if rows:
        at = status[FIRST_LOOK + 3 * place :]
        mask = status.view(torch.uint8) if exclude is None else exclude  # not looked at where there is none
        with torch.cuda.device_of(logits):
            look_kernel[(min(rows, LOOKED_AT),)](
                logits, rows, *logits.stride(), logits.shape[1], mask, int(exclude is not None), at, SUM_OFF,
                BLOCK=BLOCK,
            )  # fmt: skip
