"""Points brought together by key, of which there are at most 65,536, without a sort: counted, then put in their places.

The points are cut into as many stretches as there are programs. ``count`` leaves a table of how many points of each key
each stretch has; its running sum, key by key, says where the stretch's first point of that key goes. ``place`` walks
each stretch in order, so that points of one key stay in the order of their indices. A point whose gain is NaN has no
place.

Bytes, for N points: 9 N read to count, 13 N read and 8 N written to place pairs, or 4 N for indices. The table has 12
bytes for each key and stretch; there are no more stretches than points for them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import triton
import triton.language as tl

from .score import INTERPRETED, Points, on_device

COUNTED = 1024  # points that are counted at once
PLACED = 256 if not INTERPRETED else 1024  # points that are placed at once
AGAINST = 16 if not INTERPRETED else 1024  # points that they are compared with at once
MOST_STRETCHES = 1024 if not INTERPRETED else 3
LEAST_STRETCHES = 8 if not INTERPRETED else 2
POINTS_A_CELL = 8  # of the table

# ----------------------------------------------------------------------------------------------------------- in kernels


@triton.jit
def key_of(label, other, at, live, others):
    """Without other classes, of which there is one then, nothing of them is read."""
    key = tl.load(label + at, mask=live, other=0)
    return key * others + tl.load(other + at, mask=live & (others > 1), other=0).to(tl.int32)


@triton.jit
def keys_at(gain, label, other, at, end, others):
    """The points' keys, -1 where there is none or it is left out."""
    live = at < end
    gains = tl.load(gain + at, mask=live, other=float("nan"))
    return tl.where(gains == gains, key_of(label, other, at, live, others), -1), gains


@triton.jit(do_not_specialize=["points", "stretch", "others"])
def count_kernel(gain, label, other, points: tl.int64, stretch: tl.int64, others: tl.int32, table, BLOCK: tl.constexpr):
    mine, stretches = tl.program_id(0), tl.num_programs(0).to(tl.int64)
    start = mine.to(tl.int64) * stretch
    end = tl.minimum(start + stretch, points)
    while start < end:
        key, _gains = keys_at(gain, label, other, start + tl.arange(0, BLOCK), end, others)
        cell = table + key.to(tl.int64) * stretches + mine
        tl.atomic_add(cell, tl.full((BLOCK,), 1, tl.int32), mask=key >= 0, sem="relaxed")
        start += BLOCK


@triton.jit(do_not_specialize=["points", "stretch", "others", "ordered"])
def place_kernel(
    gain, correctness, label, other, points: tl.int64, stretch: tl.int64, others: tl.int32, next_place,
    ordered: tl.int32, out_gain, out_correctness, out_index, BLOCK: tl.constexpr, AGAINST: tl.constexpr,
):  # fmt: skip
    mine, stretches = tl.program_id(0), tl.num_programs(0).to(tl.int64)
    start = mine.to(tl.int64) * stretch
    end = tl.minimum(start + stretch, points)
    lane, against = tl.arange(0, BLOCK), tl.arange(0, AGAINST)
    while start < end:
        at = start + lane
        key, gains = keys_at(gain, label, other, at, end, others)
        valid = key >= 0
        # How many of the block have the same key, and in the lower half how many of them come before.
        same = tl.zeros((BLOCK, AGAINST), tl.int32)
        for first in range(0, BLOCK, AGAINST):
            theirs, _gains = keys_at(gain, label, other, start + first + against, end, others)
            earlier = (first + against)[None, :] < lane[:, None]
            same += tl.where(key[:, None] == theirs[None, :], 65536 + earlier.to(tl.int32), 0)
        alike = tl.sum(same, 1)
        rank = alike & 0xFFFF
        last = rank == (alike >> 16) - 1
        cell = next_place + key.to(tl.int64) * stretches + mine
        place = tl.load(cell, mask=valid, other=0) + rank
        tl.debug_barrier()  # all have read where their key's next point goes
        tl.store(cell, place + 1, mask=valid & last)
        if ordered != 0:
            tl.store(out_index + place, at.to(out_index.dtype.element_ty), mask=valid)
        else:
            tl.store(out_gain + place, gains, mask=valid)
            tl.store(out_correctness + place, tl.load(correctness + at, mask=valid, other=0.0), mask=valid)
        start += BLOCK
        tl.debug_barrier()


# ---------------------------------------------------------------------------------------------------------- on the host


class Keyed(NamedTuple):
    """Points, and where those of each key go."""

    points: Points
    other: torch.Tensor  # uint8; without other classes anything of so many bytes
    others: int  # keys of a label
    table: torch.Tensor  # int32, (keys, stretches): how many points of each key a stretch has

    def counts(self) -> torch.Tensor:
        """How many points of each label are not left out, int64."""
        return self.table.view(len(self.table) // self.others, -1).sum(1)

    def pairs(self, counts: npt.NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor, npt.NDArray[np.int64]]:
        """Gain and correctness of the points that are not left out, by key, and where each label's begin: at 16 bytes.

        ``counts``: as above, in host memory.
        """
        room = (counts + 3) // 4 * 4
        starts = np.cumsum(room) - room
        gain = torch.empty(int(room.sum()), dtype=torch.float32, device=self.table.device)
        correctness = torch.empty_like(gain)
        self.place(gain, correctness, None, starts - (np.cumsum(counts) - counts))
        return gain, correctness, starts

    def order(self, total: int) -> torch.Tensor:
        """The indices of the ``total`` points that are not left out, by key and, in a key, ascending; int32 where that
        is enough."""
        dtype = torch.int32 if len(self.points.gain) < 1 << 31 else torch.int64
        index = torch.empty(total, dtype=dtype, device=self.table.device)
        self.place(None, None, index)
        return index

    def place(
        self,
        gain: torch.Tensor | None,
        correctness: torch.Tensor | None,
        index: torch.Tensor | None,
        apart: npt.NDArray[np.int64] | None = None,
    ) -> None:
        size, flat = len(self.points.gain), self.table.view(-1)
        if not size:
            return
        first = torch.cumsum(flat, 0, dtype=torch.int64).sub_(flat)
        if apart is not None:
            first.view(len(apart), -1).add_(torch.from_numpy(apart).to(first.device)[:, None])
        stretches, ordered = self.table.shape[1], index is not None
        out = (self.points.gain, self.points.correctness) if gain is None else (gain, correctness)
        out = *out, self.table if index is None else index  # what is not asked for is not written to
        with on_device(flat):
            place_kernel[(stretches,)](
                self.points.gain, self.points.correctness, self.points.label, self.other, size,
                triton.cdiv(size, stretches), self.others, first, int(ordered), *out,
                BLOCK=PLACED, AGAINST=AGAINST, num_warps=8,
            )  # fmt: skip


def count(points: Points, classes: int, others: int = 1) -> Keyed:
    """Count the points of each key, label x ``others`` + likeliest other class; nothing waits for the device."""
    keys, size = classes * others, len(points.gain)
    stretches = max(LEAST_STRETCHES, min(MOST_STRETCHES, size // (POINTS_A_CELL * keys)))
    stretches = min(stretches, max(1, triton.cdiv(size, PLACED)))
    table = torch.zeros((keys, stretches), dtype=torch.int32, device=points.gain.device)
    other = points.other if others > 1 and points.other is not None else points.label.view(torch.uint8)
    if size:
        with on_device(table):
            count_kernel[(stretches,)](
                points.gain, points.label, other, size, triton.cdiv(size, stretches), others, table,
                BLOCK=COUNTED, num_warps=4,
            )  # fmt: skip
    return Keyed(points, other, others, table)
