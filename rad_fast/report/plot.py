"""The figures of a report, side by side in one matplotlib figure."""

from __future__ import annotations

from typing import Any

from .words import Figures, Numbers

COLUMNS = 2
WIDTH, HEIGHT = 12.0, 4.2  # inches: of the figure, and of a row


def plot(numbers: Numbers, figures: Figures, ax: Any = None) -> Any:
    """A figure of all panels, which a notebook shows once; or the plane alone, into ``ax``. Returns the Figure."""
    try:
        from matplotlib import pyplot, rc_context
    except ImportError as error:
        raise ImportError('plot() needs matplotlib: pip install "rad_fast[report]"') from error
    from .draw import STYLE, TITLES, draw, drawn, titled
    from .notebook import shown_once

    if ax is not None and not hasattr(ax, "imshow"):
        raise TypeError(f"ax: expected the Axes of matplotlib, got {type(ax).__name__}; of several give one: axes[0]")
    if ax is not None:
        draw("plane", ax, numbers, figures)
        titled("plane", ax, f"{numbers['budget']:,} of {numbers['points']:,} points")
        return shown_once(ax.figure.figure)  # of the whole, where these are Axes of a part of it
    names = drawn(numbers, figures)
    rows = -(-len(names) // COLUMNS)
    with rc_context(STYLE):
        figure = pyplot.figure(figsize=(WIDTH, HEIGHT * rows), layout="constrained", facecolor="white")
        for place, name in enumerate(names):
            panel = figure.add_subplot(rows, COLUMNS, place + 1)
            draw(name, panel, numbers, figures)
            titled(name, panel, TITLES[name])
    return shown_once(figure)
