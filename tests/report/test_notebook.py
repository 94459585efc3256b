"""What a notebook shows: every figure once, whatever the backend."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import rad_fast
from rad_fast.report.notebook import display

pyplot = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture
def figure():
    logits = np.random.default_rng(5).normal(0, 4, size=(300, 6))
    figure = rad_fast.Selector(20).fit(logits).plot()
    yield figure
    pyplot.close(figure)


@pytest.fixture
def shown(monkeypatch):
    """What IPython was asked to display."""
    found = []
    monkeypatch.setattr(pytest.importorskip("IPython.display"), "display", found.append)
    return found


def test_an_inline_backend_shows_a_figure_once(figure, shown, monkeypatch):
    """As the result of a cell it is displayed first, and then again with all figures that pyplot still holds."""
    monkeypatch.setattr("matplotlib.get_backend", lambda: "module://matplotlib_inline.backend_inline")
    figure._ipython_display_()
    assert not pyplot.fignum_exists(figure.number), "nothing is left for the end of the cell"
    assert len(shown) == 1


def test_a_figure_in_a_window_is_not_shown_as_a_picture_too(figure, shown, monkeypatch):
    monkeypatch.setattr("matplotlib.get_backend", lambda: "qtagg")
    display(figure)
    assert shown == []


def test_a_figure_that_no_backend_shows_is_shown_as_the_result_of_its_cell(figure, shown):
    """Agg draws into memory alone: without %matplotlib inline nothing else would show it."""
    figure._ipython_display_()
    (picture,) = shown
    assert picture.data.startswith(b"\x89PNG")


def test_a_figure_of_an_earlier_cell_is_shown_again_when_asked_for(figure, shown, monkeypatch):
    """An inline backend closes what it has shown; the figure can still be drawn."""
    monkeypatch.setattr("matplotlib.get_backend", lambda: "inline")
    pyplot.close(figure)
    display(figure)
    assert len(shown) == 1


def test_ipython_asks_the_figure_itself(figure, shown):
    """IPython looks for this method before all other forms."""
    from IPython.core.formatters import DisplayFormatter

    assert DisplayFormatter().format(figure) == ({}, {})
    assert len(shown) == 1


def test_a_figure_of_the_user_s_own_axes_is_shown_once_too(shown, monkeypatch):
    logits = np.random.default_rng(5).normal(0, 4, size=(300, 6))
    own = pyplot.figure()
    part = own.subfigures(1, 2)[0]
    drawn = rad_fast.Selector(20).fit(logits).plot(part.add_subplot())
    assert drawn is own
    monkeypatch.setattr("matplotlib.get_backend", lambda: "inline")
    drawn._ipython_display_()
    assert len(shown) == 1
    assert not pyplot.fignum_exists(own.number)


def test_a_figure_that_pyplot_does_not_know_is_shown(shown):
    from matplotlib.figure import Figure

    logits = np.random.default_rng(5).normal(0, 4, size=(300, 6))
    rad_fast.Selector(20).fit(logits).plot(Figure().add_subplot())._ipython_display_()
    assert len(shown) == 1


CELLS = """
import sys
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

class Shell(InteractiveShell):
    def enable_gui(self, gui=None): ...

shell = Shell.instance()
for source in sys.argv[1:]:
    with capture_output() as captured:
        shell.run_cell(source).raise_error()
    print(sum("image/png" in output.data for output in captured.outputs))
"""


@pytest.mark.parametrize("inline", [True, False], ids=["%matplotlib inline", "no backend chosen"])
def test_cells_of_ipython_show_a_figure_once(inline, tmp_path, monkeypatch):
    """In a process of its own: IPython's shell is one of a kind, and the backend that it chooses stays."""
    pytest.importorskip("matplotlib_inline")
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    fit = "import numpy as np, rad_fast; s = rad_fast.Selector(20).fit(np.random.default_rng(5).normal(0, 4, (300, 6)))"
    cells = ["%matplotlib inline" if inline else "pass", fit, "s.plot()", "figure = s.plot(); None", "figure"]
    command = [sys.executable, "-c", CELLS, *cells]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0", "0", "1", "1" if inline else "0", "1"], "inline shows what a cell leaves open"
