"""Machine code of GPU kernels, read without a GPU: what a thread passes through, and which unit runs it.

A kernel is cut into basic blocks and loops. What counts is its usual path: of all paths through a loop's body, or
through what lies outside of loops, the one that does the most of the work (wide loads, exponentials, stores) and, among
those, has the fewest instructions; calls, atomics and loads of single numbers mark what is rare. An instruction whose
predicate is false is issued all the same, and counted.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

# What a streaming multiprocessor does in a clock, in instructions of a warp: four are issued; the units take 32 lanes
# in 1/rate clocks. NVIDIA's programming guide, arithmetic throughput of compute capability 9.0 (10.0: the same).
RATES = {"issue": 4.0, "fma": 4.0, "alu": 2.0, "imad": 2.0, "xu": 0.5, "lsu": 1.0, "fp64": 2.0}
UNITS = (
    ("xu", r"MUFU|I2F|F2I|F2F|FRND|POPC|FLO|BREV|I2I"),
    ("fp64", r"D(?:ADD|MUL|FMA|SETP|MNMX)"),
    ("lsu", r"LD|ST|SHFL|RED\b|RED\.|ATOM|LDGSTS|MATCH|CCTL|MEMBAR|FENCE"),
    ("imad", r"IMAD(?!\.MOV|\.U32|\.SHL|\.IADD)|IDP"),
    ("fma", r"FFMA|FMUL|FADD|HFMA2|HMUL2|HADD2|IMAD|FSWZADD"),
    (
        "control",
        r"BRA|BRX|JMP|EXIT|BSSY|BSYNC|WARPSYNC|CALL|RET|NOP|BAR|YIELD|DEPBAR|NANOSLEEP|BREAK|BMOV|KILL|ERRBAR|UCGABAR",
    ),
    ("uniform", r"U[A-Z0-9]+|R2UR|S2UR|S2R|CS2R|LDC|ULDC|REDUX"),
)  # the others, comparisons, minima, selections, logic, shifts and additions of integers, run in the ALU
WORK = r"LDG\S*\.128|LDGSTS|MUFU\.EX2|STG|STS"
RARE = r"CALL|RED\.|RED\b|ATOM|LDG(?!\S*\.(?:128|64))"
Key = tuple[int, int]
LINE = re.compile(r"^\s*/\*([0-9a-f]{4,})\*/\s+(.*?)\s*;")


class Instruction(NamedTuple):
    at: int
    predicate: str
    opcode: str
    operands: str


@cache
def unit(opcode: str) -> str:
    return next((name for name, pattern in UNITS if re.match(pattern, opcode)), "alu")


@dataclass
class Passed:
    """The instructions of one thread, once through; ``worth``: how much of the work is among them."""

    worth: int = 0
    opcodes: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return self.opcodes.total()

    def units(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for opcode, count in self.opcodes.items():
            found[unit(opcode)] += count
        return found

    def matching(self, pattern: str) -> int:
        return sum(count for opcode, count in self.opcodes.items() if re.match(pattern, opcode))


@dataclass
class Loop:
    """A loop, or the whole kernel (header -1): its paths, inner loops left out, by exponentials and stores."""

    header: int
    blocks: frozenset[int]
    paths: dict[Key, Passed] = field(default_factory=dict)
    inner: list[Loop] = field(default_factory=list)

    def with_stores(self, stores: int) -> Passed:
        """The usual one of those with so many stores."""
        fitting = [path for (_, count), path in self.paths.items() if count == stores]
        return max(fitting, key=lambda path: (path.worth, -len(path)), default=Passed())

    @property
    def path(self) -> Passed:
        """The usual one."""
        return max(self.paths.values(), key=lambda path: (path.worth, -len(path)), default=Passed())

    def all(self) -> Iterable[Loop]:
        yield self
        for loop in self.inner:
            yield from loop.all()


@dataclass
class Kernel:
    symbol: str
    registers: int
    stack: int
    shared: int
    code: list[Instruction]

    @property
    def spills(self) -> int:
        return sum(re.match(r"LDL|STL", line.opcode) is not None for line in self.code)

    def tree(self, work: str = WORK, rare: str = RARE) -> Loop:
        return tree(self.code, work, rare)


def tools() -> Path | None:
    """Where cuobjdump is: Triton's package has one."""
    spec = importlib.util.find_spec("triton")
    if spec is not None and spec.origin is not None:
        packaged = Path(spec.origin).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
        if packaged.exists():
            return packaged
    found = shutil.which("cuobjdump")
    return Path(found) if found else None


def read(binary: Path, arch: int | None = None) -> dict[str, Kernel]:
    """All kernels of a cubin, or of ``arch`` in an object file, by symbol."""
    tool = tools()
    if tool is None:
        raise FileNotFoundError("no cuobjdump: install triton, or a CUDA toolkit")
    of = [] if arch is None else ["-arch", f"sm_{arch}"]
    usage = run(tool, *of, "-res-usage", binary)
    kernels: dict[str, Kernel] = {}
    for symbol, numbers in re.findall(r"Function (\S+):\s*\n\s*(REG.*)", usage):
        found = {key: int(value) for key, value in re.findall(r"(REG|STACK|SHARED|LOCAL):(\d+)", numbers)}
        kernels[symbol] = Kernel(symbol, found["REG"], found["STACK"] + found["LOCAL"], found["SHARED"], [])
    current: Kernel | None = None
    for line in run(tool, *of, "-sass", binary).splitlines():
        if "Function : " in line:
            current = kernels.get(line.split("Function : ")[1].strip())
        elif current is not None and (match := LINE.match(line)):
            text = match[2]
            predicate = ""
            if text.startswith("@"):
                predicate, text = text.split(None, 1)
            opcode, _, operands = text.partition(" ")
            current.code.append(Instruction(int(match[1], 16), predicate, opcode, operands.strip()))
    return kernels


def run(tool: Path, *arguments: object) -> str:
    return subprocess.run([tool, *map(str, arguments)], check=True, capture_output=True, text=True).stdout


# ---------------------------------------------------------------------------------------------------- blocks and loops


def target_of(line: Instruction) -> int | None:
    if line.opcode.split(".")[0] not in ("BRA", "BRX", "JMP"):
        return None
    found = re.search(r"`?\(?\.?L?_?x?_?\d*\)?\s*0x([0-9a-f]+)|0x([0-9a-f]+)\s*$", line.operands)
    return int(found[1] or found[2], 16) if found else None


def blocks_of(code: list[Instruction]) -> tuple[dict[int, list[Instruction]], dict[int, list[int]]]:
    """Basic blocks by address, and where each goes on."""
    starts = {code[0].at}
    for line, after in zip(code, [*code[1:], code[-1]], strict=True):
        target = target_of(line)
        if target is not None:
            starts.add(target)
        if line.opcode.split(".")[0] in ("BRA", "BRX", "JMP", "EXIT", "RET"):
            starts.add(after.at)
    blocks: dict[int, list[Instruction]] = {}
    for line in code:
        if line.at in starts:
            current = blocks.setdefault(line.at, [])
        current.append(line)
    follows: dict[int, list[int]] = {}
    order = sorted(blocks)
    for start, after in zip(order, [*order[1:], None], strict=True):
        last = blocks[start][-1]
        target = target_of(last)
        falls = (
            last.predicate
            or "P" in last.operands.split(",")[0]
            or last.opcode == "BRA.DIV"  # where a warp has parted: rarely
            or last.opcode.split(".")[0] not in ("BRA", "JMP", "EXIT", "RET")
        )
        follows[start] = [at for at in (target, after if falls else None) if at is not None and at in blocks]
    return blocks, follows


def dominators(follows: dict[int, list[int]], root: int) -> dict[int, set[int]]:
    before: dict[int, list[int]] = {at: [] for at in follows}
    for at, onward in follows.items():
        for to in onward:
            before[to].append(at)
    everything = set(follows)
    found = {at: {at} if at == root else set(everything) for at in follows}
    changed = True
    while changed:
        changed = False
        for at in sorted(follows):
            if at == root:
                continue
            new = {at} | (set.intersection(*(found[b] for b in before[at])) if before[at] else set())
            if new != found[at]:
                found[at], changed = new, True
    return found


def tree(code: list[Instruction], work: str, rare: str) -> Loop:
    blocks, follows = blocks_of(code)
    root = code[0].at
    reached, waiting = set(), [root]
    while waiting:
        at = waiting.pop()
        if at not in reached:
            reached.add(at)
            waiting += follows[at]
    follows = {at: [to for to in onward if to in reached] for at, onward in follows.items() if at in reached}
    above = dominators(follows, root)
    bodies: dict[int, set[int]] = {}
    for at, onward in follows.items():
        for header in onward:
            if header in above[at] and not (header == at and len(blocks[at]) == 1):
                bodies.setdefault(header, {header}).update(body(follows, header, at))
    loops = {header: Loop(header, frozenset(members)) for header, members in bodies.items()}
    whole = Loop(-1, frozenset(follows))
    for loop in loops.values():
        around = [other for other in loops.values() if other is not loop and loop.blocks < other.blocks]
        min(around, key=lambda other: len(other.blocks), default=whole).inner.append(loop)

    def value(line: Instruction) -> int:
        if re.match(rare, line.opcode) or line.opcode == "WARPSYNC.COLLECTIVE":
            return -1000
        return int(re.match(work, line.opcode) is not None)

    fill(whole, root, blocks, follows, value)
    return whole


def body(follows: dict[int, list[int]], header: int, latch: int) -> set[int]:
    before: dict[int, list[int]] = {}
    for at, onward in follows.items():
        for to in onward:
            before.setdefault(to, []).append(at)
    found, waiting = {header}, [latch]
    while waiting:
        at = waiting.pop()
        if at not in found:
            found.add(at)
            waiting += before.get(at, [])
    return found


def fill(
    loop: Loop, start: int, blocks: dict[int, list[Instruction]], follows: dict[int, list[int]],
    value: Callable[[Instruction], int],
) -> int:  # fmt: skip
    """Sets the usual paths of a loop and of those in it; returns what its own is worth."""
    inside: dict[int, Loop] = {}
    worth: dict[int, int] = {}
    for inner in loop.inner:
        worth[inner.header] = fill(inner, inner.header, blocks, follows, value)
        inside.update(dict.fromkeys(inner.blocks, inner))

    def node(at: int) -> int:
        return inside[at].header if at in inside else at

    def onward(at: int) -> list[int]:
        if at not in inside:
            return [node(to) for to in follows[at]]
        members = inside[at].blocks
        return [node(to) for member in sorted(members) for to in follows[member] if to not in members]

    # From the end backwards: for each number of exponentials and stores of a path, the best way on from a block.
    best: dict[int, dict[Key, tuple[int, int, tuple[int, Key] | None]]] = {}
    for at in ordered(node(start), onward, loop, start):
        line_count = 0 if at in inside else len(blocks[at])
        here = worth[at] if at in inside else sum(value(line) for line in blocks[at])
        powers = (0, 0) if at in inside else counted(blocks[at])
        # Leaving a loop from its middle is the last time through; those paths end nowhere.
        ends = any(to == start for to in onward(at)) if loop.header != -1 else not onward(at)
        ways: dict[Key, tuple[int, int, tuple[int, Key] | None]] = {}
        if ends:
            ways[powers] = (here, -line_count, None)
        for to in onward(at):
            if to == start or to not in best:
                continue
            for more, (gained, minus, _) in best[to].items():
                way = (here + gained, minus - line_count, (to, more))
                key = (powers[0] + more[0], powers[1] + more[1])
                if key not in ways or way[:2] > ways[key][:2]:
                    ways[key] = way
        if ways:
            best[at] = ways
    for powers, (gained, _, _) in best.get(node(start), {}).items():
        passed, step = Passed(gained), (node(start), powers)
        while step is not None:
            if step[0] not in inside:
                passed.opcodes.update(line.opcode for line in blocks[step[0]])
            step = best[step[0]][step[1]][2]
        loop.paths[powers] = passed
    return loop.path.worth


def counted(block: list[Instruction]) -> Key:
    """The exponentials and the stores of a block."""
    return tuple(sum(line.opcode.startswith(name) for line in block) for name in ("MUFU.EX2", "STG"))  # type: ignore[return-value]


def ordered(first: int, onward: Callable[[int], list[int]], loop: Loop, start: int) -> list[int]:
    """The blocks of a loop, each after all that follow it."""
    order: list[int] = []
    seen = {first}
    stack = [(first, iter(onward(first)))]
    while stack:
        at, rest = stack[-1]
        for to in rest:
            if to in loop.blocks and to != start and to not in seen:
                seen.add(to)
                stack.append((to, iter(onward(to))))
                break
        else:
            order.append(at)
            stack.pop()
    return order
