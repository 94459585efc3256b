"""What a first call on a GPU waits for, done beforehand."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from rad_fast import inputs
from rad_fast.kernels.reference.sample import others_of, start
from rad_fast.kernels.reference.score import Rule

from . import arrays
from .route import module_of

ROWS, OF_THE_FIRST = 512, 300  # made-up points, and those of the first of two classes: a large one and a small one
BUDGET = ROWS // 8
DEVICE = "cuda"


def warm_up(classes: int, dtype: str = "float32", *, backend: str = "auto") -> str:
    """Select from few made-up points of so many classes on the GPU, with quotas and without; returns the backend.

    The first selections with Triton compile some twenty kernels, each for about a second, and one more for each further
    number of classes up to 128, dtype, kind of correctness and layout of rows; the compiled kernels only load a module.
    Services that must answer their first call fast say so here.

    classes: columns of the logits to come. dtype: theirs, "float64", "float32", "float16" or "bfloat16". backend: as in
    ``select``. Waits for the device. ValueError for what cannot be; ImportError where there are no such kernels.
    """
    inputs.check_logits("classes", dtype, (ROWS, classes), empty=False)
    inputs.device_backend(backend)
    reasons = []
    for name in ("cuda", "triton") if backend == "auto" else (backend,):
        try:
            stages = module_of(name).Kernels().stages
            logits = READY[name](classes, dtype)
        except ImportError as error:
            reasons.append(f"{name}: {error}")
            continue
        points = selected(stages, logits, classes)
        if name == "triton":  # of many points the game goes in rounds, by kernels of their own
            rounds = importlib.import_module("rad_fast.kernels.triton.equilibrium")
            rounds.read(rounds.solve(points.gain.repeat(64), points.correctness.repeat(64), BUDGET, 0.0, 0.02))
        return name
    raise ImportError(f"warm_up: there are no kernels for a GPU here ({'; '.join(reasons)})")


def selected(stages: Any, logits: Any, classes: int) -> Any:
    """Every stage once; the points."""
    running, scoring = start(0, BUDGET, ROWS), (None, Rule(), None, None, None)
    stages.read(stages.select(logits, BUDGET, running, 0.0, 0.02, *scoring))
    others = others_of(classes, classes)
    points = stages.appraise(logits, *scoring, others=others > 1)
    _, (counts, _), _ = stages.tally(points, classes, None)
    drawn = stages.select_by_class(points, counts, counts / 8, np.ones(classes), others, running, BUDGET)
    stages.read_by_class(drawn)
    return points


def compiled(classes: int, dtype: str) -> Any:
    host = np.zeros((ROWS, classes), np.uint16 if dtype == "bfloat16" else np.dtype(dtype))
    host[:, 0] = 1  # a subnormal bfloat16, and a small number in the others
    host[OF_THE_FIRST:, 1] = 2
    return arrays.Memory.of(host, dtype=dtype)


def triton(classes: int, dtype: str) -> Any:
    torch: Any = importlib.import_module("torch")
    logits = torch.zeros((ROWS, classes), dtype=getattr(torch, dtype), device=DEVICE)
    logits[:, 0] = 1
    logits[OF_THE_FIRST:, 1] = 2
    return logits


READY = {"cuda": compiled, "triton": triton, "triton+cuda": triton}
