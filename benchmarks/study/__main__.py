"""The study: does selection help, whose, and by how much? ``python -m benchmarks.study`` writes docs/study.md anew.

    python -m benchmarks.study            everything: under an hour on two idle cores
    python -m benchmarks.study --quick    a few seeds and arms in under a minute, kept nowhere unless --out is given
    python -m benchmarks.study --report   the tables, the figure and the page from the results that are there
    python -m benchmarks.study --go-on    only what the results that are there lack
    python -m benchmarks.study --go-on --again NAME    a strategy, or a set, anew

A run that was interrupted goes on where it was, arm by arm: what is done is kept in build/study/units.jsonl.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import groupby
from pathlib import Path

from . import plan, results
from .data import ROOT
from .plan import Key, Unit
from .work import Found, rows, rows_of

DONE = ROOT / "build" / "study" / "units.jsonl"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.study", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few seeds and arms")
    parser.add_argument("--report", action="store_true", help="only write the tables, figure and page again")
    parser.add_argument("--go-on", action="store_true", help="begin with the results that are there")
    parser.add_argument("--again", nargs="+", default=[], help="strategies or sets whose results are forgotten")
    parser.add_argument("--seeds", type=int, help=f"how many ({plan.SEEDS})")
    parser.add_argument("--blocks", nargs="+", help="only these blocks")
    parser.add_argument("--sets", nargs="+", help="only these sets")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (one a core)")
    parser.add_argument("--out", type=Path, help="folder for study.npz and study.png")
    parser.add_argument("--page", type=Path, help="where the page goes (docs/study.md)")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as spare:
        out = given.out or (Path(spare) if given.quick else ROOT / "benchmarks" / "results")
        page = given.page or (Path(spare) / "study.md" if given.quick or given.out else ROOT / "docs" / "study.md")
        if not given.report:
            for name in plan.missing():
                print(f"{name}: not in shared/data, skipped")
            seeds = given.seeds or (2 if given.quick else plan.SEEDS)
            units = plan.quick(seeds) if given.quick else plan.units(seeds)
            some = [unit for unit in units if given.blocks is None or unit.block in given.blocks]
            some = [unit for unit in some if given.sets is None or unit.source in given.sets]
            done = (out if given.out or given.quick else DONE.parent) / DONE.name
            done.parent.mkdir(parents=True, exist_ok=True)
            if given.go_on and not done.exists():
                results.unpack(out / "study.npz", done)
            results.forget(done, given.again)
            measure(some, done, given.jobs)
            results.pack(done, out / "study.npz")
        from .report import write

        write(out / "study.npz", figure=out / "study.png", page=page)


def measure(units: Iterable[Unit], done: Path, jobs: int) -> None:
    """Run what is not done yet, and keep each unit as it comes."""
    before, run = results.arms_done(done), results.conditions(jobs)
    lacking = [(unit, plan.lacking(unit, before.get(unit.key, set()))) for unit in units]
    left = [(unit, names) for unit, names in lacking if names]
    began = time.perf_counter()
    for count, (unit, (found, seconds)) in enumerate(finished(left, jobs), 1):
        taken = time.perf_counter() - began
        results.keep(done, unit.key, found, seconds, run, taken)
        print(f"{taken:6.0f} s  {count}/{len(left)}  {unit.key}", flush=True)


def finished(units: list[tuple[Unit, set[Key]]], jobs: int) -> Iterator[tuple[Unit, Found]]:
    """Units with their rows and seconds, as they come; one job needs no other process. What follows one another of the
    same problem is one process's work: it prepares the problem once."""
    if jobs == 1:
        yield from ((unit, rows(unit, names)) for unit, names in units)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as workers:
        groups = [list(group) for _, group in groupby(units, lambda pair: pair[0].problem)]
        running = [workers.submit(rows_of, group) for group in groups]
        for future in as_completed(running):
            yield from future.result()


if __name__ == "__main__":
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # a process a core is faster than threads
        os.environ.setdefault(name, "1")
    sys.exit(main())
