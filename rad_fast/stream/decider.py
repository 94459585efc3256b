"""Decisions on scored points: the window, its thresholds, and the running count. Scores come from a selector."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rad_fast.device.backends import Backend, Compiled
from rad_fast.inputs import warn_unreliable
from rad_fast.kernels.reference.arrival import Bools, Course, Pace, Standing
from rad_fast.kernels.reference.game import Equilibria, Float64s
from rad_fast.kernels.reference.score import Points

from . import inputs
from .course import NOTHING, Solution, Wanted, course_of, solved, unknown
from .evidence import Evidence, expected
from .window import Window, some


class Decider:
    """Takes or leaves points in their order. The thresholds are solved anew at fixed positions of the stream."""

    def __init__(self, pace: Pace, window: int, wanted: Wanted, seed: int, kernels: Backend) -> None:
        self.pace, self.wanted, self.seed, self.kernels = pace, wanted, seed, kernels
        self.said_used = self.said_doubt = False
        self._compiled = kernels if isinstance(kernels, Compiled) else None
        self.begin(1, window)

    def begin(self, classes: int, window: int) -> None:
        """Before the first point: how many classes have quotas, or 1 where none have."""
        self.window = Window(window, self.wanted.rate)
        self.course = unknown()
        self.solution = Solution(Equilibria(*np.array([[1.0, NOTHING, 0.0, 0.0]]).T.copy()), np.zeros(1))
        self.standing = Standing(np.zeros(3, np.int64), self._phases(1), np.zeros(1), np.zeros(1), np.zeros(2))
        self.chosen = np.zeros(classes, np.int64)  # up to the solution, or up to now where one game serves all classes
        self.evidence: Evidence | None = None
        self._ready: Callable[..., Bools] | None = None  # made again whenever the course or the standing are others
        self._ring: Points | None = None

    def _phases(self, games: int) -> Float64s:
        """Where the running sum of each game starts."""
        return np.random.Generator(np.random.PCG64(self.seed)).random(games)

    def decide(self, points: Points) -> Bools:
        """Which points are taken; none of their gains is NaN."""
        count = len(points.gain)
        if self.standing.counts[1] >= self.pace.most and count and not self.said_used:
            self.said_used = True
            inputs.say_budget_used(self.pace.most)
        if self.window.kept + count < self.window.due:  # the usual call: nothing to solve
            return self._run(points)
        parts = [np.empty(0, np.bool_)]
        for part in self._parts(points):
            parts.append(self._run(part))
            self._follow()
        return np.concatenate(parts)

    def watch(self, points: Points) -> None:
        """Let points count for the thresholds alone."""
        for part in self._parts(points):
            self.window.put(part)
            if self.window.kept == self.window.due:  # what is only watched is no evidence: the game is solved anyhow
                self._solve()
                self.window.next_due()

    def _run(self, points: Points) -> Bools:
        if self._compiled is not None:
            taken = self._at_once(self._compiled, points)
        else:
            taken = self.kernels.decide(*points[:3], self.course, self.pace, self.standing)
            self.window.put(points)
        if len(self.chosen) != len(self.standing.got) and taken.any():
            self.chosen += np.bincount(points.label[taken], minlength=len(self.chosen))
        return taken

    def _at_once(self, kernels: Compiled, points: Points) -> Bools:
        """Decide points and keep them, in one call that knows everything else."""
        window, count = self.window, len(points.gain)
        begin = window.room(count)
        if self._ready is None or self._ring is not window.points:
            self._ring = window.points
            self._ready = kernels.arrivals(self.course, self.pace, self.standing, self._ring)
        taken: Bools = self._ready(points.gain, points.correctness, points.label, begin)
        window.kept += count
        return taken

    def _parts(self, points: Points) -> Iterator[Points]:
        """The points, cut where the thresholds are solved."""
        begin = 0
        while begin < len(points.gain):
            end = begin + self.window.due - self.window.kept
            yield some(points, slice(begin, end))
            begin = end

    def _follow(self) -> None:
        window = self.window
        if window.kept < window.due:
            return
        if self.evidence is None:
            self._solve()
        elif self.evidence.changed(self.standing, window.step / window.size):
            window.change()
            self._solve()
        elif window.settles() or (self.wanted.quotas is not None and window.kept >= window.shared):
            self._solve()
        window.next_due()

    def _solve(self) -> None:
        window, held, wanted = self.window, self.window.held(), self.wanted
        full = window.due >= window.size
        if not full:  # too few of each class for thresholds of its own: they make up for it later
            wanted = wanted._replace(quotas=None)
        counts, phase, got, *_ = self.standing
        if len(got) == len(self.chosen):
            self.chosen = self.chosen + got.astype(np.int64)
        self.solution = solved(held, wanted, self.chosen, self.kernels, window.share())
        self.course = course_of(held, self.solution, wanted, self.kernels)
        games = len(self.course.price)
        phase = phase if games == len(phase) else self._phases(games)
        counts = np.array([counts[0], counts[1], counts[0]])
        self.standing = Standing(counts, phase, np.zeros(games), np.zeros(games), np.zeros(2))
        self._ready = None
        if full:
            self.evidence = Evidence(expected(held, self.course))
        self._doubt(len(held.gain))

    def _doubt(self, points: int) -> None:
        """As select() warns of a game without a gain; once, and of a full window."""
        value, wanted = float(self.solution.equilibria.value.sum()), self.wanted
        if value <= 0 and wanted.mistakes and points >= self.window.size and not self.said_doubt:
            self.said_doubt = True
            warn_unreliable(value, wanted.mistakes * points, round(wanted.rate * points))

    def state(self) -> dict[str, Any]:
        return {
            "window": self.window.state(),
            "course": {name: values.copy() for name, values in self.course._asdict().items()},
            "equilibria": [field.copy() for field in self.solution.equilibria],
            "quotas": self.solution.quotas.copy(),
            "standing": {name: values.copy() for name, values in self.standing._asdict().items()},
            "evidence": None if self.evidence is None else self.evidence.state(),
            "chosen": self.chosen.copy(),
            "said": [self.said_used, self.said_doubt],
        }

    def load(self, state: dict[str, Any]) -> None:
        self._ready = None
        self.window.load(state["window"])
        self.course = Course(*(np.array(state["course"][name]) for name in Course._fields))
        answers = Equilibria(*(np.array(field) for field in state["equilibria"]))
        self.solution = Solution(answers, np.array(state["quotas"]))
        self.standing = Standing(*(np.array(state["standing"][name]) for name in Standing._fields))
        self.evidence = None if state["evidence"] is None else Evidence.of(state["evidence"])
        self.chosen = np.array(state["chosen"])
        self.said_used, self.said_doubt = (bool(said) for said in state["said"])
