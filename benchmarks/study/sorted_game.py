"""The game with quotas by sorting, for some thousand points: written apart from the solver, so that the study can vary
what the package has no argument for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import gammaln

Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]
HALVINGS = 40


def probabilities(
    gain: Float64s, correctness: Float64s, label: Int64s, budget: Float64s, mistakes: Float64s
) -> Float64s:
    """q of every point: one game per class, with budget and mistakes (C,) a class.

    At a price, a point is worth d = (2 c - 1) g for the first min(1, price / g) of it, and -g for the rest, which the
    adversary spoils. Both parts are taken from the highest until the budget is full; the price is where the adversary's
    mistakes run out, found by halving.
    """
    n, classes = len(gain), len(budget)
    worth = (2.0 * correctness - 1.0) * gain
    value, group, point = np.concatenate([worth, -gain]), np.tile(label, 2), np.tile(np.arange(n), 2)
    safe = np.repeat([True, False], n)
    order = np.lexsort((~safe, -value, group))
    value, group, point, safe = value[order], group[order], point[order], safe[order]
    starts = np.searchsorted(group, np.arange(classes))
    of_point = np.maximum(gain, 1e-12)

    def taken(price: Float64s) -> tuple[Float64s, Float64s]:
        first = np.minimum(1.0, (price[label] / of_point))[point]
        mass = np.where(safe, first, 1.0 - first)
        total = np.concatenate([[0.0], np.cumsum(mass)])
        room = budget[group] - (total[:-1] - total[starts][group])
        threshold = np.full(classes, -1.0)
        last = np.flatnonzero((room > 1e-12) & (room <= mass + 1e-12))
        threshold[group[last][::-1]] = value[last][::-1]
        return np.clip(room, 0.0, mass), threshold

    low, high = np.zeros(classes), np.full(classes, float(gain.max(initial=0.0)))
    for _ in range(HALVINGS):
        price = (low + high) / 2.0
        threshold = taken(price)[1][label]
        inside = (worth > threshold) & (gain > price[label])
        slope = np.where(inside, (worth - np.maximum(threshold, -gain)) / of_point, 0.0)
        rising = np.bincount(label, slope, classes) > 2.0 * mistakes
        low, high = np.where(rising, price, low), np.where(rising, high, price)
    return np.bincount(point, taken(high)[0], n)


def shared_out(lacked: Float64s, limit: Float64s, budget: float) -> Float64s:
    """The budget in proportion to what is lacked, no more than the limit, the rest again; what nobody lacks goes to
    whoever has room."""
    found, open_ = np.zeros(len(lacked)), limit > 0
    for _ in range(len(lacked) + 1):
        wanted = np.where(open_, lacked, 0.0)
        if wanted.sum() <= 0.0:
            room = limit - found
            return found + (budget - found.sum()) * room / max(room.sum(), 1e-300)
        share = (budget - found[~open_].sum()) * wanted / wanted.sum()
        over = open_ & (share > limit)
        if not over.any():
            return np.where(open_, share, found)
        found[over], open_ = limit[over], open_ & ~over
    return found


def shrunk(counts: Float64s) -> Float64s:
    """Shares of classes (counts + alpha), alpha by maximum likelihood of the Dirichlet-multinomial on [0.05, 1000]."""

    def loss(log_alpha: float) -> float:
        a, k, m = np.exp(log_alpha), len(counts), counts.sum()
        return float(-(gammaln(k * a) - gammaln(m + k * a) + (gammaln(counts + a) - gammaln(a)).sum()))

    best = minimize_scalar(loss, bounds=(np.log(0.05), np.log(1000.0)), method="bounded")
    found: Float64s = (counts + np.exp(best.x)) / (counts.sum() + len(counts) * np.exp(best.x))
    return found


def drawn(q: Float64s, order: Int64s, budget: int, rng: np.random.Generator) -> Int64s:
    """A systematic sample along an order."""
    passed = np.floor(np.cumsum(q[order]) * (budget / q.sum()) * (1.0 - 1e-12) + rng.random())
    return order[np.flatnonzero(np.diff(passed, prepend=0.0) > 0)]


def pivotal(
    q: Float64s, order: Int64s, x: npt.NDArray[np.float32], rng: np.random.Generator, block: int = 256
) -> Int64s:
    """The local pivotal method (Grafström, Lundström, Schelin 2012) in blocks along an order: of two neighbours one
    takes the other's probability, until all are 0 or 1. Every duel keeps q in expectation."""
    q = np.clip(q, 0.0, 1.0)
    undecided = order[(q[order] > 1e-9) & (q[order] < 1.0 - 1e-9)]
    carried = undecided[:0]
    for begin in range(0, len(undecided), block):
        some = np.concatenate([carried, undecided[begin : begin + block]])
        points = x[some].astype(np.float64)
        norms = (points**2).sum(1)
        distance = norms[:, None] + norms - 2.0 * points @ points.T
        np.fill_diagonal(distance, np.inf)
        alive = np.ones(len(some), bool)
        while alive.sum() > 1:
            i = int(rng.choice(np.flatnonzero(alive)))
            j = int(distance[i].argmin())
            a, b = q[some[i]], q[some[j]]
            winner, loser = (i, j) if rng.random() < (a / (a + b) if a + b < 1.0 else (1 - b) / (2 - a - b)) else (j, i)
            q[some[winner]], q[some[loser]] = min(1.0, a + b), max(0.0, a + b - 1.0)
            for k in (i, j):
                if not 1e-9 < q[some[k]] < 1.0 - 1e-9:
                    alive[k], distance[:, k] = False, np.inf
        carried = some[alive]
    q[carried] = rng.random(len(carried)) < q[carried]
    return np.flatnonzero(q > 0.5)
