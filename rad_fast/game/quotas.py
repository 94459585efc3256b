"""A game a class: what each class weighs, and the equilibrium of each class's game.

kernels/reference/quotas.py says how a budget is shared out. A class's game is the game of ``solver`` on its points,
with its quota as budget and its share of the mistakes; each class's points are first brought together, in one pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rad_fast.device.backends import Backend
from rad_fast.kernels.reference import quotas as shared_out
from rad_fast.kernels.reference.game import NOTHING, Equilibria, Equilibrium
from rad_fast.kernels.reference.score import Points

from .group import Group, GroupPool, solve_together
from .pool import ArrayPool
from .solver import DIRECT, solve

TOGETHER = 1 << 20  # points that a message of many games may hold: 8 MiB

Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]


class Shares(NamedTuple):
    """How a budget was shared out among the classes: (C,) arrays."""

    quotas: Float64s
    weights: Float64s
    points: Int64s  # that can be selected
    chosen: Int64s  # that were selected before
    positive: Int64s | None = None  # of the points, those with a positive effective gain; None: it does not matter

    def of(self, budget: int) -> Float64s:
        """The quotas of another budget."""
        return shared_out.quotas(self.weights, self.points, self.chosen, budget, self.positive)


def shares(asked: Any, counts: Int64s, chosen: Int64s, labelled: int | None, budget: int) -> Shares:
    """Quotas for ``asked``: "auto", "equal", "proportional", or a checked array or mapping of weights; ``labelled``
    points calibrated correctness, None: it is not calibrated. ``counts`` (2, C): as ``class_counts`` gives them.

    Weights of the caller's own are an order: whether points are worth choosing is not asked.
    """
    return shares_and_mistakes(asked, counts, chosen, labelled, budget, 0.0)[0]


def shares_and_mistakes(
    asked: Any,
    counts: Int64s,
    chosen: Int64s,
    labelled: int | None,
    budget: int,
    mistakes: float,
    kernels: Backend | None = None,
) -> tuple[Shares, Float64s]:
    """The same, and how many of the mistakes each class has; by the specification where no ``kernels`` are given."""
    bounded, share_out = isinstance(asked, str), shared_out.shares if kernels is None else kernels.shares
    basis = basis_of(asked, counts[0], labelled)
    quotas, weights, each = share_out(basis, counts, chosen, budget, bounded, mistakes)
    return Shares(quotas, weights, counts[0], chosen, counts[1] if bounded else None), each


def basis_of(asked: Any, points: Int64s, labelled: int | None) -> Float64s | str:
    """What each class weighs, or which of its numbers says so; "auto" is by the points' labels, counted as in a sample
    of the hold-out's size, or the root of the numbers of points. The hold-out's own classes are too few to say more
    (docs/study.md)."""
    if isinstance(asked, str):
        if asked != "auto":
            return asked
        if labelled is None:
            return "root"
        return shared_out.sample_weights(points * (labelled / max(1, points.sum())))
    if isinstance(asked, Mapping):
        weights = np.zeros(len(points))
        weights[list(asked)] = list(asked.values())
        return weights
    return np.asarray(asked, np.float64)


def weights_of(asked: Any, points: Int64s, labelled: int | None) -> Float64s:
    """What each class weighs, in numbers."""
    return shared_out.weights_by(basis_of(asked, points, labelled), points)


class ClassPools:
    """Points in chunks, each class's brought together: 8 bytes per point; none where one class has all of them."""

    def __init__(self, chunks: Sequence[Points], classes: int, kernels: Backend, counts: Int64s | None = None) -> None:
        self.kernels = kernels
        self.whole: ArrayPool | None = None
        counts = class_counts(chunks, classes, kernels)[0] if counts is None else counts
        self.ends = np.cumsum(counts)
        if np.count_nonzero(counts) == 1:
            self.whole = ArrayPool.of(chunks, kernels)
            self.gain = self.correctness = np.empty(0, np.float32)
            return
        self.gain, self.correctness = np.empty((2, int(self.ends[-1])), np.float32)
        starts = self.ends - counts
        for chunk in chunks:
            starts = kernels.group(*chunk[:3], starts, self.gain, self.correctness)

    def of(self, k: int) -> ArrayPool:
        part = slice(self.ends[k - 1] if k else 0, self.ends[k])
        if self.whole is not None and part.start < part.stop:
            return self.whole
        return ArrayPool([(self.gain[part], self.correctness[part])], self.kernels)


class GroupPools:
    """The points of each class on all ranks; ``counts``: how many this rank has of each class."""

    def __init__(self, mine: ClassPools, counts: Int64s, group: Group) -> None:
        self.mine, self.group = mine, group
        self.sizes = np.array(group.exchange(lambda: counts))

    def of(self, k: int) -> GroupPool:
        return GroupPool(self.mine.of(k), self.group, self.sizes[:, k].tolist())

    def solve(self, found: Shares, mistakes: list[float]) -> list[Equilibrium]:
        """The equilibrium of each class; as many games at a time as send no more than TOGETHER points a step."""
        answers = [NOTHING] * len(found.quotas)
        batches: list[list[int]] = [[]]
        sent = 0
        for k in np.flatnonzero(found.quotas).tolist():
            points = min(int(self.sizes[:, k].sum()), DIRECT)
            if batches[-1] and sent + points > TOGETHER:
                batches.append([])
                sent = 0
            batches[-1].append(k)
            sent += points
        for batch in batches:
            pools, budgets = [self.of(k) for k in batch], [float(found.quotas[k]) for k in batch]
            solved = solve_together(pools, budgets, [mistakes[k] for k in batch], self.group)
            for k, answer in zip(batch, solved, strict=True):
                answers[k] = answer
        return answers


def class_counts(chunks: Sequence[Points], classes: int, kernels: Backend) -> Int64s:
    """How many points of each class are not left out, and how many of these have a positive effective gain: (2, C)."""
    total = np.zeros((2, classes), np.int64)
    for chunk in chunks:
        total += kernels.class_counts(*chunk[:3], classes)
    return total


def solve_by_class(pools: ClassPools | GroupPools, found: Shares, mistakes: float) -> Equilibria:
    """Each class's equilibrium; class k has its quota, and mistakes in proportion to its points."""
    each = shares_of_mistakes(found, mistakes).tolist()
    if isinstance(pools, GroupPools):
        return Equilibria(*np.array(pools.solve(found, each)).T.copy())
    answers = [NOTHING] * len(found.quotas)
    for k in np.flatnonzero(found.quotas).tolist():
        answers[k] = solve(pools.of(k), float(found.quotas[k]), each[k])
    return Equilibria(*np.array(answers).T.copy())


def shares_of_mistakes(found: Shares, mistakes: float) -> Float64s:
    """The mistakes in each class, in proportion to its points, in the unit that they are counted in."""
    return shared_out.shares_of_mistakes(found.points, mistakes)
