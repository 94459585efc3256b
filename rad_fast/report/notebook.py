"""A figure in a notebook: shown once, with %matplotlib inline and without."""

from __future__ import annotations

import functools
from typing import Any


def shown_once(figure: Any) -> Any:
    """The figure, told how IPython shows it as the result of a cell."""
    figure._ipython_display_ = functools.partial(display, figure)
    return figure


def display(figure: Any) -> None:
    """Show the figure, unless it has a window, and let go of it, so that an inline backend does not show it again.

    Inline backends get here too. When a cell ends they display all figures that pyplot still holds.
    """
    import matplotlib
    from matplotlib import pyplot

    number = getattr(figure, "number", None)  # of a figure that pyplot made
    held = number is not None and pyplot.fignum_exists(number) and pyplot.figure(number) is figure
    backend = matplotlib.get_backend().lower()
    inline = "inline" in backend
    if held and not inline and backend != "agg":
        return
    import io

    from IPython.display import Image
    from IPython.display import display as show

    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=figure.dpi)
    show(Image(file.getvalue()))
    if held and inline:
        pyplot.close(figure)
