"""Rows by position: whatever holds a data set's items, item i is the i-th from the top, or there is an error.

``x[i]`` is a label in pandas, a column in an Arrow table, a key in a mapping. Here such containers are seen through a
view whose ``[i]`` is the row, or refused by name. Rows are read many at a time where the container can do that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, TensorDataset, default_collate

from . import inputs

STACKED = {"bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"}  # torch has them too


def by_position(name: str, data: Any) -> Any:
    """The same items behind ``[i]`` with i from 0; TypeError, naming the argument, where they cannot be had so."""
    if isinstance(data, tuple) and len(data) == 2 and all(hasattr(part, "shape") for part in data):
        raise inputs.a_pair(name)
    if isinstance(data, (Tensor, np.ndarray, list, range)):
        return inputs.dense_rows(name, data)
    if isinstance(data, (str, bytes, Mapping, set, frozenset)) or data is None:
        raise inputs.no_rows(name, data)
    if isinstance(data, IterableDataset) or not hasattr(data, "__getitem__"):
        raise inputs.no_positions(name, data)
    library = type(data).__module__.partition(".")[0]
    if hasattr(data, "iloc"):  # pandas and those that follow it
        return frame_rows(name, data) if getattr(data, "ndim", 1) == 2 else Located(data)
    if library == "polars":
        return frame_rows(name, data) if hasattr(data, "columns") else Plain(data)
    if library == "pyarrow":
        raise inputs.arrow_rows(name, data)
    if hasattr(data, "tocsr"):
        return SparseRows(data)
    if not hasattr(data, "__len__"):
        raise inputs.no_positions(name, data)
    return data


def frame_rows(name: str, frame: Any) -> npt.NDArray[Any]:
    """A table of numbers as an array: float32, or int64 where every column is of integers."""
    array = np.asarray(frame.to_numpy())
    kinds = {np.asarray(frame[column].to_numpy()).dtype.kind for column in frame.columns}
    if not kinds <= set("biuf"):
        raise inputs.no_table_of_numbers(name, frame)
    return array.astype(np.int64 if kinds <= set("biu") else np.float32)


class Plain(Dataset[Any]):
    """Items of a container that counts from 0 but cannot be copied or sliced as torch would."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, at: int) -> Any:
        return self.data[int(at)]


class Located(Plain):
    """Items of a pandas Series, whose ``[i]`` is the item labelled i."""

    def __getitem__(self, at: int) -> Any:
        return self.data.iloc[int(at)]


class SparseRows(Dataset[Any]):
    """Rows of a SciPy sparse matrix, dense, one at a time."""

    def __init__(self, data: Any) -> None:
        self.data = data.tocsr()

    def __len__(self) -> int:
        return int(self.data.shape[0])

    def __getitem__(self, at: int) -> Any:
        row = self.data[[int(at)]].toarray()[0]
        return row.astype(np.float32) if row.dtype == np.float64 else row


class Tensors(Dataset[Any]):
    """The inputs of a data set with tensors in the place of NumPy's arrays, as torch's own collation makes them."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, at: int) -> Any:
        return self.__getitems__([at])[0]

    def __getitems__(self, at: list[int]) -> list[Any]:
        return [inputs.with_tensors(first_of(item)) for item in items(self.data, at)]


def as_tensors(data: Any) -> Any:
    """The same inputs as tensors; an array in one piece."""
    if isinstance(data, (Tensor, Tensors)):
        return data
    return torch.from_numpy(inputs.plain(data)) if stacked(data) else Tensors(data)


def items(data: Any, at: Sequence[int] | npt.NDArray[np.int64]) -> list[Any]:
    """The items at some places, read together where the data set can do that."""
    at = [int(place) for place in at]
    together = getattr(data, "__getitems__", None)  # what torch's loaders call; None where it is not to be used
    if together is not None:
        return list(together(at))
    if isinstance(data, np.ndarray) or lazy_column(data):
        return list(data[at])
    return [data[place] for place in at]


def lazy_column(data: Any) -> bool:
    """Whether this is a column of a Hugging Face data set that is read at each access."""
    return type(data).__module__.startswith("datasets.") and type(data).__name__ == "Column"


def first_of(item: Any) -> Any:
    """The input of a data set's item: its first part where it has parts."""
    return item[0] if isinstance(item, (tuple, list)) else item


def batches(data: Any, size: int, collate: Callable[[list[Any]], Any]) -> Iterator[Any]:
    """The inputs of a data set in batches, in order. Of tensors and arrays a batch is a slice."""
    whole = data.tensors[0] if isinstance(data, TensorDataset) else data
    sliced = collate is default_collate and stacked(whole)
    for begin in range(0, len(data), size):
        end = min(begin + size, len(data))
        if not sliced:
            yield collate([first_of(item) for item in items(data, range(begin, end))])
        elif isinstance(whole, Tensor):
            yield whole[begin:end].clone()  # a model may work in place
        else:
            yield torch.from_numpy(np.array(whole[begin:end], order="C"))


def stacked(data: Any) -> bool:
    """Whether torch's own collation of some items is no more than a slice."""
    if isinstance(data, Tensor):
        return True
    return type(data) is np.ndarray and data.dtype.isnative and data.dtype.name in STACKED
