"""Paired differences of scores, from the study's results."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student_t

from . import data, real
from .losses import PLAIN
from .results import Run, read
from .runs import ROUNDS

REAL = tuple(dict.fromkeys(source for source, _ in real.TEACHERS))
OLD = tuple(data.SETUPS)
Key = tuple[str, str]
FEWEST = 3  # seeds of which an interval says something


class Cell(NamedTuple):
    """What a difference is paired by."""

    source: str
    teacher: str
    student: str
    labels: str
    size: int
    seed: int


Within = Callable[[Cell], bool]


class Scores:
    """Scores, mean accuracy over the rounds, by (strategy, loss) and cell."""

    def __init__(self, path: Path) -> None:
        table, noted = read(path)
        self.runs: list[Run] = noted["runs"]
        self.cpu_minutes = float(table["cpu"].sum(dtype=np.float64)) / 60
        rounds = np.column_stack([table[f"round{n}"] for n in range(ROUNDS + 1)])
        self.of: dict[Key, dict[Cell, float]] = defaultdict(dict)
        self.beside: dict[Key, dict[Cell, npt.NDArray[np.float64]]] = defaultdict(dict)
        columns = [table[name] for name in ("set", "teacher", "student", "labels", "size", "seed")]
        measured = np.column_stack([rounds, table["right"], table["milliseconds"], table["teacher_right"]])
        for row, (strategy, loss) in enumerate(zip(table["strategy"], table["loss"], strict=True)):
            words = [str(column[row]) for column in columns[:4]]
            cell = Cell(*words, int(columns[4][row]), int(columns[5][row]))
            self.of[str(strategy), str(loss)][cell] = float(rounds[row, 1:].mean())
            self.beside[str(strategy), str(loss)][cell] = measured[row].astype(np.float64)

    def differences(
        self, one: Key, other: Key, within: Within, beside: Callable[[Cell], Cell] = lambda cell: cell
    ) -> npt.NDArray[np.float64]:
        """Per seed: the mean over sets of the mean over a set's cells; seeds that lack a set are left out. ``beside``:
        the cell that one's cell is compared with."""
        by_seed: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        theirs = self.of.get(other, {})
        for cell, score in self.of.get(one, {}).items():
            if beside(cell) in theirs and within(cell):
                by_seed[cell.seed][cell.source].append(score - theirs[beside(cell)])
        sets = max((len(found) for found in by_seed.values()), default=0)
        whole = [found for _, found in sorted(by_seed.items()) if len(found) == sets]
        return np.array([np.mean([np.mean(values) for values in found.values()]) for found in whole])

    def after(self, one: Key, other: Key, within: Within, number: int) -> npt.NDArray[np.float64]:
        """Differences of accuracy after one round, paired by cell."""
        theirs = self.beside.get(other, {})
        mine = {cell: values for cell, values in self.beside.get(one, {}).items() if cell in theirs and within(cell)}
        return np.array([values[number] - theirs[cell][number] for cell, values in mine.items()])

    def mean(self, key: Key, within: Within) -> npt.NDArray[np.float64]:
        """Accuracy by round, then share of right labels, milliseconds, the teacher's share of right labels."""
        found = [values for cell, values in self.beside.get(key, {}).items() if within(cell)]
        return np.mean(found, axis=0) if found else np.full(ROUNDS + 4, np.nan)

    def strategies(self, within: Within, loss: str = PLAIN) -> list[str]:
        """Those that have a cell there, in the order of their lead over uniform selection."""
        names = [name for (name, kind), cells in self.of.items() if kind == loss and any(map(within, cells))]
        return sorted(names, key=lambda name: -mean_of(self.differences((name, loss), ("uniform", PLAIN), within)))


def hard_tfidf(sets: tuple[str, ...]) -> Within:
    """The main part of the study: hard labels, the students that see components of TF-IDF."""
    return lambda cell: cell.source in sets and cell.labels == "hard" and cell.student == "tfidf"


def of_sets(sets: tuple[str, ...]) -> Within:
    return lambda cell: cell.source in sets and cell.student == "tfidf"


def mean_of(differences: npt.NDArray[np.float64]) -> float:
    return float(differences.mean()) if len(differences) else -np.inf


def interval(differences: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Mean, and half the width of the 95% interval of Student's t over seeds."""
    n = len(differences)
    if n == 0:
        return float("nan"), float("nan")
    half = float(student_t.ppf(0.975, n - 1) * differences.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    return float(differences.mean()), half


def shown(differences: npt.NDArray[np.float64]) -> str:
    mean, half = interval(differences)
    if np.isnan(mean):
        return ""
    return f"{mean:+.1f} ± {half:.1f}" if len(differences) >= FEWEST else f"{mean:+.1f}"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join(["---"] + ["---:"] * (len(head) - 1)) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
