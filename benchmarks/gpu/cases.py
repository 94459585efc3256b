"""What the GPU report and bench_gpu.py measure beyond rad_fast.bench.cuda, and the sizes of both.

Cases as there: contenders by name, rad_fast's backends and their peers, over inputs larger than the cache. Here are
those that one looks at once: CUDA graphs, the stages of select, other libraries' softmax, memory.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from rad_fast.bench import cuda, peers
from rad_fast.bench.cpu import MISTAKES, POINT_BYTES, SHARE
from rad_fast.bench.peers import READ
from rad_fast.bench.timing import Case, Clock, Work, only, wall
from rad_fast.kernels.reference.sample import start

REPLAYED, LAUNCHED = "replayed from a CUDA graph", "launched"
SCORE, GAME, SAMPLE, WHOLE = "scoring", "the game", "the sample", "select"
BY_CLASS = "select, a game a class"
WITH_QUOTAS = ", with quotas"
HOST = "the host, and waiting"
QUACK, LIGER, SOFTMAX = "quack softmax", "Liger softmax", "torch softmax"
SMALL = (10_000, 10)  # points, classes


class Size(NamedTuple):
    """How much is measured; ``compiled``: the numbers of classes and points at which torch.compile takes part."""

    name: str
    nbytes: int
    classes: tuple[int, ...]
    dtypes: tuple[str, ...]
    games: tuple[int, ...]
    wholes: tuple[tuple[int, str], ...]  # classes, dtype
    whole_bytes: int
    shapes: tuple[tuple[int, int, str], ...]  # points, classes, dtype: of which stages and graphs are looked at
    routes: tuple[tuple[int, str], ...]  # classes, dtype: of which whole selections are compared, each way through
    memory_points: int
    compiled: frozenset[int]
    rounds: int
    sparing_rounds: int


LARGE = 1 << 32  # bytes: of these the cache holds the last few, and the next turn begins with the first
CLASSES = (10, 32, 100, 1000, 4096, 32768, 50257, 131072)  # rows of 50257 begin anywhere
FEW_ROWS = 1000  # of the most classes: fewer than a GPU has places for blocks
DTYPES = ("bfloat16", "float16", "float32")
ROUTES = ((10, "bfloat16"), (100, "bfloat16"), (1000, "bfloat16"), (131072, "bfloat16"), (10, "float32"))
SHAPES = ((*SMALL, "float32"), (1_000_000, 100, "bfloat16"), (10_000_000, 1000, "bfloat16"))

FULL = Size(
    "full", 2 << 30, CLASSES, DTYPES, (100_000, 1_000_000, 10_000_000, 100_000_000),
    ((1000, "bfloat16"), (100, "float32")), 20_000_000_000, SHAPES,
    (*ROUTES, (32, "bfloat16"), (4096, "bfloat16"), (50257, "bfloat16"), (100, "float32"), (1000, "float32")),
    20_000_000, frozenset((10, 1000, 131072, 10_000, 100_000_000)), 40, 10,
)  # fmt: skip
QUICK = FULL._replace(
    name="quick", nbytes=1 << 30, classes=(10, 100, 1000, 131072, 50257), dtypes=("bfloat16", "float32"),
    games=(1_000_000, 100_000_000), wholes=((1000, "bfloat16"),), shapes=(SHAPES[0], SHAPES[2]),
    routes=ROUTES, compiled=frozenset((1000,)), rounds=20, sparing_rounds=5,
)  # fmt: skip
REHEARSAL = Size(
    "rehearsal", 1 << 16, CLASSES[:4], DTYPES, (1000, 3000), ((100, "float32"),), 1 << 16,
    ((500, 10, "float32"), (2000, 20, "float32")), ROUTES[:1], 1000, frozenset(), 5, 3,
)  # fmt: skip
SIZES = {size.name: size for size in (FULL, QUICK, REHEARSAL)}


def apart(device: str, nbytes: int = 0) -> int | None:
    """Bytes between two turns of an input of ``nbytes``: four times the cache, for which a large one needs no other.

    Nothing for stand-ins, which are not about speed.
    """
    return None if cuda.on_gpu(device) and nbytes < LARGE else 0


# -------------------------------------------------------------------------------------------------------------- clocks


def awaited(device: str) -> Clock:
    """What the host sees until the device is done, from a device that had nothing to do."""
    if not cuda.on_gpu(device):
        return wall
    finish = peers.torch().cuda.synchronize

    def clock(work: Work) -> float:
        finish()
        begin = time.perf_counter()
        work()
        finish()
        return time.perf_counter() - begin

    return clock


# -------------------------------------------------------------------------------------------------------------- inputs


def without(case: Case, *contenders: str) -> Case:
    return only(case, set(case.contenders).difference(contenders))


def inputs(points: int, classes: int, dtype: str, device: str) -> Iterator[Any]:
    """Logits in turn, more of them than the cache holds."""
    nbytes = points * classes * int(getattr(peers.torch(), dtype).itemsize)
    between = apart(device, nbytes)
    made = cuda.rotated(lambda seed: cuda.logits(points, classes, dtype, device, seed), device, between)
    return itertools.cycle(made)


def budget_of(points: int) -> int:
    return max(1, round(SHARE * points))


# ------------------------------------------------------------------------------------------------------- routes


def by_route(classes: int, dtype: str, nbytes: int, device: str) -> Case:
    """rad_fast.select by each way through the kernels, one game and with quotas; for the host's clock."""
    rows = cuda.rows_of(classes, dtype, nbytes)
    turn, budget = inputs(rows, classes, dtype, device), budget_of(rows)
    contenders: dict[str, Work] = {READ: cuda.one(cuda.total, turn)}
    for name in cuda.routes(device):
        contenders[cuda.ours(name)] = cuda.one(cuda.selected(name, budget), turn)
        contenders[cuda.ours(name) + WITH_QUOTAS] = cuda.one(cuda.selected(name, budget, "auto"), turn)
    about: dict[str, str | int] = {"stage": "route", "classes": classes, "dtype": dtype, "device": cuda.kind(device)}
    return Case(f"select, {rows:,} points of {classes:,} classes, {dtype}", rows, contenders, about=about)


# -------------------------------------------------------------------------------------------------------- CUDA graphs


def replays(points: int, classes: int, dtype: str, device: str) -> Case:
    """The whole selection, nothing waited for: launched, and replayed from a graph, over one input.

    To be timed by a clock that reads something else in between, or the cache may hold the input.
    """
    budget = budget_of(points)
    running, x = start(0, budget, points), cuda.logits(points, classes, dtype, device, 0)
    contenders: dict[str, Work] = {}
    for backend in cuda.usable(device):
        enqueue = enqueued(backend, x, budget, running)
        contenders[f"{cuda.ours(backend)}, {LAUNCHED}"] = enqueue
        contenders[f"{cuda.ours(backend)}, {REPLAYED}"] = captured(enqueue, backend)
    contenders[READ] = lambda: cuda.total(x)
    about: dict[str, str | int] = {"stage": "graph", "classes": classes, "dtype": dtype, "device": cuda.kind(device)}
    return Case(f"graph, {points:,} points of {classes:,} classes, {dtype}", points, contenders, about=about)


def enqueued(backend: str, x: Any, budget: int, running: int) -> Work:
    """The selection on the device, not waited for."""
    path = {"triton": "rad_fast.kernels.triton.select", "cuda": "rad_fast.device.cuda"}[backend]
    select = importlib.import_module(path).select
    return lambda: select(x, budget, running, 0.0, MISTAKES)


def captured(enqueue: Work, backend: str) -> Work:
    """The replay of what ``enqueue`` enqueues, captured at the first call; what it writes to lives as long."""
    torch = peers.torch()
    held: list[Any] = []

    def replay() -> None:
        if not held:
            enqueue()  # compiled, and its modules loaded, before the capture
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                out = enqueue()
            graph.replay()
            torch.cuda.synchronize()
            check(out, backend)
            held.extend((graph, out))
        held[0].replay()

    return replay


def check(out: Any, backend: str) -> None:
    """A replay that selected nothing would be fast."""
    path = {"triton": "rad_fast.kernels.triton.select", "cuda": "rad_fast.device.cuda"}[backend]
    outcome = importlib.import_module(path).read(out).outcome
    if outcome != "solved":
        raise RuntimeError(f"the replayed selection ended as {outcome!r}")


# --------------------------------------------------------------------------------------------------------- the stages


def stages(points: int, classes: int, dtype: str, backend: str, device: str) -> tuple[Case, Case]:
    """Where select spends its time: its stages, for the device's clock, and all of it, for the host's."""
    budget, mistakes = budget_of(points), MISTAKES * points
    running, turn = start(0, budget, points), inputs(points, classes, dtype, device)
    by = cuda.stages(backend)
    scored = by.appraise(next(turn))
    gain, correctness = scored.gain, scored.correctness
    if not cuda.on_gpu(device):
        gain, correctness = (peers.torch().from_numpy(part) for part in (gain, correctness))
    solution = by.solve(gain, correctness, budget, mistakes)
    works: dict[str, Work] = {
        SCORE: lambda: by.appraise(next(turn)),
        GAME: lambda: by.solve(gain, correctness, budget, mistakes),
        SAMPLE: lambda: by.sample(gain, correctness, solution, running, budget),
    }
    select, by_class = cuda.selected(backend, budget), cuda.selected(backend, budget, "auto")
    about: dict[str, str | int] = {
        "stage": "stages", "classes": classes, "dtype": dtype, "backend": backend, "device": cuda.kind(device),
    }  # fmt: skip
    name = f"stages, {backend}, {points:,} points of {classes:,} classes, {dtype}"
    whole_of: dict[str, Work] = {WHOLE: lambda: select(next(turn)), BY_CLASS: lambda: by_class(next(turn))}
    return Case(name, points, works, about=about), Case(name, points, whole_of, about=about)


# ------------------------------------------------------------------------------------------------- bandwidth references


def softmaxes(classes: int, dtype: str, nbytes: int, device: str) -> Case:
    """Softmax by other libraries, which read and write each logit once, beside rad_fast's scoring, which reads it."""
    rows = cuda.rows_of(classes, dtype, nbytes)
    turn = inputs(rows, classes, dtype, device)
    size = int(next(turn).nbytes)
    torch = peers.torch()
    contenders: dict[str, Work] = {
        cuda.ours(backend): cuda.one(cuda.stages(backend).appraise, turn) for backend in cuda.usable(device)
    }
    traffic = dict.fromkeys(contenders, size + POINT_BYTES * rows)
    works = {SOFTMAX: cuda.one(lambda x: torch.softmax(x, 1), turn)}
    works |= {name: cuda.one(function, turn) for name, function in libraries().items()}
    contenders |= {READ: cuda.one(cuda.total, turn), **works}
    traffic |= {READ: size, **dict.fromkeys(works, 2 * size)}
    about: dict[str, str | int] = {"stage": "softmax", "classes": classes, "dtype": dtype, "device": cuda.kind(device)}
    return Case(f"softmax, {classes:,} classes, {dtype}", rows, contenders, traffic=traffic, about=about)


def libraries() -> dict[str, Callable[[Any], object]]:
    """The softmax of quack and of Liger, where they are installed."""
    found: dict[str, Callable[[Any], object]] = {}
    if importlib.util.find_spec("quack") is not None:
        found[QUACK] = lambda x: importlib.import_module("quack").softmax(x)
    if importlib.util.find_spec("liger_kernel") is not None:
        path = "liger_kernel.ops.softmax"
        found[LIGER] = lambda x: importlib.import_module(path).LigerSoftmaxFunction.apply(x)
    return found


# -------------------------------------------------------------------------------------------------------------- memory


def extra_memory(points: int, classes: int, dtype: str, backend: str, device: str) -> float:
    """Bytes a point that a selection takes at its peak beyond the logits, as torch's allocator counts them."""
    torch, work = peers.torch(), cuda.selected(backend, budget_of(points), "auto")
    x = cuda.logits(points, classes, dtype, device, 0)
    work(x)  # what is loaded or compiled once is no cost a point
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    work(x)
    torch.cuda.synchronize()
    return float(torch.cuda.max_memory_allocated() - before) / points
