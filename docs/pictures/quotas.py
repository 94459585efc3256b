"""Draws quotas.png of docs/concepts.md: a budget of 100 shared out among four classes.

python docs/pictures/quotas.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from rad_fast.kernels.reference.quotas import quotas

BUDGET = 100
WEIGHTS = np.array([0.25, 0.25, 0.25, 0.25])
POINTS = np.array([70, 60, 12, 45])  # that can be selected
CHOSEN = np.array([30, 0, 5, 5])
BEFORE, NOW, FULL = "#8d99ae", "#d1495b", "#00798c"


def draw(out: Path) -> None:
    """Share out the budget and write the picture into a folder."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    shared = quotas(WEIGHTS, POINTS, CHOSEN, BUDGET)
    place = np.arange(len(WEIGHTS))
    share = WEIGHTS * (CHOSEN.sum() + BUDGET)
    with mpl.rc_context({"font.size": 10.0}):
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        ax = figure.subplots()
        ax.bar(place, CHOSEN, 0.6, color=BEFORE, label="chosen before, h")
        ax.bar(place, shared, 0.6, CHOSEN, color=NOW, label="quota now, b")
        ax.bar(
            place, POINTS, 0.6, CHOSEN, fill=False, linewidth=1.4, label="its points, n"
        )
        ax.hlines(
            share,
            place - 0.42,
            place + 0.42,
            color=FULL,
            linestyle="--",
            label="share of the whole, w (h + b)",
        )
        for k, quota in enumerate(shared):
            ax.text(
                k,
                CHOSEN[k] + quota / 2.0,
                f"{quota:.1f}",
                ha="center",
                va="center",
                color="white",
            )
        ax.set_xticks(place, [f"class {k}" for k in place])
        ax.set(ylabel="points", ylim=(0, 112))
        ax.set_title("100 points to share out, 40 chosen before", loc="left")
        ax.legend(loc="upper right", frameon=False, ncols=2)
        figure.savefig(out / "quotas.png", dpi=200, metadata={"Software": None})


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
