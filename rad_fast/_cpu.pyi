"""The CPU kernels of rad_fast, on raw addresses; use the package's functions instead.

Addresses are of contiguous host memory that the caller keeps alive; 0 stands for none, and is refused where there are
rows. ValueError names the argument, what was expected and what came. The GIL is released meanwhile.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_Float32s = npt.NDArray[np.float32]
_Logits = tuple[int, int, int, int]  # address, dtype, classes, row stride in elements

def appraise(
    teacher: _Logits,
    student: _Logits | None,
    rows: int,
    model: int,
    parameters: tuple[Any, ...],
    given_correctness_ptr: int,
    gain_ptr: int,
    correctness_ptr: int,
    label_ptr: int,
    threads: int,
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Gain, correctness (float32) and the teacher's label (int32) of every point, in one pass.

    dtype: 0 float64, 1 float32, 2 float16, 3 bfloat16. model and its parameters: 0 confidence (), 1 constant (value,),
    2 given () with given_correctness_ptr, 3 steps (thresholds, values): float32 buffers of K ascending and K + 1,
    4 logistic (intercept, teacher, agreement, student). Points invalid in either get NaN and label -1. Returns
    (how many rows are invalid, the first or -1) of the teacher and of the student.
    """

def constants() -> dict[str, float]:
    """The numbers of csrc/constants.hpp."""

def hardware_threads() -> int:
    """Processors this machine reports, at least 1."""

def level() -> str:
    """The SIMD level in use."""

def levels() -> list[str]:
    """The SIMD levels that this processor supports, best first."""

def mass(gain: _Float32s, correctness: _Float32s, equilibrium: Sequence[float], threads: int) -> int:
    """The sum of the inclusion probabilities, in units of 2**-62, modulo 2**64.

    equilibrium: (price, threshold, share), here and below.
    """

def probabilities(
    gain: _Float32s, correctness: _Float32s, equilibrium: Sequence[float], threads: int
) -> npt.NDArray[np.float64]:
    """Inclusion probabilities, (N,) float64."""

def reduce(
    gain: _Float32s, correctness: _Float32s, box: Sequence[float], threads: int
) -> tuple[tuple[int, int, int, int, int, int, int], _Float32s, _Float32s]:
    """Exact sums over the points that the box decides, in the order of Sums; gain and correctness of the others.

    box: (price_low, price_high, threshold_low, threshold_high).
    """

def sample(
    gain: _Float32s, correctness: _Float32s, equilibrium: Sequence[float], running: int, threads: int
) -> tuple[npt.NDArray[np.int64], int]:
    """Indices, ascending, where the running sum, started at `running`, passes a whole number; and the sum at the end.

    Both sums are in units of 2**-62, modulo 2**64.
    """

def score(
    logits_ptr: int,
    dtype: int,
    rows: int,
    classes: int,
    row_stride: int,
    given_ptr: int,
    margin_ptr: int,
    confidence_ptr: int,
    label_ptr: int,
    given_probability_ptr: int,
    threads: int,
) -> tuple[int, int]:
    """Margin, confidence (float32), label (int32) and the given labels' probability (float32) of every row.

    given_ptr (int32) and given_probability_ptr are both addresses or both 0. Invalid rows get NaN and label -1. Returns
    (how many rows are invalid, the first or -1).
    """

def set_level(name: str) -> None:
    """Use this SIMD level from now on (for tests)."""

def stream_sum(ptr: int, bytes: int, threads: int) -> float:  # noqa: A002
    """The sum of float32 values: a plain streaming read, the yardstick of the benchmarks."""
