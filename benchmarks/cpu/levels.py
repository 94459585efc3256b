"""The SIMD levels of one processor beside one another: python -m benchmarks.cpu.levels [--turns N] [--out DIR]

Writes cpu_levels.md to benchmarks/results/. Every level and every peer take turns in one run; a ratio is the median of
those of the turns. RAD_FAST_THREADS says with how many threads, as for everything else.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import rad_fast
from rad_fast.bench import cpu
from rad_fast.bench.cpu import OURS, READ, SORT
from rad_fast.bench.machine import machine
from rad_fast.bench.timing import Case, Work, each_faster, measure

RESULTS = Path(__file__).resolve().parents[1] / "results"
NUMPY = "NumPy"
SMALL = (1_000, 5_000, 10_000, 50_000)  # points of 10 classes: what a loop of active learning selects from
SCORED = ((10, "float32"), (10, "bfloat16"), (32, "float32"), (100, "float32"), (1000, "float32"), (32768, "float32"))
WHOLE = ((5_000_000, 10), (500_000, 100), (50_000, 1000))
GAMES = (1_000_000, 10_000_000)


class Row(NamedTuple):
    """A figure, and what it came to at each level."""

    figure: str
    reached: dict[str, str]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--turns", type=int, default=25, metavar="N", help="of every contender")
    arguments.add_argument("--elements", type=int, default=1 << 25, metavar="N", help="logits that are scored")
    arguments.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help="where cpu_levels.md goes")
    given = arguments.parse_args()
    text = markdown(rows(given.turns, given.elements), given.turns)
    print(text)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "cpu_levels.md").write_text(text)


# ------------------------------------------------------------------------------------------------------------ measure


def rows(turns: int, elements: int) -> list[Row]:
    found = []
    for points in SMALL:
        logits = cpu.logits("float32", 10, 10 * points)
        budget = points // 100
        ours, peer = selecting(logits, budget), softmax_margins(logits, budget)
        found.append(times_as_fast(f"select, {points:,} x 10, against NumPy's margins", ours, peer, turns))
    for points, classes in WHOLE:
        logits = cpu.logits("float32", classes, points * classes)
        ours, read = selecting(logits, points // 100), needed(cpu.streaming_read(logits))
        found.append(share(f"select, {points:,} x {classes}, of a streaming read", ours, read, turns))
    for classes, dtype in SCORED:
        case = cpu.scoring(classes, dtype, elements)
        found.append(share(f"scoring {dtype}, C = {classes}, of a streaming read", *pair(case, READ), turns))
    for points in GAMES:
        case = cpu.game(points)
        found.append(
            times_as_fast(
                f"game and sample, {points:,} points, against numpy.sort", *pair(case, SORT), max(5, turns // 4)
            )
        )
    return found


def selecting(logits: npt.NDArray[Any], budget: int) -> Work:
    return lambda: rad_fast.select(logits, budget, quotas=None)


def softmax_margins(logits: npt.NDArray[Any], budget: int) -> Work:
    """The points of smallest margin, as one writes it in five lines of NumPy."""

    def chosen() -> npt.NDArray[np.int64]:
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        e /= e.sum(axis=1, keepdims=True)
        largest = np.partition(e, e.shape[1] - 2, axis=1)
        return np.argpartition(largest[:, -1] - largest[:, -2], budget)[:budget]

    return chosen


def pair(case: Case, peer: str) -> tuple[Work, Work]:
    return case.contenders[OURS], case.contenders[peer]


def needed(work: Work | None) -> Work:
    if work is None:
        raise ImportError("the levels are those of the compiled extension, which is not installed")
    return work


def at(level: str, work: Work) -> Work:
    def run() -> object:
        cpu.compiled().set_level(level)
        return work()

    return run


def alternated(ours: Work, peer: Work, turns: int) -> dict[str, float]:
    """How many times as fast as the peer each level is. The peer runs at the best level, whatever ran before."""
    levels = list(cpu.compiled().levels())
    contenders = {NUMPY: at(levels[0], peer), **{level: at(level, ours) for level in levels}}
    try:
        seconds = measure(Case("", 0, contenders), turns, turns)
    finally:
        cpu.compiled().set_level(levels[0])
    return {level: each_faster(seconds, level, NUMPY).median for level in levels}


def times_as_fast(figure: str, ours: Work, peer: Work, turns: int) -> Row:
    return row(figure, ours, peer, turns, lambda ratio: f"{ratio:.2f} times")


def share(figure: str, ours: Work, peer: Work, turns: int) -> Row:
    return row(figure, ours, peer, turns, lambda ratio: f"{100 * ratio:.0f}%")


def row(figure: str, ours: Work, peer: Work, turns: int, shown: Callable[[float], str]) -> Row:
    return Row(figure, {level: shown(ratio) for level, ratio in alternated(ours, peer, turns).items()})


# -------------------------------------------------------------------------------------------------------------- write


def markdown(found: list[Row], turns: int) -> str:
    levels = list(found[0].reached)
    about = ", ".join(f"{name} {value}" for name, value in machine().items())
    lines = [
        "# SIMD levels",
        "",
        f"{about}.",
        "",
        f"Medians of the ratios of {turns} turns, of all levels and the peer alternately (games: a quarter as many).",
        "",
        f"| figure | {' | '.join(levels)} |",
        f"|---|{'---|' * len(levels)}",
        *(f"| {row.figure} | {' | '.join(row.reached[level] for level in levels)} |" for row in found),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
