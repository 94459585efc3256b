"""Scoring on the GPU: one read of the logits, 12 bytes a point written.

Bytes, for N points of C classes of s bytes each:

=======================  ==========================================  ==================================
what runs                reads                                       writes
=======================  ==========================================  ==================================
``score``                N C s (+ 4 N where labels are given)        12 N (+ 4 N)
``appraise``, teacher    N C s (+ 4 N given, + N exclude)            12 N: gain, correctness, label
``appraise``, both       N (C + C') s + 8 N                          8 N + 12 N
=======================  ==========================================  ==================================

The floor is the first term over the memory's read bandwidth: nothing is read twice, nothing of N x C is written.
Three kernels, by what a row needs:

- ``packed``: few classes, rows one after the other. A program loads some kilobytes of whole rows as one run, 16 bytes a
  thread, and hands each row to one thread (through shared memory): its sums and maxima need no other thread.
- ``tile``: a row, or several, in the registers of one program. Columns are padded to a power of two.
- ``stream`` (in score_stream.py): rows too long for that, in one pass with a running normaliser and top two.

Arithmetic is float32; float64 logits are compared and subtracted in float64 first. Exponentials are 2^x of the
hardware (relative error 2^-22), of arguments at most 0; the maximum's own term is exactly 1. Fusing a multiplication
with an addition is switched off: 1 - margin has to stay a multiple of 2^-24.

Launches go to the current stream of the logits' device, nothing waits for the device, and nothing is allocated where
outputs are given, so that calls can be captured in a CUDA graph.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl

from rad_fast.kernels.reference.score import Invalid, Kind, Rule

from .row import POINTS, SCORES, STUDENT, TEACHER, probability_of, row_scores, write
from .score_stream import stream_kernel

INTERPRETED = bool(triton.knobs.runtime.interpret)
PACKED_BYTES = 512  # rows up to this long are held by one thread
TILE_BYTES = 65536  # rows up to this long (as float32, or as float64) are held by one program
WARP_BYTES = 4096  # what one warp holds of them: 32 registers a lane, room for as many more without spilling


FIRST_UNSET = 2**63 - 1

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


class Scores(NamedTuple):
    """Per row; ``status`` holds the count of invalid rows and the first of them (see ``invalid``)."""

    margin: torch.Tensor
    confidence: torch.Tensor
    label: torch.Tensor
    given_probability: torch.Tensor | None
    status: torch.Tensor


class Points(NamedTuple):
    """What selection keeps of each point; ``status`` as in Scores, for the teacher and for the student."""

    gain: torch.Tensor
    correctness: torch.Tensor
    label: torch.Tensor
    status: torch.Tensor


class DeviceRule(NamedTuple):
    """A ``Rule`` with its step table on the device."""

    rule: Rule
    steps: torch.Tensor | None
    levels: torch.Tensor | None


# ----------------------------------------------------------------------------------------------------------- in kernels


@triton.jit(do_not_specialize=["points", "first_row", "step_count"])
def tile_kernel(
    logits, points, row_units, column_stride, first_row, given_label,
    a, b, labels, given_probability, exclude,
    given, constant, steps, levels, step_count, w0, w1, w2, w3, status,
    CLASSES: tl.constexpr, ROW_MULTIPLE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    STAGE: tl.constexpr, KIND: tl.constexpr, PROBES: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    live = rows < points
    columns = tl.arange(0, COLUMNS)
    # The stride is passed as a multiple of the vector width: the compiler then knows that rows begin on one.
    row_stride = tl.cast(row_units, tl.int64) * ROW_MULTIPLE
    where = logits + rows[:, None] * row_stride + columns[None, :].to(tl.int64) * column_stride
    z = tl.load(where, mask=live[:, None] & (columns < CLASSES)[None, :], other=float("-inf"))
    if logits.dtype.element_ty != tl.float64:
        z = z.to(tl.float32)
    scored = row_scores(z, columns[None, :], 1, 0)
    probability = scored[3]
    if given_label is not None:
        probability = probability_of(
            given_label, rows, live, logits, row_stride, column_stride, scored[0], scored[2], CLASSES
        )
    out = (a, b, labels, given_probability, exclude)
    rule = (given, constant, steps, levels, step_count, w0, w1, w2, w3)
    write(scored, probability, rows, live, first_row, out, rule, status, STAGE == STUDENT, STAGE, KIND, PROBES)


@triton.jit(do_not_specialize=["first_row", "step_count"])  # points that 16 divides: whole vectors are written
def packed_kernel(
    logits, points, first_row, given_label,
    a, b, labels, given_probability, exclude,
    given, constant, steps, levels, step_count, w0, w1, w2, w3, status,
    CLASSES: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, LEVELS: tl.constexpr, RUN: tl.constexpr,
    STAGE: tl.constexpr, KIND: tl.constexpr, PROBES: tl.constexpr,
):  # fmt: skip
    first = tl.program_id(0).to(tl.int64) * ROWS
    rows = first + tl.arange(0, ROWS)
    live = rows < points
    run = tl.arange(0, RUN)
    # A mask that depends on the number of points would make loads scalar: only the last program has one.
    if first + ROWS <= points:
        flat = tl.load(logits + first * CLASSES + run, mask=run < ROWS * CLASSES, other=0.0)
    else:
        flat = tl.load(logits + first * CLASSES + run, mask=run < (points - first) * CLASSES, other=0.0)
    # Columns first, rows last: neighbouring threads hold neighbouring rows, each thread the whole of its own.
    column, row = tl.arange(0, COLUMNS)[:, None], tl.arange(0, ROWS)[None, :]
    inside = column < CLASSES
    at = tl.where(inside, row * CLASSES + column, 0)
    z = tl.reshape(tl.gather(flat, tl.reshape(at, (COLUMNS * ROWS,)), 0), (COLUMNS, ROWS))
    if logits.dtype.element_ty != tl.float64:
        z = z.to(tl.float32)
    z = tl.where(inside, z, float("-inf"))
    scored = row_scores(z, tl.arange(0, COLUMNS)[:, None], 0, LEVELS)
    probability = scored[3]
    if given_label is not None:
        probability = probability_of(given_label, rows, live, logits, CLASSES, 1, scored[0], scored[2], CLASSES)
    out = (a, b, labels, given_probability, exclude)
    rule = (given, constant, steps, levels, step_count, w0, w1, w2, w3)
    write(scored, probability, rows, live, first_row, out, rule, status, STAGE == STUDENT, STAGE, KIND, PROBES)


@triton.jit(do_not_specialize=["value_even", "value_odd"])
def reset_kernel(status, value_even, value_odd, LENGTH: tl.constexpr):
    at = tl.arange(0, LENGTH)
    tl.store(status + at, tl.where(at % 2 == 0, value_even, value_odd))


# ---------------------------------------------------------------------------------------------------------- on the host


def score(logits: torch.Tensor, given: torch.Tensor | None = None, *, first_row: int = 0) -> Scores:
    """Margin, confidence and label of every row, and the probability of the label ``given`` (int32) for it."""
    check(logits, "logits")
    rows = len(logits)
    device = logits.device
    margin = torch.empty(rows, dtype=torch.float32, device=device)
    confidence, label = torch.empty_like(margin), torch.empty(rows, dtype=torch.int32, device=device)
    probability = None if given is None else torch.empty_like(margin)
    if given is not None:
        check_vector(given, "given", torch.int32, logits)
    status = new_status(device)
    out = (margin, confidence, label, probability, None)
    launch(logits, given, out, DeviceRule(Rule(), None, None), None, status, SCORES.value, first_row)
    return Scores(margin, confidence, label, probability, status)


def appraise(
    teacher: torch.Tensor,
    student: torch.Tensor | None = None,
    rule: Rule | DeviceRule | None = None,
    given: torch.Tensor | None = None,
    exclude: torch.Tensor | None = None,
    out: Points | None = None,
    *,
    first_row: int = 0,
) -> Points:
    """Gain, correctness and label of every point.

    ``given``: float32 correctness, for a rule of kind GIVEN. ``exclude``: a boolean mask of points whose gain becomes
    NaN, and whose rows are not counted where they are invalid. ``out``: where to write; its counts of invalid rows are
    added to, so that chunks can share them (``first_row``: the number of the chunk's first row).
    """
    check(teacher, "logits")
    rule = prepare(Rule() if rule is None else rule, teacher.device)
    kind = rule.rule.kind
    if student is not None:
        check(student, "student_logits")
        if len(student) != len(teacher) or student.device != teacher.device:
            raise ValueError(
                f"student_logits: expected {len(teacher)} rows on {teacher.device} as in logits, "
                f"got {len(student)} on {student.device}"
            )
    elif kind == Kind.LOGISTIC:
        raise ValueError("student_logits: this Calibrator was fitted on both models' logits; give the student's too")
    if kind == Kind.GIVEN:
        if given is None:
            raise ValueError("correctness: expected one number for each point, got none")
        check_vector(given, "correctness", torch.float32, teacher)
    if exclude is not None:
        check_vector(exclude, "exclude", torch.bool, teacher)
        exclude = exclude.view(torch.uint8)
    if out is None:
        gain = torch.empty(len(teacher), dtype=torch.float32, device=teacher.device)
        label = torch.empty(len(teacher), dtype=torch.int32, device=teacher.device)
        out = Points(gain, torch.empty_like(gain), label, new_status(teacher.device))
    arrays = (out.gain, out.correctness, out.label, None, exclude)
    if student is None:
        launch(teacher, None, arrays, rule, given, out.status, POINTS.value, first_row)
        return out
    launch(teacher, None, arrays, rule, given, out.status, TEACHER.value, first_row)
    gathered = out.label if kind == Kind.LOGISTIC else None
    launch(student, gathered, arrays, rule, None, out.status, STUDENT.value, first_row)
    return out


def prepare(rule: Rule | DeviceRule, device: torch.device) -> DeviceRule:
    """The rule with its step table copied to the device; done once, it keeps copies out of a graph's capture."""
    if isinstance(rule, DeviceRule):
        return rule
    if rule.kind != Kind.STEPS:
        return DeviceRule(rule, None, None)
    # At least one step, so that the table has an address; it is beyond every margin.
    steps = torch.tensor(rule.steps or (2.0,), dtype=torch.float32, device=device)
    return DeviceRule(rule, steps, torch.tensor(rule.levels, dtype=torch.float32, device=device))


def new_status(device: torch.device) -> torch.Tensor:
    """Counts of invalid rows, at zero: count and first row of the teacher's, then of the student's."""
    status = torch.empty(4, dtype=torch.int64, device=device)
    with on_device(status):
        reset_kernel[(1,)](status, 0, FIRST_UNSET, 4)
    return status


def invalid(status: torch.Tensor) -> tuple[Invalid, Invalid]:
    """The teacher's and the student's invalid rows. Waits for the device."""
    return invalid_of(status.tolist())


def invalid_of(status: list[int]) -> tuple[Invalid, Invalid]:
    count, first, student_count, student_first = status
    return Invalid(count, first if count else -1), Invalid(student_count, student_first if student_count else -1)


def check(logits: torch.Tensor, name: str) -> None:
    if logits.dim() != 2 or logits.shape[1] == 0:
        raise ValueError(f"{name}: expected a tensor of shape (points, classes), got shape {tuple(logits.shape)}")
    if logits.dtype not in DTYPES:
        raise TypeError(f"{name}: expected float64, float32, float16 or bfloat16, got {logits.dtype}")
    if not logits.is_cuda and not INTERPRETED:
        raise ValueError(f"{name}: expected a tensor on a CUDA device, got one on {logits.device}")


def check_vector(values: torch.Tensor, name: str, dtype: torch.dtype, logits: torch.Tensor) -> None:
    expected = (len(logits),)
    if tuple(values.shape) != expected or values.dtype != dtype or values.device != logits.device:
        raise ValueError(
            f"{name}: expected {dtype} of shape {expected} on {logits.device}, "
            f"got {values.dtype} of shape {tuple(values.shape)} on {values.device}"
        )
    if not values.is_contiguous():
        raise ValueError(f"{name}: expected a contiguous tensor, got stride {values.stride()}")


def launch(logits, given_label, out, rule: DeviceRule, given, status, stage: int, first_row: int) -> None:
    """Enqueue the kernel that suits the shape."""
    if not len(logits):
        return
    kernel, grid, arguments, options = plan(logits, given_label, out, rule, given, status, stage, first_row)
    with on_device(logits):
        kernel[grid](*arguments, **options, enable_fp_fusion=False)


def plan(logits, given_label, out, rule: DeviceRule, given, status, stage: int, first_row: int):
    """Which kernel, how many programs, with what arguments and options."""

    rows, classes = logits.shape
    row_stride, column_stride = logits.stride()
    table = rule.steps, rule.levels, 0 if rule.steps is None else len(rule.steps)
    constants = (given, float(rule.rule.constant), *table, *(float(w) for w in rule.rule.weights))
    probes = table[2].bit_length()
    tail = {"STAGE": stage, "KIND": int(rule.rule.kind), "PROBES": probes}
    columns = max(2, triton.next_power_of_2(classes))
    width = max(4, logits.element_size())  # of a number in a register
    if classes * width <= PACKED_BYTES and column_stride == 1 and row_stride == classes:
        block = min(512, max(128, 4096 // columns)) if not INTERPRETED else max(128, 65536 // columns)
        run = triton.next_power_of_2(block * classes)
        arguments = (logits, rows, first_row, given_label, *out, *constants, status)
        shape = {"CLASSES": classes, "ROWS": block, "COLUMNS": columns, "RUN": run}
        shape["LEVELS"] = columns.bit_length() - 1
        return packed_kernel, (triton.cdiv(rows, block),), arguments, {**shape, **tail, "num_warps": 4}
    multiple = vector_multiple(row_stride, logits.element_size())
    place = (logits, rows, row_stride // multiple, column_stride, first_row, given_label)
    arguments = (*place, *out, *constants, status)
    if classes * width <= TILE_BYTES:
        warps = max(1, columns * width // WARP_BYTES)
        block = max(1, (1 << 18 if INTERPRETED else WARP_BYTES // width) // columns)
        shape = {"CLASSES": classes, "ROW_MULTIPLE": multiple, "ROWS": block, "COLUMNS": columns}
        return tile_kernel, (triton.cdiv(rows, block),), arguments, {**shape, **tail, "num_warps": warps}
    shape = {"CLASSES": classes, "ROW_MULTIPLE": multiple, "BLOCK": 4096}
    return stream_kernel, (rows,), arguments, {**shape, **tail, "num_warps": 8}


def vector_multiple(row_stride: int, item: int) -> int:
    """The widest vector, in elements and up to 16 bytes, on which every row begins if the first does."""
    width = 16 // item
    while row_stride % width:
        width //= 2
    return width


def on_device(tensor: torch.Tensor):
    """Triton launches on the current device's current stream: make the tensor's device the current one."""
    return torch.cuda.device_of(tensor)
