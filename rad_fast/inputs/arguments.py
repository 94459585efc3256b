"""The settings of a selection: what budget, mistakes, seed and the named choices may be.

A message names the argument, what was expected, what came, and what to do.
"""

from __future__ import annotations

import contextlib
import math
import numbers
import os
from pathlib import Path
from typing import Any

import numpy as np

ON_DEVICE = ("triton", "cuda", "triton+cuda")  # backends that serve arrays in CUDA memory


def is_number(value: Any) -> bool:
    """Whether a value is one real number (and no truth value)."""
    if type(value) in (int, float):  # asking the abstract class takes a microsecond
        return True
    return isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))


def is_whole(value: Any) -> bool:
    """Whether a number is an integer of Python or NumPy."""
    return type(value) is int or isinstance(value, numbers.Integral)


def as_float(value: Any) -> float:
    """A number as a float; infinite where it is larger than any."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


BUDGET = (
    "budget: expected an int from 1 to the number of points, or a fraction of them as a float in (0, 1] or as text "
    'such as "5%"'
)


def percentage(value: Any) -> Any:
    """The fraction that text such as "5%" stands for; anything else as it is."""
    if isinstance(value, str) and value.strip().endswith("%"):
        with contextlib.suppress(ValueError):
            return float(value.strip()[:-1]) / 100.0
    return value


def budget_alone(given: Any) -> None:
    """What can be said of a budget before the number of points is known."""
    value = percentage(given)
    if not is_number(value):
        hint = (
            f"; write it without quotes: {value.strip()}" if isinstance(value, str) and value.strip().isdigit() else ""
        )
        raise TypeError(f"{BUDGET}; got {given!r}{hint}")
    if is_whole(value):
        if int(value) < 1:
            raise ValueError(f"{BUDGET}; got {value}")
        return
    number = float(value)
    if not 0.0 < number <= 1.0:
        count = number > 1 and number.is_integer() and not isinstance(given, str)
        hint = f"; a number of points is an int: {int(number)}" if count else ""
        raise ValueError(f"{BUDGET}; got {given}{hint}")


def budget(given: Any, points: int, left_out: int) -> int:
    """The number of points to select: as given, or a fraction of the points that are not left out."""
    budget_alone(given)
    value = percentage(given)
    most = points - left_out
    if not is_whole(value):
        return min(most, max(1, math.floor(float(value) * most + 0.5)))
    if int(value) > most:
        without = f", {points} points less {left_out} left out" if left_out else ", the number of points"
        raise ValueError(f"budget: expected at most {most}{without}; got {value}")
    return int(value)


def larger_budget(given: Any, points: int, left_out: int, before: int) -> int:
    """The number of points in all of a selection that contains one of ``before`` points."""
    total = budget(given, points, left_out)
    if total <= before:
        raise ValueError(f"budget: expected a total of more than the {before} points already selected, got {total}")
    return total


def mistakes(given: Any) -> float | None:
    """A count of mistakes (an int, or a float of at least 1) or a fraction of the points (a float below 1, or text such
    as "5%"), or None."""
    value = percentage(given)
    if value is None:
        return None
    if not is_number(value):
        raise TypeError(
            "mistakes: expected None, a count (an int, or a float of at least 1) or a fraction of the points, as a "
            f'float in [0, 1) or as text such as "5%"; got {given!r}'
        )
    number = as_float(value)
    if not 0.0 <= number < math.inf:
        raise ValueError(f"mistakes: expected a finite number of at least 0, got {value}")
    return number


class Share(float):
    """A fraction of the points, written as one: 100% is all of them, where 1.0 is one point."""


def mistakes_rate(value: Any) -> tuple[float, float]:
    """Checked, given ``mistakes`` as a count, and a number for each point that can be selected."""
    number = float(percentage(value))
    fraction = isinstance(value, str) or (number < 1.0 and not isinstance(value, numbers.Integral))
    return (0.0, number) if fraction else (number, 0.0)


def seed(value: Any, random_state: Any = None) -> int:
    """The seed, by either of its names."""
    name = "seed"
    if random_state is not None:
        if not is_number(value) or value != 0:
            raise ValueError(
                f"seed and random_state: expected one of them, as they are the same setting; got {value!r} and "
                f"{random_state!r}"
            )
        name, value = "random_state", random_state
    if not is_number(value) or not is_whole(value):
        raise TypeError(f"{name}: expected an int of at least 0, got {value!r}")
    if value < 0:
        raise ValueError(f"{name}: expected an int of at least 0, got {value}")
    return int(value)


def choice(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, allowed))}, got {value!r}")
    return value


def host_backend(name: str) -> None:
    if name in ON_DEVICE:
        raise ValueError(
            f"backend: {name!r} serves arrays on a CUDA device, and the logits are in host memory; "
            "move them with .cuda(), or use 'auto'"
        )


def device_backend(name: str) -> None:
    if name not in ("auto", *ON_DEVICE):
        raise ValueError(
            f"backend: {name!r} serves arrays in host memory, and the logits are on a CUDA device; "
            "move them with .cpu() or .get(), or use 'auto'"
        )


def unusable(backend: str, why: str) -> ValueError:
    return ValueError(f"backend: {backend!r} cannot be used here: {why}")


def no_kernels(kind: type, reasons: list[str], known: bool) -> ValueError:
    """The error for an array in CUDA memory that nothing here can read."""
    other = 'pip install "rad_fast[triton]"' if known else "give it to torch.from_dlpack (with Triton installed)"
    return ValueError(
        f"logits: there are no kernels here for a {kind.__module__}.{kind.__qualname__} on a CUDA device "
        f"({'; '.join(reasons)}); {other}, take a wheel with the compiled CUDA kernels, or move the array to host "
        "memory with .cpu() or .get()"
    )


def folder(name: str, value: Any) -> Path | None:
    if value is None:
        return None
    if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
        raise TypeError(f"{name}: expected None or the path of a folder, got {value!r}")
    return Path(os.fspath(value))


def same_folder(kept: Path, value: Any) -> None:
    """Refuse another folder of scores than that which a selector has begun with."""
    if folder("scores", value) != kept:
        raise ValueError(f"scores: expected {kept}, where the points so far are, got {value!r}; make a new Selector")


INSTEAD = {  # of Selection.save, by the suffix of what was wanted
    ".npy": "numpy.save(path, selection.indices) stores the indices",
    ".csv": "selection.table().to_csv(path) stores the selected points, with pandas",
    ".parquet": "selection.table().to_parquet(path) stores the selected points, with pandas",
    ".json": "json.dump(selection.report(), file) stores the numbers",
    ".html": "selection.save_report(path) writes the page",
    ".png": "selection.plot().savefig(path) stores the figures",
}


def is_path(name: str, value: Any) -> None:
    if not isinstance(value, (str, os.PathLike)) or not isinstance(os.fspath(value), str):
        raise TypeError(f"{name}: expected the path of a file, got {value!r:.100}")


def page_path(path: str | os.PathLike[str]) -> None:
    """Refuse a name that would say something else of a page than what it is."""
    is_path("path", path)
    if Path(path).suffix.lower() in {".npz", *INSTEAD} - {".html"}:
        raise ValueError(f"path: expected a name such as report.html, got {str(path)!r}; save(path) stores a selection")


def archive_path(path: str | os.PathLike[str]) -> None:
    """Refuse a name that would say something else of the file than what it is."""
    is_path("path", path)
    suffix = Path(path).suffix.lower()
    if suffix in INSTEAD:
        raise ValueError(f"path: expected a name such as selection.npz, got {str(path)!r}; {INSTEAD[suffix]}")


FEW_LABELLED = 30  # labelled points below which a certificate says hardly anything


def confidence(value: Any) -> float:
    if not is_number(value) or not 0.0 < float(value) < 1.0:
        raise ValueError(f"confidence: expected a number between 0 and 1, such as 0.95; got {value!r}")
    return float(value)


def no_labelled_points() -> ValueError:
    return ValueError(
        "certificate: expected a selection whose correctness came from a Calibrator: without labelled points nothing "
        "can be promised; fit one and give correctness=calibrator"
    )


def accuracy(value: Any) -> float:
    """A correctness given as one number: the teacher's average accuracy."""
    number = as_float(value)
    if not 0.0 <= number <= 1.0:
        raise ValueError(f"correctness: expected the teacher's average accuracy in [0, 1], got {value}")
    return number
