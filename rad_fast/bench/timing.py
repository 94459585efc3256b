"""Contenders that take turns, and the ratios of their times.

A case is an input and its contenders, rad_fast's stage first and its peers beside it. Times are compared within a case
only: its contenders take turns, so that whatever else the machine does meets all of them alike.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

Work = Callable[[], object]
Clock = Callable[[Work], float]  # seconds that a piece of work takes
Seconds = dict[str, list[float]]  # of every turn of every contender


@dataclass(frozen=True)
class Case:
    """An input of ``points`` points and what is measured on it; ``sparing`` contenders are slow and take few turns.

    ``traffic`` is how many bytes a contender must read and write at the least: bandwidths are of these. ``about`` says
    what the name says, for programs: stage, device, classes, dtype.
    """

    name: str
    points: int
    contenders: Mapping[str, Work]
    sparing: frozenset[str] = field(default_factory=frozenset)
    traffic: Mapping[str, int] = field(default_factory=dict)
    about: Mapping[str, str | int] = field(default_factory=dict)


def wall(work: Work) -> float:
    """From the call to its return, what the host sees."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def cuda_events(ahead: Work | None = None) -> Clock:
    """From event to event on torch's current stream: the time on the device, without the launches before it.

    ``ahead`` is enqueued first: while the device is busy with it the host launches what is timed, which then begins
    without waiting for the host.
    """
    import torch

    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def clock(work: Work) -> float:
        if ahead is not None:
            ahead()
        begin.record()
        work()
        end.record()
        end.synchronize()
        return float(begin.elapsed_time(end)) / 1e3

    return clock


def measure(
    case: Case, rounds: int, sparing_rounds: int, clock: Clock = wall, failed: dict[str, str] | None = None
) -> Seconds:
    """Every contender's turns; they take turns, after one turn each that is not counted.

    Where ``failed`` is given a contender that raises in its uncounted turn takes no more, and its reason goes there.
    """
    seconds: Seconds = {name: [] for name in case.contenders}
    for turn in range(-1, rounds):
        for name, work in case.contenders.items():
            if name not in seconds or (name in case.sparing and turn >= sparing_rounds):
                continue
            try:
                taken = clock(work)
            except Exception as error:
                if failed is None or turn >= 0:
                    raise
                failed[name] = reason(error)
                del seconds[name]
                continue
            if turn >= 0:
                seconds[name].append(taken)
    return seconds


def reason(error: Exception) -> str:
    """What an error says, in one line: compilers' run over pages."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first[:160]}" if first else type(error).__name__


class Spread(NamedTuple):
    """A median, and the quantiles that a fifth of the values lies below and above."""

    median: float
    low: float
    high: float


def spread(values: list[float]) -> Spread:
    """NaN where there are no values."""
    if not values:
        return Spread(math.nan, math.nan, math.nan)
    low, median, high = np.quantile(values, (0.2, 0.5, 0.8))
    return Spread(float(median), float(low), float(high))


def each_faster(seconds: Seconds, ours: str, peer: str) -> Spread:
    """How many times as fast as a peer, turn by turn; NaN where the peer is not installed."""
    return spread([b / a for a, b in zip(seconds.get(ours, ()), seconds.get(peer, ()), strict=False)])


def present(contenders: Mapping[str, Work | None]) -> dict[str, Work]:
    """The contenders that are installed."""
    return {name: work for name, work in contenders.items() if work is not None}


def only(case: Case, names: Collection[str]) -> Case:
    """The case with these of its contenders."""
    return replace(case, contenders={name: work for name, work in case.contenders.items() if name in names})
