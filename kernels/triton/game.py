"""The game's arithmetic on the GPU: what a box decides is added up, what it leaves undecided is compacted.

Bytes, for N points: 8 N read (gain and correctness), 8 bytes written for each undecided point. Narrowing N points
down to few re-reads only the undecided ones, some 7% each time: about 9 N in all. The floor is 8 N over the read
bandwidth.

Everything is decided in integers (the units of kernels/reference/game.py): gain and advantage are multiples of
2^-24, their product d of 2^-48. The width floor(2^38 / gain + 1/2) is computed in float64, which rounds as NumPy
does. Sums that could leave 64 bits are kept in two halves: sum = high * 2^bits + low. Each tile of points is added
up by one program, then to the global sums by a dozen atomic additions.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import triton
import triton.language as tl

from rad_fast.kernels.reference.game import GRID_BITS, WIDTH_BITS, Box, Equilibrium, Sums

from .score import INTERPRETED, on_device

VALUE_BITS = 24  # saturated_value is kept as high * 2**24 + low
HALF_BITS = 31  # widths and probabilities, up to 2**62, as high * 2**31 + low
PROGRAMS = 4  # for each multiprocessor; more than fit are of no use, as each takes tile after tile
BLOCK = 2048  # points that a program takes at once
SHRINKS = 0.7  # as in rad_fast/game/solver.py: a pool that keeps more is not used
DISTINCT_CHUNK = 1 << 22  # points whose distinct pairs are found at once

GRID = tl.constexpr(2.0**GRID_BITS)
WIDTH = tl.constexpr(2.0**WIDTH_BITS)
GRID_SHIFT = tl.constexpr(GRID_BITS)
VALUE_SHIFT = tl.constexpr(VALUE_BITS)
HALF_SHIFT = tl.constexpr(HALF_BITS)
VALUE_MASK = tl.constexpr((1 << VALUE_BITS) - 1)
HALF_MASK = tl.constexpr((1 << HALF_BITS) - 1)

# The account that reduce_kernel adds to: int64, in this order, each on a cache line of its own.
SATURATED = tl.constexpr(0)
VALUE_HIGH = tl.constexpr(1)
VALUE_LOW = tl.constexpr(2)
FULL = tl.constexpr(3)
FULL_ADVANTAGE = tl.constexpr(4)
FULL_GAIN = tl.constexpr(5)
PRICED_ADVANTAGE = tl.constexpr(6)
WIDTH_HIGH = tl.constexpr(7)
WIDTH_LOW = tl.constexpr(8)
VALID = tl.constexpr(9)  # points whose gain is not NaN
ACCOUNT = 10  # numbers in an account
LINE = tl.constexpr(16)  # int64 in a cache line


# ----------------------------------------------------------------------------------------------------------- in kernels


@triton.jit
def grid_units(gain, correctness):
    """Gain and advantage in units of 2^-24, 0 for a NaN."""
    valid = gain == gain
    g = tl.where(valid, gain * GRID, 0.0).to(tl.int32)
    a = tl.where(valid, (2.0 * correctness - 1.0) * GRID, 0.0).to(tl.int32)
    return g, a


@triton.jit
def width_units(g):
    """floor(2^38 / gain + 1/2) for a gain in units of 2^-24, 0 for none; rounds where NumPy's float64 does."""
    gain = tl.where(g > 0, g, 1).to(tl.float64) * (1.0 / GRID)
    return tl.where(g > 0, tl.floor(tl.full(gain.shape, WIDTH, tl.float64) / gain + 0.5), 0.0).to(tl.int64)


@triton.jit
def probability(gain, correctness, price, threshold, share):
    """Inclusion probability in float64, by the operations of the specification in their order."""
    g = gain.to(tl.float64)
    a = (2.0 * correctness - 1.0).to(tl.float64)
    positive = g > 0.0
    width = tl.floor(tl.full(g.shape, WIDTH, tl.float64) / tl.where(positive, g, 1.0) + 0.5)
    width = tl.where(positive, width, 0.0) * (1.0 / WIDTH)
    cap = tl.where(g <= price, 1.0, tl.minimum(price * width, 1.0))
    d = a * g
    first = tl.where(d > threshold, 1.0, tl.where(d == threshold, share, 0.0))
    second = tl.where(-g > threshold, 1.0, tl.where(-g == threshold, share, 0.0))
    return tl.where(gain == gain, first * cap + second * (1.0 - cap), 0.0)


@triton.jit
def load_block(gain, correctness, start, points, BLOCK: tl.constexpr):
    """Gain and correctness of BLOCK points; beyond the last a NaN and a 0."""
    at = start + tl.arange(0, BLOCK)
    if start + BLOCK <= points:  # no mask that depends on the number of points: it would make loads scalar
        gains = tl.load(gain + at)
        correct = tl.load(correctness + at)
    else:
        gains = tl.load(gain + at, mask=at < points, other=float("nan"))
        correct = tl.load(correctness + at, mask=at < points, other=0.0)
    return gains, correct


@triton.jit(do_not_specialize=["capacity"])
def reduce_kernel(
    gain,
    correctness,
    size,
    done,
    box,
    account,
    kept_gain,
    kept_correctness,
    kept,
    capacity: tl.int64,
    BLOCK: tl.constexpr,
):
    """Adds tiles to the account and appends their undecided points, in any order; nothing where ``done`` is not 0."""
    if tl.load(done) == 0:
        points = tl.load(size)
        price_low, price_high = tl.load(box), tl.load(box + 1)
        threshold_low, threshold_high = tl.load(box + 2), tl.load(box + 3)
        start = tl.program_id(0).to(tl.int64) * BLOCK
        while start < points:
            gains, correct = load_block(gain, correctness, start, points, BLOCK)
            valid = gains == gains
            g, a = grid_units(gains, correct)
            d = a.to(tl.int64) * g.to(tl.int64)
            minus = -(g.to(tl.int64) << GRID_SHIFT)  # what the second piece pays, in the unit of d
            inside = valid & (d > threshold_high)
            saturated = inside & (g <= price_low)
            reacting = inside & (g > price_high)
            full = reacting & (minus > threshold_high)
            priced = reacting & (minus < threshold_low)
            undecided = valid & (d >= threshold_low) & ((saturated | full | priced) == 0)

            # Four counts in one sum: each fits 16 bits.
            counts = tl.sum(
                saturated.to(tl.int64) | (full.to(tl.int64) << 16) | (valid.to(tl.int64) << 32)
                | (undecided.to(tl.int64) << 48), 0,
            )  # fmt: skip
            saturated_points, full_points = counts & 0xFFFF, (counts >> 16) & 0xFFFF
            tl.atomic_add(account + VALID * LINE, (counts >> 32) & 0xFFFF, sem="relaxed")
            if saturated_points > 0:
                tl.atomic_add(account + SATURATED * LINE, saturated_points, sem="relaxed")
                value = tl.sum(tl.where(saturated, d, 0), 0)  # below 2^63: at most 2^14 points
                tl.atomic_add(account + VALUE_HIGH * LINE, value >> VALUE_SHIFT, sem="relaxed")
                tl.atomic_add(account + VALUE_LOW * LINE, value & VALUE_MASK, sem="relaxed")
            if full_points > 0:
                tl.atomic_add(account + FULL * LINE, full_points, sem="relaxed")
                advantage = tl.sum(tl.where(full, a, 0).to(tl.int64), 0)
                tl.atomic_add(account + FULL_ADVANTAGE * LINE, advantage, sem="relaxed")
                full_gain = tl.sum(tl.where(full, g, 0).to(tl.int64), 0)
                tl.atomic_add(account + FULL_GAIN * LINE, full_gain, sem="relaxed")
            width = tl.where(priced, width_units(g), 0)
            width_high = tl.sum(width >> HALF_SHIFT, 0)
            if width_high + tl.sum(width & HALF_MASK, 0) > 0:
                tl.atomic_add(account + WIDTH_HIGH * LINE, width_high, sem="relaxed")
                tl.atomic_add(account + WIDTH_LOW * LINE, tl.sum(width & HALF_MASK, 0), sem="relaxed")
                advantage = tl.sum(tl.where(priced, a, 0).to(tl.int64), 0)
                tl.atomic_add(account + PRICED_ADVANTAGE * LINE, advantage, sem="relaxed")
            found = (counts >> 48) & 0xFFFF
            if found > 0:
                base = tl.atomic_add(kept, found, sem="relaxed")
                to = base + tl.cumsum(undecided.to(tl.int32), 0) - 1
                room = undecided & (to < capacity)
                tl.store(kept_gain + to, gains, mask=room)
                tl.store(kept_correctness + to, correct, mask=room)
            start += tl.num_programs(0).to(tl.int64) * BLOCK


@triton.jit(do_not_specialize=["points", "by_class"])
def probabilities_kernel(
    gain, correctness, label, by_class: tl.int32, points: tl.int64, equilibrium, out, BLOCK: tl.constexpr
):
    start = tl.program_id(0).to(tl.int64) * BLOCK
    at = start + tl.arange(0, BLOCK)
    gains, correct = load_block(gain, correctness, start, points, BLOCK)
    price, threshold, share = of_class(equilibrium, label, at, (at < points) & (by_class != 0))
    q = probability(gains, correct, price, threshold, share)
    tl.store(out + at, q.to(out.dtype.element_ty), mask=at < points)


@triton.jit
def of_class(equilibria, label, at, live):
    """Price, threshold and share of the class of each point; of one without a label, or not ``live``, the first's."""
    mine = equilibria + 4 * tl.maximum(tl.load(label + at, mask=live, other=0), 0).to(tl.int64)
    return tl.load(mine), tl.load(mine + 1), tl.load(mine + 2)


# ---------------------------------------------------------------------------------------------------------- on the host


class Reduction(NamedTuple):
    """What one pass leaves on the device: the account, the number of undecided points, and those there was room for."""

    account: torch.Tensor
    kept: torch.Tensor
    gain: torch.Tensor
    correctness: torch.Tensor


def reduce_shape(device: torch.device) -> tuple[int, int]:
    """How many programs share a pass, and how many points each takes at once."""
    if INTERPRETED:
        return 2, 16384
    return torch.cuda.get_device_properties(device).multi_processor_count * PROGRAMS, BLOCK


def enqueue_reduce(
    gain: torch.Tensor,
    correctness: torch.Tensor,
    size: torch.Tensor,
    done: torch.Tensor,
    box: torch.Tensor,
    to: Reduction,
) -> None:
    """One pass: adds to the account and to the kept points."""
    if not len(gain):
        return
    programs, block = reduce_shape(gain.device)
    with on_device(gain):
        reduce_kernel[(min(programs, triton.cdiv(len(gain), block)),)](
            gain, correctness, size, done, box, to.account, to.gain, to.correctness, to.kept, len(to.gain),
            BLOCK=block, num_warps=8, enable_fp_fusion=False,
        )  # fmt: skip


def box_units(box: Box) -> tuple[int, int, int, int]:
    """A box in grid units, its ends rounded so that every comparison with a multiple of the grid comes out the same."""
    return (
        math.floor(math.ldexp(box.price_low, GRID_BITS)),
        math.floor(math.ldexp(box.price_high, GRID_BITS)),
        math.ceil(math.ldexp(box.threshold_low, 2 * GRID_BITS)),
        math.floor(math.ldexp(box.threshold_high, 2 * GRID_BITS)),
    )


def sums_of(account: list[int]) -> Sums:
    account = account[:: LINE.value]
    return Sums(
        saturated=account[SATURATED.value],
        saturated_value=(account[VALUE_HIGH.value] << VALUE_BITS) + account[VALUE_LOW.value],
        full=account[FULL.value],
        full_advantage=account[FULL_ADVANTAGE.value],
        full_gain=account[FULL_GAIN.value],
        priced_advantage=account[PRICED_ADVANTAGE.value],
        priced_width=(account[WIDTH_HIGH.value] << HALF_BITS) + account[WIDTH_LOW.value],
    )


class DevicePool:
    """Points on a device, for ``game.solver.solve``: one pass and one wait for the device each time it narrows."""

    def __init__(self, gain: torch.Tensor, correctness: torch.Tensor, size: int | None = None) -> None:
        self.gain, self.correctness = gain, correctness
        self._size = len(gain) if size is None else size  # more than there was room for: only its number is known

    @property
    def size(self) -> int:
        return self._size

    def peek(self, count: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        gain, correctness = self.gain, self.correctness
        if count < self.size:
            step = torch.arange(count, dtype=torch.int64, device=gain.device)
            at = (2 * step + 1) * self.size // (2 * count)
            gain, correctness = gain[at], correctness[at]
        both = torch.stack([gain, correctness]).cpu().numpy()
        return both[0], both[1]

    def reduce(self, box: Box) -> tuple[Sums, DevicePool]:
        device, room = self.gain.device, int(self.size * SHRINKS) + 1
        lines = ACCOUNT * LINE.value
        # Box, size, done and kept, each on 16 bytes: pointers to them compile alike.
        numbers = torch.zeros(lines + 10, dtype=torch.int64)
        numbers[lines : lines + 4] = torch.tensor(box_units(box))
        numbers[lines + 4] = self.size
        numbers = numbers.to(device)
        gain = torch.empty(room, dtype=torch.float32, device=device)
        to = Reduction(numbers, numbers[lines + 8 :], gain, torch.empty_like(gain))
        enqueue_reduce(self.gain, self.correctness, numbers[lines + 4 :], numbers[lines + 6 :], numbers[lines:], to)
        result = numbers.tolist()
        count = result[lines + 8]
        if count > room:
            return sums_of(result), DevicePool(to.gain, to.correctness, count)
        # Copied: what is kept is little, and the room it was found in is given back.
        return sums_of(result), DevicePool(to.gain[:count].clone(), to.correctness[:count].clone())

    def distinct(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Distinct pairs, found chunk by chunk: where many points are alike, little memory is needed."""
        pairs = torch.empty(0, dtype=torch.int64, device=self.gain.device)
        counts = pairs
        for start in range(0, len(self.gain), DISTINCT_CHUNK):
            gain = self.gain[start : start + DISTINCT_CHUNK]
            correctness = self.correctness[start : start + DISTINCT_CHUNK]
            keep = ~torch.isnan(gain)
            key = gain[keep].view(torch.int32).to(torch.int64) << 32
            key |= correctness[keep].view(torch.int32).to(torch.int64)
            new, count = torch.unique(key, return_counts=True)
            pairs, place = torch.unique(torch.cat([pairs, new]), return_inverse=True)
            counts = torch.zeros_like(pairs).index_add_(0, place, torch.cat([counts, count]))
        key = pairs.cpu().numpy()
        gain32 = (key >> 32).astype(np.uint32).view(np.float32)
        return gain32, (key & 0xFFFFFFFF).astype(np.uint32).view(np.float32), counts.cpu().numpy()


def on(device: torch.device, equilibrium: Equilibrium | torch.Tensor) -> torch.Tensor:
    """Price, threshold, share and value as float64 on the device."""
    if isinstance(equilibrium, torch.Tensor):
        return equilibrium
    return torch.tensor(tuple(equilibrium), dtype=torch.float64).to(device)


def probabilities(
    gain: torch.Tensor,
    correctness: torch.Tensor,
    equilibrium: Equilibrium | torch.Tensor,
    dtype: torch.dtype = torch.float64,
    label: torch.Tensor | None = None,
) -> torch.Tensor:
    """Inclusion probability of every point; with ``label``, ``equilibrium`` has a row for each."""
    out = torch.empty(len(gain), dtype=dtype, device=gain.device)
    labels = gain.view(torch.int32) if label is None else label  # not looked at where there is none
    numbers = (gain, correctness, labels, int(label is not None), len(gain), on(gain.device, equilibrium), out)
    launch_points(probabilities_kernel, len(gain), numbers)
    return out


def launch_points(kernel: Any, count: int, arguments: tuple[Any, ...]) -> None:
    if count:
        block = 65536 if INTERPRETED else 1024
        with on_device(arguments[0]):
            kernel[(triton.cdiv(count, block),)](*arguments, BLOCK=block, num_warps=4, enable_fp_fusion=False)
