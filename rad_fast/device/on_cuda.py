"""Arrays in CUDA memory of any library, served by the compiled kernels; see device.py for how they are seen.

Work goes to the stream on which the library of the logits works; arrays of another stream are waited for there, by the
device. Exclusions and correctness that do not lie as the kernels read them go through host memory.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from rad_fast import inputs
from rad_fast.kernels.reference.game import Equilibrium
from rad_fast.kernels.reference.score import Points

from . import arrays, backends, cuda
from .arrays import CudaArray
from .route import Route, RuleOf, Stages, Task, Wrap

INDEXED = ("torch", "cupy", "jax", "jaxlib")  # libraries whose arrays take an array of indices, and divide


class Kernels(Route):
    """The compiled backend."""

    name = "cuda"
    stages = Stages(
        cuda.appraise, cuda.invalid, cuda.select, cuda.read, cuda.DevicePool, cuda.sample, cuda.probabilities
    )

    def __init__(self) -> None:
        arrays.kernels()  # raises where they were not built

    def matrix(self, name: str, value: Any, *, empty: bool) -> inputs.Matrix:
        array = arrays.described(name, value)
        inputs.check_logits(name, array.dtype, array.shape, empty=empty)
        data: Any = array
        return inputs.Matrix(name, data, array.dtype, inputs.same)

    def task(
        self, rule_of: RuleOf, logits: Any, student_logits: Any, correctness: Any, exclude: Any, *, empty: bool = False
    ) -> Task:
        asked = super().task(rule_of, logits, student_logits, correctness, exclude, empty=empty)
        if asked.student is not None:
            beside(array_of(asked.teacher), array_of(asked.student))
        return asked

    def excluded(self, exclude: Any, teacher: inputs.Matrix) -> tuple[Any, int | None]:
        z = array_of(teacher)
        if inputs.is_cuda(exclude):
            array = beside(z, arrays.described("exclude", exclude))
            if array.dtype == "bool":
                inputs.check_mask(array.shape, teacher.rows)
                if array.contiguous and array.device == z.device:
                    return array, None
            exclude = arrays.on_host(array)
        mask = inputs.exclude_mask(exclude, teacher.rows)
        if mask is None:
            return None, 0
        return arrays.described("exclude", arrays.copied_like(z, mask)), int(np.count_nonzero(mask))

    def given(self, correctness: Any, mask: Any, teacher: inputs.Matrix) -> tuple[Any, Any]:
        """``wrong`` is whether the numbers were given on the device, where the kernels count those outside [0, 1]."""
        z = array_of(teacher)
        if inputs.is_cuda(correctness):
            array = beside(z, arrays.described("correctness", correctness))
            inputs.check_correctness(array.dtype, array.shape, teacher.rows)
            if (array.dtype, array.contiguous, array.device) == ("float32", True, z.device):
                return array, True
            correctness = arrays.on_host(array)
            if array.dtype == "bfloat16":
                correctness = (correctness.astype(np.uint32) << np.uint32(16)).view(np.float32)
        host = inputs.correctness_array(correctness, teacher.rows, None if mask is None else arrays.on_host(mask))
        return arrays.described("correctness", arrays.copied_like(z, host)), False

    def wrong(self, asked: Task, points: Any) -> int:
        return cuda.invalid_correctness(points.status).rows if asked.wrong else 0

    def marked(self, mask: Any) -> int:
        return int(np.count_nonzero(arrays.on_host(mask)))

    def valid(self, points: Any) -> int:
        return cuda.valid(points.gain, points.correctness)

    def on_host(self, array: Any) -> npt.NDArray[Any]:
        return arrays.on_host(arrays.described("array", array))

    def back(self, like: inputs.Matrix) -> Wrap:
        z = array_of(like)
        return lambda array: arrays.handed_back(z, arrays.copied_like(z, array))

    def weights(self, points: Any, indices: Any, equilibrium: Equilibrium) -> Any:
        gain, correctness = points[:2]
        if type(indices).__module__.partition(".")[0] in INDEXED:
            return 1.0 / cuda.probabilities(gain[indices], correctness[indices], equilibrium)
        at = self.on_host(indices)
        host = Points(*(self.on_host(field)[at] for field in points[:3]))
        q = backends.backend("auto").probabilities(host.gain, host.correctness, equilibrium)
        z = arrays.described("indices", indices)
        return arrays.handed_back(z, arrays.copied_like(z, 1.0 / q))

    def current_stream(self, value: Any) -> contextlib.AbstractContextManager[None]:
        """device.py asks each library for its stream; what is allocated has to be on the array's device."""
        torch: Any = sys.modules.get("torch")
        if torch is not None and isinstance(value, torch.Tensor):
            on: contextlib.AbstractContextManager[None] = torch.cuda.device(value.device)
            return on
        return contextlib.nullcontext()


def array_of(matrix: inputs.Matrix) -> CudaArray:
    data: Any = matrix.data
    array: CudaArray = data
    return array


def beside(z: CudaArray, array: CudaArray) -> CudaArray:
    """An array that work on the stream of ``z`` may read."""
    default = arrays.LEGACY_STREAM  # 0 in CUDA's own numbers
    if (array.stream or default) != (z.stream or default) and array.device == z.device:
        arrays.kernels().follow(z.stream, array.stream, z.device)
    return array
