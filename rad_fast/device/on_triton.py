"""torch and CuPy arrays in CUDA memory, served by Triton's kernels.

torch tensors are taken as they are, CuPy arrays over DLPack, both on the stream that is current in their library.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rad_fast import inputs
from rad_fast.kernels.reference.game import Equilibrium
from rad_fast.kernels.triton import game, sample, score, select

from .route import Route, Stages, Task, Wrap


class Kernels(Route):
    """The Triton backend."""

    name = "triton"
    stages = Stages(
        score.appraise, score.invalid, select.select, select.read, game.DevicePool, sample.sample, game.probabilities
    )

    def matrix(self, name: str, value: Any, *, empty: bool) -> inputs.Matrix:
        tensor, wrap = tensor_of(name, value)
        dtype = str(tensor.dtype).removeprefix("torch.")
        inputs.check_logits(name, dtype, tuple(tensor.shape), empty=empty)
        data: Any = tensor.detach()
        return inputs.Matrix(name, data, dtype, wrap)

    def excluded(self, exclude: Any, teacher: inputs.Matrix) -> tuple[Any, int | None]:
        if inputs.is_cuda(exclude):
            return mask_on_device(tensor_of("exclude", exclude)[0], teacher.rows), None
        host = inputs.exclude_mask(exclude, teacher.rows)
        if host is None:
            return None, 0
        return torch.from_numpy(np.ascontiguousarray(host)).to(device_of(teacher)), int(np.count_nonzero(host))

    def given(self, correctness: Any, mask: Any, teacher: inputs.Matrix) -> tuple[Any, Any]:
        """``wrong`` is a count on the device of numbers outside [0, 1], or None where they were checked before."""
        if not inputs.is_cuda(correctness):
            host_mask = None if mask is None else mask.cpu().numpy()
            host = inputs.correctness_array(correctness, teacher.rows, host_mask)
            return torch.from_numpy(host).to(device_of(teacher)), None
        given, _ = tensor_of("correctness", correctness)
        inputs.check_correctness(str(given.dtype).removeprefix("torch."), tuple(given.shape), teacher.rows)
        given = given.to(device=device_of(teacher), dtype=torch.float32).contiguous()
        outside = ~((given >= 0) & (given <= 1))
        return given, (outside if mask is None else outside & ~mask).sum()

    def wrong(self, asked: Task, points: Any) -> int:
        return 0 if asked.wrong is None else int(asked.wrong)

    def marked(self, mask: Any) -> int:
        return int(mask.sum())

    def valid(self, points: Any) -> int:
        return len(points.gain) - int(torch.isnan(points.gain).sum())

    def on_host(self, array: Any) -> npt.NDArray[Any]:
        host: npt.NDArray[Any] = array.cpu().numpy()
        return host

    def back(self, like: inputs.Matrix) -> Wrap:
        wrap: Wrap = like.wrap
        return functools.partial(handed_back, wrap, device_of(like))

    def weights(self, points: Any, indices: Any, equilibrium: Equilibrium) -> Any:
        return 1.0 / game.probabilities(points.gain[indices], points.correctness[indices], equilibrium)

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


def tensor_of(name: str, value: Any) -> tuple[torch.Tensor, Wrap]:
    if inputs.is_torch(value):
        return value, inputs.same
    cupy: Any = sys.modules.get("cupy")
    if cupy is not None and isinstance(value, cupy.ndarray):
        taken: torch.Tensor = torch.utils.dlpack.from_dlpack(value)
        return taken, cupy.from_dlpack
    raise TypeError(
        f"{name}: expected a torch or CuPy array on the device, got {type(value).__name__}; see torch.from_dlpack"
    )


def handed_back(wrap: Wrap, device: torch.device, array: npt.NDArray[Any]) -> Any:
    return wrap(torch.from_numpy(array).to(device))


def device_of(matrix: inputs.Matrix) -> torch.device:
    data: Any = matrix.data
    device: torch.device = data.device
    return device


def mask_on_device(value: torch.Tensor, rows: int) -> torch.Tensor:
    """A boolean mask from a mask or from indices; those out of range stop the device, as in torch's own indexing."""
    if value.dtype == torch.bool:
        inputs.check_mask(tuple(value.shape), rows)
        return value.contiguous()
    if value.dim() != 1 or value.dtype.is_floating_point or value.dtype.is_complex:
        raise inputs.no_exclusion(rows, value.dtype, tuple(value.shape))
    if len(value) == rows:
        raise inputs.mask_or_indices(rows)
    mask = torch.zeros(rows, dtype=torch.bool, device=value.device)
    return mask.index_fill_(0, value.to(torch.int64), True)
