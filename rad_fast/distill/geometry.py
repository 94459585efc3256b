"""Distances between points: greedy k-center, k-means++ and clusters, as CoreSet, BADGE and Cluster-Margin need them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]

CLUSTERED = 4000  # points that are clustered; the others join the nearest (all distances between them are held)
CLUSTER_SIZE = 10  # points in a cluster, on average
BLOCK = 1 << 22  # distances at a time


def k_center(points: Float32s, known: Float32s | None, budget: int, rng: np.random.Generator) -> Int64s:
    """Indices of ``budget`` points, each the farthest from all taken before and from those known."""
    taken = np.empty(budget, np.int64)
    norms = np.einsum("ij,ij->i", points, points)
    if known is None or len(known) == 0:
        taken[0] = rng.integers(len(points))
        distance, start = to_one(points, norms, points[taken[0]]), 1
        distance[taken[0]] = -1.0
    else:
        distance, start = nearest(points, known)[0], 0
    for k in range(start, budget):
        taken[k] = distance.argmax()
        np.minimum(distance, to_one(points, norms, points[taken[k]]), out=distance)
        distance[taken[: k + 1]] = -1.0  # equal points have distance 0, and are taken last
    return taken


def k_means_seeds(a: Float32s, b: Float32s, budget: int, rng: np.random.Generator) -> Int64s:
    """Indices of ``budget`` points by k-means++ over the outer products a[i] b[i]', which are never formed: the first
    is the largest, each next is drawn in proportion to its squared distance to the nearest taken before."""
    norms = np.einsum("ij,ij->i", a, a).astype(np.float64) * np.einsum("ij,ij->i", b, b)
    taken = np.empty(budget, np.int64)
    taken[0] = norms.argmax()
    distance = np.full(len(a), np.inf)
    for k in range(1, budget):
        last = taken[k - 1]
        inner = (a @ a[last]).astype(np.float64) * (b @ b[last])
        np.minimum(distance, np.maximum(norms - 2.0 * inner + norms[last], 0.0), out=distance)
        distance[taken[:k]] = 0.0
        total = np.cumsum(distance)
        if total[-1] > 0.0:
            taken[k] = min(np.searchsorted(total, rng.random() * total[-1], side="right"), len(a) - 1)
        else:  # all that is left lies where something was taken
            taken[k] = rng.choice(np.setdiff1d(np.arange(len(a)), taken[:k]))
    return taken


def to_one(points: Float32s, norms: Float32s, center: Float32s) -> Float32s:
    """Squared distances, not below 0."""
    squared: Float32s = np.maximum(norms - 2.0 * (points @ center) + center @ center, 0.0)
    return squared


def nearest(points: Float32s, centers: Float32s) -> tuple[Float32s, Int64s]:
    """Squared distance to the nearest center, and which it is."""
    distance, which = np.empty(len(points), np.float32), np.empty(len(points), np.int64)
    of_centers = np.einsum("ij,ij->i", centers, centers)
    step = max(1, BLOCK // len(centers))
    for begin in range(0, len(points), step):
        part = points[begin : begin + step]
        squared = of_centers - 2.0 * (part @ centers.T)
        at = squared.argmin(1)
        which[begin : begin + step] = at
        of_part = np.einsum("ij,ij->i", part, part)
        distance[begin : begin + step] = np.maximum(squared[np.arange(len(part)), at] + of_part, 0.0)
    return distance, which


def clusters(points: Float32s, rng: np.random.Generator) -> Int64s:
    """The cluster of every point: average-linkage clustering of at most 4,000 points, ten to a cluster; the others
    join the cluster of the nearest of these."""
    from scipy.cluster.hierarchy import fcluster, linkage

    some = np.arange(len(points)) if len(points) <= CLUSTERED else rng.choice(len(points), CLUSTERED, replace=False)
    if len(some) < 2 * CLUSTER_SIZE:
        return np.arange(len(points))
    tree = linkage(points[some], method="average")
    of_some: Int64s = fcluster(tree, len(some) // CLUSTER_SIZE, criterion="maxclust").astype(np.int64)
    if len(some) == len(points):
        return of_some
    found: Int64s = of_some[nearest(points, points[some])[1]]
    return found
