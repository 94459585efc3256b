"""Scoring on the GPU: one read of the logits, 12 bytes a point written, 13 with the likeliest other class.

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

from functools import lru_cache
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl

from rad_fast.kernels.reference.score import OTHERS, Findings, Gain, Invalid, Kind, Rule

from .look import look
from .row import (
    AGREES,
    COUNTS,
    EXCLUDES,
    FIRST_LOOK,
    NOBODYS,
    NONE_BUT,
    OWN,
    POINTS,
    SCORES,
    STUDENT,
    TEACHER,
    TEACHERS,
    likeliest_other,
    probability_of,
    row_scores,
    write,
)
from .score_stream import SIZES, stream_kernel

INTERPRETED = bool(triton.knobs.runtime.interpret)
PACKED_BYTES = 512  # rows up to this long are held by one thread
TILE_BYTES = 65536  # rows up to this long (as float32, or as float64) are held by one program
WARP_BYTES = 4096  # what one warp holds of them: 32 registers a lane, room for as many more without spilling


FIRST_UNSET = 2**63 - 1

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


class Scores(NamedTuple):
    """Per row; ``status`` holds what was counted (see ``findings``)."""

    margin: torch.Tensor
    confidence: torch.Tensor
    label: torch.Tensor
    given_probability: torch.Tensor | None
    status: torch.Tensor


class Points(NamedTuple):
    """What selection keeps of each point; ``status`` as in Scores (see ``findings``)."""

    gain: torch.Tensor
    correctness: torch.Tensor
    label: torch.Tensor
    other: torch.Tensor | None  # uint8: the likeliest class but the label, where it was asked for
    status: torch.Tensor


class DeviceRule(NamedTuple):
    """A ``Rule`` with its step table on the device."""

    rule: Rule
    steps: torch.Tensor | None
    levels: torch.Tensor | None


class Inputs(NamedTuple):
    """What a pass reads beside the logits, one number a point."""

    label: torch.Tensor | None = None  # whose probability is wanted
    correctness: torch.Tensor | None = None  # or what neighbours agree on
    gain: torch.Tensor | None = None
    exclude: torch.Tensor | None = None  # uint8


class Outputs(NamedTuple):
    """What a pass writes: margin and confidence, or gain and correctness; label; what else was asked for."""

    a: torch.Tensor
    b: torch.Tensor
    label: torch.Tensor
    probability: torch.Tensor | None = None
    other: torch.Tensor | None = None


class Stage(NamedTuple):
    """Which pass it is, and the number of its first row."""

    stage: int
    first_row: int = 0
    beside: int = NOBODYS.value  # whose label the likeliest other class is not


# ----------------------------------------------------------------------------------------------------------- in kernels


@triton.jit(do_not_specialize=SIZES)
def tile_kernel(
    logits, points: tl.int64, class_units: tl.int32, row_units: tl.int64, column_stride: tl.int64, first_row: tl.int64,
    given_label, a, b, labels, given_probability, others, given, given_gain, exclude, asked: tl.int32,
    constant, steps, levels, step_count: tl.int32, w0, w1, w2, w3, agreement, lowest, highest, status,
    CLASS_MULTIPLE: tl.constexpr, ROW_MULTIPLE: tl.constexpr, DENSE: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    STAGE: tl.constexpr, KIND: tl.constexpr, OF_LABEL: tl.constexpr, BESIDE: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    live = rows < points
    columns = tl.arange(0, COLUMNS)
    # Classes and stride are passed as multiples of the vector's width: the compiler then knows that rows begin and end
    # on one.
    classes = class_units * CLASS_MULTIPLE
    row_stride = tl.cast(row_units, tl.int64) * ROW_MULTIPLE
    if DENSE:
        column_stride = 1
    where = logits + rows[:, None] * row_stride + columns[None, :].to(tl.int64) * column_stride
    z = tl.load(where, mask=live[:, None] & (columns < classes)[None, :], other=float("-inf"))
    if logits.dtype.element_ty != tl.float64:
        z = z.to(tl.float32)
    scored = row_scores(z, columns[None, :], 1, 0)
    other = likeliest_other(z, columns[None, :], scored, labels, rows, live, 1, BESIDE)
    probability = scored[3]
    if given_label is not None:
        probability = probability_of(
            given_label, rows, live, logits, row_stride, column_stride, scored[0], scored[2], classes
        )
    out = (a, b, labels, given_probability, others)
    rule = (constant, steps, levels, step_count, w0, w1, w2, w3, agreement, lowest, highest)
    write(
        scored, probability, other, rows, live, first_row, out, (given, given_gain, exclude, asked), rule, status,
        STAGE, KIND, OF_LABEL,
    )  # fmt: skip


@triton.jit
def packed_rows(
    logits, flat, rows, live, first_row, given_label, out, given, rule, status,
    CLASSES: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, LEVELS: tl.constexpr,
    STAGE: tl.constexpr, KIND: tl.constexpr, OF_LABEL: tl.constexpr, BESIDE: tl.constexpr,
):  # fmt: skip
    """Scores of rows that were loaded as one run."""
    # Columns first, rows last: neighbouring threads hold neighbouring rows, each thread the whole of its own.
    column, row = tl.arange(0, COLUMNS)[:, None], tl.arange(0, ROWS)[None, :]
    inside = column < CLASSES
    at = tl.where(inside, row * CLASSES + column, 0)
    z = tl.reshape(tl.gather(flat, tl.reshape(at, (COLUMNS * ROWS,)), 0), (COLUMNS, ROWS))
    if logits.dtype.element_ty != tl.float64:
        z = z.to(tl.float32)
    z = tl.where(inside, z, float("-inf"))
    scored = row_scores(z, column, 0, LEVELS)
    other = likeliest_other(z, column, scored, out[2], rows, live, 0, BESIDE)
    probability = scored[3]
    if given_label is not None:
        probability = probability_of(given_label, rows, live, logits, CLASSES, 1, scored[0], scored[2], CLASSES)
    write(scored, probability, other, rows, live, first_row, out, given, rule, status, STAGE, KIND, OF_LABEL)


@triton.jit(do_not_specialize=SIZES)
def packed_kernel(
    logits, points: tl.int64, first_row: tl.int64,
    given_label, a, b, labels, given_probability, others, given, given_gain, exclude, asked: tl.int32,
    constant, steps, levels, step_count: tl.int32, w0, w1, w2, w3, agreement, lowest, highest, status,
    CLASSES: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, LEVELS: tl.constexpr, RUN: tl.constexpr,
    STAGE: tl.constexpr, KIND: tl.constexpr, OF_LABEL: tl.constexpr, BESIDE: tl.constexpr,
):  # fmt: skip
    first = tl.program_id(0).to(tl.int64) * ROWS
    rows = first + tl.arange(0, ROWS)
    run = tl.arange(0, RUN)
    out = (a, b, labels, given_probability, others)
    beside = (given, given_gain, exclude, asked)
    rule = (constant, steps, levels, step_count, w0, w1, w2, w3, agreement, lowest, highest)
    # A mask that depends on the number of points would make loads and stores scalar: only the last program has one.
    if first + ROWS <= points:
        flat = tl.load(logits + first * CLASSES + run, mask=run < ROWS * CLASSES, other=0.0)
        packed_rows(
            logits, flat, rows, tl.full((ROWS,), 1, tl.int1), first_row, given_label, out, beside, rule, status,
            CLASSES, ROWS, COLUMNS, LEVELS, STAGE, KIND, OF_LABEL, BESIDE,
        )  # fmt: skip
    else:
        flat = tl.load(logits + first * CLASSES + run, mask=run < (points - first) * CLASSES, other=0.0)
        packed_rows(
            logits, flat, rows, rows < points, first_row, given_label, out, beside, rule, status,
            CLASSES, ROWS, COLUMNS, LEVELS, STAGE, KIND, OF_LABEL, BESIDE,
        )  # fmt: skip


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
    out = Outputs(margin, confidence, label, probability)
    launch(logits, Inputs(given), out, DeviceRule(Rule(), None, None), status, Stage(SCORES.value, first_row))
    return Scores(margin, confidence, label, probability, status)


def appraise(
    teacher: torch.Tensor,
    student: torch.Tensor | None = None,
    rule: Rule | DeviceRule | None = None,
    given: torch.Tensor | None = None,
    exclude: torch.Tensor | None = None,
    gains: torch.Tensor | None = None,
    out: Points | None = None,
    *,
    others: bool = False,
    first_row: int = 0,
) -> Points:
    """Gain, correctness and label of every point.

    ``given``: float32 correctness, for a rule of kind GIVEN, or agreement, for one that has learned from it. ``gains``:
    float32 gains in place of those of the rule. ``exclude``: a boolean mask of points whose gain becomes NaN, and whose
    rows are not counted where they are invalid. ``others``: each point's likeliest class but the label as well, of at
    most 256 classes. ``out``: where to write; its counts are added to, so that chunks can share them (``first_row``:
    the number of the chunk's first row).
    """
    check(teacher, "logits")
    rule = prepare(Rule() if rule is None else rule, teacher.device)
    kind, agrees = rule.rule.kind, rule.rule.agreement is not None
    if student is not None:
        check(student, "student_logits")
        if len(student) != len(teacher) or student.device != teacher.device:
            raise ValueError(
                f"student_logits: expected {len(teacher)} rows on {teacher.device} as in logits, "
                f"got {len(student)} on {student.device}"
            )
    elif kind == Kind.LOGISTIC and not agrees:
        raise ValueError("student_logits: this Calibrator was fitted on both models' logits; give the student's too")
    if kind == Kind.GIVEN or agrees:
        name = "agreement" if agrees else "correctness"
        if given is None:
            raise ValueError(f"{name}: expected one number for each point, got none")
        check_vector(given, name, torch.float32, teacher)
    if gains is not None:
        check_vector(gains, "gain", torch.float32, teacher)
    if exclude is not None:
        check_vector(exclude, "exclude", torch.bool, teacher)
        exclude = exclude.view(torch.uint8)
    if out is None:
        out = new_points(teacher, others)
        for place, logits in enumerate((teacher, student)):
            if logits is not None:
                look(logits, exclude, out.status, place)
    arrays = Outputs(out.gain, out.correctness, out.label, None, out.other)
    if out.other is not None:
        check_vector(out.other, "out.other", torch.uint8, teacher)
        if max(teacher.shape[1], 0 if student is None else student.shape[1]) > OTHERS:
            raise ValueError(f"others: it takes one byte, for at most {OTHERS} classes")
    whose = OWN if student is None else TEACHERS if student.shape[1] == teacher.shape[1] else NONE_BUT
    beside = NOBODYS.value if out.other is None else whose.value
    if student is None:
        mine = Inputs(None, given, gains, exclude)
        launch(teacher, mine, arrays, rule, out.status, Stage(POINTS.value, first_row, beside))
        return out
    bare = arrays._replace(other=None)
    launch(teacher, Inputs(None, given, None, exclude), bare, rule, out.status, Stage(TEACHER.value, first_row))
    of_label = rule.rule.gain == Gain.LABEL and gains is None
    gathered = out.label if kind == Kind.LOGISTIC or of_label else None
    mine = Inputs(gathered, given if agrees else None, gains, exclude)
    launch(student, mine, arrays, rule, out.status, Stage(STUDENT.value, first_row, beside))
    return out


def new_points(logits: torch.Tensor, others: bool) -> Points:
    rows, device = len(logits), logits.device
    gain = torch.empty(rows, dtype=torch.float32, device=device)
    label = torch.empty(rows, dtype=torch.int32, device=device)
    byte = torch.empty(rows, dtype=torch.uint8, device=device) if others else None
    return Points(gain, torch.empty_like(gain), label, byte, new_status(device))


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
    """Nothing counted yet."""
    return nothing(device).clone()


@lru_cache
def nothing(device: torch.device) -> torch.Tensor:
    """A fresh account, kept there: a copy of it is one launch, and no kernel to compile."""
    return torch.tensor([0, FIRST_UNSET] * (FIRST_LOOK // 2) + [0] * (COUNTS - FIRST_LOOK), device=device)


def findings(status: torch.Tensor) -> Findings:
    """What was counted. Waits for the device."""
    return findings_of(status.tolist())


def findings_of(status: list[int]) -> Findings:
    pairs = [Invalid(count, first if count else -1) for count, first in zip(status[:10:2], status[1:10:2], strict=True)]
    looks = status[FIRST_LOOK : FIRST_LOOK + 6]
    return Findings(*pairs[:4], max(pairs[0].rows, pairs[4].rows), (*looks[:3],), (*looks[3:],))


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


def launch(
    logits: torch.Tensor, given: Inputs, out: Outputs, rule: DeviceRule, status: torch.Tensor, stage: Stage
) -> None:
    """Enqueue the kernel that suits the shape."""
    if not len(logits):
        return
    kernel, grid, arguments, options = plan(logits, given, out, rule, status, stage)
    with on_device(logits):
        kernel[grid](*arguments, **options, enable_fp_fusion=False)


def plan(
    logits: torch.Tensor, given: Inputs, out: Outputs, rule: DeviceRule, status: torch.Tensor, stage: Stage
) -> tuple[Any, tuple[int, ...], tuple[Any, ...], dict[str, Any]]:
    """Which kernel, how many programs, with what arguments and options."""
    rows, classes = logits.shape
    row_stride, column_stride = logits.stride()
    steps = 0 if rule.steps is None else len(rule.steps)
    numbers = (*rule.rule.weights, rule.rule.agreement or 0.0, *rule.rule.bounds)
    constants = (float(rule.rule.constant), rule.steps, rule.levels, steps, *(float(number) for number in numbers))
    of_label = stage.stage == STUDENT.value and rule.rule.gain == Gain.LABEL and given.label is not None
    tail = {"STAGE": stage.stage, "KIND": int(rule.rule.kind), "OF_LABEL": of_label, "BESIDE": stage.beside}
    rest = (given.label, *out, *of_points(given, out, rule.rule), *constants, status)
    columns = max(2, triton.next_power_of_2(classes))
    width = max(4, logits.element_size())  # of a number in a register
    if classes * width <= PACKED_BYTES and column_stride == 1 and row_stride == classes:
        block = min(512, max(128, 4096 // columns)) if not INTERPRETED else max(128, 65536 // columns)
        run = triton.next_power_of_2(block * classes)
        shape = {"CLASSES": classes, "ROWS": block, "COLUMNS": columns, "RUN": run}
        shape["LEVELS"] = columns.bit_length() - 1
        arguments = (logits, rows, stage.first_row, *rest)
        return packed_kernel, (triton.cdiv(rows, block),), arguments, {**shape, **tail, "num_warps": 4}
    of_classes, of_rows = (vector_multiple(number, logits.element_size()) for number in (classes, row_stride))
    place = (row_stride // of_rows, column_stride, stage.first_row, *rest)
    shape = {"ROW_MULTIPLE": of_rows, "DENSE": column_stride == 1}
    if classes * width <= TILE_BYTES:
        warps = max(1, columns * width // WARP_BYTES)
        block = max(1, (1 << 18 if INTERPRETED else WARP_BYTES // width) // columns)
        shape |= {"CLASS_MULTIPLE": of_classes, "ROWS": block, "COLUMNS": columns}
        arguments = (logits, rows, classes // of_classes, *place)
        return tile_kernel, (triton.cdiv(rows, block),), arguments, {**shape, **tail, "num_warps": warps}
    shape |= {"CLASSES": classes, "BLOCK": 4096}  # with a number that is passed a row took a tenth more instructions
    return stream_kernel, (rows,), (logits, rows, *place), {**shape, **tail, "num_warps": 8}


def of_points(
    given: Inputs, out: Outputs, rule: Rule
) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor, int]:
    """Correctness or agreement, gains, exclusions, and which of them are there.

    In place of exclusions, or agreement, that there are not stands some array, which is not looked at: a call with them
    and one without share a kernel.
    """
    correctness, exclude, asked = given.correctness, given.exclude, 0
    if exclude is None:
        exclude = out.label.view(torch.uint8)
    else:
        asked += EXCLUDES.value
    if rule.kind == Kind.LOGISTIC and correctness is None:
        correctness = out.a
    elif rule.kind == Kind.LOGISTIC:
        asked += AGREES.value
    return correctness, given.gain, exclude, asked


def vector_multiple(length: int, item: int) -> int:
    """The widest vector, in elements and up to 16 bytes, of which a length is a multiple."""
    width = 16 // item
    while length % width:
        width //= 2
    return width


def on_device(tensor: torch.Tensor):
    """Triton launches on the current device's current stream: make the tensor's device the current one."""
    return torch.cuda.device_of(tensor)
