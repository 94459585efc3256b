"""The study: does selection help, whose, and by how much? ``python -m benchmarks.study`` writes docs/study.md anew.

Three sets, teachers from poor to good, three budgets, soft and hard labels, twenty paired seeds; every strategy of
``rad_fast.distill``, with and without the loss weighted by correctness, and the robust losses on uniform and on RAD.

    python -m benchmarks.study            everything: some 25 minutes on two idle cores
    python -m benchmarks.study --quick    a few seeds and cells in under a minute, kept nowhere unless --out is given
    python -m benchmarks.study --report   the tables, the figure and the page from the results that are there
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import torch

import rad_fast
from rad_fast.distill import STRATEGIES

from .ablations import ABLATIONS
from .data import SETUPS, Setup, tasks
from .report import write
from .runs import BATCH, DEBIASED, DECAY, LR, PLAIN, SLAM, SLAM_RAW, STEPS, WEIGHTED, Arm, Outcome, run

BENCHMARKS = Path(__file__).resolve().parents[1]
ROUNDS = 3
DEFAULT = "rad"
RIVALS = (
    "uniform",
    "balanced",
    "margin",
    "entropy",
    "least-confidence",
    "coreset",
    "cluster-margin",
    "unixkd",
    "pcoreset",
    "proportional",
    "rad-average",
    "rad-prior",
    "rad-raw",
    "rad-teacher",
    "rad-both",
)
ROBUST = (DEBIASED, SLAM, SLAM_RAW)
COLUMNS = ["set", "teacher", "budget", "labels", "strategy", "loss", "seed"]
COLUMNS += [f"round{n}" for n in range(ROUNDS + 1)] + ["right", "milliseconds"]


def arms() -> list[Arm]:
    names = [*RIVALS, DEFAULT]
    found = [Arm(name, STRATEGIES[name], loss) for name in names for loss in (PLAIN, WEIGHTED)]
    found += [Arm(name, STRATEGIES[name], loss) for name in ("uniform", DEFAULT) for loss in ROBUST]
    return found + [Arm(name, choose) for name, choose in ABLATIONS.items()]


def cells(quick: bool) -> list[tuple[int, int, str]]:
    """(teacher, budget, labels): all nine pairs, each row a Latin square of its own; soft and hard labels spread."""
    if quick:
        return [(1, 1, "soft"), (2, 0, "hard")]
    return [
        *((1, 1, "soft"), (0, 2, "hard"), (2, 0, "soft")),
        *((0, 0, "soft"), (1, 2, "hard"), (2, 1, "hard")),
        *((0, 1, "hard"), (1, 0, "hard"), (2, 2, "soft")),
    ]


def rows(setup: Setup, teacher: float, budget: int, labels: str, outcome: Outcome, seeds: list[int]) -> list[list[Any]]:
    found = []
    for i, seed in enumerate(seeds):
        accuracy = [f"{value:.3f}" for value in outcome.accuracy[i]]
        right, ms = 100 * np.nanmean(outcome.right[i]), 1000 * np.nanmean(outcome.seconds[i])
        cell: list[Any] = [setup.name, f"{teacher:.3f}", budget, labels, outcome.arm.strategy, outcome.arm.loss, seed]
        found.append([*cell, *accuracy, f"{right:.2f}", f"{ms:.2f}"])
    return found


def conditions(seeds: list[int], quick: bool) -> dict[str, Any]:
    """What a reader needs to do it again."""
    return {
        "seeds": seeds,
        "rounds": ROUNDS,
        "quick": quick,
        "steps": STEPS,
        "batch": BATCH,
        "lr": LR,
        "weight_decay": DECAY,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "rad_fast backend": rad_fast.Selector(1).fit(np.eye(2, dtype=np.float32)).backend,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "date": time.strftime("%Y-%m-%d"),
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.study", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few seeds and cells")
    parser.add_argument("--report", action="store_true", help="only write the tables, figure and page again")
    parser.add_argument("--seeds", type=int, help="how many (20)")
    parser.add_argument("--sets", nargs="+", help="only these sets")
    parser.add_argument("--out", type=Path, help="folder for study.csv, study.json, study.png")
    parser.add_argument("--page", type=Path, help="where the page goes (docs/study.md)")
    given = parser.parse_args(arguments)
    out = given.out or (None if given.quick else BENCHMARKS / "results")
    page = given.page or (None if given.quick or given.out else BENCHMARKS.parent / "docs" / "study.md")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    if not given.report:
        results = measure(given, out)
    else:
        if out is None:
            sys.exit("--report: expected --out with --quick")
        results = (out / "study.csv", out / "study.json")
    write(*results, figure=None if out is None else out / "study.png", page=page, default=DEFAULT)


def measure(given: argparse.Namespace, out: Path | None) -> tuple[Path, Path]:
    """Run everything, writing results as they come."""
    seeds = list(range(given.seeds or (3 if given.quick else 20)))
    folder = out or Path(os.environ.get("TMPDIR", "/tmp"))
    folder.mkdir(parents=True, exist_ok=True)
    stem = "study" if out else f"study-{os.getpid()}"
    table, facts = folder / f"{stem}.csv", folder / f"{stem}.json"
    noted = conditions(seeds, given.quick)
    began, spent = time.perf_counter(), time.process_time()
    with table.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        setups = [setup for setup in SETUPS if given.sets is None or setup.name in given.sets]
        made = {setup.name: tasks(setup, seeds) for setup in setups}
        memories: dict[str, Any] = {setup.name: {} for setup in setups}
        for (teacher, budget, labels), setup in itertools.product(cells(given.quick), setups):
            task = made[setup.name][teacher]
            for outcome in run(task, arms(), setup.budgets[budget], labels, ROUNDS, seeds, memories[setup.name]):
                writer.writerows(rows(setup, task.accuracy, setup.budgets[budget], labels, outcome, seeds))
            file.flush()
            now = time.perf_counter() - began
            noted |= {"minutes": round(now / 60, 1), "cpu minutes": round((time.process_time() - spent) / 60, 1)}
            noted["cells"] = noted.get("cells", 0) + 1
            facts.write_text(json.dumps({**noted, "setups": [vars(setup) for setup in setups]}, indent=1) + "\n")
            print(f"{now:7.0f} s  {setup.name}, teacher {task.accuracy:.0%}, {setup.budgets[budget]} a round, {labels}",
                  flush=True)  # fmt: skip
    return table, facts


if __name__ == "__main__":
    main()
