"""Hugging Face datasets that were saved to disk."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy.typing as npt

from rad_fast.inputs.lists import matrix_of, storage, value_dtype

from .arrow import column_of
from .errors import library, reading

Array = npt.NDArray[Any]


class Saved:
    """A folder written by ``Dataset.save_to_disk``; of a DatasetDict one split is given, as DIR/train."""

    def __init__(self, path: Path, column: str | None) -> None:
        if not (path / "state.json").is_file():
            with reading(path, "a saved dataset"):
                splits = json.loads((path / "dataset_dict.json").read_text())["splits"]
            raise ValueError(f"{path}: expected one split of the dataset, got {', '.join(splits)}; give {path}/SPLIT")
        self.path = path
        datasets = library("datasets", path)
        with reading(path, "a saved dataset"):
            state = json.loads((path / "state.json").read_text())
            inside = os.path.realpath(path)
            for file in state["_data_files"]:
                if os.path.realpath(os.path.join(inside, file["filename"])) != os.path.join(inside, file["filename"]):
                    raise ValueError(f"its state.json names a file outside of it, {file['filename']}")
            whole = datasets.load_from_disk(str(path), keep_in_memory=False)
            schema = whole.features.arrow_schema
            self.rows = len(whole)
        self.column = column_of(path, schema, column)
        kind = schema.field(self.column).type
        self.dtype = value_dtype(kind) or ""
        self.data = whole.select_columns([self.column]).with_format("arrow")
        fixed = getattr(storage(kind), "list_size", None)
        self.classes = int(fixed) if fixed is not None else 0
        if fixed is None and self.rows:
            self.classes = int(self.read(0, 1).shape[1])
        if self.classes < 2:
            raise ValueError(f"{path}: expected at least 2 columns, one a class, got lists of {self.classes}")

    def read(self, begin: int, end: int) -> Array:
        with reading(self.path, "a saved dataset"):
            column = self.data[begin:end].column(self.column)
        return matrix_of(str(self.path), column, self.classes or None, begin)
