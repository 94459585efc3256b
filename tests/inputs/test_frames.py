"""Tables and columns of pandas, polars and Arrow in memory: the same selection as from the array."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

import rad_fast
from rad_fast.inputs.arrays import host_array
from rad_fast.inputs.frames import said

N, C = 60, 4


@pytest.fixture(scope="module")
def logits() -> np.ndarray:
    return np.random.default_rng(2).normal(0, 5, (N, C)).astype(np.float32)


def lists(array: np.ndarray) -> list[list[float]]:
    return [list(map(float, row)) for row in array]


def with_pandas(array: np.ndarray) -> list[Any]:
    pandas = pytest.importorskip("pandas")
    pyarrow = pytest.importorskip("pyarrow")
    arrow = pandas.ArrowDtype(pyarrow.list_(pyarrow.float32()))
    odd = pandas.RangeIndex(1000, 1000 + len(array))  # another index does not matter
    return [
        pandas.DataFrame(array),
        pandas.DataFrame(array, columns=[f"class {k}" for k in range(C)], index=odd),
        pandas.DataFrame({k: array[:, k] for k in range(C)}).astype({0: "Float32"}),
        pandas.DataFrame({"logits": lists(array)}),
        pandas.Series(list(array), index=odd),
        pandas.Series(lists(array), dtype=arrow),
    ]


def with_polars(array: np.ndarray) -> list[Any]:
    polars = pytest.importorskip("polars")
    fixed = polars.Series(lists(array), dtype=polars.Array(polars.Float32, C))
    ragged = polars.Series(lists(array), dtype=polars.List(polars.Float32))
    return [
        polars.DataFrame(array),
        polars.DataFrame({"logits": fixed}),
        polars.DataFrame({"logits": ragged}),
        fixed,
        ragged,
    ]


def with_arrow(array: np.ndarray) -> list[Any]:
    pyarrow = pytest.importorskip("pyarrow")
    fixed = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(array.reshape(-1)), C)
    ragged = pyarrow.array(lists(array), pyarrow.list_(pyarrow.float32()))
    chunked = pyarrow.chunked_array([ragged[:7], ragged[7:]])
    return [
        pyarrow.table({f"class {k}": array[:, k] for k in range(C)}),
        pyarrow.table({"logits": chunked}),
        pyarrow.record_batch({"logits": fixed}),
        fixed,
        ragged[5:],  # a part, whose values begin later
        chunked,
    ]


@pytest.mark.parametrize("library", [with_pandas, with_polars, with_arrow])
def test_every_form_is_the_same_matrix(library: Callable[[np.ndarray], list[Any]], logits: np.ndarray) -> None:
    for number, form in enumerate(library(logits)):
        array, dtype, _ = host_array("logits", form)
        assert dtype in ("float32", "float64"), number
        np.testing.assert_array_equal(array, logits[-len(array) :], err_msg=f"form {number}")


@pytest.mark.parametrize("library", [with_pandas, with_polars, with_arrow])
def test_a_column_of_lists_is_selected_from_as_an_array_is(
    library: Callable[[np.ndarray], list[Any]], logits: np.ndarray
) -> None:
    form = library(logits)[3]
    chosen = rad_fast.select(form, 5, student_logits=library(logits / 2)[0])
    np.testing.assert_array_equal(chosen, rad_fast.select(logits, 5, student_logits=logits / 2))


def test_columns_of_labels_correctness_and_exclusions_are_taken(logits: np.ndarray) -> None:
    pandas, polars, pyarrow = (pytest.importorskip(name) for name in ("pandas", "polars", "pyarrow"))
    correctness, mask = np.linspace(0.6, 1.0, N), np.arange(N) % 7 == 0
    expected = rad_fast.select(logits, 5, correctness=correctness, exclude=mask)
    for column in (pandas.Series, polars.Series, pyarrow.array):
        found = rad_fast.select(logits, 5, correctness=column(correctness), exclude=column(mask))
        np.testing.assert_array_equal(found, expected)
        calibrator = rad_fast.Calibrator().fit(logits, column(logits.argmax(1)))
        assert calibrator.n_labelled_ == N


def refused(value: Any) -> str:
    with pytest.raises((TypeError, ValueError)) as error:
        rad_fast.select(value, 5)
    return str(error.value)


def test_what_is_no_matrix_is_refused_in_words(logits: np.ndarray) -> None:
    pandas, polars, pyarrow = (pytest.importorskip(name) for name in ("pandas", "polars", "pyarrow"))
    texts = [f"text {number}" for number in range(N)]
    for frame in (pandas.DataFrame, polars.DataFrame, pyarrow.table):
        columns = {"id": texts, "0": logits[:, 0], "1": logits[:, 1]}
        assert "logits: expected columns of numbers, one per class; column 'id' hold" in refused(frame(columns))
        columns = {"id": texts, "logits": lists(logits)}
        assert "got lists in column 'logits' beside other columns; give that column alone" in refused(frame(columns))
    ragged = lists(logits)
    ragged[7] = ragged[7][:-1]
    for column in (pandas.Series, polars.Series, pyarrow.array):
        assert "expected lists of equal length, 4, got 3 in row 7" in refused(column(ragged))
    gap = lists(logits)
    gap[3] = None
    for column in (polars.Series, pyarrow.array):
        assert "1 row has NaN, +inf or nothing finite, the first is row 3" in refused(column(gap))
    hole = pyarrow.array([None, *map(float, logits[1:, 0])])
    said = "1 row has NaN, +inf or nothing finite, the first is row 0"
    assert said in refused(pyarrow.table({"0": hole, "1": hole}))
    assert said in refused(polars.DataFrame({"0": polars.Series(hole), "1": logits[:, 1]}))


def with_gaps(library: str, values: list[Any]) -> list[Any]:
    """One column of a library in which some values are missing, in every form that it has."""
    module = pytest.importorskip(library)
    if library == "pandas":
        kind = {bool: "boolean", int: "Int64", float: "Float64"}[type(values[0])]
        forms = [module.Series(values, dtype=kind)]
        arrow = {bool: "bool", int: "int64", float: "double"}[type(values[0])]
        return [*forms, module.Series(values, dtype=f"{arrow}[pyarrow]")] if find_spec("pyarrow") else forms
    if library == "polars":
        return [module.Series(values)]
    return [module.array(values), module.chunked_array([values[:5], values[5:]])]


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_what_is_missing_is_told_with_its_row_or_left_out(library: str, logits: np.ndarray) -> None:
    """One meaning, whatever it is missing from: NaN among floats; where there is no NaN the row is named."""
    correctness, labels, mask = [0.9] * N, [1] * N, [False] * N
    correctness[7] = labels[7] = mask[7] = None  # type: ignore[call-overload]
    for column in with_gaps(library, correctness):
        with pytest.raises(
            ValueError, match=r"correctness: expected numbers in .*, 1 is not, the first: nan at index 7"
        ):
            rad_fast.select(logits, 5, correctness=column)
        given = np.full(N, 0.9)
        expected = rad_fast.select(logits, 5, correctness=given, exclude=[7], mistakes=0)
        np.testing.assert_array_equal(rad_fast.select(logits, 5, correctness=column, exclude=[7], mistakes=0), expected)
        with pytest.raises(ValueError, match=r"gain: expected numbers in .* the first: nan at index 7"):
            rad_fast.select(logits, 5, gain=column)
    gap = "1 are missing .null., the first in row 7"
    for column in with_gaps(library, labels):
        with pytest.raises(ValueError, match=f"labels: expected a value in every row, {gap}"):
            rad_fast.Calibrator().fit(logits, column)
    for column in with_gaps(library, mask):
        with pytest.raises(ValueError, match=f"exclude: expected a value in every row, {gap}"):
            rad_fast.select(logits, 5, exclude=column)


def with_missing_rows(logits: np.ndarray) -> list[Any]:
    """Logits of which rows 3 and 9 are missing, a column a class or one of lists, in every library."""
    pandas, polars, pyarrow = (pytest.importorskip(name) for name in ("pandas", "polars", "pyarrow"))
    rows = [None if at in (3, 9) else row for at, row in enumerate(lists(logits))]
    columns = {f"{k}": [None if row is None else row[k] for row in rows] for k in range(C)}
    fixed = polars.Series(rows, dtype=polars.Array(polars.Float32, C))
    return [
        pandas.DataFrame(columns, dtype="Float64"),
        pandas.DataFrame(columns, dtype="double[pyarrow]"),
        pandas.DataFrame({"logits": rows}),
        pandas.Series([float("nan") if row is None else np.array(row) for row in rows]),
        polars.DataFrame(columns),
        polars.DataFrame({"logits": rows}),
        fixed,
        pyarrow.table(columns),
        pyarrow.table({"logits": rows}),
        pyarrow.array(rows),
    ]


def test_rows_that_are_missing_are_left_out_or_named(logits: np.ndarray) -> None:
    expected = rad_fast.select(logits, 5, exclude=[3, 9], mistakes=0)
    for number, form in enumerate(with_missing_rows(logits)):
        assert "2 rows have NaN, +inf or nothing finite, the first is row 3" in refused(form), number
        found = rad_fast.select(form, 5, invalid="exclude", mistakes=0)
        np.testing.assert_array_equal(found, expected, err_msg=f"form {number}")


def test_a_number_that_is_missing_in_a_list_is_nan(logits: np.ndarray) -> None:
    polars, pyarrow = (pytest.importorskip(name) for name in ("polars", "pyarrow"))
    rows = lists(logits)
    rows[4] = [None, *rows[4][1:]]
    for column in (polars.Series(rows), pyarrow.array(rows)):
        array, _, _ = host_array("logits", column)
        assert np.isnan(array[4, 0])
        assert np.isnan(array).sum() == 1


def test_a_pandas_block_is_not_copied(logits: np.ndarray) -> None:
    frame = pytest.importorskip("pandas").DataFrame(logits)
    assert np.shares_memory(host_array("logits", frame)[0], frame.to_numpy(copy=False))


def test_many_columns_are_named_in_part() -> None:
    assert said(list("abcde")) == "columns 'a', 'b', 'c', 'd', 'e'"
    assert said(list("abcdefgh")) == "columns 'a', 'b', 'c', 'd', 'e' and 3 more"
    assert said(["a"]) == "column 'a'"
