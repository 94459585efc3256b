"""Tables and columns of pandas, polars and Arrow, in memory: as arrays, with a row for every row.

Logits may be one column per class, or one column of lists of one length. The index of a pandas table is not looked at:
what is selected are the positions of rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .lists import matrix_of, value_dtype

Array = npt.NDArray[Any]

LIBRARIES = ("pandas", "polars", "pyarrow")


def is_frame(value: Any) -> bool:
    """Whether a value is a table or a column of one of the libraries; none is imported to find out."""
    return type(value).__module__.partition(".")[0] in LIBRARIES


def as_array(name: str, value: Any) -> Any:
    """A table or column as what NumPy can take: an array, or the value itself where NumPy knows what to do."""
    library, kind = type(value).__module__.partition(".")[0], type(value).__name__
    if kind in ("DataFrame", "Table", "RecordBatch"):
        return table(name, value, library)
    if library == "pyarrow" and kind == "Tensor":
        return value.to_numpy()
    if library == "pyarrow" and hasattr(value, "type") and hasattr(value, "is_null"):
        if not is_list(value.type):
            return numbers(name, value, library)
        return matrix_of(name, value, integers=value_dtype(value.type, integers=True) is not None)
    if library == "polars" and hasattr(value, "dtype"):
        if str(value.dtype).startswith("Array"):
            value = value.arr.to_list()
        if str(value.dtype).startswith("List"):
            return polars_lists(name, value)
        return numbers(name, value, library) if value.null_count() else value
    if library == "pandas" and hasattr(value, "dtype"):
        if hasattr(value.dtype, "pyarrow_dtype"):
            return as_array(name, value.array.__arrow_array__())
        if hasattr(value.dtype, "na_value") and hasattr(value, "to_numpy"):
            return numbers(name, value, library)
        if getattr(value.dtype, "hasobject", False):
            return stacked(name, value.tolist())
    return value


def is_list(kind: Any) -> bool:
    return value_dtype(kind) is not None or "list" in str(kind).partition("<")[0]


def table(name: str, value: Any, library: str) -> Any:
    """A table: the one column that it has, where that holds lists, or else one column per class."""
    names = list(value.column_names if library == "pyarrow" else value.columns)
    columns = [column_at(value, place, library) for place in range(len(names))]
    lists = [f"{each}" for each, column in zip(names, columns, strict=True) if holds_lists(column, library)]
    if len(columns) == 1 and lists:
        return as_array(name, columns[0])
    if lists:
        raise TypeError(
            f"{name}: expected one column per class, or one column of lists; got lists in {said(lists)} beside other "
            "columns; give that column alone"
        )
    texts = [f"{each}" for each, column in zip(names, columns, strict=True) if not holds_numbers(column, library)]
    if texts:
        raise TypeError(
            f"{name}: expected columns of numbers, one per class; {said(texts)} hold none; give the others alone"
        )
    whole = [f"{n}" for n, column in zip(names, columns, strict=True) if not holds_fractions(column, library)]
    if 0 < len(whole) < len(columns):
        raise TypeError(
            f"{name}: expected floats in all columns, or in none; integers, as of an index, are in {said(whole)}; "
            "give the others alone, or make floats of them if they are logits"
        )
    if library == "pandas" and not any(hasattr(kind, "na_value") for kind in value.dtypes):
        return np.asarray(value)  # columns of one dtype lie in one block: nothing is copied
    if not columns:
        return np.empty((len(value), 0), np.float32)
    return np.column_stack([numbers(name, column, library) for column in columns])


def column_at(value: Any, place: int, library: str) -> Any:
    if library == "pandas":
        return value.iloc[:, place]
    return value.column(place) if library == "pyarrow" else value.to_series(place)


def holds_lists(column: Any, library: str) -> bool:
    if library == "pyarrow":
        return is_list(column.type)
    kind = column.dtype
    if library == "polars":
        return str(kind).startswith(("List", "Array"))
    if hasattr(kind, "pyarrow_dtype"):
        return is_list(kind.pyarrow_dtype)
    first = column.iloc[0] if getattr(kind, "hasobject", False) and len(column) else ""
    return hasattr(first, "__len__") and not isinstance(first, str)


def holds_numbers(column: Any, library: str) -> bool:
    if library == "pyarrow":
        return str(column.type).startswith(("int", "uint", "float", "double", "halffloat", "bool"))
    if library == "polars":
        return bool(column.dtype.is_numeric()) or str(column.dtype) == "Boolean"
    return getattr(column.dtype, "kind", "O") in "biuf"


def holds_fractions(column: Any, library: str) -> bool:
    """Whether a column of numbers is one of floats."""
    kind = str(column.type if library == "pyarrow" else column.dtype).lower()
    return "float" in kind or kind.startswith("double")


def numbers(name: str, column: Any, library: str) -> Array:
    """A column of numbers. What is missing is NaN where they are floats; others have no number for it."""
    missing = missing_of(column, library)
    if not missing.any():
        return np.asarray(column.to_numpy() if library == "pandas" else column)
    if "float" not in str(column.type if library == "pyarrow" else column.dtype).lower().replace("double", "float"):
        raise ValueError(
            f"{name}: expected a value in every row, {int(missing.sum())} are missing (null), the first in row "
            f"{int(missing.argmax())}"
        )
    if library == "pandas":
        return np.asarray(column.to_numpy(dtype=column.dtype.type, na_value=np.nan))
    return np.asarray(column)  # both put NaN there


def missing_of(column: Any, library: str) -> npt.NDArray[np.bool_]:
    """Which rows of a column have no value."""
    if library == "pandas":
        return np.asarray(column.isna()) if hasattr(column.dtype, "na_value") else np.zeros(len(column), bool)
    null = column.is_null()
    return np.asarray(null, dtype=bool)


def polars_lists(name: str, column: Any) -> Array:
    """A column of lists, of which all have the same length; a list that is missing (null) is a row of NaN."""
    if column.null_count() == len(column) > 0:
        raise ValueError(f"{name}: expected lists of numbers, all {len(column)} rows are missing (null)")
    if column.null_count():
        there = ~column.is_null().to_numpy()
        kept = polars_lists(name, column.drop_nulls())
        whole = np.full((len(column), kept.shape[1]), np.nan, np.result_type(kept.dtype, np.float32))
        whole[there] = kept
        return whole
    lengths = column.list.len().to_numpy()
    if len(lengths) == 0:
        return np.empty((0, 0), np.float32)
    check_lengths(name, lengths)
    array: Array = numbers(name, column.explode(), "polars").reshape(len(lengths), int(lengths[0]))
    return array


def stacked(name: str, rows: Sequence[Any]) -> Array:
    """Objects, each a list or an array of one length, as a matrix; other objects as they are.

    A row that is missing, None or NaN among lists, is a row of NaN.
    """
    there = [row for row in rows if not (row is None or (isinstance(row, float) and math.isnan(row)))]
    if not there or not all(hasattr(row, "__len__") and not isinstance(row, str) for row in there):
        return np.array(rows, dtype=object)
    at = [place for place, row in enumerate(rows) if hasattr(row, "__len__")]
    lengths = np.array([len(row) for row in there])
    check_lengths(name, lengths, at)
    matrix = np.stack([np.asarray(row) for row in there])
    if len(there) == len(rows):
        return matrix
    whole = np.full((len(rows), matrix.shape[1]), np.nan, np.result_type(matrix.dtype, np.float16))
    whole[at] = matrix
    return whole


def check_lengths(name: str, lengths: npt.NDArray[Any], rows: Sequence[int] | None = None) -> None:
    """``rows``: of which rows they are, where some are missing."""
    if (lengths != lengths[0]).any():
        at = int((lengths != lengths[0]).argmax())
        row = at if rows is None else rows[at]
        raise ValueError(f"{name}: expected lists of equal length, {lengths[0]}, got {lengths[at]} in row {row}")


def numbered(index: Any) -> bool:
    """Whether an index of pandas is 0, 1, 2 and so on: its labels are the positions."""
    labels = np.asarray(index)
    return labels.dtype.kind in "iu" and bool((labels == np.arange(len(labels))).all())


def refuse_by_label(name: str, value: Any) -> None:
    """Raise for a column of pandas that says by its index which class each number is of."""
    index = getattr(value, "index", None)
    if not is_frame(value) or not hasattr(index, "equals"):
        return
    counts = name == "chosen" and getattr(value, "name", None) == "count"  # of value_counts()
    if counts or (name == "quotas" and not numbered(index)):
        raise ValueError(
            f"{name}: expected a mapping of classes to numbers where the index says the class, got a column of pandas, "
            f"which is taken by position; give dict({name}), or {name}.to_numpy() if the position is meant"
        )


def refuse_reordered(name: str, rows: Any, others: Mapping[str, Any]) -> None:
    """Raise where tables or columns of pandas have the index of ``rows``, or any tables its columns, in another order,
    or where points are named by the labels of such an index.

    Rows are paired by position, and classes are columns by position: what two orders mean cannot be known.
    """
    if not is_frame(rows):
        return
    for other, value in others.items():
        if not is_frame(value):
            continue
        one, two = getattr(rows, "index", None), getattr(value, "index", None)
        if type(value).__name__.endswith("Index") and hasattr(one, "equals") and not numbered(one):
            raise ValueError(
                f"{other}: expected positions of rows, got labels of an index of pandas, and those of {name} are not "
                f"its rows' positions; give {name}.index.isin({other})"
            )
        if hasattr(one, "equals") and hasattr(two, "equals") and reordered(one, two):
            raise another_order(other, "index", name, f"{other}.loc[{name}.index]")
        ours, theirs = column_names(rows), column_names(value)
        if ours != theirs and sorted(ours) == sorted(theirs):
            raise another_order(other, "columns", name, f"{other}[{name}.columns]")


def refuse_other_order(name: str, columns: Sequence[str], known: Sequence[str], before: str) -> None:
    """Raise where a table's columns are those that classes were called ``before``, in another order."""
    if columns != known and sorted(columns) == sorted(known):
        raise ValueError(
            f"{name}: expected {said(known)} in this order, as {before}, got {said(columns)}: classes are "
            "taken by position"
        )


def another_order(other: str, axis: str, name: str, cure: str) -> ValueError:
    return ValueError(
        f"{other}: expected the {axis} of {name}, got the same in another order, and rows and classes are "
        f"taken by position; give {cure}, or .to_numpy() of both as they are"
    )


def column_names(value: Any) -> list[str]:
    """The names of a table's columns; none of what is no table."""
    names = getattr(value, "column_names", None)  # Arrow's
    if names is None:
        names = getattr(value, "columns", [])
    return [str(each) for each in names] if type(value).__name__ in ("DataFrame", "Table") else []


def reordered(one: Any, other: Any) -> bool:
    """Whether two indexes of pandas hold the same labels in another order."""
    if len(one) != len(other) or one.equals(other):
        return False
    try:
        return bool(one.sort_values().equals(other.sort_values()))
    except TypeError:  # labels of several kinds have no order
        return False


def said(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"column{'s' * (len(names) > 1)} {', '.join(map(repr, names[:5]))}{more}"
