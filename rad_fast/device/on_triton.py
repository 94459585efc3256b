"""torch and CuPy arrays in CUDA memory, served by Triton's kernels.

torch tensors are taken as they are, CuPy arrays over DLPack, both on the stream that is current in their library.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rad_fast import inputs
from rad_fast.kernels.triton import by_class, game, sample, score, select

from .route import Route, Seen, Stages


class Kernels(Route):
    """The Triton backend."""

    name = "triton"
    stages = Stages(
        score.appraise,
        score.findings,
        select.select,
        select.read,
        game.DevicePool,
        sample.sample,
        game.probabilities,
        by_class.appraise_by_class,
        by_class.tally,
        by_class.select_by_class,
        by_class.read_by_class,
        by_class.sample_by_class,
        by_class.class_probabilities,
    )

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
        return Seen(tensor, dtype, tuple(tensor.shape), tensor.device, wrap)

    def contiguous(self, data: Any) -> bool:
        tensor: torch.Tensor = data
        return tensor.is_contiguous()

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
