"""Every check of what a caller gives, and every message about it, in one place.

A message names the argument, what was expected, what came, and what to do. Nothing given is ever modified.
"""

from __future__ import annotations

import contextlib
import math
import numbers
import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

FLOATS = ("float64", "float32", "float16", "bfloat16")
EXPECTED_DTYPE = "expected float64, float32, float16 or bfloat16"


class UnreliableTeacherWarning(UserWarning):
    """The value of the game is not positive: no selection can promise a gain against that many mistakes.

    The selection is made all the same. More labelled points for a ``Calibrator`` allow for fewer mistakes.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np, rad_fast
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     selection = rad_fast.Selector(5).fit(np.zeros((10, 2)))  # a teacher that knows nothing
    >>> caught[0].category.__name__, selection.value <= 0
    ('UnreliableTeacherWarning', True)
    """


@dataclass(frozen=True)
class Matrix:
    """A checked (rows, classes) array of logits in host memory; ``data`` is uint16 where the dtype is bfloat16."""

    name: str
    data: Array
    dtype: str
    wrap: Callable[[Array], Any]

    @property
    def rows(self) -> int:
        return int(self.data.shape[0])

    @property
    def classes(self) -> int:
        return int(self.data.shape[1])


def is_number(value: Any) -> bool:
    """Whether a value is one real number (and no truth value)."""
    return isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))


def same(array: Array) -> Array:
    return array


def is_torch(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def as_torch(array: Array) -> Any:
    import torch

    return torch.from_numpy(array)


def host_array(name: str, value: Any) -> tuple[Array, str, Callable[[Array], Any]]:
    """The value as a NumPy array that shares its memory, its dtype's name, and how to hand arrays back."""
    if is_torch(value):
        return torch_array(name, value)
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"{name}: expected a plain array, got a masked array, whose mask would be lost; "
            "give the data, and the rows to leave out as exclude="
        )
    if not isinstance(value, np.ndarray) and hasattr(value, "__cuda_array_interface__"):
        raise ValueError(f"{name}: expected an array in host memory, got one on a CUDA device; {NO_CUDA}")
    if not isinstance(value, np.ndarray) and hasattr(value, "__dlpack__"):
        # bfloat16, or a device NumPy cannot see, is refused here; np.asarray copies it, or says why not.
        with contextlib.suppress(BufferError, RuntimeError, TypeError, ValueError):
            value = np.from_dlpack(value)
    if isinstance(value, (str, bytes, dict, set)) or value is None:
        raise TypeError(f"{name}: expected an array, got {type(value).__name__}")
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name}: expected an array, got {type(value).__name__} ({error})") from error
    dtype = array.dtype.name
    if dtype == "bfloat16":  # of the package ml_dtypes
        array = array.view(np.uint16)
    return array, dtype, same


NO_CUDA = "give arrays of one call on one device, moved with .cpu() or .get() where the other is not to be had"


def torch_array(name: str, tensor: Any) -> tuple[Array, str, Callable[[Array], Any]]:
    dtype = str(tensor.dtype).removeprefix("torch.")
    if tensor.device.type != "cpu":
        raise ValueError(f"{name}: expected a tensor in host memory, got one on {tensor.device}; {NO_CUDA}")
    if str(tensor.layout) != "torch.strided":
        raise TypeError(f"{name}: expected a dense tensor, got layout {tensor.layout}; call .to_dense()")
    tensor = tensor.detach()
    if dtype == "bfloat16":
        import torch

        return tensor.view(torch.int16).numpy().view(np.uint16), dtype, as_torch
    if tensor.is_conj() or tensor.is_neg():
        tensor = tensor.resolve_conj().resolve_neg()
    try:
        return tensor.numpy(), dtype, as_torch
    except TypeError as error:  # float8, say, which NumPy does not have
        raise TypeError(f"{name}: {EXPECTED_DTYPE}, got {dtype}") from error


def matrix(name: str, value: Any, *, empty: bool = False) -> Matrix:
    """Checked logits: two dimensions, a floating dtype, at least one row (unless ``empty``) and two columns."""
    from . import topk  # here: it needs this module

    if isinstance(value, topk.TopKLogits):
        return topk.matrix(name, value, empty)
    array, dtype, wrap = host_array(name, value)
    check_logits(name, dtype, array.shape, empty=empty)
    return Matrix(name, array, dtype, wrap)


def check_logits(name: str, dtype: str, shape: tuple[int, ...], *, empty: bool) -> None:
    if dtype not in FLOATS:
        raise TypeError(f"{name}: {EXPECTED_DTYPE}, got {dtype}; logits are real numbers: convert them to float32")
    if len(shape) != 2:
        raise ValueError(f"{name}: expected 2 dimensions, (points, classes), got shape {shape}")
    rows, classes = shape
    if rows == 0 and not empty:
        raise ValueError(f"{name}: expected at least one row, got shape {shape}")
    if classes < 2:
        raise ValueError(
            f"{name}: expected at least 2 columns, one a class, got shape {shape}; "
            "for a single logit z of a binary model give [0, z]"
        )
    if classes >= 2**31 or rows >= 2**40:
        raise ValueError(f"{name}: expected fewer than 2**31 classes and 2**40 rows, got shape {shape}")


def same_rows(teacher: Matrix, student: Matrix) -> None:
    if teacher.rows != student.rows:
        raise ValueError(
            f"{student.name}: expected a row for every row of {teacher.name}, {teacher.rows}, got {student.rows}"
        )


def needed_student(teacher: Matrix, student: Matrix | None) -> Matrix:
    if student is None:
        raise ValueError("student_logits: expected the student's logits: the calibrator was fitted with them")
    same_rows(teacher, student)
    same_classes(teacher, student)
    return student


def same_classes(teacher: Matrix, student: Matrix) -> None:
    if teacher.classes != student.classes:
        raise ValueError(
            f"{student.name}: expected {teacher.classes} classes as in {teacher.name}, got {student.classes}: a "
            "calibrator on both models looks up the teacher's label in the student's probabilities"
        )


BUDGET = "budget: expected an int from 1 to the number of points, or a float in (0, 1]: the fraction of them to select"


def budget_alone(value: Any) -> None:
    """What can be said of a budget before the number of points is known."""
    if not is_number(value):
        raise TypeError(f"{BUDGET}; got {value!r}")
    if isinstance(value, numbers.Integral):
        if int(value) < 1:
            raise ValueError(f"{BUDGET}; got {value}")
        return
    number = float(value)
    if not 0.0 < number <= 1.0:
        hint = f"; a number of points is an int: {int(number)}" if number > 1 and number.is_integer() else ""
        raise ValueError(f"{BUDGET}; got {value}{hint}")


def budget(value: Any, points: int, left_out: int) -> int:
    """The number of points to select: as given, or a fraction of the points that are not left out."""
    budget_alone(value)
    most = points - left_out
    if not isinstance(value, numbers.Integral):
        return min(most, max(1, math.floor(float(value) * most + 0.5)))
    if int(value) > most:
        without = f", {points} points less {left_out} left out" if left_out else ", the number of points"
        raise ValueError(f"budget: expected at most {most}{without}; got {value}")
    return int(value)


def mistakes(value: Any) -> float | None:
    """A count of mistakes (an int, or a float of at least 1) or a fraction of the points (a float below 1), or None."""
    if value is None:
        return None
    if not is_number(value):
        raise TypeError(
            "mistakes: expected None, a count (an int, or a float of at least 1) or a float in [0, 1), a fraction of "
            f"the points; got {value!r}"
        )
    number = float(value)
    if not 0.0 <= number < math.inf:
        raise ValueError(f"mistakes: expected a finite number of at least 0, got {value}")
    return number


def mistakes_rate(value: Any) -> tuple[float, float]:
    """Checked, given ``mistakes`` as a count, and a number for each point that can be selected."""
    number = float(value)
    return (number, 0.0) if isinstance(value, numbers.Integral) or number >= 1.0 else (0.0, number)


def seed(value: Any) -> int:
    if not is_number(value) or not isinstance(value, numbers.Integral):
        raise TypeError(f"seed: expected an int of at least 0, got {value!r}")
    if value < 0:
        raise ValueError(f"seed: expected an int of at least 0, got {value}")
    return int(value)


def choice(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, allowed))}, got {value!r}")
    return value


def host_backend(name: str) -> None:
    if name in ("triton", "cuda"):
        raise ValueError(
            f"backend: {name!r} serves arrays on a CUDA device, and the logits are in host memory; "
            "move them with .cuda(), or take 'auto'"
        )


def device_backend(name: str) -> None:
    if name not in ("auto", "triton", "cuda"):
        raise ValueError(
            f"backend: {name!r} serves arrays in host memory, and the logits are on a CUDA device; "
            "move them with .cpu() or .get(), or take 'auto'"
        )


def unusable(backend: str, why: str) -> ValueError:
    return ValueError(f"backend: {backend!r} cannot be used here: {why}")


def no_kernels(kind: type, reasons: list[str], known: bool) -> ValueError:
    """The error for an array in CUDA memory that nothing here can read."""
    other = 'pip install "rad_fast[triton]"' if known else "give it to torch.from_dlpack (with Triton installed)"
    return ValueError(
        f"logits: no kernels are here for a {kind.__module__}.{kind.__qualname__} on a CUDA device "
        f"({'; '.join(reasons)}); {other}, take a wheel with the compiled CUDA kernels, or move the array to host "
        "memory with .cpu() or .get()"
    )


def folder(name: str, value: Any) -> Path | None:
    if value is None:
        return None
    if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
        raise TypeError(f"{name}: expected None or the path of a folder, got {value!r}")
    return Path(os.fspath(value))


def accuracy(value: float) -> float:
    """A correctness given as one number: the teacher's average accuracy."""
    number = float(value)
    if not 0.0 <= number <= 1.0:
        raise ValueError(f"correctness: expected the teacher's average accuracy in [0, 1], got {value}")
    return number


def correctness_array(value: Any, points: int, exclude: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.float32]:
    """Checked probabilities that the labels are right, one a point; what is excluded may hold anything."""
    array, dtype, _ = host_array("correctness", value)
    check_correctness(dtype, array.shape, points)
    if dtype == "bfloat16":
        result = (array.astype(np.uint32) << np.uint32(16)).view(np.float32)
    else:
        result = np.ascontiguousarray(array, dtype=np.float32)
    with np.errstate(invalid="ignore"):
        wrong = ~((result >= 0) & (result <= 1))
    if exclude is not None:
        wrong &= ~exclude
    refuse_elements("correctness", "numbers in [0, 1]", array, dtype, wrong)
    return result


@dataclass(frozen=True)
class Source:
    """What all chunks of one selection have in common."""

    classes: int
    student_classes: int | None
    kind: str  # of correctness
    calibrator: object | None
    accuracy: float | None

    def described(self) -> str:
        """The same on every rank whose chunks are alike."""
        rule = "" if self.calibrator is None else f" with {getattr(self.calibrator, 'rule_', None)}"
        average = "" if self.accuracy is None else f" {self.accuracy}"
        students = "no student" if self.student_classes is None else f"{self.student_classes} classes of the student"
        return f"{self.classes} classes, {students}, correctness from {self.kind}{average}{rule}"


def source(teacher: Matrix, student: Matrix | None, correctness: Any) -> Source:
    kind, calibrator, average = "the teacher's confidence", None, None
    if correctness is not None and hasattr(correctness, "predict"):
        kind, calibrator = "a Calibrator", correctness
    elif is_number(correctness):
        kind, average = "the average accuracy", float(correctness)
    elif correctness is not None:
        kind = "an array"
    return Source(teacher.classes, None if student is None else student.classes, kind, calibrator, average)


def same_source(before: Source | None, now: Source) -> None:
    """Chunks of one selection must be alike."""
    if before is None or before == now:
        return
    if before.classes != now.classes:
        raise ValueError(f"logits: expected {before.classes} classes as in the chunks before, got {now.classes}")
    if before.student_classes != now.student_classes:
        raise ValueError(
            f"student_logits: expected {before.student_classes or 'no'} classes as in the chunks before, "
            f"got {now.student_classes or 'none'}"
        )
    raise ValueError(
        f"correctness: expected {before.kind} as for the chunks before, the same in every call; got {now.kind}"
    )


def check_correctness(dtype: str, shape: tuple[int, ...], points: int) -> None:
    if dtype not in FLOATS and not dtype.startswith(("bool", "int", "uint")):
        raise TypeError(f"correctness: expected None, numbers in [0, 1], a float or a Calibrator, got dtype {dtype}")
    if shape != (points,):
        raise ValueError(f"correctness: expected one number a point, shape ({points},), got shape {shape}")


def refuse_correctness(wrong: int) -> None:
    """For numbers on a device, of which only the count is known."""
    if wrong:
        raise ValueError(f"correctness: expected numbers in [0, 1], {wrong} are not")


def refuse_elements(name: str, expected: str, array: Array, dtype: str, wrong: npt.NDArray[np.bool_]) -> None:
    count = int(wrong.sum())
    if count:
        first = int(wrong.argmax())
        got = "" if dtype == "bfloat16" else f": {array[first]!s} at index {first}"
        raise ValueError(f"{name}: expected {expected}, {count} are not, the first{got or f' at index {first}'}")


def exclude_mask(value: Any, points: int) -> npt.NDArray[np.bool_] | None:
    """A mask of the points to leave out, from a mask or from indices."""
    if value is None:
        return None
    array, dtype, _ = host_array("exclude", value)
    if array.ndim == 1 and array.size == 0:
        return None
    if array.dtype.kind not in "biu" or dtype == "bfloat16" or array.ndim != 1:
        raise no_exclusion(points, dtype, array.shape)
    if array.dtype.kind == "b":
        check_mask(array.shape, points)
        return array
    refuse_elements("exclude", f"indices from 0 to {points - 1}", array, dtype, (array < 0) | (array >= points))
    mask = np.zeros(points, dtype=bool)
    mask[array] = True
    return mask


def check_mask(shape: tuple[int, ...], points: int) -> None:
    if shape != (points,):
        raise ValueError(f"exclude: expected a mask of {points} points, shape ({points},), got shape {shape}")


def no_exclusion(points: int, dtype: Any, shape: tuple[int, ...]) -> TypeError:
    return TypeError(
        f"exclude: expected a boolean mask of shape ({points},) or an array of indices, "
        f"got dtype {dtype} and shape {shape}"
    )


def labels(name: str, value: Any, rows: int, classes: int) -> npt.NDArray[np.int64]:
    """Checked class labels, one a row."""
    array, dtype, _ = host_array(name, value)
    if array.dtype.kind not in "iu" or dtype == "bfloat16":
        raise TypeError(f"{name}: expected integers, the index of each row's class, got dtype {dtype}")
    if array.shape != (rows,):
        raise ValueError(f"{name}: expected one label a row, shape ({rows},), got shape {array.shape}")
    refuse_elements(name, f"labels from 0 to {classes - 1}", array, dtype, (array < 0) | (array >= classes))
    return array.astype(np.int64)


def invalid_rows(name: str, count: int, first: int) -> ValueError:
    """The error for rows that hold no distribution."""
    rows = "1 row has" if count == 1 else f"{count} rows have"
    return ValueError(
        f"{name}: expected rows of finite numbers or -inf; {rows} NaN, +inf or nothing finite, the first is row "
        f'{first}; mend them, or leave them out with invalid="exclude"'
    )


def warn_unreliable(value: float, mistakes: float, budget: int) -> None:
    """Warn at the line outside this package that asked for the selection."""
    frame: FrameType | None = sys._getframe(1)
    level = 2
    while frame is not None and str(frame.f_globals.get("__name__")).startswith("rad_fast"):
        frame, level = frame.f_back, level + 1
    text = (
        f"the value of the game is {value:.6g}: with {mistakes:.6g} more labels wrong than correctness admits, no "
        f"choice of {budget} points can promise a gain; the points are selected all the same. A Calibrator, fewer "
        "mistakes or a smaller budget may help"
    )
    warnings.warn(text, UnreliableTeacherWarning, stacklevel=level)


def none_valid(name: str) -> ValueError:
    return ValueError(f"{name}: no row is left to select from: all are invalid or excluded")
