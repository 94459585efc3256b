"""Parquet and Arrow files whose rows of logits are lists of one length, or columns, one per class."""

from __future__ import annotations

import abc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .columns import Columns, columns_of
from .errors import library, reading
from .wanted import Wanted

Array = npt.NDArray[Any]

BATCH_BYTES = 16 << 20  # decoded at a time


class Batches(abc.ABC):
    """Rows from batches that come one after the other; going back, or far ahead, starts a new run through them."""

    path: Path
    columns: Columns
    classes: int
    dtype: str
    rows: int
    expected: str

    def begin(self, path: Path, schema: Any, wanted: Wanted, expected: str) -> None:
        """Find the columns and how many classes they have; ``rows`` is known."""
        self.path, self.expected = path, expected
        self.run: Iterator[Any] = iter(())
        self.left: Array | None = None  # of the last batch, what was not asked for yet
        self.at = -1  # the row that comes next; -1: no run was started
        self.classes, self.dtype = 0, ""
        if not self.rows:  # the writer of no rows knows no types: nothing is asked of them
            return
        self.columns = columns_of(path, schema, wanted)
        self.classes, self.dtype = self.columns.classes, self.columns.dtype
        if self.columns.lists and not self.classes:
            self.classes = self.length_of_lists()
        if self.classes < 2 and not wanted.flat:
            name = self.columns.names[0]
            raise ValueError(
                f"{path}: expected at least 2 columns, one per class, got lists of {self.classes} in {name!r}"
            )
        self.columns = self.columns._replace(classes=self.classes)

    def length_of_lists(self) -> int:
        """How many numbers the first list has that is not missing."""
        for at in range(self.rows):
            row = self.read(at, at + 1)
            if row.shape[1] or not len(row):
                self.at, self.left = -1, None
                return int(row.shape[1])
        return 0

    @abc.abstractmethod
    def batches(self, row: int) -> tuple[int, Iterator[Any]]:
        """Batches from the one with ``row`` on, and the number of the first one's first row."""

    def read(self, begin: int, end: int) -> Array:
        if not self.rows:
            return np.empty((0, 0), np.float32)
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
                self.left = self.columns.rows_of(str(self.path), batch, self.at)
            skipped = self.left[max(0, begin - self.at) :]
            part = skipped[: end - max(self.at, begin)]
            taken = len(self.left) - len(skipped) + len(part)
            self.left, self.at = self.left[taken:], self.at + taken
            if len(part):
                parts.append(part)
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.empty((0, self.classes), self.dtype or np.float32)


class Parquet(Batches):
    """A Parquet file, its row groups decoded a batch at a time."""

    def __init__(self, path: Path, wanted: Wanted) -> None:
        parquet = library("pyarrow.parquet", path)
        with reading(path, "a Parquet file"):
            self.file = parquet.ParquetFile(path, memory_map=True)
            schema, meta = self.file.schema_arrow, self.file.metadata
            self.groups = [meta.row_group(number).num_rows for number in range(meta.num_row_groups)]
            self.rows = int(meta.num_rows)
        self.begin(path, schema, wanted, "a Parquet file")

    def batches(self, row: int) -> tuple[int, Iterator[Any]]:
        first = number = 0
        while number < len(self.groups) and first + self.groups[number] <= row:
            first += self.groups[number]
            number += 1
        size = max(1, BATCH_BYTES // (self.classes * 8)) if self.classes else 1  # 1: to see how long a list is
        groups = list(range(number, len(self.groups)))
        return first, self.file.iter_batches(batch_size=size, row_groups=groups, columns=list(self.columns.names))


class Arrow(Batches):
    """An Arrow file (Feather version 2) or stream, mapped into memory: what is not compressed is not copied."""

    def __init__(self, path: Path, wanted: Wanted) -> None:
        self.arrow = library("pyarrow", path)
        library("pyarrow.ipc", path)
        with reading(path, "an Arrow file or stream"):
            with open(path, "rb") as file:
                self.random = file.read(6) == b"ARROW1"
            self.path = path
            schema = self.reader([]).schema
            self.names = list(schema.names)
        with reading(path, "an Arrow file or stream"):
            self.sizes = [batch.num_rows for batch in self.every()]
        self.rows = sum(self.sizes)
        self.begin(path, schema, wanted, "an Arrow file or stream")

    @property
    def places(self) -> list[int]:
        """The columns that are decoded: those that are read, or one, to count rows."""
        if not hasattr(self, "columns"):
            return [0] if self.names else []
        heads = {name if name in self.names else name.partition(".")[0] for name in self.columns.names}
        return [place for place, name in enumerate(self.names) if name in heads]

    def reader(self, places: list[int]) -> Any:
        options = self.arrow.ipc.IpcReadOptions(included_fields=places)  # none: all of them
        source = self.arrow.memory_map(str(self.path))
        return (self.arrow.ipc.open_file if self.random else self.arrow.ipc.open_stream)(source, options=options)

    def every(self, first: int = 0) -> Iterator[Any]:
        reader = self.reader(self.places)
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
