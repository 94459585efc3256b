"""What a stream's decisions were worth, beside what select() takes of the same points in hindsight."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import rad_fast
from rad_fast.stream import StreamSelector

Floats = npt.NDArray[np.float64]


class Beside(NamedTuple):
    """A stream beside hindsight."""

    overlap: float  # the share of the stream's points that hindsight takes with some probability
    regret: float  # of the game's value, as a share of what hindsight gains over taking points at random
    gain: float  # effective gain of the points taken, as such a share
    taken: npt.NDArray[np.bool_]
    selected: npt.NDArray[np.int64]  # in hindsight


def worth(q: Floats, gain: Floats, correctness: Floats, mistakes: float) -> float:
    """The game's value for inclusion probabilities q: the adversary lowers correctness where q x gain is largest."""
    order = np.argsort(-q * gain, kind="stable")
    left = correctness[order]
    spent = np.clip(mistakes - (np.cumsum(left) - left), 0.0, left)
    return float((q * gain * (2.0 * correctness - 1.0)).sum() - 2.0 * (spent * (q * gain)[order]).sum())


def beside(
    logits: npt.NDArray[np.float32],
    rate: float,
    mistakes: float | None,
    student: npt.NDArray[np.float32] | None = None,
    correctness: Any = None,
    **settings: Any,
) -> Beside:
    """A stream of the same points. How far each moves its phase stands for its inclusion probability."""
    given = {"correctness": correctness, "gain": "margin" if student is None else "label"}
    selection = rad_fast.Selector(rate, mistakes=mistakes, quotas=None).fit(logits, student_logits=student, **given)
    g, c = (np.asarray(values, np.float64) for values in (selection.gain, selection.correctness))
    q, spoiled = selection.probabilities, selection.mistakes
    stream = StreamSelector(rate, mistakes=mistakes, quotas=None, **given, **settings)
    taken, phase = np.empty(len(q), bool), np.empty(len(q) + 1)
    phase[0] = stream._decider.standing.phase[0]
    for i, row in enumerate(logits):
        taken[i] = stream.offer(row, None if student is None else student[i])
        phase[i + 1] = stream._decider.standing.phase[0]
    ours = np.clip(np.diff(phase) + taken, 0.0, 1.0)
    best, random, made = (worth(p, g, c, spoiled) for p in (q, np.full(len(q), rate), ours))
    d = (2.0 * c - 1.0) * g
    return Beside(
        float((q[taken] > 0).mean()),
        (best - made) / (best - random),
        float((taken @ d - rate * d.sum()) / (q @ d - rate * d.sum())),
        taken,
        selection.indices,
    )
