"""Every check of what is given to rad_fast.distill, and every message about it, in one place.

A message names the argument, what was expected, what came, and what to do. Nothing given is ever modified.
"""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rad_fast.inputs import choice, is_number, labels, seed  # the same checks and words as for select()

__all__ = ["choice", "is_number", "labels", "seed"]

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


def callable_or_none(name: str, value: Any, what: str) -> None:
    if value is not None and not callable(value):
        raise TypeError(f"{name}: expected a callable {what}, got {type(value).__name__}")


def logits_tensor(name: str, value: Any, like: torch.Tensor | None = None) -> torch.Tensor:
    """Checked logits of a loss: a floating tensor of shape (n, C); as many rows and columns as ``like``."""
    if not isinstance(value, torch.Tensor) or not value.is_floating_point():
        got = f"dtype {value.dtype}" if isinstance(value, torch.Tensor) else type(value).__name__
        raise TypeError(f"{name}: expected a floating tensor of shape (n, classes), got {got}")
    if value.ndim != 2 or value.shape[1] < 2:
        raise ValueError(f"{name}: expected shape (n, classes) with 2 classes or more, got {tuple(value.shape)}")
    if like is not None and value.shape != like.shape:
        raise ValueError(
            f"{name}: expected shape {tuple(like.shape)} as the student's logits, got {tuple(value.shape)}"
        )
    return value


def targets_tensor(value: Any, like: torch.Tensor) -> torch.Tensor:
    """Checked targets: probabilities of the shape of the logits, or integer labels, one a row."""
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"targets: expected a tensor of probabilities or labels, got {type(value).__name__}")
    if value.is_floating_point():
        return logits_tensor("targets", value, like)
    if value.dtype == torch.bool or value.is_complex():
        raise TypeError(f"targets: expected floating probabilities or integer labels, got dtype {value.dtype}")
    if value.shape != like.shape[:1]:
        raise ValueError(f"targets: expected one label a row, shape ({len(like)},), got {tuple(value.shape)}")
    return value


def per_row(name: str, value: Any, rows: int) -> None:
    """One number for all rows, or a tensor of one a row."""
    if isinstance(value, torch.Tensor):
        if value.shape not in (torch.Size([]), torch.Size([rows])):
            raise ValueError(f"{name}: expected one number, or one a row, shape ({rows},), got {tuple(value.shape)}")
    elif not is_number(value):
        raise TypeError(f"{name}: expected a number or a tensor, got {type(value).__name__}")


def host_array(name: str, value: Any) -> npt.NDArray[Any]:
    """A NumPy array of what a user or a teacher gives: a tensor on any device, an array, or nested lists."""
    if isinstance(value, torch.Tensor):
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
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name}: expected an array of numbers, got {type(value).__name__} of dtype {array.dtype}")
    return array


def matrix(name: str, value: Any, rows: int | None, columns: int | None) -> npt.NDArray[np.float32]:
    """Checked (rows, columns) numbers as float32."""
    array = host_array(name, value)
    if array.ndim != 2:
        raise ValueError(f"{name}: expected 2 dimensions, (points, classes), got shape {array.shape}")
    if rows is not None and len(array) != rows:
        raise ValueError(f"{name}: expected a row a point, {rows}, got {len(array)}")
    if columns is not None and array.shape[1] != columns:
        raise ValueError(f"{name}: expected {columns} classes, as the student has, got {array.shape[1]}")
    return np.ascontiguousarray(array, dtype=np.float32)


def finite_logits(name: str, values: npt.NDArray[np.float32]) -> None:
    bad = invalid(values)
    if bad.any():
        raise ValueError(
            f"{name}: expected rows of finite numbers or -inf; {int(bad.sum())} have NaN, +inf or nothing finite, the "
            f"first is row {int(bad.argmax())}"
        )


def invalid(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Rows with NaN, +inf or nothing finite."""
    wrong = np.isnan(logits) | np.isposinf(logits)
    bad: npt.NDArray[np.bool_] = np.any(wrong, axis=1) | ~np.any(np.isfinite(logits), axis=1)
    return bad


def soft_or_hard(name: str, value: Any, rows: int, classes: int | None) -> torch.Tensor:
    """Checked targets of a data set as (rows, C) float32 probabilities; labels become one-hot rows."""
    tensor = torch.as_tensor(value)
    if not tensor.is_floating_point():
        if tensor.ndim != 1 or tensor.dtype == torch.bool:
            raise TypeError(
                f"{name}: expected labels (n,) or probabilities (n, C), got {tensor.dtype}, {tuple(tensor.shape)}"
            )
        if classes is None:
            raise ValueError(f"{name}: labels alone do not say how many classes there are; give n_classes=")
        checked = labels(name, tensor.cpu().numpy(), rows, classes)
        return torch.nn.functional.one_hot(torch.from_numpy(checked), classes).float()
    if tensor.ndim != 2 or len(tensor) != rows:
        raise ValueError(f"{name}: expected probabilities of shape ({rows}, C), got {tuple(tensor.shape)}")
    if classes is not None and tensor.shape[1] != classes:
        raise ValueError(f"{name}: expected {classes} classes, got {tensor.shape[1]}")
    tensor = tensor.float()
    wrong = ~((tensor >= 0).all(1) & ((tensor.sum(1) - 1).abs() <= SUM_TOLERANCE))
    if bool(wrong.any()):
        first = int(wrong.int().argmax())
        raise ValueError(
            f"{name}: expected rows of probabilities that sum to 1; {int(wrong.sum())} are not, the first is row "
            f"{first}; give logits through soft_targets(logits)"
        )
    return tensor


def row_weights(name: str, value: Any, rows: int) -> torch.Tensor:
    if value is None:
        return torch.ones(rows)
    tensor = torch.as_tensor(value).float()
    if tensor.shape != (rows,):
        raise ValueError(f"{name}: expected one weight a row, shape ({rows},), got {tuple(tensor.shape)}")
    wrong = ~(torch.isfinite(tensor) & (tensor >= 0))
    if bool(wrong.any()):
        first = int(wrong.int().argmax())
        raise ValueError(
            f"{name}: expected finite weights of at least 0, {int(wrong.sum())} are not, the first: {tensor[first]} "
            f"at {first}"
        )
    return tensor


def indices(name: str, value: Any, points: int | None) -> npt.NDArray[np.int64]:
    array = host_array(name, value) if len(value) else np.empty(0, np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected integers of shape (n,), got {array.dtype} of shape {array.shape}")
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


def data_pair(name: str, value: Any) -> None:
    if isinstance(value, tuple) and (len(value) != 2 or len(value[0]) != len(value[1])):
        raise ValueError(f"{name}: expected a data set of (input, label), or a pair (inputs, labels) of equal length")
    if not hasattr(value, "__len__"):
        raise TypeError(f"{name}: expected a data set with a length, got {type(value).__name__}")
    if len(value[0] if isinstance(value, tuple) else value) == 0:
        raise ValueError(f"{name}: expected at least one labelled point, got none")


def item_label(name: str, item: Any, at: int) -> int:
    """The label of one item of a labelled data set."""
    if not isinstance(item, (tuple, list)) or len(item) < 2:
        raise TypeError(f"{name}: expected items (input, label), got {type(item).__name__} at {at}")
    label = item[1].item() if hasattr(item[1], "item") else item[1]
    if not is_number(label) or label != int(label):
        raise TypeError(f"{name}: expected an integer label, got {label!r} at {at}")
    return int(label)


def answer_rows(got: int, expected: int, kept: str) -> TeacherError:
    return TeacherError(
        f"teacher: expected a row of logits for each of the {expected} points of a batch, got {got}: which row belongs "
        f"to which point cannot be told. {kept}"
    )


def answer_classes(shape: tuple[int, ...], expected: int, kept: str) -> TeacherError:
    return TeacherError(
        f"teacher: expected logits of {expected} classes, as the student and the labelled set have, got shape {shape}; "
        f"map the teacher's classes to the student's in the callable. {kept}"
    )


def answer_invalid(count: int, expected: int, first: int, where: str, kept: str) -> TeacherError:
    return TeacherError(
        f"teacher: {count} of {expected} rows have NaN, +inf or nothing finite, the first for point {first} of the "
        f'{where}; the others are kept. Mend the teacher, or leave such points out with invalid="skip". {kept}'
    )


def answer_type(error: TypeError, kept: str) -> TeacherError:
    return TeacherError(f"teacher: {error}. {kept}")


def teacher_failed(times: int, rows: int, error: BaseException, kept: str) -> TeacherError:
    return TeacherError(
        f"teacher: failed {times} times in a row on a batch of {rows} points, the last time with "
        f"{type(error).__name__}: {error}. {kept}"
    )


def fewer_left(number: int, budget: int, left: int) -> BudgetWarning:
    return BudgetWarning(
        f"round {number}: the budget is {budget}, but only {left} points are left: all of them are taken"
    )


def other_run(path: Any, name: str, before: Any, now: Any) -> ValueError:
    return ValueError(
        f"journal: {path} belongs to another run: its {name} is {before!r}, here it is {now!r}; give another path, or "
        "the arguments of the run that is to be resumed"
    )


def unknown_strategy(name: Any, known: list[str]) -> ValueError:
    return ValueError(f"strategy: expected one of {', '.join(known)}, or a callable of a Round; got {name!r}")


def needs(strategy: str, what: str, how: str) -> ValueError:
    return ValueError(f"strategy: {strategy!r} needs {what}: {how}")


def measured(value: Any) -> dict[str, float]:
    """What ``evaluate`` returned, as it is written down."""
    if not isinstance(value, dict):
        raise TypeError(f"evaluate: expected a dictionary of numbers, got {type(value).__name__}")
    try:
        return {str(name): float(number) for name, number in value.items()}
    except (TypeError, ValueError) as error:
        raise TypeError(f"evaluate: expected a dictionary of numbers ({error})") from error


def choice_of(points: npt.NDArray[np.int64], available: npt.NDArray[np.bool_], budget: int) -> None:
    """What a strategy chose: as many distinct points as asked for, all of them still there."""
    checked = indices("strategy: its indices", points, len(available))
    distinct, before = len(np.unique(checked)), int((~available[checked]).sum())
    if len(checked) != budget or distinct != budget or before:
        raise ValueError(
            f"strategy: expected {budget} distinct points that are still available, got {len(checked)}, {distinct} of "
            f"them distinct, {before} chosen before"
        )


def share(name: str, value: Any) -> float:
    if not is_number(value) or not 0.0 < float(value) <= 1.0:
        kind = TypeError if not is_number(value) else ValueError
        raise kind(f"{name}: expected a number in (0, 1], the part of a batch to keep, got {value!r}")
    return float(value)


def rows_alike(labels: int, student: torch.Tensor, reference: torch.Tensor | None) -> None:
    """A batch's labels and both models' logits are of the same rows and classes."""
    if labels != len(student):
        raise ValueError(f"labels: expected one for each of the student's {len(student)} rows, got {labels}")
    if reference is not None and reference.shape != student.shape:
        raise ValueError(
            f"reference: expected logits of shape {tuple(student.shape)}, as the student's, got "
            f"{tuple(reference.shape)}"
        )


def scores(name: str, value: Any, rows: int) -> torch.Tensor:
    """A score a row, none of them NaN."""
    found = torch.as_tensor(value).detach().float().cpu()
    if found.shape != (rows,):
        raise ValueError(f"{name}: expected a score a row, shape ({rows},), got {tuple(found.shape)}")
    if bool(found.isnan().any()):
        raise ValueError(f"{name}: expected scores that are numbers, {int(found.isnan().sum())} of {rows} are NaN")
    return found
