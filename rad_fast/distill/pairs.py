"""Views of data sets: pairs of arrays, parts, and points mixed with others."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset

from . import inputs
from .data import first_of


class Pairs(Dataset[tuple[Any, int]]):
    """A labelled data set: from one with items (input, label), or from a pair (inputs, labels)."""

    def __init__(self, name: str, data: Any, classes: int | None = None) -> None:
        inputs.data_pair(name, data)
        if isinstance(data, tuple):
            self.data, given = data
            found = [int(label) for label in inputs.labels(name, given, len(given), np.iinfo(np.int32).max)]
            self.split = False
        else:
            self.data, self.split = data, True
            found = [inputs.item_label(name, data[at], at) for at in range(len(data))]
        self.labels = np.array(found, np.int64)
        if classes is not None:
            self.check(name, classes)

    def check(self, name: str, classes: int) -> None:
        """Every label is a class of the student."""
        inputs.labels(name, self.labels, len(self.labels), classes)

    def part(self, rows: npt.NDArray[np.int64]) -> Part:
        return Part(self, rows)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, at: int) -> tuple[Any, int]:
        item = self.data[at]
        return (first_of(item) if self.split else item), int(self.labels[at])


class Part(Dataset[tuple[Any, int]]):
    """Some rows of labelled pairs."""

    def __init__(self, pairs: Pairs, rows: npt.NDArray[np.int64]) -> None:
        self.pairs, self.rows = pairs, rows
        self.labels = pairs.labels[rows]

    def check(self, name: str, classes: int) -> None:
        inputs.labels(name, self.labels, len(self.labels), classes)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: int) -> tuple[Any, int]:
        return self.pairs[int(self.rows[at])]


class Mixed(Dataset[Any]):
    """The pool's inputs; those of some points mixed with a partner: (1 - share) x[i] + share x[partner]."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self.partners: dict[int, tuple[int, float]] = {}

    def mix(self, points: list[int], partners: list[int], shares: list[float]) -> None:
        for point, partner, share in zip(points, partners, shares, strict=True):
            if share > 0.0:
                self.partners[point] = (partner, share)

    def __len__(self) -> int:
        return len(self.pool)

    def __getitem__(self, at: int) -> Any:
        x = first_of(self.pool[at])
        if at not in self.partners:
            return x
        partner, share = self.partners[at]
        other = first_of(self.pool[partner])
        if not hasattr(x, "__mul__") or isinstance(x, (str, list, tuple)):
            raise TypeError(f"pool: a strategy that mixes points needs inputs of numbers, got {type(x).__name__}")
        return (1.0 - share) * x + share * other


class Rows(Dataset[Any]):
    """Some inputs of a data set."""

    def __init__(self, data: Any, rows: npt.NDArray[np.int64]) -> None:
        self.data, self.rows = data, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: int) -> Any:
        return self.data[int(self.rows[at])]
