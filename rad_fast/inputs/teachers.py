"""What a teacher may hand over besides an array of logits: the k largest of each row, or probabilities."""

from __future__ import annotations

import functools
import importlib
import math
import numbers
import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from rad_fast.kernels.reference.score import SUM_OFF, widened

from . import arrays, shown
from .arguments import is_number
from .arrays import EXPECTED_DTYPE, FLOATS, Array, Matrix, as_torch, check_logits, host_array, is_cuda, is_torch
from .frames import column_names, is_frame, refuse_reordered
from .logprobs import top_k
from .points import warn

EPSILON = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
SLACK = 1e-2  # by how much log(sum(exp)) of the kept may exceed logsumexp: both of two decimals; rounding is apart


class TopKLogits:
    """The k largest logits of every row and their classes, instead of an (N, n_classes) array.

    Parameters
    ----------
    values : (N, k) array of float64, float32, float16 or bfloat16, k at least 2
        The largest logits of each row, in any order; or log-probabilities. -inf rules a class out.
    indices : (N, k) array of integers in 0..n_classes-1
        Their classes. Where the value is -inf or NaN the class may be any number, -1 say: that is padding of a row that
        has fewer. Of a class that is in a row twice the first counts; that is said where the values differ.
    n_classes : int
        How many classes there are.
    logsumexp : (N,) array, or one number for all rows, optional
        ``log(sum(exp(all logits)))`` of each row; 0 for log-probabilities. With it margin, confidence and label are
        exact. Without it the classes that were not kept count as impossible. If r is their true probability, margin and
        confidence are too large by a factor of 1 / (1 - r), where r <= x / (1 + x) and x = (n_classes - k) * (smallest
        of the k probabilities, as computed from those kept).

    Notes
    -----
    Among equal largest logits the label is the class of lowest index that was kept. If a student's top k do not include
    a label, its probability is 0 without ``logsumexp``; with it, an equal share of what was not kept, but never more
    than the smallest kept probability. The content of arrays is checked when it is scored. Arrays in CUDA memory
    (torch, CuPy) are scored in host memory, to which they come block by block: k numbers of each row, where all classes
    would be n_classes; what is selected is handed back on the device.

    Examples
    --------
    >>> import numpy as np, rad_fast
    >>> logits = np.random.default_rng(0).normal(0, 5, size=(1000, 100)).astype("float32")
    >>> top = np.argsort(-logits, axis=1)[:, :10]
    >>> sums = np.log(np.exp(logits.astype("float64")).sum(axis=1))
    >>> kept = rad_fast.TopKLogits(np.take_along_axis(logits, top, axis=1), top, 100, sums)
    >>> bool((rad_fast.select(kept, 20) == rad_fast.select(logits, 20)).all())
    True
    """

    def __init__(self, values: Any, indices: Any, n_classes: int, logsumexp: Any = None) -> None:
        refuse_reordered("values", values, {"indices": indices, "logsumexp": logsumexp})
        self.values, self.dtype, self.wrap = given_array("values", values)
        if self.dtype not in FLOATS:
            raise TypeError(f"values: {EXPECTED_DTYPE}, got {self.dtype}; convert them to float32")
        shape = tuple(self.values.shape)
        if len(shape) != 2 or shape[1] < 2:
            raise ValueError(f"values: expected shape (points, k), k at least 2, got shape {shape}")
        self.indices, index_dtype, _ = given_array("indices", indices)
        if not index_dtype.startswith(("int", "uint")):
            raise TypeError(f"indices: expected integers, the class of each value, got dtype {index_dtype}")
        if tuple(self.indices.shape) != shape:
            raise ValueError(
                f"indices: expected a class for every value, shape {shape}, got shape {tuple(self.indices.shape)}"
            )
        self.n_classes = checked_classes(n_classes, self.values.shape[1])
        self.logsumexp: Array | None = None
        self.sum_dtype = "float64"
        if logsumexp is not None:
            sums = np.full(shape[0], float(logsumexp)) if is_number(logsumexp) else logsumexp
            sums, self.sum_dtype, _ = given_array("logsumexp", sums)
            if self.sum_dtype not in FLOATS:
                raise TypeError(f"logsumexp: {EXPECTED_DTYPE}, got {self.sum_dtype}; convert it to float32")
            if tuple(sums.shape) != shape[:1]:
                raise ValueError(
                    f"logsumexp: expected one number per row, shape {shape[:1]}, got shape {tuple(sums.shape)}"
                )
            self.logsumexp = sums

    @staticmethod
    def from_logprobs(rows: Iterable[Any], n_classes: int | None = None, vocabulary: Any = None) -> TopKLogits:
        """From log-probabilities as language model servers return them, for the first token of each answer.

        Parameters
        ----------
        rows : for each point a dict of token ids (or tokens) to log-probabilities, of any length; or a response of vLLM
            (``RequestOutput``) or of OpenAI (chat or completion, as an object or as JSON).
        n_classes : how many classes there are; without ``vocabulary``, the size of the teacher's vocabulary.
        vocabulary : the class of each token, as a mapping, or a list with the token of each class. Other tokens are
            left out, spaces around a token do not matter, and the probabilities of several tokens of one class are
            added up. None: the token ids are the classes.

        Returns
        -------
        TopKLogits. A row without any token of the vocabulary is invalid: leave it out with ``invalid="exclude"``.

        Raises
        ------
        TypeError, ValueError : naming the row.

        Examples
        --------
        >>> import rad_fast
        >>> rows = [{"yes": -0.1, "no": -2.4, "maybe": -6.0}, {" no": -0.7, " yes": -0.8}, {"yes": -0.02}]
        >>> answers = rad_fast.TopKLogits.from_logprobs(rows, vocabulary=["no", "yes"])
        >>> answers
        TopKLogits(3 points, 2 of 2 classes, float32)
        >>> rad_fast.select(answers, 1, mistakes=0, quotas=None)
        array([0])
        """
        return TopKLogits(*top_k(rows, n_classes, vocabulary))

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.values), self.n_classes

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        sums = "" if self.logsumexp is None else ", with logsumexp"
        kept = f"{self.values.shape[1]} of {self.n_classes:,} classes"
        return f"TopKLogits({len(self):,} points, {kept}, {self.dtype}{sums})"

    def _repr_html_(self) -> str:
        """As a notebook shows it."""
        rest = "known: margin and confidence are exact" if self.logsumexp is not None else "counts as impossible"
        rows = {
            "points": f"{len(self):,}",
            "kept of each": f"{self.values.shape[1]} of {self.n_classes:,} classes, {self.dtype}",
            "what is not kept": rest,
        }
        return shown.card("TopKLogits", rows)

    def __getitem__(self, rows: slice | Array) -> TopKLogits:
        """Some of the rows, by a slice, a mask or an array of their numbers."""
        arrays.rows_alone("TopKLogits", rows)
        part = object.__new__(TopKLogits)
        part.__dict__.update(self.__dict__)
        part.values, part.indices = self.values[rows], self.indices[rows]
        part.logsumexp = None if self.logsumexp is None else self.logsumexp[rows]
        return part

    def on_host(self) -> TopKLogits:
        """The same in host memory. Waits for a device."""
        here = object.__new__(TopKLogits)
        here.__dict__.update(self.__dict__)
        here.values, indices = fetched("values", self.values), fetched("indices", self.indices)
        # Not in bytes, say: NumPy keeps -1 and n_classes in the dtype of the array that they stand beside.
        here.indices = indices if indices.dtype in (np.int32, np.int64) else indices.astype(np.int64)
        here.logsumexp = None if self.logsumexp is None else fetched("logsumexp", self.logsumexp)
        return here


class Probabilities:
    """Probabilities of the classes instead of logits: softmax outputs, or the result of ``predict_proba``.

    Parameters
    ----------
    p : (N, C) array of float64, float32, float16 or bfloat16
        Rows in [0, 1] that sum to 1, in host memory. Their logarithms are used as logits; 0 rules a class out, and a
        row with NaN is invalid.

    Raises
    ------
    TypeError, ValueError : naming the row that is not a distribution.

    Examples
    --------
    >>> import numpy as np, rad_fast
    >>> logits = np.random.default_rng(0).normal(0, 5, size=(1000, 10))
    >>> e = np.exp(logits - logits.max(axis=1, keepdims=True))
    >>> p = rad_fast.Probabilities(e / e.sum(axis=1, keepdims=True))
    >>> bool((rad_fast.select(p, 20) == rad_fast.select(logits, 20)).all())
    True
    """

    def __init__(self, p: Any) -> None:
        self._take("p", p, 0)

    @classmethod
    def chunk(cls, name: str, p: Any, first: int) -> Probabilities:
        """As the class itself, of rows that are called ``name`` and begin at row ``first`` in messages."""
        part = object.__new__(cls)
        part._take(name, p, first)
        return part

    def _take(self, name: str, p: Any, first: int) -> None:
        array, dtype, self.wrap = host_array(name, p)
        if array.ndim == 1 or array.shape[1:] == (1,):
            raise ValueError(
                f"{name}: expected a column for each class, got shape {array.shape}; if p is the probability of the "
                "second of two classes, give numpy.column_stack([1 - p, p])"
            )
        if array.dtype.kind in "iub" and dtype != "bfloat16":
            raise TypeError(
                f"{name}: expected floats in [0, 1], got {dtype}; for a teacher that only names a class, in rows of 0 "
                "and 1, give rad_fast.TeacherLabels(p.argmax(axis=1), n_classes=...)"
            )
        check_logits(name, dtype, array.shape, empty=True)
        if dtype == "bfloat16":
            array = (array.astype(np.uint32) << np.uint32(16)).view(np.float32)
        elif dtype == "float16":
            array = array.astype(np.float32)
        with np.errstate(invalid="ignore"):
            sums = array.sum(axis=1, dtype=np.float64)
            wrong = (array < 0.0).any(axis=1) | (array > 1.0 + SUM_OFF).any(axis=1) | (np.abs(sums - 1.0) > SUM_OFF)
        if wrong.any():
            at = int(wrong.argmax())
            raise ValueError(
                f"{name}: expected rows of probabilities, in [0, 1] and summing to 1; "
                f"{shown.are(int(wrong.sum()))} not, the first is row {first + at}, from {array[at].min():.6g} to "
                f"{array[at].max():.6g} with the sum {sums[at]:.6g}"
            )
        self.p = array

    @property
    def shape(self) -> tuple[int, int]:
        return int(self.p.shape[0]), int(self.p.shape[1])

    def __len__(self) -> int:
        return len(self.p)

    def __getitem__(self, rows: slice | Array) -> Probabilities:
        arrays.rows_alone("Probabilities", rows)
        part = object.__new__(Probabilities)
        part.p, part.wrap = self.p[rows], self.wrap
        return part

    def __repr__(self) -> str:
        return f"Probabilities({len(self):,} points, {self.shape[1]:,} classes, {self.p.dtype})"

    def logits(self) -> Array:
        """Their logarithms."""
        with np.errstate(divide="ignore", invalid="ignore"):
            logarithms: Array = np.log(self.p)
        return logarithms


class TeacherLabels:
    """A teacher's answers instead of logits: the labels that a language model gives, and how sure it says it is.

    Parameters
    ----------
    labels : (N,) integers in 0..n_classes-1, or -1 where there is no answer
        A point without an answer is left out and counted.
    confidence : (N,) array in [0, 1], optional
        How likely the teacher says its label is right; NaN, if it does not say, counts as a guess, 1 / n_classes. The
        other classes share the rest. Without ``confidence`` every label counts as certain, so calibrate.
    n_classes : int
        How many classes there are.

    Notes
    -----
    The confidence that a language model states is worth little as correctness: fit a ``Calibrator``. Without
    ``confidence``, only a student or ``gain=`` can say what there is to learn.

    Raises
    ------
    TypeError, ValueError : naming the argument, what was expected and what came.

    Examples
    --------
    >>> import numpy as np, rad_fast
    >>> labels, confidence = np.array([0, 2, 1, -1, 2]), np.array([0.9, 0.6, np.nan, 0.5, 0.7])
    >>> rad_fast.select(rad_fast.TeacherLabels(labels, confidence, n_classes=3), 2, mistakes=0)
    array([0, 4])
    """

    def __init__(self, labels: Any, confidence: Any = None, *, n_classes: int) -> None:
        self.n_classes = checked_classes(n_classes, 2)
        array, dtype, self.wrap = host_array("labels", labels)
        if array.dtype.kind not in "iu" or dtype == "bfloat16" or array.ndim != 1:
            raise TypeError(
                f"labels: expected (N,) integers, a class each or -1 for no answer, {no_answers(array, dtype)}"
            )
        wrong = (array < -1) | (array >= self.n_classes)
        if wrong.any():
            at = int(wrong.argmax())
            raise ValueError(
                f"labels: expected classes from 0 to {self.n_classes - 1}, or -1 for no answer; "
                f"{shown.are(int(wrong.sum()))} not, the first: {array[at]} at index {at}"
            )
        self.labels = array.astype(np.int32)
        self.confidence: Array | None = None
        if confidence is not None:
            refuse_reordered("labels", labels, {"confidence": confidence})
            said, dtype, _ = host_array("confidence", confidence)
            if dtype not in FLOATS or said.shape != array.shape:
                percent = "; 90% is written as 0.9" if said.dtype.kind in "iu" else ""
                raise TypeError(
                    f"confidence: expected floats in [0, 1] of shape {array.shape}, got dtype {dtype} and shape "
                    f"{said.shape}{percent}"
                )
            if dtype == "bfloat16":
                said = (said.astype(np.uint32) << np.uint32(16)).view(np.float32)
            wrong = (said < 0) | (said > 1)
            if wrong.any():
                at = int(wrong.argmax())
                raise ValueError(
                    f"confidence: expected numbers in [0, 1], or NaN where none was said; "
                    f"{shown.are(int(wrong.sum()))} not, the first: {said[at]} at index {at}"
                )
            self.confidence = said.astype(np.float64)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.labels), self.n_classes

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: slice | Array) -> TeacherLabels:
        arrays.rows_alone("TeacherLabels", rows)
        part = object.__new__(TeacherLabels)
        part.__dict__.update(self.__dict__)
        part.labels = self.labels[rows]
        part.confidence = None if self.confidence is None else self.confidence[rows]
        return part

    def __repr__(self) -> str:
        said = "with" if self.confidence is not None else "without"
        silent = int(self.unanswered.sum())
        none = f", {silent:,} without an answer" if silent else ""
        return f"TeacherLabels({len(self):,} points, {self.n_classes:,} classes, {said} confidence{none})"

    @property
    def unanswered(self) -> npt.NDArray[np.bool_]:
        """Which points have no answer."""
        return self.labels < 0

    def certainty(self) -> npt.NDArray[np.float64]:
        """The probability of each label: as said, 1 / n_classes where nothing is, 1 for all without confidences."""
        if self.confidence is None:
            return np.ones(len(self.labels))
        return np.where(np.isnan(self.confidence), 1.0 / self.n_classes, self.confidence)


def no_answers(array: Array, dtype: str) -> str:
    """What came in place of the classes that a teacher answers, and what makes classes of it."""
    if dtype == "text":
        return (
            "got text; give the place of each name in the list of classes: "
            "[names.index(answer) if answer in names else -1 for answer in answers]"
        )
    return f"got dtype {dtype} and shape {array.shape}"


def given_array(name: str, value: Any) -> tuple[Array, str, Callable[[Array], Any]]:
    """As ``host_array``; an array in CUDA memory is kept as it is."""
    if not is_cuda(value):
        return host_array(name, value)
    back = copier(name, value)
    return value, str(value.dtype).removeprefix("torch."), back


def copier(name: str, like: Any) -> Callable[[Array], Any]:
    """How to hand NumPy arrays back on the device of an array."""
    if is_torch(like):
        return functools.partial(torch_on, like.device)
    cupy: Any = sys.modules.get("cupy")
    if cupy is None or not isinstance(like, cupy.ndarray):
        raise TypeError(f"{name}: expected a NumPy, torch or CuPy array, got {type(like).__name__} on a CUDA device")
    return functools.partial(cupy_on, like.device.id)


def torch_on(device: Any, array: Array) -> Any:
    return as_torch(array).to(device)


def cupy_on(device: int, array: Array) -> Any:
    cupy: Any = importlib.import_module("cupy")
    with cupy.cuda.Device(device):
        return cupy.asarray(array)


def fetched(name: str, value: Any) -> Array:
    if is_cuda(value):
        value = value.detach().cpu() if is_torch(value) else value.get()
    return host_array(name, value)[0]


def checked_classes(value: Any, kept: int) -> int:
    if not is_number(value) or not isinstance(value, numbers.Integral):
        raise TypeError(f"n_classes: expected an int, the number of all classes, got {value!r}")
    classes = int(value)
    if not kept <= classes < 2**31:
        raise ValueError(f"n_classes: expected at least the {kept} that are kept, and below 2**31, got {classes}")
    return classes


def without_padding(logits: TopKLogits, name: str, first: int) -> tuple[Array, Array]:
    """Values and classes, checked; padding and repeats have the value -inf (or the NaN they came with) and class -1."""
    values, indices, classes = logits.values, logits.indices, logits.n_classes
    inside = not indices.size or (indices.min() >= 0 and indices.max() < classes)
    ordered = np.sort(indices, axis=1)
    if inside and not (ordered[:, 1:] == ordered[:, :-1]).any():
        return values, indices
    empty = ~(widened(values) > -np.inf)
    outside = (indices < 0) | (indices >= classes)
    wrong = (outside & ~empty).any(axis=1)
    if wrong.any():
        at = int(wrong.argmax())
        raise ValueError(
            f"{name}.indices: expected classes from 0 to {classes - 1}, row {first + at} has {indices[at].min()} to "
            f"{indices[at].max()}; only where the value is -inf may the class be another: that is padding"
        )
    ids = np.where(outside, -1, indices).astype(np.int64)
    places = np.arange(ids.shape[1])
    keys = np.where(empty, classes + places, ids)
    later = repeats(keys)
    say_contradictions(logits, keys, name, first)
    none = empty & repeats(ids, both=True)  # says nothing of a class that has another value in the row
    ids[later | none] = -1
    nothing = np.uint16(0xFF80) if values.dtype == np.uint16 else values.dtype.type(-np.inf)
    return np.where(later | none | (outside & empty), nothing, values), ids


def say_contradictions(logits: TopKLogits, keys: Array, name: str, first: int) -> None:
    """Warn where a class is in a row twice with two values: a sampled token that is repeated has one."""
    order = np.argsort(keys, axis=1, kind="stable")
    ids = np.take_along_axis(keys, order, axis=1)
    values = np.take_along_axis(widened(logits.values), order, axis=1)
    equal = ids[:, 1:] == ids[:, :-1]
    with np.errstate(invalid="ignore"):
        apart = np.abs(values[:, 1:] - values[:, :-1]) > SLACK + 4.0 * EPSILON[logits.dtype] * np.abs(values[:, 1:])
    wrong = (equal & apart).any(axis=1)
    if wrong.any():
        at = int(wrong.argmax())
        column = int((equal & apart)[at].argmax())
        warn(
            f"{name}.indices: row {first + at} has class {ids[at, column]} twice, with the values "
            f"{values[at, column]:.6g} and {values[at, column + 1]:.6g}; the first counts; give what only fills a row "
            "the value -inf",
            UserWarning,
        )


def repeats(ids: Array, *, both: bool = False) -> Array:
    """Where a class is in its row a second time; with ``both`` the first time is marked, too."""
    order = np.argsort(ids, axis=1, kind="stable")
    ordered = np.take_along_axis(ids, order, axis=1)
    equal = ordered[:, 1:] == ordered[:, :-1]
    marked = np.zeros(ids.shape, dtype=bool)
    marked[:, 1:] = equal
    if both:
        marked[:, :-1] |= equal
    result = np.zeros_like(marked)
    np.put_along_axis(result, order, marked, axis=1)
    return result


def check_sums(logits: TopKLogits, name: str, first: int, excess: Array, top: Array, sums: Array) -> None:
    # Rounding moves the sum by no more than the mean of |value| times epsilon, and that mean by log(k) from the top.
    spread = np.abs(top) + math.log(logits.values.shape[1])
    allowed = SLACK + 2.0 * (EPSILON[logits.dtype] * spread + EPSILON[logits.sum_dtype] * np.abs(sums))
    wrong = excess > allowed
    if wrong.any():
        at = int(wrong.argmax())
        least = float(sums[at]) + float(excess[at])
        raise ValueError(
            f"{name}.logsumexp: expected log(sum(exp(logits))) over all classes, at least {least:.6g} by the values "
            f"of row {first + at}, got {sums[at]:.6g} ({int(wrong.sum())} rows in all); do they come from one model?"
        )


def matrix(name: str, value: Any, *, empty: bool = False) -> Matrix:
    """Checked logits: two dimensions, a floating dtype, at least one row (unless ``empty``) and two columns."""
    if isinstance(value, (TopKLogits, TeacherLabels)):
        if not empty and len(value) == 0:
            raise ValueError(f"{name}: expected at least one row, got none")
        data: Any = value
        return Matrix(name, data, getattr(value, "dtype", "labels"), value.wrap)
    if isinstance(value, Probabilities):
        array, wrap = value.logits(), value.wrap
        dtype = array.dtype.name
    else:
        array, dtype, wrap = host_array(name, value)
    if dtype == "object":
        raise arrays.of_objects(name, value)
    check_logits(name, dtype, array.shape, empty=empty)
    return Matrix(name, array, dtype, wrap, tuple(column_names(value)) if is_frame(value) else ())
