"""The figures of a report, by matplotlib, from what ``figures`` counted."""

from __future__ import annotations

from typing import Any

import numpy as np

from .words import Figures, Numbers

# Each colour once: the page replaces them by its own, light or dark. POOL alone is drawn as it is on both.
INK, MUTED, GRID, PAPER = "#1c2730", "#5c6a77", "#dfe5ea", "#fefefe"
POOL, PICKED, WORTH, PRICE = "#6f88a0", "#c9374c", "#00707f", "#b06f00"
COLOURS = {"ink": INK, "muted": MUTED, "grid": GRID, "paper": PAPER}
COLOURS |= {"pool": POOL, "picked": PICKED, "worth": WORTH, "price": PRICE}

TITLES = {
    "plane": "Gain and correctness",
    "margin": "Margin",
    "probability": "Inclusion probability",
    "calibration": "Calibration",
    "classes": "Labels",
    "mistakes": "What robustness costs",
    "budget": "Where labels stop paying off",
}
STYLE = {
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.labelpad": 6.0,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "font.size": 11.5,
    "legend.edgecolor": GRID,
    "legend.facecolor": PAPER,
    "legend.labelcolor": INK,
    "legend.fontsize": 10.5,
    "lines.linewidth": 2.0,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
}


def drawn(numbers: Numbers, figures: Figures) -> list[str]:
    """The names of the figures that there is something to draw for, in the order to look at them."""
    missing = {"calibration"} if figures["calibration"] is None else set()
    if figures["curves"] is None:
        missing |= {"mistakes", "budget"}
    return [name for name in TITLES if name not in missing]


def draw(name: str, ax: Any, numbers: Numbers, figures: Figures) -> None:
    """Draw one figure into matplotlib Axes."""
    DRAW[name](ax, numbers, figures)


def plane(ax: Any, numbers: Numbers, figures: Figures) -> None:
    """The pool's density, the equilibrium's two thresholds over it, and selected points."""
    low, counts = figures["plane"]["low"], np.asarray(figures["plane"]["pool"], dtype=np.float64)
    image = np.zeros((*counts.shape, 4))
    image[..., :3] = [int(POOL[i : i + 2], 16) / 255.0 for i in (1, 3, 5)]
    depth = np.log1p(counts) / max(float(np.log1p(counts.max(initial=0.0))), 1e-9)
    image[..., 3] = np.where(counts > 0, 0.12 + 0.78 * depth, 0.0)
    ax.imshow(image, extent=(0.0, 1.0, low, 1.0), origin="lower", aspect="auto", interpolation="none", zorder=1)
    dots = np.asarray(figures["plane"]["selected"], dtype=np.float64).reshape(-1, 2)
    size = 16.0 if len(dots) <= 200 else 7.0
    ax.scatter(*dots.T, s=size, color=PICKED, linewidths=0, alpha=0.85, label="selected", zorder=3)
    price, threshold = numbers["price"], numbers["threshold"]
    if threshold is not None:  # else every class has its own
        g = np.linspace(max(abs(threshold), 1e-3), 1.0, 200)
        label = f"worth a query: effective gain > {threshold:.3g}"
        ax.plot(g, (threshold / g + 1.0) / 2.0, color=WORTH, label=label, zorder=4)
    if threshold is None:
        pass
    elif 0.0 < price <= threshold:  # no point that is worth a query has so little gain
        ax.plot([], [], " ", label=f"picked with probability {price:.3g} / gain")
    else:
        label = f"always picked below gain {price:.3g}" if price < 1.0 else "always picked"
        ax.axvline(price, color=PRICE, linestyle="--", label=label, zorder=4)
    ax.set(xlim=(0.0, 1.0), ylim=(low, 1.0 + 0.015 * (1.0 - low)))
    ax.set(xlabel="gain: what the student would learn", ylabel="correctness of the label")
    legend_above(ax, 1)  # nowhere inside would it cover no points


def margin(ax: Any, numbers: Numbers, figures: Figures) -> None:
    """The student's margins in the pool and among the selected points, as shares."""
    pool, selected = (np.asarray(figures["margin"][name], dtype=np.float64) for name in ("pool", "selected"))
    edges = np.linspace(0.0, 1.0, len(pool) + 1)
    ax.stairs(shares(pool), edges, fill=True, color=POOL, alpha=0.55, linewidth=0, label="pool")
    ax.stairs(shares(selected), edges, color=PICKED, linewidth=2.0, label="selected")
    ax.set(xlim=(0.0, 1.0), xlabel="margin of the student", ylabel="% of the points")
    grid(ax, "y")
    legend(ax)


def probability(ax: Any, numbers: Numbers, figures: Figures) -> None:
    """The inclusion probabilities above 0."""
    counts = np.asarray(figures["probability"]["pool"], dtype=np.float64)
    upper = figures["probability"]["upper"]
    ax.stairs(counts, np.linspace(0.0, upper, len(counts) + 1), fill=True, color=WORTH, alpha=0.75, linewidth=0)
    ax.set_yscale("log")
    ax.set(xlim=(0.0, upper), ylim=(0.7, max(2.0, 1.6 * counts.max(initial=1.0))))
    ax.set(xlabel="inclusion probability", ylabel="points")
    ax.minorticks_off()
    grid(ax, "y")


def calibration(ax: Any, numbers: Numbers, figures: Figures) -> None:
    """How often the teacher was right against what was predicted."""
    curve = figures["calibration"]
    x, y, low, high = (np.asarray(curve[name], dtype=np.float64) for name in ("predicted", "right", "low", "high"))
    begin = max(0.0, min(float(x.min()), float(low.min())) - 0.03)
    ax.plot([begin, 1.0], [begin, 1.0], color=MUTED, linewidth=1.2, linestyle="--", label="as predicted")
    errors = np.abs(np.stack([y - low, high - y]))
    ax.errorbar(x, y, yerr=errors, fmt="o-", color=WORTH, markersize=5, capsize=3, elinewidth=1.5, label="measured")
    ax.set(xlim=(begin, 1.015), ylim=(begin, 1.015))
    ax.set(xlabel="correctness predicted", ylabel="the teacher was right")
    grid(ax, "both")
    legend(ax, "lower right")


def classes(ax: Any, numbers: Numbers, figures: Figures) -> None:
    """Labels in the pool and among the selected points, as shares."""
    names = [str(int(row[0])) for row in figures["classes"]]
    other = (figures["other"] or [0, 0, 0])[1:]
    pool, selected = np.asarray([row[1:] for row in figures["classes"]], dtype=np.float64).reshape(-1, 2).T
    places = np.arange(len(names))
    ax.barh(places - 0.2, shares(pool, other[0]), height=0.38, color=POOL, alpha=0.75, linewidth=0, label="pool")
    ax.barh(places + 0.2, shares(selected, other[1]), height=0.38, color=PICKED, linewidth=0, label="selected")
    ax.set_yticks(places, names)
    ax.tick_params(axis="y", length=0)
    if len(names) > 14:
        ax.tick_params(axis="y", labelsize=8.5)
    ax.set(ylim=(len(names) - 0.5, -0.5), xlabel="% of the points", ylabel="label of the teacher")
    grid(ax, "x")
    legend_above(ax, 2)


def mistakes(ax: Any, numbers: Numbers, figures: Figures) -> None:
    """The value of the game against the adversary's budget, and what greedy picks bring at worst."""
    curve = figures["curves"]
    x, value, greedy = (np.asarray(curve[name], dtype=np.float64) for name in ("mistakes", "value", "greedy"))
    ax.plot(x, value, color=WORTH, label="best guarantee")
    ax.plot(x, greedy, color=PRICE, linestyle="--", label="points of highest effective gain")
    marked(ax, numbers["mistakes"], numbers["value"])
    top, bottom = float(value.max()), float(value.min())
    span = top - min(bottom, 0.0) or 1.0
    ax.set(ylim=(min(bottom, 0.0) - 0.35 * span, top + 0.08 * span))  # greedy picks fall out of the frame
    ax.set(xlabel="wrong labels beyond those expected", ylabel="guaranteed gain")
    ax.set_xlim(0.0, max(float(x.max()), 1e-12))
    zero(ax)
    compact(ax.xaxis)
    compact(ax.yaxis)
    grid(ax, "y")
    legend(ax)


def budget(ax: Any, numbers: Numbers, figures: Figures) -> None:
    """The value of the game against the budget."""
    curve = figures["curves"]
    x, value = (np.asarray(curve[name], dtype=np.float64) for name in ("budgets", "budget_value"))
    ax.plot(x, value, color=WORTH)
    if curve["stops_paying"] > 0:
        label = f"stops paying: {short(curve['stops_paying'])}"
        ax.axvline(curve["stops_paying"], color=PRICE, linestyle=":", label=label)
    marked(ax, numbers["budget"], numbers["value"])
    top, bottom = max(float(value.max()), 0.0), float(value.min())
    if top > 0:
        bottom = max(bottom, -0.3 * top)  # beyond the highest value the curve falls out of the frame
    span = top - bottom or 1.0
    ax.set(ylim=(bottom - 0.08 * span, top + 0.1 * span))
    ax.set(xlim=(0.0, float(x.max())), xlabel="budget: labels asked for", ylabel="guaranteed gain")
    zero(ax)
    compact(ax.xaxis)
    compact(ax.yaxis)
    grid(ax, "y")
    legend(ax)


def marked(ax: Any, x: float, y: float) -> None:
    ax.plot([x], [y], "o", color=PICKED, markersize=8, label="this selection", zorder=5, clip_on=False)


def zero(ax: Any) -> None:
    ax.axhline(0.0, color=MUTED, linewidth=1.0, zorder=0.5)


def grid(ax: Any, axis: str) -> None:
    ax.set_axisbelow(True)
    ax.grid(axis=axis, color=GRID, linewidth=0.8)


def legend(ax: Any, loc: str = "best") -> None:
    ax.legend(loc=loc, framealpha=0.85)


def legend_above(ax: Any, columns: int) -> None:
    ax.legend(
        loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=columns, frameon=False, borderaxespad=0.2, markerscale=1.8
    )


def titled(name: str, ax: Any, title: str) -> None:
    """Give a drawn figure a title, over its legend where that stands above the Axes."""
    rows = {"plane": 3.0, "classes": 1.0}.get(name, 0.0)
    size = ax.get_legend().get_texts()[0].get_fontsize() if rows else 0.0
    ax.set_title(title, loc="left", pad=6.0 + 1.6 * rows * size)


def compact(axis: Any) -> None:
    """Ticks as 250k and 1.5M: long numbers would be cut on a narrow page."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(5))
    axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


def short(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"


def shares(counts: Any, others: float = 0.0) -> Any:
    """Percentages of what was counted, here and elsewhere."""
    return 100.0 * counts / max(float(counts.sum()) + others, 1.0)


DRAW = {
    "plane": plane,
    "margin": margin,
    "probability": probability,
    "calibration": calibration,
    "classes": classes,
    "mistakes": mistakes,
    "budget": budget,
}
