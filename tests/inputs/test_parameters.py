"""Settings as scikit-learn reads, changes and copies them."""

from __future__ import annotations

import numpy as np
import pytest

import rad_fast
from rad_fast.inputs.parameters import Parameters


class Machine(Parameters):
    """What a class with settings looks like: one without a default, one with, one thing derived from them."""

    derived = ("half",)

    def __init__(self, size: int, *, colour: str = "red") -> None:
        if size < 0:
            raise ValueError(f"size: expected at least 0, got {size}")
        self.size = size
        self.colour = colour

    @property
    def doubled(self) -> int:
        return 2 * self.size


def test_settings_are_read_and_changed_by_name() -> None:
    machine = Machine(3)
    assert machine.get_params() == machine.get_params(deep=False) == {"size": 3, "colour": "red"}
    machine.half = 1.5
    assert machine.set_params(size=8) is machine
    assert (machine.size, machine.colour, machine.doubled) == (8, "red", 16)
    assert "half" not in vars(machine), "what was derived from the old size is computed anew"


def test_a_change_that_is_refused_changes_nothing() -> None:
    machine = Machine(3)
    with pytest.raises(ValueError, match="size: expected at least 0, got -1"):
        machine.set_params(colour="blue", size=-1)
    with pytest.raises(ValueError, match="expected names among size, colour; got weight"):
        machine.set_params(weight=3)
    assert machine.get_params() == {"size": 3, "colour": "red"}


def test_it_shows_itself_as_it_would_be_written() -> None:
    assert repr(Machine(3)) == "Machine(size=3)"
    assert repr(Machine(3, colour="blue")) == "Machine(size=3, colour='blue')"


def test_scikit_learn_clones_it() -> None:
    sklearn = pytest.importorskip("sklearn.base")
    machine = Machine(3, colour="blue")
    copy = sklearn.clone(machine)
    assert copy is not machine
    assert copy.get_params() == machine.get_params()


def test_a_calibrator_is_copied_without_what_it_learned() -> None:
    sklearn = pytest.importorskip("sklearn.base")
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (300, 4))
    fitted = rad_fast.Calibrator(backend="reference").fit(logits, rng.integers(0, 4, 300))
    copy = sklearn.clone(fitted)
    assert copy.backend == "reference"
    assert not hasattr(copy, "rule_")
    fitted.set_params(backend="auto")
    assert fitted.n_labelled_ == 300, "what was learned is kept"
    assert repr(copy) == "Calibrator(backend='reference')"
    assert repr(fitted).startswith("Calibrator(), fitted on 300 points, error rate 0.7")
    assert "not fitted" in copy._repr_html_()
    assert "300 labelled points" in fitted._repr_html_()
