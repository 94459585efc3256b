"""What the rule costs: python -m benchmarks.cpu.rule [--turns N] [--part NAME ...] [--out DIR]

select with quotas beside select without; whole selections beside a streaming read of the same bytes; small ones beside
NumPy's margins; games and samples beside numpy.sort; top-k inputs, calibrated correctness and chunks beside a streaming
read; memory. Writes cpu_rule.md to benchmarks/results/. Both sides take turns, a figure is the median of their ratios.
With --part only some parts are measured, and the rows of the others stay as they are.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import rad_fast
from benchmarks import pages
from rad_fast.bench import cpu
from rad_fast.bench.timing import Case, Work, each_faster, measure, spread
from rad_fast.device import backends
from rad_fast.game.by_class import play
from rad_fast.game.group import Alone
from rad_fast.game.quotas import class_counts, shares
from rad_fast.kernels.reference.sample import others_of
from rad_fast.kernels.reference.score import Points

from . import memory
from .levels import clock, needed, processor, softmax_margins

RESULTS = Path(__file__).resolve().parents[1] / "results"
OURS, PEER = "ours", "peer"
Array = npt.NDArray[Any]


class Row(NamedTuple):
    figure: str
    target: str
    reached: str
    met: bool | None  # None: no target

    def __str__(self) -> str:
        if self.met is None:
            return f"| {self.figure} | | {self.reached} | |"
        mark = "met" if self.met else "**missed**"
        return f"| {self.figure} | {self.target} | {self.reached} | {mark} |"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--turns", type=int, default=25, metavar="N", help="of both sides; of long ones a fifth")
    arguments.add_argument("--part", nargs="+", choices=sorted(PARTS), default=list(PARTS), metavar="NAME")
    arguments.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help="where cpu_rule.md goes")
    given = arguments.parse_args()
    page = given.out / "cpu_rule.md"
    rows = kept(page.read_text()) if page.exists() else {}
    for name in given.part:
        for row in PARTS[name](given.turns):
            print(row, flush=True)
            rows[row.figure] = str(row)
    given.out.mkdir(parents=True, exist_ok=True)
    page.write_text(markdown(list(rows.values()), given.turns))


# ------------------------------------------------------------------------------------------------------------ measure


def quotas(turns: int) -> Iterator[Row]:
    """The time of select with its quotas, in times without."""
    wanted = {(10_000_000, 10): 1.25, (1_000_000, 1000): 1.5}
    for points, classes in ((10_000, 10), (1_000_000, 10), (10_000_000, 10), (1_000_000, 100), (1_000_000, 1000)):
        logits, budget = repeated(points, classes), points // 100
        ratio = 1.0 / alternated(
            selecting(logits, budget), selecting(logits, budget, None), some(turns, points * classes)
        )
        yield most(
            f"select with quotas, {points:,} x {classes}, against select without", wanted.get((points, classes)), ratio
        )


def many_rows(turns: int) -> Iterator[Row]:
    """The same of more logits than memory holds: rows overlap."""
    points, classes = 10_000_000, 1000
    logits, budget = overlapping(points, classes), points // 100
    ratio = 1.0 / alternated(selecting(logits, budget), selecting(logits, budget, None), min(3, turns))
    yield most(f"select with quotas, {points:,} x {classes}, rows that overlap, against select without", 1.5, ratio)


def sharing_out(turns: int) -> Iterator[Row]:
    """The weights and quotas of many classes: of Zipf's frequencies, half of their points worth choosing."""
    classes, budget, labelled = 50_000, 5_000, 2_000
    counts = (2_000_000 / np.arange(1, classes + 1) ** 1.1).astype(np.int64) + 1
    both, none = np.array([counts, counts // 2]), np.zeros(classes, np.int64)
    for name, of in (("calibrated", labelled), ("not calibrated", None)):
        work = {OURS: lambda of=of: shares("auto", both, none, of, budget)}
        seconds = measure(Case("", 0, work), turns, turns, processor)
        time = 1e3 * spread(seconds[OURS]).median
        yield Row(
            f"quotas of {classes:,} classes, {name}, processor time", "at most 20 ms", f"{time:.1f} ms", time <= 20.0
        )


def whole(turns: int) -> Iterator[Row]:
    """How near select comes to reading its input."""
    for points, classes, least in ((5_000_000, 10, 0.30), (500_000, 100, 0.50), (50_000, 1000, 0.55)):
        logits = cpu.logits("float32", classes, points * classes)
        read = needed(cpu.streaming_read(logits))
        for name, asked in (("with quotas", "auto"), ("without", None)):
            ratio = alternated(selecting(logits, points // 100, asked), read, some(turns, points * classes))
            yield share(f"select {name}, {points:,} x {classes}, of a streaming read", least, ratio)


def small(turns: int) -> Iterator[Row]:
    """Calls that a loop of active learning makes: milliseconds, and against five lines of NumPy."""
    for points, least in ((1_000, 0.5), (10_000, 1.8)):
        logits = cpu.logits("float32", 10, 10 * points)
        ours, peer = selecting(logits, points // 100), softmax_margins(logits, points // 100)
        seconds = taken(ours, peer, 8 * turns)
        ratio, time = each_faster(seconds, OURS, PEER).median, 1e3 * spread(seconds[OURS]).median
        yield Row(
            f"select with quotas, {points:,} x 10, against NumPy's margins",
            f"at least {least:.2f} times",
            f"{ratio:.2f} times ({time:.2f} ms)",
            ratio >= least,
        )


def games(turns: int) -> Iterator[Row]:
    """The games of ten classes and their sample, against sorting the gains."""
    for points, least in ((1_000_000, 3.0), (10_000_000, 5.0)):
        gain, correctness = cpu.scores(points)
        gain = np.floor(gain * np.float32(2**24)) * np.float32(2.0**-24)
        rng = np.random.default_rng(2)
        label, other = rng.integers(0, 10, points).astype(np.int32), rng.integers(0, 10, points).astype(np.uint8)
        some_points, kernels = Points(gain, correctness, label, other), backends.backend("auto")

        def played(points: Points = some_points, kernels: Any = kernels) -> object:
            counts = class_counts([points], 10, kernels)
            found = shares("auto", counts, np.zeros(10, np.int64), None, len(points.gain) // 100)
            return play(
                [points], found, 0.02 * len(points.gain), others_of(10, 10), 1 << 61, kernels, Alone(), counts[0]
            )

        ratio = alternated(played, lambda gain=gain: np.sort(gain), some(turns, 30 * points))
        yield Row(
            f"games and sample of 10 classes, {points:,} points, against numpy.sort",
            f"at least {least:.2f} times",
            f"{ratio:.2f} times",
            ratio >= least,
        )


def other_inputs(turns: int) -> Iterator[Row]:
    """What is no matrix of logits in one call, of a streaming read of the bytes that it has."""
    rows, rng = 500_000, np.random.default_rng(0)
    values = -np.sort(-rng.normal(0, 4, (rows, 20)).astype(np.float32), axis=1)
    top = rad_fast.TopKLogits(values, np.tile(np.arange(20, dtype=np.int32), (rows, 1)), n_classes=50_000)
    read = needed(cpu.streaming_read(values))
    yield share(
        "select, 20 logits of 50,000 classes each, of a streaming read",
        None,
        alternated(lambda: rad_fast.select(top, rows // 100), read, turns),
    )
    logits = cpu.logits("float32", 10, 10 * rows)
    read = needed(cpu.streaming_read(logits))
    labels = np.where(rng.random(2000) < 0.8, logits[:2000].argmax(1), 0)
    calibrator = rad_fast.Calibrator().fit(logits[:2000], labels)
    yield share(
        "Calibrator.predict, 10 classes, of a streaming read",
        None,
        alternated(lambda: calibrator.predict(logits), read, turns),
    )

    def in_chunks() -> object:
        selector = rad_fast.Selector(0.01)
        for begin in range(0, rows, 50_000):
            selector.partial_fit(logits[begin : begin + 50_000])
        return selector.finalize()

    yield share(
        "partial_fit of 10 chunks and finalize, 10 classes, of a streaming read",
        None,
        alternated(in_chunks, read, turns),
    )


def in_memory(turns: int) -> Iterator[Row]:
    """Bytes a point beyond the input, at the peak."""
    for how, points in (("whole", 5_000_000), ("a third selected", 5_000_000), ("alike", 5_000_000)):
        reached = memory.measured(points, 10, how)
        yield Row(
            f"peak extra memory with quotas, {how}, bytes a point", "at most 24.0", f"{reached:.1f}", reached <= 24.0
        )


PARTS: dict[str, Callable[[int], Iterator[Row]]] = {
    "quotas": quotas,
    "rows": many_rows,
    "shares": sharing_out,
    "whole": whole,
    "small": small,
    "games": games,
    "inputs": other_inputs,
    "memory": in_memory,
}


def repeated(points: int, classes: int) -> Array:
    """Logits of any number of points, from a million of them at most."""
    logits = cpu.logits("float32", classes, min(points, 1_000_000) * classes)
    return np.concatenate([logits] * (points // len(logits))) if points > len(logits) else logits


def overlapping(points: int, classes: int) -> Array:
    """Logits of so many points in a hundredth of the memory: each row begins seven numbers after the one before."""
    numbers = cpu.numbers("float32", 7 * points + classes)
    return np.lib.stride_tricks.as_strided(numbers, (points, classes), (28, 4), writeable=False)


def some(turns: int, numbers: int) -> int:
    """Fewer turns where one takes long."""
    return turns if numbers <= 20_000_000 else max(3, turns // 5)


def selecting(logits: Array, budget: int, quotas: str | None = "auto") -> Work:
    return lambda: rad_fast.select(logits, budget, quotas=quotas)


def taken(ours: Work, peer: Work, turns: int) -> dict[str, list[float]]:
    return measure(Case("", 0, {OURS: ours, PEER: peer}), turns, turns, clock())


def alternated(ours: Work, peer: Work, turns: int) -> float:
    """How many times as fast as the peer."""
    return each_faster(taken(ours, peer, turns), OURS, PEER).median


def most(figure: str, wanted: float | None, ratio: float) -> Row:
    if wanted is None:
        return Row(figure, "", f"{ratio:.2f} times as long", None)
    return Row(figure, f"at most {wanted:.2f} times as long", f"{ratio:.2f} times as long", ratio <= wanted)


def share(figure: str, least: float | None, ratio: float) -> Row:
    if least is None:
        return Row(figure, "", f"{100 * ratio:.0f}%", None)
    return Row(figure, f"at least {100 * least:.0f}%", f"{100 * ratio:.0f}%", ratio >= least)


# -------------------------------------------------------------------------------------------------------------- write


def kept(page: str) -> dict[str, str]:
    """The rows of a page, by their figures."""
    rows = re.findall(r"^\| (?!figure )([^|]*) \|.*\|$", page, re.MULTILINE)
    lines = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| figure ")]
    return dict(zip(rows, lines, strict=True))


def markdown(rows: list[str], turns: int) -> str:
    said = f"Medians of the ratios of {turns} turns, both sides alternately (where a turn takes long, a fifth as many)."
    clocked = "With one thread, of the processor's time, which leaves out while other programs ran."
    lines = ["| figure | target | reached | |", "|---|---|---|---|", *rows]
    return pages.page("What the rule costs", [said, clocked], lines)


if __name__ == "__main__":
    main()
