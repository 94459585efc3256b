"""Decisions on arrival on CPU: kernels/reference/arrival.py, bit for bit."""

from __future__ import annotations

import numpy as np

from rad_fast.kernels.reference.arrival import LEVELS, Bools, Course, Int32s, Pace, Standing
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
def run(gain, correctness, label, price, threshold, share, pace, counts, phases, taken):  # type: ignore[no-untyped-def]
    budget, of, widest, most, end = pace
    seen, count = counts[0], counts[1]
    for i in range(len(gain)):
        k = label[i] if len(price) > 1 else 0
        g = np.float64(gain[i])
        effective = np.float64(np.float32(2) * correctness[i] - np.float32(1)) * g
        seen += 1
        due = seen * budget / of
        slack = min(widest, max(1.0, (end - seen) * budget / of / 2.0))
        behind = due - count
        lag = behind - (1.0 - price[k]) * (phases[k] - 0.5)
        at = int(min(max((lag / slack + 1.0) * (0.5 * LEVELS), 0.0), LEVELS - 1.0))
        limit, part = threshold[k, at], share[k, at]
        cap = price[k] / g if g > price[k] else 1.0
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
        phases[k] = min(max(phase, 0.0), 1.0)
        taken[i] = take
    counts[0], counts[1] = seen, count
