"""Arrow's columns of lists, each row a list of one length, as matrices.

What is missing (null) becomes NaN: a row of nothing but NaN where the whole list is missing. In integers it is -1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

FLOATS = {"double": "float64", "float": "float32", "halffloat": "float16"}
INTEGERS = {name: name for bits in (8, 16, 32, 64) for name in (f"int{bits}", f"uint{bits}")}


def storage(kind: Any) -> Any:
    """The type that an extension type (a tensor, say) is stored as."""
    while hasattr(kind, "storage_type"):
        kind = kind.storage_type
    return kind


def is_list(kind: Any) -> bool:
    return "list" in str(storage(kind)).partition("<")[0] and hasattr(storage(kind), "value_type")


def value_dtype(kind: Any, *, integers: bool = False) -> str | None:
    """The dtype of the numbers in a column of lists; None where it is no such column.

    A list of one list of numbers is as good as the list: shape (1, classes) of each row.
    """
    if not is_list(kind):
        return None
    values = storage(storage(kind).value_type)
    if is_list(values):
        values = storage(values.value_type)
    dtype = (INTEGERS if integers else FLOATS).get(str(values))
    return "int64" if integers and dtype is not None and dtype.startswith("u") else dtype  # which has a -1


def matrix_of(name: str, column: Any, classes: int | None = None, first: int = 0, *, integers: bool = False) -> Array:
    """A column of lists of one length as (rows, classes); float32 and the like are not copied.

    ``first`` is the number of the column's first row, for messages.
    """
    chunks = column.chunks if hasattr(column, "chunks") else [column]
    dtype = value_dtype(column.type, integers=integers)
    if dtype is None:
        wanted = "integers" if integers else "double, float or halffloat"
        raise TypeError(f"{name}: expected lists of {wanted}, one list per row, got {column.type}")
    parts: list[Array | int] = []
    for chunk in chunks:
        if len(chunk) == 0:
            continue
        part = rows_of(name, chunk, dtype, classes, first)
        classes, first = classes if isinstance(part, int) else part.shape[1], first + len(chunk)
        parts.append(part)
    filled = [missing(part, classes or 0, dtype) if isinstance(part, int) else part for part in parts]
    if not filled:
        return np.empty((0, classes or 0), dtype)
    return filled[0] if len(filled) == 1 else np.concatenate(filled)


def missing(rows: int, classes: int, dtype: str) -> Array:
    return np.full((rows, classes), np.nan if dtype.startswith("float") else -1, dtype)


def rows_of(name: str, lists: Any, dtype: str, classes: int | None, first: int) -> Array | int:
    """The rows of one chunk; their number alone where all are missing and nothing says how long they would be."""
    while hasattr(lists, "storage"):
        lists = lists.storage
    try:
        lists.validate(full=getattr(lists.type, "list_size", None) is None)  # broken offsets could lead anywhere
    except (ValueError, IndexError, OSError) as error:
        text = " ".join(str(error).split())[:300]
        raise ValueError(f"{name}: expected lists of numbers, it cannot be read ({text}); is it complete?") from error
    there = lists.is_valid().to_numpy(zero_copy_only=False) if lists.null_count else None
    kept = lists if there is None else lists.drop_null()
    lengths, values = lengths_of(name, kept), flattened(kept)
    if lengths is None:
        return len(lists)
    wanted = int(lengths[0]) if classes is None else classes
    if (lengths != wanted).any():
        at = int((lengths != wanted).argmax())
        row = first + int(at if there is None or not there.any() else np.flatnonzero(there)[at])
        raise ValueError(f"{name}: expected lists of equal length, {wanted}, got {lengths[at]} in row {row}")
    if values.null_count and not dtype.startswith("float"):
        values = values.cast(dtype, safe=False).fill_null(-1)
    array: Array = values.to_numpy(zero_copy_only=False).astype(dtype, copy=False).reshape(len(kept), wanted)
    if there is None:
        return array
    whole = missing(len(lists), wanted, dtype)
    whole[there] = array
    return whole


def lengths_of(name: str, lists: Any) -> npt.NDArray[np.int64] | None:
    """How many numbers each row has; None where there is no row, and no declared length."""
    fixed = getattr(lists.type, "list_size", None)
    if len(lists) == 0 and fixed is None:
        return None
    lengths = np.full(len(lists), fixed) if fixed is not None else lists.value_lengths().to_numpy(zero_copy_only=False)
    if is_list(lists.type.value_type):
        inner = lists.flatten()
        if (lengths != 1).any() or inner.null_count:
            raise ValueError(f"{name}: expected lists of numbers, or lists of one such list, got {lists.type}")
        while hasattr(inner, "storage"):
            inner = inner.storage
        return lengths_of(name, inner)
    return lengths if len(lists) else np.array([fixed])


def flattened(lists: Any) -> Any:
    values = lists.flatten()
    while hasattr(values, "storage"):
        values = values.storage
    return flattened(values) if is_list(values.type) else values
