"""`rad-fast bench`: everything measured on this machine, its processor and its GPU, written and said."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from rad_fast.storage.npy import check_writable, write_text, write_together

from . import cpu, cuda, peers, roofline, table
from .machine import compiled, gpu, machine
from .record import Measured, Record, compare, load
from .timing import Case, Clock, measure, only, reason, wall

Tell = Callable[[str], object]
Make = partial[Case]

ITEM = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
PART_OF_MEMORY = 24  # of the GPU's: a case holds two inputs, and torch eager four and more of float32 beside them


class Size(NamedTuple):
    """How much is measured."""

    nbytes: int  # of logits
    gpu_nbytes: int
    classes: tuple[int, ...]
    dtypes: tuple[str, ...]
    games: tuple[int, ...]  # points
    gpu_games: tuple[int, ...]
    wholes: tuple[int, ...]  # classes
    rounds: int
    sparing_rounds: int
    flushed: int = 1 << 28  # bytes read before a turn on the CPU, so that no cache holds its input
    without: frozenset[str] = frozenset()  # contenders on the CPU that are left out


# Larger than most processors' last cache; a few minutes on two cores.
FULL = Size(
    1 << 27, 1 << 30, cpu.CLASSES, cpu.DTYPES, cpu.GAMES[:2], cpu.GAMES, (10, 1000), rounds=20, sparing_rounds=2
)
# Compiling torch's side takes longer than all the rest, some ten seconds a case.
QUICK = Size(
    1 << 25, 1 << 28, (10, 1000), ("float32", "bfloat16"), cpu.GAMES[:1], cpu.GAMES[:2], (10,), rounds=5,
    sparing_rounds=1, flushed=1 << 27, without=frozenset({peers.COMPILED}),
)  # fmt: skip


def run(out: Path, tell: Tell, progress: Tell, *, size: Size = FULL, against: Path | None = None) -> Record:
    """Measure, write ``out``/bench.json and bench.png, and ``tell`` the tables.

    Parameters
    ----------
    out : the directory, made where it is missing.
    tell, progress : called with every line of the result, and with what is being measured.
    size : how much is measured.
    against : the bench.json of an earlier run, to compare with.

    Raises
    ------
    ValueError : where ``against`` is not such a file; before anything is measured.
    OSError : where files cannot be read or written, likewise.
    """
    before = None if against is None else load(against)
    out.mkdir(parents=True, exist_ok=True)
    place, picture = out / "bench.json", out / "bench.png"
    check_writable(place)
    check_writable(picture)
    record = collect(size, progress)
    drawn, why_not = figure(record)
    write_together({place: write_text(record.to_json())} | ({} if drawn is None else {picture: drawn}))
    for line in table.lines(record):
        tell(line)
    if before is not None:
        tell("")
        for line in table.comparison(compare(record, before), record, before, str(against)):
            tell(line)
    tell("")
    tell(f"record: {place}")
    tell(f"figure: {picture}" if drawn is not None else f"no figure: {why_not}")
    return record


def collect(size: Size, progress: Tell) -> Record:
    """All measurements."""
    about = {**machine(), **gpu()}
    cases, left_out = [], []
    for clock, make in planned(size):
        try:
            case = make()  # one at a time: each holds its inputs
        except (MemoryError, RuntimeError) as error:  # torch's out of memory is a RuntimeError
            left_out.append(f"left out: {called(make)}: {reason(error)}")
            continue
        progress(case.name)
        cases.append(measured(case, size, clock))
        del case
    when = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    return Record(about, when, cases, [*notes(cases), *left_out])


def called(make: Make) -> str:
    """The call that makes a case, in words."""
    func, arguments = (make.args[1], make.args[2:]) if make.func is without else (make.func, make.args)
    return f"{func.__module__.rpartition('.')[2]}.{func.__name__}{arguments}"


def measured(case: Case, size: Size, clock: Clock) -> Measured:
    failed: dict[str, str] = {}
    seconds = measure(case, size.rounds, size.sparing_rounds, clock, failed)
    traffic = {name: case.traffic[name] for name in seconds if name in case.traffic}
    return Measured(case.name, case.points, dict(case.about), traffic, seconds, failed)


def planned(size: Size) -> Iterator[tuple[Clock, Make]]:
    """Every case, and the clock it is timed by."""

    def shown(make: Callable[..., Case], *given: Any) -> Make:
        return partial(without, size.without, make, *given) if size.without else partial(make, *given)

    for points in size.games:
        yield wall, shown(cpu.game, points)
    uncached = cpu.uncached(size.flushed)
    for classes in size.classes:
        for dtype in size.dtypes:  # one after the other: what else the machine does then meets all alike
            yield uncached, shown(cpu.scoring, classes, dtype, size.nbytes // ITEM[dtype])
    for classes in size.wholes:
        yield uncached, shown(whole, classes, size.nbytes // ITEM["float32"])
    cpu.numbers.cache_clear()
    if not gpu():
        return
    device_time = cuda.clock()
    nbytes = min(size.gpu_nbytes, peers.torch().cuda.mem_get_info()[1] // PART_OF_MEMORY)
    yield device_time, partial(cuda.bandwidth, nbytes)
    for points in size.gpu_games:
        yield device_time, partial(cuda.game, points)
    for classes in size.classes:
        for dtype in size.dtypes:
            yield device_time, partial(cuda.scoring, classes, dtype, nbytes)
    for classes in size.wholes:
        yield device_time, partial(cuda.whole, classes, "float32", nbytes)
    yield wall, partial(cuda.small_call)


def whole(classes: int, elements: int) -> Case:
    """select, without torch's scoring alone, which is measured as such."""
    case = cpu.whole(classes, elements)
    return only(case, set(case.contenders) - {cpu.SCORED})


def without(names: frozenset[str], make: Callable[..., Case], *given: Any) -> Case:
    """A case without some of its contenders."""
    case = make(*given)
    return only(case, set(case.contenders) - names)


def figure(record: Record) -> tuple[Any, str]:
    """What writes the figure, or why there is none."""
    try:
        drawn = roofline.figure(record)
    except ImportError:
        return None, 'matplotlib is not installed; pip install "rad_fast[report]"'
    if drawn is None:
        return None, "no scoring was measured"
    return (lambda file: drawn.savefig(file, format="png")), ""


def notes(cases: list[Measured]) -> list[str]:
    """What is not there, each said once."""
    found = []
    if peers.torch() is None:
        found.append('torch is not installed, and not compared with; pip install "rad_fast[torch]"')
    if compiled() is None:
        found.append("the compiled extension is not installed: without it there is no streaming read to compare with")
    why: dict[tuple[str, str], list[str]] = {}
    for case in cases:
        for contender, said in case.left_out.items():
            why.setdefault((contender, said), []).append(case.name)
    for (contender, said), names in why.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        found.append(f"left out: {contender} in {names[0]}{more}: {said}")
    return found
