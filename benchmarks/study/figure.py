"""The study's figure: points over uniform selection by set, the default against the three best rivals."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from . import plan
from .losses import PLAIN
from .scores import OLD, REAL, Scores, Within, hard_tfidf, interval, of_sets

UNIFORM = ("uniform", PLAIN)
SHORT_NAMES = {"policy-en": "policy, English", "policy-da": "policy, Danish"}
THREE = 3  # rivals in the table and the figure of the first page
COLOURS = ("#b5243c", "#1f5f8b", "#5a9bd4", "#5d6878")
APART = 0.17  # between the strategies of a set, of the distance between sets


def main_rivals(s: Scores) -> list[str]:
    """The strongest on the real sets, of those that ran with every teacher."""
    chosen, mine = hard_tfidf(REAL), (plan.BEFORE, plan.DEFAULT, "uniform")

    def teachers(name: str) -> set[tuple[str, str]]:
        return {(c.source, c.teacher) for c in s.of[name, PLAIN] if chosen(c)}

    ran = [name for name in s.strategies(chosen) if name in plan.RIVALS and name not in mine]
    return [name for name in ran if teachers(name) >= teachers("uniform")][:THREE]


def places(s: Scores) -> list[tuple[str, Within]]:
    """Rows of the figure, from above: the mean of the real sets and each of them, then the same of the older sets."""
    found: list[tuple[str, Within]] = []
    for mean, sets, chosen in (
        ("mean of the real sets", REAL, hard_tfidf(REAL)),
        ("mean of the older sets", OLD, of_sets(OLD)),
    ):
        found.append((mean, chosen))
        found += [(SHORT_NAMES.get(x, x), within(x, chosen)) for x in sets]
    return [(name, here) for name, here in found if len(s.differences((plan.DEFAULT, PLAIN), UNIFORM, here))]


def within(source: str, chosen: Within) -> Within:
    return lambda c: c.source == source and chosen(c)


def draw(s: Scores, path: Path) -> None:
    """Means and 95% intervals of the default and of its main rivals."""
    from matplotlib import pyplot

    rows, names = places(s), [plan.DEFAULT, *main_rivals(s)]
    fig, ax = pyplot.subplots(figsize=(7.0, 0.5 * len(rows) + 1.2), layout="constrained")
    at = np.arange(len(rows), dtype=float)
    for order, (name, colour, marker) in enumerate(zip(names, COLOURS, "osD^", strict=False)):
        found = [interval(s.differences((name, PLAIN), UNIFORM, here)) for _, here in rows]
        means, halves = (np.array(values) for values in zip(*found, strict=True))
        y = at + APART * (order - (len(names) - 1) / 2)
        ax.errorbar(means, y, xerr=np.nan_to_num(halves), fmt="none", ecolor=colour, alpha=0.5, lw=2.0)
        ax.plot(means, y, marker, color=colour, label=name, ms=5.5, ls="none")
    for row, (name, _) in enumerate(rows):
        if name.startswith("mean"):
            ax.axhspan(row - 0.5, row + 0.5, color="#f1f2f4", zorder=0)
    ax.axvline(0.0, color="black", lw=0.8)
    ax.set_yticks(at, [name for name, _ in rows])
    for label in ax.get_yticklabels():
        label.set_fontweight("bold" if label.get_text().startswith("mean") else "normal")
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", alpha=0.25)
    ax.set_xlabel("points of student accuracy over uniform selection, with 95% intervals")
    fig.legend(loc="outside upper center", ncols=len(names), frameon=False, columnspacing=1.2, handletextpad=0.2)
    ax.spines[["top", "right", "left"]].set_visible(False)
    fig.savefig(path, dpi=140)
    pyplot.close(fig)
