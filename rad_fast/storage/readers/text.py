"""Text: .csv, one column per class."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .arrow import Batches
from .errors import library, reading
from .wanted import Wanted, stem


class Csv(Batches):
    """A .csv file, with names of its columns in the first line or without. It is read once to count its rows."""

    def __init__(self, path: Path, wanted: Wanted) -> None:
        self.csv = library("pyarrow.csv", path)
        self.path = path
        with reading(path, "a .csv file"):
            with open(path, newline="", encoding="utf-8-sig") as file:  # as Excel writes it
                first = next(csv.reader(file), [])
            bare = all(is_number(text) for text in first)
            names = [f"{place}" for place in range(len(first))] if bare else first
            arrow = library("pyarrow", path)
            classes = {name: arrow.float64() for name in names if stem(name)[1] is not None and not wanted.flat}
            self.options = {
                "read_options": self.csv.ReadOptions(column_names=names if bare else None),
                "convert_options": self.csv.ConvertOptions(column_types=classes),
            }
            schema, self.rows = None, 0
            if first:
                reader = self.csv.open_csv(path, **self.options)
                schema, self.rows = reader.schema, sum(batch.num_rows for batch in reader)
        if bare and self.rows > 1 and not wanted.flat and self.counts():
            raise ValueError(
                f"{path}: expected logits alone, the first column counts the rows; leave it out, or name the columns"
            )
        self.begin(path, schema, wanted, "a .csv file")

    def counts(self) -> bool:
        """Whether the first column is an index."""
        batch = next(iter(self.csv.open_csv(self.path, **self.options)))
        numbers = batch.column(0).to_pylist()[:3]
        return numbers in (list(range(len(numbers))), list(range(1, len(numbers) + 1)))

    def batches(self, row: int) -> tuple[int, Iterator[Any]]:
        return 0, iter(self.csv.open_csv(self.path, **self.options))


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
