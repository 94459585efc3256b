"""What was measured, kept as JSON, and one record beside an earlier one."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .machine import LOAD
from .peers import READ, SORT
from .timing import Seconds, Spread, spread

FORMAT, VERSION = "rad_fast bench", 1
YARDSTICKS = (READ, SORT)
FEW = 5  # turns; a difference is not called one from fewer


@dataclass
class Measured:
    """A case after it was measured: seconds of every turn; contenders left out, and why."""

    name: str
    points: int
    about: dict[str, str | int]
    traffic: dict[str, int]
    seconds: Seconds
    left_out: dict[str, str] = field(default_factory=dict)


@dataclass
class Record:
    """One run of ``rad-fast bench``; ``notes`` are lines for the reader."""

    machine: dict[str, Any]
    when: str  # ISO 8601
    cases: list[Measured]
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, "version": VERSION, **asdict(self)}, indent=1, allow_nan=False) + "\n"


class Change(NamedTuple):
    """A contender now and then, as how many times as fast; spreads are over pairs of turns, of now and of then.

    ``beside``: what has changed in its ratio to the case's yardstick (a streaming read, or a sort), which is left when
    the whole machine was faster or slower; NaN for the yardstick itself. Verdicts: "faster", "slower", "" where 1 lies
    within the spread, "few turns" where that cannot be said.
    """

    case: str
    contender: str
    times: Spread
    verdict: str
    beside: Spread
    beside_verdict: str


def load(path: Path) -> Record:
    """An earlier record.

    Raises
    ------
    OSError : where there is no such file, or it cannot be read.
    ValueError : naming the file and what is wrong with it.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"), parse_constant=refused)
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, or nested without end
        raise ValueError(f"{path}: expected JSON as rad-fast bench writes it ({error})") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ValueError(f"{path}: expected a bench.json of rad-fast bench, this is JSON of something else")
    if found.get("version") != VERSION:
        raise ValueError(
            f"{path}: expected version {VERSION} of the file, got {found.get('version')!r}: measure again with one "
            "version of rad_fast"
        )
    try:
        return record_of(found)
    except (KeyError, TypeError, ValueError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path}: not a whole bench.json of rad-fast bench: {what}") from error


def compare(now: Record, then: Record) -> list[Change]:
    """Every contender that both have measured on the same case."""
    before = {case.name: case for case in then.cases}
    changes = []
    for case in now.cases:
        old = before.get(case.name)
        if old is None or (old.points, old.about) != (case.points, case.about):
            continue
        both = [name for name, seconds in case.seconds.items() if seconds and old.seconds.get(name)]
        changes += [change(case.name, name, case.seconds, old.seconds) for name in both]
    return changes


def other_machine(now: Record, then: Record) -> list[str]:
    """In what the machines differ, software included: "threads: 2, then 4"."""
    names = [name for name in {**now.machine, **then.machine} if name != LOAD]
    return [
        f"{name}: {now.machine.get(name, 'none')}, then {then.machine.get(name, 'none')}"
        for name in names
        if now.machine.get(name) != then.machine.get(name)
    ]


# ------------------------------------------------------------------------------------------------------------- helpers


def change(case: str, contender: str, now: Seconds, then: Seconds) -> Change:
    times, verdict = changed(then[contender], now[contender])
    yardstick = next((name for name in YARDSTICKS if now.get(name) and then.get(name)), None)
    if yardstick in (None, contender):
        return Change(case, contender, times, verdict, spread([]), "")
    beside = changed(*([a / b for a, b in zip(s[yardstick], s[contender], strict=False)] for s in (now, then)))
    return Change(case, contender, times, verdict, *beside)


def changed(above: list[float], below: list[float]) -> tuple[Spread, str]:
    """The ratio of medians with the spread over all pairs of turns, and what to make of it."""
    _, low, high = spread([float(ratio) for ratio in np.divide.outer(above, below).ravel()])
    found = Spread(float(np.median(above) / np.median(below)), low, high)
    if min(len(above), len(below)) < FEW:
        return found, "few turns"
    return found, "faster" if low > 1 else "slower" if high < 1 else ""


def record_of(found: Mapping[str, Any]) -> Record:
    """The record that checked JSON holds; KeyError, TypeError or ValueError where it holds none."""
    cases = [case_of(case) for case in typed("cases", found["cases"], list)]
    machine = typed("machine", found["machine"], dict)
    notes = [typed("notes", note, str) for note in typed("notes", found["notes"], list)]
    return Record(machine, typed("when", found["when"], str), cases, notes)


def case_of(found: Any) -> Measured:
    case = typed("cases", found, dict)
    about = typed("about", case["about"], dict)
    traffic = {name: typed("traffic", value, int) for name, value in typed("traffic", case["traffic"], dict).items()}
    seconds = {
        name: [positive("seconds", value) for value in typed("seconds", values, list)]
        for name, values in typed("seconds", case["seconds"], dict).items()
    }
    left_out = {name: typed("left_out", why, str) for name, why in typed("left_out", case["left_out"], dict).items()}
    name, points = typed("name", case["name"], str), typed("points", case["points"], int)
    return Measured(name, points, about, traffic, seconds, left_out)


def typed(name: str, value: Any, kind: type) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{name}: expected {kind.__name__}, got {type(value).__name__}")
    return value


def positive(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"{name}: expected numbers above 0, got {value!r}")
    return float(value)


def refused(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
