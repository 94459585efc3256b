"""Systematic sampling on the GPU: one scan in fixed point, in two levels, bit for bit the specification's.

Bytes, for N points in tiles of T: 8 N read and 16 N / T written for the tiles' sums; these are scanned by one
program; then 8 N read again and 8 bytes written for each selected point. The floor is 16 N over the read bandwidth.
(One pass with decoupled look-back would read 8 N; it relies on programs waiting for others that run at the same
time, which can be neither interpreted nor, so far, measured here.)

The running sum is kept modulo 1 in units of 2^-62: what passes an integer within a tile shows in the two bits
above, however often they wrap. The integers passed before a tile say where its first selected point is written.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from rad_fast.kernels.reference.game import Equilibrium
from rad_fast.kernels.reference.sample import PROBABILITY_BITS

from .game import HALF_BITS, HALF_MASK, HALF_SHIFT, INTERPRETED, load_block, of_class, on, on_device, probability

TILE = 2048 if not INTERPRETED else 16384
SCAN = 2048  # tiles that the scanning program takes at once

ONE_SHIFT = tl.constexpr(PROBABILITY_BITS)
ONE = tl.constexpr(2.0**PROBABILITY_BITS)


@triton.jit
def steps(gain, correctness, start, points, equilibrium, order, label, BLOCK: tl.constexpr):
    """Probabilities of a tile in units of 2^-62, truncated; 0 beyond the last point."""
    if order is None:
        price, threshold, share = tl.load(equilibrium), tl.load(equilibrium + 1), tl.load(equilibrium + 2)
        gains, correct = load_block(gain, correctness, start, points, BLOCK)
    else:  # in another order than theirs, and each class has its own equilibrium
        at = start + tl.arange(0, BLOCK)
        live = at < points
        index = tl.load(order + at, mask=live, other=0)
        gains = tl.load(gain + index, mask=live, other=float("nan"))
        correct = tl.load(correctness + index, mask=live, other=0.0)
        price, threshold, share = of_class(equilibrium, label, index, live)
    return (probability(gains, correct, price, threshold, share) * ONE).to(tl.int64)


@triton.jit(do_not_specialize=["points"])
def mass_kernel(gain, correctness, points: tl.int64, equilibrium, order, label, high, low, BLOCK: tl.constexpr):
    tile = tl.program_id(0).to(tl.int64)
    step = steps(gain, correctness, tile * BLOCK, points, equilibrium, order, label, BLOCK)
    tl.store(high + tile, tl.sum(step >> HALF_SHIFT, 0))
    tl.store(low + tile, tl.sum(step & HALF_MASK, 0))


@triton.jit(do_not_specialize=["tiles", "start_high", "start_low"])
def scan_kernel(high, low, tiles: tl.int64, start_high: tl.int64, start_low: tl.int64, BLOCK: tl.constexpr):
    """Turns the tiles' sums, in halves, into integers passed and fraction before each tile; the total goes last."""
    before_high = tl.cast(start_high, tl.int64)
    before_low = tl.cast(start_low, tl.int64)
    first = tl.cast(0, tl.int64)
    while first < tiles:
        at = first + tl.arange(0, BLOCK)
        highs = tl.load(high + at, mask=at < tiles, other=0)
        lows = tl.load(low + at, mask=at < tiles, other=0)
        sum_high = before_high + tl.cumsum(highs, 0) - highs
        sum_low = before_low + tl.cumsum(lows, 0) - lows
        carried = sum_high + (sum_low >> HALF_SHIFT)
        tl.store(high + at, carried >> HALF_SHIFT, mask=at < tiles)
        tl.store(low + at, ((carried & HALF_MASK) << HALF_SHIFT) + (sum_low & HALF_MASK), mask=at < tiles)
        before_high += tl.sum(highs, 0)
        before_low += tl.sum(lows, 0)
        first += BLOCK
    carried = before_high + (before_low >> HALF_SHIFT)
    tl.store(high + tiles, carried >> HALF_SHIFT)
    tl.store(low + tiles, ((carried & HALF_MASK) << HALF_SHIFT) + (before_low & HALF_MASK))


@triton.jit(do_not_specialize=["points", "first_index", "budget"])
def take_kernel(
    gain, correctness, points: tl.int64, equilibrium, order, label, high, low, first_index: tl.int64, indices,
    budget: tl.int64, BLOCK: tl.constexpr,
):  # fmt: skip
    tile = tl.program_id(0).to(tl.int64)
    step = steps(gain, correctness, tile * BLOCK, points, equilibrium, order, label, BLOCK)
    after = tl.cumsum(step, 0) + tl.load(low + tile)
    passed = ((after ^ (after - step)) >> ONE_SHIFT) != 0
    place = tl.load(high + tile) + tl.cumsum(passed.to(tl.int32), 0) - 1
    taken = passed & (place >= 0) & (place < budget)
    index = tile * BLOCK + tl.arange(0, BLOCK)
    if order is not None:
        index = tl.load(order + index, mask=taken, other=0).to(tl.int64)
    tl.store(indices + place, first_index + index, mask=taken)


class Scan:
    """A scan over points on a device; what each tile starts from stays there.

    ``order``: the indices in the order of the scan; then ``equilibrium`` has a row for each ``label``.
    """

    def __init__(
        self,
        gain: torch.Tensor,
        correctness: torch.Tensor,
        equilibrium: Equilibrium | torch.Tensor,
        running: int,
        order: torch.Tensor | None = None,
        label: torch.Tensor | None = None,
    ) -> None:
        count = len(gain if order is None else order)
        self.points = gain, correctness, count, on(gain.device, equilibrium), order, label
        self.tiles = triton.cdiv(count, TILE)
        self.running = running
        # One more than there are tiles, and an even number: both begin at 16 bytes, so that kernels compile once.
        halves = torch.empty((2, self.tiles // 2 * 2 + 2), dtype=torch.int64, device=gain.device)
        self.high, self.low = halves[0], halves[1]
        self.passed = self.high[self.tiles : self.tiles + 1]  # how many points the scan takes
        fraction = running & ((1 << PROBABILITY_BITS) - 1)
        start = fraction >> HALF_BITS, fraction & ((1 << HALF_BITS) - 1)
        with on_device(gain):
            if self.tiles:
                mass_kernel[(self.tiles,)](
                    *self.points, self.high, self.low, BLOCK=TILE, num_warps=8, enable_fp_fusion=False
                )
            scan_kernel[(1,)](
                self.high, self.low, self.tiles, *start, BLOCK=SCAN,
                num_warps=8,
            )  # fmt: skip

    def take(self, indices: torch.Tensor, first_index: int = 0) -> None:
        """Write the selected points' indices, as many as there is room for."""
        if self.tiles:
            with on_device(self.high):
                take_kernel[(self.tiles,)](
                    *self.points, self.high, self.low, first_index, indices, len(indices),
                    BLOCK=TILE, num_warps=8, enable_fp_fusion=False,
                )  # fmt: skip

    def end(self) -> tuple[int, int]:
        """How many points are selected, and the running sum after the last point. Waits for the device."""
        integers, fraction = int(self.passed), int(self.low[self.tiles])
        whole = (self.running >> PROBABILITY_BITS) + integers
        return integers, ((whole << PROBABILITY_BITS) + fraction) % (1 << 64)


def sample(
    gain: torch.Tensor,
    correctness: torch.Tensor,
    equilibrium: Equilibrium | torch.Tensor,
    running: int,
    budget: int,
) -> torch.Tensor:
    """Indices of ``budget`` points, ascending, on the device, which is not waited for.

    ``running``: kernels.reference.sample.start.
    The budget must be the one that the equilibrium was found for.
    """
    indices = torch.empty(budget, dtype=torch.int64, device=gain.device)
    Scan(gain, correctness, equilibrium, running).take(indices)
    return indices


def sample_part(
    gain: torch.Tensor,
    correctness: torch.Tensor,
    equilibrium: Equilibrium | torch.Tensor,
    running: int,
    first_index: int = 0,
) -> tuple[torch.Tensor, int]:
    """Indices selected in a part (a chunk, a rank's shard) and the running sum after it. Waits for the device once."""
    scan = Scan(gain, correctness, equilibrium, running)
    count, after = scan.end()
    indices = torch.empty(count, dtype=torch.int64, device=gain.device)
    scan.take(indices, first_index)
    return indices, after


def mass(gain: torch.Tensor, correctness: torch.Tensor, equilibrium: Equilibrium | torch.Tensor) -> int:
    """The sum of all probabilities in units of 2^-62, modulo 2^64. Waits for the device."""
    return Scan(gain, correctness, equilibrium, 0).end()[1]
