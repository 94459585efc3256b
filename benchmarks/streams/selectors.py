"""Streams beside hindsight: what is lost by deciding at once, for rates and slacks, and the time it takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

import rad_fast
from rad_fast.device.backends import Compiled, address, layout
from rad_fast.kernels.reference.score import Rule, empty_points
from rad_fast.stream import StreamSelector

from .hindsight import beside
from .sets import both

RATES, SLACKS = (0.01, 0.05, 0.2), (1.0, None, 16.0)


HEAD = "set rate slack quotas off_the_rate overlap regret effective_gain other_classes labels_right in_hindsight"


def table(seeds: int) -> Iterator[str]:
    """One row a set, rate, slack and kind of game: means over seeds."""
    names = [name.replace("_", " ") for name in HEAD.split()]
    yield f"| {' | '.join(names)} |"
    yield "|---|---:|---:|---|" + "---:|" * (len(names) - 4)
    for name in ("digits", "banking77"):
        for rate in RATES:
            for slack in SLACKS:
                for quotas in (None, "auto"):
                    found = [row(name, seed, rate, slack, quotas) for seed in range(seeds)]
                    if None in found:
                        continue
                    lead, *shares = np.mean([each for each in found if each is not None], axis=0)
                    used = f"{StreamSelector(rate, slack=slack).slack:g}{' (default)' if slack is None else ''}"
                    cells = " | ".join(f"{share:.1%}" for share in shares)
                    yield f"| {name} | {rate:.0%} | {used} | {quotas} | {lead:.1f} | {cells} |"


def row(name: str, seed: int, rate: float, slack: float | None, quotas: str | None) -> tuple[float, ...] | None:
    """The large model teaches the small one; correctness is calibrated on both."""
    two = both(name, seed)
    if two is None:
        return None
    held, rest = slice(0, two.labelled), slice(two.labelled, None)
    teacher, student, truth = two.large, two.small, two.truth
    if name == "banking77":  # zero-shot, and right less often: that is what there is to be robust against
        teacher, student = student, teacher
    calibrator = rad_fast.Calibrator().fit(teacher[held], truth[held], student[held])
    found = beside(teacher[rest], rate, None, student[rest], calibrator, quotas, slack=slack)
    right = teacher[rest].argmax(1) == truth[rest]
    lead = np.abs(np.cumsum(found.taken) - rate * np.arange(1, len(right) + 1)).max()
    worth = (found.overlap, found.regret, found.gain, found.apart)
    return lead, *worth, right[found.taken].mean(), right[found.selected].mean()


def times() -> Iterator[str]:
    """Medians of many turns, and means of processor time, which others on the machine do not lengthen."""
    columns = [measured(classes, quotas) for classes in (100, 10) for quotas in (None, "auto")]
    yield "| float32, C++; microseconds | C = 100, `quotas=None` | by default | C = 10, `quotas=None` | by default |"
    yield "|---|---:|---:|---:|---:|"
    for name, *found in zip(TIMES, *columns, strict=True):
        yield f"| {name} | {' | '.join(f'{number:.3g}' for number in found)} |"


def measured(classes: int, quotas: str | None) -> list[float]:
    """One column: scoring and offering the same batches in turn, each of the calls as often the first."""
    rows = np.random.default_rng(0).normal(0, 5, (20_000, classes)).astype(np.float32)
    kernels, points = Compiled(), empty_points(1000)
    parts = [rows[begin : begin + 1000] for begin in range(0, 20_000, 1000)] * 5
    stream = StreamSelector(0.01, quotas=quotas).watch(rows)
    one, of_one = timed(stream.offer, rows)
    at = [address(values) for values in points[:3]]
    calls: list[tuple[Callable[[Any], object], list[Any]]] = [
        (lambda part: kernels.module.appraise(part, None, 1000, 0, (), 0, *at, False, 0, 1), list(map(layout, parts))),
        (lambda part: kernels.appraise(part, None, Rule(), None, points), parts),
        (stream.offer, parts),
    ]
    each: list[list[float]] = [[], [], []]
    spent = np.zeros((TURNS, 3))
    for turn in range(TURNS):
        for k in np.roll(range(3), turn).tolist():
            found, spent[turn, k] = timed(*calls[k])
            each[k] += found
    kernel, scored, batch = spent.mean(axis=0)
    medians = [float(np.median(times)) for times in each]
    single = [float(np.median(one)), float(np.quantile(one, 0.99)), of_one]
    return [*single, *medians, kernel, scored, batch, batch / scored, batch / kernel]


TIMES = (
    "one point: median",
    "one point: 99 of 100 take less",
    "one point: mean processor time, with solving",
    "1,000 points, the kernel that scores: median",
    "1,000 points, the package's call that scores: median",
    "1,000 points, offered: median",
    "1,000 points, the kernel: mean processor time",
    "1,000 points, the call: mean processor time",
    "1,000 points, offered: mean processor time, with solving",
    "offered, times the call",
    "offered, times the kernel",
)
TURNS = 15


def timed(call: Callable[[Any], object], each: Iterable[Any]) -> tuple[list[float], float]:
    """Microseconds of every call, and of the processor for all of them, by call."""
    found, before = [], time.process_time_ns()
    for value in each:
        began = time.perf_counter_ns()
        call(value)
        found.append((time.perf_counter_ns() - began) / 1e3)
    return found, (time.process_time_ns() - before) / 1e3 / len(found)
