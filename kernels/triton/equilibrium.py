"""The equilibrium on the device: what solver.py and settle.py enqueue, in what order and with what memory."""

from __future__ import annotations

import math
import struct
from typing import NamedTuple

import torch
import triton
import triton.language as tl

from rad_fast.kernels.reference.game import Equilibrium

from .class_game import small_game_kernel
from .game import ACCOUNT, HALF_BITS, INTERPRETED, LINE, Reduction, enqueue_reduce, on_device
from .settle import narrow_kernel, settle_kernel
from .solver import (
    ANSWER,
    BOXES,
    DONE,
    MOST_ROUNDS,
    POINTS,
    PRICE_ONE,
    SIZES,
    SOLVED,
    STATE,
    order_kernel,
    search_kernel,
)

ACCOUNT_ROOM = 256  # a power of two that holds an account
ROOM = (2, 4)  # the first undecided points may be half of all, the next ones a quarter: 6 bytes a point in all
CORNERS = 4


class Shape(NamedTuple):
    """How the work is cut. FAN * FAN prices must be enough for the sample's gains and the box's two ends."""

    sample: int = 8192  # points
    fan: int = 128  # prices that one search tries
    prices: int = 1  # of them in one program
    block: int = 1024  # pieces that a search looks at once
    rows: int = 64  # points that a program sorts
    against: int = 32  # points that they are compared with at once
    shrinks: int = 4  # by how much a round is counted on to shrink the points; it is 10 as a rule


DIRECT = 1 << 14  # points whose game one program plays
DIRECT_BLOCK = 1024 if not INTERPRETED else 4096
INTERPRETER = Shape(sample=1024, fan=64, prices=64, block=2048, rows=1024, against=1024, shrinks=2)


class Solution(NamedTuple):
    """On the device, not waited for: price, threshold, share and value; the outcome and the number of valid points."""

    equilibrium: torch.Tensor  # float64: price, threshold, share, value
    outcome: torch.Tensor  # int64: outcome (SOLVED or not), valid points


@triton.jit(do_not_specialize=["points", "least_price"])
def begin_kernel(
    state,
    account,
    answer,
    points: tl.int64,
    least_price: tl.int64,
    STATE_SIZE: tl.constexpr,
    ACCOUNT_SIZE: tl.constexpr,
    ANSWER_SIZE: tl.constexpr,
):
    at = tl.arange(0, STATE_SIZE)
    start = tl.where(at == SIZES, points, 0).to(tl.int64)
    start = tl.where(at == BOXES, least_price, start)
    start = tl.where(at == BOXES + 1, 1 << 24, start)
    start = tl.where(at == BOXES + 2, -(1 << 48), start)
    start = tl.where(at == BOXES + 3, 1 << 48, start)
    tl.store(state + at, start)
    tl.store(account + tl.arange(0, ACCOUNT_SIZE), tl.zeros((ACCOUNT_SIZE,), tl.int64))
    tl.store(answer + tl.arange(0, ANSWER_SIZE), tl.zeros((ANSWER_SIZE,), tl.float64))


def spend_units(mistakes: float) -> int:
    """Twice the mistakes in units of 2^-24; of more than can be mistakes of 2^32 points, as many."""
    return math.floor(min(mistakes, 2.0**34) * 2.0**25 + 0.5)


def rounds_for(points: int, shape: Shape) -> int:
    rounds = 1
    while points > shape.sample and rounds < MOST_ROUNDS:
        points, rounds = points // shape.shrinks, rounds + 1
    return rounds


def solve(
    gain: torch.Tensor,
    correctness: torch.Tensor,
    budget: float,
    mistakes: float,
    mistakes_each: float = 0.0,
    shape: Shape | None = None,
) -> Solution:
    """Enqueue the search for the equilibrium; nothing waits for the device. The budget is a multiple of 2^-31.

    The mistakes are ``mistakes + mistakes_each * (points whose gain is not NaN)``, rounded to a multiple of 2^-25.
    ``shape``: in rounds so cut; without it a game of few points is played by one program.
    """
    if shape is None and len(gain) <= DIRECT:
        return solve_directly(gain, correctness, budget, mistakes, mistakes_each)
    shape = shape or usual_shape()
    points, device = len(gain), gain.device
    if shape.fan * shape.fan < shape.sample + 2:
        raise ValueError(f"shape: {shape.fan} prices twice are too few for a sample of {shape.sample} points")

    def empty(length: int, dtype: torch.dtype) -> torch.Tensor:
        return torch.empty(length, dtype=dtype, device=device)

    bits = shape.sample.bit_length() - 1
    state, account = empty(STATE, torch.int64), empty(ACCOUNT_ROOM, torch.int64)
    answer = empty(ANSWER, torch.float64)
    slopes, widths = empty(2 * shape.sample, torch.int64), empty(2 * shape.sample, torch.int64)
    marks, advantages = empty(2 * shape.sample, torch.int32), empty(2 * shape.sample, torch.int32)
    kinks = empty(shape.sample, torch.int32)
    rises = empty((1 + CORNERS) * 3 * shape.fan, torch.int32)
    thresholds = empty((1 + CORNERS) * 2 * shape.fan, torch.int64)
    spots = empty((1 + CORNERS) * 4, torch.int64)
    sorted_pieces = slopes, widths, marks, advantages
    found = rises, thresholds
    budget_units, rate_bits = units_of(budget), bits_of(mistakes_each)
    rounds = rounds_for(points, shape)
    pools = [
        (empty(points // part + 1, torch.float32), empty(points // part + 1, torch.float32))
        for part in ROOM[: rounds - 1]
    ]
    fanned = {"SAMPLE": shape.sample, "FAN": shape.fan}
    sampled = {"SAMPLE": shape.sample, "SAMPLE_BITS": bits}
    plain = {"enable_fp_fusion": False}
    programs = triton.cdiv(shape.fan, shape.prices)
    # Without mistakes the price is 1: no point at a price between is then left undecided.
    least_price = PRICE_ONE.value if mistakes == 0 and mistakes_each == 0 else 0

    with on_device(gain):
        begin_kernel[(1,)](state, account, answer, points, least_price, STATE, ACCOUNT_ROOM, ANSWER, num_warps=1)
        source = gain, correctness
        for step in range(rounds):
            order_kernel[(triton.cdiv(shape.sample, shape.rows),)](
                *source, len(source[0]), state, account, spend_units(mistakes), rate_bits, *sorted_pieces, kinks, step,
                **sampled, ROWS=shape.rows, BLOCK=shape.against, num_warps=4, **plain,
            )  # fmt: skip
            last = step == rounds - 1
            for corner, corners in ((0, 1),) if last else ((0, 1), (1, CORNERS)):
                for level in 0, 1:
                    search_kernel[(programs, corners)](
                        state, answer, account, budget_units, *sorted_pieces, kinks, *found, step, corner,
                        LEVEL=level, **fanned, PRICES=shape.prices, BLOCK=shape.block,
                        num_warps=4, **plain,
                    )  # fmt: skip
                settle_kernel[(corners,)](
                    *source, state, answer, account, budget_units, *sorted_pieces, kinks, *found, spots,
                    step, corner, **sampled, FAN=shape.fan, BLOCK=shape.block, num_warps=8, **plain,
                )  # fmt: skip
            if last:
                break
            narrow_kernel[(1,)](state, spots, step, CORNERS=CORNERS, SAMPLE=shape.sample, num_warps=1, **plain)
            kept_gain, kept_correctness = pools[step % len(pools)]
            ends = state[BOXES.value + 4 * (step + 1) :]
            sizes = state[SIZES.value + 2 * step :]
            to = Reduction(account, sizes[2:], kept_gain, kept_correctness)
            enqueue_reduce(*source, sizes, state[DONE.value :], ends, to)
            source = kept_gain, kept_correctness
    return Solution(answer[:4], state[: POINTS.value + 1])


def solve_directly(
    gain: torch.Tensor, correctness: torch.Tensor, budget: float, mistakes: float, mistakes_each: float
) -> Solution:
    """``solve`` by one program: one launch."""
    numbers = torch.empty(6, dtype=torch.int64, device=gain.device)
    answer, outcome = numbers[:4].view(torch.float64), numbers[4:]
    given = len(gain), units_of(budget), spend_units(mistakes), bits_of(mistakes_each)
    with on_device(gain):
        small_game_kernel[(1,)](
            gain, correctness, *given, answer, outcome, BLOCK=DIRECT_BLOCK, num_warps=8, enable_fp_fusion=False
        )
    return Solution(answer, outcome)


def usual_shape() -> Shape:
    return INTERPRETER if INTERPRETED else Shape()


def units_of(budget: float) -> int:
    """A budget in units of 2^-31."""
    return int(budget * 2**HALF_BITS)


def bits_of(rate: float) -> int:
    """The bits of a float64, which a kernel takes as it is: a float among its arguments would be rounded."""
    bits: int = struct.unpack("<q", struct.pack("<d", rate))[0]
    return bits


def read(solution: Solution) -> Equilibrium | None:
    """The equilibrium, or None where the rounds did not suffice. Waits for the device."""
    outcome = int(solution.outcome[DONE.value])
    return Equilibrium(*solution.equilibrium.tolist()) if outcome == SOLVED.value else None


if ACCOUNT * LINE.value > ACCOUNT_ROOM:
    raise RuntimeError("an account does not fit its room")
