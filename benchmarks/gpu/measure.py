"""One group of measurements: python -m benchmarks.gpu.measure GROUP --size full --device cuda --seconds 60 --out FILE

FILE is written anew after every case, so that what was measured survives a crash or a limit.
"""

from __future__ import annotations

import argparse
import gc
import math
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from rad_fast.bench import cuda, peers
from rad_fast.bench.peers import COMPILED, MARGIN, TORCH
from rad_fast.bench.timing import Case, Clock, measure, reason

from . import cases as cases
from .cases import FEW_ROWS, SMALL, Size
from .machine import state
from .parts import write_json
from .results import Measured

DEVICE, HOST = "the device's clock", "the host's clock, until the device is done"


class Plan(NamedTuple):
    """A measurement: cases with their clocks, or numbers; it is not begun with fewer than ``least`` seconds left."""

    name: str
    least: float  # seconds
    make: Callable[[], Sequence[tuple[Case, str]] | Measured]
    rounds: int = 0
    sparing_rounds: int = 0


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("group", choices=tuple(GROUPS))
    arguments.add_argument("--size", choices=tuple(cases.SIZES), default=cases.FULL.name)
    arguments.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    arguments.add_argument("--seconds", type=float, default=math.inf, help="when to begin nothing more")
    arguments.add_argument("--out", type=Path, required=True)
    given = arguments.parse_args()
    if given.device == "cuda":
        if not peers.torch().cuda.is_available():
            raise SystemExit("torch sees no CUDA device")
        if not cuda.usable():
            raise SystemExit("no backend of rad_fast can be used here: see what is said of the machine")
    plans = list(GROUPS[given.group](cases.SIZES[given.size], given.device))
    try:
        found = carry_out(plans, given.device, given.seconds, partial(write_json, given.out))
    except KeyboardInterrupt:  # its part is out of time; what was measured is written
        raise SystemExit("interrupted") from None
    for failure in found["failed"]:
        print(f"{failure['what']}: {failure['why']}")
    if found["lost"]:
        raise SystemExit(f"the device is lost: {found['lost']}")
    if found["failed"] and not found["cases"]:
        raise SystemExit("nothing could be measured")


def carry_out(
    plans: Sequence[Plan],
    device: str,
    seconds: float,
    write: Callable[[dict[str, Any]], None],
    now: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """What was measured, what failed and what was left out; handed to ``write`` after every plan."""
    begin = now()
    planned = [plan.name for plan in plans]
    found: dict[str, Any] = {"planned": planned, "cases": [], "failed": [], "dropped": [], "lost": "", "state": {}}
    clocks: dict[str, Clock] = {}
    write(found)
    for plan in plans:
        left = seconds - (now() - begin)
        if found["lost"]:
            found["dropped"].append({"what": plan.name, "why": "the device was lost before it"})
        elif left < plan.least:
            why = f"it needs some {plan.least:.0f} s, {max(0.0, left):.0f} s were left"
            found["dropped"].append({"what": plan.name, "why": why})
        else:
            print(plan.name, flush=True)
            try:
                clocks = clocks or {DEVICE: cuda.clock(device), HOST: cases.awaited(device)}
                found["cases"].append(asdict(measured(plan, clocks)))
            except Exception as error:  # noqa: BLE001 - whatever it is, the rest has to run
                traceback.print_exc()
                found["failed"].append({"what": plan.name, "why": reason(error)})
            found["lost"] = cleared(device)
        write(found)
    if device == "cuda":
        found["state"] = state()  # the clocks right after the work
        write(found)
    return found


def measured(plan: Plan, clocks: dict[str, Clock]) -> Measured:
    made = plan.make()
    if isinstance(made, Measured):
        return made
    first, clock = made[0]
    record = Measured(plan.name, first.points, {**first.about, "clock": clock}, {}, {})
    for case, clock in made:
        record.seconds |= measure(case, plan.rounds, plan.sparing_rounds, clocks[clock], record.left_out)
        record.traffic |= case.traffic
    return record


def cleared(device: str) -> str:
    """Give the memory of the last case back; why the device does not answer any more, where it does not."""
    gc.collect()
    if device != "cuda":
        return ""
    try:
        peers.torch().cuda.synchronize()
        peers.torch().cuda.empty_cache()
        if "cupy" in sys.modules:
            sys.modules["cupy"].get_default_memory_pool().free_all_blocks()
    except RuntimeError as error:
        return reason(error)
    return ""


# -------------------------------------------------------------------------------------------------------------- groups


def bandwidth_plans(size: Size, device: str) -> Iterator[Plan]:
    nbytes = 4 * size.nbytes
    make = lambda: [(cuda.bandwidth(nbytes, device, cases.apart(device, nbytes)), DEVICE)]  # noqa: E731
    yield Plan("memory: read and copy", 2, make, size.rounds, size.rounds)


def scoring_plans(size: Size, device: str) -> Iterator[Plan]:
    """First every size once, in the dtype of most; what a late end leaves out is the rest."""
    for dtype in size.dtypes:
        for classes in size.classes:
            compiled = classes in size.compiled and dtype == size.dtypes[0]

            def make(classes: int = classes, dtype: str = dtype, compiled: bool = compiled) -> list[tuple[Case, str]]:
                case = cuda.scoring(classes, dtype, size.nbytes, device=device, between=cases.apart(device))
                return [(case if compiled else cases.without(case, COMPILED), DEVICE)]

            name = f"scoring, {classes:,} classes, {dtype}"
            yield Plan(name, least(device, 20 if compiled else 4), make, size.rounds, size.sparing_rounds)
        yield few_rows_plan(size, device, dtype)


def few_rows_plan(size: Size, device: str, dtype: str) -> Plan:
    """Rows that several blocks share, where there are few."""
    classes = max(size.classes)
    rows = min(FEW_ROWS, cuda.rows_of(classes, dtype, size.nbytes))

    def make() -> list[tuple[Case, str]]:
        nbytes = rows * classes * int(getattr(peers.torch(), dtype).itemsize)
        case = cases.without(cuda.scoring(classes, dtype, nbytes, device=device, between=cases.apart(device)), COMPILED)
        return [(replace(case, name=f"{case.name}, {rows:,} rows", about={**case.about, "rows": rows}), DEVICE)]

    name = f"scoring, {rows:,} rows of {classes:,} classes, {dtype}"
    return Plan(name, least(device, 4), make, size.rounds, size.sparing_rounds)


def softmax_plans(size: Size, device: str) -> Iterator[Plan]:
    for classes in (c for c in size.classes if c in (1000, 32768, 131072)) if cases.libraries() else ():
        make = lambda classes=classes: [(cases.softmaxes(classes, size.dtypes[0], size.nbytes, device), DEVICE)]  # noqa: E731
        yield Plan(f"softmax, {classes:,} classes", least(device, 6), make, size.rounds, size.rounds)


def game_plans(size: Size, device: str) -> Iterator[Plan]:
    """The largest first: a goal is about it."""
    for points in sorted(size.games, reverse=True):
        compiled = points in size.compiled

        def make(points: int = points, compiled: bool = compiled) -> list[tuple[Case, str]]:
            case = cuda.game(points, device=device, between=cases.apart(device))
            return [(case if compiled else cases.without(case, COMPILED), DEVICE)]

        name = f"game and sample, {points:,} points"
        yield Plan(name, least(device, 25 if compiled else 8), make, size.rounds, size.sparing_rounds)


def whole(classes: int, dtype: str, size: Size, device: str, *, compiled: bool) -> list[tuple[Case, str]]:
    between = cases.apart(device, size.whole_bytes)
    case = cuda.whole(classes, dtype, size.whole_bytes, device=device, between=between)
    if not compiled:
        return [(cases.without(case, COMPILED), HOST)]
    return [(cases.without(case, TORCH, MARGIN), HOST)]


def select_plans(size: Size, device: str) -> Iterator[Plan]:
    """What torch compiles comes last: where it loses the device, the rest is there."""

    def plan(classes: int, dtype: str, *, compiled: bool) -> Plan:
        name = f"select, {size.whole_bytes / 1e9:.3g} GB, {classes:,} classes, {dtype}"
        make = lambda: whole(classes, dtype, size, device, compiled=compiled)  # noqa: E731
        name = f"{name}, beside torch.compile" if compiled else name
        return Plan(name, least(device, 20), make, max(5, size.rounds // 2), 3)

    def small() -> list[tuple[Case, str]]:
        case = cuda.small_call(*SMALL, device=device, between=cases.apart(device))
        return [(case if SMALL[0] in size.compiled else cases.without(case, COMPILED), HOST)]

    name = f"select, {SMALL[0]:,} points of {SMALL[1]} classes"
    yield Plan(name, least(device, 8), small, 5 * size.rounds, size.rounds)
    yield from (plan(*shape, compiled=False) for shape in size.wholes)
    yield from (plan(*shape, compiled=True) for shape in size.wholes if size.compiled)


def route_plans(size: Size, device: str) -> Iterator[Plan]:
    """Which set of kernels select() should take: all of them, beside one another."""
    nbytes = cases.LARGE if device == "cuda" else size.nbytes
    for classes, dtype in size.routes:
        make = lambda classes=classes, dtype=dtype: [(cases.by_route(classes, dtype, nbytes, device), HOST)]  # noqa: E731
        yield Plan(
            f"routes, {classes:,} classes, {dtype}", least(device, 8), make, size.rounds // 2, size.sparing_rounds
        )


def stage_plans(size: Size, device: str) -> Iterator[Plan]:
    for points, classes, dtype in size.shapes:
        for backend in cuda.usable(device):

            def make(shape: tuple[int, int, str] = (points, classes, dtype), backend: str = backend) -> Any:
                of_device, of_host = cases.stages(*shape, backend, device)
                return [(of_device, DEVICE), (of_host, HOST)]

            name = f"stages, {backend}, {points:,} points of {classes:,} classes, {dtype}"
            yield Plan(name, least(device, 5), make, size.rounds, size.rounds)


def graph_plans(size: Size, device: str) -> Iterator[Plan]:
    for shape in size.shapes if device == "cuda" else ():
        points, classes, dtype = shape
        make = lambda shape=(*shape, device): [(cases.replays(*shape), DEVICE)]  # noqa: E731
        name = f"CUDA graph, {points:,} points of {classes:,} classes, {dtype}"
        yield Plan(name, least(device, 5), make, size.rounds, size.rounds)


def memory_plans(size: Size, device: str) -> Iterator[Plan]:
    for backend in cuda.usable(device) if device == "cuda" else ():
        name = f"extra memory, {backend}, {size.memory_points:,} points"

        def make(backend: str = backend, name: str = name) -> Measured:
            extra = cases.extra_memory(size.memory_points, 10, "bfloat16", backend, device)
            about: dict[str, str | int] = {"stage": "memory", "classes": 10, "dtype": "bfloat16"}
            return Measured(name, size.memory_points, about, {}, {}, numbers={cuda.ours(backend): extra})

        yield Plan(name, least(device, 4), make)


def least(device: str, seconds: float) -> float:
    """What a case may take on a GPU, where kernels are compiled for it; a stand-in on the CPU takes nothing."""
    return seconds if device == "cuda" else 0.0


def after(*groups: Callable[[Size, str], Iterator[Plan]]) -> Callable[[Size, str], Iterator[Plan]]:
    def plans(size: Size, device: str) -> Iterator[Plan]:
        for group in groups:
            yield from group(size, device)

    return plans


# By what is worth most where the time runs out; a process each, so that a CUDA error in one leaves the others alone.
GROUPS: dict[str, Callable[[Size, str], Iterator[Plan]]] = {
    "selections": select_plans,
    "routes": route_plans,
    "games": game_plans,
    "scores": after(bandwidth_plans, scoring_plans, softmax_plans),
    "stages": after(memory_plans, stage_plans),
    "graphs": graph_plans,
}

if __name__ == "__main__":
    main()
