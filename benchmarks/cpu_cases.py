"""What the CPU benchmarks measure, once: for pytest-benchmark (bench_cpu.py) and for the report (cpu_report.py).

A case is an input and its contenders, rad_fast's stage first and its peers beside it. Times are compared within a case
only: its contenders take turns, so that whatever else the machine does meets all of them alike.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

import rad_fast
from rad_fast import backends
from rad_fast.game import solve
from rad_fast.kernels.reference.sample import start
from rad_fast.kernels.reference.score import Points, Rule
from rad_fast.pool import ArrayPool

Array = npt.NDArray[Any]

DTYPES = ("float32", "bfloat16", "float16", "float64")
# 2: binary models; 10: digits, where rows are shorter than a vector; 32: whole vectors; 100, 1000: CIFAR, ImageNet;
# 4096: a row outgrows half of L1; 32768, 131072: vocabularies of language models.
CLASSES = (2, 10, 32, 100, 1000, 4096, 32768, 131072)
GAMES = (1_000_000, 10_000_000, 100_000_000)
MOST_ROWS = 1 << 24  # where rows are short what is written a row outweighs what is read: no need for more

OURS, READ, TORCH, SORT = "rad_fast", "streaming read", "torch eager", "numpy.sort"


@dataclass(frozen=True)
class Case:
    """An input of ``points`` points and what is measured on it; ``sparing`` contenders are slow and take few turns."""

    name: str
    points: int
    contenders: Mapping[str, Callable[[], object]]
    sparing: frozenset[str] = field(default_factory=frozenset)


def measure(case: Case, rounds: int, sparing_rounds: int) -> dict[str, list[float]]:
    """Seconds of every turn of every contender; they take turns, after one turn each that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in case.contenders}
    for turn in range(-1, rounds):
        for name, work in case.contenders.items():
            if name in case.sparing and turn >= sparing_rounds:
                continue
            begin = time.perf_counter()
            work()
            if turn >= 0:
                seconds[name].append(time.perf_counter() - begin)
    return seconds


# ------------------------------------------------------------------------------------------------------------- inputs


@lru_cache(maxsize=1)
def numbers(elements: int) -> dict[str, Array]:
    """Random logits in every dtype, the same values; bfloat16 as the bits of it."""
    rng = np.random.default_rng(0)
    single = rng.standard_normal(elements, dtype=np.float32) * np.float32(4)
    return {
        "float32": single,
        "bfloat16": (single.view(np.uint32) >> np.uint32(16)).astype(np.uint16),
        "float16": single.astype(np.float16),
        "float64": single.astype(np.float64),
    }


def logits(dtype: str, classes: int, elements: int) -> Array:
    rows = min(MOST_ROWS, elements // classes)
    return numbers(elements)[dtype][: rows * classes].reshape(rows, classes)


def scores(points: int) -> tuple[Array, Array]:
    """Gain and correctness of a pool: most points are easy, and the harder the likelier mislabelled."""
    rng = np.random.default_rng(1)
    margin = rng.random(points, dtype=np.float32)
    np.power(margin, np.float32(0.25), out=margin)
    gain = np.float32(1) - margin
    correctness = np.float32(1) - gain * rng.random(points, dtype=np.float32)
    return gain, correctness


# -------------------------------------------------------------------------------------------------------------- peers


def compiled() -> Any:
    """The compiled extension, or None: without it there is no streaming read to compare with."""
    try:
        return importlib.import_module("rad_fast._cpu")
    except ImportError:
        return None


def streaming_read(*arrays: Array) -> Callable[[], object] | None:
    """A sum over the same bytes as float32, by as many threads."""
    module = compiled()
    if module is None:
        return None
    threads = backends.threads()
    return lambda: [module.stream_sum(array.ctypes.data, array.nbytes // 4 * 4, threads) for array in arrays]


def torch_eager(array: Array) -> Callable[[], object] | None:
    """What one writes without a library for it: softmax and the two highest, by as many threads."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(backends.threads())
    x = (
        torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
        if array.dtype == np.uint16
        else torch.from_numpy(array)
    )
    return lambda: torch.softmax(x.float(), 1).topk(2)


def present(contenders: Mapping[str, Callable[[], object] | None]) -> dict[str, Callable[[], object]]:
    return {name: work for name, work in contenders.items() if work is not None}


# -------------------------------------------------------------------------------------------------------------- cases


def scoring(classes: int, elements: int, dtypes: tuple[str, ...] = DTYPES, backend: str = "auto") -> Case:
    """The scoring pass of select: margin, confidence, label; one contender a dtype, and the peers of each."""
    kernels = backends.backend(backend)
    rows = min(MOST_ROWS, elements // classes)
    out = Points(np.zeros(rows, np.float32), np.zeros(rows, np.float32), np.zeros(rows, np.int32))
    contenders: dict[str, Callable[[], object] | None] = {}
    for dtype in dtypes:
        array = logits(dtype, classes, elements)
        contenders[f"{OURS} {dtype}"] = lambda array=array: kernels.appraise(array, None, Rule(), None, out)  # type: ignore[misc]
        contenders[f"{READ} {dtype}"] = streaming_read(array)
        contenders[f"{TORCH} {dtype}"] = torch_eager(array)
    sparing = frozenset(name for name in contenders if name.startswith(TORCH))
    return Case(f"scoring, {classes} classes", rows, present(contenders), sparing)


def game(points: int, backend: str = "auto") -> Case:
    """The game and the sample, budget 1% and mistakes 5%, on scores as they come out of scoring."""
    kernels = backends.backend(backend)
    gain, correctness = scores(points)
    budget, mistakes = points // 100, 0.05 * points

    def solved() -> Any:
        return solve(ArrayPool([(gain, correctness)], kernels), budget, mistakes)

    equilibrium, first = solved(), start(0, budget, points)

    def sampled(answer: Any = equilibrium) -> Array:
        indices = kernels.sample(gain, correctness, answer, first)[0]
        if len(indices) != budget:
            raise RuntimeError(f"the sample has {len(indices)} points, not {budget}")
        return indices

    contenders = {
        OURS: lambda: sampled(solved()),
        f"{OURS}, the game alone": solved,
        f"{OURS}, the sample alone": sampled,
        SORT: lambda: np.sort(gain),
    }
    return Case(f"game and sample, {points:,} points", points, contenders)


def whole(classes: int, elements: int, backend: str = "auto") -> Case:
    """select() from the logits to the indices, budget 1%."""
    array = logits("float32", classes, elements)
    contenders = {
        OURS: lambda: rad_fast.select(array, 0.01, backend=backend),
        READ: streaming_read(array),
        TORCH: torch_eager(array),
    }
    return Case(f"select, {classes} classes", len(array), present(contenders), frozenset({TORCH}))
