"""Scores in memory: blocks that a selection's points are kept in, as workdir.ScoreFiles keeps them on the disk."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import numpy.typing as npt

from rad_fast.kernels.reference.score import Points, empty_points

# Points in a block, once there are many: 64 MiB a field. Beyond 32 MiB C libraries take memory from the system itself,
# and give it back when it is freed: what smaller pieces leave behind between others stayed, up to 12 bytes per point.
BLOCK = 1 << 24
# Bytes of a block that ``let_go`` keeps for whoever asks next: the first touch of fresh pages takes up to a third of a
# selection.
MOST_SPARE = 64 << 20
SPARE: list[Points] = []


class ScoreBlocks:
    """Gain, correctness and label of points in blocks that are filled as points come.

    ``room`` gives the place for the next points, ``keep`` says that they are there to stay. What is never written in a
    block takes no memory.
    """

    whole = False  # whether gains of excluded points are kept, too

    def __init__(self) -> None:
        self.before = Pieces([])
        self.made: list[Points] = []
        self.blocks: list[Points] = []
        self.used: list[int] = []
        self.rows = 0

    def room(self, rows: int) -> Points:
        """The place of the next ``rows`` points."""
        if not self.blocks or len(self.blocks[-1].gain) - self.used[-1] < rows:
            if self.used and not self.used[-1]:  # room of a chunk that failed
                self.blocks.pop(), self.used.pop()
            self.made.append(block_of(max(rows, min(self.rows, BLOCK))))
            self.blocks.append(self.made[-1])
            self.used.append(0)
        begin = self.used[-1]
        return part(self.blocks[-1], begin, begin + rows)

    def keep(self, points: Points) -> None:
        """Keep the next points; those that were not written in their ``room`` become a block of their own."""
        rows = len(points.gain)
        last = self.blocks[-1].gain if self.blocks else None
        if last is None or points.gain.base is not last:
            self.blocks.append(points)
            self.used.append(0)
        self.used[-1] += rows
        self.rows += rows

    def settled(self) -> Pieces:
        """All points that are kept; what comes later goes to other blocks."""
        blocks = zip(self.blocks, self.used, strict=True)
        new = [block if used == len(block.gain) else part(block, 0, used) for block, used in blocks if used]
        if new:
            self.before = Pieces([*self.before.pieces, *new])
            self.blocks, self.used = [], []
        return self.before

    def let_go(self) -> None:
        """Nobody holds the points any more: a block of theirs may be another's, the next time."""
        if len(self.made) == 1 and sum(field.nbytes for field in self.made[0] if field is not None) <= MOST_SPARE:
            SPARE[:] = self.made


def block_of(rows: int) -> Points:
    """A block with room for so many points: the spare one where it has."""
    with contextlib.suppress(IndexError):  # another thread may have been faster
        spare = SPARE.pop()
        if rows <= len(spare.gain):
            return spare
    return empty_points(rows, other=True)


class Pieces:
    """Points in pieces, put together when they are asked for as one: who wants the indices alone never does."""

    def __init__(self, pieces: list[Points]) -> None:
        self.pieces = pieces

    def joined(self) -> Points:
        """All points in one piece; one field after the other, so that little is held twice."""
        if len(self.pieces) > 1:
            gains, correctnesses, labels, others = (list(parts) for parts in zip(*self.pieces, strict=True))
            self.pieces = []
            other = None if any(part is None for part in others) else emptied(others)
            self.pieces = [Points(emptied(gains), emptied(correctnesses), emptied(labels), other)]
        return self.pieces[0] if self.pieces else empty_points(0)


def part(points: Points, begin: int, end: int) -> Points:
    gain, correctness, label, other = points
    return Points(
        gain[begin:end], correctness[begin:end], label[begin:end], None if other is None else other[begin:end]
    )


def emptied(pieces: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """The pieces joined; they are let go."""
    whole = np.concatenate(pieces)
    pieces.clear()
    return whole
