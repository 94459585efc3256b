"""Which kernels serve an array in CUDA memory, and what every set of them can do.

There are two: Triton's (on_triton.py; torch and CuPy arrays) and the compiled ones (on_cuda.py; arrays of any library).
Both have the same stages. Chunks (``partial_fit``) and process groups score on the device too, but keep the 12 bytes a
point in host memory. A whole selection on the device is driven by rad_fast/game/on_device.py.
"""

from __future__ import annotations

import abc
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rad_fast import inputs
from rad_fast.inputs import is_cuda
from rad_fast.kernels.reference.game import Equilibrium
from rad_fast.kernels.reference.score import Invalid, Kind, Rule, empty_points

from . import arrays

Wrap = Callable[[Any], Any]
BLOCK_ELEMENTS = 16 << 20  # logits that come to host memory at a time
RuleOf = Callable[[Any, inputs.Matrix, "inputs.Matrix | None"], Rule]


def route(backend: str, logits: Any) -> Route:
    """The kernels that serve an array in CUDA memory: those asked for, or the first that are there and know it."""
    inputs.device_backend(backend)
    cupy = sys.modules.get("cupy")
    known = inputs.is_torch(logits) or (cupy is not None and isinstance(logits, cupy.ndarray))
    # By count (benchmarks/FACTS.md) the compiled kernels are as fast at scoring, and faster at the game and the sample.
    wanted = ("cuda", "triton") if known else ("cuda",)
    if backend != "auto":
        wanted = (backend,)
    reasons = []
    for name in wanted:
        try:
            module = importlib.import_module(f"rad_fast.device.on_{name}")
            served: Route = module.Kernels()
        except ImportError as error:
            reasons.append(f"{name}: {error}")
        else:
            return served
    raise inputs.no_kernels(type(logits), reasons, known)


class Task(NamedTuple):
    """What one scoring pass on the device is given."""

    teacher: inputs.Matrix
    student: inputs.Matrix | None
    rule: Rule
    given: Any  # float32 on the device, or None
    mask: Any  # truth values on the device, or None
    excluded: int | None  # None: the mask is on the device, and is counted there
    wrong: Any  # what ``Route.wrong`` looks at


class Stages(NamedTuple):
    """A backend's functions on the device, as kernels/triton and rad_fast.device.cuda have them under these names."""

    appraise: Any
    invalid: Any
    select: Any
    read: Any
    pool: Any
    sample: Any
    probabilities: Any


class Route(abc.ABC):
    """Kernels for CUDA memory, as ``Selector`` and ``Selection`` use them."""

    name: str
    stages: Stages

    # What a set of kernels knows of arrays:

    @abc.abstractmethod
    def matrix(self, name: str, value: Any, *, empty: bool) -> inputs.Matrix:
        """Checked logits on the device, and how to hand arrays of the device back in the library they came in."""

    @abc.abstractmethod
    def excluded(self, exclude: Any, teacher: inputs.Matrix) -> tuple[Any, int | None]:
        """The mask on the device, and how many are in it where that is known without waiting."""

    @abc.abstractmethod
    def given(self, correctness: Any, mask: Any, teacher: inputs.Matrix) -> tuple[Any, Any]:
        """Correctness as float32 on the device, and what ``wrong`` wants to know."""

    @abc.abstractmethod
    def wrong(self, asked: Task, points: Any) -> int:
        """How many given numbers are outside [0, 1]. Waits for the device where some were given there."""

    @abc.abstractmethod
    def marked(self, mask: Any) -> int:
        """How many points a mask on the device leaves out. Waits for it."""

    @abc.abstractmethod
    def valid(self, points: Any) -> int:
        """How many points have a gain. Waits for the device."""

    @abc.abstractmethod
    def on_host(self, array: Any) -> npt.NDArray[Any]:
        """A copy in host memory. Waits for the device."""

    @abc.abstractmethod
    def back(self, like: inputs.Matrix) -> Wrap:
        """How to hand NumPy arrays back where ``like`` is."""

    @abc.abstractmethod
    def weights(self, points: Any, indices: Any, equilibrium: Equilibrium) -> Any:
        """1 / inclusion probability of the selected points."""

    @abc.abstractmethod
    def current_stream(self, value: Any) -> AbstractContextManager[None]:
        """Work on the stream that is current in the library of ``value``."""

    # What is the same for both:

    def probabilities(self, gain: Any, correctness: Any, equilibrium: Equilibrium) -> Any:
        return self.stages.probabilities(gain, correctness, equilibrium)

    def task(
        self, rule_of: RuleOf, logits: Any, student_logits: Any, correctness: Any, exclude: Any, *, empty: bool = False
    ) -> Task:
        """Check the arguments without waiting for the device; ``empty``: whether there may be no rows."""
        refuse_capture()
        teacher, student = self.matrix("logits", logits, empty=empty), None
        if student_logits is not None:
            if not is_cuda(student_logits):
                raise ValueError(
                    "student_logits: expected an array on the same device as logits, got one in host memory"
                )
            student = self.matrix("student_logits", student_logits, empty=empty)
            inputs.same_rows(teacher, student)
            if student.data.device != teacher.data.device:
                raise ValueError(f"student_logits: expected device {teacher.data.device}, got {student.data.device}")
        mask, excluded = (None, 0) if exclude is None else self.excluded(exclude, teacher)
        rule, given, wrong = rule_of(correctness, teacher, student), None, None
        if rule.kind == Kind.GIVEN:
            given, wrong = self.given(correctness, mask, teacher)
        return Task(teacher, student, rule, given, mask, excluded, wrong)

    def scored(self, asked: Task, keep_invalid_out: bool, offset: int) -> tuple[Any, int, int]:
        """One chunk's points in host memory, how many of them are excluded and how many invalid."""
        if asked.teacher.rows == 0:
            return empty_points(0), 0, 0
        data = (asked.teacher.data, None if asked.student is None else asked.student.data)
        points = self.stages.appraise(*data, asked.rule, asked.given, asked.mask)
        if not keep_invalid_out:
            teacher, student = self.stages.invalid(points.status)
            refuse_invalid(asked, teacher, student, offset)
        inputs.refuse_correctness(self.wrong(asked, points))
        gain, correctness, label = (self.on_host(field) for field in points[:3])
        excluded = self.marked(asked.mask) if asked.excluded is None else asked.excluded
        return (gain, correctness, label), excluded, int(np.count_nonzero(np.isnan(gain))) - excluded


def refuse_invalid(asked: Task, teacher: Invalid, student: Invalid, offset: int = 0) -> None:
    for given, bad in ((asked.teacher, teacher), (asked.student, student)):
        if given is not None and bad.rows:
            raise inputs.invalid_rows(given.name, bad.rows, offset + bad.first)


def refuse_capture() -> None:
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
        raise RuntimeError(
            "select: cannot wait for the device while a CUDA graph is captured; inside a capture call "
            "rad_fast.kernels.triton.select.select, which leaves everything on the device"
        )


def host_blocks(
    logits: Any, student_logits: Any, gain: Any, correctness: Any, chosen: Any, exclude: Any
) -> Iterator[tuple[Any, ...]]:
    """What is given of points on a device, in blocks of rows that are small in host memory; the logits stay yet."""
    logits, student_logits = cut("logits", logits), cut("student_logits", student_logits)
    rows, classes = int(logits.shape[0]), int(logits.shape[1])
    if student_logits is not None and int(student_logits.shape[0]) != rows:
        raise ValueError(
            f"student_logits: expected a row for every row of logits, {rows}, got {int(student_logits.shape[0])}"
        )
    gain, correctness, chosen, exclude = (fetched(value) for value in (gain, correctness, chosen, exclude))
    masks = {
        "chosen": chosen if isinstance(chosen, Mapping) else inputs.exclude_mask(chosen, rows, "chosen"),
        "exclude": inputs.exclude_mask(exclude, rows),
    }

    def part_of(value: Any, part: slice) -> Any:
        return value[part] if getattr(value, "shape", None) == (rows,) else value

    step = max(1, BLOCK_ELEMENTS // max(1, classes))
    for begin in range(0, max(rows, 1), step):
        part = slice(begin, begin + step)
        before, out = (part_of(mask, part) for mask in masks.values())
        if begin and isinstance(before, Mapping):  # counted once
            before = None
        beside = None if student_logits is None else rows_of(student_logits, part)
        yield rows_of(logits, part), beside, part_of(gain, part), part_of(correctness, part), before, out


def cut(name: str, value: Any) -> Any:
    """An array that rows can be taken of: where its library offers none, the place where it lies."""
    if not is_cuda(value) or (hasattr(value, "__getitem__") and not isinstance(value, arrays.Memory)):
        return value
    return arrays.described(name, value)


def rows_of(value: Any, part: slice) -> Any:
    """Some rows of an array, not copied."""
    if not isinstance(value, arrays.CudaArray):
        return value[part]
    begin, end, _ = part.indices(value.shape[0])
    at = value.address + begin * value.strides[0] * arrays.BYTES[value.dtype]
    return value._replace(address=at, shape=(end - begin, *value.shape[1:]))


def fetched(value: Any) -> Any:
    """An array of any library in host memory; what lies there, or is no array, as it is. Waits for the device."""
    if isinstance(value, (arrays.Memory, arrays.CudaArray)):
        host: Any = arrays.on_host(arrays.described("array", value))
        if value.dtype == "bfloat16":  # its bits, for which NumPy has no name
            return (host.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return host
    if not is_cuda(value):
        return value
    if inputs.is_torch(value):
        return value.detach().cpu()
    for name in ("get", "copy_to_host"):  # CuPy, numba
        if hasattr(value, name):
            return getattr(value, name)()
    return np.asarray(value)
