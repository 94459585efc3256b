"""Decisions on arrival: a point is taken or left when it comes, and the count stays near the rate.

A solved game says with what probability q a point is taken. Each class has a phase, a running sum of q that is lowered
by 1 where a point is taken: systematic sampling, in the order of arrival. What keeps the count near ``due`` = rate x
seen, and each class near its quota, is the threshold. It is looked up by how far both lag behind, from a ladder of
LEVELS thresholds; where one game serves all points, once for a few of them. Two hard rules stand above it, so that
|taken - due| never exceeds the slack:

- where the count is a whole slack behind, or the budget could not be met without it, a point is taken, whatever it is;
- where one point more would be over the slack, none is taken, and the phase waits at 1 for the next point with q > 0.

Every point is decided from the ones before it alone. So the decisions do not depend on how a stream is cut into calls,
and all arithmetic is of single float64 operations: every backend decides alike.

What the thresholds rest on is gathered as evidence: how many points of each class came, and what those that reach the
middle of the ladder add to the budget and to the price's slope.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .game import Float32s, Float64s

LEVELS = 33  # odd: the middle one is the count on its course
MIDDLE = LEVELS // 2
# A point that a class lags behind its quota counts as this part of the slack, all of them at most as that. With ten
# times as much the points of a class are taken as they come: a fifth of the effective gain was lost.
PULL, MOST_PULL = 0.1, 0.75
HALF = 0.5 * LEVELS  # levels in a slack
# Where one game serves all, a threshold holds while an eighth of a slack falls due, for at most 16 points: so they need
# not wait for one another.
MOST_ALIKE, SLACK_ALIKE = 16, 0.125
LANES = 4  # sums of every fourth point can be added up side by side

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Course(NamedTuple):
    """What holds until the game is solved again. One row a class; a single row serves every label."""

    price: Float64s  # (classes,)
    threshold: Float64s  # (classes, LEVELS), falling: from a slack ahead to a slack behind
    share: Float64s  # (classes, LEVELS): of a point that lies on the threshold
    due: Float64s  # (classes,): of each class for every point seen; 0 where the class has no quota of its own


class Pace(NamedTuple):
    """How many points are to be taken: ``budget`` of each ``of``; all of them real numbers."""

    budget: float
    of: float
    slack: float
    most: float  # never more than this many in all
    end: float  # points after which the count is to be exact; infinite for a stream without end


class Standing(NamedTuple):
    """How far the stream is; changed by ``decide``."""

    counts: Int64s  # (4,): points seen, points taken, points seen up to the solution, the level looked up last
    phase: Float64s  # (classes,), each from 0 to 1
    got: Float64s  # (classes,): points taken since the solution


class Reached(NamedTuple):
    """What some points say of the thresholds: how many came of each class, and of what those that reach the middle
    threshold add to the budget and to the price's slope, sums and sums of squares."""

    came: Float64s  # (classes,)
    sums: Float64s  # (2,)
    squares: Float64s  # (2,)


def decide(
    gain: Float32s, correctness: Float32s, label: Int32s, course: Course, pace: Pace, standing: Standing
) -> Bools:
    """Which of the points that arrive are taken, in their order. No gain is NaN; labels are rows of the course."""
    taken = np.zeros(len(gain), np.bool_)
    price, threshold, share, due_of = (values.tolist() for values in course)
    (seen, count, since, at), phases, got = (values.tolist() for values in standing)
    one_class, rate = len(price) == 1, pace.budget / pace.of
    each = alike(pace, len(price))
    advantage = (np.float32(2) * correctness - np.float32(1)).astype(np.float64).tolist()
    for i, (g, a) in enumerate(zip(gain.astype(np.float64).tolist(), advantage, strict=True)):
        k = 0 if one_class else int(label[i])
        seen += 1
        if count >= pace.most:
            continue
        slack = slack_at(seen, rate, pace)
        if (seen - 1 - since) % each == 0:
            owed = HALF * PULL * (due_of[k] * (seen - since) - got[k]) if due_of[k] > 0.0 else 0.0
            own = min(max(owed, -HALF * MOST_PULL), HALF * MOST_PULL)
            behind, turns = (seen + 0.5 * (each - 1)) * rate - count, HALF / slack
            # The phase is a point that is on its way. Where every q is 1 (the price is) it never moves, says nothing.
            level = behind * turns + HALF + own - (1.0 - price[k]) * turns * (phases[k] - 0.5)
            at = int(min(max(level, 0.0), LEVELS - 1.0))
        due = seen * rate
        q = probability(g, a * g, price[k], threshold[k][at], share[k][at])
        phase = phases[k] + q
        late = due - count >= slack or pace.most - count > pace.end - seen
        early = count + 1 > due + slack
        take = late or (q > 0.0 and phase >= 1.0 and not early)
        if take:
            count += 1
            phase -= 1.0
            got[k] += 1.0
        phases[k] = min(max(phase, 0.0), 1.0)
        taken[i] = take
    standing.counts[:] = seen, count, since, at if each > 1 else MIDDLE
    standing.phase[:] = phases
    standing.got[:] = got
    return taken


def alike(pace: Pace, classes: int) -> int:
    """For how many points a threshold holds."""
    few = SLACK_ALIKE * pace.slack / (pace.budget / pace.of)
    return int(min(float(MOST_ALIKE), max(1.0, math.floor(few)))) if classes == 1 else 1


def reached(gain: Float32s, correctness: Float32s, label: Int32s, price: Float64s, middle: Float64s) -> Reached:
    """What points say of the thresholds. ``price`` and ``middle``, the middle threshold: (classes,)."""
    games = len(price)
    k = label if games > 1 else np.zeros_like(label)
    g, advantage = gain.astype(np.float64), (np.float32(2) * correctness - np.float32(1)).astype(np.float64)
    at = advantage * g >= middle[k]
    dear = at & (g > price[k])
    width = np.where(dear, 1.0 / np.where(dear, g, 1.0), 0.0)
    each = np.stack([np.where(dear, price[k] * width, at), np.where(dear, advantage - middle[k] * width, 0.0)])
    came = np.bincount(k, minlength=games).astype(np.float64)
    return Reached(came, summed(each), summed(each * each))


def summed(each: Float64s) -> Float64s:
    """Sums of rows in the order that every backend adds them up in."""
    padded = np.pad(each, ((0, 0), (0, -each.shape[1] % LANES)))
    lanes = np.cumsum(padded.reshape(len(each), -1, LANES), axis=1)[:, -1] if each.shape[1] else np.zeros((2, LANES))
    total: Float64s = (lanes[:, 0] + lanes[:, 1]) + (lanes[:, 2] + lanes[:, 3])
    return total


def slack_at(seen: int, rate: float, pace: Pace) -> float:
    """Towards the end of a stream of known length the slack falls to 1, so that the last count is exact."""
    return min(pace.slack, max(1.0, (pace.end - seen) * rate * 0.5))


def probability(gain: float, effective: float, price: float, threshold: float, share: float) -> float:
    """``game.probabilities`` of one point, without its rounding of 1 / gain."""
    cap = price * (1.0 / gain) if gain > price else 1.0
    first = 1.0 if effective > threshold else share if effective == threshold else 0.0
    second = 1.0 if -gain > threshold else share if -gain == threshold else 0.0
    return first * cap + second * (1.0 - cap)
