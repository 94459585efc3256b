"""Which kernels serve an array in CUDA memory, and what every set of them can do.

There are two: Triton's (on_triton.py; torch and CuPy arrays) and the compiled ones (on_cuda.py; arrays of any library).
Both have the same stages, and on_triton_cuda.py takes some of each. Chunks (``partial_fit``) and process groups score
on the device too, but keep the 13 bytes a point in host memory. A whole selection on the device is driven by
rad_fast/game/on_device.py.
"""

from __future__ import annotations

import abc
import importlib
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rad_fast import inputs
from rad_fast.inputs import is_cuda
from rad_fast.inputs.typed import Given
from rad_fast.kernels.reference.game import Equilibria, Equilibrium
from rad_fast.kernels.reference.sample import others_of
from rad_fast.kernels.reference.score import Findings, Kind, Points, Rule, empty_points

from .backends import backend

Wrap = Callable[[Any], Any]
RuleOf = Callable[[Any, inputs.Matrix, "inputs.Matrix | None"], Rule]
Mask = npt.NDArray[np.bool_]
INDEXED = ("torch", "cupy", "jax", "jaxlib")  # libraries whose arrays take an array of indices


def route(asked: str, logits: Any) -> Route:
    """The kernels that serve an array in CUDA memory: those asked for, or the first that are there and know it."""
    inputs.device_backend(asked)
    cupy = sys.modules.get("cupy")
    known = inputs.is_torch(logits) or (cupy is not None and isinstance(logits, cupy.ndarray))
    # On an H200 (docs/facts.md) no selection was faster by Triton's kernels, or by its scores and the compiled game.
    wanted = ("cuda", "triton") if known else ("cuda",)
    if asked != "auto":
        wanted = (asked,)
    reasons = []
    for name in wanted:
        try:
            served: Route = module_of(name).Kernels()
        except ImportError as error:
            reasons.append(f"{name}: {error}")
        else:
            return served
    raise inputs.no_kernels(type(logits), reasons, known)


def module_of(name: str) -> Any:
    """The module of a backend for arrays in CUDA memory, imported on first use."""
    place = f"rad_fast.device.on_{name.replace('+', '_')}"
    return sys.modules.get(place) or importlib.import_module(place)


class Seen(NamedTuple):
    """An array in CUDA memory as a set of kernels takes it."""

    data: Any
    dtype: str
    shape: tuple[int, ...]
    device: Any
    wrap: Wrap  # arrays of the kernels in the library it came in


class Masks(NamedTuple):
    """Points that do not play."""

    out: Any  # truth values on the device, or None
    chosen: Any  # those of them that were selected before
    host: Mask | None  # ``out`` in host memory, where it is known there
    number: int | None  # None: the device counts them


ALL_PLAY = Masks(None, None, None, 0)


class Task(NamedTuple):
    """What one scoring pass on the device is given."""

    teacher: inputs.Matrix
    student: inputs.Matrix | None
    rule: Rule
    given: Any  # correctness, or what neighbours agree on: float32 on the device, or None
    gains: Any  # given gains, float32 on the device, or None
    masks: Masks
    elsewhere: npt.NDArray[np.int64] | None  # how many points of each class were selected before, of others than these

    @property
    def others(self) -> int:
        """How many keys the sample's order has for each label."""
        return others_of(self.teacher.classes, (self.student or self.teacher).classes)


class Chunk(NamedTuple):
    """A scored chunk, in host memory."""

    points: Points
    excluded: int
    invalid: int
    before: npt.NDArray[np.int64] | None  # how many of each class were selected before
    seen: tuple[inputs.Seen, inputs.Seen]  # of the teacher's rows and the student's


class Stages(NamedTuple):
    """A backend's functions on the device, as kernels/triton and rad_fast.device.cuda have them under these names.

    ``appraise(teacher, student, rule, given, exclude, gains, *, others)``: points of gain, correctness, label, other
    (None where it is not asked for) and status. ``findings(status)``: what was counted. ``select(teacher, budget,
    running, mistakes, mistakes_each, student, rule, given, exclude, gains)``: one game, not waited for; ``read`` waits.

    With quotas ``tally(points, classes, chosen)`` waits, and says what was found, how many points of each class play
    and how many of these have a positive effective gain (2, classes), and how many ``chosen`` has of each.
    ``appraise_by_class(teacher, student, rule, given, exclude, gains, *, others, chosen)`` does both: the points, these
    three, and how many points play in all.
    ``select_by_class(points, counts, quotas, mistakes, others, running, budget)`` is not waited for;
    ``read_by_class`` waits: equilibria, which classes are settled, how many indices were passed.
    ``sample_by_class(points, equilibria, others, running, budget)`` and ``class_probabilities(points, equilibria)``
    are given the equilibria by the host.
    """

    appraise: Any
    findings: Any
    select: Any
    read: Any
    pool: Any
    sample: Any
    probabilities: Any
    appraise_by_class: Any
    tally: Any
    select_by_class: Any
    read_by_class: Any
    sample_by_class: Any
    class_probabilities: Any


class Route(abc.ABC):
    """Kernels for CUDA memory, as ``Selector`` and ``Selection`` use them: their stages, and how they see arrays."""

    name: str
    stages: Stages

    # What a set of kernels knows of arrays:

    @abc.abstractmethod
    def seen(self, name: str, value: Any, like: inputs.Matrix | None = None) -> Seen:
        """An array on the device; with ``like``, one that work on the stream of ``like`` may read."""

    @abc.abstractmethod
    def contiguous(self, data: Any) -> bool:
        """Whether the elements of what ``seen`` took lie one behind the other."""

    @abc.abstractmethod
    def moved(self, array: npt.NDArray[Any], like: Any) -> Any:
        """A copy of a host array where ``like`` is, an array of these kernels."""

    @abc.abstractmethod
    def on_host(self, array: Any) -> npt.NDArray[Any]:
        """A copy in host memory, bfloat16 as float32. Waits for the device."""

    @abc.abstractmethod
    def current_stream(self, value: Any) -> AbstractContextManager[None]:
        """Work on the stream that is current in the library of ``value``."""

    # What is the same for both:

    def matrix(self, name: str, value: Any, *, empty: bool, like: inputs.Matrix | None = None) -> inputs.Matrix:
        """Checked logits on the device, and how to hand arrays of the device back in the library they came in."""
        seen = self.seen(name, value, like)
        inputs.check_logits(name, seen.dtype, seen.shape, empty=empty)
        return inputs.Matrix(name, seen.data, seen.dtype, seen.wrap)

    def task(
        self,
        rule_of: RuleOf,
        of_points: Given,
        *,
        empty: bool = False,
    ) -> Task:
        """Check the arguments without waiting for the device; ``empty``: whether there may be no rows."""
        refuse_capture()
        logits, student_logits, gain, correctness, chosen, exclude, agreement = of_points
        teacher, student = self.matrix("logits", logits, empty=empty), None
        if student_logits is not None:
            if not is_cuda(student_logits):
                raise ValueError(
                    "student_logits: expected an array on the same device as logits, got one in host memory"
                )
            student = self.matrix("student_logits", student_logits, empty=empty, like=teacher)
            inputs.same_rows(teacher, student)
            there, mine = (getattr(matrix.data, "device", None) for matrix in (student, teacher))
            if there != mine:
                raise ValueError(f"student_logits: expected device {mine}, got {there}")
        elsewhere = None
        if chosen is not None and isinstance(chosen, Mapping):
            chosen, elsewhere = inputs.chosen(chosen, teacher.rows, teacher.classes)
        masks = self.masks(exclude, chosen, teacher)
        rule, computed = rule_of(correctness, teacher, student), inputs.gain_of(gain, teacher, student)
        if rule.gain != computed:
            rule = rule._replace(gain=computed)
        given = None
        inputs.agreement_of(agreement, correctness)
        if rule.kind == Kind.GIVEN:
            given = self.numbers("correctness", correctness, teacher, masks)
        elif agreement is not None:
            given = self.numbers("agreement", agreement, teacher, masks)
        gains = None if isinstance(gain, str) else self.numbers("gain", gain, teacher, masks)
        return Task(teacher, student, rule, given, gains, masks, elsewhere)

    def masks(self, exclude: Any, chosen: Any, teacher: inputs.Matrix) -> Masks:
        """What is left out, on the device. Waits for it where indices, or one of two masks, are given there."""
        if exclude is None and chosen is None:
            return ALL_PLAY
        out, host = self.mask("exclude", exclude, teacher)
        before, host_before = self.mask("chosen", chosen, teacher)
        if before is None or out is None:
            both, known = (out, host) if before is None else (before, host_before)
        else:
            given = ((out, host), (before, host_before))
            parts = [self.on_host(there).astype(bool) if here is None else here for there, here in given]
            known = parts[0] | parts[1]
            both = self.moved(known, teacher.data)
        count = 0 if both is None else None
        return Masks(both, before, known, count if known is None else int(np.count_nonzero(known)))

    def mask(self, name: str, value: Any, teacher: inputs.Matrix) -> tuple[Any, Mask | None]:
        """A mask on the device, and in host memory where it was made there."""
        if is_cuda(value):
            seen = self.seen(name, value, teacher)
            if seen.dtype == "bool":
                inputs.check_mask(seen.shape, teacher.rows, name)
                if self.plain(seen, "bool", teacher):
                    return seen.data, None
            value = self.on_host(seen.data)
        host = inputs.exclude_mask(value, teacher.rows, name)
        return None if host is None else self.moved(host, teacher.data), host

    def numbers(self, name: str, value: Any, teacher: inputs.Matrix, masks: Masks) -> Any:
        """Correctness, gains or agreement as float32 on the device; what is given so there the kernels check."""
        check, checked = {
            "correctness": (inputs.check_correctness, inputs.correctness_array),
            "gain": (inputs.check_gain, inputs.gain_array),
            "agreement": (inputs.check_agreement, inputs.agreement_array),
        }[name]
        if is_cuda(value):
            seen = self.seen(name, value, teacher)
            check(seen.dtype, seen.shape, teacher.rows)
            if self.plain(seen, "float32", teacher):
                return seen.data
            value = self.on_host(seen.data)
        mask = masks.host
        if mask is None and masks.out is not None:
            mask = self.on_host(masks.out)
        host = checked(value, teacher.rows, mask)
        return None if host is None else self.moved(host, teacher.data)

    def plain(self, seen: Seen, dtype: str, teacher: inputs.Matrix) -> bool:
        """Whether kernels can read an array as it is."""
        there: Any = teacher.data
        return seen.dtype == dtype and self.contiguous(seen.data) and bool(seen.device == there.device)

    def appraised(self, asked: Task, *, others: bool = False) -> Any:
        """The points of a task, on the device."""
        return self.stages.appraise(*self.scoring(asked), others=others)

    def scoring(self, asked: Task) -> tuple[Any, ...]:
        """What a scoring pass takes, in the order in which it does."""
        student = None if asked.student is None else asked.student.data
        return asked.teacher.data, student, asked.rule, asked.given, asked.masks.out, asked.gains

    def findings(self, points: Any) -> Findings:
        """What a scoring pass has counted. Waits for the device."""
        found: Findings = self.stages.findings(points.status)
        return found

    def scored(self, asked: Task, keep_invalid_out: bool, offset: int, *, others: bool) -> Chunk:
        """One chunk's points in host memory; ``others``: with their likeliest other class."""
        if asked.teacher.rows == 0:
            return Chunk(empty_points(0, others), 0, 0, asked.elsewhere, (inputs.Seen(), inputs.Seen()))
        there = self.appraised(asked, others=others)
        found = self.findings(there)
        refuse(asked, found, keep_invalid_out, offset)
        points = self.points_on_host(there)
        left_out = int(np.count_nonzero(np.isnan(points.gain)))
        excluded = left_out - found.left_out if asked.masks.number is None else asked.masks.number
        chosen = asked.elsewhere
        if asked.masks.chosen is not None:
            label = points.label[self.on_host(asked.masks.chosen).astype(bool)]
            chosen = np.bincount(label[label >= 0], minlength=asked.teacher.classes)
        return Chunk(points, excluded, left_out - excluded, chosen, looked_at(found))

    def points_on_host(self, points: Any) -> Points:
        """Points with NumPy's arrays. Waits for the device."""
        other = None if points.other is None else self.on_host(points.other)
        return Points(self.on_host(points.gain), self.on_host(points.correctness), self.on_host(points.label), other)

    def back(self, like: inputs.Matrix) -> Wrap:
        """How to hand NumPy arrays back where ``like`` is."""
        return lambda array: like.wrap(self.moved(array, like.data))

    def weights(self, points: Any, at: Any, answer: Equilibrium | Equilibria) -> Any:
        """1 / inclusion probability of the points of some indices."""
        indexed = type(at).__module__.partition(".")[0] in INDEXED
        here = None if indexed else self.on_host(at)
        fields = (points.gain, points.correctness, points.label)
        picked = Points(*(self.on_host(field[at]) if indexed else self.on_host(field)[here] for field in fields))
        host = backend("auto")
        if isinstance(answer, Equilibria):
            return self.moved(1.0 / host.class_probabilities(picked, answer), at)
        return self.moved(1.0 / host.probabilities(picked.gain, picked.correctness, answer), at)

    def probabilities(self, gain: Any, correctness: Any, equilibrium: Equilibrium) -> Any:
        return self.stages.probabilities(gain, correctness, equilibrium)

    def class_probabilities(self, points: Any, equilibria: Equilibria) -> Any:
        return self.stages.class_probabilities(points, equilibria)


def refuse(asked: Task, found: Findings, keep_invalid_out: bool, offset: int = 0) -> None:
    """Raise for what a scoring pass has found wrong."""
    if not (found.teacher.rows or found.student.rows or found.given.rows or found.gain.rows):
        return
    for given, bad in ((asked.teacher, found.teacher), (asked.student, found.student)):
        if given is not None and bad.rows and not keep_invalid_out:
            raise inputs.invalid_rows(given.name, bad.rows, offset + bad.first)
    name = "correctness" if asked.rule.kind == Kind.GIVEN else "agreement"
    inputs.refuse_numbers(name, found.given.rows, offset + found.given.first)
    inputs.refuse_numbers("gain", found.gain.rows, offset + found.gain.first)


def looked_at(found: Findings) -> tuple[inputs.Seen, inputs.Seen]:
    """What some rows of the teacher and the student look like."""
    rows = (found.teacher_rows, found.student_rows)
    of_teacher, of_student = (inputs.Seen(alike, fractions, others > 0) for alike, fractions, others in rows)
    return of_teacher, of_student


def refuse_probabilities(found: Findings) -> None:
    """Raise where a whole array of logits are probabilities."""
    if not found.teacher_rows[0] and not found.student_rows[0]:
        return
    for name, seen in zip(("logits", "student_logits"), looked_at(found), strict=True):
        inputs.refuse_all_probabilities(name, [seen])


def refuse_capture() -> None:
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing():
        raise RuntimeError(
            "select: cannot wait for the device while a CUDA graph is captured; inside a capture call "
            "rad_fast.kernels.triton.select.select, which leaves everything on the device"
        )
