"""Selection from arrays in CUDA memory: scored, solved and sampled there, and waited for once.

torch tensors are taken as they are, CuPy arrays over DLPack, both on the stream that is current in their library.
Chunks (``partial_fit``) and process groups score on the device too, but keep the 12 bytes a point in host memory.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import inputs
from .game import on_grid, solve
from .kernels.reference.game import Equilibrium
from .kernels.reference.sample import start
from .kernels.reference.score import Invalid, Kind, Rule

Wrap = Callable[[Any], Any]


def is_on_device(value: Any) -> bool:
    """Whether an array lies in CUDA memory."""
    if inputs.is_torch(value):
        return bool(value.is_cuda)
    return not isinstance(value, np.ndarray) and hasattr(value, "__cuda_array_interface__")


class Kernels:
    """The Triton backend's stages, as ``Selection`` and the routes below use them."""

    name = "triton"

    def __init__(self) -> None:
        try:
            self.select: Any = importlib.import_module("rad_fast.kernels.triton.select")
        except ImportError as error:
            raise ValueError(f"logits: an array on a CUDA device needs torch and Triton: {inputs.NO_TRITON}") from error
        self.game: Any = importlib.import_module("rad_fast.kernels.triton.game")
        self.score: Any = importlib.import_module("rad_fast.kernels.triton.score")
        self.sample: Any = importlib.import_module("rad_fast.kernels.triton.sample")
        self.torch: Any = importlib.import_module("torch")

    def probabilities(self, gain: Any, correctness: Any, equilibrium: Equilibrium) -> Any:
        return self.game.probabilities(gain, correctness, equilibrium)


def matrix(kernels: Kernels, name: str, value: Any) -> inputs.Matrix:
    """Checked logits on the device, as a torch tensor, and how to hand arrays back in the library they came in."""
    tensor, wrap = tensor_of(kernels, name, value)
    dtype = str(tensor.dtype).removeprefix("torch.")
    inputs.check_logits(name, dtype, tuple(tensor.shape), empty=False)
    return inputs.Matrix(name, tensor.detach(), dtype, wrap)


def tensor_of(kernels: Kernels, name: str, value: Any) -> tuple[Any, Wrap]:
    if inputs.is_torch(value):
        return value, inputs.same
    cupy = sys.modules.get("cupy")
    if cupy is not None and isinstance(value, cupy.ndarray):
        return kernels.torch.from_dlpack(value), cupy.from_dlpack
    raise TypeError(
        f"{name}: expected a torch or CuPy array on the device, got {type(value).__name__}; see torch.from_dlpack"
    )


@contextlib.contextmanager
def current_stream(kernels: Kernels, value: Any) -> Iterator[None]:
    """Work on the stream that is current in the library of ``value``."""
    cupy = sys.modules.get("cupy")
    if cupy is None or inputs.is_torch(value):
        yield
        return
    with value.device:
        stream = kernels.torch.cuda.ExternalStream(cupy.cuda.get_current_stream().ptr)
        with kernels.torch.cuda.stream(stream):
            yield


class Task(NamedTuple):
    """What one scoring pass on the device is given."""

    teacher: inputs.Matrix
    student: inputs.Matrix | None
    rule: Rule
    given: Any  # float32 tensor, or None
    mask: Any  # boolean tensor, or None
    excluded: int | None  # None: the mask is on the device, and is counted there
    wrong: Any  # a count on the device of given numbers outside [0, 1], or None


def task(
    kernels: Kernels,
    rule_of: Callable[[Any, inputs.Matrix, inputs.Matrix | None], Rule],
    logits: Any,
    student_logits: Any,
    correctness: Any,
    exclude: Any,
) -> Task:
    """Check the arguments without waiting for the device."""
    if kernels.torch.cuda.is_available() and kernels.torch.cuda.is_current_stream_capturing():
        raise RuntimeError(
            "select: cannot wait for the device while a CUDA graph is captured; inside a capture call "
            "rad_fast.kernels.triton.select.select, which leaves everything on the device"
        )
    teacher = matrix(kernels, "logits", logits)
    student = None
    if student_logits is not None:
        if not is_on_device(student_logits):
            raise ValueError("student_logits: expected an array on the same device as logits, got one in host memory")
        student = matrix(kernels, "student_logits", student_logits)
        inputs.same_rows(teacher, student)
        if student.data.device != teacher.data.device:
            raise ValueError(f"student_logits: expected device {teacher.data.device}, got {student.data.device}")
    device, torch = teacher.data.device, kernels.torch
    mask, excluded = None, None if is_on_device(exclude) else 0
    if is_on_device(exclude):
        mask, _ = tensor_of(kernels, "exclude", exclude)
        mask = mask_on_device(torch, mask, teacher.rows)
    elif exclude is not None:
        host = inputs.exclude_mask(exclude, teacher.rows)
        if host is not None:
            mask, excluded = torch.from_numpy(np.ascontiguousarray(host)).to(device), int(np.count_nonzero(host))
    rule, given, wrong = rule_of(correctness, teacher, student), None, None
    if rule.kind == Kind.GIVEN:
        if is_on_device(correctness):
            given, _ = tensor_of(kernels, "correctness", correctness)
            inputs.check_correctness(str(given.dtype).removeprefix("torch."), tuple(given.shape), teacher.rows)
            given = given.to(device=device, dtype=torch.float32).contiguous()
            outside = ~((given >= 0) & (given <= 1))
            wrong = (outside if mask is None else outside & ~mask).sum()
        else:
            host_mask = None if mask is None else mask.cpu().numpy()
            given = torch.from_numpy(inputs.correctness_array(correctness, teacher.rows, host_mask)).to(device)
    return Task(teacher, student, rule, given, mask, excluded, wrong)


def mask_on_device(torch: Any, value: Any, rows: int) -> Any:
    """A boolean mask from a mask or from indices; those out of range stop the device, as in torch's own indexing."""
    if value.dtype == torch.bool:
        if tuple(value.shape) != (rows,):
            raise ValueError(f"exclude: expected a mask of {rows} points, got shape {tuple(value.shape)}")
        return value.contiguous()
    if value.dim() != 1 or value.dtype.is_floating_point or value.dtype.is_complex:
        raise TypeError(
            f"exclude: expected a boolean mask of shape ({rows},) or an array of indices, "
            f"got dtype {value.dtype} and shape {tuple(value.shape)}"
        )
    mask = torch.zeros(rows, dtype=torch.bool, device=value.device)
    return mask.index_fill_(0, value.to(torch.int64), True)


class Outcome(NamedTuple):
    """A finished selection on the device."""

    indices: Any
    points: Any
    answer: Equilibrium
    budget: int
    mistakes: float
    excluded: int
    invalid: int


def select(
    kernels: Kernels,
    asked: Task,
    budget: int | float,
    rate: tuple[float, float],
    seed: int,
    keep_invalid_out: bool,
) -> Outcome:
    """The whole selection; ``rate`` is the mistakes: a count, and a number for each point that can be selected."""
    torch, rows = kernels.torch, asked.teacher.rows
    counted = isinstance(budget, (int, np.integer))
    excluded = asked.excluded
    if excluded is None:  # a fraction is of the points that are left; a count that is too large shows in the outcome
        excluded = 0 if counted else int(asked.mask.sum())
    data = (asked.teacher.data, None if asked.student is None else asked.student.data)
    certain = counted or not keep_invalid_out
    if certain:
        count = inputs.budget(budget, rows, excluded)
    else:  # a fraction of the points that are valid: they have to be counted first
        points = kernels.score.appraise(*data, asked.rule, asked.given, asked.mask)
        bad = int(torch.isnan(points.gain).sum()) - excluded
        count = inputs.budget(budget, rows, excluded + bad)
    running = start(seed, count, rows)
    chosen = kernels.select.select(data[0], count, running, *rate, data[1], asked.rule, asked.given, asked.mask)
    account = kernels.select.read(chosen)
    if not keep_invalid_out:
        refuse_invalid(asked, account.teacher, account.student)
    if asked.wrong is not None and int(asked.wrong):
        raise ValueError(f"correctness: expected numbers in [0, 1], {int(asked.wrong)} are not")
    points, valid, answer, indices = chosen.points, account.valid, account.equilibrium, chosen.indices
    if answer is None:  # too few points are valid, or the search on the device did not settle: the host drives it
        valid = rows - int(torch.isnan(points.gain).sum())
        if valid == 0:
            raise inputs.none_valid("logits")
        inputs.budget(budget, rows, rows - valid)
        pool = kernels.game.DevicePool(points.gain, points.correctness)
        answer = solve(pool, count, on_grid(rate[0] + rate[1] * valid))
        indices = kernels.sample.sample(points.gain, points.correctness, answer, running, count)
    if asked.excluded is None:
        excluded = int(asked.mask.sum())
    mistakes = rate[0] + rate[1] * valid
    return Outcome(indices, points, answer, count, mistakes, excluded, rows - excluded - valid)


def refuse_invalid(asked: Task, teacher: Invalid, student: Invalid, offset: int = 0) -> None:
    for given, bad in ((asked.teacher, teacher), (asked.student, student)):
        if given is not None and bad.rows:
            raise inputs.invalid_rows(given.name, bad.rows, offset + bad.first)


def scored(kernels: Kernels, asked: Task, keep_invalid_out: bool, offset: int) -> tuple[Any, int, int]:
    """One chunk's points in host memory, how many of them are excluded and how many invalid."""
    data = (asked.teacher.data, None if asked.student is None else asked.student.data)
    points = kernels.score.appraise(*data, asked.rule, asked.given, asked.mask)
    if not keep_invalid_out:
        teacher, student = kernels.score.invalid(points.status)
        refuse_invalid(asked, teacher, student, offset)
    if asked.wrong is not None and int(asked.wrong):
        raise ValueError(f"correctness: expected numbers in [0, 1], {int(asked.wrong)} are not")
    gain, correctness, label = (field.cpu().numpy() for field in points[:3])
    excluded = int(asked.mask.sum()) if asked.excluded is None else asked.excluded
    return (gain, correctness, label), excluded, int(np.count_nonzero(np.isnan(gain))) - excluded


def to_device(like: Any, wrap: Wrap) -> Wrap:
    """How to hand NumPy arrays back on the device of ``like``."""

    def back(array: npt.NDArray[Any]) -> Any:
        torch = importlib.import_module("torch")
        return wrap(torch.from_numpy(array).to(like))

    return back
