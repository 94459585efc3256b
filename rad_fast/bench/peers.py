"""What one writes in PyTorch for rad_fast's stages: the peers that it is measured beside, eager and compiled."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping
from typing import Any

from .timing import Case, Work, present

# Contenders by name.
OURS = "rad_fast"
READ, COPY = "streaming read", "copy"
TORCH, COMPILED = "torch eager", "torch compiled"
MARGIN = "torch.topk of 1 - margin"
SORT, TORCH_SORT, CUPY, CUPY_SORT = "numpy.sort", "torch.sort", "CuPy", "cupy.sort"
SPARING = (TORCH, COMPILED, CUPY)  # slow ones
MOST_NUMBERS = (1 << 31) - 1  # that torch's topk is given at once: of 10^10 it reads outside (torch 2.11, an H200)


def case_of(
    name: str,
    points: int,
    contenders: Mapping[str, Work | None],
    traffic: Mapping[str, int],
    about: Mapping[str, str | int],
    slow: Collection[str] = (),
) -> Case:
    """The case of those contenders that are installed; ``slow``: more that take few turns, beside SPARING."""
    there = present(contenders)
    sparing = frozenset(name for name in there if name in SPARING or name in slow)
    return Case(name, points, there, sparing, {name: traffic[name] for name in there}, about)


def torch() -> Any:
    """The torch module, or None where it is not installed or does not load."""
    try:
        return importlib.import_module("torch")
    except (ImportError, OSError):
        return None


def compiled(work: Callable[..., Any]) -> Callable[..., Any]:
    """``work`` by torch.compile, for the shapes it is called with; it is compiled when it is first called.

    What was compiled before is forgotten then, because past some eight shapes torch quietly runs the rest eagerly: use
    one at a time.
    """
    made: list[Callable[..., Any]] = []

    def call(*arguments: Any) -> Any:
        if not made:
            torch().compiler.reset()
            made.append(torch().compile(work, dynamic=False))
        return made[0](*arguments)

    return call


def scores(x: Any) -> tuple[Any, Any]:
    """Confidence and label of the two likeliest classes: what margins are made of."""
    t = torch()
    parts = [t.softmax(part, 1, dtype=t.float32).topk(2) for part in x.split(max(1, MOST_NUMBERS // x.shape[1]))]
    values, labels = zip(*parts, strict=True)
    return (values[0], labels[0]) if len(parts) == 1 else (t.cat(values), t.cat(labels))


def game(gain: Any, correctness: Any, budget: int, mistakes: float) -> Any:
    """The equilibrium by a sort and running sums, and a sample of it: exact where no inclusion probability reaches 1.

    Indices of ``budget`` points; sums are float64, without which they fail at ten million points.
    """
    t = torch()
    width = 1.0 / gain.double().clamp(min=2.0**-24)
    advantage = 2.0 * correctness - 1.0
    effective = advantage * gain
    falling, order = effective.sort(descending=True)
    widths = width[order].cumsum(0)
    worth = (advantage[order].cumsum(0, dtype=t.float64) - 2.0 * mistakes) / widths
    last = first_greatest(worth)  # kept as a tensor: as a number it would be waited for
    price, threshold = budget / widths.gather(0, last), falling.gather(0, last)
    inclusion = t.where(effective >= threshold, (price * width).clamp(max=1.0), 0.0)
    steps = t.arange(budget, dtype=t.float64, device=gain.device) + 0.5
    return t.searchsorted(inclusion.cumsum(0), steps).clamp(max=len(gain) - 1)


def first_greatest(values: Any) -> Any:
    """Its place. Of ten million float64 torch 2.11 compiles no argmax."""
    compiling = torch().compiler.is_compiling()
    return values.topk(1).indices if compiling else values.argmax(0, keepdim=True)


def whole(x: Any, budget: int, mistakes: float) -> Any:
    """From the logits to the indices."""
    top, _ = scores(x)
    return game(1.0 - (top[:, 0] - top[:, 1]), top[:, 0].contiguous(), budget, mistakes)


def smallest_margins(x: Any, budget: int) -> Any:
    """Margin sampling: the points that the model is least sure of, without a thought for wrong labels."""
    top, _ = scores(x)
    return torch().topk(1.0 - (top[:, 0] - top[:, 1]), budget).indices


def cupy_scores(x: Any) -> Any:
    """``scores`` of a CuPy array: margin, confidence, label."""
    cupy = importlib.import_module("cupy")
    powers = cupy.exp(x - x.max(axis=1, keepdims=True)).astype("float32")
    two = cupy.partition(powers, x.shape[1] - 2, axis=1)[:, -2:] / powers.sum(axis=1, keepdims=True)
    return two[:, 1] - two[:, 0], two[:, 1], x.argmax(axis=1)
