"""The selected points as a table: index, label, gain, correctness, probability, weight, and why each was selected."""

from __future__ import annotations

import csv
import importlib
import importlib.util
import io
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rad_fast.device.backends import Backend
from rad_fast.inputs import choice
from rad_fast.kernels.reference.game import Equilibria, Equilibrium, Float32s, Float64s
from rad_fast.kernels.reference.score import Points

from .figures import probabilities

LIBRARIES = ("pandas", "polars", "pyarrow")
SUFFIXES = (".npy", ".csv", ".parquet")
NEEDED = "table() needs pandas, polars or pyarrow, of which none is installed: pip install pandas"
PARQUET = 'a .parquet file needs pyarrow, which cannot be imported: pip install "rad_fast[files]"'
ROWS = 10_000  # written at a time

Columns = Mapping[str, Any]  # an array, or for ``why`` a list of str, by name


class Picks(NamedTuple):
    """What a table says of the selected points, an entry each.

    ``quota``: whether each class had its own budget; ``before``: which points an earlier stage selected.
    """

    at: npt.NDArray[np.int64]
    label: npt.NDArray[np.int32]
    gain: Float32s
    correctness: Float32s
    probability: Float64s
    threshold: Float64s  # of the game that the point was in
    quota: bool
    before: npt.NDArray[np.bool_]


def columns_of(
    at: npt.NDArray[np.int64],
    points: Points,
    answer: Equilibrium | Equilibria,
    kernels: Backend,
    before: npt.NDArray[np.bool_],
) -> Columns:
    """The columns of the table, from the points, which of them were selected, and which before this stage."""
    some = Points(points.gain[at], points.correctness[at], points.label[at])
    by_class = isinstance(answer, Equilibria)
    chance = probabilities(kernels, some, answer)
    chance[before] = 1.0
    threshold = np.broadcast_to(answer.threshold, len(at)) if not by_class else np.take(answer.threshold, some.label)
    return columns(Picks(at, some.label, some.gain, some.correctness, chance, threshold, by_class, before))


def columns(picks: Picks) -> Columns:
    """The columns of the table."""
    return {
        "index": picks.at,
        "label": picks.label.astype(np.int64),
        "gain": picks.gain,
        "correctness": picks.correctness,
        "probability": picks.probability,
        "weight": 1.0 / picks.probability,
        "why": reasons(picks),
    }


def reasons(picks: Picks) -> list[str]:
    """Why each point was selected, in words: "effective gain 0.71 above 0.62"."""
    effective = (2.0 * picks.correctness.astype(np.float64) - 1.0) * picks.gain
    words = []
    told = zip(picks.label.tolist(), effective.tolist(), picks.threshold.tolist(), picks.before.tolist(), strict=True)
    for label, gain, threshold, before in told:
        if before:
            words.append(f"selected before, effective gain {gain:.2f}")
            continue
        quota = f"class {label}'s quota, " if picks.quota else ""
        if gain == threshold:
            words.append(f"{quota}effective gain {gain:.2f}, on the threshold")
        else:
            words.append(f"{quota}effective gain {apart(gain, threshold)} above {apart(threshold, gain)}")
    return words


def apart(number: float, other: float) -> str:
    """A number with two decimals, or as many as tell it from the other, up to seven."""
    for digits in range(2, 7):
        if f"{number:.{digits}f}" != f"{other:.{digits}f}":
            return f"{number:.{digits}f}"
    return f"{number:.7g}"


def table(named: Columns, library: str) -> Any:
    """The columns as a table of a library; "auto": of the first that is imported already, or else installed."""
    library = found() if library == "auto" else choice("library", library, ("auto", *LIBRARIES))
    try:
        module: Any = importlib.import_module(library)
    except ImportError as error:
        raise ImportError(f"table() needs {library}, which cannot be imported ({error}): pip install {library}") from (
            error
        )
    return module.table(dict(named)) if library == "pyarrow" else module.DataFrame(dict(named))


def found() -> str:
    for library in LIBRARIES:
        if library in sys.modules:
            return library
    for library in LIBRARIES:
        if importlib.util.find_spec(library) is not None:
            return library
    raise ImportError(NEEDED)


def writer(path: Path, named: Columns) -> Callable[[IO[bytes]], None]:
    """What writes the columns as .csv or .parquet, by the end of the path's name, for ``write_together``."""
    return (
        (lambda file: write_parquet(file, named)) if path.suffix == ".parquet" else lambda file: write_csv(file, named)
    )


def check_parquet() -> None:
    """ImportError where no .parquet can be written: before the work, not after it."""
    if importlib.util.find_spec("pyarrow") is None:
        raise ImportError(PARQUET)


def write_csv(file: IO[bytes], named: Columns) -> None:
    """The columns as UTF-8, numbers with as many digits as tell them from all others of their type."""
    lines = io.TextIOWrapper(file, encoding="utf-8", newline="")
    out = csv.writer(lines, lineterminator="\n")
    out.writerow(named)
    for begin in range(0, len(named["index"]), ROWS):
        parts = (values[begin : begin + ROWS] for values in named.values())
        out.writerows(zip(*(part if isinstance(part, list) else part.astype(str) for part in parts), strict=True))
    lines.flush()
    lines.detach()  # the file stays open: it is not ours


def write_parquet(file: IO[bytes], named: Columns) -> None:
    try:
        pyarrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise ImportError(PARQUET) from error
    parquet.write_table(pyarrow.table(dict(named)), file)
