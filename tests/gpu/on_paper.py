"""What Triton would compile for tests/gpu, noted on a machine without a GPU, as a plugin of pytest:

    TRITON_INTERPRET=1 RAD_FAST_COUNT_KERNELS=FILE PYTHONPATH=tests/gpu python -O -m pytest --assert=plain -p on_paper

The tests run, but no kernel does: launches are noted, tensors lie in host memory, and what the host reads of a device
is made up, so that it goes on. As there are no answers nothing is asserted (-O).
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from triton.runtime.interpreter import InterpretedFunction

sys.path.append(str(Path(__file__).parents[1] / "triton_kernels"))

import planned

MANY = 100_000  # points in place of millions that are drawn one by one
ANSWER = (0.5, 0.1, 0.2, 30.0)


def pytest_configure() -> None:
    on_the_host(torch.cuda)
    InterpretedFunction.run = lambda kernel, *given, **options: planned.note(kernel, given, options)
    made_up_stages()
    made_up_hosts()
    pytest.raises = lambda *_, **__: contextlib.suppress(Exception)
    nothing = lambda *_, **__: None  # noqa: E731
    for module in (np.testing, torch.testing):
        for name in dir(module):
            if name.startswith("assert_"):
                setattr(module, name, nothing)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        module: Any = item.module  # type: ignore[attr-defined]
        module.DEVICE = "cpu"
        if hasattr(module, "logits"):
            module.logits = logits
        if hasattr(module, "MANY"):
            module.MANY = MANY


def pytest_sessionfinish() -> None:
    planned.write()


def logits(
    rows: int, classes: int, dtype: torch.dtype = torch.float32, seed: int = 0, scale: float = 3
) -> torch.Tensor:
    return torch.zeros((rows, classes), dtype=dtype)


def on_the_host(cuda: Any) -> None:
    """torch.cuda without a device, as far as the tests use it."""
    cuda.is_available = lambda: True
    cuda.mem_get_info = lambda: (0, 0)  # what needs much is left out: its kernels are those of less
    cuda.get_device_properties = lambda _: SimpleNamespace(multi_processor_count=132)
    cuda.memory_allocated = cuda.max_memory_allocated = lambda: 0
    stream = SimpleNamespace(synchronize=lambda: None)
    cuda.Stream = lambda: stream
    cuda.CUDAGraph = lambda: SimpleNamespace(replay=lambda: None)
    for name in ("graph", "stream"):
        setattr(cuda, name, lambda _: contextlib.nullcontext())
    for name in ("synchronize", "empty_cache", "reset_peak_memory_stats", "set_sync_debug_mode", "_sleep"):
        setattr(cuda, name, lambda *_: None)


def made_up_stages() -> None:
    """Triton's stages: their launches, and what they would have come to. Before on_triton.py has taken them."""
    from rad_fast.kernels.reference.game import Equilibria, Equilibrium
    from rad_fast.kernels.reference.score import Findings
    from rad_fast.kernels.triton import sample, score

    score.findings_of = lambda _: Findings()
    new_points, drawn = score.new_points, sample.sample

    def points(logits: torch.Tensor, others: bool) -> Any:
        made = new_points(logits, others)
        for field in made[:3]:
            field.zero_()
        return made

    score.new_points = points

    def sampled(gain: Any, correctness: Any, equilibrium: Any, running: int, budget: int) -> torch.Tensor:
        drawn(gain, correctness, equilibrium, running, budget)
        return torch.arange(budget)

    sample.sample = sampled
    from rad_fast.kernels.triton import by_class, equilibrium, select

    select.read = lambda chosen: select.Account(Findings(), len(chosen.points.gain), "solved", Equilibrium(*ANSWER))
    equilibrium.read = lambda _: Equilibrium(*ANSWER)
    counted, played = by_class.tally, by_class.select_by_class

    def tally(points: Any, classes: int, chosen: Any = None) -> Any:
        counted(points, classes, chosen)
        each = np.full(classes, len(points.gain) // classes)
        each[0] += len(points.gain) - each.sum()
        return Findings(), np.stack([each, each]), np.zeros(classes, np.int64)

    def select_by_class(*given: Any) -> Any:
        return played(*given)._replace(indices=torch.arange(given[-1]))

    def read_by_class(chosen: Any) -> Any:
        classes = len(chosen.games.outcomes)
        answers = (np.full(classes, number) for number in ANSWER)
        return Equilibria(*answers), np.ones(classes, bool), len(chosen.indices)

    by_class.tally, by_class.select_by_class, by_class.read_by_class = tally, select_by_class, read_by_class


def made_up_hosts() -> None:
    """Where the host takes part: a chunk's points are made up, and a search it drives narrows once."""
    from rad_fast import inputs
    from rad_fast.device import backends, route, to_host
    from rad_fast.game import solver
    from rad_fast.kernels.reference.game import Box, Equilibrium
    from rad_fast.kernels.reference.score import Points

    for module in (inputs, route, to_host):
        module.is_cuda = lambda value: isinstance(value, torch.Tensor)
    backends.triton = lambda: backends.Finding("triton", True, "")
    backends.cuda = lambda: backends.Finding("cuda", False, "kernels of Triton are counted")

    def solve(pool: Any, budget: float, mistakes: float) -> Any:
        with contextlib.suppress(Exception):
            pool.reduce(Box(0.0, 1.0, -1.0, 1.0))
        return Equilibrium(*ANSWER)

    def scored(kernels: Any, asked: Any, keep_invalid_out: bool, offset: int, *, others: bool) -> Any:
        kernels.appraised(asked, others=others)
        random, rows = np.random.default_rng(offset), asked.teacher.rows
        gain, correctness = ((random.integers(0, 2**24, rows) / 2**24).astype(np.float32) for _ in range(2))
        label = (np.arange(rows) % asked.teacher.classes).astype(np.int32)
        points = Points(gain, correctness, label, np.zeros(rows, np.uint8) if others else None)
        return route.Chunk(points, 0, 0, asked.elsewhere, (inputs.Seen(), inputs.Seen()))

    solver.solve, route.Route.scored = solve, scored
