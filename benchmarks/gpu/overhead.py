"""Python around the kernels of a small selection: python -m benchmarks.gpu.overhead

Needs no GPU. The compiled kernels are stubbed, and so is memory on a device; what is left is what a selection of few
points spends on the host, on arrays of our own. Those of torch and CuPy allocate at their own pace.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import rad_fast
from rad_fast.device import arrays, cuda
from rad_fast.kernels.reference.score import Rule

POINTS, CLASSES, BUDGET, TURNS = 10_000, 10, 100, 3000
# What the device would have said: the points of each class, and each class's game.
COUNTS = np.full((2, CLASSES), POINTS // CLASSES)
ANSWERS = np.repeat([[0.5], [0.1], [0.2], [3.0]], CLASSES, axis=1)
NONE_CHOSEN, ALL_SETTLED = np.zeros(CLASSES, np.int64), np.ones(CLASSES, bool)


class Stubbed:
    """The extension module's functions, as far as one game calls them; they do nothing, and find that it is solved."""

    findings_bytes, solution_bytes, drawn_bytes = 136, 56, 16

    def allocate(self, *_: int) -> int:
        return 1 << 20

    def nothing(self, *_: Any) -> None:
        return None

    release = select = appraise_classes = select_by_class = nothing

    def workspace(self, *_: int) -> int:
        return 1 << 10

    solve_workspace = sample_workspace = select_by_class_workspace = workspace

    def copy_out(self, _: int, size: int, *__: int) -> bytes:
        return bytes(size)

    def class_counts(self, _: bytes, __: int) -> tuple[Any, ...]:
        return COUNTS.copy(), NONE_CHOSEN.copy(), POINTS

    def class_answers(self, *_: Any) -> tuple[Any, ...]:
        return ANSWERS.copy(), ALL_SETTLED.copy(), BUDGET

    def findings(self, _: bytes) -> tuple[Any, ...]:
        return (0, 0), (0, 0), (0, 0), (0, 0), 0, (0, 0, 16), (0, 0, 0)

    def solution(self, _: bytes) -> tuple[Any, ...]:
        return (0.5, 0.1, 0.2, 30.0), "solved", 0, POINTS


def microseconds(what: Callable[[], object]) -> float:
    """The median of many turns."""
    taken = []
    for _ in range(TURNS):
        start = time.perf_counter()
        what()
        taken.append(time.perf_counter() - start)
    return 1e6 * statistics.median(taken)


def measured() -> dict[str, float]:
    """Microseconds of a whole call, and of the stages alone."""
    before = list(arrays.MODULE)
    arrays.MODULE[:] = [Stubbed()]
    try:
        logits = arrays.Memory((POINTS, CLASSES), "float32")
        selector, by_class, rule = rad_fast.Selector(BUDGET, quotas=None), rad_fast.Selector(BUDGET), Rule()
        calls: dict[str, Callable[[], object]] = {
            "select": lambda: rad_fast.select(logits, BUDGET, quotas=None),
            "Selector.fit": lambda: selector.fit(logits),
            "Selector.fit with quotas": lambda: by_class.fit(logits),
            "stages": lambda: cuda.read(cuda.select(logits, BUDGET, 5, 0.0, 0.02, None, rule)),
        }
        found = {name: microseconds(call) for name, call in calls.items()}
    finally:
        arrays.MODULE[:] = before
    return found


if __name__ == "__main__":
    for name, median in measured().items():
        print(f"{name}: {median:.1f} µs")
