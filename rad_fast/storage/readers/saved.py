"""Hugging Face datasets that were saved to disk."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .columns import columns_of
from .errors import library, reading
from .wanted import Wanted

Array = npt.NDArray[Any]

AT_ONCE = 1000  # rows in which a list is looked for


class Saved:
    """A folder written by ``Dataset.save_to_disk``; of a DatasetDict one split is given, as DIR/train."""

    def __init__(self, path: Path, wanted: Wanted) -> None:
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
            self.rows, self.classes, self.dtype = 0, 0, ""
            if state["_data_files"]:  # of no rows there are none
                whole = datasets.load_from_disk(str(path), keep_in_memory=False)
                schema = whole.features.arrow_schema
                self.rows = len(whole)
        if not self.rows:
            return
        self.columns = columns_of(path, schema, wanted)
        heads = {name if name in schema.names else name.partition(".")[0] for name in self.columns.names}
        self.data = whole.select_columns(sorted(heads)).with_format("arrow")
        self.classes, self.dtype = self.columns.classes, self.columns.dtype
        at = 0
        while not self.classes and at < self.rows:  # the first list that is not missing says how long they are
            self.classes, at = int(self.read(at, min(self.rows, at + AT_ONCE)).shape[1]), at + AT_ONCE
        if self.classes < 2 and not wanted.flat:
            raise ValueError(f"{path}: expected at least 2 columns, one per class, got lists of {self.classes}")
        self.columns = self.columns._replace(classes=self.classes)

    def read(self, begin: int, end: int) -> Array:
        if not self.rows:
            return np.empty((0, 0), np.float32)
        with reading(self.path, "a saved dataset"):
            table = self.data[begin:end]
        return self.columns.rows_of(str(self.path), table, begin)
