"""One number a row in files: labels, masks, indices, correctness; of any format and cut into shards as logits are."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import Shards
from .finding import found
from .pairing import in_order
from .wanted import Wanted


class Flat(NamedTuple):
    """The numbers of all shards, one after the other."""

    values: npt.NDArray[Any]
    shards: Shards


def open_flat(
    given: Sequence[Path], *, numbers: str = "any", names: Sequence[str] = (), follow_links: bool = False
) -> Flat:
    """The numbers in files and folders, (rows,); one .npy file is mapped into memory, all else is read.

    Parameters
    ----------
    given : as ``open_shards`` takes them. ``FILE:NAME`` is the column, tensor or array of that name.
    numbers : "floats", "integers" (truth values among them), or "any" of both.
    names : which column is meant where several would do.

    Raises
    ------
    ImportError, OSError, TypeError, ValueError : naming the file, what was expected and what it holds.
    """
    files, column = without_column(given)
    paths = [path for each in in_order(files) for path in found(each, follow_links)]
    shards = Shards(paths, Wanted(column, numbers, flat=True, names=tuple(name.lower() for name in names)))
    values = np.asarray(shards.read(0, shards.rows)).reshape(-1)
    return Flat(values, shards)


def without_column(given: Sequence[Path]) -> tuple[list[Path], str | None]:
    """The files, and the name of a column that stands behind the last of them."""
    *others, last = given
    start, colon, column = last.name.rpartition(":")
    file = last.with_name(start) if start else last.parent  # "FOLDER/:NAME" is the folder's
    if colon and column and not last.exists() and (file.exists() or glob.has_magic(start)):
        return [*others, file], column
    return list(given), None
