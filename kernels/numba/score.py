"""Scoring on CPU: kernels/reference/score.py in float32, in parallel over blocks of rows.

Bytes per point: the row of logits is read from memory once, and again from cache where it exceeds one; written are 12
(margin, confidence, label), 4 more for a given label's probability; appraise writes 12 and keeps its scores of a block
of rows on the side. What decides a row depends on that row alone.

Numba compiles neither float16 nor bfloat16, and its maximum of floats is slow because of NaN. So rows come as the
integers of the same bits, in which the order of floats, infinities and NaN are plain to see: int64 for float64,
int32 for float32, int16 for float16, uint16 for bfloat16.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from numba.extending import overload

from rad_fast.kernels.reference.score import (
    Array,
    Float32s,
    Float64s,
    Gain,
    Int32s,
    Invalid,
    Points,
    Rule,
    Scores,
    UInt8s,
    correctness,
    invalid,
)

from . import compiled, launching

PIECE = 1024  # elements of a row that are handled together: their exponentials, 4 KiB, stay in L1
BLOCK_ELEMENTS = 1 << 15  # per piece of parallel work
CHUNK_ROWS = 1 << 15  # whose scores appraise keeps on the side
COPIED_ELEMENTS = 1 << 20  # of an array that cannot be read in place

BITS = {"float64": np.int64, "float32": np.int32, "float16": np.int16, "uint16": np.uint16}

# exp(x) = 2**n e**f, n whole and |f| <= ln(2)/2; ln 2 in two parts, the first of so few bits that n times it is exact.
LOG2_E = np.float32(1.44269504)
LN2_HIGH = np.float32(0.693359375)
LN2_LOW = np.float32(0.6931471805599453 - 0.693359375)
# e**f = 1 + f + f**2 (E2 + E3 f + ...): minimax in relative error by linear programming, coefficients rounded to
# float32 one by one and the rest refitted; 3.1e-9. Exactly 1 at f = 0.
E2, E3 = np.float32(float.fromhex("0x1.fffffcp-2")), np.float32(float.fromhex("0x1.555492p-3"))
E4, E5 = np.float32(float.fromhex("0x1.5558aap-5")), np.float32(float.fromhex("0x1.12396ep-7"))
E6 = np.float32(float.fromhex("0x1.6a524ep-10"))
ONE, HALF, ZERO = np.float32(1), np.float32(0.5), np.float32(0)
UNDERFLOW = np.float32(-87.3)  # exp of less is below float32's normal numbers, and counts as 0
HALF_SCALE = np.float32(2.0**112)  # from float16's exponent bias to float32's


def score(logits: Array, given: Int32s | None = None) -> Scores:
    """Margin, confidence and label of every row, and the probability of the label ``given`` for it; float32."""
    rows = len(logits)
    margin, confidence = np.empty(rows, np.float32), np.empty(rows, np.float32)
    label = np.empty(rows, np.int32)
    probability = np.empty(0 if given is None else rows, np.float32)
    known = np.empty(0, np.int32) if given is None else np.ascontiguousarray(given, dtype=np.int32)
    for part, flat, first, step in readable(logits):
        with launching(logits[part].nbytes):
            score_rows(
                flat, first, step, logits.shape[1],
                known[part], margin[part], confidence[part], label[part], probability[part],
            )  # fmt: skip
    return Scores(margin, confidence, label, None if given is None else probability)  # type: ignore[arg-type]


def appraise(
    teacher: Array, student: Array | None, rule: Rule, given: Float32s | None, out: Points
) -> tuple[Invalid, Invalid]:
    """Write gain, correctness and label of every point to ``out``; returns the teacher's and the student's bad rows."""
    found = [Invalid(), Invalid()]
    for start in range(0, len(teacher), CHUNK_ROWS):
        part = slice(start, start + CHUNK_ROWS)
        of_teacher = score(teacher[part])
        of_student = None if student is None else score(student[part], of_teacher.label)
        c = correctness(rule, widened(of_teacher), widened(of_student), None if given is None else given[part])
        bad = of_teacher.label < 0
        bad_student = np.zeros_like(bad) if of_student is None else of_student.label < 0
        known = (of_teacher if of_student is None else of_student).margin
        if rule.gain == Gain.LABEL and of_student is not None and of_student.given_probability is not None:
            known = of_student.given_probability
        out.gain[part] = np.where(bad | bad_student, np.float32(np.nan), ONE - np.minimum(ONE, known))
        out.correctness[part] = np.where(bad | bad_student, np.nan, c)
        out.label[part] = np.where(bad | bad_student, -1, of_teacher.label)
        if out.other is not None:
            alike = student is None or student.shape[1] == teacher.shape[1]
            likeliest_other((teacher if student is None else student)[part], out.label[part], alike, out.other[part])
        found = [joined(*pair, start) for pair in zip(found, (invalid(bad), invalid(bad_student)), strict=True)]
    return found[0], found[1]


def likeliest_other(logits: Array, label: Int32s, alike: bool, out: UInt8s) -> None:
    """Write the likeliest class besides the label; of all classes where the labels are not ``alike``, of others."""
    for part, flat, first, step in readable(logits):
        with launching(logits[part].nbytes):
            other_rows(flat, first, step, logits.shape[1], label[part], alike, out[part])


def widened(scores: Scores | None) -> Any:
    """The scores in float64, in which correctness is computed."""

    def wide(values: Float64s | None) -> Float64s | None:
        return None if values is None else values.astype(np.float64)

    if scores is None:
        return None
    return Scores(*(wide(x) for x in scores[:2]), scores.label, wide(scores.given_probability))  # type: ignore[arg-type]


def joined(before: Invalid, found: Invalid, start: int) -> Invalid:
    if not found.rows:
        return before
    return Invalid(before.rows + found.rows, before.first if before.rows else start + found.first)


def readable(logits: Array) -> Iterator[tuple[slice, npt.NDArray[Any], int, int]]:
    """Slices of rows, each with its elements as a flat array of bits, the first row's place there, the rows' distance.

    Rows of adjacent elements are read in place, at whatever distance from each other; others are copied in parts.
    """
    rows, classes = logits.shape
    width = logits.itemsize
    if rows == 0:
        return
    native = logits.dtype.isnative and logits.flags.aligned
    if native and (logits.strides[1] == width or classes == 1) and logits.strides[0] % width == 0:
        step = logits.strides[0] // width if rows > 1 else 0
        lowest = logits if step >= 0 else logits[::-1]
        size = (rows - 1) * abs(step) + classes
        flat = np.lib.stride_tricks.as_strided(lowest[0], (size,), (width,), writeable=False)
        yield slice(0, rows), flat.view(BITS[logits.dtype.name]), 0 if step >= 0 else (rows - 1) * -step, step
        return
    count = max(1, COPIED_ELEMENTS // classes)
    for start in range(0, rows, count):
        part = slice(start, min(rows, start + count))
        copy = np.array(logits[part], dtype=logits.dtype.newbyteorder("="), order="C").reshape(-1)
        copy.flags.writeable = False  # one type for numba, and one compilation
        yield part, copy.view(BITS[logits.dtype.name]), 0, classes


# Annotations would have to be the same on what an overload returns, which numba compares.
def number(bits):  # type: ignore[no-untyped-def]
    """The float of these bits, float64 for int64, else float32."""
    raise NotImplementedError("for compiled code alone")


@overload(number)
def number_for(bits):  # type: ignore[no-untyped-def]
    if bits == numba.types.int64:
        return lambda bits: np.int64(bits).view(np.float64)
    if bits == numba.types.int32:
        return lambda bits: np.int32(bits).view(np.float32)
    if bits == numba.types.uint16:
        return lambda bits: np.int32(np.int32(bits) << 16).view(np.float32)

    def float16(bits):  # type: ignore[no-untyped-def]
        # Exponent and mantissa moved into place, then scaled, which is right for subnormal numbers too.
        size = np.int32((np.int32(bits) & 0x7FFF) << 13).view(np.float32) * HALF_SCALE
        return -size if bits < 0 else size

    return float16


def order(bits):  # type: ignore[no-untyped-def]
    """An integer that orders as the floats do; equal for both zeros. NaN lies beyond the infinities."""
    raise NotImplementedError("for compiled code alone")


@overload(order)
def order_for(bits):  # type: ignore[no-untyped-def]
    if bits == numba.types.int64:
        return lambda bits: bits if bits >= 0 else np.int64(-0x8000000000000000) - bits
    if bits == numba.types.int32:
        return lambda bits: bits if bits >= 0 else np.int32(np.int32(-0x80000000) - bits)
    if bits == numba.types.uint16:
        return lambda bits: np.int32(bits) if bits < 0x8000 else np.int32(np.int32(0x8000) - np.int32(bits))
    return lambda bits: np.int32(bits) if bits >= 0 else np.int32(np.int32(-0x8000) - np.int32(bits))


def infinity(bits):  # type: ignore[no-untyped-def]
    """Where order() puts +inf."""
    raise NotImplementedError("for compiled code alone")


@overload(infinity)
def infinity_for(bits):  # type: ignore[no-untyped-def]
    if bits == numba.types.int64:
        return lambda bits: np.int64(0x7FF0000000000000)
    if bits == numba.types.int32:
        return lambda bits: np.int32(0x7F800000)
    if bits == numba.types.uint16:
        return lambda bits: np.int32(0x7F80)
    return lambda bits: np.int32(0x7C00)


@compiled()
def exponential(x):  # type: ignore[no-untyped-def]
    """exp(x) for float32 x <= 0."""
    held = x if x > UNDERFLOW else UNDERFLOW
    n = np.floor(held * LOG2_E + HALF)
    f = (held - n * LN2_HIGH) - n * LN2_LOW
    p = (((E6 * f + E5) * f + E4) * f + E3) * f + E2
    scale = np.int32((np.int32(n) + np.int32(127)) << 23).view(np.float32)
    return ((p * (f * f) + f) + ONE) * scale if x > UNDERFLOW else ZERO


# The loops below run over whole slices from 0 on: of any other index numba asks, at each element, if it is negative.
@compiled()
def extremes(piece):  # type: ignore[no-untyped-def]
    high = low = order(piece[0])
    for j in range(len(piece)):
        key = order(piece[j])
        high = max(high, key)
        low = min(low, key)
    return high, low


@compiled()
def first_of(piece, key):  # type: ignore[no-untyped-def]
    at = np.int32(len(piece))
    for j in range(len(piece)):
        at = min(at, np.int32(j) if order(piece[j]) == key else np.int32(len(piece)))
    return at


@compiled()
def fill_powers(piece, highest, powers):  # type: ignore[no-untyped-def]
    for j in range(len(piece)):
        powers[j] = exponential(np.float32(number(piece[j]) - highest))


@compiled(fastmath={"reassoc"})  # in whatever order is fastest: the same for every row of that length
def sum_of(values):  # type: ignore[no-untyped-def]
    total = 0.0
    for j in range(len(values)):
        total += values[j]
    return total


@compiled()
def largest(values):  # type: ignore[no-untyped-def]
    most = np.int32(0)
    for j in range(len(values)):
        most = max(most, values[j])
    return most


@compiled()
def score_row(row, given, powers, power_bits):  # type: ignore[no-untyped-def]
    """Margin, confidence, label, probability of ``given``; ``powers`` and ``power_bits`` are the same PIECE numbers."""
    classes = len(row)
    top, bottom = extremes(row[:PIECE])
    at = 0
    for start in range(PIECE, classes, PIECE):
        high, low = extremes(row[start : start + PIECE])
        if high > top:
            top, at = high, start
        bottom = min(bottom, low)
    limit = infinity(row[0])
    if top >= limit or top <= -limit or bottom < -limit:
        return np.float32(np.nan), np.float32(np.nan), np.int32(-1), np.float32(np.nan)
    label = at + first_of(row[at : at + PIECE], top)

    highest = number(row[label])
    total = 0.0
    second = np.int32(0)  # the bits of a float that is not negative order as the float does
    for start in range(0, classes, PIECE):
        count = min(PIECE, classes - start)
        fill_powers(row[start : start + count], highest, powers)
        total += sum_of(powers[:count])
        if start <= label < start + count:
            powers[label - start] = ZERO
        second = max(second, largest(power_bits[:count]))
    margin = np.float32((ONE - number(second)) / total)
    probability = 0.0
    if 0 <= given < classes:
        probability = exponential(np.float32(number(row[given]) - highest)) / total
    return margin, np.float32(1.0 / total), np.int32(label), np.float32(probability)


@compiled(parallel=True)
def score_rows(flat, first, step, classes, given, margin, confidence, label, probability):  # type: ignore[no-untyped-def]
    rows = len(margin)
    block_rows = max(1, BLOCK_ELEMENTS // classes)
    for block in numba.prange((rows + block_rows - 1) // block_rows):
        powers = np.empty(PIECE, np.float32)
        power_bits = powers.view(np.int32)
        for i in range(block * block_rows, min(rows, (block + 1) * block_rows)):
            row = flat[first + i * step : first + i * step + classes]
            wanted = given[i] if len(given) else np.int32(-1)
            margin[i], confidence[i], label[i], p = score_row(row, wanted, powers, power_bits)
            if len(given):
                probability[i] = p


@compiled(parallel=True)
def other_rows(flat, first, step, classes, label, alike, other):  # type: ignore[no-untyped-def]
    rows = len(label)
    block_rows = max(1, BLOCK_ELEMENTS // classes)
    for block in numba.prange((rows + block_rows - 1) // block_rows):
        for i in range(block * block_rows, min(rows, (block + 1) * block_rows)):
            row = flat[first + i * step : first + i * step + classes]
            skipped = label[i] if alike else -1
            at = 1 if skipped == 0 else 0
            for j in range(classes):
                if j != skipped and order(row[j]) > order(row[at]):
                    at = j
            other[i] = at if label[i] >= 0 else 0
