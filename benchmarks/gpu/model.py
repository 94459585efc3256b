"""What counts of instructions and bytes come to on a GPU: the model, and what it assumes.

A prediction, from before any of it was measured: an H200 (benchmarks/FACTS.md) showed that latency, which is left out
here, had cost most. A kernel is bound by the memory or by the unit that is busiest; the predicted share of a streaming
read is 0.87 of the ratio of the two, and never above 0.92, as kernels that are bound by one thing usually reach so much
of it.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from benchmarks.gpu.sass import RATES

USUAL, MOST = 0.87, 0.92
LATENCY = 700e-9  # seconds from a load to its data, with the memory busy


class Gpu(NamedTuple):
    name: str
    multiprocessors: int
    clock: float  # Hz
    read: float  # bytes/s of a streaming read

    @property
    def bytes_a_clock(self) -> float:
        """Of one multiprocessor's share of a read."""
        return self.read / self.multiprocessors / self.clock

    @property
    def in_flight(self) -> float:
        """Bytes that a multiprocessor has to have asked for so that the memory is never idle."""
        return self.read * LATENCY / self.multiprocessors


GPUS = (Gpu("H100", 132, 1.98e9, 3.10e12), Gpu("H200", 132, 1.98e9, 4.35e12), Gpu("B200", 148, 1.96e9, 7.30e12))


class Cost(NamedTuple):
    """For one row, or one point: instructions of a warp by unit, and bytes read and written."""

    units: dict[str, float]
    nbytes: float

    @property
    def instructions(self) -> float:
        return sum(self.units.values())

    def clocks(self) -> tuple[str, float]:
        """The busiest unit of a multiprocessor, and for how many clocks."""
        busy = {"issue": self.instructions / RATES["issue"]}
        for unit, count in self.units.items():
            shared = count + self.units.get("imad", 0) / 2 if unit == "fma" else count
            busy[unit] = shared / RATES.get(unit, RATES["issue"])
        name = max(busy, key=lambda unit: busy[unit])
        return name, busy[name]

    def share(self, gpu: Gpu) -> float:
        """Of a read's bandwidth, predicted."""
        return min(MOST, USUAL * self.nbytes / gpu.bytes_a_clock / self.clocks()[1])

    def seconds(self, gpu: Gpu, count: float) -> float:
        return count * self.nbytes / gpu.read / self.share(gpu)


def times(units: Counter[str] | dict[str, float], factor: float) -> dict[str, float]:
    return {unit: count * factor for unit, count in units.items()}


def added(*parts: dict[str, float]) -> dict[str, float]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)  # type: ignore[arg-type]
    return dict(total)


def resident(registers: int, threads: int, shared: int) -> int:
    """Blocks that a multiprocessor of compute capability 9.0 has at once."""
    warps = threads // 32
    allotted = -(-registers * 32 // 256) * 256
    return min(65536 // 4 // allotted * 4 // warps, 2048 // threads, 32, (228 << 10) // (shared + 1024))
