"""The goals on a GPU beside what was measured: met, missed or not measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from rad_fast.bench.peers import COMPILED, TORCH
from rad_fast.bench.timing import Spread

from .cases import SMALL
from .results import Measured, backend, cases, known

MET, MISSED, UNMEASURED = "met", "missed", "not measured"
REHEARSED = "rehearsed"  # figures of stand-ins are no verdict

OF_READ_WIDE, OF_READ_NARROW = 0.90, 0.80  # of the read bandwidth, for 100 classes and more, and for 10
READS = 1.10  # select, in reads of the logits
GAME_SECONDS, GAME_POINTS = 1e-3, 100_000_000
OVER_EAGER, OVER_COMPILED = 5.0, 2.0
SMALL_SECONDS = 60e-6
BYTES_A_POINT = 24
WHOLE_BYTES = 15_000_000_000  # of logits: what counts as a selection of 20 GB


class Goal(NamedTuple):
    """A line of the table; ``where`` names the measurement that the figure is of, the worst where there are several."""

    what: str
    backend: str
    wanted: str
    reached: str
    where: str
    verdict: str


class Kind(NamedTuple):
    """A goal before it is measured: how to read it off a case, in which unit to say it, and which way is better."""

    what: str
    bound: float
    at_least: bool
    say: Callable[[float], str]
    concerns: Callable[[Measured], bool]
    value: Callable[[Measured, str], Spread]


def percent(value: float) -> str:
    return f"{100 * value:.1f}%"


def times(value: float) -> str:
    return f"{value:.2f} ×"


def of_20_gb(case: Measured) -> bool:
    return case.about["stage"] == "select" and min(case.traffic.values(), default=0) >= WHOLE_BYTES


def is_small(case: Measured) -> bool:
    return case.about["stage"] == "select" and (case.points, case.about["classes"]) == SMALL


def number(case: Measured, name: str) -> Spread:
    value = case.numbers.get(name, math.nan)
    return Spread(value, value, value)


KINDS = (
    Kind(
        "scoring, C ≥ 100: of the read bandwidth", OF_READ_WIDE, True, percent,
        lambda case: case.about["stage"] == "scoring" and int(case.about["classes"]) >= 100,
        Measured.of_read,
    ),
    Kind(
        "scoring, C = 10: of the read bandwidth", OF_READ_NARROW, True, percent,
        lambda case: case.about["stage"] == "scoring" and case.about["classes"] == 10,
        Measured.of_read,
    ),
    Kind("select() at 20 GB: reads of the logits", READS, False, times, of_20_gb, Measured.reads),
    Kind(
        "game and sample of 10^8 points", GAME_SECONDS, False, lambda value: f"{1e3 * value:.3f} ms",
        lambda case: case.about["stage"] == "game" and case.points == GAME_POINTS,
        Measured.time,
    ),
    Kind(
        "select() at 20 GB, against torch eager", OVER_EAGER, True, times, of_20_gb,
        lambda case, name: case.faster(name, TORCH),
    ),
    Kind(
        "select() at 20 GB, against torch.compile", OVER_COMPILED, True, times, of_20_gb,
        lambda case, name: case.faster(name, COMPILED),
    ),
    Kind(
        f"select() of {SMALL[0]:,} points, C = {SMALL[1]}, host included", SMALL_SECONDS, False,
        lambda value: f"{1e6 * value:.0f} µs", is_small, Measured.time,
    ),
    Kind(
        "extra memory of select(), bytes a point", BYTES_A_POINT, False, lambda value: f"{value:.1f}",
        lambda case: case.about["stage"] == "memory", number,
    ),
)  # fmt: skip


def goals(found: Mapping[str, Any]) -> list[Goal]:
    """Every goal for every backend; one line that says so where nothing was measured for it."""
    measured = list(cases(found))
    lines: list[Goal] = []
    for kind in KINDS:
        concerned = [case for case in measured if kind.concerns(case)]
        names = dict.fromkeys(name for case in concerned for name in [*case.backends(), *case.numbers] if whole(name))
        lines += [judged(kind, name, concerned) for name in names] or [judged(kind, "", [])]
    if found.get("rehearsal"):
        return [goal if goal.verdict == UNMEASURED else goal._replace(verdict=REHEARSED) for goal in lines]
    return lines


def whole(contender: str) -> bool:
    """Not a part of a stage, as in "rad_fast triton, the game alone"."""
    return "," not in contender


def judged(kind: Kind, name: str, concerned: Iterable[Measured]) -> Goal:
    """By the worst of the measurements that a goal is about."""
    values = [(kind.value(case, name), case.name) for case in concerned]
    values = [(value, where) for value, where in values if known(value)]
    wanted = f"{'≥' if kind.at_least else '≤'} {kind.say(kind.bound)}"
    if not values:
        return Goal(kind.what, backend(name) or "any", wanted, "–", "", UNMEASURED)
    value, where = (min if kind.at_least else max)(values, key=lambda pair: pair[0].median)
    met = value.median >= kind.bound if kind.at_least else value.median <= kind.bound
    reached = kind.say(value.median)
    if value.low != value.high:
        reached += f" ({kind.say(value.low)} to {kind.say(value.high)})"
    of = where if len(values) == 1 else f"{where}, the worst of {len(values)}"
    return Goal(kind.what, backend(name), wanted, reached, of, MET if met else MISSED)
