"""One row's numbers, however it is held: margin, confidence and label, and what is written of them.

Shared by the kernels that hold rows whole (score.py) and the one that streams them (score_stream.py).
"""

from __future__ import annotations

import triton
import triton.language as tl

from rad_fast.kernels.reference.agreement import NEIGHBOURS
from rad_fast.kernels.reference.game import GRID_BITS
from rad_fast.kernels.reference.score import CLIP_BITS, Kind

LOG2_E = tl.constexpr(1.4426950408889634)
NO_LABEL = tl.constexpr(2**31 - 1)  # above every label
CLIP = tl.constexpr(2.0**-CLIP_BITS)
GRID = tl.constexpr(2.0**GRID_BITS)
NEAR = tl.constexpr(float(NEIGHBOURS))

# What a pass over logits writes.
SCORES = tl.constexpr(0)  # margin, confidence, label
POINTS = tl.constexpr(1)  # gain, correctness, label: the teacher is also the student
TEACHER = tl.constexpr(2)  # correctness, or the margin that a logistic rule needs, and label, for the student's pass
STUDENT = tl.constexpr(3)  # gain, correctness, label, from those

CONFIDENCE = tl.constexpr(int(Kind.CONFIDENCE))
CONSTANT = tl.constexpr(int(Kind.CONSTANT))
GIVEN = tl.constexpr(int(Kind.GIVEN))
STEPS = tl.constexpr(int(Kind.STEPS))
LOGISTIC = tl.constexpr(int(Kind.LOGISTIC))

# What is read of each point beside the logits: bits of a number that is passed, so that calls share a kernel.
EXCLUDES = tl.constexpr(1)
AGREES = tl.constexpr(2)

# What is counted, each with the first row where it is so: ``kernels.reference.score.Findings``.
OF_TEACHER = tl.constexpr(0)
OF_STUDENT = tl.constexpr(1)
OF_CORRECTNESS = tl.constexpr(2)
OF_GAIN = tl.constexpr(3)
LEFT_OUT = tl.constexpr(4)
FIRST_LOOK = 10  # behind these: of the teacher's rows that were looked at, and the student's, three numbers each
COUNTS = 16  # numbers of an account; a power of two that holds two for each

# Beside whose label the likeliest other class is looked for.
NOBODYS = tl.constexpr(0)  # it is not looked for
OWN = tl.constexpr(1)  # of these logits
TEACHERS = tl.constexpr(2)  # written by the teacher's pass
NONE_BUT = tl.constexpr(3)  # other classes than the teacher's: the likeliest of all


@triton.jit
def exponential(x):
    """e^x; subnormal results are 0, which saves three instructions and errs by less than 2^-126."""
    return tl.exp2(x * LOG2_E)


@triton.jit
def logit(p):
    clipped = tl.minimum(tl.maximum(p, CLIP), 1.0 - CLIP)
    return tl.log(clipped) - tl.log(1.0 - clipped)


@triton.jit
def added(x, axis: tl.constexpr, LEVELS: tl.constexpr):
    """Sums along ``axis``. Within a thread (axis 0, of 2^LEVELS numbers) by halves: one after the other they would err
    by as many roundings as there are columns."""
    if axis == 0:
        for _ in tl.static_range(LEVELS):
            x = tl.sum(tl.reshape(x, (x.shape[0] // 2, 2, x.shape[1])), 1)
        total = tl.reshape(x, (x.shape[1],))
    else:
        total = tl.sum(x, axis)
    return total


@triton.jit
def row_scores(z, columns, axis: tl.constexpr, LEVELS: tl.constexpr):
    """Maximum, label, margin, confidence and validity of rows that lie along ``axis``; columns beyond a row are -inf.

    What a maximum makes of NaN differs between targets. It does not matter here: the sum keeps every NaN, so that any
    NaN, or +inf, or nothing but -inf, leaves a total or a maximum that ``valid`` refuses.
    """
    top = tl.max(z, axis)
    label = tl.min(tl.where(z == tl.expand_dims(top, axis), columns, NO_LABEL), axis)
    others = tl.where(columns == tl.expand_dims(label, axis), float("-inf"), z)
    second = tl.max(others, axis)
    total = added(exponential((z - tl.expand_dims(top, axis)).to(tl.float32)), axis, LEVELS)
    return finish_row(top, second, label, total)


@triton.jit
def finish_row(top, second, label, total):
    valid = (top < float("inf")) & (top > float("-inf")) & (total == total)
    confidence = tl.div_rn(tl.full(total.shape, 1.0, tl.float32), total)
    margin = (1.0 - exponential((second - top).to(tl.float32))) * confidence
    return top, label, total, margin, confidence, valid


@triton.jit
def likeliest_other(z, columns, scored, labels, rows, live, axis: tl.constexpr, BESIDE: tl.constexpr):
    """The likeliest class but the label, the lowest of equals, as ``row_scores`` finds it."""
    other = scored[1]
    if (BESIDE == OWN) | (BESIDE == TEACHERS):
        label = scored[1]
        if BESIDE == TEACHERS:
            label = tl.load(labels + rows, mask=live, other=-1)
        rest = tl.where(columns == tl.expand_dims(label, axis), float("-inf"), z)
        other = tl.min(tl.where(rest == tl.expand_dims(tl.max(rest, axis), axis), columns, NO_LABEL), axis)
        other = tl.where(other == label, 1, other)  # the label is class 0, and all others are ruled out
    return other


@triton.jit
def step_level(margin, steps, levels, count):
    """``levels[k]`` where k of the ascending ``steps`` are at most the margin: binary search without branches."""
    passed = tl.zeros(margin.shape, tl.int32)
    jump = tl.cast(1, tl.int32)
    while 2 * jump <= count:
        jump *= 2
    while jump > 0:
        further = passed + jump
        inside = further <= count
        step = tl.load(steps + further - 1, mask=inside, other=float("inf"))
        passed = tl.where(inside & (step <= margin), further, passed)
        jump = jump // 2
    return tl.load(levels + passed)


@triton.jit
def modelled(x, share, agreement, lowest, highest):
    """The logistic model's correctness; x: what both models' scores say, under the sigmoid."""
    near = tl.div_rn(share * NEAR + 0.5, tl.full(share.shape, NEAR + 1.0, tl.float32))
    x += agreement * logit(near)
    certainty = tl.div_rn(tl.full(x.shape, 1.0, tl.float32), 1.0 + tl.exp(-x))
    return tl.minimum(tl.maximum(certainty, lowest), highest)


@triton.jit
def within(number):
    return (number >= 0.0) & (number <= 1.0)


@triton.jit
def noted(status, SLOT: tl.constexpr, bad, rows):
    """Counts rows, and keeps the first of them. There are few: one atomic each costs less than adding up their number,
    which would stop every program at a barrier."""
    slot = status + 2 * SLOT + tl.zeros(bad.shape, tl.int32)
    tl.atomic_add(slot, tl.full(bad.shape, 1, tl.int64), mask=bad, sem="relaxed")
    tl.atomic_min(slot + 1, rows, mask=bad, sem="relaxed")


@triton.jit
def write(
    scored, probability, other, rows, live, first_row, out, given, rule, status,
    STAGE: tl.constexpr, KIND: tl.constexpr, OF_LABEL: tl.constexpr,
):  # fmt: skip
    """Correctness and gain of scored rows, by stage and rule, and the account of invalid rows."""
    _top, label, _total, margin, confidence, valid = scored
    a, b, labels, given_probability, others = out
    given_correctness, given_gain, exclude, asked = given
    constant, steps, levels, step_count, w0, w1, w2, w3, agreement, lowest, highest = rule

    excluded = tl.load(exclude + rows, mask=live & ((asked & EXCLUDES) != 0), other=0) != 0
    counted = live & ~excluded
    noted(status, OF_STUDENT if STAGE == STUDENT else OF_TEACHER, counted & ~valid, rows + first_row)

    nan = float("nan")
    label = tl.where(valid, label, -1)
    margin = tl.where(valid, margin, nan)
    if STAGE == SCORES:
        tl.store(a + rows, margin, mask=live)
        tl.store(b + rows, tl.where(valid, confidence, nan), mask=live)
        tl.store(labels + rows, label, mask=live)
        if given_probability is not None:
            tl.store(given_probability + rows, tl.where(valid, probability, nan), mask=live)
    else:
        if STAGE == STUDENT:
            teacher_label = tl.load(labels + rows, mask=live, other=-1)
            correctness = tl.load(b + rows, mask=live, other=0.0)
            valid = valid & (teacher_label >= 0)
            label = tl.where(valid, teacher_label, -1)
            if KIND == LOGISTIC:
                x = w0 + w1 * logit(correctness) + w2 * logit(probability) + w3 * margin
        elif KIND == CONSTANT:
            correctness = tl.full(margin.shape, 1.0, tl.float32) * constant
        elif KIND == GIVEN:
            correctness = tl.load(given_correctness + rows, mask=live, other=0.0)
            noted(status, OF_CORRECTNESS, counted & ~within(correctness), rows + first_row)
        elif KIND == STEPS:
            correctness = step_level(margin, steps, levels, step_count)
        elif KIND == LOGISTIC:
            correctness = margin  # of which the student's pass makes it
            x = w0 + w1 * logit(margin)
        else:
            correctness = confidence
        if STAGE != TEACHER:
            if given_gain is not None:
                gain = tl.load(given_gain + rows, mask=live, other=0.0)
                noted(status, OF_GAIN, counted & ~within(gain), rows + first_row)
                on_grid = (tl.floor(gain.to(tl.float64) * GRID + 0.5) * (1.0 / GRID)).to(tl.float32)
                gain = tl.where(within(gain), on_grid, nan)
            elif OF_LABEL:
                gain = 1.0 - probability
            else:
                gain = 1.0 - margin
            if KIND == LOGISTIC:
                share = tl.load(given_correctness + rows, mask=live & ((asked & AGREES) != 0), other=0.5)
                noted(status, OF_CORRECTNESS, counted & ~within(share), rows + first_row)
                correctness = modelled(x, share, agreement, lowest, highest)
                gain = tl.where(within(share), gain, nan)
            if KIND == GIVEN:  # the game's integers rest on numbers in [0, 1]
                gain = tl.where(within(correctness), gain, nan)
            gain = tl.where(valid, gain, nan)
            if STAGE == STUDENT:  # without one they are the teacher's
                noted(status, LEFT_OUT, counted & ~valid, rows + first_row)
            tl.store(a + rows, tl.where(excluded, nan, gain), mask=live)
            if others is not None:
                tl.store(others + rows, tl.where(valid, other, 0).to(tl.uint8), mask=live)
        tl.store(b + rows, tl.where(valid, correctness, nan), mask=live)
        tl.store(labels + rows, label, mask=live)


@triton.jit
def probability_of(given_label, rows, live, logits, row_stride, column_stride, top, total, classes):
    """The probability of a given label: one more number of the row, which the caches still hold."""
    label = tl.load(given_label + rows, mask=live, other=-1)
    known = live & (label >= 0) & (label < classes)
    offset = rows * row_stride + label.to(tl.int64) * column_stride
    z = tl.load(logits + offset, mask=known, other=float("-inf"))
    if logits.dtype.element_ty != tl.float64:
        z = z.to(tl.float32)
    return tl.where(known, tl.div_rn(exponential((z - top).to(tl.float32)), total), 0.0)
