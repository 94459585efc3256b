"""Decisions on arrival on CPU: kernels/reference/arrival.py, bit for bit."""

from __future__ import annotations

import numpy as np

from rad_fast.kernels.reference.arrival import (
    HALF,
    LEVELS,
    MIDDLE,
    MOST_PULL,
    PULL,
    Bools,
    Course,
    Int32s,
    Pace,
    Standing,
    alike,
)
from rad_fast.kernels.reference.game import Float32s

from . import compiled


def decide(
    gain: Float32s, correctness: Float32s, label: Int32s, course: Course, pace: Pace, standing: Standing
) -> Bools:
    """Which of the points that arrive are taken, in their order."""
    taken = np.zeros(len(gain), np.bool_)
    numbers = tuple(float(number) for number in pace)
    run(gain, correctness, label, *course, numbers, alike(pace, len(course.price)), *standing, taken)
    return taken


@compiled()
def run(  # type: ignore[no-untyped-def]
    gain, correctness, label, price, threshold, share, due_of, pace, each, counts, phases, got, taken
):
    budget, of, widest, most, end = pace
    rate = budget / of
    seen, count, since, at = counts[0], counts[1], counts[2], counts[3]
    for i in range(len(gain)):
        k = label[i] if len(price) > 1 else 0
        g = np.float64(gain[i])
        advantage = np.float64(np.float32(2) * correctness[i] - np.float32(1))
        effective = advantage * g
        seen += 1
        if count >= most:
            continue
        slack = min(widest, max(1.0, (end - seen) * rate * 0.5))
        if (seen - 1 - since) % each == 0:
            owed = HALF * PULL * (due_of[k] * (seen - since) - got[k]) if due_of[k] > 0.0 else 0.0
            own = min(max(owed, -HALF * MOST_PULL), HALF * MOST_PULL)
            behind, turns = (seen + 0.5 * (each - 1)) * rate - count, HALF / slack
            level = behind * turns + HALF + own - (1.0 - price[k]) * turns * (phases[k] - 0.5)
            at = int(min(max(level, 0.0), LEVELS - 1.0))
        due = seen * rate
        limit, part = threshold[k, at], share[k, at]
        cap = price[k] * (1.0 / g) if g > price[k] else 1.0
        first = 1.0 if effective > limit else part if effective == limit else 0.0
        second = 1.0 if -g > limit else part if -g == limit else 0.0
        q = first * cap + second * (1.0 - cap)
        phase = phases[k] + q
        late = due - count >= slack or most - count > end - seen
        early = count + 1 > due + slack
        take = late or (q > 0.0 and phase >= 1.0 and not early)
        if take:
            count += 1
            phase -= 1.0
            got[k] += 1.0
        phases[k] = min(max(phase, 0.0), 1.0)
        taken[i] = take
    counts[0], counts[1], counts[3] = seen, count, at if each > 1 else MIDDLE
