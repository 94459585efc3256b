"""torch and CuPy arrays in CUDA memory, served by Triton's kernels.

torch tensors are taken as they are, CuPy arrays over DLPack, both on the stream that is current in their library.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from rad_fast import inputs
from rad_fast.kernels.reference.score import Findings
from rad_fast.kernels.triton import game, sample, score, select

from .route import Masks, Route, Seen, Stages


class Points(NamedTuple):
    """What the scoring pass leaves on the device."""

    gain: torch.Tensor
    correctness: torch.Tensor
    label: torch.Tensor
    other: torch.Tensor | None
    status: torch.Tensor


class Account(NamedTuple):
    """What the host needs to know of a selection."""

    findings: Findings
    valid: int
    outcome: str
    equilibrium: Any


def appraise(teacher: Any, student: Any, rule: Any, given: Any, exclude: Any, gains: Any, *, others: bool) -> Points:
    gain, correctness, label, status = score.appraise(teacher, student, rule, given, exclude)
    return Points(gain, correctness, label, None, status)


def findings(status: torch.Tensor) -> Findings:
    return Findings(*score.invalid(status))


def selected(
    teacher: Any, budget: int, running: int, mistakes: float, each: float,
    student: Any, rule: Any, given: Any, exclude: Any, gains: Any,
) -> Any:  # fmt: skip
    return select.select(teacher, budget, running, mistakes, each, student, rule, given, exclude)


def read(chosen: Any) -> Account:
    account = select.read(chosen)
    return Account(Findings(account.teacher, account.student), account.valid, account.outcome, account.equilibrium)


class Kernels(Route):
    """The Triton backend."""

    name = "triton"
    stages = Stages(appraise, findings, selected, read, game.DevicePool, sample.sample, game.probabilities)
    whole = False

    def seen(self, name: str, value: Any, like: inputs.Matrix | None = None) -> Seen:
        tensor, wrap = value.detach() if inputs.is_torch(value) else value, inputs.same
        cupy: Any = sys.modules.get("cupy")
        if cupy is not None and isinstance(value, cupy.ndarray):
            tensor, wrap = torch.utils.dlpack.from_dlpack(value), cupy.from_dlpack
        if not inputs.is_torch(tensor):
            raise TypeError(
                f"{name}: expected a torch or CuPy array on the device, got {type(value).__name__}; see "
                "torch.from_dlpack"
            )
        dtype = str(tensor.dtype).removeprefix("torch.")
        return Seen(tensor, dtype, tuple(tensor.shape), tensor.device, tensor.is_contiguous(), wrap)

    def masks(self, exclude: Any, chosen: Any, teacher: inputs.Matrix) -> Masks:
        """The scoring pass does not count what is excluded."""
        found = super().masks(exclude, chosen, teacher)
        return found._replace(number=int(found.out.sum())) if found.number is None else found

    def numbers(self, name: str, value: Any, teacher: inputs.Matrix, masks: Masks) -> Any:
        """The scoring pass does not check what is given."""
        given = super().numbers(name, value, teacher, masks)
        if given is not None and inputs.is_cuda(value):
            outside = ~((given >= 0) & (given <= 1))
            wrong = (outside if masks.out is None else outside & ~masks.out).nonzero()
            inputs.refuse_numbers(name, len(wrong), int(wrong[0]) if len(wrong) else -1)
        return given

    def moved(self, array: npt.NDArray[Any], like: Any) -> Any:
        return torch.from_numpy(np.ascontiguousarray(array)).to(like.device)

    def on_host(self, array: Any) -> npt.NDArray[Any]:
        host: npt.NDArray[Any] = (array.float() if array.dtype == torch.bfloat16 else array).cpu().numpy()
        return host

    @contextlib.contextmanager
    def current_stream(self, value: Any) -> Iterator[None]:
        cupy: Any = sys.modules.get("cupy")
        if cupy is None or inputs.is_torch(value):
            yield
            return
        with value.device:
            handle = cupy.cuda.get_current_stream().ptr
            # Of 0, the default stream, ExternalStream would make a new one.
            stream: Any = torch.cuda.ExternalStream(handle) if handle else torch.cuda.default_stream()
            with torch.cuda.stream(stream):
                yield
