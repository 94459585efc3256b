"""The points of a game in host memory, in one array or in chunks, as the solver wants to see them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from rad_fast.device.backends import Backend, Compiled, Float32s
from rad_fast.kernels.reference.game import Box, Equilibrium, Sums
from rad_fast.kernels.reference.score import Points

from .solver import Counts, Steps

COUNTED = 1 << 20  # points sorted at a time where they are counted: all at once took 26 bytes per point


class ArrayPool:
    """Points in chunks, summed by a backend. Where a chunk ends changes nothing that the solver sees."""

    def __init__(self, chunks: Sequence[tuple[Float32s, Float32s]], backend: Backend) -> None:
        self.chunks = chunks
        self.backend = backend

    @classmethod
    def of(cls, chunks: Sequence[Points], backend: Backend) -> ArrayPool:
        return cls([(chunk.gain, chunk.correctness) for chunk in chunks], backend)

    @cached_property
    def size(self) -> int:
        return sum(len(gain) for gain, _ in self.chunks)

    def peek(self, count: int) -> tuple[Float32s, Float32s]:
        return self.at(spread(count, self.size))

    def at(self, places: npt.NDArray[np.int64]) -> tuple[Float32s, Float32s]:
        """Gain and correctness at ascending places."""
        gains, values, begin = [], [], 0
        for gain, correctness in self.chunks:
            end = begin + len(gain)
            here = places[np.searchsorted(places, begin) : np.searchsorted(places, end)] - begin
            gains.append(gain[here])
            values.append(correctness[here])
            begin = end
        return joined(gains), joined(values)

    def reduce(self, box: Box) -> tuple[Sums, ArrayPool]:
        total, undecided = Sums(), []
        for gain, correctness in self.chunks:
            sums, *rest = self.backend.reduce(gain, correctness, box)
            total = total.add(sums)
            if len(rest[0]):
                undecided.append((rest[0], rest[1]))
        return total, ArrayPool(undecided, self.backend)

    def solved(self, budget: float, mistakes: float, steps: Steps) -> Equilibrium | None:
        """The answer where the backend has the solver, too, and finds it in one go."""
        if not isinstance(self.backend, Compiled):
            return None
        return self.backend.solve(self.chunks, budget, mistakes, steps, drawn(max(steps.sample, steps.most_sampled)))

    def distinct(self) -> tuple[Float32s, Float32s, Counts]:
        parts = []
        for gain, correctness in self.chunks:
            for begin in range(0, len(gain), COUNTED):
                part = slice(begin, begin + COUNTED)
                keys, counts = np.unique(packed(gain[part], correctness[part]), return_counts=True)
                parts.append((*unpacked(keys), counts))
        return counted(parts)


def counted(parts: Sequence[tuple[Float32s, Float32s, Counts]]) -> tuple[Float32s, Float32s, Counts]:
    """The distinct pairs of several counts, and how often each comes in all."""
    keys, counts = np.empty(0, np.uint64), np.empty(0, np.int64)
    for gain, correctness, times in parts:
        keys, at = np.unique(np.concatenate([keys, packed(gain, correctness)]), return_inverse=True)
        both = np.concatenate([counts, times])
        counts = np.zeros(len(keys), np.int64)
        np.add.at(counts, at, both)
    return *unpacked(keys), counts


def joined(arrays: Sequence[Float32s]) -> Float32s:
    return np.concatenate(arrays) if arrays else np.empty(0, np.float32)


def packed(gain: Float32s, correctness: Float32s) -> npt.NDArray[np.uint64]:
    """Both numbers of a point in one key: their bits, gain above."""
    return (gain.view(np.uint32).astype(np.uint64) << np.uint64(32)) | correctness.view(np.uint32)


def unpacked(keys: npt.NDArray[np.uint64]) -> tuple[Float32s, Float32s]:
    return (keys >> np.uint64(32)).astype(np.uint32).view(np.float32), keys.astype(np.uint32).view(np.float32)


def spread(count: int, size: int) -> npt.NDArray[np.int64]:
    """One place from each of ``count`` equal stretches of 0..size-1, at random, ascending; all where they suffice.

    Random within each stretch: a fixed stride could fall in step with data that repeats. The generator is fixed: the
    answer does not depend on the sample, only the time to find it does.
    """
    if count >= size:
        return np.arange(size)
    places = (np.arange(count) + drawn(count)[:count]) * (size / count)
    return np.minimum(places.astype(np.int64), size - 1)


@lru_cache(maxsize=8)
def drawn(count: int) -> npt.NDArray[np.float64]:
    """The generator's first numbers in [0, 1): the same, however many are asked for."""
    return np.random.Generator(np.random.PCG64(0)).random(count)
