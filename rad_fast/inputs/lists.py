"""Arrow's columns of lists, each row a list of one length, as matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

FLOATS = {"double": "float64", "float": "float32", "halffloat": "float16"}


def storage(kind: Any) -> Any:
    """The type that an extension type (a tensor, say) is stored as."""
    while hasattr(kind, "storage_type"):
        kind = kind.storage_type
    return kind


def value_dtype(kind: Any) -> str | None:
    """The dtype of the numbers in a column of lists; None where it is no such column."""
    kind = storage(kind)
    if "list" not in str(kind).partition("<")[0] or not hasattr(kind, "value_type"):
        return None
    return FLOATS.get(str(kind.value_type))


def matrix_of(name: str, column: Any, classes: int | None = None, first: int = 0) -> Array:
    """A column of lists of one length as (rows, classes); float32 and the like are not copied.

    ``first`` is the number of the column's first row, for messages.
    """
    chunks = column.chunks if hasattr(column, "chunks") else [column]
    parts = []
    for chunk in chunks:
        if len(chunk) == 0:
            continue
        part = rows_of(name, chunk, classes, first)
        classes, first = part.shape[1], first + len(part)
        parts.append(part)
    if not parts:
        return np.empty((0, classes or 0), value_dtype(column.type) or np.float32)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def rows_of(name: str, lists: Any, classes: int | None, first: int) -> Array:
    while hasattr(lists, "storage"):
        lists = lists.storage
    dtype = value_dtype(lists.type)
    if dtype is None:
        raise TypeError(f"{name}: expected lists of double, float or halffloat, one list a row, got {lists.type}")
    fixed = getattr(lists.type, "list_size", None)
    try:
        lists.validate(full=fixed is None)  # a broken file's offsets could lead anywhere
    except (ValueError, IndexError, OSError) as error:
        text = " ".join(str(error).split())[:300]
        raise ValueError(f"{name}: expected lists of numbers, it cannot be read ({text}): is it whole?") from error
    if lists.null_count:
        row = first + int(np.argmin(lists.is_valid().to_numpy(zero_copy_only=False)))
        raise ValueError(f"{name}: expected a list in every row, {lists.null_count} are missing (null), as row {row}")
    values = lists.flatten()
    if values.null_count:
        raise ValueError(f"{name}: expected numbers, {values.null_count} from row {first} on are missing (null)")
    if fixed is None:
        lengths = lists.value_lengths().to_numpy(zero_copy_only=False)
        wanted = int(lengths[0]) if classes is None else classes
        if (lengths != wanted).any():
            at = int((lengths != wanted).argmax())
            raise ValueError(f"{name}: expected lists of one length, {wanted}, got {lengths[at]} in row {first + at}")
        fixed = wanted
    if classes not in (None, fixed):
        raise ValueError(f"{name}: expected lists of one length, {classes}, got {fixed} in row {first}")
    array: Array = values.to_numpy(zero_copy_only=False).astype(dtype, copy=False)
    return array.reshape(len(lists), fixed)
