"""Tables, figure and page of the study, from its CSV."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student_t

Row = dict[str, Any]
Key = tuple[str, str]
TEXT = Path(__file__).with_name("text.md")

EXPLORED = 8  # seeds 0 to 7 (and others outside the study) were used to choose the default
SEES_POOL = {"balanced", "proportional", "rad-raw", "rad-teacher", "rad-both", "rad"}


class Results:
    """Accuracy by (strategy, loss), cell and seed; differences are paired by cell and seed."""

    def __init__(self, table: Path, facts: Path) -> None:
        with table.open() as file:
            self.rows = list(csv.DictReader(file))
        self.facts = json.loads(facts.read_text()) if facts.exists() else {}
        rounds = [name for name in self.rows[0] if name.startswith("round")]
        self.of: dict[Key, dict[tuple[Any, ...], Row]] = defaultdict(dict)
        levels = self._levels()
        for row in self.rows:
            row["rounds"] = np.array([float(row[name]) for name in rounds])
            row["score"] = float(row["rounds"][1:].mean())
            row["quality"] = levels[row["set"], row["teacher"]]
            row["size"] = levels[row["set"], row["budget"]]
            cell = (row["set"], row["quality"], row["size"], row["labels"], int(row["seed"]))
            self.of[row["strategy"], row["loss"]][cell] = row
        self.keys = list(self.of)
        self.sets = list(dict.fromkeys(row["set"] for row in self.rows))
        self.seeds = sorted({int(row["seed"]) for row in self.rows})

    def _levels(self) -> dict[tuple[str, str], str]:
        """Which of a set's teachers and budgets is the lowest, the middle, the highest."""
        found: dict[tuple[str, str], str] = {}
        for name, words in (("teacher", ("poor", "fair", "good")), ("budget", ("small", "middle", "large"))):
            by_set: dict[str, set[str]] = defaultdict(set)
            for row in self.rows:
                by_set[row["set"]].add(row[name])
            for which, values in by_set.items():
                ordered = sorted(values, key=float)
                picked = words if len(ordered) == 3 else words[-len(ordered) :]
                found |= {(which, value): word for value, word in zip(ordered, picked, strict=True)}
        return found

    def differences(self, one: Key, other: Key, within: Callable[[Row], bool]) -> npt.NDArray[np.float64]:
        """Per seed: the mean over cells of the difference in score."""
        by_seed: dict[int, list[float]] = defaultdict(list)
        for cell, row in self.of[one].items():
            if within(row) and cell in self.of[other]:
                by_seed[cell[-1]].append(row["score"] - self.of[other][cell]["score"])
        return np.array([np.mean(values) for values in by_seed.values()])

    def mean(self, key: Key, what: Callable[[Row], Any]) -> Any:
        return np.mean([what(row) for row in self.of[key].values()], axis=0)


def everything(row: Row) -> bool:
    return True


def interval(differences: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Mean, and half the width of the 95% interval of Student's t over seeds."""
    n = len(differences)
    half = float(student_t.ppf(0.975, n - 1) * differences.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    return float(differences.mean()), half


def shown(differences: npt.NDArray[np.float64]) -> str:
    mean, half = interval(differences)
    return f"{mean:+.2f} ± {half:.2f}"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join(["---"] + ["---:"] * (len(head) - 1)) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def main_table(r: Results, loss: str, default: str) -> str:
    base: Key = ("uniform", "plain")
    keys = sorted((k for k in r.keys if k[1] == loss), key=lambda k: -interval(r.differences(k, base, everything))[0])
    rows = []
    for key in keys:
        accuracy = r.mean(key, lambda row: row["rounds"])
        name = f"**{key[0]}**" if key[0] == default else key[0]
        sets = [shown(r.differences(key, base, lambda row, s=s: row["set"] == s)) for s in r.sets]  # type: ignore[misc]
        asked = r.mean(key, lambda row: 3 * int(row["budget"]))
        sees = key[0] in SEES_POOL or key[0].startswith(f"{default}, ")
        queries = f"{asked:.0f}" + (" + pool" if sees else "")
        rows.append(
            [
                name,
                shown(r.differences(key, base, everything)),
                *sets,
                *(f"{value:.1f}" for value in accuracy[1:]),
                f"{r.mean(key, lambda row: float(row['right'])):.0f}%",
                f"{r.mean(key, lambda row: float(row['milliseconds'])):.1f}",
                queries,
            ]
        )
    head = ["strategy", "all", *r.sets, "round 1", "round 2", "round 3", "labels right", "ms a round", "queries"]
    return table(head, rows)


def against(r: Results, default: str) -> str:
    rows = []
    for key in r.keys:
        if key[0] != default and key[1] in ("plain", "weighted"):
            mine: Key = (default, "plain")
            sets = [shown(r.differences(mine, key, lambda row, s=s: row["set"] == s)) for s in r.sets]  # type: ignore[misc]
            rows.append([f"{key[0]}, {key[1]}", shown(r.differences(mine, key, everything)), *sets])
    return table(["default less", "all", *r.sets], rows)


def by(r: Results, name: str, values: list[str]) -> str:
    base: Key = ("uniform", "plain")
    rows = []
    for key in (k for k in r.keys if k[1] == "plain" and k != base):
        parts = [r.differences(key, base, lambda row, v=v: row[name] == v) for v in values]  # type: ignore[misc]
        rows.append([key[0], *(shown(part) if len(part) else "" for part in parts)])
    return table(["strategy", *values], rows)


def losses(r: Results, default: str) -> str:
    rows = []
    for strategy in ("uniform", default):
        for loss in (k[1] for k in r.keys if k[0] == strategy and k[1] != "plain"):
            pair: tuple[Key, Key] = ((strategy, loss), (strategy, "plain"))
            quality = [r.differences(*pair, lambda row, q=q: row["quality"] == q) for q in ("poor", "fair", "good")]  # type: ignore[misc]
            kind = [r.differences(*pair, lambda row, q=q: row["labels"] == q) for q in ("soft", "hard")]  # type: ignore[misc]
            cells = [shown(part) if len(part) else "" for part in [*quality, *kind]]
            rows.append([f"{strategy}, {loss}", shown(r.differences(*pair, everything)), *cells])
    return table(["loss less the plain one", "all", "poor teacher", "fair", "good", "soft labels", "hard"], rows)


def verdict(r: Results, default: str) -> str:
    """The bar of the study, and whether it is met."""
    mine: Key = (default, "plain")
    lines = []
    rivals = [k for k in r.keys if k[0] != default and k[1] == "plain"]
    gaps = {k: interval(r.differences(mine, k, everything)) for k in rivals}
    ahead = [k[0] for k in rivals if gaps[k][0] <= 0]
    lines.append(
        "- averaged over the study the default beats every other strategy: "
        + ("**met**" if not ahead else "**missed**, not ahead of " + ", ".join(ahead))
    )
    named = [k for k in rivals if k[0] in ("uniform", "margin", "entropy", "coreset")]
    unsure = [k[0] for k in named if gaps[k][0] - gaps[k][1] <= 0]
    lines.append(
        "- the paired 95% interval of the difference lies above zero against uniform, margin, entropy and CoreSet: "
        + ("**met**" if not unsure else "**missed** for " + ", ".join(unsure))
    )
    per_set = {
        s: interval(r.differences(mine, ("uniform", "plain"), lambda row, s=s: row["set"] == s))[0] for s in r.sets
    }  # type: ignore[misc]
    worse = [s for s, value in per_set.items() if value < -0.2]
    lines.append(
        "- on no set is it worse than uniform by more than 0.2 points: "
        + ("**met**" if not worse else "**missed** on " + ", ".join(worse))
    )
    fresh = max(r.seeds) >= EXPLORED
    for rival in ("uniform", "rad-both") if fresh else ():
        new = interval(r.differences(mine, (rival, "plain"), lambda row: int(row["seed"]) >= EXPLORED))
        lines.append(
            f"- over {rival} on the seeds that had no part in choosing the default: {new[0]:+.2f} ± {new[1]:.2f}"
        )
    blind = [k for k in rivals if k[0] not in SEES_POOL and not k[0].startswith(f"{default}, ")]
    early: Key = ("rad-prior", "plain")
    if early in r.keys:
        early_gaps = {k[0]: interval(r.differences(early, k, everything)) for k in blind if k != early}
        shown_gaps = ", ".join(f"{name} {mean:+.2f} ± {half:.2f}" for name, (mean, half) in early_gaps.items())
        lines.append(
            "- where the teacher's logits for the pool are not known the default is `rad-prior`; its difference to the "
            f"others that choose without them: {shown_gaps}"
        )
    close = [k[0] for k in rivals if gaps[k][0] > 0 and gaps[k][0] - gaps[k][1] <= 0]
    if close:
        lines.append("- ahead, but not beyond the 95% interval, of: " + ", ".join(close))
    return "\n".join(lines)


def figure(r: Results, path: Path, default: str) -> None:
    from matplotlib import pyplot

    base: Key = ("uniform", "plain")
    keys = sorted((k for k in r.keys if k[1] == "plain" and k != base),
                  key=lambda k: interval(r.differences(k, base, everything))[0])  # fmt: skip
    fig, axes = pyplot.subplots(1, len(r.sets) + 1, figsize=(3.0 * (len(r.sets) + 1), 5.0), sharey=True,
                                layout="constrained")  # fmt: skip
    places = np.arange(len(keys))
    for ax, name in zip(axes, ["all", *r.sets], strict=True):
        parts = [interval(r.differences(k, base, lambda row, s=name: s in ("all", row["set"]))) for k in keys]  # type: ignore[misc]
        colors = ["#d1495b" if k[0] == default else "#00798c" if k[0].startswith("rad") else "#8d99ae" for k in keys]
        ax.barh(places, [p[0] for p in parts], xerr=[p[1] for p in parts], color=colors, error_kw={"lw": 1})
        ax.axvline(0.0, color="black", lw=0.8)
        ax.set_title(name, loc="left")
    axes[0].set_yticks(places, [k[0] for k in keys])
    fig.supxlabel("points of student accuracy over uniform (mean of three rounds), 95% interval over seeds")
    fig.savefig(path, dpi=120)
    pyplot.close(fig)


def write(csv_path: Path, facts: Path, *, figure: Path | None, page: Path | None, default: str) -> None:
    r = Results(csv_path, facts)
    print(main_table(r, "plain", default))
    print()
    print(verdict(r, default))
    if figure is not None:
        draw(r, figure, default)
    if page is None:
        return
    parts = {
        "MAIN": main_table(r, "plain", default),
        "WEIGHTED": main_table(r, "weighted", default),
        "AGAINST": against(r, default),
        "QUALITY": by(r, "quality", ["poor", "fair", "good"]),
        "SIZE": by(r, "size", ["small", "middle", "large"]),
        "LABELS": by(r, "labels", ["soft", "hard"]),
        "LOSSES": losses(r, default),
        "VERDICT": verdict(r, default),
        "SETS": setups(r),
        "CONDITIONS": "\n".join(f"- {name}: {value}" for name, value in r.facts.items() if name != "setups"),
    }
    text = TEXT.read_text()
    for name, value in parts.items():
        text = text.replace(f"{{{{{name}}}}}", value)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text)


def setups(r: Results) -> str:
    rows = []
    for s in r.facts.get("setups", []):
        teachers = sorted({float(row["teacher"]) for row in r.rows if row["set"] == s["name"]})
        rows.append(
            [
                s["name"],
                *(str(s[name]) for name in ("labelled", "holdout", "pool", "test")),
                f"{s['hidden']} / {s['teacher_hidden']}",
                ", ".join(f"{value:.0%}" for value in teachers),
                ", ".join(str(value) for value in s["budgets"]),
            ]
        )
    head = [
        "set",
        "labelled",
        "hold-out",
        "pool",
        "test",
        "hidden units, student / teacher",
        "teachers",
        "budgets a round",
    ]
    return table(head, rows)


draw = figure
