"""Every check of what is given to rad_fast.distill, and every message about it, but for those of losses
(``loss_inputs``), of what trains a student (``fit_inputs``) and of what comes back in a round (``round_inputs``).

A message names the argument, what was expected, what came, and what to do. Nothing given is ever modified.
"""

from __future__ import annotations

import numbers
import os
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rad_fast.inputs import (
    Probabilities,
    TeacherLabels,
    choice,
    is_number,
    labels,
    percentages,
    percentages_given,
    seed,
)
from rad_fast.inputs.shown import are

__all__ = ["choice", "is_number", "labels", "percentages", "seed"]

SUM_TOLERANCE = 1e-3  # what rows of probabilities in float16 may miss 1 by


class BudgetWarning(UserWarning):
    """Fewer points are left than the budget asks for: the round takes them all.

    Examples
    --------
    >>> import warnings
    >>> from rad_fast.distill import BudgetWarning
    >>> warnings.simplefilter("ignore", BudgetWarning)  # where a smaller last round is meant
    """


class TeacherError(RuntimeError):
    """The teacher failed for good, or its answer cannot be used. What was answered before is kept.

    Raised by ``ActiveDistiller.run``, from the teacher's own error. ``run()`` again asks only for the rest.

    Examples
    --------
    >>> import torch
    >>> from rad_fast.distill import ActiveDistiller, TeacherError
    >>> x, y = torch.eye(4), torch.tensor([0, 1, 0, 1])
    >>> def broken(batch):
    ...     raise ConnectionError("no answer")
    >>> distiller = ActiveDistiller(
    ...     torch.nn.Linear(4, 2), broken, (x, y), x, budget=1, retries=0, progress=False)
    >>> try:
    ...     student = distiller.run()
    ... except TeacherError as error:
    ...     print(type(error.__cause__).__name__)
    ConnectionError
    """


def positive_int(name: str, value: Any, least: int = 1) -> int:
    if not is_number(value) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name}: expected an int of at least {least}, got {value!r}")
    if value < least:
        raise ValueError(f"{name}: expected an int of at least {least}, got {value}")
    return int(value)


def positive(name: str, value: Any, *, zero: bool = False) -> float:
    least = "of at least 0" if zero else "above 0"
    if not is_number(value):
        raise TypeError(f"{name}: expected a number {least}, got {value!r}")
    number = float(value)
    if not (number >= 0.0 if zero else number > 0.0) or number == float("inf"):
        raise ValueError(f"{name}: expected a finite number {least}, got {value}")
    return number


def temperature(value: Any, labels: str) -> float:
    """Checked temperature of soft labels."""
    found = positive("temperature", value)
    if labels == "hard" and found != 1.0:
        raise ValueError(f'temperature: expected 1 with labels="hard", got {found:g}; or give labels="soft"')
    return found


def flag(name: str, value: Any) -> bool:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    raise TypeError(f"{name}: expected True or False, got {value!r}")


def path_or_none(name: str, value: Any) -> None:
    if value is not None and (not isinstance(value, (str, os.PathLike)) or not os.fspath(value)):
        raise TypeError(f"{name}: expected None or the path of a file, got {value!r}")


def callable_or_none(name: str, value: Any, what: str) -> None:
    if value is not None and not callable(value):
        raise TypeError(f"{name}: expected a callable {what}, got {type(value).__name__}")


def host_array(name: str, value: Any) -> npt.NDArray[Any]:
    """A NumPy array of what a user or a teacher gives: a tensor on any device, an array, or nested lists."""
    if isinstance(value, torch.Tensor):
        if value.is_complex():
            raise TypeError(f"{name}: expected an array of real numbers, got {value.dtype}")
        if value.dtype == torch.bool:
            raise TypeError(f"{name}: expected an array of numbers, got truth values")
        value = value.detach()
        found: npt.NDArray[Any] = (value.float() if value.dtype == torch.bfloat16 else value).cpu().numpy()
        return found
    if hasattr(value, "logits"):  # what Hugging Face models return
        return host_array(name, value.logits)
    if hasattr(value, "get") and hasattr(value, "__cuda_array_interface__"):
        value = value.get()
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}: expected an array of logits, got {type(value).__name__} ({error})") from error
    if array.dtype.hasobject and array.ndim == 1 and len(array):  # a column of rows, as pandas and Arrow hand them over
        rows = [np.asarray(row) for row in array]
        if all(row.ndim == 1 and row.shape == rows[0].shape and row.dtype.kind in "fiu" for row in rows):
            return np.stack(rows)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name}: expected an array of numbers, got {type(value).__name__} of dtype {array.dtype}")
    return array


def rows_of_batch(answer: npt.NDArray[Any], rows: int, before: list[npt.NDArray[np.float32]]) -> npt.NDArray[Any]:
    """What a student says of a batch: a row for each input, as long as those of the batches before."""
    if answer.ndim == 0 or len(answer) != rows:
        got = len(answer) if answer.ndim else "a single number"
        raise ValueError(f"student: expected a row of numbers for each of {rows} inputs of a batch, got {got}")
    flat = answer.reshape(rows, -1)
    if before and flat.shape[1] != before[0].shape[1]:
        raise ValueError(
            f"student: expected {before[0].shape[1]} numbers for each input, as in the batches before, got "
            f"{flat.shape[1]}"
        )
    return flat


def plain(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """An array that torch can share: writable, in this machine's byte order, no dimension backwards."""
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    # NumPy calls one row contiguous whatever its stride is; torch refuses a negative one.
    return native if native.flags.writeable and min(native.strides, default=0) >= 0 else native.copy()


def tensor_of(name: str, value: Any) -> torch.Tensor:
    """What is given of every row, by position, as a tensor on the CPU."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}: expected an array, got {type(value).__name__} ({error})") from error
    if array.dtype.kind != "b":
        array = host_array(name, value)
    return torch.from_numpy(plain(array))


def matrix(name: str, value: Any, rows: int | None, columns: int | None) -> npt.NDArray[np.float32]:
    """Checked (rows, columns) numbers as float32."""
    array = host_array(name, value)
    if array.ndim != 2:
        hint = "; of labels give rad_fast.TeacherLabels(labels, n_classes=...)" if of_labels(array) else ""
        raise ValueError(f"{name}: expected 2 dimensions, (points, classes), got shape {array.shape}{hint}")
    if rows is not None and len(array) != rows:
        raise ValueError(f"{name}: expected one row per point, {rows}, got {len(array)}")
    if columns is not None and array.shape[1] != columns:
        raise ValueError(f"{name}: expected {columns} classes, as the student has, got {array.shape[1]}")
    return plain(np.ascontiguousarray(array, dtype=np.float32))


def of_labels(array: npt.NDArray[Any]) -> bool:
    """Whether these may be labels: whole numbers, one a row."""
    return array.dtype.kind in "iu" and array.ndim == 1


ENOUGH = 8  # rows that are all probabilities: they were meant so


def are_probabilities(values: npt.NDArray[np.float32]) -> bool:
    """Whether all rows, of enough, are in [0, 1] and sum to 1."""
    few = values[:ENOUGH]
    if len(few) < ENOUGH or not fractions(few).all():
        return False
    return bool(fractions(values).all())


def likely_probabilities(values: npt.NDArray[np.float32]) -> bool:
    """The same of two rows or more; 0 and 1 alone may be logits where they are few."""
    few = len(values) < ENOUGH and ((values == 0) | (values == 1)).all()
    return len(values) > 1 and not few and bool(fractions(values).all())


def fractions(values: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Which rows are in [0, 1] and sum to 1."""
    inside: Any = ((values >= 0) & (values <= 1)).all(axis=1)
    alike: npt.NDArray[np.bool_] = inside & (np.abs(values.sum(axis=1, dtype=np.float64) - 1.0) <= SUM_TOLERANCE)
    return alike


def no_probabilities(name: str, values: npt.NDArray[np.float32]) -> None:
    """Raise where the rows are probabilities."""
    if percentages(values):
        raise percentages_given(name)
    if likely_probabilities(values):
        raise ValueError(
            f"{name}: expected logits, got probabilities: the rows are in [0, 1] and sum to 1; give their logarithm, "
            "or take them as they are where targets are asked for"
        )


def logarithms(values: npt.NDArray[np.float32], wanted: bool) -> npt.NDArray[np.float32]:
    """Logits of probabilities, where they are wanted: finite ones. Votes, 0 and 1 alone, say which class and not how
    surely: as logits they stay as far apart as they are."""
    if not wanted:
        return values
    votes = ((values == 0) | (values == 1)).all()
    return values - np.float32(1) if votes else np.log(np.maximum(values, np.finfo(np.float32).tiny))


def logarithm(p: torch.Tensor) -> torch.Tensor:
    """Logits of probabilities, finite ones: of a student that ends in a softmax."""
    return p.clamp_min(torch.finfo(p.dtype).tiny).log()


def is_vector(value: Any) -> bool:
    """Whether an input is one row of floating numbers, among which distances mean something."""
    return getattr(value, "ndim", None) == 1 and len(value) > 1 and "float" in str(getattr(value, "dtype", ""))


def as_many_classes(name: str, got: int, expected: int) -> None:
    if got != expected:
        raise ValueError(f"{name}: expected labels of {expected} classes, as the student has, got {got}")


def finite_logits(name: str, values: npt.NDArray[np.float32]) -> None:
    if percentages(values):
        raise percentages_given(name)
    if are_probabilities(values):
        raise ValueError(
            f"{name}: expected logits, got probabilities: the rows are in [0, 1] and sum to 1; give "
            "rad_fast.Probabilities(p), or their logarithm log(p)"
        )
    finite_rows(name, values)


def finite_rows(name: str, values: npt.NDArray[np.float32]) -> None:
    bad = invalid(values)
    if bad.any():
        raise ValueError(
            f"{name}: expected rows of finite numbers or -inf; {int(bad.sum())} have NaN, +inf or nothing finite, the "
            f"first is row {int(bad.argmax())}; leave such points out"
        )


def invalid(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Rows with NaN, +inf or nothing finite."""
    wrong = np.isnan(logits) | np.isposinf(logits)
    bad: npt.NDArray[np.bool_] = np.any(wrong, axis=1) | ~np.any(np.isfinite(logits), axis=1)
    return bad


def soft_or_hard(name: str, value: Any, rows: int, classes: int | None) -> torch.Tensor:
    """Checked targets of a data set as (rows, C) float32 probabilities; labels become one-hot rows."""
    if isinstance(value, (Probabilities, TeacherLabels)):
        hint = ".labels, with n_classes=" if isinstance(value, TeacherLabels) else "the array it was made of"
        raise TypeError(
            f"{name}: expected labels (n,) or probabilities (n, C), got {type(value).__name__}; give {hint}"
        )
    if classes is not None:
        positive_int("n_classes", classes, 2)
    tensor = tensor_of(name, value)
    if not tensor.is_floating_point():
        if tensor.ndim != 1 or tensor.dtype == torch.bool:
            raise TypeError(
                f"{name}: expected labels (n,) or probabilities (n, C), got {tensor.dtype}, {tuple(tensor.shape)}"
            )
        if classes is None:
            raise ValueError(f"{name}: labels alone do not say how many classes there are; give n_classes=")
        checked = labels(name, tensor.cpu().numpy(), rows, classes)
        return torch.nn.functional.one_hot(torch.from_numpy(checked), classes).float()
    if tensor.ndim != 2 or len(tensor) != rows or tensor.shape[1] < 2:
        raise ValueError(f"{name}: expected probabilities of shape ({rows}, C), got {tuple(tensor.shape)}")
    if classes is not None and tensor.shape[1] != classes:
        raise ValueError(f"{name}: expected {classes} classes, got {tensor.shape[1]}")
    tensor = tensor.float()
    wrong = ~((tensor >= 0).all(1) & ((tensor.sum(1) - 1).abs() <= SUM_TOLERANCE))
    if bool(wrong.any()):
        first = int(wrong.int().argmax())
        raise ValueError(
            f"{name}: expected rows of probabilities that sum to 1; {are(int(wrong.sum()))} not, the first is row "
            f"{first}; give logits through soft_targets(logits)"
        )
    return tensor


def row_weights(name: str, value: Any, rows: int) -> torch.Tensor:
    if value is None:
        return torch.ones(rows)
    tensor = tensor_of(name, value).float()
    if tensor.shape != (rows,):
        raise ValueError(f"{name}: expected one weight per row, shape ({rows},), got {tuple(tensor.shape)}")
    wrong = ~(torch.isfinite(tensor) & (tensor >= 0))
    if bool(wrong.any()):
        first = int(wrong.int().argmax())
        raise ValueError(
            f"{name}: expected finite weights of at least 0, {are(int(wrong.sum()))} not, the first: {tensor[first]} "
            f"at {first}"
        )
    return tensor


def indices(name: str, value: Any, points: int | None, *, flags: bool = True) -> npt.NDArray[np.int64]:
    """Checked indices below ``points``; what looks like a mask is refused, unless ``flags`` is False."""
    if not isinstance(value, (torch.Tensor, np.ndarray)) and hasattr(value, "indices"):
        raise TypeError(f"{name}: expected integers of shape (n,), got a {type(value).__name__}; give its .indices")
    array = np.asarray(value.detach().cpu() if isinstance(value, torch.Tensor) else value)
    array = array if array.size else np.empty(0, np.int64)
    if array.dtype.kind == "b":
        raise TypeError(f"{name}: expected indices, got a boolean mask; give np.flatnonzero(mask)")
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected integers of shape (n,), got {array.dtype} of shape {array.shape}")
    if flags and len(array) > 2 and array.min() == 0 and array.max() == 1:
        raise ValueError(
            f"{name}: expected indices, got {len(array)} numbers that are all 0 or 1, as a mask has them; give "
            "np.flatnonzero(mask)"
        )
    most = np.inf if points is None else points
    wrong = (array < 0) | (array >= most)
    if wrong.any():
        first = int(wrong.argmax())
        raise ValueError(
            f"{name}: expected indices from 0 to {int(most) - 1 if points else 'N - 1'}, got {array[first]} at {first}"
        )
    return array.astype(np.int64)


def pool_size(points: int) -> None:
    if points == 0:
        raise ValueError("pool: expected at least one point to select from, got an empty pool")


PAIR = "expected a data set of (input, label), or a pair (inputs, labels) of equal length"


def data_pair(name: str, value: tuple[Any, ...]) -> tuple[Any, Any]:
    """Inputs and labels; those of pandas with one index in two orders would be paired otherwise than by position."""
    if len(value) != 2:
        raise ValueError(f"{name}: {PAIR}; got a tuple of {len(value)}")
    one, other = (getattr(part, "index", None) for part in value)
    both: bool = hasattr(one, "equals") and hasattr(other, "equals")
    if both and reordered(one, other):
        raise ValueError(
            f"{name}: inputs and labels have the same index in another order, and rows are paired by position; give "
            "labels.loc[inputs.index], or .to_numpy() of both where the order is right as it is"
        )
    if not hasattr(value[1], "__len__"):
        raise TypeError(f"{name}: {PAIR}; got labels of {type(value[1]).__name__}")
    return value[0], value[1]


def reordered(one: Any, other: Any) -> bool:
    """Whether two indexes of pandas hold the same labels in another order."""
    return not one.equals(other) and len(one) == len(other) and one.sort_values().equals(other.sort_values())


def labelled_rows(name: str, rows: int, of_labels: int | None = None) -> None:
    if of_labels is not None and rows != of_labels:
        raise ValueError(f"{name}: {PAIR}; got {rows} inputs and {of_labels} labels")
    if rows == 0:
        raise ValueError(f"{name}: expected at least one labelled point, got none")


ROWS = "expected a data set, tensor, array, pandas column or table, or list of inputs"


def no_rows(name: str, value: Any) -> TypeError:
    return TypeError(f"{name}: {ROWS}, got {type(value).__name__}")


def a_pair(name: str) -> TypeError:
    return TypeError(f"{name}: expected inputs alone, got a pair of arrays, as of inputs and labels; give the first")


def no_positions(name: str, value: Any) -> TypeError:
    return TypeError(
        f"{name}: {ROWS}, with a length and [i]; got {type(value).__name__}, whose items can only be read in turn: "
        "give list(...) of it, or write them to a data set first"
    )


def arrow_rows(name: str, value: Any) -> TypeError:
    return TypeError(
        f"{name}: {ROWS}, got pyarrow's {type(value).__name__}, whose items are not inputs; give "
        "datasets.Dataset(table), table.to_pandas(), or np.stack(column.to_numpy(zero_copy_only=False))"
    )


def no_table_of_numbers(name: str, frame: Any) -> TypeError:
    return TypeError(
        f"{name}: expected a table of numbers, or one column; got a table with the columns {list(frame.columns)}, not "
        "all of numbers: choose the columns, or give a data set whose items are inputs"
    )


def dense_rows(name: str, value: Any) -> Any:
    """A tensor, array or list whose rows are as they look."""
    if isinstance(value, torch.Tensor) and value.layout != torch.strided:
        raise TypeError(f"{name}: expected a dense tensor, got layout {value.layout}; call .to_dense()")
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name}: expected a plain array, got a masked array, whose mask would be lost")
    if isinstance(value, (torch.Tensor, np.ndarray)) and value.ndim == 0:
        raise TypeError(f"{name}: {ROWS}, got a single number")
    return np.asarray(value) if isinstance(value, np.matrix) else value


def with_tensors(item: Any) -> Any:
    """An input with tensors in the place of NumPy's arrays of numbers."""
    if isinstance(item, np.ndarray) and item.dtype.kind in "fiub":
        return torch.from_numpy(plain(item))
    if isinstance(item, dict):
        return {name: with_tensors(value) for name, value in item.items()}
    return item


def alike(first: dict[str, Any]) -> bool:
    """Inputs that are to share batches are of one kind: torch does not mix number formats. False where they are so only
    once NumPy's arrays are made tensors: torch does not mix these either."""
    kinds = {name: kind_of(item) for name, item in first.items()}
    if len(set(kinds.values())) == 1:
        return True
    kinds = {name: kind_of(with_tensors(item)) for name, item in first.items()}
    if len(set(kinds.values())) == 1:
        return False
    name = next(name for name, kind in kinds.items() if kind != kinds["labelled"])
    raise TypeError(
        f"{name}: expected inputs like those of labelled, {kinds['labelled']}, got {kinds[name]}: they cannot share a "
        "batch; convert one of them, for example with torch.as_tensor(x, dtype=torch.float32)"
    )


def kind_of(item: Any) -> str:
    """In words; of containers with the kinds of what they hold."""
    if isinstance(item, torch.Tensor):
        return f"torch tensors of {str(item.dtype).removeprefix('torch.')}"
    if isinstance(item, (np.ndarray, np.generic)):
        return f"NumPy arrays of {item.dtype}" if item.dtype.kind in "fiub" else "NumPy arrays"
    if isinstance(item, dict):
        return "dictionaries of " + ", ".join(f"{name!r}: {kind_of(value)}" for name, value in sorted(item.items()))
    return type(item).__name__


def item_label(name: str, item: Any, at: int) -> int:
    """The label of one item of a labelled data set."""
    if not isinstance(item, (tuple, list)) or len(item) < 2:
        raise TypeError(f"{name}: expected items (input, label), got {type(item).__name__} at {at}")
    label = item[1].item() if hasattr(item[1], "item") else item[1]
    if not is_number(label) or label != int(label):
        raise TypeError(f"{name}: expected an integer label, got {label!r} at {at}")
    return int(label)


def unknown_strategy(name: Any, known: list[str]) -> ValueError:
    return ValueError(f"strategy: expected one of {', '.join(known)}, or a callable of a Round; got {name!r}")


def round_of(budget: Any, available: Any, student: Any, teacher: Any) -> None:
    """What a strategy sees of the pool is of as many points, and has the points that are asked for."""
    given = {"available": available, "student_logits": student, "teacher_logits": teacher}
    for name, value in given.items():
        if value is not None and not isinstance(value, np.ndarray):
            raise TypeError(f"{name}: expected a NumPy array, got {type(value).__name__}")
        if value is not None and len(value) != len(student):
            raise ValueError(f"{name}: expected a row for each of {len(student)} points, got {len(value)}")
    if available.dtype != np.bool_:
        raise TypeError(f"available: expected a mask, got dtype {available.dtype}")
    if positive_int("budget", budget, 0) > available.sum():
        raise ValueError(f"budget: expected at most the {int(available.sum())} points that are available, got {budget}")
    finite_rows("student_logits", student)


def needs(strategy: str, what: str, how: str) -> ValueError:
    return ValueError(f"strategy: {strategy!r} needs {what}: {how}")
