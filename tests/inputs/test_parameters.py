"""Settings as scikit-learn reads, changes and copies them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import rad_fast
from rad_fast.inputs.parameters import Parameters


class Machine(Parameters):
    """What a class with settings looks like: one without a default, one with, one thing derived from them."""

    derived = ("doubled",)

    def __init__(self, size: int, *, colour: str = "red") -> None:
        if size < 0:
            raise ValueError(f"size: expected at least 0, got {size}")
        self.size = size
        self.colour = colour
        self.doubled = 2 * size
        self.uses = 0


def test_settings_are_read_and_changed_by_name() -> None:
    machine = Machine(3)
    assert machine.get_params() == machine.get_params(deep=False) == {"size": 3, "colour": "red"}
    machine.uses = 7
    assert machine.set_params(size=8) is machine
    assert (machine.size, machine.colour, machine.doubled) == (8, "red", 16)
    assert machine.uses == 7, "what is no setting, and not derived from one, is left alone"


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


def test_a_selector_is_read_changed_and_copied() -> None:
    sklearn = pytest.importorskip("sklearn.base")
    logits = np.random.default_rng(0).normal(0, 4, (400, 5))
    selector = rad_fast.Selector("5%", mistakes=np.float32(3), random_state=np.int64(4), backend="reference")
    assert repr(sklearn.clone(selector)) == repr(selector)
    assert repr(rad_fast.Selector(5)) == "Selector(budget=5)"
    expected = rad_fast.Selector(20, mistakes=3, seed=4).fit(logits)
    np.testing.assert_array_equal(sklearn.clone(selector).fit(logits).indices, expected.indices)
    selector.partial_fit(logits)
    selector.set_params(budget=9, random_state=None, seed=2)
    assert (selector.get_params()["budget"], selector.get_params()["seed"]) == (9, 2)
    again = selector.finalize()
    np.testing.assert_array_equal(again.indices, rad_fast.Selector(9, mistakes=3, seed=2).fit(logits).indices)
    for settings, error in [({"budget": 0}, ValueError), ({"seed": -1}, ValueError), ({"backend": "fast"}, ValueError)]:
        with pytest.raises(error, match=next(iter(settings))):
            selector.set_params(**settings)


def test_random_state_is_another_name_for_the_seed() -> None:
    logits = np.random.default_rng(0).normal(0, 4, (400, 5))
    expected = rad_fast.select(logits, 20, seed=7)
    np.testing.assert_array_equal(rad_fast.select(logits, 20, random_state=7), expected)
    with pytest.raises(
        ValueError, match="seed and random_state: expected one of them, as they are the same setting; got"
    ):
        rad_fast.select(logits, 20, seed=7, random_state=7)
    with pytest.raises(TypeError, match="random_state: expected an int of at least 0"):
        rad_fast.select(logits, 20, random_state=np.random.RandomState(0))  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:.*delay parameter validation until fit")  # here they are refused at once
@pytest.mark.parametrize("made", [lambda: rad_fast.Selector(5), rad_fast.Calibrator], ids=["Selector", "Calibrator"])
def test_the_checks_of_scikit_learn_that_apply_are_passed(made: Callable[[], Parameters]) -> None:
    """Those of settings alone: neither is an estimator, as fit does not take (X, y)."""
    checks = pytest.importorskip("sklearn.utils.estimator_checks")
    pytest.importorskip("torch", reason="they try a process group, which is torch's")
    thing = made()
    for check in (
        "check_get_params_invariance",
        "check_set_params",
        "check_estimator_cloneable",
        "check_estimator_repr",
    ):
        getattr(checks, check)(type(thing).__name__, thing)


def test_a_notebook_shows_a_selector_with_all_its_settings():
    page = rad_fast.Selector("5%", mistakes=0.1, backend="reference")._repr_html_()
    assert "Selector" in page
    for name, value in (
        ("budget", "&#x27;5%&#x27;"),
        ("mistakes", "0.1"),
        ("quotas", "&#x27;auto&#x27;"),
        ("seed", "0"),
    ):
        assert f">{name}</th>" in page
        assert f">{value}</td>" in page
