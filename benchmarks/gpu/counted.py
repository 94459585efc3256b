"""What the GPU kernels cost by their machine code, and what that comes to: python -m benchmarks.gpu.counted

Needs nvcc and cuobjdump, no GPU. Every kernel is compiled, its usual path counted (sass.py) and set against the bytes
that it moves (model.py), for each number of classes and dtype. Writes a table and the same as JSON.

    python -m benchmarks.gpu.counted --out build/counted       the table, for sm_90
    python -m benchmarks.gpu.counted --arch 100                another generation
    python -m benchmarks.gpu.counted --check                   the bounds of BOUNDS alone; 1 where one is passed
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.gpu import sass, whole
from benchmarks.gpu.compiled import built, compiled, named
from benchmarks.gpu.model import GPUS, LATENCY, MOST, USUAL, Cost, Gpu, added, resident, times
from benchmarks.gpu.sass import RATES, Kernel, Loop
from benchmarks.pages import as_json

CLASSES = (10, 32, 100, 1000, 4096, 32768, 50257, 131072)
BYTES = {"float32": 4, "bfloat16": 2}
WRITTEN = 12  # bytes a row
DIRECT, SAMPLE, FEW = 1 << 14, 1 << 13, 1 << 15  # as in csrc/cuda/game.cu and sample.cu
PAIRS = (2, 4, 6, 8, 10, 12, 14, 16, 32)  # classes of 16-bit numbers with a loop of their own in score_tile
SHIFTED = r"|SHF\.R\.W"  # of rows that do not begin at a multiple of 16 bytes

PASSES = ("reduce_points", "add_stretches", "take_indices")
BY_CLASS = ("reduce_few", "reduce_classes", "add_keys", "take_keys", "count_taken", "list_taken")
OF_FEW = ("reduce_few", "add_keys", "take_keys")  # blocks of 128 threads, of few classes or keys
FEW_CLASSES, FEW_SAMPLE, FEW_KEYS = 48, 2048, 256  # as in csrc/cuda/class_games.cuh and keys.cuh

# Instructions of a thread an element of a row, or a point, that the usual path may have: some 4% above what it has with
# nvcc 13.0 for sm_90.
BOUNDS: dict[str, float] = {
    "10 float32": 29.7,
    "10 bfloat16": 20.0,
    "32 float32": 17.4,
    "32 bfloat16": 14.5,
    "100 float32": 17.3,
    "100 bfloat16": 13.4,
    "1000 float32": 14.7,
    "1000 bfloat16": 10.4,
    "4096 float32": 12.0,
    "4096 bfloat16": 9.1,
    "32768 float32": 12.7,
    "32768 bfloat16": 8.7,
    "50257 float32": 12.1,
    "50257 bfloat16": 9.0,
    "131072 float32": 9.9,
    "131072 bfloat16": 8.6,
    "reduce_points": 37.8,
    "add_stretches": 35.6,
    "take_indices": 62.4,
    "reduce_classes": 56.3,
    "count_taken": 47.9,
    "list_taken": 48.0,
    "reduce_few": 44.0,
    "add_keys": 46.2,
    "take_keys": 52.8,
    "count_points": 51.0,
    "estimate_classes": 26.3,
    "finish_classes": 26.3,
}
# The games of so many classes and their sample, of 10^8 points on an H200, in ms.
MOST_BY_CLASS = {10: 1.81, 100: 1.65, 1000: 2.20}


class Row(NamedTuple):
    """A line of the table."""

    backend: str
    what: str
    kernel: str
    registers: int
    in_flight: int  # bytes a multiprocessor
    per_element: float  # instructions of a thread
    cost: Cost

    def data(self) -> dict[str, Any]:
        unit, clocks = self.cost.clocks()
        return {
            "backend": self.backend, "what": self.what, "kernel": self.kernel, "registers": self.registers,
            "in_flight": self.in_flight, "instructions_an_element": round(self.per_element, 2), "bound": unit,
            "clocks": round(clocks, 3), "units": {name: round(n, 3) for name, n in self.cost.units.items()},
            "bytes": self.cost.nbytes, "share": {gpu.name: round(self.cost.share(gpu), 3) for gpu in GPUS},
        }  # fmt: skip


# --------------------------------------------------------------------------------------------------- scoring, compiled


def fits(loop: Loop, **wanted: tuple[str, int]) -> bool:
    """Whether its path has just so many instructions of each pattern."""
    return bool(loop.path.opcodes) and all(loop.path.matching(pattern) == n for pattern, n in wanted.values())


def loop_with(loops: list[Loop], **wanted: tuple[str, int]) -> Loop:
    """The loop whose path has just so many instructions of each pattern; of several, the shortest."""
    fitting = [loop for loop in loops if fits(loop, **wanted)]
    if not fitting:
        raise LookupError(f"no loop has {wanted}")
    return min(fitting, key=lambda loop: len(loop.path))


def scoring_cuda(kernels: dict[str, Kernel], classes: int, dtype: str, aligned: bool) -> Row:
    size, elements = BYTES[dtype], 16 // BYTES[dtype]
    chunks = -(-classes * size // 16)
    nbytes = classes * size + WRITTEN
    rare = sass.RARE + (SHIFTED if aligned else "")
    if chunks <= 16:
        kernel = named(kernels, "score_tile", dtype)
        units, flight = tile_units(kernel, classes, size, aligned)
        per_element = sum(units.values()) * 32 / classes
        return Row(
            "cuda", f"{classes} {dtype}", "score_tile", kernel.registers, flight, per_element, Cost(units, nbytes)
        )
    if chunks <= 512:
        group = next(lanes for lanes in (4, 8, 16, 32) if chunks <= 8 * lanes or lanes == 32)
        held = next(count for count in (6, 8, 12, 16) if count * group >= chunks)
        kernel = named(kernels, "score_warp", dtype, group, held, True)
        path = kernel.tree(rare=rare).with_stores(3)
        label = {"alu": 5.0 * (held - 1) + 2.0 * elements}  # a chunk is chosen, and searched for it
        units = times(added(dict(path.units()), label), group / 32)
        flight = resident(kernel.registers, 128, 0) * 128 * held * 16
        per_element, name = sum(units.values()) * 32 / classes, f"score_warp<{group}, {held}>"
        return Row("cuda", f"{classes} {dtype}", name, kernel.registers, flight, per_element, Cost(units, nbytes))
    threads = 64 if chunks <= 2048 else 128
    kernel = named(kernels, "score_block", dtype, threads)
    units = block_units(kernel, chunks, elements, rare, threads, aligned)
    flight = resident(kernel.registers, threads, kernel.shared) * threads * 64
    per_element = sum(units.values()) * 32 / classes
    return Row("cuda", f"{classes} {dtype}", "score_block", kernel.registers, flight, per_element, Cost(units, nbytes))


def tile_units(kernel: Kernel, classes: int, size: int, aligned: bool) -> tuple[dict[str, float], int]:
    """Of a row: the rows of a warp are worked on together, a thread each."""
    elements, row_bytes = 16 // size, classes * size
    whole, rest = divmod(classes, elements)
    wide = aligned and row_bytes % 16 == 0
    tree = kernel.tree(rare=sass.RARE.replace(r"LDG(?!\S*\.(?:128|64))", r"LDG(?!\S*STS|\S*\.(?:128|64))"))
    loops = list(tree.all())
    loads = 1 if wide else elements // 2 if row_bytes % (2 * size) == 0 else elements
    reads = ("LDS", loads)
    inner: dict[str, float] = {}
    if size == 2 and classes in PAIRS:
        mine = loop_with(loops, reads=("LDS", classes // 8 if wide else classes // 2), powers=("MUFU.EX2", classes))
    else:
        wanted = {"reads": reads, "powers": ("MUFU.EX2", elements)}
        outer = [loop for loop in loops if loop.inner and loop.header != -1]
        mine = next(loop for loop in outer if any(fits(other, **wanted) for other in loop.inner))
        maxima = loop_with(mine.inner, reads=reads, powers=("MUFU.EX2", 0), stores=("STG", 0))
        powers = loop_with(mine.inner, **wanted)
        last = loop_with(mine.inner, reads=("LDS", 1), powers=("MUFU.EX2", 0), minima=("FMNMX", 3), wide=("LDS.128", 0))
        last_power = loop_with(mine.inner, reads=("LDS", 1), powers=("MUFU.EX2", 1), wide=("LDS.128", 0))
        inner = added(
            times(maxima.path.units(), whole),
            times(powers.path.units(), whole),
            times(last.path.units(), rest),
            times(last_power.path.units(), rest),
            {"alu": 2.0 * elements, "lsu": float(loads)},  # a chunk is searched for the label
        )
    path = mine.with_stores(3)
    copies = [loop for loop in loops if loop.path.matching("LDGSTS") and loop not in mine.inner]
    copy = min(len(loop.path) / loop.path.matching("LDGSTS") for loop in copies)
    pitch = row_bytes + (16 if wide and row_bytes % 32 == 0 else 0)
    rows = 128 * max(1, min(8, (20 << 10) // (128 * pitch)))
    row = added(
        dict(path.units()),
        inner,
        {"alu": copy * row_bytes / 16 * 0.75, "lsu": row_bytes / 16, "imad": copy * row_bytes / 16 * 0.25},
        times(tree.path.units(), 128 / rows),
    )
    flight = resident(kernel.registers, 128, rows * pitch) * rows * row_bytes
    return times(row, 1 / 32), flight


def block_units(kernel: Kernel, chunks: int, elements: int, rare: str, threads: int, aligned: bool) -> dict[str, float]:
    bare, tree = kernel.tree(work="STS|STG|SHFL", rare=rare), kernel.tree(rare=rare)  # without and with a last step
    loops = list(tree.all())
    step = loop_with(loops, powers=("MUFU.EX2", 4 * elements + 1), reads=("LDG", 4 if aligned else 8))
    parts = 8 if chunks >= 8192 else 1
    steps, left = divmod(-(-chunks // parts), 4 * threads)
    each = -(-left // threads)  # chunks a thread of the last step: one, two, or for the others four
    some = times(step.path.units(), each / 4 if each <= 2 else 0.0)
    around = {loop.header for loop in loops if step in loop.inner and loop.header != -1}  # the parts, if there are some
    last = tree if each > 2 else bare
    outside = (bare if around else last).with_stores(3)
    warps = threads / 32
    warp = added(
        times(step.path.units(), parts * steps),
        times(some, parts),
        *(times(loop.path.units(), parts) for loop in last.all() if loop.header in around),
        times(
            outside.units(), (1 + 0.55 * (warps - 1)) / warps
        ),  # all of it of the first warp, about half of the others
    )
    return times(warp, warps)


# --------------------------------------------------------------------------------------------------- scoring, Triton's


def scoring_triton(arch: int, classes: int, dtype: str) -> Row:
    """Compiled in this process: it must not have interpreted Triton."""
    import torch

    from benchmarks.gpu import aot
    from rad_fast.kernels.reference.score import Rule
    from rad_fast.kernels.triton import score

    rows = 1 << 20
    logits = torch.empty((rows, classes), dtype=getattr(torch, dtype), device="meta")
    out = score.Outputs(
        *(torch.empty(rows, dtype=d, device="meta") for d in (torch.float32, torch.float32, torch.int32))
    )
    status = torch.empty(4, dtype=torch.int64, device="meta")
    kernel, grid, arguments, options = score.plan(
        logits, score.Inputs(), out, score.DeviceRule(Rule(), None, None), status, score.Stage(score.POINTS.value)
    )
    code, shared = aot.kernel(kernel, arguments, options, arch)
    warps, each = options["num_warps"], rows / grid[0]
    # The path of a program whose rows are all there loads the widest; the last one's has more instructions.
    found = {
        width for width in ("128", "64", "32") if any(re.match(rf"LDG\S*\.{width}", line.opcode) for line in code.code)
    }
    widest = max(found, key=int, default="")
    tree = code.tree(work=rf"LDG\S*\.{widest}|MUFU\.EX2", rare=r"RED|ATOM")
    loops = [loop for loop in tree.all() if loop.header != -1 and loop.path.opcodes]
    block = options.get("BLOCK", 0)
    trips = -(-classes // block) if block else 0
    units = added(dict(tree.path.units()), *(times(loop.path.units(), trips) for loop in loops[:1]))
    units = times(units, warps / each)
    loaded = each * classes * BYTES[dtype] if not block else 2 * block * BYTES[dtype]
    flight = int(resident(code.registers, 32 * warps, shared) * loaded)
    nbytes = classes * BYTES[dtype] + WRITTEN
    name = kernel.__name__.removesuffix("_kernel")
    per_element = sum(units.values()) * 32 / classes
    return Row("triton", f"{classes} {dtype}", name, code.registers, flight, per_element, Cost(units, nbytes))


# ------------------------------------------------------------------------------------------------- the game, the sample

STEP = 256  # points that a warp reads at once
WORKED = (0.07, 0.3)  # shares of points that are not screened out: usual, and of a large budget
PROBES = 7  # of a search for an estimate, of which each level has two; a proof takes one more
PARTS = 8  # blocks of a cluster, which searches for an estimate or the answer
MANY = 100_000_000  # points of the games by class
CHAINED = 5  # clocks from an instruction to the next that needs its result


def points_cost(kernels: dict[str, Kernel], name: str, share: float) -> Row:
    """A pass over points: what all go through, and what those do that are not screened out."""
    kernel = named(kernels, name)
    loops = list(kernel.tree(work=r"LDG\S*\.128", rare=r"CALL|ATOM|RED").all())
    # The label is read, too.
    step = loop_with(loops, loads=(r"LDG\S*\.128\.CONSTANT", 6 if name in BY_CLASS else 4))
    work = max(step.inner, key=lambda loop: len(loop.path))
    # Points of all kinds are in a warp: each kind's instructions are issued. The shortest way through has one kind's.
    units = added(times(step.path.units(), 1 / STEP), times(work.path.units(), 2 * share / 32))
    threads, loaded = 128 if name in OF_FEW else 256, 96 if name in BY_CLASS else 64
    flight = resident(kernel.registers, threads, kernel.shared) * threads * loaded
    what = f"{name}, {share:.0%} worked on"
    nbytes = 12.0 if name in BY_CLASS else 8.0
    return Row("cuda", what, name, kernel.registers, flight, sum(units.values()) * 32, Cost(units, nbytes))


def searched(kernel: Kernel) -> tuple[int, float]:
    """Of a search by a block: instructions of a probe beside its pass over the points, and of that, a point."""
    loops = list(kernel.tree(work=r"SHFL", rare=r"CALL|ATOM|RED").all())
    around = max((loop for loop in loops if loop.header != -1 and loop.inner), key=lambda loop: len(loop.path))
    return len(around.path), len(around.inner[0].path) / 4  # four points at once


def search_seconds(kernel: Kernel, points: float, probes: int, clock: float, beside: int = 1) -> float:
    """A search by one block: its probes one after the other, each a pass and a decision. ``beside``: how many blocks of
    a multiprocessor wait for their decisions together."""
    decision, each = searched(kernel)
    return probes * (beside * points * each / 32 / RATES["issue"] + decision * CHAINED) / clock


def cluster_seconds(kernel: Kernel, points: float, probes: int, clock: float) -> float:
    """A search by a cluster of blocks: the iteration in float64, whose turns are each a pass and a decision."""
    loops = list(kernel.tree(work=r"REDUX", rare=r"CALL|ATOM|RED\.").all())
    turns = [loop for loop in loops if loop.header != -1 and loop.inner and "REDUX.SUM" in loop.path.opcodes]
    around = min(turns, key=lambda loop: len(loop.path))
    each = max(len(loop.path) for loop in around.inner) / 4  # four points at once
    return probes * (points / PARTS * each / 32 / RATES["issue"] + len(around.path) * CHAINED) / clock


def games(kernels: dict[str, Kernel], gpu: Gpu, points: int) -> dict[str, float]:
    """Predicted seconds of the game and the sample, with the usual share undecided on every level."""
    share = WORKED[0]
    reduce, mass, take = (
        points_cost(kernels, name, share).cost for name in ("reduce_points", "add_stretches", "take_indices")
    )
    left, levels, passes = float(points), 0, 0.0
    while left > DIRECT:
        passes += reduce.seconds(gpu, left)
        left, levels = left * share, levels + 1
    gathered = 2 * SAMPLE / PARTS / gpu.clock  # a sector of memory a clock and multiprocessor
    search = cluster_seconds(named(kernels, "estimate", PARTS), SAMPLE, 2 * PROBES, gpu.clock)
    estimates = levels * (gathered + search)
    finish = cluster_seconds(named(kernels, "finish", PARTS), min(points, int(left)), PROBES + 1, gpu.clock)
    launches = (2 * levels + 1 + (2 if points > FEW else 1)) * 2e-6
    return {
        "passes": passes, "estimates": estimates, "finish": finish, "launches": launches,
        "sample": mass.seconds(gpu, points) + take.seconds(gpu, points),
    }  # fmt: skip


def counting(kernels: dict[str, Kernel]) -> Row:
    """The pass that counts each class's points, of few classes."""
    kernel = named(kernels, "count_points")
    loops = list(kernel.tree(work=r"LDG\S*\.128|ATOMS", rare=r"CALL|RED").all())
    step = loop_with(
        loops, loads=(r"LDG\S*\.128", 3)
    )  # four points; skipped instructions of the chosen are issued, too
    flight = resident(kernel.registers, 256, kernel.shared) * 256 * 48
    cost = Cost(times(step.path.units(), 1 / 128), 12.0)
    return Row("cuda", "count_points", "count_points", kernel.registers, flight, len(step.path) / 4, cost)


def games_by_class(kernels: dict[str, Kernel], gpu: Gpu, points: int, classes: int) -> dict[str, float]:
    """Predicted seconds of a game a class and the sample along the keys, of classes of one size above DIRECT."""
    share, each = WORKED[0], points / classes
    passes = {name: points_cost(kernels, name, share).cost.seconds(gpu, points) for name in BY_CLASS}
    wide = 4 * classes <= gpu.multiprocessors  # every corner has a multiprocessor
    stride = max(8.0, each / FEW_SAMPLE if wide else 4 * each / SAMPLE)
    sample = each / stride / max(1, each // stride // SAMPLE)

    def searches(kernel: Kernel, threads: int, blocks: int, points: float) -> float:
        most = resident(kernel.registers, threads, kernel.shared)
        beside = min(most, -(-blocks // gpu.multiprocessors))
        turns = -(-blocks // (gpu.multiprocessors * beside))
        return turns * search_seconds(kernel, points, 2 * PROBES, gpu.clock, beside)

    looked_at = points / stride * 96 / gpu.read / MOST  # a sector of 32 bytes each of gain, correctness and label
    left = each * share
    if wide:
        estimates = searches(named(kernels, "estimate_few", False), 512, 4 * classes, min(sample, FEW_SAMPLE))
    else:
        estimates = searches(named(kernels, "estimate_classes"), 128, 4 * classes, sample)
    if left > DIRECT:  # a second box
        estimates += searches(named(kernels, "estimate_few", True), 512, 4 * classes, FEW_SAMPLE)
        estimates += classes * left * 16 / gpu.read / MOST
        left *= share
    keys = classes * classes if classes <= 256 else classes  # label x classes + other, or a label alone
    if keys <= FEW_KEYS:
        drawn, launches = passes["add_keys"] + passes["take_keys"], 5
    else:  # the marks are set to none, read twice; of what can be taken order.cu counts the bytes
        digits = 1 + (keys > 256)
        drawn = passes["count_taken"] + passes["list_taken"] + points * (3 + 60 * share) / gpu.read / MOST
        launches = 10 + 3 * digits
    return {
        "counts": counting(kernels).cost.seconds(gpu, points),
        "estimates": looked_at + estimates,
        "pass": passes["reduce_few" if classes <= FEW_CLASSES else "reduce_classes"],
        "finish": searches(named(kernels, "finish_classes", 512, True), 512, classes, left / 4),
        "sample": drawn,
        "launches": (11 + launches) * 2e-6,
    }  # fmt: skip


# ---------------------------------------------------------------------------------------------------------- the table


def scoring(arch: int, kernels: dict[str, Kernel], classes: tuple[int, ...], triton: bool) -> list[Row]:
    found = []
    for count in classes:
        for dtype in BYTES:
            found.append(scoring_cuda(kernels, count, dtype, count * BYTES[dtype] % 16 == 0))
            if triton:
                found.append(scoring_triton(arch, count, dtype))
    return found


HEAD = (
    "| backend | classes, dtype | kernel | registers | KiB in flight | instructions an element | bound by | "
    + " | ".join(gpu.name for gpu in GPUS)
    + " |"
)


def table(rows: list[Row]) -> str:
    lines = [HEAD, "|" + "---|" * (7 + len(GPUS))]
    for row in rows:
        unit, _ = row.cost.clocks()
        shares = " | ".join(f"{row.cost.share(gpu):.0%}" for gpu in GPUS)
        lines.append(
            f"| {row.backend} | {row.what} | {row.kernel} | {row.registers} | {row.in_flight / 1024:.0f} | "
            f"{row.per_element:.1f} | {unit} | {shares} |"
        )
    return "\n".join(lines)


def assumptions() -> str:
    lines = [f"Shares of a read, predicted: {USUAL} of the bound of the busiest unit, at most {MOST:.0%}. Assumed:"]
    lines += [
        f"{gpu.name}: {gpu.multiprocessors} multiprocessors at {gpu.clock / 1e9:.2f} GHz, a read of "
        f"{gpu.read / 1e12:.2f} TB/s, {gpu.bytes_a_clock:.1f} bytes a clock and multiprocessor, "
        f"{gpu.in_flight / 1024:.0f} KiB in flight ({LATENCY * 1e9:.0f} ns)."
        for gpu in GPUS
    ]
    return "\n".join(lines)


def game_table(kernels: dict[str, Kernel]) -> str:
    lines = [
        "| points | GPU | passes | estimates | finish | sample | launches | in all, ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for points in (10_000, 1_000_000, 100_000_000):
        for gpu in GPUS:
            found = games(kernels, gpu, points)
            parts = " | ".join(
                f"{1e3 * found[name]:.3f}" for name in ("passes", "estimates", "finish", "sample", "launches")
            )
            lines.append(f"| {points:,} | {gpu.name} | {parts} | {1e3 * sum(found.values()):.2f} |")
    return "\n".join(lines)


def table_by_class(kernels: dict[str, Kernel]) -> str:
    lines = [
        "| classes | GPU | counts | estimates | pass | finish | sample | launches | in all, ms |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for classes in MOST_BY_CLASS:
        for gpu in GPUS:
            found = games_by_class(kernels, gpu, MANY, classes)
            parts = " | ".join(f"{1e3 * seconds:.3f}" for seconds in found.values())
            lines.append(f"| {classes:,} | {gpu.name} | {parts} | {1e3 * sum(found.values()):.2f} |")
    return "\n".join(lines)


def check(kernels: dict[str, Kernel]) -> int:
    """1, and what is wrong, where a kernel has more instructions than it may."""
    found = {row.what: row.per_element for row in scoring(90, kernels, CLASSES, False)}
    found |= {name: points_cost(kernels, name, WORKED[0]).per_element for name in PASSES + BY_CLASS}
    found["count_points"] = counting(kernels).per_element
    found["estimate_classes"] = searched(named(kernels, "estimate_classes"))[1]
    found["finish_classes"] = searched(named(kernels, "finish_classes", 512, True))[1]
    passed = [
        f"{name}: {found[name]:.1f} instructions, at most {most}" for name, most in BOUNDS.items() if found[name] > most
    ]
    h200 = next(gpu for gpu in GPUS if gpu.name == "H200")
    for classes, most in MOST_BY_CLASS.items():
        predicted = 1e3 * sum(games_by_class(kernels, h200, MANY, classes).values())
        if predicted > most:
            passed.append(f"the games of {classes} classes: {predicted:.2f} ms, at most {most}")
    print("\n".join(passed) or f"{len(BOUNDS)} kernels within their bounds")
    return int(bool(passed))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.counted", description=__doc__.splitlines()[0])
    parser.add_argument("--arch", type=int, default=90, help="compute capability, 90 or 100")
    parser.add_argument("--out", type=Path, help="folder for counted.md and counted.json")
    parser.add_argument("--check", action="store_true", help="the bounds alone, of the compiled kernels")
    parser.add_argument("--objects", type=Path, help="CMake's folder of objects; without it they are compiled")
    parser.add_argument("--no-triton", action="store_true", help="the compiled kernels alone")
    given = parser.parse_args(arguments)
    try:
        kernels = compiled(given.arch) if given.objects is None else built(given.arch, given.objects)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 1
    if given.check:
        return check(kernels)
    rows = scoring(given.arch, kernels, CLASSES, not given.no_triton)
    rows += [counting(kernels), *(points_cost(kernels, name, share) for name in PASSES + BY_CLASS for share in WORKED)]
    tables = (assumptions(), table(rows), game_table(kernels), table_by_class(kernels))
    text = "\n\n".join((*tables, whole.table(rows, lambda *of: games(kernels, *of), WRITTEN))) + "\n"
    print(text)
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "counted.md").write_text(text)
        found = as_json({"arch": given.arch, "rows": [row.data() for row in rows]})
        (given.out / "counted.json").write_text(found + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
