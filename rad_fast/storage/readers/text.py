"""Text: .csv, one column per class."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .arrow import Batches
from .errors import library, reading
from .wanted import Wanted, stem

LOOKED_AT = 100  # rows, for an index among the columns


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
        if bare and len(first) > 1 and not wanted.flat and counted(first):
            raise ValueError(
                f"{path}: expected names of columns or a row of logits in the first line, it counts the columns; "
                "name them class_0, class_1 and so on, or leave that line out (header=False)"
            )
        if bare and self.rows > 1 and not wanted.flat and (index := self.index()):
            raise ValueError(f"{path}: expected logits alone, {index}; leave it out, or name the columns")
        self.begin(path, schema, wanted, "a .csv file")

    def index(self) -> str:
        """What is said of a column that is an index: whole numbers, no two alike, beside columns of fractions."""
        batch = next(iter(self.csv.open_csv(self.path, **self.options)))
        columns = [batch.column(place).to_pylist()[:LOOKED_AT] for place in range(batch.num_columns)]
        if columns[0][:3] in [list(range(start, start + len(columns[0][:3]))) for start in (0, 1)]:
            return "the first column counts the rows"
        whole = [place for place, column in enumerate(columns) if all(is_whole(number) for number in column)]
        if len(whole) == 1 and len(set(columns[whole[0]])) == len(columns[whole[0]]):
            return f"column {whole[0] + 1} holds whole numbers beside fractions, as an index does"
        return ""

    def batches(self, row: int) -> tuple[int, Iterator[Any]]:
        return 0, iter(self.csv.open_csv(self.path, **self.options))


def is_whole(number: float | None) -> bool:
    return number is not None and float(number).is_integer()


def counted(texts: list[str]) -> bool:
    """Whether these are 0, 1, 2 and so on, as a table is written whose columns have no names."""
    return [text.strip() for text in texts] in ([str(at + start) for at in range(len(texts))] for start in (0, 1))


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
