"""Points that are in two data sets of a run, where they should be in one: looked for where that costs next to nothing,
in arrays, tensors and lists of texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from .pairs import Mixed, Pairs, Part

FEW = 10  # points below which equal ones may be chance
MOST = 1024  # points that are looked for
COLUMNS = 16  # bytes of a point that tell most others apart
OWN = 0.9  # of the points differ from each other: where equal inputs abound, they are no sign


def doubts(labelled: Pairs | Part, holdout: Pairs | Part, pool: Mixed) -> list[str]:
    """What is to be said of points in two places."""
    found = []
    for few, many, names, then in (
        (holdout, labelled, ("holdout", "labelled"), "a student is surer of what it has learned; hold out others"),
        (
            holdout,
            pool,
            ("holdout", "the pool"),
            "once chosen they are learned, and measure nothing; leave them out of it",
        ),
        (labelled, pool, ("labelled", "the pool"), "the teacher may be asked about them again; leave them out of it"),
    ):
        seen, count = shared(few, many)
        if seen >= FEW and 2 * count > seen:
            share = f"{count} of {seen} points" if seen == len(few) else f"{count} of {seen} points that were looked at"
            found.append(f"{names[0]}: {share} are in {names[1]} as well: {then}")
    return found


def shared(few: Any, many: Any) -> tuple[int, int]:
    """How many points were looked for, and how many of them found; none of kinds that are not compared."""
    wanted, others = contents(few), contents(many)
    if wanted is None or others is None or type(wanted) is not type(others):
        return 0, 0
    at = np.unique(np.linspace(0, len(wanted) - 1, min(MOST, len(wanted))).round().astype(np.int64))
    if isinstance(wanted, list):
        sought = [wanted[place] for place in at]
        known = set(others)
        return of_many(sought, [text in known for text in sought])
    if wanted.dtype != others.dtype or wanted.shape[1:] != others.shape[1:] or wanted[:1].size == 0:
        return 0, 0
    rows, all_rows = bytes_of(wanted[at]), bytes_of(others)
    columns = np.unique(np.linspace(0, rows.shape[1] - 1, COLUMNS).astype(np.int64))
    likely = np.isin(keys(all_rows, columns), keys(rows, columns))
    known = {row.tobytes() for row in all_rows[likely]}
    sought = [row.tobytes() for row in rows]
    return of_many(sought, [row in known for row in sought])


def of_many(sought: list[Any], found: list[bool]) -> tuple[int, int]:
    return (len(sought), sum(found)) if len(set(sought)) >= OWN * len(sought) else (0, 0)


def contents(data: Any) -> Any:
    """An array of all points, or a list of texts; None of other kinds."""
    if isinstance(data, Part):
        whole = contents(data.pairs)
        return (
            None if whole is None else [whole[at] for at in data.rows] if isinstance(whole, list) else whole[data.rows]
        )
    held = data.pool if isinstance(data, Mixed) else data.data
    if isinstance(held, torch.Tensor) and held.device.type == "cpu" and held.dtype != torch.bfloat16:
        held = held.detach().numpy()
    if type(held) is np.ndarray and held.dtype.kind in "fiub":
        return held
    return held if isinstance(held, list) and all(isinstance(text, str) for text in held) else None


def bytes_of(rows: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    flat = np.ascontiguousarray(rows).reshape(len(rows), -1)
    return flat.view(np.uint8)


def keys(rows: npt.NDArray[np.uint8], columns: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """(n,) a number of some bytes of each row."""
    found = np.zeros(len(rows), np.uint64)
    for column in columns:
        found = found * np.uint64(1_000_003) + rows[:, column]
    return found
