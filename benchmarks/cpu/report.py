"""The CPU benchmarks as ratios, against their targets: python -m benchmarks.cpu.report [--quick] [--out DIR]

Writes cpu.json and cpu.md to benchmarks/results/. Contenders take turns; a ratio is the median of those of the turns.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.pages import as_json
from rad_fast.bench import cpu
from rad_fast.bench.cpu import GAME, OURS, READ, SAMPLE, SCORED, SORT, TORCH
from rad_fast.bench.machine import machine
from rad_fast.bench.timing import Case, Seconds, each_faster, measure, only, spread

from . import memory

RESULTS = Path(__file__).resolve().parents[1] / "results"
LINEAR = 1.25  # ten times the points may take ten times the time, and a quarter more for what no longer fits the cache


class Size(NamedTuple):
    """How much is measured."""

    elements: int  # of logits; float32: 4 bytes each
    rounds: int
    sparing_rounds: int
    games: tuple[int, ...]
    memory_points: int


# Many short turns rather than few long ones: some then fall where nothing else runs.
FULL = Size(1 << 26, 40, 5, cpu.GAMES, 10_000_000)
QUICK = Size(1 << 25, 10, 2, cpu.GAMES[:2], 2_000_000)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="smaller inputs, fewer turns, no game of 100 million")
    arguments.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help="where cpu.json and cpu.md go")
    given = arguments.parse_args()
    size = QUICK if given.quick else FULL
    found = collect(size)
    text = markdown(found)
    print(text)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "cpu.json").write_text(as_json(found) + "\n")
    (given.out / "cpu.md").write_text(text)


# ------------------------------------------------------------------------------------------------------------ measure


def collect(size: Size) -> dict[str, Any]:
    """All measurements, and the machine they were taken on."""
    timed: dict[str, dict[str, Any]] = {}
    for points in size.games:  # first: the largest game, while no logits take the memory
        time_case(timed, only(cpu.game(points), (OURS, GAME, SAMPLE, SORT)), size)
    for classes in cpu.CLASSES:
        time_case(timed, cpu.every_dtype(classes, size.elements), size)
    for classes in (10, 1000):
        time_case(timed, beside_scoring(cpu.whole(classes, size.elements), classes), size)
    return {
        "machine": machine(),
        "size": size._asdict(),
        "cases": timed,
        "memory": extra_memory(size.memory_points),
    }


def beside_scoring(case: Case, classes: int) -> Case:
    """select beside torch's scoring alone, which is called by torch's name."""
    names = {OURS: OURS, READ: READ, SCORED: TORCH}
    contenders = {names[name]: work for name, work in only(case, names).contenders.items()}
    return replace(case, name=f"select, {classes} classes", contenders=contenders)


def time_case(timed: dict[str, dict[str, Any]], case: Case, size: Size) -> None:
    print(case.name, file=sys.stderr, flush=True)
    timed[case.name] = {"points": case.points, "seconds": measure(case, size.rounds, size.sparing_rounds)}


def extra_memory(points: int) -> dict[str, float]:
    if not Path("/proc/self/clear_refs").exists():
        return {}
    return {how: memory.measured(points, 10, how) for how in memory.HOWS}


# ------------------------------------------------------------------------------------------------------------- ratios


def faster(seconds: Seconds, ours: str, peer: str) -> float:
    """How many times as fast as a peer: the median of the turns' ratios; NaN where the peer is not installed.

    Not the ratio of each one's fastest turn: where the machine itself was half as fast again for a moment, that is the
    one's speed in one state of it over the other's in another.
    """
    return each_faster(seconds, ours, peer).median


class Target(NamedTuple):
    what: str
    wanted: str
    reached: str
    met: bool


def targets(found: dict[str, Any]) -> list[Target]:
    """What was asked for beside what was reached."""
    rows = []
    scoring = {classes: found["cases"][f"scoring, {classes} classes"]["seconds"] for classes in cpu.CLASSES}
    for classes, least in [(10, 0.4), *((c, 0.6) for c in cpu.CLASSES if c >= 100)]:
        ratio = faster(scoring[classes], f"{OURS} float32", f"{READ} float32")
        rows.append(
            at_least(f"scoring float32, C = {classes}, of the speed of a streaming read", least, ratio, "{:.0%}")
        )
    for classes in cpu.CLASSES:
        ratio = faster(scoring[classes], f"{OURS} bfloat16", f"{OURS} float32")
        rows.append(at_least(f"bfloat16 against float32, C = {classes}, rows a second", 1.0, ratio, "{:.2f} times"))
    for classes in cpu.CLASSES:
        ratio = faster(scoring[classes], f"{OURS} float32", f"{TORCH} float32")
        rows.append(at_least(f"scoring float32, C = {classes}, against torch eager", 7.0, ratio, "{:.1f} times"))
    games = {points: found["cases"].get(f"game and sample, {points:,} points") for points in cpu.GAMES}
    games = {points: case["seconds"] for points, case in games.items() if case}
    if 10_000_000 in games:
        ratio = faster(games[10_000_000], OURS, SORT)
        rows.append(at_least("game and sample, 10 million points, against numpy.sort", 1.0, ratio, "{:.2f} times"))
    sizes = sorted(games)
    for small, large in itertools.pairwise(sizes):
        ratio = spread(games[large][OURS]).median / spread(games[small][OURS]).median / (large / small)
        rows.append(at_most(f"time a point, {large:,} points against {small:,}", LINEAR, ratio, "{:.2f} times"))
    for how, extra in found["memory"].items():
        rows.append(at_most(f"peak extra memory, {how}, bytes a point", 24, extra, "{:.1f}"))
    return rows


def at_least(what: str, wanted: float, reached: float, form: str) -> Target:
    return Target(what, "at least " + form.format(wanted), form.format(reached), reached >= wanted)


def at_most(what: str, wanted: float, reached: float, form: str) -> Target:
    return Target(what, "at most " + form.format(wanted), form.format(reached), reached <= wanted)


# ----------------------------------------------------------------------------------------------------------- markdown


def markdown(found: dict[str, Any]) -> str:
    """The report: ratios first, against targets and in full; rows and points a second last."""
    size = found["size"]
    lines = ["# CPU benchmarks", ""]
    lines += [", ".join(f"{name} {value}" for name, value in found["machine"].items()) + ".", ""]
    method = (
        f"Medians of the ratios of {size['rounds']} turns ({size['sparing_rounds']} of torch), taken alternately. "
        f"Logits: {size['elements']:,} random numbers, at most {cpu.MOST_ROWS:,} rows. The streaming read is a sum "
        "over the same bytes by as many threads; torch eager is torch.softmax(x, 1, dtype=torch.float32).topk(2)."
    )
    lines += [method, "", "## Against the targets", ""]
    lines += ["| figure | target | reached | |", "|---|---|---|---|"]
    lines += [f"| {t.what} | {t.wanted} | {t.reached} | {'met' if t.met else '**missed**'} |" for t in targets(found)]
    lines += ["", f"Linear growth counts as met up to {LINEAR} times.", ""]
    scoring = {classes: found["cases"][f"scoring, {classes} classes"] for classes in cpu.CLASSES}
    lines += ["## Scoring, of the speed of a streaming read", ""]
    lines += grid(scoring, lambda seconds, dtype: read_cell(seconds, dtype))
    lines += [
        "In brackets what a fifth of the turns lies below, and above.",
        "",
        "## Scoring, times as fast as torch eager",
        "",
    ]
    lines += grid(
        scoring, lambda seconds, dtype: cell("{:.1f}", faster(seconds, f"{OURS} {dtype}", f"{TORCH} {dtype}"))
    )
    lines += ["## Scoring, rows a second against float32", ""]
    lines += grid(scoring, lambda seconds, dtype: cell("{:.2f}", faster(seconds, f"{OURS} {dtype}", f"{OURS} float32")))
    lines += ["## The game and the sample", ""]
    lines += [
        "| points | against numpy.sort | the game alone | the sample alone | ns a point |",
        "|---|---|---|---|---|",
    ]
    for name, case in found["cases"].items():
        if name.startswith("game"):
            seconds = case["seconds"]
            parts = [faster(seconds, part, SORT) for part in (OURS, GAME, SAMPLE)]
            each = 1e9 * spread(seconds[OURS]).median / case["points"]
            lines.append(f"| {case['points']:,} | " + " | ".join(f"{x:.2f}" for x in parts) + f" | {each:.2f} |")
    lines += ["", "## select, from logits to indices", ""]
    lines += ["| classes | points | of the streaming read | against torch eager's scoring alone |", "|---|---|---|---|"]
    for name, case in found["cases"].items():
        if name.startswith("select"):
            read, torch = (faster(case["seconds"], OURS, peer) for peer in (READ, TORCH))
            classes = name.split()[1]
            lines.append(f"| {classes} | {case['points']:,} | {cell('{:.0%}', read)} | {cell('{:.1f}', torch)} |")
    lines += ["", "## On this machine: million rows a second", ""]
    lines += grid(scoring, lambda seconds, dtype: f"{spread(seconds[f'{OURS} {dtype}']).median:.3e}", scale=True)
    return "\n".join(lines).rstrip() + "\n"


def grid(scoring: dict[int, Any], content: Any, *, scale: bool = False) -> list[str]:
    """A table of classes by dtypes."""
    lines = ["| classes | " + " | ".join(cpu.DTYPES) + " |", "|---" * (1 + len(cpu.DTYPES)) + "|"]
    for classes, case in scoring.items():
        texts = [content(case["seconds"], dtype) for dtype in cpu.DTYPES]
        if scale:
            texts = [f"{case['points'] / float(text) / 1e6:.3g}" for text in texts]
        lines.append(f"| {classes} | " + " | ".join(texts) + " |")
    return [*lines, ""]


def read_cell(seconds: Seconds, dtype: str) -> str:
    ratio, low, high = each_faster(seconds, f"{OURS} {dtype}", f"{READ} {dtype}")
    return "-" if math.isnan(ratio) else f"{ratio:.0%} ({low:.0%} to {high:.0%})"


def cell(form: str, value: float) -> str:
    return "-" if math.isnan(value) else form.format(value)


if __name__ == "__main__":
    main()
