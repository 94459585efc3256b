"""Decisions on scored points: the window, its thresholds, and the running count. Scores come from a selector."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rad_fast.device.backends import Backend
from rad_fast.inputs import warn_unreliable
from rad_fast.kernels.reference.arrival import Bools, Course, Pace, Standing
from rad_fast.kernels.reference.game import Equilibrium
from rad_fast.kernels.reference.score import Points

from . import inputs
from .course import NOTHING, moved, solved, unknown
from .window import Window, some


class Decider:
    """Takes or leaves points in their order. The thresholds are solved anew at fixed positions of the stream."""

    def __init__(self, pace: Pace, window: int, seed: int, kernels: Backend) -> None:
        self.pace, self.kernels = pace, kernels
        self.window = Window(window, pace.budget / pace.of)
        self.course, self.answer = unknown(1), Equilibrium(1.0, NOTHING, 0.0, 0.0)
        start = np.random.Generator(np.random.PCG64(seed)).random(1)
        self.standing = Standing(np.zeros(2, np.int64), start)
        self.said_used = self.said_doubt = False

    def decide(self, points: Points, mistakes: float) -> Bools:
        """Which points are taken; none of their gains is NaN. ``mistakes`` for each point of the window."""
        count = len(points.gain)
        if self.standing.counts[1] >= self.pace.most and count and not self.said_used:
            self.said_used = True
            inputs.say_budget_used(self.pace.most)
        if self.window.kept + count < self.window.due:  # the usual call: nothing to solve
            return self._run(points)
        parts = [np.empty(0, np.bool_)]
        for part in self._parts(points):
            parts.append(self._run(part))
            self._follow(mistakes)
        return np.concatenate(parts)

    def watch(self, points: Points, mistakes: float) -> None:
        """Let points count for the thresholds alone."""
        for part in self._parts(points):
            self.window.put(part)
            self._follow(mistakes)

    def _run(self, points: Points) -> Bools:
        taken = self.kernels.decide(*points[:3], self.course, self.pace, self.standing)
        self.window.put(points)
        return taken

    def _parts(self, points: Points) -> Iterator[Points]:
        """The points, cut where the thresholds are solved."""
        begin = 0
        while begin < len(points.gain):
            end = begin + self.window.due - self.window.kept
            yield some(points, slice(begin, end))
            begin = end

    def _follow(self, mistakes: float) -> None:
        if self.window.kept >= self.window.due:
            rate, held = self.pace.budget / self.pace.of, self.window.held()
            filling = self.window.due <= self.window.size
            if filling or moved(held, self.answer, rate, mistakes, self.kernels):
                self.course, self.answer = solved(held, rate, self.pace.slack, mistakes, self.kernels)
                self._doubt(mistakes * len(held.gain), rate * len(held.gain))
            self.window.next_due()

    def _doubt(self, mistakes: float, budget: float) -> None:
        """As select() warns of a game without a gain; once, and of a full window."""
        if self.answer.value <= 0 and mistakes and self.window.kept >= self.window.size and not self.said_doubt:
            self.said_doubt = True
            warn_unreliable(self.answer.value, mistakes, round(budget))

    def state(self) -> dict[str, Any]:
        return {
            "window": self.window.state(),
            "course": {name: values.copy() for name, values in self.course._asdict().items()},
            "equilibrium": list(self.answer),
            "counts": self.standing.counts.copy(),
            "phase": self.standing.phase.copy(),
            "said": [self.said_used, self.said_doubt],
        }

    def load(self, state: dict[str, Any]) -> None:
        self.window.load(state["window"])
        self.course = Course(*(np.array(state["course"][name]) for name in Course._fields))
        self.answer = Equilibrium(*state["equilibrium"])
        self.standing = Standing(np.array(state["counts"]), np.array(state["phase"]))
        self.said_used, self.said_doubt = (bool(said) for said in state["said"])
