"""Draws the pictures of docs/concepts.md: a small game on handwritten digits, and the player's value at every price.

    python docs/pictures/game.py [FOLDER]

The teacher, a logistic regression, has learned from 150 digits and the student from 60 others; 50 more are the
labelled hold-out, and 400 are the pool, of which 200 may be selected.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import rad_fast

Floats = npt.NDArray[np.float64]

BUDGET = 200
NONE, PRICED, SURE = "#8d99ae", "#d1495b", "#00798c"


def draw(out: Path) -> None:
    """Play the game and write game-plane.png and game-prices.png into a folder."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    selection = game()
    with mpl.rc_context({"font.size": 10.0}):
        for name, width, draw_on in (
            ("plane", 5.7, draw_plane),
            ("prices", 4.1, draw_prices),
        ):
            figure = Figure(figsize=(width, 4.6), layout="constrained")
            draw_on(figure.subplots(), selection)
            about = {"Software": None}  # whatever draws it, the same bytes
            figure.savefig(out / f"game-{name}.png", dpi=200, metadata=about)


def game() -> rad_fast.Selection:
    """The selection from the pool, with correctness calibrated on both models."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(pixels))
    pixels, labels = pixels[order] / 16.0, labels[order]
    of_teacher, of_student, held_out, pool = (
        slice(*ends) for ends in ((0, 150), (150, 210), (210, 260), (260, 660))
    )
    teacher, student = (
        LogisticRegression(max_iter=1000)
        .fit(pixels[part], labels[part])
        .decision_function(pixels)
        for part in (of_teacher, of_student)
    )
    calibrator = rad_fast.Calibrator().fit(
        teacher[held_out], labels[held_out], student[held_out]
    )
    # One standard error of the teacher's error rate, so that there is something to see.
    wrong = calibrator.error_
    mistakes = float(400 * np.sqrt(wrong * (1.0 - wrong) / 50))
    return rad_fast.Selector(BUDGET, mistakes=mistakes, quotas=None).fit(
        teacher[pool],
        student_logits=student[pool],
        gain="margin",
        correctness=calibrator,
    )


def value_at(selection: rad_fast.Selection, price: float) -> float:
    """F(price): the player's best against an adversary whose price is fixed, by a greedy fill."""
    g, c = (
        np.asarray(values, np.float64)
        for values in (selection.gain, selection.correctness)
    )
    first = np.minimum(1.0, price / np.maximum(g, 1e-12))
    worth = np.concatenate([(2.0 * c - 1.0) * g, -g])
    length = np.concatenate([first, 1.0 - first])
    best_first = np.argsort(-worth, kind="stable")
    before = np.concatenate([[0.0], np.cumsum(length[best_first])[:-1]])
    taken = np.clip(selection.budget - before, 0.0, length[best_first])
    return float(worth[best_first] @ taken - 2.0 * selection.mistakes * price)


def draw_plane(ax: Any, s: rad_fast.Selection) -> None:
    low, top = 0.3, 1.12  # room above c = 1 for what the regions are called
    g = np.linspace(0.02, 1.0, 500)
    border = np.minimum(
        (s.threshold / g + 1.0) / 2.0, top
    )  # effective gain (2c - 1) g equal to the threshold
    ax.fill_between(
        g, border, top, where=g <= s.price, color=SURE, alpha=0.13, linewidth=0
    )
    ax.fill_between(
        g, border, top, where=g >= s.price, color=PRICED, alpha=0.11, linewidth=0
    )
    ax.plot(g, border, color="black", linewidth=1.3)
    ax.plot(
        [s.price] * 2,
        [(s.threshold / s.price + 1.0) / 2.0, top],
        color="black",
        linewidth=1.3,
        linestyle="--",
    )
    q = s.probabilities
    for part, colour in (
        (q == 0.0, NONE),
        (q == 1.0, SURE),
        ((q > 0.0) & (q < 1.0), PRICED),
    ):
        ax.scatter(
            s.gain[part],
            s.correctness[part],
            s=22,
            color=colour,
            alpha=0.75,
            linewidths=0,
        )
    at = s.indices
    ax.scatter(
        s.gain[at],
        s.correctness[at],
        s=52,
        facecolors="none",
        edgecolors="black",
        linewidths=0.6,
    )
    ax.text(
        0.98, 1.065, "q = λ / g", color="#8f2334", ha="right", va="center", fontsize=12
    )
    ax.text(
        s.price - 0.015,
        1.065,
        "q = 1",
        color="#005a68",
        ha="right",
        va="center",
        fontsize=12,
    )
    ax.text(0.04, 1.065, "q = 0", color="#4a5568", va="center", fontsize=12)
    ax.annotate(
        f"(2c − 1) g = μ = {s.threshold:.3f}",
        (0.5, (s.threshold / 0.5 + 1.0) / 2.0),
        (0.06, 0.72),
        arrowprops={"arrowstyle": "-", "linewidth": 0.8},
    )
    ax.annotate(
        f"g = λ = {s.price:.3f}",
        (s.price, (s.threshold / s.price + 1.0) / 2.0 + 0.01),
        (0.36, 0.47),
        arrowprops={"arrowstyle": "-", "linewidth": 0.8, "linestyle": "--"},
    )
    ax.text(0.06, 0.34, "ringed: selected")
    ax.set(xlim=(0.0, 1.0), ylim=(low, top), xlabel="gain g: 1 − margin of the student")
    ax.set(ylabel="correctness c of the teacher's label")
    ax.set_yticks(np.linspace(0.3, 1.0, 8))
    ax.set_title(f"{s.budget} of {s.n_points} handwritten digits", loc="left")


def draw_prices(ax: Any, s: rad_fast.Selection) -> None:
    prices = np.linspace(0.0, 1.0, 401)
    values = [value_at(s, price) for price in prices]
    ax.plot(prices, values, color="black", linewidth=1.6)
    ax.plot(
        [s.price] * 2,
        [min(values), s.value],
        color=PRICED,
        linewidth=1.0,
        linestyle=":",
    )
    ax.plot([s.price], [s.value], "o", color=PRICED)
    text = f"λ = {s.price:.3f}\nF(λ) = {s.value:.1f},\nthe value\nof the game"
    ax.text(
        s.price + 0.04,
        (s.value + min(values)) / 2.0,
        text,
        color="#8f2334",
        va="center",
    )
    ax.set(xlim=(0.0, 1.0), xlabel="the adversary's price λ", ylabel="F(λ)")
    ax.set_title("the player's best at each price", loc="left")


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
