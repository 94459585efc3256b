"""What a selection leaves in CUDA memory, in one piece: what was counted, and each point's gain, correctness and label.

One allocation takes a library some microseconds, as long as a small kernel. The arrays are made of it when they are
asked for; who wants the indices alone never does.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from . import arrays
from .arrays import CudaArray, Room, kernels

ALIGNED = 256  # bytes, as an allocation of CUDA's


class Places(NamedTuple):
    """Bytes from the beginning, where the account is, and how many bytes it takes; the bytes that the stages need."""

    gain: int
    correctness: int
    label: int
    other: int
    size: int
    account: int
    solve: int
    sample: int


@lru_cache(maxsize=64)
def places(points: int, others: bool = False, classes: int = 0) -> Places:
    """Where things lie of so many points; ``others``: with each one's likeliest other class. Of so many ``classes``
    the account has the points of each, else the one equilibrium."""
    module = kernels()
    account = module.findings_bytes + (24 * classes or module.solution_bytes + module.drawn_bytes)
    gain = aligned(account)
    correctness = gain + aligned(4 * points)
    label = correctness + aligned(4 * points)
    other = label + aligned(4 * points)
    size = other + points if others else label + 4 * points
    needed = module.solve_workspace(points), module.sample_workspace(points)
    return Places(gain, correctness, label, other, size, account, *needed)


def aligned(size: int) -> int:
    return -(-size // ALIGNED) * ALIGNED


class Packed:
    """The points of a selection, with the fields of ``cuda.Points``."""

    def __init__(self, like: CudaArray, memory: Any, points: int, at: Places, others: bool = False) -> None:
        self.points, self.at, self.others = points, at, others
        self.memory = memory
        self.library = arrays.library_of(like)  # not the logits: they would stay as long as their points
        self.status = Room(arrays.address_in(memory), places(points).account, like.device, like.stream, memory)

    def addresses(self) -> tuple[int, int, int, int]:
        """Of gain, correctness, label and other."""
        at, first = self.at, self.status.address
        other = first + at.other if self.others else 0
        return first + at.gain, first + at.correctness, first + at.label, other

    def described(self) -> CudaArray:
        """Where the gain lies, in the library that the memory is of."""
        first, room = self.addresses()[0], self.status
        return CudaArray(first, "float32", (self.points,), (1,), room.device, room.stream, self.memory)

    @property
    def gain(self) -> Any:
        return self.field(self.at.gain, "float32")

    @property
    def correctness(self) -> Any:
        return self.field(self.at.correctness, "float32")

    @property
    def label(self) -> Any:
        return self.field(self.at.label, "int32")

    @property
    def other(self) -> Any:
        return self.field(self.at.other, "uint8") if self.others else None

    def field(self, begin: int, dtype: str) -> Any:
        return arrays.in_library(self.library, arrays.part_of(self.memory, begin, self.points, dtype))
