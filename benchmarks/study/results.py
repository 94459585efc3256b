"""The study's results: a table that is kept as a compressed .npz of one array per column."""

from __future__ import annotations

import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .work import COLUMNS

Key = tuple[str, str]  # a strategy and a loss
Table = dict[str, npt.NDArray[Any]]
Run = dict[str, Any]  # when it began, with how many processes, on what
NUMBERS = ("size", "budget", "seed", "run")
SET, STRATEGY, LOSS = (COLUMNS.index(name) for name in ("set", "strategy", "loss"))


def keep(done: Path, key: str, rows: list[list[Any]], seconds: float, run: Run, elapsed: float | None) -> None:
    """Add what was found of a unit to the file of what is done: the CPU time it took, the run that it is part of, and
    how long that run has taken by the clock."""
    line = {"key": key, "cpu": round(seconds, 3), "run": run, "elapsed": elapsed, "rows": rows}
    with done.open("a") as file:
        file.write(json.dumps(line) + "\n")


def lines(done: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.read_text().splitlines()] if done.exists() else []


def arms_done(done: Path) -> dict[str, set[Key]]:
    """By unit, the arms of which there are results."""
    found: dict[str, set[Key]] = {}
    for unit in lines(done):
        found.setdefault(unit["key"], set()).update((row[STRATEGY], row[LOSS]) for row in unit["rows"])
    return found


def forget(done: Path, names: list[str]) -> None:
    """Leave the results of some strategies or sets out of what is done, and their share of the CPU time: they have
    changed. How long their runs took by the clock says nothing of what is left."""
    if not names or not done.exists():
        return
    units, less = lines(done), []
    for unit in units:
        kept = [row for row in unit["rows"] if row[STRATEGY] not in names and row[SET] not in names]
        if len(kept) < len(unit["rows"]):
            less.append(unit["run"])
        unit["cpu"] = round(unit["cpu"] * len(kept) / len(unit["rows"]), 3)
        unit["rows"] = kept
    for unit in units:
        unit["elapsed"] = None if unit["run"] in less else unit["elapsed"]
    done.write_text("".join(json.dumps(unit) + "\n" for unit in units if unit["rows"]))


def unpack(path: Path, done: Path) -> None:
    """The file of what is done from the results."""
    table, noted = read(path)
    units: dict[tuple[str, int], list[tuple[list[Any], float]]] = {}
    columns = [table[name].tolist() for name in (*COLUMNS, "cpu", "run")]
    for *values, cpu, run in zip(*columns, strict=True):
        of = dict(zip(COLUMNS, values, strict=True))
        key = "|".join(str(of[name]) for name in ("block", "set", "teacher", "seed", "size", "labels", "student"))
        units.setdefault((key, run), []).append((values, cpu))
    for (key, at), found in units.items():
        run = dict(noted["runs"][at])
        minutes = run.pop("minutes")
        seconds = None if minutes is None else 60 * minutes
        keep(done, key, [row for row, _ in found], sum(cpu for _, cpu in found), run, seconds)


def pack(done: Path, path: Path) -> None:
    """Write the rows of all finished units, each with its share of the unit's CPU time, and the runs they are from: a
    run has ``minutes`` by the clock up to its last unit, where all that it measured is there."""
    units = lines(done)
    each: dict[str, Run] = {json.dumps(unit["run"]): unit["run"] for unit in units}
    runs = sorted(each.values(), key=lambda run: run["began"])
    found = sorted(
        ((*row, unit["cpu"] / len(unit["rows"]), runs.index(unit["run"])) for unit in units for row in unit["rows"]),
        key=lambda row: [str(v) for v in row[:10]],
    )
    columns = list(zip(*found, strict=True))
    table: Table = {}
    for name, values in zip((*COLUMNS, "cpu", "run"), columns, strict=True):
        if isinstance(values[0], str):
            table[f"{name}_names"], codes = np.unique(np.array(values), return_inverse=True)
            table[name] = codes.astype(np.int16)
        else:
            table[name] = np.array(values, np.int16 if name in NUMBERS else np.float32)
    noted = [run | {"minutes": by_the_clock(run, units)} for run in runs]
    table["conditions"] = np.array(json.dumps({"runs": noted}))
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **table)


def by_the_clock(run: Run, units: list[dict[str, Any]]) -> float | None:
    taken = [unit["elapsed"] for unit in units if unit["run"] == run]
    return None if None in taken else round(max(taken) / 60, 1)


def read(path: Path) -> tuple[Table, dict[str, Any]]:
    """Columns, with their words; and the conditions."""
    with np.load(path, allow_pickle=False) as kept:
        table = {name: kept[name] for name in kept.files}
    noted = json.loads(str(table.pop("conditions")))
    words = {name.removesuffix("_names"): table.pop(name) for name in list(table) if name.endswith("_names")}
    return table | {name: known[table[name]] for name, known in words.items()}, noted


def conditions(processes: int) -> Run:
    """Of a run that begins: what a reader needs to do it again."""
    import scipy
    import torch

    import rad_fast

    return {
        "began": time.strftime("%Y-%m-%d %H:%M:%S"),
        "processes": processes,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "torch": torch.__version__,
        "rad_fast": rad_fast.__version__,
        "machine": platform.machine(),
    }
