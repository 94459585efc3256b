"""Streams beside hindsight: what is lost by deciding at once, for rates and slacks, and the time it takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np

import rad_fast
from rad_fast.device.backends import load
from rad_fast.kernels.reference.score import Rule, empty_points
from rad_fast.stream import StreamSelector

from .hindsight import beside
from .sets import both

RATES, SLACKS = (0.01, 0.05, 0.2), (1.0, None, 16.0)


def table(seeds: int) -> Iterator[str]:
    """One row a set, rate and slack: means over seeds."""
    yield "| set | rate | slack | off the rate | overlap | regret | effective gain | labels right | in hindsight |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    for name in ("digits", "banking77"):
        for rate in RATES:
            for slack in SLACKS:
                found = [row(name, seed, rate, slack) for seed in range(seeds)]
                if None in found:
                    continue
                lead, *shares = np.mean([each for each in found if each is not None], axis=0)
                used = f"{StreamSelector(rate, slack=slack).slack:g}{' (default)' if slack is None else ''}"
                cells = " | ".join(f"{share:.1%}" for share in shares)
                yield f"| {name} | {rate:.0%} | {used} | {lead:.1f} | {cells} |"


def row(name: str, seed: int, rate: float, slack: float | None) -> tuple[float, ...] | None:
    """The large model teaches the small one; correctness is calibrated on both."""
    two = both(name, seed)
    if two is None:
        return None
    held, rest = slice(0, two.labelled), slice(two.labelled, None)
    teacher, student, truth = two.large, two.small, two.truth
    if name == "banking77":  # zero-shot, and right less often: that is what there is to be robust against
        teacher, student = student, teacher
    calibrator = rad_fast.Calibrator().fit(teacher[held], truth[held], student[held])
    found = beside(teacher[rest], rate, None, student[rest], calibrator, slack=slack)
    right = teacher[rest].argmax(1) == truth[rest]
    lead = np.abs(np.cumsum(found.taken) - rate * np.arange(1, len(right) + 1)).max()
    return lead, found.overlap, found.regret, found.gain, right[found.taken].mean(), right[found.selected].mean()


def times() -> Iterator[str]:
    """Medians of many turns; scoring and deciding alternate."""
    rows = np.random.default_rng(0).normal(0, 5, (20_000, 100)).astype(np.float32)
    kernels, points = load("cpp"), empty_points(1000)
    stream = StreamSelector(0.01, quotas=None).watch(rows)
    one = [timed(lambda row=row: stream.offer(row)) for row in rows[:5000]]
    batch, scored = [], []
    for begin in range(0, 20_000, 1000):
        part = rows[begin : begin + 1000]
        batch.append(timed(lambda part=part: stream.offer(part)))
        scored.append(timed(lambda part=part: kernels.appraise(part, None, Rule(), None, points)))
    yield "| 100 classes, float32, C++ | microseconds |"
    yield "|---|---:|"
    middle, mean, late = np.median(one), np.mean(one), np.quantile(one, 0.99)
    yield f"| one point: median; 99%; mean, with solving | {middle:.1f}; {late:.1f}; {mean:.1f} |"
    yield f"| 1,000 points at a time: median | {np.median(batch):.0f} |"
    yield f"| scoring them alone: median | {np.median(scored):.0f} |"


def timed(call: Callable[[], object]) -> float:
    """Microseconds."""
    began = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - began) / 1e3
