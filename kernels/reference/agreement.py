"""Agreement: of the points nearest to a point, the share that bears the label asked for it.

A label that points alike bear too is right more often than the teacher's confidence says. Near is what has a large
cosine; a point is not its own neighbour.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

NEIGHBOURS = 10

Array = npt.NDArray[np.floating]
Float32s = npt.NDArray[np.float32]
Int64s = npt.NDArray[np.int64]


def agreement(
    features: Array, labels: Int64s, queries: Array | None = None, asked: Int64s | None = None, neighbours: int = 10
) -> Float32s:
    """(q,) shares of the ``neighbours`` of most cosine among (N, D) ``features``, those with a label below 0 left out.

    Queries are the points themselves where none are given. NaN where the label asked for is below 0; 1/2 where there
    is no neighbour.
    """
    points = normalised(features)
    own = queries is None
    others = points if queries is None else normalised(queries)
    wanted = labels if asked is None else asked
    found = np.full(len(others), np.nan, np.float32)
    for row in np.flatnonzero(wanted >= 0):
        alike = points @ others[row]
        known = np.flatnonzero((labels >= 0) & ~(own & (np.arange(len(points)) == row)))
        nearest = known[np.argsort(-alike[known], kind="stable")[:neighbours]]
        found[row] = np.mean(labels[nearest] == wanted[row]) if len(nearest) else 0.5
    return found


def normalised(x: Array) -> npt.NDArray[np.float64]:
    """Rows of length 1; rows of zeros stay."""
    wide = x.astype(np.float64)
    length = np.sqrt((wide**2).sum(axis=1, keepdims=True))
    rows: npt.NDArray[np.float64] = wide / np.where(length > 0.0, length, 1.0)
    return rows


def logit_of_share(share: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """The logit of a share of ten neighbours, drawn away from 0 and 1 by half a neighbour: (10 share + 1/2) / 11."""
    p = (NEIGHBOURS * share.astype(np.float64) + 0.5) / (NEIGHBOURS + 1.0)
    z: npt.NDArray[np.float64] = np.log(p) - np.log1p(-p)
    return z
