"""What is looked for in a file: logits, classes of the largest logits, or one number per row; and by which name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rad_fast import inputs

BATCHES = ("batch", "part", "chunk", "shard", "block")  # stems of names of consecutive pieces of one matrix
CLASSES = ("", "class", "c", "label", "logit", "logits", "col", "column")  # stems of names of columns, one per class
FEATURES = ("embedding", "hidden", "feature")  # in names of matrices that are no logits, whatever their numbers


class Wanted(NamedTuple):
    """``numbers``: "floats", "integers", or "any" of both. ``flat``: one number per row, in place of a matrix.

    ``names``: which of several that would do is meant, by what it is called; small letters.
    """

    column: str | None = None
    numbers: str = "floats"
    flat: bool = False
    names: tuple[str, ...] = ()

    def takes(self, dtype: str) -> bool:
        floats, integers = dtype.startswith(("float", "bfloat")), dtype.startswith(("int", "uint", "bool"))
        return {"floats": floats, "integers": integers, "any": floats or integers}[self.numbers]

    @property
    def logits(self) -> bool:
        return self.numbers == "floats" and not self.flat

    def fits(self, dtype: str, shape: Sequence[int]) -> bool:
        """Whether an array can be what is wanted."""
        return self.takes(dtype) and len(shape) == (1 if self.flat else 2)

    @property
    def described(self) -> str:
        if self.flat:
            return {"floats": "a number", "integers": "an integer", "any": "a number"}[self.numbers] + " for every row"
        return "rows of integers" if self.numbers == "integers" else "rows of floating-point numbers"

    @property
    def how_to_name(self) -> str:
        return "name one as FILE:NAME (column=)" if self.flat else "name one with --column (column=)"

    def check(self, path: Path, dtype: str, shape: tuple[int, ...]) -> None:
        """Raise where the array of a file is not what is wanted."""
        if self.logits:
            inputs.check_logits(str(path), dtype, shape, empty=True)
        elif not self.takes(dtype) and not self.flat:  # who asks for numbers of each row says better what they are for
            raise TypeError(f"{path}: expected {self.described}, got dtype {dtype}")
        elif len(shape) != (1 if self.flat else 2):
            raise ValueError(f"{path}: expected {self.described}, got shape {shape}")


def picked(path: Path, kind: str, wanted: Wanted, arrays: Mapping[str, tuple[str, tuple[int, ...]]]) -> list[str]:
    """The names of the arrays to read, one after the other: the one that is meant, or batches of one matrix.

    ``arrays``: dtype and shape by name.
    """
    every = sorted(arrays)
    usable = [name for name in every if wanted.fits(*arrays[name])]
    if wanted.column is not None:
        if wanted.column in arrays:
            return [wanted.column]
        family = [name for name in usable if stem(name)[0] == wanted.column.removesuffix("*")]
        if wanted.column.endswith("*") and family:
            return consecutive(path, kind, family)
        raise ValueError(f"{path}: expected {article(kind)} {kind} {wanted.column!r}, got {listed(every)}")
    if len(usable) == 1 and not (wanted.logits and is_features(*usable)):
        return usable
    if len(called := [name for name in usable if name.lower() in wanted.names]) == 1:
        return called
    stems = {stem(name)[0] for name in usable}
    if len(stems) == 1 and all(stem(name)[1] is not None for name in usable) and bare(*stems) in BATCHES:
        return consecutive(path, kind, usable)
    got = f"none among {listed(every) if every else 'nothing'}"
    if usable:
        got = f"{len(usable)}: {listed(usable)}; {wanted.how_to_name}"
    raise ValueError(f"{path}: expected one {kind} with {wanted.described}, got {got}")


def article(kind: str) -> str:
    return "an" if kind[0] in "aeiou" else "a"


def is_features(name: str) -> bool:
    """Whether this is called as what a model's last layer is given, and not as what it returns."""
    return any(word in name.lower() for word in FEATURES)


def consecutive(path: Path, kind: str, names: Sequence[str]) -> list[str]:
    """Names that differ in a number alone, by that number; none may be missing."""
    numbered = sorted((number, name) for name in names if (number := stem(name)[1]) is not None)
    numbers = [number for number, _ in numbered]
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))) or numbers[0] > 1:
        raise ValueError(f"{path}: expected every {kind} from 0 or 1 on, got {listed([name for _, name in numbered])}")
    return [name for _, name in numbered]


def stem(name: str) -> tuple[str, int | None]:
    """A name without the number at its end, and the number."""
    match = re.fullmatch(r"(.*?)(\d+)", name)
    return (name, None) if match is None else (match[1], int(match[2]))


def bare(start: str) -> str:
    return start.rstrip("_-. ").lower()


def listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return (", ".join(map(repr, names[:20])) or "none") + more


def native(dtype: np.dtype[np.generic]) -> str:
    return dtype.newbyteorder("=").name
