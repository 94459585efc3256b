"""Parquet and Arrow files whose rows of logits are lists of one length."""

from __future__ import annotations

import abc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rad_fast.inputs.lists import matrix_of, storage, value_dtype

from .errors import chosen, library, reading

Array = npt.NDArray[Any]

BATCH_BYTES = 16 << 20  # decoded at a time


def column_of(path: Path, schema: Any, wanted: str | None) -> str:
    """The name of the column to read; its lists are of floating-point numbers."""
    usable = [field.name for field in schema if value_dtype(field.type) is not None]
    name = chosen(path, "column", wanted, usable, schema.names)
    field = schema.field(name)
    if value_dtype(field.type) is None:
        raise TypeError(
            f"{path}: expected lists of double, float or halffloat in column {name!r}, one list a row, got {field.type}"
        )
    return name


class Batches(abc.ABC):
    """Rows from batches that come one after the other; going back, or far ahead, starts a new run through them."""

    path: Path
    column: str
    classes: int
    dtype: str
    rows: int
    expected: str

    def begin(self, path: Path, column: str, kind: Any, expected: str) -> None:
        self.path, self.column, self.expected = path, column, expected
        self.dtype = value_dtype(kind) or ""
        self.run: Iterator[Any] = iter(())
        self.left: Array | None = None  # of the last batch, what was not asked for yet
        self.at = -1  # the row that comes next; -1: no run was started
        fixed = getattr(storage(kind), "list_size", None)
        self.classes = int(fixed) if fixed is not None else 0
        if fixed is None and self.rows:
            self.classes = int(self.read(0, 1).shape[1])
        if self.classes < 2:
            raise ValueError(
                f"{path}: expected at least 2 columns, one a class, got lists of {self.classes} in {column!r}"
            )

    @abc.abstractmethod
    def batches(self, row: int) -> tuple[int, Iterator[Any]]:
        """Batches from the one with ``row`` on, and the number of the first one's first row."""

    def read(self, begin: int, end: int) -> Array:
        if begin != self.at:
            with reading(self.path, self.expected):
                self.at, self.run = self.batches(begin)
            self.left = None
        parts = []
        while self.at < end:
            if self.left is None or len(self.left) == 0:
                with reading(self.path, self.expected):
                    batch = next(self.run, None)
                if batch is None:
                    break
                self.left = matrix_of(str(self.path), batch.column(0), self.classes or None, self.at)
            skipped = self.left[max(0, begin - self.at) :]
            part = skipped[: end - max(self.at, begin)]
            taken = len(self.left) - len(skipped) + len(part)
            self.left, self.at = self.left[taken:], self.at + taken
            if len(part):
                parts.append(part)
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.empty((0, self.classes), self.dtype)


class Parquet(Batches):
    """A Parquet file, its row groups decoded a batch at a time."""

    def __init__(self, path: Path, column: str | None) -> None:
        parquet = library("pyarrow.parquet", path)
        with reading(path, "a Parquet file"):
            self.file = parquet.ParquetFile(path, memory_map=True)
            schema, meta = self.file.schema_arrow, self.file.metadata
            self.groups = [meta.row_group(number).num_rows for number in range(meta.num_row_groups)]
            self.rows = int(meta.num_rows)
        name = column_of(path, schema, column)
        self.begin(path, name, schema.field(name).type, "a Parquet file")

    def batches(self, row: int) -> tuple[int, Iterator[Any]]:
        first = number = 0
        while number < len(self.groups) and first + self.groups[number] <= row:
            first += self.groups[number]
            number += 1
        size = max(1, BATCH_BYTES // (self.classes * 8)) if self.classes else 1  # 1: to see how long a list is
        groups = list(range(number, len(self.groups)))
        return first, self.file.iter_batches(batch_size=size, row_groups=groups, columns=[self.column])


class Arrow(Batches):
    """An Arrow file (Feather version 2) or stream, mapped into memory: what is not compressed is not copied."""

    def __init__(self, path: Path, column: str | None) -> None:
        self.arrow = library("pyarrow", path)
        library("pyarrow.ipc", path)
        with reading(path, "an Arrow file or stream"):
            with open(path, "rb") as file:
                self.random = file.read(6) == b"ARROW1"
            self.path = path
            schema = self.reader(None).schema
        name = column_of(path, schema, column)
        self.place = schema.get_field_index(name)
        if self.place < 0:
            raise ValueError(f"{path}: expected one column {name!r}, got several of that name")
        with reading(path, "an Arrow file or stream"):
            self.sizes = [batch.num_rows for batch in self.every()]
        self.rows = sum(self.sizes)
        self.begin(path, name, schema.field(name).type, "an Arrow file or stream")

    def reader(self, place: int | None) -> Any:
        options = self.arrow.ipc.IpcReadOptions(included_fields=None if place is None else [place])
        source = self.arrow.memory_map(str(self.path))
        return (self.arrow.ipc.open_file if self.random else self.arrow.ipc.open_stream)(source, options=options)

    def every(self, first: int = 0) -> Iterator[Any]:
        reader = self.reader(self.place)
        if self.random:
            yield from (reader.get_batch(number) for number in range(first, reader.num_record_batches))
        else:
            yield from (batch for number, batch in enumerate(reader) if number >= first)

    def batches(self, row: int) -> tuple[int, Iterator[Any]]:
        first = number = 0
        while number < len(self.sizes) and first + self.sizes[number] <= row:
            first += self.sizes[number]
            number += 1
        return first, self.every(number)
