"""What a whole selection comes to by count, by each way through the kernels: where Triton's scores are worth having."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from benchmarks.gpu.model import GPUS, Cost, Gpu

MOST_POINTS, MOST_BYTES = 100_000_000, 20_000_000_000  # of points, and of their logits
ROUTES = {"cuda": "cuda", "triton+cuda": "triton"}  # whose game is the compiled one, and who scores

Games = Callable[[Gpu, int], Mapping[str, float]]


class Scoring(Protocol):
    """A line of the table of counts."""

    @property
    def backend(self) -> str: ...
    @property
    def what(self) -> str: ...
    @property
    def cost(self) -> Cost: ...


def seconds(cost: Cost, game: Games, gpu: Gpu, row_bytes: int) -> float:
    """Predicted: the scores, the game and the sample, without quotas; what the host does meanwhile is hidden."""
    points = points_of(row_bytes)
    return cost.seconds(gpu, points) + sum(game(gpu, points).values())


def points_of(row_bytes: int) -> int:
    return min(MOST_POINTS, MOST_BYTES // row_bytes)


def table(rows: Iterable[Scoring], game: Games, written: int) -> str:
    """A line for each number of classes and dtype that all score; ``written``: bytes a row beside the logits."""
    scores: dict[str, dict[str, Cost]] = {}
    for row in rows:
        scores.setdefault(row.what, {})[row.backend] = row.cost
    head = [f"{route}, {gpu.name}" for gpu in GPUS for route in ROUTES]
    lines = [f"| classes, dtype | points | {' | '.join(head)} |", "|" + "---|" * (2 + len(head))]
    for what, by in scores.items():
        if not set(ROUTES.values()) <= set(by):
            continue
        row_bytes = int(by["cuda"].nbytes) - written
        cells = []
        for gpu in GPUS:
            found = [round(1e3 * seconds(by[scorer], game, gpu, row_bytes), 2) for scorer in ROUTES.values()]
            cells += [f"**{ms:.2f}**" if ms < max(found) else f"{ms:.2f}" for ms in found]
        lines.append(f"| {what} | {points_of(row_bytes):,} | {' | '.join(cells)} |")
    return "\n".join(lines) if len(lines) > 2 else "Of whole selections nothing: Triton's kernels were not counted."
