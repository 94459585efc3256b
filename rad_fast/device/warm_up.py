"""What a first call on a GPU waits for, done beforehand."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from rad_fast import inputs
from rad_fast.kernels.reference.sample import start

from . import arrays

ROWS = 64


def warm_up(classes: int, dtype: str = "float32", *, backend: str = "auto") -> str:
    """Select once from few made-up points of so many classes on the GPU; returns the backend that did.

    The first selection with Triton compiles some twelve kernels, each for about a second, and one more for each further
    number of classes, dtype, kind of correctness and layout of rows; the compiled kernels only load a module. Services
    that must answer their first call fast say so here.

    classes: columns of the logits to come. dtype: theirs, "float64", "float32", "float16" or "bfloat16". backend: as in
    ``select``. Waits for the device. ValueError for what cannot be; ImportError where there are no such kernels.
    """
    inputs.check_logits("classes", dtype, (ROWS, classes), empty=False)
    inputs.device_backend(backend)
    reasons = []
    for name in ("cuda", "triton") if backend == "auto" else (backend,):
        try:
            module, logits = READY[name](classes, dtype)
        except ImportError as error:
            reasons.append(f"{name}: {error}")
            continue
        module.read(module.select(logits, 8, start(0, 8, ROWS), 0.0, 0.02))
        return name
    raise ImportError(f"warm_up: there are no kernels for a GPU here ({'; '.join(reasons)})")


def compiled(classes: int, dtype: str) -> tuple[Any, Any]:
    arrays.kernels()
    host = np.zeros((ROWS, classes), np.uint16 if dtype == "bfloat16" else np.dtype(dtype))
    host[:, 0] = 1  # a subnormal bfloat16, and a small number in the others
    return importlib.import_module("rad_fast.device.cuda"), arrays.Memory.of(host, dtype=dtype)


def triton(classes: int, dtype: str) -> tuple[Any, Any]:
    module: Any = importlib.import_module("rad_fast.kernels.triton.select")
    torch: Any = importlib.import_module("torch")
    return module, torch.zeros((ROWS, classes), dtype=getattr(torch, dtype), device="cuda")


READY = {"cuda": compiled, "triton": triton}
