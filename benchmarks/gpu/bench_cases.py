"""Microbenchmarks of every stage on a GPU beside its peers: python -m pytest benchmarks -m gpu --benchmark-only

Times are the device's, by the clock that report.py uses, of the same cases; compare them within a group, and of two
commits with --benchmark-compare.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pytest

from rad_fast.bench import cuda
from rad_fast.bench.peers import COMPILED, COPY, CUPY, CUPY_SORT, MARGIN, READ, TORCH, TORCH_SORT
from rad_fast.bench.timing import Case, Clock

from . import cases as gpu_cases
from .cases import LAUNCHED, REPLAYED

DEVICE = "cuda"
OURS = tuple(cuda.ours(backend) for backend in ("triton", "cuda"))
CLASSES = (10, 100, 1000, 32768, 131072)
DTYPES = ("bfloat16", "float32")
GAMES = (1_000_000, 100_000_000)
NBYTES = 1 << 30  # of logits: more than any cache, and few milliseconds
ROUNDS, SPARING_ROUNDS = 30, 5


class Ticker:
    """A timer for pytest-benchmark that goes on by what another clock has measured."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        self.seconds += 1e-9  # it never stands still: pytest-benchmark waits for its timers to move
        return self.seconds

    def __repr__(self) -> str:  # of this a comparison is told: no address, which differs from run to run
        return "the device's clock"

    def add(self, seconds: float) -> None:
        self.seconds += seconds


TICKER = Ticker()
pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def gpu(request: pytest.FixtureRequest) -> None:
    """Skips, with a reason, where there is none; pytest-benchmark reads our timer."""
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    import torch

    if DEVICE == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device")
    request.node.add_marker(pytest.mark.benchmark(timer=TICKER))


@lru_cache(maxsize=1)
def clock(device: str) -> Clock:
    return cuda.clock(device)


@lru_cache(maxsize=1)  # the contenders of a case come one after the other, and share its inputs
def made(stage: str, *arguments: Any) -> Case:
    if stage == "graph":
        return gpu_cases.replays(*arguments)
    makers: dict[str, Callable[..., Case]] = {
        "bandwidth": cuda.bandwidth, "scoring": cuda.scoring, "game": cuda.game, "select": cuda.whole,
        "small": cuda.small_call,
    }  # fmt: skip
    return makers[stage](*arguments, device=DEVICE, between=gpu_cases.apart(DEVICE))


def run(benchmark: Any, case: Case, name: str, how: Clock | None = None) -> None:
    """Every round is one turn of the contender; ``how``: another clock than the device's."""
    if name not in case.contenders:
        pytest.skip(f"{name} does not serve here")
    work, measured = case.contenders[name], how or clock(DEVICE)
    benchmark.group = case.name
    benchmark.extra_info.update(points=case.points, bytes=case.traffic.get(name, 0), **case.about)
    rounds = SPARING_ROUNDS if name in case.sparing else ROUNDS
    benchmark.pedantic(lambda: TICKER.add(measured(work)), rounds=rounds, warmup_rounds=1)


@pytest.mark.parametrize("contender", [READ, COPY])
def test_bandwidth(benchmark: Any, contender: str) -> None:
    run(benchmark, made("bandwidth", NBYTES), contender)


@pytest.mark.parametrize("contender", [*OURS, READ, TORCH, COMPILED, CUPY])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", CLASSES)
def test_scoring(benchmark: Any, classes: int, dtype: str, contender: str) -> None:
    run(benchmark, made("scoring", classes, dtype, NBYTES), contender)


@pytest.mark.parametrize(
    "contender",
    [
        *OURS,
        *(f"{name}, {part} alone" for name in OURS for part in ("the game", "the sample")),
        TORCH,
        COMPILED,
        MARGIN,
        TORCH_SORT,
        CUPY_SORT,
    ],
)
@pytest.mark.parametrize("points", GAMES)
def test_game(benchmark: Any, points: int, contender: str) -> None:
    run(benchmark, made("game", points), contender)


@pytest.mark.parametrize("contender", [*OURS, READ, TORCH, COMPILED, MARGIN])
@pytest.mark.parametrize("classes", [10, 1000])
def test_select(benchmark: Any, classes: int, contender: str) -> None:
    run(benchmark, made("select", classes, "bfloat16", NBYTES), contender)


@pytest.mark.parametrize("contender", [*OURS, TORCH, COMPILED, MARGIN])
def test_small_call(benchmark: Any, contender: str) -> None:
    """By the host's clock, until the device is done."""
    run(benchmark, made("small", *gpu_cases.SMALL), contender, gpu_cases.awaited(DEVICE))


@pytest.mark.parametrize("contender", [f"{name}, {how}" for name in OURS for how in (LAUNCHED, REPLAYED)])
@pytest.mark.parametrize("shape", [(10_000, 10, "float32"), (1_000_000, 100, "bfloat16")], ids=str)
def test_graph(benchmark: Any, shape: tuple[int, int, str], contender: str) -> None:
    run(benchmark, made("graph", *shape, DEVICE), contender)
