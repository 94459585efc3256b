"""Which columns of a table hold the logits: one of lists, or one per class."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rad_fast.inputs.lists import FLOATS, INTEGERS, matrix_of, storage, value_dtype

from .errors import reading
from .wanted import CLASSES, Wanted, bare, consecutive, is_features, listed, stem

Array = npt.NDArray[Any]


class Columns(NamedTuple):
    """The columns to read. A name with points leads into structs; ``lists``: it is one column, of lists."""

    names: tuple[str, ...]
    dtype: str
    lists: bool
    classes: int  # 0: as many as the first list has numbers

    def rows_of(self, name: str, batch: Any, first: int) -> Array:
        """The matrix of a record batch."""
        columns = [column_at(batch, path) for path in self.names]
        if self.lists:
            return matrix_of(name, columns[0], self.classes or None, first, integers=not self.dtype.startswith("float"))
        result = np.empty((batch.num_rows, len(columns)), self.dtype)
        for place, column in enumerate(columns):
            if column.null_count and not self.dtype.startswith("float"):
                if not self.dtype.startswith("int"):  # that has no number for what is missing
                    at = first + int((~column.is_valid().to_numpy(zero_copy_only=False)).argmax())
                    raise ValueError(
                        f"{name}: expected a value in every row of {self.names[place]!r}, row {at} has none"
                    )
                column = column.fill_null(-1)
            result[:, place] = column.to_numpy(zero_copy_only=False)
        return result


def column_at(batch: Any, path: str) -> Any:
    if path in batch.schema.names:
        return batch.column(batch.schema.get_field_index(path))
    compute = importlib.import_module("pyarrow.compute")
    head, _, rest = path.partition(".")
    column = batch.column(batch.schema.get_field_index(head))
    for name in rest.split("."):
        column = compute.struct_field(column, name)
    return column


def fields(schema: Any, start: str = "") -> Iterator[tuple[str, Any]]:
    """Every column's name and type; of structs what is in them, too."""
    for field in schema:
        yield start + field.name, field.type
        if str(field.type).startswith("struct"):
            yield from fields(field.type, f"{start}{field.name}.")


def scalar_dtype(kind: Any, wanted: Wanted) -> str | None:
    """The dtype of a column of numbers that can be what is wanted."""
    name = {**FLOATS, **INTEGERS, "bool": "bool"}.get(str(storage(kind)))
    return name if name is not None and wanted.takes(name) else None


def columns_of(path: Path, schema: Any, wanted: Wanted) -> Columns:
    """The columns to read: those that were named, or the only ones that could be meant."""
    with reading(path, "columns with names"):
        every = dict(fields(schema))
    if len(set(schema.names)) < len(schema.names):
        twice = next(name for name in schema.names if schema.names.count(name) > 1)
        raise ValueError(f"{path}: expected columns of different names, got several that are called {twice!r}")
    integers = wanted.numbers == "integers"
    lists = {} if wanted.flat else {n: d for n, k in every.items() if (d := value_dtype(k, integers=integers))}
    scalars = {n: d for n, k in every.items() if (d := scalar_dtype(k, wanted))}
    name = wanted.column
    if name is None:
        if wanted.flat and len(scalars) == 1:
            return wide(scalars, list(scalars))
        if len(lists) == 1 and not (wanted.logits and is_features(*lists)):
            return of_lists(*next(iter(lists.items())), every)
        if len(called := [each for each in (scalars if wanted.flat else lists) if each.lower() in wanted.names]) == 1:
            return wide(scalars, called) if wanted.flat else of_lists(called[0], lists[called[0]], every)
        family = only_family(path, scalars) if not lists and not wanted.flat else []
        if family:
            return wide(scalars, family)
        usable = list(scalars if wanted.flat else lists or numbered(scalars))
        got = f"none among {listed(list(every)) if every else 'nothing'}"
        if usable:
            got = f"{len(usable)}: {listed(usable)}; {wanted.how_to_name}"
        if not lists and not wanted.flat and len(scalars) > 1:
            got += "; for one column per class give 'class_*', the start of their names, or '*' for all in their order"
        raise ValueError(f"{path}: expected one column with {wanted.described}, got {got}")
    if name in lists:
        return of_lists(name, lists[name], every)
    if name in scalars and wanted.flat:
        return wide(scalars, [name])
    if name.endswith("*") and not wanted.flat:
        chosen = list(scalars) if name == "*" else [n for n in scalars if stem(n)[0] == name[:-1] != n]
        if len(chosen) > 1:
            return wide(scalars, chosen if name == "*" else consecutive(path, "column", chosen))
    if name not in every:
        raise ValueError(f"{path}: expected a column {name!r}, got {listed(list(every))}")
    if wanted.flat or integers:
        raise TypeError(f"{path}: expected {wanted.described} in column {name!r}, got {every[name]}")
    raise TypeError(
        f"{path}: expected lists of double, float or halffloat in column {name!r}, one list per row, got {every[name]}"
    )


def of_lists(name: str, dtype: str, every: dict[str, Any]) -> Columns:
    kind = storage(every[name])
    inner = storage(kind.value_type)
    fixed = getattr(inner if "list" in str(inner).partition("<")[0] else kind, "list_size", None)
    return Columns((name,), dtype, True, int(fixed) if fixed is not None else 0)


def names_of(shard: Any) -> tuple[str, ...]:
    """The names of a shard's columns, one per class; none where it has no such columns."""
    columns = getattr(shard, "columns", None)
    return () if columns is None or columns.lists or len(columns.names) < 2 else tuple(columns.names)


def wide(scalars: dict[str, str], names: list[str]) -> Columns:
    dtype = str(np.result_type(*(scalars[name] for name in names)))
    return Columns(tuple(names), dtype, False, len(names))


def numbered(scalars: dict[str, str]) -> list[str]:
    return [name for name in scalars if stem(name)[1] is not None]


def only_family(path: Path, scalars: dict[str, str]) -> list[str]:
    """The columns, one per class, where their names leave no doubt: class_0, class_1 and so on."""
    family = [name for name in numbered(scalars) if bare(stem(name)[0]) in CLASSES]
    if len(family) < 2 or len({stem(name)[0] for name in family}) > 1:
        return []
    return consecutive(path, "column", family)
