"""A record in lines of text: ratios first, then times and bandwidths."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .peers import OURS, READ
from .record import Change, Measured, Record, other_machine
from .timing import Spread, each_faster, spread

DIGITS = 6  # room for a number
STAGES = {"scoring": "Scoring", "game": "The game and the sample", "select": "select, from the logits to the indices"}


def lines(record: Record) -> list[str]:
    """The whole of it."""
    found = [", ".join(f"{name} {value}" for name, value in record.machine.items()), ""]
    return [*found, *ratios(record), *times(record), *record.notes]


def ratios(record: Record) -> list[str]:
    """For each stage on each device: rad_fast as a share of the streaming read's speed, and times as fast as others."""
    found = []
    for device in ("CPU", "GPU"):
        for stage, title in STAGES.items():
            cases = [
                case for case in record.cases if case.about.get("stage") == stage and case.about["device"] == device
            ]
            if cases:
                found += [f"{title}, {device}: median of the turns' ratios (a fifth lies below, a fifth above)"]
                found += [*aligned(ratio_rows(cases)), ""]
    return found


def times(record: Record) -> list[str]:
    """Every contender's time, and the bandwidth it comes to of the bytes that must be moved at the least."""
    rows = [["", "", *(head.rjust(DIGITS) for head in ("milliseconds", "GB/s")), "turns"]]
    for case in record.cases:
        name = case.name
        for contender, seconds in case.seconds.items():
            if not seconds:
                continue
            taken = spread([1e3 * value for value in seconds])
            moved = spread([case.traffic.get(contender, math.nan) / value / 1e9 for value in seconds])
            rows.append([name, contender, cell(taken), cell(moved), str(len(seconds)).rjust(5)])
            name = ""
    title = "Times and bandwidths: median (a fifth lies below, a fifth above); bytes are the least that must be moved"
    return [title, *aligned(rows)]


def comparison(changes: list[Change], now: Record, then: Record, name: str) -> list[str]:
    """What has changed since an earlier record."""
    found = [f"Against {name}, measured {then.when}: median (spread over pairs of turns)"]
    differing = other_machine(now, then)
    if differing:
        found.append(f"not the same machine or software: {'; '.join(differing)}")
    if not changes:
        return [*found, "nothing to compare: no case of the same size is in both"]
    rows, before = [["", "", "x as fast as then", "", "the same, beside the yardstick", ""]], ""
    for case, contender, times, verdict, beside, beside_verdict in changes:
        aside = "" if math.isnan(beside.median) else cell(beside)
        rows.append([case if case != before else "", contender, cell(times), verdict, aside, beside_verdict])
        before = case
    missing = len(now.cases) - len({change.case for change in changes})
    rest = [f"{missing} of {len(now.cases)} cases are not in it, or of another size"] if missing else []
    yardsticks = (
        "The second ratio is of speeds relative to the streaming read, or the sort, of the same case: what remains "
        "where the whole machine was faster or slower than then."
    )
    return [*found, *aligned(rows), yardsticks, *rest]


# ------------------------------------------------------------------------------------------------------------- helpers


def ratio_rows(cases: list[Measured]) -> list[list[str]]:
    peers = list(dict.fromkeys(name for case in cases for name in case.seconds if not name.startswith(OURS)))
    rows = [[*labels(cases[0]), "", *(f"of the {name}" if name == READ else f"x {name}" for name in peers)]]
    for case in cases:
        label = list(labels(case).values())
        for mine in [name for name in case.seconds if name.startswith(OURS)]:
            rows.append([*label, mine, *(ratio(case, mine, peer) for peer in peers)])
            label = [""] * len(label)
    return rows


def ratio(case: Measured, mine: str, peer: str) -> str:
    found = each_faster(case.seconds, mine, peer)
    if peer != READ:
        return cell(found)
    return cell(Spread(*(100 * value for value in found)), "%")


def labels(case: Measured) -> dict[str, str]:
    """What tells the cases of a stage apart."""
    found: dict[str, str] = {name: str(case.about[name]) for name in ("classes", "dtype") if name in case.about}
    found["points"] = f"{case.points:,}"
    return found


def cell(values: Spread, unit: str = "") -> str:
    """The median, its last digits below one another, and the spread, if there is one."""
    if math.isnan(values.median):
        return "-".rjust(DIGITS)
    median = f"{short(values.median)}{unit}".rjust(DIGITS)
    low, high = short(values.low), short(values.high)
    return median if low == high else f"{median}  ({low} to {high})"


def short(value: float) -> str:
    """Three digits, never with an exponent."""
    return f"{value:,.{max(0, 2 - math.floor(math.log10(value)))}f}" if 0 < value < 100 else f"{value:,.0f}"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
