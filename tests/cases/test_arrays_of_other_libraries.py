"""Indices come back in the library of the logits; columns that are read lazily are read in one go."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

import rad_fast

LOGITS = np.random.default_rng(0).normal(0, 4, (200, 5)).astype(np.float32)


class Array:
    """An array of a library that follows the array API, and keeps integers in 32 bits as JAX does."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __array_namespace__(self) -> types.ModuleType:
        return sys.modules["rad_fast_test_library"]

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return self.values

    def __getitem__(self, at: object) -> Array:
        return Array(self.values[at])


@pytest.fixture
def library(monkeypatch):
    made = types.ModuleType("rad_fast_test_library")
    narrow = {"int64": np.int32, "float64": np.float32}
    made.asarray = lambda array: Array(array.astype(narrow.get(array.dtype.name, array.dtype)))
    monkeypatch.setitem(sys.modules, "rad_fast_test_library", made)
    return made


def test_indices_come_back_in_the_library_of_the_logits(library):
    selection = rad_fast.Selector(20).fit(Array(LOGITS))
    for name in ("indices", "probabilities", "gain", "labels", "weights"):
        assert isinstance(getattr(selection, name), Array), name
    assert np.array_equal(selection.indices.values, rad_fast.select(LOGITS, 20))


def test_indices_that_the_library_cannot_hold_are_refused(library):
    from rad_fast.inputs.arrays import in_library

    with pytest.raises(ValueError, match=r"at most 2\*\*31 points of rad_fast_test_library"):
        in_library("rad_fast_test_library", np.array([1, 2**31]))
    assert in_library("rad_fast_test_library", np.array([1, 2**31 - 1])).values.tolist() == [1, 2**31 - 1]


def test_arrays_of_jax_come_back_as_such():
    jax = pytest.importorskip("jax")
    assert isinstance(rad_fast.select(jax.numpy.asarray(LOGITS), 5), jax.Array)


@pytest.mark.parametrize("form", ["numpy", "torch"])
def test_a_column_of_a_hugging_face_data_set_is_read_in_one_go(form, monkeypatch):
    datasets = pytest.importorskip("datasets")
    if form == "torch":
        pytest.importorskip("torch")
    data = datasets.Dataset.from_dict({"logits": LOGITS.tolist()}).with_format(form)
    reads = []
    real = datasets.Dataset.__getitem__
    monkeypatch.setattr(datasets.Dataset, "__getitem__", lambda self, key: reads.append(key) or real(self, key))
    column = data["logits"]
    assert np.array_equal(np.asarray(rad_fast.select(column, 20)), rad_fast.select(LOGITS, 20))
    assert len(reads) < 5


def test_a_calibrator_gives_advice_that_can_be_followed():
    spoiled = LOGITS.copy()
    spoiled[3] = np.nan
    with pytest.raises(ValueError, match="the first is row 3; fix them, or leave these points and their labels out"):
        rad_fast.Calibrator().fit(spoiled, np.zeros(200, int))
    fitted = rad_fast.Calibrator().fit(LOGITS, LOGITS.argmax(1))
    with pytest.raises(ValueError, match=r"the first is row 3; fix them, or leave these points out$"):
        fitted.predict(spoiled)
