"""The last points of a stream, 12 bytes each: what the thresholds are solved on."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rad_fast.kernels.reference.score import Points, empty_points

LOOKS = 2  # at the evidence in a window's length: each costs as much as some hundred decisions of a batch
NEVER = 1 << 62
MOST_WINDOWS = 64  # between two times that quotas are shared out: each costs as much as some hundred decisions


def some(points: Points, at: slice | npt.NDArray[Any]) -> Points:
    """Some of the points."""
    return Points(points.gain[at], points.correctness[at], points.label[at])


class Window:
    """A ring of the last ``size`` points. ``kept`` counts all that went in; it alone says when to solve again."""

    def __init__(self, size: int, rate: float) -> None:
        self.points = empty_points(0)
        self.size = size
        self.places = np.zeros(2, np.int64)  # kept, due: the compiled backend counts on in them
        # Half of the points of which one is taken are watched before the first is: thresholds of fewer mean little.
        self.first = min(size, max(16, int(np.ceil(0.5 / rate))))
        self.places[1] = self.first
        self.changed = self.settled = 0  # the last change, and when the window holds only points since one
        self.shared = 0  # when quotas are shared out again

    @property
    def kept(self) -> int:
        return int(self.places[0])

    @property
    def due(self) -> int:
        """How many points will have been kept when the evidence is next looked at."""
        return int(self.places[1])

    def put(self, points: Points) -> None:
        """Keep points, at most up to the next solution."""
        count = len(points.gain)
        begin = self.room(count)
        end = begin + count
        for ring, values in zip(self.points[:3], points[:3], strict=True):
            if end <= self.size:
                ring[begin:end] = values
            else:
                ring[begin:] = values[: self.size - begin]
                ring[: end - self.size] = values[self.size - begin :]
        self.places[0] += count

    def room(self, count: int) -> int:
        """Where in the ring points to come begin. A window of a million is not asked for before there are so many."""
        needed = min(self.size, self.kept + count)
        if needed > len(self.points.gain):
            larger = empty_points(min(self.size, max(64, 2 * needed)))
            for new, old in zip(larger[:3], self.points[:3], strict=True):
                new[: len(old)] = old
            self.points = larger
        return self.kept % self.size

    def has_room(self, count: int) -> bool:
        return min(self.size, self.kept + count) <= len(self.points.gain)

    def held(self) -> Points:
        """The points, in the order of the ring: the same for the same stream, however it was cut."""
        count = min(self.kept, self.size)
        return some(self.points, slice(count))

    def recent(self) -> Points:
        """The points since the last look, in their order."""
        begin, end = ((self.kept - back) % self.size for back in (self.step, 0))
        if begin < end or end == 0:
            return some(self.points, slice(begin, end or self.size))
        gain, correctness, label = (np.concatenate([ring[begin:], ring[:end]]) for ring in self.points[:3])
        return Points(gain, correctness, label)

    @property
    def step(self) -> int:
        """From one look at the evidence to the next, once the window is full."""
        return max(1, self.size // LOOKS)

    def next_due(self) -> None:
        """The next position at which to look: twice as far until the window is full, then LOOKS times a window."""
        due = self.due
        while due <= self.kept:
            due = min(self.size, 2 * due) if due < self.size else due + self.step
        self.places[1] = due

    def must(self, shares: bool) -> int:
        """When the game is solved whatever the evidence; ``shares``: quotas are shared out."""
        times = [time for time in (self.settled, self.shared if shares else 0) if time]
        return min(times, default=NEVER)

    def change(self) -> None:
        """The points changed since the last look: solved now, and again when those before it have left the window."""
        self.changed = self.kept
        if not self.settled:
            self.settled = self.kept + (LOOKS - 1) * self.step

    def settles(self) -> bool:
        """Whether this is when those before a change have left; asked once a look."""
        if not self.settled or self.kept < self.settled:
            return False
        after = self.changed + (LOOKS - 1) * self.step
        self.settled = after if after > self.kept else 0
        return True

    def windows(self) -> int:
        """How many windows quotas are shared out for: a power of two that grows with the stream."""
        return min(MOST_WINDOWS, 1 << (max(1, (self.kept - self.size) // self.size).bit_length() - 1))

    def share(self) -> None:
        """Quotas are shared out now."""
        self.shared = self.kept + self.windows() * self.size

    def state(self) -> dict[str, Any]:
        held = self.held()
        return {
            "gain": held.gain.copy(),
            "correctness": held.correctness.copy(),
            "label": held.label.copy(),
            "kept": self.kept,
            "due": self.due,
            "changes": [self.changed, self.settled, self.shared],
        }

    def load(self, state: dict[str, Any]) -> None:
        self.points = Points(*(np.array(state[name]) for name in ("gain", "correctness", "label")))
        self.places = np.array([state["kept"], state["due"]], np.int64)
        self.changed, self.settled, self.shared = (int(position) for position in state["changes"])
