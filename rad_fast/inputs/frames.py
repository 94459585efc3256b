"""Tables and columns of pandas, polars and Arrow, in memory: as arrays, with a row for every row.

Logits may be a column a class, or one column of lists of one length. The index of a pandas table is not looked at:
what is selected are the positions of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    if library == "pyarrow" and hasattr(value, "type"):
        return matrix_of(name, value) if is_list(value.type) else without_nulls(name, value)
    if library == "polars" and str(getattr(value, "dtype", "")).startswith("List"):
        return polars_lists(name, value)
    if library == "pandas" and hasattr(value, "dtype"):
        if hasattr(value.dtype, "pyarrow_dtype"):
            return as_array(name, value.array.__arrow_array__())
        if getattr(value.dtype, "hasobject", False):
            return stacked(name, value.tolist())
    return value


def is_list(kind: Any) -> bool:
    return value_dtype(kind) is not None or "list" in str(kind).partition("<")[0]


def table(name: str, value: Any, library: str) -> Any:
    """A table: the one column that it has, where that holds lists, or else a column a class."""
    names = list(value.column_names if library == "pyarrow" else value.columns)
    columns = [column_at(value, place, library) for place in range(len(names))]
    lists = [f"{each}" for each, column in zip(names, columns, strict=True) if holds_lists(column, library)]
    if len(columns) == 1 and lists:
        return as_array(name, columns[0])
    if lists:
        raise TypeError(
            f"{name}: expected a column a class, or one column of lists; got lists in {said(lists)} beside other "
            "columns; give that column alone"
        )
    texts = [f"{each}" for each, column in zip(names, columns, strict=True) if not holds_numbers(column, library)]
    if texts:
        raise TypeError(
            f"{name}: expected columns of numbers, one a class; {said(texts)} hold none; give the others alone"
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


def numbers(name: str, column: Any, library: str) -> Array:
    """A column of numbers; none may be missing."""
    missing = column.isna().sum() if library == "pandas" and hasattr(column.dtype, "na_value") else 0
    if library != "pandas":
        missing = column.null_count if library == "pyarrow" else column.null_count()
    if missing:
        raise ValueError(f"{name}: expected numbers, {missing} are missing (null)")
    return np.asarray(column.to_numpy())


def without_nulls(name: str, column: Any) -> Any:
    if column.null_count:
        raise ValueError(f"{name}: expected a value in every row, {column.null_count} are missing (null)")
    return np.asarray(column)


def polars_lists(name: str, column: Any) -> Array:
    """A column of lists, of which all have the same length; a list that is missing (null) is a row of NaN."""
    if 0 < column.null_count() < len(column):
        there = ~column.is_null().to_numpy()
        kept = polars_lists(name, column.drop_nulls())
        whole = np.full((len(column), kept.shape[1]), np.nan, np.result_type(kept.dtype, np.float32))
        whole[there] = kept
        return whole
    lengths = column.list.len().to_numpy()
    if len(lengths) == 0:
        return np.empty((0, 0), np.float32)
    check_lengths(name, lengths)
    values = column.explode()
    if values.null_count():
        raise ValueError(f"{name}: expected numbers, {values.null_count()} are missing (null)")
    array: Array = values.to_numpy().reshape(len(lengths), int(lengths[0]))
    return array


def stacked(name: str, rows: Sequence[Any]) -> Array:
    """Objects, each a list or an array of one length, as a matrix; other objects as they are."""
    if not rows or not all(hasattr(row, "__len__") and not isinstance(row, str) for row in rows):
        return np.array(rows, dtype=object)
    check_lengths(name, np.array([len(row) for row in rows]))
    return np.stack([np.asarray(row) for row in rows])


def check_lengths(name: str, lengths: npt.NDArray[Any]) -> None:
    if (lengths != lengths[0]).any():
        at = int((lengths != lengths[0]).argmax())
        raise ValueError(f"{name}: expected lists of one length, {lengths[0]}, got {lengths[at]} in row {at}")


def said(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"column{'s' * (len(names) > 1)} {', '.join(map(repr, names[:5]))}{more}"
