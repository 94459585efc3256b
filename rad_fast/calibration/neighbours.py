"""Agreement of neighbours: how many of the points that are most like a point bear its label, too.

kernels/reference/agreement.py says what it is. Here it is found block by block, by NumPy, or by torch where it is.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from rad_fast import inputs
from rad_fast.kernels.reference.agreement import NEIGHBOURS

Float32s = npt.NDArray[np.float32]
Int64s = npt.NDArray[np.int64]

AMONG = 10_000  # points that neighbours are looked for among: exact up to so many, drawn from more
BLOCK = 1 << 22  # cosines at a time


def agreement(
    features: Any,
    labels: Any,
    queries: Any = None,
    query_labels: Any = None,
    *,
    neighbours: int = NEIGHBOURS,
    among: int | None = AMONG,
    seed: int = 0,
) -> Any:
    """Of the points nearest to each point, the share that bears its label.

    What a ``Calibrator`` learns from it is what most helps against a teacher that only names a class: a label that
    points alike bear too is right more often. It costs no answer, as the teacher's labels of the pool are known.

    Parameters
    ----------
    features : (N, D) array of floating numbers: NumPy, torch, or anything with DLPack
        Of the pool, where a large cosine means alike: an encoder's embedding, or components of TF-IDF. Never modified.
    labels : (N,) integers, or TeacherLabels
        The teacher's labels of these points. Points with a label below 0 have no answer: they are nobody's neighbours.
    queries, query_labels : (q, D), (q,), optional
        Other points, and the teacher's labels of them: the labelled points that a Calibrator is fitted on. Without them
        the points themselves, none of which is its own neighbour.
    neighbours : how many are looked at. A Calibrator takes their share for one of ten, whatever their number.
    among : of more than so many points with a label, so many are drawn, and neighbours are looked for among these.
        None: among all.
    seed : of that draw.

    Returns
    -------
    (N,) or (q,) float32 in [0, 1], of the library and device of ``features``; NaN where there is no answer, 1/2 where
    there is no neighbour.

    Raises
    ------
    TypeError, ValueError : naming the argument, what was expected and what came.

    Notes
    -----
    Time grows as q x min(N, among) x D: 100,000 points of 384 features take some tens of seconds on a CPU. Beside the
    features there are 4 bytes for each number of those looked among, and 40 MB. Cosines are of float32: which of
    several equally near points is a neighbour may differ from machine to machine.

    Examples
    --------
    >>> import numpy as np, rad_fast
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.integers(0, 3, 600)
    >>> features = 3 * np.eye(3)[truth] + rng.normal(size=(600, 3))
    >>> labels = np.where(rng.random(600) < 0.2, rng.integers(0, 3, 600), truth)
    >>> share = rad_fast.agreement(features, labels)
    >>> bool(share[labels == truth].mean() > share[labels != truth].mean() + 0.5)
    True
    """
    count, started = whole("neighbours", neighbours), inputs.seed(seed, None)
    inputs.refuse_reordered("features", features, {"labels": labels})
    inputs.refuse_reordered("queries", queries, {"query_labels": query_labels})
    torch_given = inputs.is_torch(features)
    points = torch_matrix("features", features) if torch_given else matrix("features", features)
    known = checked_labels("labels", labels, len(points))
    if (queries is None) != (query_labels is None):
        raise ValueError("queries and query_labels: expected both or neither: a query's label is what is looked for")
    others, asked = points, known
    if queries is not None:
        others = torch_matrix("queries", queries) if torch_given else matrix("queries", queries)
        if others.shape[1] != points.shape[1]:
            raise ValueError(f"queries: expected {points.shape[1]} columns as in features, got {others.shape[1]}")
        asked = checked_labels("query_labels", query_labels, len(others))
    some = np.flatnonzero(known >= 0)
    if among is not None and len(some) > whole("among", among):
        some = np.sort(np.random.default_rng(started).choice(some, int(among), replace=False))
    search = by_torch if torch_given else by_numpy
    return search(points, others, known, asked, some, count, queries is None)


def by_numpy(
    points: Float32s, others: Float32s, known: Int64s, asked: Int64s, some: Int64s, neighbours: int, own: bool
) -> Float32s:
    found = np.full(len(others), 0.5, np.float32)
    taken = min(neighbours, len(some) - own)
    if taken > 0:
        near, labels = normalised(points[some]), known[some]
        for part in blocks(len(others), len(some)):
            alike = normalised(others[part]) @ near.T
            if own:
                here = np.flatnonzero((some >= part.start) & (some < part.stop))
                alike[some[here] - part.start, here] = -np.inf
            nearest = np.argpartition(alike, -taken, axis=1)[:, -taken:]
            found[part] = (labels[nearest] == asked[part, None]).mean(axis=1)
    found[asked < 0] = np.nan
    return found


def by_torch(points: Any, others: Any, known: Int64s, asked: Int64s, some: Int64s, neighbours: int, own: bool) -> Any:
    import torch

    device = points.device
    found = torch.full((len(others),), 0.5, device=device)
    taken = min(neighbours, len(some) - own)
    at, wanted = torch.from_numpy(some).to(device), torch.from_numpy(asked).to(device)
    if taken > 0:
        near = of_length_1(points[at])
        labels = torch.from_numpy(known[some]).to(device)
        for part in blocks(len(others), len(some)):
            alike = of_length_1(others[part]) @ near.T
            if own:
                here = torch.nonzero((at >= part.start) & (at < part.stop))[:, 0]
                alike[at[here] - part.start, here] = -torch.inf
            nearest = alike.topk(taken, dim=1, sorted=False).indices
            found[part] = (labels[nearest] == wanted[part, None]).float().mean(dim=1)
    found[wanted < 0] = torch.nan
    return found


def of_length_1(x: Any) -> Any:
    """As ``normalised``, of a tensor."""
    import torch

    _, exponent = torch.frexp(x.abs().amax(dim=1, keepdim=True))
    return torch.nn.functional.normalize(torch.ldexp(x, -exponent), dim=1)


def blocks(rows: int, columns: int) -> Iterator[slice]:
    step = max(1, BLOCK // columns)
    for begin in range(0, rows, step):
        yield slice(begin, min(rows, begin + step))


def normalised(x: Float32s) -> Float32s:
    """Rows of length 1; rows of zeros stay."""
    # By a power of two first, which rounds nothing: squares of very large or small numbers are none in float32.
    _, exponent = np.frexp(np.abs(x).max(axis=1, initial=0.0))
    x = np.ldexp(x, -exponent[:, None])
    length = np.sqrt(np.einsum("ij,ij->i", x, x))[:, None]
    length[length == 0.0] = 1.0
    scaled: Float32s = x / length
    return scaled


def matrix(name: str, value: Any) -> Float32s:
    array, dtype, _ = inputs.host_array(name, value)
    check(name, dtype, array.shape)
    if dtype == "bfloat16":
        array = (array.astype(np.uint32) << np.uint32(16)).view(np.float32)
    with np.errstate(over="ignore"):
        numbers_: Float32s = np.ascontiguousarray(array, dtype=np.float32)
    refuse_rows(name, int((~np.isfinite(numbers_).all(axis=1)).sum()))
    return numbers_


def torch_matrix(name: str, value: Any) -> Any:
    if not inputs.is_torch(value):
        raise TypeError(f"{name}: expected a torch tensor, as features are, got {type(value).__name__}")
    check(name, str(value.dtype).removeprefix("torch."), tuple(value.shape))
    tensor = value.detach().float()
    refuse_rows(name, int((~tensor.isfinite().all(dim=1)).sum()))
    return tensor


def check(name: str, dtype: str, shape: tuple[int, ...]) -> None:
    if dtype not in inputs.FLOATS:
        raise TypeError(f"{name}: {inputs.EXPECTED_DTYPE}, got {dtype}; texts need an encoder or components of TF-IDF")
    if len(shape) != 2 or shape[1] < 1:
        raise ValueError(f"{name}: expected 2 dimensions, (points, features), got shape {shape}")


def refuse_rows(name: str, wrong: int) -> None:
    if wrong:
        raise ValueError(
            f"{name}: expected finite numbers in every row, {wrong} rows have others; float32 holds up to 3.4e38"
        )


def checked_labels(name: str, value: Any, rows: int) -> Int64s:
    if isinstance(value, inputs.TeacherLabels):
        value = value.labels
    if inputs.is_torch(value):
        value = value.detach().cpu()
    array, dtype, _ = inputs.host_array(name, value)
    if array.dtype.kind not in "iu" or dtype == "bfloat16":
        raise TypeError(f"{name}: expected integers, the teacher's label of each point, got dtype {dtype}")
    if array.shape != (rows,):
        raise ValueError(f"{name}: expected one label per point, shape ({rows},), got shape {array.shape}")
    return array.astype(np.int64)


def whole(name: str, value: Any) -> int:
    if not inputs.is_number(value) or not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError(f"{name}: expected an int of at least 1, got {value!r}")
    return int(value)
