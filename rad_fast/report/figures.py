"""What the figures show, counted from the points: small enough for the JSON beside the indices.

====================  ==============================================================================================
key                   what it holds
====================  ==============================================================================================
version               of this layout
counted               how many points were looked at for plane, margin and probability: all, or a spread-out sample
plane                 ``low``: where the correctness axis begins; ``pool``: counts in equal cells, a list for each row
                      from ``low`` to 1, along it the gain from 0 to 1; ``below``: points under ``low``; ``selected``:
                      [gain, correctness] of at most 1,000 selected points
margin                ``pool``, ``selected``: counts in equal bins from 0 to 1, of the counted and of the selected
probability           ``upper``: the highest there can be; ``zero``: points that are never taken; ``pool``: counts of
                      the others in equal bins from 0 to ``upper``
classes               [label, points in the pool, selected], the most frequently selected first
other                 the other classes together: [classes, points in the pool, selected]
expected              the expected gain of the selection if no more labels are wrong than correctness says
curves                as in ``curves.py``; null for the part of a selection that one rank holds, and after ``extend``
calibration           ``predicted``, ``right``, ``low``, ``high``, ``points`` of each bin (``Calibrator.curve``),
                      ``labelled``, ``error``, ``both`` (whether on both models); null without a Calibrator
====================  ==============================================================================================
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rad_fast.device.backends import Backend
from rad_fast.game.pool import spread
from rad_fast.game.quotas import Shares
from rad_fast.kernels.reference.game import Equilibria, Equilibrium, Float32s
from rad_fast.kernels.reference.score import Points

from .curves import CLASSES as MOST_GAMES
from .curves import ClassSamples, Games, Sample, curves

VERSION = 1
COUNTED = 500_000  # points in the density and the histograms; more cost time and change nothing that is seen
DOTS = 1_000
CELLS = 80
BINS = 40
CLASSES = 30  # more are not told apart in a figure
BLOCK = 1 << 17  # points at a time, within the cache

Counts = npt.NDArray[np.int64]


class Drawn(NamedTuple):
    """What the figures are counted from, in host memory."""

    at: Counts  # the selected points
    points: Points
    kernels: Backend
    equilibrium: Equilibrium | Equilibria
    budget: int
    mistakes: float
    n_points: int  # of all ranks
    calibration: dict[str, Any] | None  # as above
    before: Counts | None = None  # points selected in earlier stages: they are there for sure
    shares: Shares | None = None  # how the budget was shared out among the classes


def figures(drawn: Drawn) -> dict[str, Any]:
    """What the figures of a selection show, as JSON can hold it."""
    at, points, kernels, answer = drawn[:4]
    places = spread(COUNTED, len(points.gain))
    places = places[~np.isnan(points.gain[places])]
    some = Points(points.gain[places], points.correctness[places], points.label[places])
    gain, correctness = some.gain, some.correctness
    rows, other = classes(points, at)
    whole = len(points.gain) == drawn.n_points
    q = probabilities(kernels, some, answer)
    if drawn.before is not None:
        q[np.isin(places, drawn.before)] = 1.0
    return {
        "version": VERSION,
        "counted": len(gain),
        "plane": plane(gain, correctness, points, at),
        "margin": {"pool": margins(gain).tolist(), "selected": margins(points.gain[at]).tolist()},
        "probability": chances(q, answer),
        "classes": rows,
        "other": other,
        "expected": expected(drawn),
        "curves": around(drawn) if whole else None,
        "calibration": drawn.calibration,
    }


def around(drawn: Drawn) -> dict[str, Any] | None:
    """The curves around a selection; none where every stage has a game of its own, or very many classes have."""
    answer, points, shares = drawn.equilibrium, drawn.points, drawn.shares
    if drawn.before is not None:
        return None
    if isinstance(answer, Equilibria):
        if shares is None or np.count_nonzero(shares.points) > MOST_GAMES:
            return None
        games: Games = ClassSamples(points, shares, drawn.kernels)
        possible, value = int(shares.points.sum()), math.fsum(answer.value)
    else:
        possible, value = len(points.gain) - int(np.count_nonzero(np.isnan(points.gain))), answer.value
        games = Sample(points.gain, points.correctness, drawn.kernels, possible)
    return curves(games, possible, drawn.budget, drawn.mistakes, value)


def probabilities(kernels: Any, points: Points, answer: Equilibrium | Equilibria) -> Any:
    """The inclusion probabilities of some points, in one game or in that of their class."""
    if isinstance(answer, Equilibria):
        return kernels.class_probabilities(points, answer)
    return kernels.probabilities(points.gain, points.correctness, answer)


def plane(gain: Float32s, correctness: Float32s, points: Points, at: Counts) -> dict[str, Any]:
    """The density of the pool and some of the selected points in the gain x correctness plane."""
    some = at[spread(DOTS, len(at))]
    # Down to all that is selected, and to all points but the least correct: a few would flatten the rest.
    lowest = float(np.quantile(correctness, 0.01)) if len(correctness) else 1.0
    chosen = float(points.correctness[at].min()) if len(at) else 1.0
    low = max(0.0, math.floor(95.0 * min(0.9, lowest, chosen)) / 100.0)
    seen = correctness >= np.float32(low)
    across = cells(gain[seen], 0.0, 1.0, CELLS)
    up = cells(correctness[seen], low, 1.0, CELLS)
    counts = np.bincount(up * CELLS + across, minlength=CELLS * CELLS).reshape(CELLS, CELLS)
    dots = np.column_stack([points.gain[some], points.correctness[some]]).astype(np.float64)
    return {
        "low": low,
        "pool": counts.tolist(),
        "below": int(len(seen) - np.count_nonzero(seen)),
        "selected": np.round(dots, 4).tolist(),
    }


def margins(gain: Float32s) -> Counts:
    """The student's margins, 1 - gain, in equal bins from 0 to 1."""
    return np.bincount(cells(np.float32(1) - gain, 0.0, 1.0, BINS), minlength=BINS)


def chances(q: npt.NDArray[np.float64], answer: Equilibrium | Equilibria) -> dict[str, Any]:
    """Inclusion probabilities in equal bins up to the highest: a point that is taken has a gain above the threshold."""
    upper = float(q.max(initial=0.0))
    if isinstance(answer, Equilibrium) and upper < 1.0:
        upper = min(1.0, answer.price / answer.threshold) if answer.threshold > 0 else 1.0
    upper = upper if upper > 0 else 1.0
    some = q[q > 0]
    counts = np.bincount(cells(some, 0.0, upper, BINS), minlength=BINS)
    return {"upper": upper, "zero": int(len(q) - len(some)), "pool": counts.tolist()}


def cells(values: npt.NDArray[np.floating], low: float, high: float, count: int) -> npt.NDArray[np.int32]:
    """Which of ``count`` equal cells from ``low`` to ``high`` each value is in."""
    width = max(high - low, 1e-9)
    at = ((values.astype(np.float64) - low) * (count / width)).astype(np.int32)
    return np.clip(at, 0, count - 1)


def classes(points: Points, at: Counts) -> tuple[list[list[int]], list[int] | None]:
    """Labels of the pool and of the selected points, those selected most often first, and the other classes."""
    most = int(points.label.max(initial=-1)) + 1
    pool = np.zeros(most, np.int64)
    for begin in range(0, len(points.label), BLOCK):
        part = slice(begin, begin + BLOCK)
        label = points.label[part]
        out = np.isnan(points.gain[part])
        pool += np.bincount(label[~out] if out.any() else label, minlength=most)
    chosen = np.bincount(points.label[at], minlength=most)
    order = np.lexsort((-pool, -chosen))
    order = order[pool[order] > 0]
    first, rest = (order, order[:0]) if len(order) <= CLASSES else np.split(order, [CLASSES - 6])
    rows = np.column_stack([first, pool[first], chosen[first]]).tolist()
    return rows, [len(rest), int(pool[rest].sum()), int(chosen[rest].sum())] if len(rest) else None


def expected(drawn: Drawn) -> float:
    """The expected gain of the selection, sum of q d, by duality: what the adversary takes is added to the value.

    He spends all he has at his price; on points that are taken beyond it, only where the threshold is below 0, more.
    """
    points, answer = drawn.points, drawn.equilibrium
    if drawn.before is None and isinstance(answer, Equilibrium) and answer.threshold >= 0:
        return answer.value + 2.0 * drawn.mistakes * answer.price
    total = 0.0
    for begin in range(0, len(points.gain), BLOCK):
        part = slice(begin, begin + BLOCK)
        gain, correctness = points.gain[part], points.correctness[part]
        q = probabilities(drawn.kernels, Points(gain, correctness, points.label[part]), answer)
        if drawn.before is not None:
            q[drawn.before[(drawn.before >= begin) & (drawn.before < begin + BLOCK)] - begin] = 1.0
        taken = q > 0
        advantage = 2.0 * correctness[taken].astype(np.float64) - 1.0
        total += float(np.sum(q[taken] * advantage * gain[taken]))
    return total
