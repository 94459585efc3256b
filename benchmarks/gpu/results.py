"""What the parts of the GPU report have measured, as ratios, bandwidths and times: medians with 20/80 quantiles.

A ratio is of contenders that took turns in one case, turn by turn. A bandwidth is of the bytes that a contender must
read and write at the least, whatever it does read and write.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rad_fast.bench import record
from rad_fast.bench.peers import OURS, READ
from rad_fast.bench.timing import Spread, each_faster, spread

NONE = Spread(math.nan, math.nan, math.nan)


@dataclass
class Measured(record.Measured):
    """A case of the report; ``numbers``: of what is no time, by contender."""

    numbers: dict[str, float] = field(default_factory=dict)

    def backends(self) -> list[str]:
        """rad_fast's contenders."""
        return [name for name in self.seconds if name.startswith(f"{OURS} ") and self.seconds[name]]

    def peers(self) -> list[str]:
        return [name for name in self.seconds if not name.startswith(f"{OURS} ") and self.seconds[name]]

    def time(self, contender: str) -> Spread:
        """Seconds."""
        return spread(self.seconds.get(contender, []))

    def bandwidth(self, contender: str) -> Spread:
        """GB/s."""
        size = self.traffic.get(contender, 0)
        return spread([size / seconds / 1e9 for seconds in self.seconds.get(contender, []) if size])

    def faster(self, ours: str, peer: str) -> Spread:
        """How many times as fast as a peer."""
        return each_faster(self.seconds, ours, peer)

    def of_read(self, contender: str) -> Spread:
        """Its bandwidth, of that of the streaming read beside it."""
        if not self.traffic.get(contender) or not self.traffic.get(READ):
            return NONE
        scale = self.traffic[contender] / self.traffic[READ]
        return Spread(*(scale * value for value in self.faster(contender, READ)))

    def reads(self, contender: str) -> Spread:
        """Its time, in times of the streaming read of the same logits."""
        return each_faster(self.seconds, READ, contender)


def cases(found: Mapping[str, Any], stage: str = "") -> Iterator[Measured]:
    """The cases of a stage, or all, in the order in which they were measured."""
    for data in found.get("groups", {}).values():
        for case in (data or {}).get("cases", []):
            if stage in ("", case["about"].get("stage")):
                yield Measured(**case)


def known(value: Spread) -> bool:
    return not math.isnan(value.median)


def backend(contender: str) -> str:
    """The backend that one of rad_fast's contenders is, as the page calls it."""
    return contender.removeprefix(f"{OURS} ")
