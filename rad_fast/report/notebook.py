"""A figure in a notebook: shown once, with %matplotlib inline and without."""

from __future__ import annotations

import functools
from typing import Any


def shown_once(figure: Any) -> Any:
    """The figure, made by pyplot, with a say in how IPython shows it as the result of a cell."""
    figure._ipython_display_ = functools.partial(display, figure)
    return figure


def display(figure: Any) -> None:
    """Show the figure, unless the backend shows it anyway when the cell ends: inline ones do, and windows are open."""
    import matplotlib
    from matplotlib import pyplot

    backend = matplotlib.get_backend().lower()
    if pyplot.fignum_exists(figure.number) and pyplot.figure(figure.number) is figure and backend != "agg":
        return
    import io

    from IPython.display import Image
    from IPython.display import display as show

    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=figure.dpi)
    show(Image(file.getvalue()))
