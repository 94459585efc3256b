"""What is given of every point: correctness, labels, exclusions; and what is said of points that cannot serve."""

from __future__ import annotations

import copy
import sys
import warnings
from types import FrameType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .arguments import is_number
from .arrays import FLOATS, Array, Matrix, host_array
from .frames import refuse_other_order
from .shown import are


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


def correctness_array(value: Any, points: int, exclude: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.float32]:
    """Checked probabilities that the labels are right, one per point; what is excluded may hold anything."""
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


def check_correctness(dtype: str, shape: tuple[int, ...], points: int) -> None:
    if dtype not in FLOATS and not dtype.startswith(("bool", "int", "uint")):
        raise TypeError(f"correctness: expected None, numbers in [0, 1], a float or a Calibrator, got dtype {dtype}")
    if shape != (points,):
        raise ValueError(f"correctness: expected one number per point, shape ({points},), got shape {shape}")


def refuse_numbers(name: str, wrong: int, first: int) -> None:
    """For numbers on a device, of which only the count and the place of the first are known."""
    if wrong:
        raise ValueError(f"{name}: expected numbers in [0, 1], {are(wrong)} not, the first at index {first}")


def refuse_elements(
    name: str, expected: str, array: Array, dtype: str, wrong: npt.NDArray[np.bool_], hint: str = ""
) -> None:
    count = int(wrong.sum())
    if count:
        first = int(wrong.argmax())
        got = "" if dtype == "bfloat16" else f": {array[first]!s} at index {first}"
        raise ValueError(f"{name}: expected {expected}, {are(count)} not, the first{got or f' at index {first}'}{hint}")


def exclude_mask(value: Any, points: int, name: str = "exclude") -> npt.NDArray[np.bool_] | None:
    """A mask of the points to leave out, from a mask or from indices."""
    if value is None:
        return None
    array, dtype, _ = host_array(name, value)
    if array.ndim == 1 and array.size == 0:
        return None
    if array.dtype.kind not in "biu" or dtype == "bfloat16" or array.ndim != 1:
        raise no_exclusion(points, dtype, array.shape, name)
    if array.dtype.kind == "b":
        check_mask(array.shape, points, name)
        return array
    if is_mask(array, points, name):
        return array.astype(bool)
    if array.dtype.itemsize == 1 and points > 256:
        raise ValueError(
            f"{name}: expected a boolean mask or distinct indices, got {len(array)} numbers of {dtype}, which "
            f"cannot hold the indices of {points} points; give a mask of truth values: numpy.asarray(mask, dtype=bool)"
        )
    refuse_elements(name, f"indices from 0 to {points - 1}", array, dtype, (array < 0) | (array >= points))
    mask = np.zeros(points, dtype=bool)
    mask[array] = True
    if len(array) == points and not mask.all():
        raise ValueError(
            f"{name}: expected a boolean mask or distinct indices, got {points} integers, as many as there are points, "
            "that repeat and are not all 0 or 1; give a mask of truth values, or numpy.unique(indices)"
        )
    return mask


def is_mask(array: Array, points: int, name: str) -> bool:
    """Whether integers are a mask: 0 and 1 alone, and no indices, as one repeats. What could be either is refused."""
    if array.max() > 1 or array.min() < 0:
        return False
    distinct = len(array) == 1 or (len(array) == 2 and array[0] != array[1])
    if len(array) == points and not distinct:
        return True
    if len(array) != points and distinct:
        return False
    said = "could be a mask and could be indices" if distinct else f"are neither a mask of {points} points nor indices"
    raise ValueError(
        f"{name}: expected a boolean mask or distinct indices, got {len(array)} integers 0 and 1, which {said}; give a "
        "mask of truth values: numpy.asarray(mask, dtype=bool)"
    )


def check_mask(shape: tuple[int, ...], points: int, name: str = "exclude") -> None:
    if shape != (points,):
        raise ValueError(f"{name}: expected a mask of {points} points, shape ({points},), got shape {shape}")


def no_exclusion(points: int, dtype: Any, shape: tuple[int, ...], name: str = "exclude") -> TypeError:
    return TypeError(
        f"{name}: expected a boolean mask of shape ({points},) or an array of indices, "
        f"got dtype {dtype} and shape {shape}"
    )


def labels(name: str, value: Any, rows: int, classes: int) -> npt.NDArray[np.int64]:
    """Checked class labels, one per row."""
    array, dtype, _ = host_array(name, value)
    if array.dtype.kind not in "iu" or dtype == "bfloat16":
        raise TypeError(f"{name}: expected integers, the index of each row's class, {no_classes(array, dtype)}")
    if array.shape != (rows,):
        raise ValueError(f"{name}: expected one label per row, shape ({rows},), got shape {array.shape}")
    wrong = (array < 0) | (array >= classes)
    from_one = bool(wrong.any() and array.min() == 1 and array.max() == classes)
    hint = "; classes are counted from 0: give labels - 1" if from_one else ""
    refuse_elements(name, f"labels from 0 to {classes - 1}", array, dtype, wrong, hint)
    return array.astype(np.int64)


def no_classes(array: Array, dtype: str) -> str:
    """What came in place of classes, and what makes classes of it."""
    if dtype == "text":
        return "got text; give the place of each name in the list of classes: [names.index(label) for label in labels]"
    if array.ndim == 2:
        return f"got dtype {dtype} and shape {array.shape}; of one-hot rows, give labels.argmax(axis=1)"
    if array.dtype.kind == "f" and dtype != "bfloat16":
        return f"got dtype {dtype}; give labels.astype(int)"
    if array.dtype.kind == "b":
        return f"got dtype {dtype}; not whether the teacher is right, but the true class of each point"
    return f"got dtype {dtype}"


class Source(NamedTuple):
    """What all chunks of one selection have in common."""

    classes: int
    student_classes: int | None
    kind: str  # of correctness
    calibrator: object | None
    accuracy: float | None
    gain: str = "of the margin"
    columns: tuple[str, ...] = ()  # the classes' names, where one was given as a table

    def described(self) -> str:
        """The same on every rank whose chunks are alike."""
        rule = "" if self.calibrator is None else f" with {getattr(self.calibrator, 'rule_', None)}"
        average = "" if self.accuracy is None else f" {self.accuracy}"
        students = "no student" if self.student_classes is None else f"{self.student_classes} classes of the student"
        return f"{self.classes} classes, {students}, correctness from {self.kind}{average}{rule}, a gain {self.gain}"


def source(teacher: Matrix, student: Matrix | None, correctness: Any, gain: str = "of the margin") -> Source:
    kind, calibrator, average = "the teacher's confidence", None, None
    if correctness is not None and hasattr(correctness, "predict"):
        kind, calibrator = "a Calibrator", copy.copy(correctness)  # as it is now: it may be fitted again
    elif is_number(correctness):
        kind, average = "the average accuracy", float(correctness)
    elif correctness is not None:
        kind = "an array"
    names = teacher.columns or (() if student is None else student.columns)
    classes_of_student = None if student is None else student.classes
    return Source(teacher.classes, classes_of_student, kind, calibrator, average, gain, names)


def same_source(before: Source | None, now: Source) -> None:
    """Chunks of one selection must be alike."""
    if before is None:
        return
    if before.columns != now.columns:
        refuse_other_order("logits", now.columns, before.columns, "in the calls before")
        now = now._replace(columns=before.columns)
    if learned(before.calibrator) == learned(now.calibrator):
        now = now._replace(calibrator=before.calibrator)
    if before == now:
        return
    if before.classes != now.classes:
        raise ValueError(f"logits: expected {before.classes} classes as in the calls before, got {now.classes}")
    if before.student_classes != now.student_classes:
        raise ValueError(
            f"student_logits: expected {before.student_classes or 'no'} classes as in the calls before, "
            f"got {now.student_classes or 'none'}"
        )
    if before.gain != now.gain:
        raise ValueError(f"gain: expected one {before.gain} as before, the same in every call; got one {now.gain}")
    again = " that was fitted otherwise" if before.kind == now.kind == "a Calibrator" else ""
    raise ValueError(
        f"correctness: expected {before.kind} as in the calls before, the same in every call; got {now.kind}{again}"
    )


def learned(calibrator: object) -> Any:
    """What tells a fitted Calibrator from others."""
    return (
        None if calibrator is None else (getattr(calibrator, "rule_", None), getattr(calibrator, "n_labelled_", None))
    )


FEW_OTHERS = 20  # points of other classes below which labels of 0 and 1 alone are no wonder
LEAVE_OUT = 'fix them, or leave them out with invalid="exclude"'


def invalid_rows(name: str, count: int, first: int, cure: str = LEAVE_OUT) -> ValueError:
    """The error for rows that hold no distribution."""
    rows = "1 row has" if count == 1 else f"{count} rows have"
    return ValueError(
        f"{name}: expected rows of finite numbers or -inf; {rows} NaN, +inf or nothing finite, the first is row "
        f"{first}; {cure}"
    )


def shared_selector() -> RuntimeError:
    return RuntimeError(
        "Selector: another thread is in a call of this selector; the order of the points, and so the indices, would "
        "depend on chance. Give each thread a Selector of its own, or call partial_fit and finalize from one thread"
    )


def not_pickled(name: str, why: str) -> TypeError:
    return TypeError(f"{name}: a Selector with {name}= cannot be pickled or copied: {why}; make a new one there")


def none_valid(name: str) -> ValueError:
    return ValueError(f"{name}: no row is left to select from: all are invalid or excluded")


def warn_few_labelled(labelled: int) -> None:
    points = "1 labelled point promises" if labelled == 1 else f"{labelled} labelled points promise"
    warn(f"certificate: {points} hardly anything; label at least 30, drawn at random", UserWarning)


def warn_flags(truth: npt.NDArray[np.int64], said: npt.NDArray[np.int32]) -> None:
    """Where labels are 0 and 1 alone, beside a teacher that names other classes often, and is right about none."""
    others = int(np.count_nonzero(said > 1))
    if others >= FEW_OTHERS and others >= 0.2 * len(said) and truth.min() == 0 and truth.max() == 1:
        warn(
            f"labels: they are 0 and 1 alone, and the teacher names another class for {others} of {len(said)} points; "
            "if they say whether the teacher is right, give the true class of each point instead",
            UserWarning,
        )


def warn_unreliable(value: float, mistakes: float, budget: int) -> None:
    text = (
        f"the value of the game is {value:.6g}: if {mistakes:.6g} more labels are wrong than expected, no choice of "
        f"{budget} points can promise a gain. The points are selected all the same. A Calibrator, fewer mistakes or a "
        "smaller budget may help"
    )
    warn(text, UnreliableTeacherWarning)


def warn(text: str, category: type[Warning]) -> None:
    """Warn at the line outside this package that called it."""
    frame: FrameType | None = sys._getframe(1)
    level = 2
    while frame is not None and str(frame.f_globals.get("__name__")).startswith("rad_fast"):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, category, stacklevel=level)
