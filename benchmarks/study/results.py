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
NUMBERS = ("size", "budget", "seed")
STRATEGY, LOSS = COLUMNS.index("strategy"), COLUMNS.index("loss")


def keep(done: Path, key: str, rows: list[list[Any]], seconds: float, elapsed: float | None = None) -> None:
    """Add what was found of a unit to the file of what is done: the CPU time it took, and the time since the beginning
    of the whole run, without interruptions, where it is known."""
    line = {"key": key, "cpu": round(seconds, 2), "elapsed": elapsed, "rows": rows}
    with done.open("a") as file:
        file.write(json.dumps(line) + "\n")


def arms_done(done: Path) -> dict[str, set[Key]]:
    """By unit, the arms of which there are results."""
    found: dict[str, set[Key]] = {}
    for line in done.read_text().splitlines() if done.exists() else ():
        unit = json.loads(line)
        found.setdefault(unit["key"], set()).update((row[STRATEGY], row[LOSS]) for row in unit["rows"])
    return found


def elapsed(done: Path) -> float | None:
    """Seconds that all that is done took, without interruptions; None where a part of it was not timed."""
    taken = [json.loads(line).get("elapsed") for line in done.read_text().splitlines()] if done.exists() else []
    return None if None in taken else max(taken, default=0.0)


def forget(done: Path, strategies: list[str]) -> None:
    """Leave the results of some strategies out of what is done, and their share of the time: they have changed."""
    if not strategies or not done.exists():
        return
    units = [json.loads(line) for line in done.read_text().splitlines()]
    before = sum(unit["cpu"] for unit in units)
    for unit in units:
        kept = [row for row in unit["rows"] if row[STRATEGY] not in strategies]
        unit["cpu"] = round(unit["cpu"] * len(kept) / len(unit["rows"]), 2)
        unit["rows"] = kept
    share = sum(unit["cpu"] for unit in units) / before
    for unit in units:
        unit["elapsed"] = unit["elapsed"] and share * unit["elapsed"]
    done.write_text("".join(json.dumps(unit) + "\n" for unit in units if unit["rows"]))


def unpack(path: Path, done: Path) -> None:
    """The file of what is done from the results: the CPU time of the whole, an equal share for every row."""
    table, noted = read(path)
    units: dict[str, list[list[Any]]] = {}
    for values in zip(*(table[name].tolist() for name in COLUMNS), strict=True):
        of = dict(zip(COLUMNS, values, strict=True))
        key = "|".join(str(of[name]) for name in ("block", "set", "teacher", "seed", "size", "labels", "student"))
        units.setdefault(key, []).append(list(values))
    for key, rows in units.items():
        keep(done, key, rows, 60 * noted["cpu minutes"] * len(rows) / len(table["seed"]))


def pack(done: Path, path: Path, processes: int = 1) -> None:
    """Write the rows of all finished units, and the conditions of the run."""
    units = [json.loads(line) for line in done.read_text().splitlines()]
    found = sorted((row for unit in units for row in unit["rows"]), key=lambda row: [str(v) for v in row[:10]])
    columns = list(zip(*found, strict=True))
    table: Table = {}
    for name, values in zip(COLUMNS, columns, strict=True):
        if isinstance(values[0], str):
            table[f"{name}_names"], codes = np.unique(np.array(values), return_inverse=True)
            table[name] = codes.astype(np.int16)
        else:
            table[name] = np.array(values, np.int16 if name in NUMBERS else np.float32)
    noted = conditions(sum(unit["cpu"] for unit in units)) | {"processes": processes}
    taken = elapsed(done)
    table["conditions"] = np.array(json.dumps(noted | {"minutes": None if taken is None else round(taken / 60, 1)}))
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **table)


def read(path: Path) -> tuple[Table, dict[str, Any]]:
    """Columns, with their words; and the conditions."""
    with np.load(path, allow_pickle=False) as kept:
        table = {name: kept[name] for name in kept.files}
    noted = json.loads(str(table.pop("conditions")))
    words = {name.removesuffix("_names"): table.pop(name) for name in list(table) if name.endswith("_names")}
    return table | {name: known[table[name]] for name, known in words.items()}, noted


def conditions(cpu_seconds: float) -> dict[str, Any]:
    """What a reader needs to do it again."""
    import scipy
    import torch

    import rad_fast

    return {
        "cpu minutes": round(cpu_seconds / 60, 1),
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "torch": torch.__version__,
        "rad_fast": rad_fast.__version__,
        "machine": platform.machine(),
    }
