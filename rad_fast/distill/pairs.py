"""Views of data sets: pairs of arrays, parts, and points mixed with others."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset

from . import inputs
from .rows import as_tensors, by_position, first_of, items

READ = 1 << 10  # items read together for their labels


class Pairs(Dataset[tuple[Any, int]]):
    """A labelled data set: from one with items (input, label), or from a pair (inputs, labels)."""

    def __init__(self, name: str, data: Any, classes: int | None = None) -> None:
        self.split = not isinstance(data, tuple)
        if isinstance(data, tuple):
            given, labels = inputs.data_pair(name, data)
            self.data = by_position(name, given)
            inputs.labelled_rows(name, len(self.data), len(labels))
            self.labels = inputs.labels(name, labels, len(labels), np.iinfo(np.int32).max)
        else:
            self.data = by_position(name, data)
            inputs.labelled_rows(name, len(self.data))
            found = []
            for begin in range(0, len(self.data), READ):
                part = range(begin, min(begin + READ, len(self.data)))
                found += [
                    inputs.item_label(name, item, at) for at, item in zip(part, items(self.data, part), strict=True)
                ]
            self.labels = np.array(found, np.int64)
        if classes is not None:
            self.check(name, classes)

    def check(self, name: str, classes: int) -> None:
        """Every label is a class of the student."""
        inputs.labels(name, self.labels, len(self.labels), classes)

    def make_tensors(self) -> None:
        """Have NumPy's arrays come as tensors, which can share a batch with those of another data set."""
        self.data = as_tensors(self.data)

    def part(self, rows: npt.NDArray[np.int64]) -> Part:
        return Part(self, rows)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, at: int) -> tuple[Any, int]:
        return self.__getitems__([at])[0]

    def __getitems__(self, at: list[int]) -> list[tuple[Any, int]]:
        found = items(self.data, at)
        given = [first_of(item) for item in found] if self.split else found
        return list(zip(given, self.labels[at].tolist(), strict=True))


class Part(Dataset[tuple[Any, int]]):
    """Some rows of labelled pairs."""

    def __init__(self, pairs: Pairs, rows: npt.NDArray[np.int64]) -> None:
        self.pairs, self.rows = pairs, rows
        self.labels = pairs.labels[rows]

    def check(self, name: str, classes: int) -> None:
        inputs.labels(name, self.labels, len(self.labels), classes)

    def make_tensors(self) -> None:
        self.pairs.make_tensors()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: int) -> tuple[Any, int]:
        return self.pairs[int(self.rows[at])]

    def __getitems__(self, at: list[int]) -> list[tuple[Any, int]]:
        return self.pairs.__getitems__(self.rows[at].tolist())


class Mixed(Dataset[Any]):
    """The pool's inputs; those of some points mixed with a partner: (1 - share) x[i] + share x[partner]."""

    def __init__(self, pool: Any) -> None:
        self.pool = by_position("pool", pool)
        self.partners: dict[int, tuple[int, float]] = {}

    def make_tensors(self) -> None:
        self.pool = as_tensors(self.pool)

    def mix(self, points: list[int], partners: list[int], shares: list[float]) -> None:
        for point, partner, share in zip(points, partners, shares, strict=True):
            if share > 0.0:
                self.partners[point] = (partner, share)

    def __len__(self) -> int:
        return len(self.pool)

    def __getitem__(self, at: int) -> Any:
        return self.__getitems__([at])[0]

    def __getitems__(self, at: list[int]) -> list[Any]:
        found = [first_of(item) for item in items(self.pool, at)]
        return [self._mixed(place, x) if place in self.partners else x for place, x in zip(at, found, strict=True)]

    def _mixed(self, at: int, x: Any) -> Any:
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

    def __getitems__(self, at: list[int]) -> list[Any]:
        return items(self.data, self.rows[at])
