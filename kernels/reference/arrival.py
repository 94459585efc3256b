"""Decisions on arrival: a point is taken or left when it comes, and the count stays near the rate.

A solved game says with what probability q a point is taken. Each class has a phase, a running sum of q that is lowered
by 1 where a point is taken: systematic sampling, in the order of arrival. What keeps the count near ``due`` = rate x
seen, and each class near its quota, is the threshold. It is looked up by how far both lag behind, from a ladder of
LEVELS thresholds. Two hard rules stand above it, so that |taken - due| never exceeds the slack:

- where the count is a whole slack behind, or the budget could not be met without it, a point is taken, whatever it is;
- where one point more would be over the slack, none is taken, and the phase waits at 1 for the next point with q > 0.

Every point is decided from the ones before it alone. So the decisions do not depend on how a stream is cut into calls,
and all arithmetic is of single float64 operations: every backend decides alike.

On the way evidence is gathered of what the thresholds rest on: how many points of each class came, and what those that
reach the middle of the ladder add to the budget and to the price's slope.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .game import Float32s, Float64s

LEVELS = 33  # odd: the middle one is the count on its course
MIDDLE = LEVELS // 2
# A point that a class lags behind its quota counts as this part of the slack, all of them at most as that. With ten
# times as much the points of a class are taken as they come: a fifth of the effective gain was lost.
PULL, MOST_PULL = 0.1, 0.75

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

    counts: Int64s  # (3,): points seen, points taken, points seen up to the solution
    phase: Float64s  # (classes,), each from 0 to 1
    got: Float64s  # (classes,): points taken since the solution
    came: Float64s  # (classes,): evidence, points by class
    reached: Float64s  # (2,): evidence, sums over the points that reach the middle threshold


def decide(
    gain: Float32s, correctness: Float32s, label: Int32s, course: Course, pace: Pace, standing: Standing
) -> Bools:
    """Which of the points that arrive are taken, in their order. No gain is NaN; labels are rows of the course."""
    taken = np.zeros(len(gain), np.bool_)
    price, threshold, share, due_of = (values.tolist() for values in course)
    (seen, count, since), phases, got, came, reached = (values.tolist() for values in standing)
    one_class, rate = len(price) == 1, pace.budget / pace.of
    advantage = (np.float32(2) * correctness - np.float32(1)).astype(np.float64).tolist()
    for i, (g, a) in enumerate(zip(gain.astype(np.float64).tolist(), advantage, strict=True)):
        k = 0 if one_class else int(label[i])
        seen += 1
        due = seen * rate
        slack = slack_at(seen, rate, pace)
        behind = due - count
        owed = due_of[k] * (seen - since) - got[k] if due_of[k] > 0.0 else 0.0
        own = min(max(PULL * owed, -MOST_PULL), MOST_PULL) * slack
        # The phase is a point that is on its way. Where every q is 1 (the price is) it never moves, and says nothing.
        lag = behind - (1.0 - price[k]) * (phases[k] - 0.5) + own
        level = min(max(lag * (0.5 * LEVELS / slack) + 0.5 * LEVELS, 0.0), LEVELS - 1.0)
        at = int(level)
        q = probability(g, a * g, price[k], threshold[k][at], share[k][at])
        phase = phases[k] + q
        late = behind >= slack or pace.most - count > pace.end - seen
        early = count + 1 > due + slack
        take = count < pace.most and (late or (q > 0.0 and phase >= 1.0 and not early))
        if take:
            count += 1
            phase -= 1.0
            got[k] += 1.0
        phases[k] = min(max(phase, 0.0), 1.0)
        taken[i] = take
        came[k] += 1.0
        middle = threshold[k][MIDDLE]
        if a * g >= middle:
            reached[0] += price[k] * (1.0 / g) if g > price[k] else 1.0
            reached[1] += a - middle * (1.0 / g) if g > price[k] else 0.0
    standing.counts[:2] = seen, count
    for array, values in zip(standing[1:], (phases, got, came, reached), strict=True):
        array[:] = values
    return taken


def slack_at(seen: int, rate: float, pace: Pace) -> float:
    """Towards the end of a stream of known length the slack falls to 1, so that the last count is exact."""
    return min(pace.slack, max(1.0, (pace.end - seen) * rate * 0.5))


def probability(gain: float, effective: float, price: float, threshold: float, share: float) -> float:
    """``game.probabilities`` of one point, without its rounding of 1 / gain."""
    cap = price * (1.0 / gain) if gain > price else 1.0
    first = 1.0 if effective > threshold else share if effective == threshold else 0.0
    second = 1.0 if -gain > threshold else share if -gain == threshold else 0.0
    return first * cap + second * (1.0 - cap)
