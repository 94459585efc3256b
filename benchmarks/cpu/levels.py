"""The SIMD levels of one processor beside one another, against the targets of AVX2.

python -m benchmarks.cpu.levels [--quick] [--facts PAGE] [--out DIR]

Writes cpu_levels.md to benchmarks/results/, and with --facts its table into that page, docs/facts.md. Every level and
every peer take turns in one run; a ratio is that of the fastest fifths of the turns. One thread against one thread, by
the processor's time, of which other programs take none; and AVX2 again with all threads on both sides, by the clock on
the wall (RAD_FAST_THREADS: how many those are). A figure's turns are spread over three visits: what else a
processor's host does may last longer than one, and slows arithmetic but not reads. Wants a quiet machine for some
minutes; --quick takes one.
"""

from __future__ import annotations

import argparse
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import rad_fast
from benchmarks import pages
from rad_fast.bench import cpu
from rad_fast.bench.cpu import OURS, READ, SORT
from rad_fast.bench.machine import machine
from rad_fast.bench.timing import Case, Clock, Seconds, Work, measure, wall
from rad_fast.device import backends

RESULTS = Path(__file__).resolve().parents[1] / "results"
NUMPY = "NumPy"
SMALL = (1_000, 5_000, 10_000, 50_000)  # points of 10 classes: what a loop of active learning selects from
SCORED = (2, 10, 32, 100, 1000, 4096, 32768, 131072)
NARROW = (2, 10, 32, 100, 1000, 131072)  # classes of which 16-bit logits are scored beside float32
WHOLE = ((5_000_000, 10), (500_000, 100), (50_000, 1000))
GAMES = (1_000_000, 10_000_000, 100_000_000)
FEW = 3  # turns of the largest game, whose points take minutes to sort
VISITS = 3

AIMED_AT = "x86-64-v3"  # AVX2, which most processors have
TARGETS = {
    "select, 1,000 x 10, against NumPy's margins": 0.5,
    "select, 5,000 x 10, against NumPy's margins": 1.0,
    "select, 10,000 x 10, against NumPy's margins": 1.8,
    "select, 50,000 x 10, against NumPy's margins": 1.0,
    "select, 5,000,000 x 10, of a streaming read": 0.30,
    "select, 500,000 x 100, of a streaming read": 0.50,
    "select, 50,000 x 1000, of a streaming read": 0.55,
    "scoring float32, C = 10, of a streaming read": 0.45,
    **{f"scoring float32, C = {c}, of a streaming read": 0.65 for c in SCORED if c >= 32},
    **{f"scoring bfloat16, C = {c}, rows a second against float32": 1.0 for c in NARROW},
    "game and sample, 1,000,000 points, against numpy.sort": 3.0,
    "game and sample, 10,000,000 points, against numpy.sort": 5.0,
    "game and sample, 100,000,000 points, against numpy.sort": 6.0,
}
# Where AVX2 stood when the targets were set: an AMD EPYC 7003, two threads.
BEFORE = {
    "select, 1,000 x 10, against NumPy's margins": "0.08 times",
    "select, 10,000 x 10, against NumPy's margins": "0.42 times",
    "select, 50,000 x 10, against NumPy's margins": "0.99 times",
    "select, 5,000,000 x 10, of a streaming read": "13%",
    "select, 500,000 x 100, of a streaming read": "31%",
    "select, 50,000 x 1000, of a streaming read": "36%",
    "scoring float32, C = 10, of a streaming read": "35%",
    "scoring float32, C = 100, of a streaming read": "31%",
    "scoring float32, C = 1000, of a streaming read": "56%",
}


class Row(NamedTuple):
    """A figure, and what it came to at each level."""

    figure: str
    reached: dict[str, float]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--turns", type=int, default=25, metavar="N", help="of every contender")
    arguments.add_argument("--elements", type=int, default=1 << 25, metavar="N", help="logits that are scored")
    arguments.add_argument("--quick", action="store_true", help="5 turns, a quarter of the logits")
    arguments.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help="where cpu_levels.md goes")
    arguments.add_argument("--facts", type=Path, metavar="PAGE", help="docs/facts.md: its table is replaced")
    given = arguments.parse_args()
    turns, elements = (5, 1 << 23) if given.quick else (given.turns, given.elements)
    found = rows(turns, elements)
    text = markdown(found, turns)
    print(text)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "cpu_levels.md").write_text(text)
    if given.facts:
        given.facts.write_text(with_table(given.facts.read_text(), "\n".join(table(found))))


# ------------------------------------------------------------------------------------------------------------ measure


def rows(turns: int, elements: int) -> list[Row]:
    taken: dict[str, dict[str, Seconds]] = {}
    for visit in range(VISITS):
        for figure in figures(turns, elements):
            some = turns_of(figure, visit)
            if some:
                add(taken.setdefault(figure.name, {}), visited(figure, some))
    return [row(figure.name, taken[figure.name]) for figure in figures(turns, elements)]


Peers = Callable[[], tuple[Work, Work]]  # ours and what it is compared with, for as many threads as are set


class Figure(NamedTuple):
    """What is measured, in how many turns; ``level_by_level``: see ``timed``."""

    name: str
    peers: Peers
    turns: int
    level_by_level: bool = False
    all_threads: bool = True
    visits: int = VISITS


def figures(turns: int, elements: int) -> Iterator[Figure]:
    for name, peers in small():
        yield Figure(name, peers, turns, all_threads=False)
    for name, peers in [*whole(), *scored(elements)]:
        yield Figure(name, peers, turns)
    for name, peers in narrow(elements):
        yield Figure(name, peers, turns, level_by_level=True)
    for points in GAMES:
        name, few = f"game and sample, {points:,} points, against numpy.sort", max(5, turns // 4)
        largest = points > 10**7
        yield Figure(name, played(points), FEW if largest else few, visits=1 if largest else VISITS)


def turns_of(figure: Figure, visit: int) -> int:
    """The turns of this visit: all visits' are those of the figure."""
    if visit >= figure.visits:
        return 0
    return figure.turns * (visit + 1) // figure.visits - figure.turns * visit // figure.visits


def small() -> Iterator[tuple[str, Peers]]:
    for points in SMALL:

        def peers(points: int = points) -> tuple[Work, Work]:
            logits = cpu.logits("float32", 10, 10 * points)
            return selecting(logits, points // 100), softmax_margins(logits, points // 100)

        yield f"select, {points:,} x 10, against NumPy's margins", peers


def whole() -> Iterator[tuple[str, Peers]]:
    for points, classes in WHOLE:

        def peers(points: int = points, classes: int = classes) -> tuple[Work, Work]:
            logits = cpu.logits("float32", classes, points * classes)
            return selecting(logits, points // 100), needed(cpu.streaming_read(logits))

        yield f"select, {points:,} x {classes}, of a streaming read", peers


def scored(elements: int) -> Iterator[tuple[str, Peers]]:
    for classes in SCORED:

        def peers(classes: int = classes) -> tuple[Work, Work]:
            return pair(cpu.scoring(classes, "float32", elements), READ)

        yield f"scoring float32, C = {classes}, of a streaming read", peers


def narrow(elements: int) -> Iterator[tuple[str, Peers]]:
    for dtype in ("bfloat16", "float16"):
        for classes in NARROW:

            def peers(dtype: str = dtype, classes: int = classes) -> tuple[Work, Work]:
                ours, peer = (cpu.scoring(classes, kind, elements).contenders[OURS] for kind in (dtype, "float32"))
                return ours, peer

            yield f"scoring {dtype}, C = {classes}, rows a second against float32", peers


def played(points: int) -> Peers:
    return lambda: pair(cpu.game(points), SORT)  # made when it is measured: the largest takes seconds, and 1 GB


ONE = "one"


def visited(figure: Figure, turns: int) -> dict[str, Seconds]:
    """One thread at every level, and the level aimed at with all threads, under their number."""
    most = backends.threads()
    with threads(1):
        taken = {ONE: timed(*figure.peers(), turns, figure.level_by_level)}
    if figure.all_threads and most > 1 and AIMED_AT in taken[ONE]:
        taken[f"{most} threads"] = timed(*figure.peers(), turns, figure.level_by_level, only=AIMED_AT)
    return taken


def add(taken: dict[str, Seconds], more: dict[str, Seconds]) -> None:
    for side, seconds in more.items():
        for name, turns in seconds.items():
            taken.setdefault(side, {}).setdefault(name, []).extend(turns)


def row(name: str, taken: dict[str, Seconds]) -> Row:
    reached = ratios(taken[ONE])
    for side, seconds in taken.items():
        if side != ONE:
            reached |= {f"{level}, {side}": ratio for level, ratio in ratios(seconds).items()}
    return Row(name, reached)


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = os.environ.get("RAD_FAST_THREADS")
    os.environ["RAD_FAST_THREADS"] = str(count)
    try:
        yield
    finally:
        if before is None:
            del os.environ["RAD_FAST_THREADS"]
        else:
            os.environ["RAD_FAST_THREADS"] = before


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


def timed(ours: Work, peer: Work, turns: int, level_by_level: bool = False, only: str | None = None) -> Seconds:
    """What every level's turns took, or ``only`` this one's, and the peer's between them.

    The peer runs at the best level, whatever ran before; ``level_by_level`` at each level in turn.
    """
    best, *_ = every = list(cpu.compiled().levels())
    contenders: dict[str, Work] = {}
    for level in every if only is None else [only]:
        if level_by_level:
            contenders[peer_of(level)] = at(level, peer)
        else:
            contenders.setdefault(NUMPY, at(best, peer))
        contenders[level] = at(level, ours)
    try:
        return measure(Case("", 0, contenders), turns, turns, clock())
    finally:
        cpu.compiled().set_level(best)


def peer_of(level: str) -> str:
    return f"{NUMPY} {level}"


def ratios(seconds: Seconds) -> dict[str, float]:
    """How many times as fast as the peer each level is."""
    levels = [name for name in seconds if not name.startswith(NUMPY)]
    peers = {level: seconds[peer_of(level) if peer_of(level) in seconds else NUMPY] for level in levels}
    return {level: undisturbed(peers[level]) / undisturbed(seconds[level]) for level in levels}


def clock() -> Clock:
    return processor if machine()["threads"] == 1 else wall


def processor(work: Work) -> float:
    """The processor's seconds, which leave out while other programs ran."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def undisturbed(seconds: list[float]) -> float:
    """What the fastest fifth of the turns took at most: those that met the least of what else the machine does."""
    return float(np.quantile(seconds, 0.2))


# -------------------------------------------------------------------------------------------------------------- write


def markdown(found: list[Row], turns: int) -> str:
    said = [
        f"Ratios of the fastest fifths of {turns} turns in {VISITS} visits, of all levels and the peer alternately",
        "(games: a quarter as many, the largest three). One thread against one thread, by the processor's time; in the",
        "last column all threads on both sides, by the clock on the wall (numpy.sort has one thread).",
        f"Targets are those of {AIMED_AT}, which is AVX2; bold is short of them.",
        "Before: AVX2 on an AMD EPYC 7003, two threads.",
    ]
    return pages.page("SIMD levels", said, table(found))


def table(found: list[Row]) -> list[str]:
    columns = list(dict.fromkeys(column for row in found for column in row.reached))
    return [
        f"| figure | target | before | {' | '.join(columns)} |",
        f"|---|---|---|{'---|' * len(columns)}",
        *(
            f"| {row.figure} | {target(row.figure)} | {BEFORE.get(row.figure, '')} | {reached(row, columns)} |"
            for row in found
        ),
    ]


def target(figure: str) -> str:
    return shown(figure, TARGETS[figure]) if figure in TARGETS else ""


def reached(row: Row, columns: list[str]) -> str:
    texts = []
    for column in columns:
        ratio = row.reached.get(column)
        text = "" if ratio is None else shown(row.figure, ratio)
        short = ratio is not None and column.startswith(AIMED_AT) and ratio < TARGETS.get(row.figure, 0.0)
        texts.append(f"**{text}**" if short else text)
    return " | ".join(texts)


def shown(figure: str, ratio: float) -> str:
    return f"{100 * ratio:.0f}%" if figure.endswith("of a streaming read") else f"{ratio:.2f} times"


def with_table(page: str, text: str) -> str:
    """The page with this in place of the table of its section on SIMD levels."""
    changed, count = re.subn(
        r"(?s)(\n## SIMD levels\n.*?\n\n)\|.*?(?=\n\n)", lambda found: found[1] + text, page, count=1
    )
    if count != 1:
        raise ValueError('--facts: expected a page with a table below "## SIMD levels", found none')
    return changed


if __name__ == "__main__":
    main()
