"""What is measured on the processor: cases over NumPy arrays, rad_fast's CPU kernels and their peers.

Compare times within a case only: its contenders take turns (see timing.py).

>>> from rad_fast.bench import cpu, timing
>>> case = cpu.scoring(10, "float32", 10_000)
>>> case.points, cpu.OURS in case.contenders
(1000, True)
>>> seconds = timing.measure(timing.only(case, [cpu.OURS]), rounds=3, sparing_rounds=1)
>>> len(seconds[cpu.OURS])
3
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

import rad_fast
from rad_fast.device import backends
from rad_fast.game.pool import ArrayPool
from rad_fast.game.solver import solve
from rad_fast.inputs.typed import BackendName
from rad_fast.kernels.reference.sample import start
from rad_fast.kernels.reference.score import Points, Rule

from . import peers
from .machine import compiled, last_cache
from .peers import COMPILED, MARGIN, OURS, READ, SORT, TORCH, case_of
from .timing import Case, Clock, Work, wall

Array = npt.NDArray[Any]

DTYPES = ("float32", "bfloat16", "float16", "float64")
# 2: binary models; 10: digits, where rows are shorter than a vector; 32: whole vectors; 100, 1000: CIFAR, ImageNet;
# 4096: a row outgrows half of L1; 32768, 131072: vocabularies of language models.
CLASSES = (2, 10, 32, 100, 1000, 4096, 32768, 131072)
GAMES = (1_000_000, 10_000_000, 100_000_000)
MOST_ROWS = 1 << 24  # where rows are short what is written a row outweighs what is read: no need for more
GAME, SAMPLE = f"{OURS}, the game alone", f"{OURS}, the sample alone"
SCORED = f"{TORCH}, scoring alone"

POINT_BYTES = 12  # gain, correctness, label
PAIR_BYTES = 8  # gain, correctness
INDEX_BYTES = 8
SHARE = 0.01  # of the points: the budget
MISTAKES = 0.05  # for each point: what select takes for raw confidences


# -------------------------------------------------------------------------------------------------------------- cases


def scoring(classes: int, dtype: str, elements: int, backend: str = "auto") -> Case:
    """The scoring pass of select: ``elements`` logits read once, gain, correctness and label written."""
    kernels = backends.backend(backend)
    array = logits(dtype, classes, elements)
    rows = len(array)
    out = Points(np.zeros(rows, np.float32), np.zeros(rows, np.float32), np.zeros(rows, np.int32))
    x = tensor(array)
    by_compiler = peers.compiled(peers.scores)
    contenders: dict[str, Work | None] = {
        OURS: lambda: kernels.appraise(array, None, Rule(), None, out),
        READ: streaming_read(array),
        TORCH: None if x is None else lambda: peers.scores(x),
        COMPILED: None if x is None else lambda: by_compiler(x),
    }
    traffic = {**dict.fromkeys(contenders, array.nbytes + POINT_BYTES * rows), READ: array.nbytes}
    about: dict[str, str | int] = {"stage": "scoring", "classes": classes, "dtype": dtype, "device": "CPU"}
    return case_of(f"scoring, {classes} classes, {dtype}", rows, contenders, traffic, about)


def game(points: int, backend: str = "auto") -> Case:
    """The game and the sample, budget 1% and mistakes 5%, on scores as they come out of scoring."""
    kernels = backends.backend(backend)
    gain, correctness = scores(points)
    budget, mistakes = points // 100, MISTAKES * points

    def solved() -> Any:
        return solve(ArrayPool([(gain, correctness)], kernels), budget, mistakes)

    equilibrium, first = solved(), start(0, budget, points)

    def sampled(answer: Any = equilibrium) -> Array:
        indices = kernels.sample(gain, correctness, answer, first)[0]
        if len(indices) != budget:
            raise RuntimeError(f"the sample has {len(indices)} points, not {budget}")
        return indices

    g, c = tensor(gain), tensor(correctness)
    by_compiler = peers.compiled(peers.game)
    contenders: dict[str, Work | None] = {
        OURS: lambda: sampled(solved()),
        GAME: solved,
        SAMPLE: sampled,
        SORT: lambda: np.sort(gain),
        TORCH: None if g is None else lambda: peers.game(g, c, budget, mistakes),
        COMPILED: None if g is None else lambda: by_compiler(g, c, budget, mistakes),
    }
    read, write = PAIR_BYTES * points, INDEX_BYTES * budget
    traffic = {**dict.fromkeys(contenders, 2 * read + write), GAME: read, SAMPLE: read + write, SORT: read}
    return case_of(
        f"game and sample, {points:,} points", points, contenders, traffic, {"stage": "game", "device": "CPU"}
    )


def whole(classes: int, elements: int, backend: BackendName = "auto") -> Case:
    """rad_fast.select from the logits to the indices, budget 1%; TORCH: the same by softmax, sort and running sums."""
    array = logits("float32", classes, elements)
    points = len(array)
    budget, mistakes = max(1, round(SHARE * points)), MISTAKES * points
    x = tensor(array)
    by_compiler = peers.compiled(peers.whole)
    contenders: dict[str, Work | None] = {
        OURS: lambda: rad_fast.select(array, SHARE, backend=backend),
        READ: streaming_read(array),
        TORCH: None if x is None else lambda: peers.whole(x, budget, mistakes),
        COMPILED: None if x is None else lambda: by_compiler(x, budget, mistakes),
        SCORED: None if x is None else lambda: peers.scores(x),
        MARGIN: None if x is None else lambda: peers.smallest_margins(x, budget),
    }
    least = array.nbytes + (POINT_BYTES + 2 * PAIR_BYTES) * points + INDEX_BYTES * budget
    traffic = {**dict.fromkeys(contenders, least), READ: array.nbytes, SCORED: array.nbytes + POINT_BYTES * points}
    about: dict[str, str | int] = {"stage": "select", "classes": classes, "dtype": "float32", "device": "CPU"}
    return case_of(f"select, {classes} classes, float32", points, contenders, traffic, about, (SCORED, MARGIN))


def every_dtype(classes: int, elements: int) -> Case:
    """``scoring`` in all dtypes beside one another, without torch.compile; contenders are named with their dtype."""
    cases = {dtype: scoring(classes, dtype, elements) for dtype in DTYPES}
    named = {
        f"{name} {dtype}": case.contenders[name]
        for dtype, case in cases.items()
        for name in (OURS, READ, TORCH)
        if name in case.contenders
    }
    first = cases[DTYPES[0]]
    sparing = frozenset(name for name in named if name.startswith(TORCH))
    return replace(first, name=f"scoring, {classes} classes", contenders=named, sparing=sparing, traffic={}, about={})


# ------------------------------------------------------------------------------------------------------------- inputs


@lru_cache(maxsize=8)  # every dtype, and where they are of one size in bytes the float32 that others are made of
def numbers(dtype: str, elements: int) -> Array:
    """Random logits, the same values in every dtype; bfloat16 as the bits of it."""
    if dtype == "float32":
        rng = np.random.default_rng(0)
        return rng.standard_normal(elements, dtype=np.float32) * np.float32(4)
    single = numbers("float32", elements)
    if dtype == "bfloat16":
        return (single.view(np.uint32) >> np.uint32(16)).astype(np.uint16)
    return single.astype(dtype)


def logits(dtype: str, classes: int, elements: int) -> Array:
    rows = min(MOST_ROWS, elements // classes)
    return numbers(dtype, elements)[: rows * classes].reshape(rows, classes)


def scores(points: int) -> tuple[Array, Array]:
    """Gain and correctness of a pool: most points are easy, and the harder the likelier mislabelled."""
    rng = np.random.default_rng(1)
    margin = rng.random(points, dtype=np.float32)
    np.power(margin, np.float32(0.25), out=margin)
    gain = np.float32(1) - margin
    correctness = np.float32(1) - gain * rng.random(points, dtype=np.float32)
    return gain, correctness


# -------------------------------------------------------------------------------------------------------------- peers


def streaming_read(array: Array) -> Work | None:
    """A sum over the same bytes as float32, by as many threads."""
    module = compiled()
    if module is None:
        return None
    threads = backends.threads()
    return lambda: module.stream_sum(array.ctypes.data, array.nbytes // 4 * 4, threads)


def uncached(nbytes: int) -> Clock:
    """The wall's time of work whose input no cache holds: as many bytes, or four caches', are read before each turn."""
    scratch = np.ones(max(nbytes, int(4 * 2**20 * (last_cache() or 0)) if nbytes else 4) // 4, np.float32)
    flush = streaming_read(scratch) or scratch.sum

    def clock(work: Work) -> float:
        flush()
        return wall(work)

    return clock


def tensor(array: Array) -> Any:
    """The array as torch sees it, which then works with as many threads as rad_fast; None where it is not installed."""
    torch = peers.torch()
    if torch is None:
        return None
    torch.set_num_threads(backends.threads())
    if array.dtype == np.uint16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)
