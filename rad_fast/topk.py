"""Logits of which the k largest of each row are stored: the top 50 of 128,000 classes, say.

kernels/reference/score.py says what the scores of such rows are (``score_top_k``). Here they are made from a backend's
scores of the (rows, k) values, block by block: the sum over all classes in place of the sum over those that are kept.
"""

from __future__ import annotations

import numbers
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from . import device, inputs
from .backends import Backend, Float32s
from .kernels.reference.score import Invalid, Points, Rule, Scores, record, widened

Array = npt.NDArray[Any]
Int32s = npt.NDArray[np.int32]

BLOCK = 1 << 19  # values looked at together: all that is made of them stays within the caches
EPSILON = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
SLACK = 1e-5  # how much larger than 1 the sum of probabilities may come out, rounding of the given numbers apart


class TopKLogits:
    """The k largest logits of every row and their classes, in place of an (N, n_classes) array.

    Parameters
    ----------
    values : (N, k) array of float64, float32, float16 or bfloat16, k at least 2
        The largest logits of each row, in any order; or log-probabilities. -inf is a class that is ruled out.
    indices : (N, k) array of integers in 0..n_classes-1
        Their classes, different ones in a row.
    n_classes : int
        How many classes there are.
    logsumexp : (N,) array, optional
        ``log(sum(exp(all logits)))`` of each row; of log-probabilities it is zeros. With it margin, confidence and
        label are exact. Without it the classes that are not kept count as impossible: where r is the probability that
        they have in truth, margin and confidence come out as 1 / (1 - r) of what they are, too large by at most
        r <= x / (1 + x), x = (n_classes - k) * (smallest of the k probabilities, as computed from those kept).

    Notes
    -----
    Among equal largest logits the class of lowest index is the label, as far as it is kept. The probability that a
    student's top k give a label they do not hold is 0 without ``logsumexp``; with it, an equal share of what is not
    kept, which is never more than the smallest kept probability. What arrays hold is checked when it is scored. Those
    in CUDA memory (torch, CuPy) are scored in host memory, to which they come block by block: k numbers of each row,
    where all classes would be n_classes; what is selected is handed back on the device.

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
        self.values, self.dtype, self.wrap = given_array("values", values)
        if self.dtype not in inputs.FLOATS:
            raise TypeError(f"values: {inputs.EXPECTED_DTYPE}, got {self.dtype}; convert them to float32")
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
            sums, self.sum_dtype, _ = given_array("logsumexp", logsumexp)
            if self.sum_dtype not in inputs.FLOATS:
                raise TypeError(f"logsumexp: {inputs.EXPECTED_DTYPE}, got {self.sum_dtype}; convert it to float32")
            if tuple(sums.shape) != shape[:1]:
                raise ValueError(
                    f"logsumexp: expected one number a row, shape {shape[:1]}, got shape {tuple(sums.shape)}"
                )
            self.logsumexp = sums

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.values), self.n_classes

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: slice | Array) -> TopKLogits:
        """Some of the rows, by a slice, a mask or an array of their numbers."""
        part = object.__new__(TopKLogits)
        part.__dict__.update(self.__dict__)
        part.values, part.indices = self.values[rows], self.indices[rows]
        part.logsumexp = None if self.logsumexp is None else self.logsumexp[rows]
        return part

    def on_host(self) -> TopKLogits:
        """The same in host memory. Waits for a device."""
        here = object.__new__(TopKLogits)
        here.__dict__.update(self.__dict__)
        here.values, here.indices = fetched("values", self.values), fetched("indices", self.indices)
        here.logsumexp = None if self.logsumexp is None else fetched("logsumexp", self.logsumexp)
        return here


def given_array(name: str, value: Any) -> tuple[Array, str, Callable[[Array], Any]]:
    """As ``inputs.host_array``; an array in CUDA memory is kept as it is."""
    if not device.is_cuda(value):
        return inputs.host_array(name, value)
    back = copier(name, value)
    return value, str(value.dtype).removeprefix("torch."), back


def copier(name: str, like: Any) -> Callable[[Array], Any]:
    """How to hand NumPy arrays back on the device of an array."""
    if inputs.is_torch(like):
        return lambda array: inputs.as_torch(array).to(like.device)
    cupy: Any = sys.modules.get("cupy")
    if cupy is None or not isinstance(like, cupy.ndarray):
        raise TypeError(f"{name}: expected a NumPy, torch or CuPy array, got {type(like).__name__} on a CUDA device")

    def back(array: Array) -> Any:
        with like.device:
            return cupy.asarray(array)

    return back


def fetched(name: str, value: Any) -> Array:
    if device.is_cuda(value):
        value = value.detach().cpu() if inputs.is_torch(value) else value.get()
    return inputs.host_array(name, value)[0]


def score(kernels: Backend, logits: Any, given: Int32s | None = None, name: str = "logits") -> Scores:
    """A backend's scores of logits of either kind."""
    if not isinstance(logits, TopKLogits):
        return kernels.score(logits, given)
    blocks = [
        block_scores(kernels, logits[part], None if given is None else given[part], name, part.start)
        for part in blocks_of(logits)
    ]
    fields = [np.concatenate(parts) for parts in zip(*(block[:3] for block in blocks), strict=True)]
    probability = None if given is None else np.concatenate([np.asarray(block[3]) for block in blocks])
    return Scores(fields[0], fields[1], fields[2], probability)


def appraise(
    kernels: Backend, teacher: Any, student: Any, rule: Rule, given: Float32s | None, out: Points
) -> tuple[Invalid, Invalid]:
    """Gain, correctness and label of every point, from logits of either kind."""
    if not isinstance(teacher, TopKLogits) and not isinstance(student, TopKLogits):
        return kernels.appraise(teacher, student, rule, given, out)
    found = [Invalid(), Invalid()]
    for part in blocks_of(teacher, student):
        of_teacher = part_scores(kernels, teacher, part, None, "logits")
        of_student = None
        if student is not None:
            of_student = part_scores(kernels, student, part, of_teacher.label, "student_logits")
        values = None if given is None else given[part]
        place = Points(out.gain[part], out.correctness[part], out.label[part])
        bad = record(of_teacher, of_student, rule, values, place)
        found = [joined(*pair, part.start) for pair in zip(found, bad, strict=True)]
    return found[0], found[1]


def joined(total: Invalid, part: Invalid, offset: int) -> Invalid:
    return Invalid(total.rows + part.rows, offset + part.first if total.rows == 0 and part.rows else total.first)


def part_scores(kernels: Backend, logits: Any, part: slice, given: Int32s | None, name: str) -> Scores:
    if isinstance(logits, TopKLogits):
        return block_scores(kernels, logits[part], given, name, part.start)
    return kernels.score(logits[part], given)


def blocks_of(*matrices: Any) -> Iterator[slice]:
    """At least one block, so that there are scores of no rows, too."""
    rows = len(matrices[0])
    stored = [logits.values if isinstance(logits, TopKLogits) else logits for logits in matrices if logits is not None]
    wide = max(array.shape[1] for array in stored)
    step = max(1, BLOCK // wide)
    for begin in range(0, max(1, rows), step):
        yield slice(begin, min(rows, begin + step))


def block_scores(kernels: Backend, logits: TopKLogits, given: Int32s | None, name: str, first: int) -> Scores:
    """Scores of some rows; ``first`` is the number of the first one, for messages."""
    logits = logits.on_host()
    indices = checked_indices(logits, name, first)
    values = widened(logits.values) if logits.dtype == "bfloat16" else logits.values
    rows = np.arange(len(values))
    held = place = None
    if given is not None:
        hits = indices == given[:, None]
        held, place = hits.any(axis=1), hits.argmax(axis=1).astype(np.int32)
    kept = kernels.score(logits.values, place)
    valid = kept.label >= 0
    highest = np.where(valid, kept.label, 0)
    top, label = values[rows, highest], indices[rows, highest].astype(np.int64)
    tied = np.flatnonzero(kept.margin == 0.0)  # of equal logits the lowest class is the label, wherever it is stored
    if len(tied):
        equal = values[tied] == top[tied, None]
        label[tied] = np.where(equal, indices[tied], logits.n_classes).min(axis=1)
    top = np.where(valid, top, 0.0).astype(np.float64)
    share = np.ones(len(values))  # of the k kept in all probability
    if logits.logsumexp is not None:
        sums = widened(logits.logsumexp[:, None])[:, 0]
        valid &= np.isfinite(sums)
        top = np.where(valid, top, 0.0)
        sums = np.where(valid, sums, 0.0)
        excess = top - sums - np.log(np.where(valid, kept.confidence, 1.0))
        check_sums(logits, name, first, np.where(valid, excess, 0.0), top, sums)
        share = np.exp(np.minimum(excess, 0.0))
    nan = np.where(valid, 0.0, np.nan)
    probability = None
    if held is not None and kept.given_probability is not None:
        smallest = np.exp(np.where(valid, values.min(axis=1).astype(np.float64), 0.0) - top) * kept.confidence * share
        others = np.minimum((1.0 - share) / max(1, logits.n_classes - values.shape[1]), smallest)
        probability = np.where(held, kept.given_probability * share, others) + nan
    margin, confidence = kept.margin * share + nan, kept.confidence * share + nan
    return Scores(margin, confidence, np.where(valid, label, -1).astype(np.int32), probability)


def checked_classes(value: Any, kept: int) -> int:
    if not inputs.is_number(value) or not isinstance(value, numbers.Integral):
        raise TypeError(f"n_classes: expected an int, the number of all classes, got {value!r}")
    classes = int(value)
    if not kept <= classes < 2**31:
        raise ValueError(f"n_classes: expected at least the {kept} that are kept, and below 2**31, got {classes}")
    return classes


def checked_indices(logits: TopKLogits, name: str, first: int) -> Array:
    indices, classes = logits.indices, logits.n_classes
    if indices.size and not (indices.min() >= 0 and indices.max() < classes):
        wrong = ((indices < 0) | (indices >= classes)).any(axis=1)
        at = int(wrong.argmax())
        raise ValueError(
            f"{name}.indices: expected classes from 0 to {classes - 1}, row {first + at} has {indices[at].min()} to "
            f"{indices[at].max()}"
        )
    ordered = np.sort(indices, axis=1)
    equal = ordered[:, 1:] == ordered[:, :-1]
    if equal.any():
        wrong = equal.any(axis=1)
        raise ValueError(
            f"{name}.indices: expected different classes in a row, row {first + int(wrong.argmax())} has one twice; "
            "leave out the second, or give it the value -inf and a class that is not kept"
        )
    return indices


def check_sums(logits: TopKLogits, name: str, first: int, excess: Array, top: Array, sums: Array) -> None:
    allowed = SLACK + 2.0 * (EPSILON[logits.dtype] * np.abs(top) + EPSILON[logits.sum_dtype] * np.abs(sums))
    wrong = excess > allowed
    if wrong.any():
        at = int(wrong.argmax())
        least = float(sums[at]) + float(excess[at])
        raise ValueError(
            f"{name}.logsumexp: expected log(sum(exp(logits))) over all classes, at least {least:.6g} by the values "
            f"of row {first + at}, got {sums[at]:.6g}; {int(wrong.sum())} such rows: are they of one model?"
        )


def matrix(name: str, logits: TopKLogits, empty: bool) -> inputs.Matrix:
    """As ``inputs.matrix`` gives it for arrays."""
    if not empty and len(logits) == 0:
        raise ValueError(f"{name}: expected at least one row, got none")
    data: Any = logits
    wrap: Callable[[Array], Any] = logits.wrap
    return inputs.Matrix(name, data, logits.dtype, wrap)
