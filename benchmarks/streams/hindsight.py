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
    apart: float  # the share of the stream's points that other classes have in hindsight
    taken: npt.NDArray[np.bool_]
    selected: npt.NDArray[np.int64]  # in hindsight


def worth(q: Floats, gain: Floats, correctness: Floats, mistakes: float) -> float:
    """The game's value for inclusion probabilities q: the adversary lowers correctness where q x gain is largest."""
    order = np.argsort(-q * gain, kind="stable")
    left = correctness[order]
    spent = np.clip(mistakes - (np.cumsum(left) - left), 0.0, left)
    return float((q * gain * (2.0 * correctness - 1.0)).sum() - 2.0 * (spent * (q * gain)[order]).sum())


def worth_by_class(
    q: Floats, gain: Floats, correctness: Floats, mistakes: float, label: npt.NDArray[np.int32] | None
) -> float:
    """The same where each class has an adversary of its own, with mistakes in proportion to its points."""
    if label is None:
        return worth(q, gain, correctness, mistakes)
    groups = [label == k for k in np.unique(label)]
    each = mistakes / len(label)
    return sum(worth(q[mine], gain[mine], correctness[mine], each * int(mine.sum())) for mine in groups)


def beside(
    logits: npt.NDArray[np.float32],
    rate: float,
    mistakes: float | None,
    student: npt.NDArray[np.float32] | None = None,
    correctness: Any = None,
    quotas: Any = None,
    **settings: Any,
) -> Beside:
    """A stream of the same points. How far each moves its phase stands for its inclusion probability."""
    selection = rad_fast.Selector(rate, mistakes=mistakes, quotas=quotas).fit(
        logits, student_logits=student, correctness=correctness
    )
    g, c = (np.asarray(values, np.float64) for values in (selection.gain, selection.correctness))
    label = selection.labels
    q, spoiled = selection.probabilities, selection.mistakes
    stream = StreamSelector(rate, mistakes=mistakes, correctness=correctness, quotas=quotas, **settings)
    taken, ours = np.empty(len(q), bool), np.empty(len(q))
    for i, row in enumerate(logits):
        before = stream._decider.standing.phase.copy()
        taken[i] = stream.offer(row, None if student is None else student[i])
        after = stream._decider.standing.phase
        # Where quotas begin each class gets a phase of its own.
        alike = len(after) == len(before)
        ours[i] = np.clip((after - before).sum() + taken[i], 0.0, 1.0) if alike else rate
    games = None if quotas is None else label
    best, random, made = (worth_by_class(p, g, c, spoiled, games) for p in (q, np.full(len(q), rate), ours))
    d = (2.0 * c - 1.0) * g
    classes = logits.shape[1]
    there, here = (np.bincount(label[at], minlength=classes) for at in (selection.indices, np.flatnonzero(taken)))
    return Beside(
        float((q[taken] > 0).mean()),
        (best - made) / (best - random),
        float((taken @ d - rate * d.sum()) / (q @ d - rate * d.sum())),
        float(np.abs(there / there.sum() - here / here.sum()).sum() / 2.0),
        taken,
        selection.indices,
    )
