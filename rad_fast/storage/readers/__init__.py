"""Logits in files and folders: one matrix, read in pieces, whatever it is stored as and however it is cut into shards.

A format is a class with the attributes of ``Stored``, in a file of this package that imports its library when a file of
that format is opened, and a line in ``formats``. ``finding`` says which files are shards, ``wanted`` what is looked for
in them, ``identity`` whether they have changed; ``open_shards`` joins them.
"""

from __future__ import annotations

import bisect
import importlib
import os
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rad_fast import inputs

from .columns import names_of
from .finding import files_of, found, natural
from .formats import FORMATS, SUFFIXES, Format, by_magic, by_suffix, form_of
from .identity import fingerprint
from .wanted import Wanted
from .wanted import listed as listed_names

__all__ = [
    "FORMATS",
    "SUFFIXES",
    "Format",
    "Shards",
    "Stored",
    "Wanted",
    "files_of",
    "fingerprint",
    "found",
    "natural",
    "open_shards",
    "opened",
]

Array = npt.NDArray[Any]


LOGITS = Wanted()


class Stored(Protocol):
    """A matrix in a file; ``read`` gives consecutive rows, and is fastest where each call goes on from the last."""

    rows: int
    classes: int
    dtype: str

    def read(self, begin: int, end: int) -> Array: ...


class Shards:
    """The rows of all shards, one after the other."""

    def __init__(self, paths: Sequence[Path], wanted: Wanted = LOGITS) -> None:
        self.paths = tuple(paths)
        refuse_twice(self.paths)
        self.shards = [opened(path, wanted) for path in paths]
        # Of a shard without rows nothing is asked: its writer saw no number, and may not know the classes.
        full = [number for number, shard in enumerate(self.shards) if shard.rows] or [0]
        first = self.shards[full[0]]
        for number in full:
            path, shard = paths[number], self.shards[number]
            if shard.classes != first.classes:
                raise ValueError(
                    f"{path}: expected {first.classes} columns as in {paths[full[0]]}, got {shard.classes}"
                )
            if shard.dtype != first.dtype and wanted.numbers == "floats":
                raise ValueError(f"{path}: expected {first.dtype} as in {paths[full[0]]}, got {shard.dtype}")
            if wanted.flat and kind_of(shard.dtype) != kind_of(first.dtype):  # truth values beside indices, say
                raise ValueError(f"{path}: expected {first.dtype} as in {paths[full[0]]}, got {shard.dtype}")
            self.check_columns(paths[number], names_of(shard), paths[full[0]], names_of(first))
        self.columns = names_of(first)
        self.empty: Array = first.read(0, 0)
        self.ends = list(accumulate(shard.rows for shard in self.shards))
        self.rows, self.classes, self.dtype = self.ends[-1], first.classes, first.dtype

    @staticmethod
    def check_columns(path: Path, names: tuple[str, ...], beside: Path, expected: tuple[str, ...]) -> None:
        """Classes are columns by position: of shards they have one order."""
        if names and expected and names != expected:
            raise ValueError(
                f"{path}: expected the columns {listed_names(expected)} in this order as in {beside}, got "
                f"{listed_names(names)}"
            )

    @property
    def row_bytes(self) -> int:
        return self.classes * (2 if self.dtype == "bfloat16" else np.dtype(self.dtype).itemsize)

    def read(self, begin: int, end: int) -> Array:
        """The rows from ``begin`` to ``end``; where they lie in one shard of a mapped file, nothing is copied."""
        if not all(inputs.is_whole(at) and 0 <= at <= self.rows for at in (begin, end)):
            raise ValueError(f"rows: expected begin and end from 0 to {self.rows}, got {begin} and {end}")
        parts: list[Array] = []
        number = bisect.bisect_right(self.ends, begin)
        while begin < end:
            start = self.ends[number] - self.shards[number].rows
            until = min(end, self.ends[number])
            if begin < until:
                parts.append(self.shards[number].read(begin - start, until - start))
                if len(parts[-1]) != until - begin:
                    raise ValueError(
                        f"{self.paths[number]}: expected {until - begin} rows from row {begin - start} on, got "
                        f"{len(parts[-1])}; is it complete?"
                    )
            begin, number = until, number + 1
        return parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else self.empty

    def described(self) -> list[dict[str, Any]]:
        """Every shard's name and rows, for a report: row i of the whole is in the first whose ``end`` is above i.

        Shards of one name, as in a partitioned table, are told apart by their folders.
        """
        names = [path.name for path in self.paths]
        if len(set(names)) < len(names):
            above = os.path.commonpath([path.parent.absolute() for path in self.paths])
            names = [os.path.relpath(path.absolute(), above) for path in self.paths]
        named = zip(names, self.shards, self.ends, strict=True)
        return [{"name": name, "rows": shard.rows, "end": end} for name, shard, end in named]


def open_shards(
    given: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    column: str | None = None,
    follow_links: bool = False,
    numbers: str = "floats",
) -> Shards:
    """Open the matrix in files and folders, in the order given; a folder's and a pattern's shards in natural order.

    Folders are read with all folders in them, and so is what ``**`` of a pattern matches. A shard may have no rows. A
    row that is missing (null) is a row of NaN, and so invalid.

    Parameters
    ----------
    given : files, folders that are one matrix (Zarr, a saved dataset), folders of shards, or patterns such as
        ``logits-*.npy``; one, or a list of them.
    column : which column, tensor or array of the files; needed where there are several. ``"class_*"`` is a column a
        class, of names that end in a number, and ``"*"`` every column of numbers in its order.
    follow_links : whether symbolic links may lead out of a given folder.
    numbers : "floats", or "integers" for classes of the largest logits, or "any" of both.

    Warns
    -----
    UserWarning : naming a file in a folder that rad_fast wrote, and that is passed over.

    Raises
    ------
    ImportError : saying what installs the library that a format needs.
    OSError, ValueError : naming the file, what was expected and what it holds.
    """
    inputs.choice("numbers", numbers, ("floats", "integers", "any"))
    return Shards([shard for path in listed(given) for shard in found(path, follow_links)], Wanted(column, numbers))


def listed(given: Any) -> list[Path]:
    """One path or several, as a list."""
    if isinstance(given, (str, os.PathLike)):
        return [Path(given)]
    if not isinstance(given, (list, tuple)) or not all(isinstance(each, (str, os.PathLike)) for each in given):
        raise TypeError(f"given: expected a path, a folder, a pattern, or a list of them, got {given!r:.200}")
    if not given:
        raise ValueError("given: expected at least one path, got an empty list")
    return [Path(each) for each in given]


def refuse_twice(paths: Sequence[Path]) -> None:
    """Raise where one file stands for two shards: its points would be there twice."""
    seen: dict[str, Path] = {}
    for path in paths:
        before = seen.setdefault(os.path.abspath(path), path)
        if before is not path:
            raise ValueError(f"{path}: expected each file once, it is given twice, as {before} before")


def kind_of(dtype: str) -> str:
    """Truth values, integers or floats."""
    return next(kind for kind in ("bool", "int", "float", "") if kind in dtype)


def opened(path: Path, wanted: Wanted) -> Stored:
    """The matrix in one file, checked as far as it can be without reading it."""
    if not path.exists():
        raise FileNotFoundError(2, "No such file or directory", str(path))
    form = form_of(path) or by_suffix(path) or by_magic(path)
    if form is None:
        raise ValueError(
            f"{path}: expected a file of numbers ({SUFFIXES}), got one of no such kind; numpy.save writes one"
        )
    module = importlib.import_module(f"{__name__}.{form.module}")
    opener: Callable[[Path, Wanted], Stored] = getattr(module, form.opener)
    return opener(path, wanted)
