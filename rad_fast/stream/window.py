"""The last points of a stream, 12 bytes each: what the thresholds are solved on."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rad_fast.kernels.reference.score import Points, empty_points

SOLVES = 4  # times in a window's length: each costs as much as some hundred decisions


def some(points: Points, at: slice | npt.NDArray[Any]) -> Points:
    """Some of the points."""
    return Points(points.gain[at], points.correctness[at], points.label[at])


class Window:
    """A ring of the last ``size`` points. ``kept`` counts all that went in; it alone says when to solve again."""

    def __init__(self, size: int, rate: float) -> None:
        self.points = empty_points(0)
        self.size, self.kept = size, 0
        # Half of the points of which one is taken are watched before the first is: thresholds of fewer mean little.
        self.first = min(size, max(16, int(np.ceil(0.5 / rate))))
        self.due = self.first

    def put(self, points: Points) -> None:
        """Keep points, at most up to the next solution."""
        begin = self.kept % self.size
        count = len(points.gain)
        self._room(min(self.size, self.kept + count))
        if count == 1:  # a third of the time of what follows
            for ring, values in zip(self.points[:3], points[:3], strict=True):
                ring[begin] = values[0]
            self.kept += 1
            return
        first = min(count, self.size - begin)
        for ring, values in zip(self.points[:3], points[:3], strict=True):
            ring[begin : begin + first] = values[:first]
            ring[: count - first] = values[first:]
        self.kept += count

    def _room(self, needed: int) -> None:
        """A window of a million points is not asked for before there are so many."""
        if needed > len(self.points.gain):
            larger = empty_points(min(self.size, max(64, 2 * needed)))
            for new, old in zip(larger[:3], self.points[:3], strict=True):
                new[: len(old)] = old
            self.points = larger

    def held(self) -> Points:
        """The points, in the order of the ring: the same for the same stream, however it was cut."""
        count = min(self.kept, self.size)
        return some(self.points, slice(count))

    def next_due(self) -> None:
        """The next position at which to solve: twice as far until the window is full, then SOLVES times a window."""
        while self.due <= self.kept:
            step = max(1, self.size // SOLVES)
            self.due = min(self.size, 2 * self.due) if self.due < self.size else self.due + step

    @property
    def turned(self) -> bool:
        """Whether, of the positions at which to solve, this is one in SOLVES: about a window after the last such."""
        return (self.kept - self.size) // max(1, self.size // SOLVES) % SOLVES == 0

    def state(self) -> dict[str, Any]:
        held = self.held()
        return {
            "gain": held.gain.copy(),
            "correctness": held.correctness.copy(),
            "label": held.label.copy(),
            "kept": self.kept,
            "due": self.due,
        }

    def load(self, state: dict[str, Any]) -> None:
        self.points = Points(*(np.array(state[name]) for name in ("gain", "correctness", "label")))
        self.kept, self.due = int(state["kept"]), int(state["due"])
