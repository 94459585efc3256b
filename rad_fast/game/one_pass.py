"""A selection whose points are added up while they are scored, in one pass over logits in host memory.

Some rows are scored first. They say about how many points each class has, hence about what its quota and its share of
the mistakes will be, and where the equilibrium of its game will lie. Without quotas there is one game, and less to
expect. Then all rows are scored, a tile at a time: what
surely is taken, priced or left out is added up while it is in the cache. When all have been seen the true quotas are
known, and the games are solved on what is left. An equilibrium that is not where it was expected is found by ``play``,
as if nothing had been expected: the indices never depend on the sample.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rad_fast import inputs
from rad_fast.device.one_pass import OneGame, OnePass, scored_in_place
from rad_fast.kernels.reference.game import Int64s
from rad_fast.kernels.reference.score import Invalid, Points, Rule, empty_points

from .pool import drawn, spread
from .quotas import class_counts, shares, shares_of_mistakes
from .solver import on_grid, steps

# One row of so many is scored beforehand. That pays where these are enough for each class: boxes read off fewer are so
# wide that what they leave undecided costs more than another pass over all points.
SPARED, ENOUGH = 64, 1_200
# The same of one game, which costs less to play as usual: with 300,000 points of 10 classes one pass took 1.1 times as
# long, with a million 0.95 times, with 10 million 0.7 times.
SPARED_ALONE, ENOUGH_ALONE = 256, 4_000
ROOM, SCORES = 8.0, 12.0  # bytes of 24 that a point may take in one game; and those of its scores, if they are not kept


class Scoring(NamedTuple):
    """What ``appraise`` is asked; which points are left out, and which of these because they were chosen before."""

    teacher: Any
    student: Any
    rule: Rule
    given: npt.NDArray[np.float32] | None
    left_out: npt.NDArray[np.bool_] | None = None
    before: npt.NDArray[np.bool_] | None = None

    def at(self, places: Int64s, kernels: Any) -> Points:
        """Some of the points."""
        teacher, student, given = (
            None if values is None else rows_at(values, places) for values in (self.teacher, self.student, self.given)
        )
        points = empty_points(len(places))
        kernels.appraise(teacher, student, self.rule, given, points)
        return points


def rows_at(values: npt.NDArray[Any], places: Int64s) -> npt.NDArray[Any]:
    """Some of the rows, or of the numbers."""
    if not values.flags.c_contiguous:
        return values[places]  # NumPy's take would first copy all of them
    # Clipping changes no place: unlike raising it takes a tenth of the time.
    taken: npt.NDArray[Any] = np.take(values, places, axis=0, mode="clip")
    return taken


class Ahead:
    """What to expect of all points; ``score`` them, ask for their ``counts`` where there are quotas, then ``play``.

    ``once``: a OnePass or a OneGame. ``chosen``: with quotas, how many of each class were chosen before.
    """

    def __init__(self, once: Any, scoring: Scoring, chosen: Int64s | None) -> None:
        self.once, self.scoring, self.chosen = once, scoring, chosen
        self.fill: Callable[[], object] | None = None  # scores in the usual way, where nothing was kept

    def score(
        self, points: Points, usual: Callable[[], tuple[Invalid, Invalid]], keep: bool
    ) -> tuple[Invalid, Invalid]:
        """Score all points, in the usual way where it must be known which ones are invalid."""
        bad: tuple[Invalid, Invalid] = self.once.appraise(*self.scoring[:5], points if keep else None)
        if keep:
            return bad
        if bad[0].rows or bad[1].rows:
            return usual()

        def fill() -> None:
            usual()
            if self.scoring.left_out is not None:
                points.gain[self.scoring.left_out] = np.nan

        self.fill = fill
        return bad

    def counts(self) -> Int64s:
        """With quotas: as ``class_counts``, of all points."""
        counts: Int64s = self.once.counts()
        return counts

    def play(self, budget: Any, mistakes: Any, running: int) -> tuple[Any, Int64s] | None:
        """Once: the equilibrium and the indices; None where the points have to be played for as usual.

        Budget and mistakes are numbers, or with quotas those of each class; so is the equilibrium.
        """
        done: tuple[Any, Int64s] | None = self.once.conclude(budget, mistakes, running)
        del self.once  # and what it holds
        if done is None and self.fill is not None:
            self.fill()
        return done


def begin(
    scoring: Scoring,
    quotas: Any,
    chosen: Int64s | None,
    labelled: int | None,
    budget: Any,
    mistakes: tuple[float, float],
    others: int,
    kernels: Any,
    keep: bool,
) -> Ahead | None:
    """What to expect, where one pass will do and pays. Arguments as of ``shares``; ``budget`` as it was given,
    ``mistakes``: a count, and a number for each point; ``keep``: whether all scores are to be kept."""
    spared, enough = (SPARED_ALONE, ENOUGH_ALONE) if quotas is None else (SPARED, ENOUGH)
    if len(scoring.teacher) // spared < enough:
        return None
    matrices = [scoring.teacher] if scoring.student is None else [scoring.teacher, scoring.student]
    if scoring.rule.agreement is not None or not scored_in_place(kernels, *matrices):
        return None
    (rows, classes), how = scoring.teacher.shape, steps()
    games = 1 if quotas is None else classes
    count = min(how.sample * games, rows // spared)
    if rows < how.direct or count < enough * games:
        return None
    places = spread(count, rows)
    sample = scoring.at(places, kernels)
    if scoring.left_out is not None:
        sample.gain[scoring.left_out[places]] = np.nan
    if quotas is None:
        counts = np.array([[np.count_nonzero(~np.isnan(sample.gain))]])
    else:
        counts = class_counts([sample], classes, kernels)
    expected = counts * rows // count
    possible = int(expected[0].sum())
    if not possible:
        return None
    try:
        wanted = inputs.budget(budget, possible, 0)
    except ValueError:  # more than there may be: that is said when all have been seen
        return None
    spoilt, random = mistakes[0] + mistakes[1] * possible, drawn(max(how.sample, how.most_sampled))
    if quotas is None:
        room = ROOM if keep else ROOM + SCORES
        alone = OneGame(kernels, sample, rows, (wanted, on_grid(spoilt)), room, how, random)
        return Ahead(alone, scoring, None) if alone.useful() else None
    before = np.zeros(classes, np.int64) if chosen is None else chosen
    if scoring.before is not None:
        label = scoring.at(np.flatnonzero(scoring.before), kernels).label
        before = np.bincount(label[label >= 0], minlength=classes)
    found = shares(quotas, expected, before, labelled, wanted)
    stakes = expected[0], found.quotas, shares_of_mistakes(found, spoilt)
    once = OnePass(kernels, sample, rows, stakes, others, how, random)
    return Ahead(once, scoring, before) if once.useful() else None
