"""Decisions on scored points: the window, its thresholds, and the running count. Scores come from a selector."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from rad_fast.device.backends import Backend, Compiled
from rad_fast.inputs import warn_unreliable
from rad_fast.kernels.reference.arrival import MIDDLE, Bools, Course, Int64s, Pace, Standing
from rad_fast.kernels.reference.game import Equilibria, Float64s
from rad_fast.kernels.reference.score import Points

from . import inputs
from .course import NOTHING, Solution, Wanted, alike, course_of, shared_out, solved, unknown
from .evidence import ERRORS, KEPT, Evidence, expected, said_by
from .window import Window, some

if TYPE_CHECKING:
    from rad_fast._cpu import Arrivals


class Decider:
    """Takes or leaves points in their order. The thresholds are solved anew at fixed positions of the stream."""

    def __init__(self, pace: Pace, window: int, wanted: Wanted, seed: int, kernels: Backend) -> None:
        self.pace, self.wanted, self.seed, self.kernels = pace, wanted, seed, kernels
        self.said_used = self.said_doubt = False
        self._compiled = kernels if isinstance(kernels, Compiled) else None
        self.scoring: tuple[Any, ...] | None = None  # once it is known how all further rows are scored
        self.begin(1, window)

    def begin(self, classes: int, window: int) -> None:
        """Before the first point: how many classes have quotas, or 1 where none have."""
        self.window = Window(window, self.wanted.rate)
        self.course = unknown()
        self.solution = Solution(Equilibria(*np.array([[1.0, NOTHING, 0.0, 0.0]]).T.copy()), np.zeros(1))
        self.standing = Standing(np.array([0, 0, 0, MIDDLE]), self._phases(1), np.zeros(1))
        self.chosen = np.zeros(classes, np.int64)  # up to the solution, or up to now where one game serves all classes
        self.evidence: Evidence | None = None
        self._arrivals: Arrivals | None = None  # made again whenever the course, the standing or the ring are others

    def _phases(self, games: int) -> Float64s:
        """Where the running sum of each game starts."""
        return np.random.Generator(np.random.PCG64(self.seed)).random(games)

    def score(self, scoring: tuple[Any, ...]) -> None:
        """From now on all rows are scored like this."""
        self.scoring, self._arrivals = scoring, None

    def offer(self, logits: Any, student: Any, rows: int | None = None) -> Any:
        """Whether each row is taken: an array, or a bool for a single row; None where the rows are to be checked first.

        Of NumPy arrays; or of ``rows`` described by (address, dtype, classes, stride).
        """
        arrivals = self._arrivals
        if arrivals is None:
            if self._compiled is None:
                return None
            arrivals = self._renewed(self._compiled, 0)
        found = arrivals.offer(logits, student) if rows is None else arrivals.offer_at(logits, student, rows)
        if type(found) is not tuple:
            return found
        taken, gain, correctness, label, done, changed = found
        self._follow(changed)
        self._run(Points(gain, correctness, label), taken, done)
        return bool(taken[0]) if rows is None and logits.ndim == 1 else taken

    def decide(self, points: Points) -> Bools:
        """Which points are taken; none of their gains is NaN."""
        count = len(points.gain)
        if self.standing.counts[1] >= self.pace.most and count and not self.said_used:
            self.said_used = True
            self._arrivals = None
            inputs.say_budget_used(self.pace.most)
        taken = np.zeros(count, np.bool_)
        self._run(points, taken, 0)
        return taken

    def watch(self, points: Points) -> None:
        """Let points count for the thresholds alone."""
        self._arrivals = None
        for part in self._parts(points):
            self.window.put(part)
            if self.window.kept >= self.window.due:  # what is only watched is no evidence: the game is solved anyhow
                self._solve()
                self.window.next_due()

    def _run(self, points: Points, taken: Bools, done: int) -> None:
        """Decide points from ``done`` on, solving the game where it is time."""
        while done < len(taken):
            changed = False
            if self._compiled is not None:
                arrivals = self._arrivals
                if arrivals is None or not self.window.has_room(len(taken) - done):
                    arrivals = self._renewed(self._compiled, len(taken) - done)
                done, changed = arrivals.decide(*points[:3], taken, done)
            else:
                part = slice(done, min(len(taken), done + self.window.due - self.window.kept))
                self._decide_part(some(points, part), taken[part])
                done = part.stop
                if self.evidence is not None and self.window.kept >= self.window.due:
                    now = said_by(self.window.recent(), self.course, self.kernels)
                    changed = self.evidence.changed(now, self.window.step / self.window.size)
            if self.window.kept >= self.window.due:
                self._follow(changed)

    def _decide_part(self, points: Points, taken: Bools) -> None:
        """Points before the next look at the evidence."""
        taken[:] = self.kernels.decide(*points[:3], self.course, self.pace, self.standing)
        self.window.put(points)
        if len(self.chosen) != len(self.standing.got) and taken.any():
            self.chosen += np.bincount(points.label[taken], minlength=len(self.chosen))

    def _renewed(self, kernels: Compiled, count: int) -> Arrivals:
        """What decides points in one call, with room for so many."""
        window, evidence = self.window, self.evidence
        window.room(count)
        spans = window.size, window.step, window.must(self.wanted.quotas is not None)
        arrivals: Arrivals = kernels.arrivals(
            self.course, self.pace, self.standing, window.points, window.places, spans
        )
        if len(self.chosen) != len(self.standing.got):
            arrivals.count_chosen(self.chosen)
        if evidence is not None:
            numbers = (evidence.limit, ERRORS, KEPT, window.step / window.size)
            arrivals.weigh(*evidence.found, evidence.precision, evidence.came, evidence.sums, evidence.weights, numbers)
        if self.scoring is not None:
            arrivals.score(*self.scoring)
        if self.said_used:
            arrivals.say_nothing_more()
        self._arrivals = arrivals
        return arrivals

    def _parts(self, points: Points) -> Iterator[Points]:
        """The points, cut where the thresholds are solved."""
        begin = 0
        while begin < len(points.gain):
            end = begin + self.window.due - self.window.kept
            yield some(points, slice(begin, end))
            begin = end

    def _follow(self, changed: bool) -> None:
        """It was time to look at the evidence: solve the game again where it calls for that."""
        window = self.window
        try:
            if changed:
                window.change()
            share = self.wanted.quotas is not None and window.kept >= window.shared
            if changed or self.evidence is None or window.settles() or (share and not self._share()):
                self._solve()
        finally:  # a warning may be an error
            window.next_due()

    def _share(self) -> bool:
        """Share out quotas again; False where they moved so far that the games are to be solved."""
        window, (counts, _, got) = self.window, self.standing
        found = shared_out(window.held(), self.wanted, self._all_chosen(), self.kernels, window.windows())
        if not alike(self.solution.quotas, found.quotas):
            return False
        self.chosen = self._all_chosen()
        self.solution = self.solution._replace(quotas=found.quotas)
        self.course.due[:] = found.quotas / window.size
        counts[2], got[:] = counts[0], 0.0
        window.share()
        self._arrivals = None
        return True

    def _all_chosen(self) -> Int64s:
        got = self.standing.got
        return self.chosen + got.astype(np.int64) if len(got) == len(self.chosen) else self.chosen

    def _solve(self) -> None:
        window, held, wanted = self.window, self.window.held(), self.wanted
        full = window.due >= window.size
        counts, phase, _ = self.standing
        self.chosen, found = self._all_chosen(), None
        if full and wanted.quotas is not None:  # before, too few of each class: they make up for it later
            found = shared_out(held, wanted, self.chosen, self.kernels, window.windows())
        if full:
            window.share()
        self.solution = solved(held, wanted, self.kernels, found)
        self.course = course_of(held, self.solution, wanted, self.kernels, found is not None)
        games = len(self.course.price)
        phase = phase if games == len(phase) else self._phases(games)
        self.standing = Standing(np.array([counts[0], counts[1], counts[0], MIDDLE]), phase, np.zeros(games))
        self._arrivals = None
        if full:
            self.evidence = Evidence(expected(held, self.course, self.kernels))
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
        self._arrivals = None
        self.window.load(state["window"])
        self.course = Course(*(np.array(state["course"][name]) for name in Course._fields))
        answers = Equilibria(*(np.array(field) for field in state["equilibria"]))
        self.solution = Solution(answers, np.array(state["quotas"]))
        self.standing = Standing(*(np.array(state["standing"][name]) for name in Standing._fields))
        self.evidence = None if state["evidence"] is None else Evidence.of(state["evidence"])
        self.chosen = np.array(state["chosen"])
        self.said_used, self.said_doubt = (bool(said) for said in state["said"])
