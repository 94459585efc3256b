"""Decisions on arrival on CPU: kernels/reference/arrival.py, bit for bit."""

from __future__ import annotations

import numpy as np

from rad_fast.kernels.reference.arrival import LEVELS, MIDDLE, MOST_PULL, PULL, Bools, Course, Int32s, Pace, Standing
from rad_fast.kernels.reference.game import Float32s

from . import compiled


def decide(
    gain: Float32s, correctness: Float32s, label: Int32s, course: Course, pace: Pace, standing: Standing
) -> Bools:
    """Which of the points that arrive are taken, in their order."""
    taken = np.empty(len(gain), np.bool_)
    run(gain, correctness, label, *course, tuple(float(number) for number in pace), *standing, taken)
    return taken


@compiled()
def run(  # type: ignore[no-untyped-def]
    gain, correctness, label, price, threshold, share, due_of, pace, counts, phases, got, came, reached, taken
):
    budget, of, widest, most, end = pace
    rate = budget / of
    seen, count, since = counts[0], counts[1], counts[2]
    for i in range(len(gain)):
        k = label[i] if len(price) > 1 else 0
        g = np.float64(gain[i])
        advantage = np.float64(np.float32(2) * correctness[i] - np.float32(1))
        effective = advantage * g
        seen += 1
        due = seen * rate
        slack = min(widest, max(1.0, (end - seen) * rate * 0.5))
        behind = due - count
        owed = due_of[k] * (seen - since) - got[k] if due_of[k] > 0.0 else 0.0
        own = min(max(PULL * owed, -MOST_PULL), MOST_PULL) * slack
        lag = behind - (1.0 - price[k]) * (phases[k] - 0.5) + own
        at = int(min(max(lag * (0.5 * LEVELS / slack) + 0.5 * LEVELS, 0.0), LEVELS - 1.0))
        limit, part = threshold[k, at], share[k, at]
        dear = g > price[k]
        width = 1.0 / g if dear else 0.0
        cap = price[k] * width if dear else 1.0
        first = 1.0 if effective > limit else part if effective == limit else 0.0
        second = 1.0 if -g > limit else part if -g == limit else 0.0
        q = first * cap + second * (1.0 - cap)
        phase = phases[k] + q
        late = behind >= slack or most - count > end - seen
        early = count + 1 > due + slack
        take = count < most and (late or (q > 0.0 and phase >= 1.0 and not early))
        if take:
            count += 1
            phase -= 1.0
            got[k] += 1.0
        phases[k] = min(max(phase, 0.0), 1.0)
        taken[i] = take
        came[k] += 1.0
        middle = threshold[k, MIDDLE]
        if effective >= middle:
            reached[0] += cap
            reached[1] += advantage - middle * width if dear else 0.0
    counts[0], counts[1] = seen, count
