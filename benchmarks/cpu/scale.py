"""What a point costs, from a million points to a billion: nanoseconds and memory at each decade.

    python -m benchmarks.cpu.scale --most 1e9 --scores /big/disk/scores --picture docs/pictures/scale.png

Logits of 10 classes are made chunk by chunk, no input is stored, and making them is not counted. Each decade is run in
processes of their own, ``--turns`` of them, of which the fastest counts; the scores are kept in memory and, with
--scores, in files there too (12 bytes a point), whose pages the system counts as the process's for as long as it has no
better use for them. Before each decade another process writes as much new memory as the points will take, twice: what
that costs is the machine's, and a virtual machine's first use of its memory is over the second time. Writes OUT.json.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import rad_fast
from rad_fast.bench.machine import machine

CLASSES, CHUNK = 10, 1 << 20
KEPT = 12  # bytes of a point's scores
NEW = 64 << 20  # bytes of new memory written at a time, the size of the blocks that scores are kept in
FRACTION = 0.001
RESULTS = Path(__file__).resolve().parents[1] / "results"
COLOURS = {"in memory": "#00798c", "in files": "#d1495b"}

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--least", type=float, default=1e6)
    parser.add_argument("--most", type=float, default=1e9)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--scores", type=Path, help="a folder for scores in files, beside those in memory")
    parser.add_argument("--out", type=Path, default=RESULTS / "scale", help="where OUT.json goes")
    parser.add_argument("--picture", type=Path, help="where the plot goes, .png; needs matplotlib")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--touch", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.touch is not None:
        print(touched(arguments.touch))
    elif arguments.one is not None:
        print(json.dumps(measured(arguments.one, arguments.scores)))
    else:
        found = collect(int(arguments.least), int(arguments.most), arguments.turns, arguments.scores)
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
        if arguments.picture is not None:
            plot(found, arguments.picture)


def collect(least: int, most: int, turns: int, scores: Path | None) -> dict[str, Any]:
    """All decades, the fastest turn of each, with the scores in memory and in files."""
    about = machine()
    series: dict[str, list[Row]] = {}
    for name, folder in (("in memory", None), *([] if scores is None else [("in files", scores)])):
        print(f"{name:>12}   scoring  selecting     memory  new memory, first and then")
        rows = series[name] = []
        points = least
        while points <= most:
            first, new = (KEPT * float(run("--touch", str(KEPT * points))) for _ in range(2))
            every = [one(points, folder) for _ in range(turns)]
            best = min(every, key=lambda row: row["score_ns"] + row["select_ns"])
            turns_ns = [row["score_ns"] + row["select_ns"] for row in every]
            rows.append({**best, "first_use_ns": first, "new_memory_ns": new, "turns_ns": turns_ns})
            form = "{points:12,} {score_ns:6.1f} ns  {select_ns:6.1f} ns  {bytes:6.1f} B"
            form += "  {first_use_ns:7.1f} ns  {new_memory_ns:6.1f} ns"
            print(form.format(**rows[-1]), flush=True)
            points *= 10
    return {"machine": about, "classes": CLASSES, "fraction": FRACTION, "series": series}


def one(points: int, folder: Path | None) -> Row:
    try:
        more = [] if folder is None else ["--scores", str(folder)]
        row: Row = json.loads(run("--one", str(points), *more))
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
    return row


def run(*arguments: str) -> str:
    command = [sys.executable, "-m", "benchmarks.cpu.scale", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


# ------------------------------------------------------------------------------------------------------------ measured


def chunks(points: int) -> Iterator[np.ndarray]:
    """Logits that differ from chunk to chunk: the same noise, of another strength in each."""
    noise = np.random.default_rng(0).normal(0, 1, (CHUNK, CLASSES)).astype(np.float32)
    chunk = np.empty_like(noise)
    strengths = np.random.default_rng(1)
    for begin in range(0, points, CHUNK):
        rows = min(CHUNK, points - begin)
        np.multiply(noise[:rows], np.float32(strengths.uniform(2, 6)), out=chunk[:rows])
        yield chunk[:rows]


def measured(points: int, scores: Path | None) -> Row:
    """One selection of a thousandth of the points; memory is what it adds to that of the chunks."""
    selector = rad_fast.Selector(FRACTION, scores=scores)
    scoring, before = 0.0, 0
    for number, chunk in enumerate(chunks(points)):
        if number == 0:
            rad_fast.select(chunk, FRACTION)  # what is loaded on first use is neither timed nor counted
            before = peak()
        start = time.perf_counter()
        selector.partial_fit(chunk)
        scoring += time.perf_counter() - start
    start = time.perf_counter()
    selection = selector.finalize()
    finishing = time.perf_counter() - start
    return {
        "points": points,
        "selected": len(selection.indices),
        "score_ns": scoring / points * 1e9,
        "select_ns": finishing / points * 1e9,
        "bytes": (peak() - before) / points,
    }


def touched(size: int) -> float:
    """Nanoseconds a byte that new memory costs when it is first written."""
    blocks = []
    start = time.perf_counter()
    for _ in range(max(1, size // NEW)):
        blocks.append(np.empty(NEW, np.uint8))
        blocks[-1][:] = 1
    return (time.perf_counter() - start) / (len(blocks) * NEW) * 1e9


def peak() -> int:
    """The largest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


# ---------------------------------------------------------------------------------------------------------------- plot


def plot(found: dict[str, Any], path: Path) -> None:
    """Cost and memory of a point over the number of points."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (cost, memory) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for name, rows in found["series"].items():
        points, colour = [row["points"] for row in rows], COLOURS[name]
        total = [row["score_ns"] + row["select_ns"] for row in rows]
        cost.plot(points, total, "o-", color=colour, label=f"scores {name}")
        cost.plot(points, [row["select_ns"] for row in rows], "o:", color=colour, label="of which game and sample")
        many = [row for row in rows if row["points"] >= 5 * CHUNK]  # fewer fit where the first chunk was
        memory.plot([row["points"] for row in many], [row["bytes"] for row in many], "o-", color=colour)
        if name == "in memory":
            label = f"writing {KEPT} bytes of new memory"
            cost.plot(points, [row["new_memory_ns"] for row in rows], "--", color="#767676", label=label)
    cost.set(xscale="log", xlabel="points", ylabel="nanoseconds a point", ylim=(0, None))
    memory.set(xscale="log", xlabel="points", ylabel="bytes a point, at the peak", ylim=(0, 26), xlim=cost.get_xlim())
    memory.axhline(24, color="#767676", linestyle="--", linewidth=1)
    memory.annotate("promised: at most 24", (1, 24), xycoords=("axes fraction", "data"), ha="right", va="bottom")
    cost.legend(frameon=False, fontsize="small")
    for axes in (cost, memory):
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
