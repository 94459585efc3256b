"""What a point costs, from a million points to a billion: seconds and memory at each decade.

    python benchmarks/scale.py --most 1e9 --scores /big/disk/scores --out build/scale

Logits of 10 classes are made chunk by chunk, no input is stored, and making them is not counted. Each decade runs in
a process of its own, whose peak memory is read; with --scores the scores are kept in files there (12 bytes a point),
whose pages the system counts as this process's for as long as it has no better use for them. Writes OUT.json, and
OUT.png where matplotlib is installed.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import rad_fast

CLASSES, CHUNK = 10, 1 << 20


def chunks(points: int) -> Iterator[np.ndarray]:
    """Logits that differ from chunk to chunk: the same noise, of another strength in each."""
    noise = np.random.default_rng(0).normal(0, 1, (CHUNK, CLASSES)).astype(np.float32)
    chunk = np.empty_like(noise)
    strengths = np.random.default_rng(1)
    for begin in range(0, points, CHUNK):
        rows = min(CHUNK, points - begin)
        np.multiply(noise[:rows], np.float32(strengths.uniform(2, 6)), out=chunk[:rows])
        yield chunk[:rows]


def measured(points: int, scores: str | None) -> dict[str, Any]:
    """One selection of a thousandth of the points; memory is what it adds to that of the chunks."""
    selector = rad_fast.Selector(0.001, scores=scores)
    scoring, before = 0.0, 0
    for number, chunk in enumerate(chunks(points)):
        if number == 0:
            rad_fast.select(chunk, 0.001)  # what is loaded on first use is neither timed nor counted
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


def peak() -> int:
    """The largest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (seconds, memory) = pyplot.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    points = [row["points"] for row in rows]
    for name, label in (("score_ns", "scoring"), ("select_ns", "game and sample")):
        seconds.plot(points, [row[name] for row in rows], "o-", label=label)
    memory.plot(points, [row["bytes"] for row in rows], "o-")
    seconds.set(xscale="log", xlabel="points", ylabel="nanoseconds a point", ylim=(0, None))
    memory.set(xscale="log", xlabel="points", ylabel="bytes a point, at the peak", ylim=(0, None))
    seconds.legend()
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--least", type=float, default=1e6)
    parser.add_argument("--most", type=float, default=1e9)
    parser.add_argument("--scores", type=Path, help="a folder for the scores, in place of memory")
    parser.add_argument("--out", type=Path, default=Path("build/scale"))
    parser.add_argument("--one", type=int, help="measure this many points, in this process")
    arguments = parser.parse_args()
    if arguments.one is not None:
        print(json.dumps(measured(arguments.one, arguments.scores)))
        return
    rows, points = [], int(arguments.least)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    print("      points   scoring   selecting   memory")
    while points <= arguments.most:
        command = [sys.executable, __file__, "--one", str(points)]
        command += [] if arguments.scores is None else ["--scores", str(arguments.scores)]
        rows.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))
        print("{points:12,}  {score_ns:5.1f} ns    {select_ns:5.1f} ns  {bytes:5.1f} B".format(**rows[-1]), flush=True)
        points *= 10
    arguments.out.with_suffix(".json").write_text(json.dumps({"classes": CLASSES, "runs": rows}, indent=1) + "\n")
    try:
        plot(rows, arguments.out.with_suffix(".png"))
    except ImportError:
        print("no plot: matplotlib is not installed")


if __name__ == "__main__":
    main()
