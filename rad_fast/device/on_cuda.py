"""Arrays in CUDA memory of any library, served by the compiled kernels; see arrays.py for how they are seen.

Work goes to the stream on which the library of the logits works; arrays of another stream are waited for there, by the
device.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from rad_fast import inputs

from . import arrays, cuda, cuda_classes
from .arrays import CudaArray
from .route import Route, Seen, Stages


class Kernels(Route):
    """The compiled backend."""

    name = "cuda"
    stages = Stages(
        cuda.appraise,
        cuda.findings,
        cuda.select,
        cuda.read,
        cuda.DevicePool,
        cuda.sample,
        cuda.probabilities,
        cuda_classes.appraise_by_class,
        cuda_classes.tally,
        cuda_classes.select_by_class,
        cuda_classes.read_by_class,
        cuda_classes.sample_by_class,
        cuda_classes.class_probabilities,
    )

    def __init__(self) -> None:
        arrays.kernels()  # raises where they were not built

    def seen(self, name: str, value: Any, like: inputs.Matrix | None = None) -> Seen:
        array = arrays.described(name, value)
        if like is not None:
            beside(arrays.described(like.name, like.data), array)
        return Seen(array, array.dtype, array.shape, array.device, inputs.same)

    def contiguous(self, data: Any) -> bool:
        array: CudaArray = data
        return array.contiguous

    def moved(self, array: npt.NDArray[Any], like: Any) -> Any:
        z = arrays.described("array", like)
        return arrays.handed_back(z, arrays.copied_like(z, array))

    def on_host(self, array: Any) -> npt.NDArray[Any]:
        there = arrays.described("array", array)
        host = arrays.on_host(there)
        if there.dtype == "bfloat16":  # its bits, for which NumPy has no name
            return (host.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return host

    def current_stream(self, value: Any) -> contextlib.AbstractContextManager[None]:
        """arrays.py asks each library for its stream; what is allocated has to be on the array's device."""
        torch: Any = sys.modules.get("torch")
        if torch is not None and isinstance(value, torch.Tensor):
            on: contextlib.AbstractContextManager[None] = torch.cuda.device(value.device)
            return on
        return contextlib.nullcontext()


def beside(z: CudaArray, array: CudaArray) -> None:
    """Work on the stream of ``z`` may read the array from now on."""
    default = arrays.LEGACY_STREAM  # 0 in CUDA's own numbers
    if (array.stream or default) != (z.stream or default) and array.device == z.device:
        arrays.kernels().follow(z.stream, array.stream, z.device)
