"""The figures of the GPU report, from series: nothing is measured or computed here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rad_fast.bench.timing import Spread

# Okabe and Ito's colours, which differ for every kind of sight; in print and in grey the markers and dashes do.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
GREY = "#555555"
DPI = 100


@dataclass(frozen=True)
class Series:
    """A line of a figure: ``x``, and at each of them a median with its quantiles."""

    label: str
    x: Sequence[float]
    y: Sequence[Spread]


@dataclass(frozen=True)
class Bar:
    """A selection, by the seconds of its stages."""

    label: str
    stages: Mapping[str, float] = field(default_factory=dict)


def roofline(path: Path, panels: Mapping[str, Sequence[Series]], ceilings: Mapping[str, Spread], note: str) -> None:
    """Achieved GB/s over the number of classes, a panel for each dtype; ``ceilings`` are lines across."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        1, len(panels), figsize=(1.2 + 3.9 * len(panels), 4.4), sharey=True, squeeze=False, layout="constrained"
    )
    labels = sorted({series.label for of_dtype in panels.values() for series in of_dtype})
    highest = max(
        [point.high for of_dtype in panels.values() for series in of_dtype for point in series.y]
        + [ceiling.median for ceiling in ceilings.values()]
    )
    for ax, (dtype, of_dtype) in zip(axes[0], panels.items(), strict=True):
        for series in of_dtype:
            draw(ax, series, labels.index(series.label))
        for number, (name, ceiling) in enumerate(ceilings.items()):
            style = ("-", (0, (6, 3)))[number % 2]
            ax.axhline(ceiling.median, color=GREY, lw=1.2, ls=style, label=f"{name}: {rate(ceiling.median)} GB/s")
        ax.set_xscale("log")
        ticks = sorted({x for series in of_dtype for x in series.x})
        ax.set_xticks(ticks, [f"{x:,.0f}" for x in ticks], rotation=45, ha="right", fontsize=8)
        ax.minorticks_off()
        ax.set_ylim(0, 1.08 * highest)
        ax.set_title(dtype, loc="left", fontsize=11)
        ax.set_xlabel("classes C")
        ax.grid(axis="y", color="#dddddd", lw=0.6)
    axes[0][0].set_ylabel("bytes read and written, GB/s")
    finish(figure, path, "Scoring: achieved bandwidth", note, axes[0][0])


def times(path: Path, series: Sequence[Series], goal: tuple[str, float, float] | None, note: str) -> None:
    """Milliseconds over the number of points, both in powers of ten; ``goal``: its name, points and seconds."""
    from matplotlib import pyplot, ticker

    figure, ax = pyplot.subplots(figsize=(8.4, 5.0), layout="constrained")
    for place, one in enumerate(series):
        scaled = [Spread(*(1e3 * value for value in point)) for point in one.y]
        draw(ax, Series(one.label, one.x, scaled), place)
    if goal is not None:
        name, points, seconds = goal
        ax.plot([points], [1e3 * seconds], marker="*", ms=15, color="#000000", ls="none", label=name, zorder=5)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ticks = sorted({x for one in series for x in one.x})
    ax.set_xticks(ticks, [f"{x:,.0f}" for x in ticks])
    ax.xaxis.set_minor_locator(ticker.NullLocator())
    ax.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(ticker.NullFormatter())
    ax.set_xlabel("points N")
    ax.set_ylabel("milliseconds")
    ax.grid(which="major", color="#dddddd", lw=0.6)
    finish(figure, path, "Time against the number of points", note, ax)


def stages(path: Path, bars: Sequence[Bar], note: str) -> None:
    """Where select() spends its time: shares of each selection, its whole time beside its bar."""
    from matplotlib import pyplot

    figure, ax = pyplot.subplots(figsize=(9.0, 1.9 + 0.55 * len(bars)), layout="constrained")
    names = list(dict.fromkeys(name for bar in bars for name in bar.stages))
    places = list(range(len(bars)))[::-1]
    lefts = [0.0] * len(bars)
    for number, name in enumerate(names):
        totals = [sum(bar.stages.values()) or 1.0 for bar in bars]
        widths = [100 * bar.stages.get(name, 0.0) / total for bar, total in zip(bars, totals, strict=True)]
        hatch = ("", "///", "...", "xx", "\\\\", "++")[number % 6]
        ax.barh(places, widths, left=lefts, color=COLOURS[number % len(COLOURS)], hatch=hatch, edgecolor="white",
                linewidth=0.8, height=0.65, label=name)  # fmt: skip
        lefts = [left + width for left, width in zip(lefts, widths, strict=True)]
    for place, bar in zip(places, bars, strict=True):
        ax.text(101, place, duration(sum(bar.stages.values())), va="center", ha="left", fontsize=9)
    ax.set_yticks(places, [bar.label for bar in bars], fontsize=9)
    ax.set_xlim(0, 114)
    ax.set_xticks(range(0, 101, 20))
    ax.set_xlabel("% of the time of one selection, which stands to the right")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    finish(figure, path, "Where select() spends its time", note, ax)


# -------------------------------------------------------------------------------------------------------------- helpers


def draw(ax: Any, series: Series, place: int) -> None:
    """A line whose bars reach from the 20% to the 80% quantile."""
    colour, middle = COLOURS[place % len(COLOURS)], [point.median for point in series.y]
    below = [max(0.0, point.median - point.low) for point in series.y]
    above = [max(0.0, point.high - point.median) for point in series.y]
    ax.errorbar(
        series.x, middle, yerr=[below, above], label=series.label, color=colour, marker=MARKERS[place % len(MARKERS)],
        ls=DASHES[place % len(DASHES)], ms=5, lw=1.6, capsize=2.5, elinewidth=1,
    )  # fmt: skip


def finish(figure: Any, path: Path, title: str, note: str, ax: Any) -> None:
    """Title, one legend below the plots, and what was measured on."""
    from matplotlib import pyplot

    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=3, fontsize=8.5, frameon=False)
    figure.text(0.99, 0.985, note, ha="right", va="top", fontsize=8, color=GREY)
    figure.savefig(path, dpi=DPI)
    pyplot.close(figure)


def rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def duration(seconds: float) -> str:
    """With three digits, in the unit that suits."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= 0.9995 * scale:  # what rounds to a thousand of the next unit is one of this
            return f"{seconds / scale:.3g} {unit}" if seconds < 999.5 * scale else f"{seconds / scale:,.0f} {unit}"
    return f"{seconds / 1e-6:.2g} µs"
